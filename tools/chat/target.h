/* Which node to ask, and how. */
#ifndef TOOLS_CHAT_TARGET_H
#define TOOLS_CHAT_TARGET_H

#include "base/config.h"

struct target_options {
    const char *config_path, *url, *key_path; /* borrowed; NULL = not given */
};

struct target {
    char model[CONFIG_ID_MAX];
    char url[CONFIG_STR_MAX + 16]; /* no path */
    char key[512];                 /* "" = none */
    char ca_path[CONFIG_STR_MAX];  /* "" = the system's */
};

/* Whether the command line says where the node is, so that the subject must be a model's name. */
bool target_is_given(const struct target_options *o);

/* The node that runs: at the URL, else where the configuration has it listen. 0 or -errno with the
 * sentence; -EAGAIN when it does not run, as far as can be seen here. */
int target_find(struct target *t, const char *model, const struct target_options *o, struct err *e);

/* Our own, on the address it says. */
int target_of_own(struct target *t, const char *model, const char *listen, struct err *e);

#endif

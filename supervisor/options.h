/* What the command line says about the configuration: a file, models in directories, an address. */
#ifndef SUPERVISOR_OPTIONS_H
#define SUPERVISOR_OPTIONS_H

#include "base/config.h"

struct options {
    const char *config_path; /* -c; borrowed, NULL = not given */
    struct config_words words;
    char *text[2 * CONFIG_MODELS_MAX]; /* owned: what the words point to */
    size_t n_text;
};

/* --model [NAME=]DIR. What starts with '/' or '.' is all directory, also with a '=' in it. 0 or
 * -errno with the sentence. */
int options_add_model(struct options *o, const char *text, struct err *e);
/* --listen ADDRESS, borrowed; checked with the configuration. */
void options_set_listen(struct options *o, const char *address);
void options_free(struct options *o);

/* The file to read: that of -c; else the default one when it exists and the command line names no
 * model; else NULL: defaults and the environment. */
const char *options_config_path(const struct options *o);

/* The whole configuration. 0 or -errno with the sentence. */
int options_load_config(const struct options *o, struct config *c, struct err *e);

/* What a model in a directory is called when nobody says: "org/name" for a snapshot in a hub's
 * cache (models--org--name/snapshots/REV), for models/org/name, and when it was typed so; else the
 * directory's own name. typed: the directory as it was typed; path: the same, absolute and without
 * "." and "..". 0 or -EINVAL with the sentence. */
int options_name_model(const char *typed, const char *path, char id[CONFIG_ID_MAX], struct err *e);

#endif

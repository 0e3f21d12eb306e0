/* A conversation, and the request that continues it. */
#ifndef TOOLS_CHAT_TALK_H
#define TOOLS_CHAT_TALK_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* X(role, text) */
#define TALK_ROLES(X) \
    X(TALK_USER, "user") \
    X(TALK_ASSISTANT, "assistant")

#define X(constant, text) constant,
enum talk_role { TALK_ROLES(X) TALK_ROLES_N };
#undef X

struct talk_turn {
    enum talk_role role;
    char *text; /* owned */
    size_t len;
};

/* What the command line asks for beside the words. */
struct talk_wishes {
    int64_t max_tokens; /* 0 = not given */
    double temperature; /* NAN = not given */
    bool has_seed, no_thinking;
    uint64_t seed;
};

struct talk {
    char *model;  /* owned */
    char *system; /* owned; NULL = none */
    struct talk_wishes wishes;
    struct talk_turn *turn; /* owned */
    size_t n_turns;
};

void talk_free(struct talk *t);
/* NULL or "" = none from now on. */
void talk_set_system(struct talk *t, const char *text);
void talk_add(struct talk *t, enum talk_role role, const char *text, size_t len);
/* Forget the last turn; all turns. */
void talk_drop_last(struct talk *t);
void talk_clear(struct talk *t);

/* The body of POST /v1/chat/completions, streamed. */
void talk_write_request(const struct talk *t, struct buf *out);

#endif

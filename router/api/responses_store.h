/* Responses that a client may ask for again, or continue: as many as the configuration has room
 * for, those that nobody asked for the longest go first.
 *
 * What a conversation consists of is kept once, as a list of turns: each response has the turn it
 * added, each turn the one it continues. A turn lives as long as a response, a later turn or a
 * request under way needs it; so a conversation can be continued although its first responses are
 * gone. Texts are JSON as it goes out: they are exactly as large as they look.
 */
#ifndef ROUTER_API_RESPONSES_STORE_H
#define ROUTER_API_RESPONSES_STORE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define RESPONSE_ID_MAX   48
#define RESPONSES_BUCKETS 4096

struct responses_store;
struct responses_call;

struct turn {
    struct turn *parent; /* shared; NULL = the first */
    uint32_t n_users;
    struct buf input, output;      /* owned: arrays of items */
    struct buf item_at;            /* owned: size_t each, where the items of the input begin */
    struct responses_store *store; /* borrowed: whose bytes it counts in */
};

struct stored_response {
    LIST_ENTRY(stored_response) same_bucket;
    TAILQ_ENTRY(stored_response) by_use;
    char id[RESPONSE_ID_MAX];
    uint64_t owner;
    struct turn *turn;        /* shared */
    struct buf before, after; /* owned: the response's text around the array of its output */
};

struct responses_store {
    TAILQ_HEAD(, stored_response) by_use; /* the last used one is the last */
    LIST_HEAD(, stored_response) bucket[RESPONSES_BUCKETS];
    LIST_HEAD(, responses_call) running; /* those that are no responses yet (responses.h) */
    size_t bytes, bytes_max;             /* 0: nothing is kept */
    uint32_t n, n_max;
};

void responses_store_init(struct responses_store *s);
void responses_store_free(struct responses_store *s);
/* New limits: what is too much goes at once. */
void responses_store_limit(struct responses_store *s, size_t bytes_max, uint32_t n_max);

/* Keep a response. parent: the turn it continues, or NULL. The buffers are taken over and left
 * empty. One that is larger than the whole store is not kept. */
struct response_texts {
    struct buf before, after, input, item_at, output;
};
void responses_store_add(struct responses_store *s, const char *id, uint64_t owner,
                         struct turn *parent, struct response_texts *texts);

/* By id and owner, and used just now; NULL: it is not there. Borrowed until the next change. */
struct stored_response *responses_store_find(struct responses_store *s, const char *id,
                                             uint64_t owner);
void responses_store_remove(struct responses_store *s, struct stored_response *r);

struct turn *turn_share(struct turn *t);
void turn_drop(struct turn **t); /* NULL is none */

#endif

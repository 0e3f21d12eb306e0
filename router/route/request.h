/* Requests: the private journal and the life of a generation (reliability.md §1, §2).
 *
 *   QUEUED ──bind──> SUBMITTED ──ACCEPT──> RUNNING ──DONE / FAIL──> (released) FREE
 *     ^                  |                    |
 *     └── RETRY <────────┴── worker's death ──┘        client gone: CANCELLING until the worker's
 *                                                      last word or its death
 *
 * The journal (tokens) is the only truth about a stream: a token is appended before its bytes reach
 * a socket buffer, and after a worker's death the resume position is the journal's length. A
 * request is bound to at most one link, so at most one live incarnation computes it; it ends in
 * exactly one of: done, failed, client gone.
 */
#ifndef ROUTER_ROUTE_REQUEST_H
#define ROUTER_ROUTE_REQUEST_H

#include "base/buf.h"
#include "router/deadline.h"
#include "router/errors.h"
#include "router/route/record.h"
#include "shm/layout.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct link;
struct model;
struct router;
struct trial;

/* What a worker says, checked; the owner hears it. done and failed are the last words: after done
 * the owner calls request_release, after failed the request is no longer its own. */
struct request_ops {
    void (*accepted)(void *owner);
    void (*token)(void *owner, const struct token_head *t, const struct part *parts,
                  const struct top *tops);
    void (*done)(void *owner, const struct done_head *d, const struct part *parts);
    void (*failed)(void *owner, enum api_error error, const char *text);
};

/* The canonical request (shm/protocol.h) as bytes. Requests that differ in the seed only share it. */
struct canonical {
    struct buf json;
    uint32_t n_users;
};
struct canonical *canonical_new(void); /* its first user is the caller */
struct canonical *canonical_share(struct canonical *c);
void canonical_drop(struct canonical **c);

struct request {
    uint64_t id;   /* low bits: slot; never reused */
    uint32_t slot; /* in the request table */
    enum request_state state;
    struct router *router; /* borrowed */
    struct model *model;   /* borrowed */
    struct link *link;     /* borrowed; NULL = not bound */

    const struct request_ops *ops; /* borrowed; NULL once the owner has left */
    void *owner;

    struct canonical *canonical; /* shared; NULL until it is complete */
    enum prompt_kind kind;
    bool has_echo;    /* its first prompt_tokens tokens are the prompt's */
    uint8_t tops_max; /* tops of a token: 1 to this; 0 = none */
    uint32_t window;  /* tokens that the worker may be ahead of the owner */
    uint64_t seed;
    uint64_t session; /* 0 = none */
    enum dialect dialect;
    bool is_stream;
    bool is_canary;
    bool is_unconstrained; /* ACCEPT_UNCONSTRAINED */
    enum channel channel;  /* of the last part of its text */
    char name[48];

    /* journal */
    uint32_t *tokens;
    uint32_t n_tokens, tokens_cap;
    uint32_t prompt_tokens, cached_tokens;
    uint32_t attempts; /* links it was bound to */

    /* on the link */
    TAILQ_ENTRY(request) bound; /* link->requests */
    TAILQ_ENTRY(request) sending; /* link->sending */
    bool is_sending;
    bool wants_submit, wants_credit, wants_cancel;
    struct buf submit; /* head and journal of the SUBMIT being sent; the JSON follows */
    size_t submit_done;
    uint32_t n_taken;        /* journal length when the owner had taken everything */
    uint32_t credit;         /* tokens granted in all: at most n_taken + window */
    uint32_t tokens_at_bind; /* journal length then */

    /* waiting, or under trial (route/dispatch.c) */
    TAILQ_ENTRY(request) wait;
    bool is_waiting;
    struct trial *trial;
    uint32_t suspicions;      /* faults of workers it was part of, without progress since */
    uint32_t lonely_deaths;   /* deaths of any kind while alone, without progress since */
    uint32_t tokens_at_death; /* journal length at the last one */

    uint64_t accepted_ns, submitted_ns, first_token_ns, last_token_ns, orphaned_ns;
    struct deadline queue_due, life_due;
    bool is_changed; /* the record in shared memory is behind */
};

TAILQ_HEAD(request_list, request);

/* All requests of the router; sized once. */
struct request_pool {
    struct request **slot; /* [n_slots], NULL = free */
    uint32_t *free;        /* stack of free slots */
    uint32_t n_slots, n_free;
    uint64_t serial;
    uint32_t sweep; /* next slot whose record is refreshed */
};

void request_pool_init(struct router *rt, uint32_t n_slots);
void request_pool_free(struct router *rt);
static inline uint32_t request_pool_open(const struct request_pool *p)
{
    return p->n_slots - p->n_free;
}

/* A request with a slot and an id, or NULL when all slots are taken. */
struct request *request_new(struct router *rt, struct model *m, const struct request_ops *ops,
                            void *owner);
/* By id, from a worker: NULL when there is none (any more). */
struct request *request_find(struct router *rt, uint64_t id);

/* Tokens of the journal that were generated: neither echoed nor a text's. */
uint32_t request_generated(const struct request *r);

/* The owner has taken everything so far: grant credit. */
void request_acknowledge(struct request *r);
/* The owner leaves before the end. */
void request_cancel(struct request *r);
/* The owner leaves after done. */
void request_release(struct request *r);
/* End it with an error: tells the owner, or, without one, frees it. */
void request_fail(struct request *r, enum api_error error, const char *text);

/* --- for link.c and dispatch.c --- */
void request_set_state(struct request *r, enum request_state state);
void request_publish(struct request *r);
void request_unbind(struct request *r);
void request_free(struct request *r);
void request_journal(struct request *r, const struct token_head *t, const struct part *parts,
                     const struct top *tops, uint64_t now_ns);
/* Once a tick: refresh the records of a part of the table. */
void request_pool_tick(struct router *rt);

#endif

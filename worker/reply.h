/* What the worker says to the router about its requests (records W2R of shm/protocol.h), with the
 * two reasons to wait: credit (the client reads slowly) and space (the ring is full).
 *
 * A record that finds no room is kept in its request, never anywhere else; requests that wait for
 * space do so in the order in which they began to. An engine gives a request's next token only when
 * reply_may_go, so what is kept is bounded by one token and the last word.
 */
#ifndef WORKER_REPLY_H
#define WORKER_REPLY_H

#include "shm/counters.h"
#include "shm/ring.h"
#include "worker/request.h"

struct reply {
    struct ring *ring;                /* borrowed */
    struct request_table *table;      /* borrowed */
    struct worker_counters *counters; /* borrowed: this worker's, in the node segment */
    struct request_queue blocked;     /* requests with records that wait for space */
    struct buf scratch;               /* owned */
    uint32_t n_paused;
};

void reply_init(struct reply *p, struct ring *ring, struct request_table *table,
                struct worker_counters *counters);
void reply_free(struct reply *p);

/* The request runs; its answer is initialised. */
void reply_accept(struct reply *p, struct request *r, const struct accept_body *body);

/* One of the resumed tokens again, in order, before any other: changes the state, says nothing. */
void reply_replay(struct reply *p, struct request *r, const struct token *token);

/* Whether a token may come now. False: not before engine_ops.resume. */
bool reply_may_go(struct reply *p, struct request *r);

/* The next token. When answer_is_over after it, reply_done comes next. Of PROMPT_TOKENIZE the token
 * carries its bytes as text, whether they are asked for or not. */
void reply_token(struct reply *p, struct request *r, const struct token *token, uint64_t now_ns);

/* The last words. They need neither credit nor room; the seat may be gone afterwards. */
void reply_done(struct reply *p, struct request *r, enum finish_reason reason, uint64_t now_ns);
void reply_fail(struct reply *p, struct request *r, enum fail_code code, const char *text);
void reply_cancelled(struct reply *p, struct request *r);

/* The router raised the credit. True when the engine must be told to resume the request. */
bool reply_credit(struct reply *p, struct request *r, uint32_t credit);

/* Move what waits into the ring. A request that got room and may go on, or NULL when there is no
 * further one: call until then. */
struct request *reply_flush(struct reply *p);

static inline bool reply_is_blocked(const struct reply *p)
{
    return !TAILQ_EMPTY(&p->blocked);
}

/* The link is gone: forget a request without a word. */
void reply_drop(struct reply *p, struct request *r);

#endif

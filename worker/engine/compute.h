/* The compute thread: it owns the model and makes one step after the other.
 *
 * Sequences come through compute_give and are its own until is_returned. What it says of them goes
 * into their result rings, or is their vector; the eventfd is written once per step. It sleeps
 * while nobody can go on.
 */
#ifndef WORKER_ENGINE_COMPUTE_H
#define WORKER_ENGINE_COMPUTE_H

#include "worker/engine/scheduler.h"
#include "worker/model/forward.h"
#include "worker/model/pooling.h"

#include <pthread.h>

struct compute_setup {
    struct forward *forward;             /* borrowed */
    struct kern_pool *pool;              /* borrowed */
    int threads;                         /* of the pool */
    const struct generation *generation; /* borrowed: where answers end */
    const struct pooling *pooling;       /* borrowed: of embeddings; NULL: it is text */
    uint32_t vocab, hidden;
    struct scheduler_limits limits;
    struct forward_bytes bytes; /* of a page, of a slot */
    uint64_t weights_bytes;     /* for a first guess of how long a step takes */
    uint64_t stall_ns;          /* how long a prompt may hold up the others' next token */
    int wake_fd;                /* borrowed */
};

struct compute {
    struct compute_setup setup;
    struct scheduler scheduler;
    struct sampler_work *work; /* owned: [threads] */
    uint32_t *slots;           /* owned: [picks] place of each result in its sequence's ring */
    uint64_t row_ns;           /* what a row of a prompt costs, as seen lately */

    pthread_t thread;
    pthread_mutex_t lock; /* of the next four */
    pthread_cond_t changed;
    struct sequence_queue inbox;
    uint64_t n_kicks;
    bool is_stopping, is_started;

    /* --- for the loop --- */
    _Atomic uint64_t step_due_ns; /* a step that is not over by then hangs; 0: there is none */
    _Atomic uint64_t prefix_bytes, prefix_evictions; /* what is kept for others; given up so far */
};

int compute_start(struct compute *c, const struct compute_setup *setup, struct err *e);
/* The sequence has begun (sequence_begin); it may be cancelled at any time. */
void compute_give(struct compute *c, struct sequence *q);
/* Results were taken, or sequences cancelled. */
void compute_kick(struct compute *c);
/* False: its step takes far longer than it should. */
bool compute_is_alive(const struct compute *c, uint64_t now_ns);
/* Ends the thread after its step; sequences stay as they are. */
void compute_stop(struct compute *c);

#endif

/* The memory of the weights: one piece for each key, filled by one worker, mapped by all that want
 * it and by those that start again, for which the supervisor keeps it.
 *
 *                first one wants it        FILLED, and it is sealed
 *   NONE ──> WANTED ────────────> FILLING ────────────────────────> FILLED
 *              ^                     │                                │ no configured model's key
 *              └─── the filler died: ┘                                v any more, and no worker's
 *                   memory given back                               NONE: memory given back
 *
 * The messages are in shm/control.h. A waiting worker is answered when the state becomes FILLED, or
 * when it is the next to fill. The key of a model is the one that a worker of its present
 * configuration asked for last. Nothing here reads what is in the memory or waits for anybody.
 */
#ifndef SUPERVISOR_KEEPER_H
#define SUPERVISOR_KEEPER_H

#include "shm/control.h"
#include "shm/layout.h"

#include <stdbool.h>
#include <stdint.h>

struct tree;
struct child;

struct keeper_piece {
    enum kept_state state; /* NONE = a free place */
    uint64_t key, bytes;
    int fd;         /* owned: while FILLING and FILLED */
    uint32_t maker; /* slot of the worker that fills it or did */
    uint64_t granted_ns, filled_ns;
    struct weights_record published;
};

/* What the incarnation in a worker slot has of a piece. */
enum keeper_use { USE_NONE, USE_WAITS, USE_FILLS, USE_HAS };

struct keeper_client {
    enum keeper_use use;
    uint32_t piece;
    uint64_t turn; /* who waits is served in this order */
};

struct keeper {
    struct keeper_piece piece[SHM_WEIGHTS_MAX];
    struct keeper_client client[SHM_WORKERS_MAX];
    uint64_t turn;      /* the last one */
    int done_fd;        /* owned: eventfd of memory_discard */
    uint64_t n_leaving; /* pieces being given back: no new memory before they are */
};

/* keeper.done_fd, watched by the loop. 0 or -errno with the sentence. */
int keeper_open(struct tree *t, struct err *e);
void keeper_close(struct tree *t);

/* What a worker says: WEIGHTS_WANT and WEIGHTS_FILLED. */
void keeper_want(struct tree *t, struct child *c, const struct control_msg *m);
void keeper_filled(struct tree *t, struct child *c, const struct control_msg *m);

/* It was reaped. */
void keeper_worker_gone(struct tree *t, struct child *c);

/* It waits for memory that another one fills or gives back: no progress is no wonder. */
bool keeper_is_waiting(const struct tree *t, const struct child *c);
/* It asked and has not got, or fills: it cannot be ready. */
bool keeper_is_unsettled(const struct tree *t, const struct child *c);

/* done_fd is readable. */
void keeper_freed(struct tree *t);

/* Answer whoever can be answered, give back what nobody needs any more. */
void keeper_settle(struct tree *t);
void keeper_publish(struct tree *t);

/* Nobody will be started again: let go of everything, so that the last worker frees it. */
void keeper_stop(struct tree *t);

#endif

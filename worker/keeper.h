/* The memory of the weights, as the supervisor keeps it (shm/control.h): filled once, mapped by
 * every worker of the model and by each one that starts again.
 *
 *   keeper_want ─> keeper_take ─┬─ not filled: keeper_map, write all of it, keeper_filled ─┐
 *                       ^       └─ filled: keeper_map, read-only                           │
 *                       └──────────────────────────────────────────────────────────────────┘
 *
 * All of it happens between HELLO and READY. The answers come through the control socket when they
 * come: another worker may be filling the same memory, for as long as loading takes.
 */
#ifndef WORKER_KEEPER_H
#define WORKER_KEEPER_H

#include "base/err.h"
#include "shm/control.h"

#include <stdbool.h>
#include <stdint.h>

enum keeper_state {
    KEEPER_IDLE,    /* nothing asked for yet, or refused */
    KEEPER_WAITING, /* for a GRANT */
    KEEPER_FILLING, /* the memory is ours to write: zeros at first */
    KEEPER_FILLED,  /* the memory is complete, and nobody can write it any more */
};

struct keeper {
    int control; /* borrowed */
    uint64_t epoch;
    enum keeper_state state;
    uint64_t key, bytes;
    int fd;    /* owned; -1 = none */
    void *map; /* owned; NULL = not mapped */
};

void keeper_init(struct keeper *k, int control, uint64_t epoch);
void keeper_close(struct keeper *k);

/* Ask for `bytes` of memory for the weights that `key` stands for: everything that decides what
 * will be in it must be in the key. 0 or -errno with the sentence. */
int keeper_want(struct keeper *k, uint64_t key, uint64_t bytes, struct err *e);

/* The supervisor's GRANT. 0, and the state is FILLING or FILLED; -ENOMEM with the supervisor's
 * sentence when there is no such memory (state IDLE); -EPROTO for an answer to nothing we asked.
 * The fds stay the caller's; the one that is kept is taken out of the array. */
int keeper_take(struct keeper *k, const struct control_msg *msg, int fds[CONTROL_FDS],
                struct err *e);

/* Map all of it: to be written while FILLING, read-only when FILLED. k->map, or -errno with the
 * sentence. Once per GRANT. */
int keeper_map(struct keeper *k, struct err *e);

/* All is written: unmap it, seal it, say so; k->map is NULL and the state WAITING. The next GRANT
 * is of the same memory, FILLED. 0 or -errno with the sentence; -EBUSY when something (a mapping, a
 * read in flight) can still write there, which is the caller's bug. */
int keeper_filled(struct keeper *k, struct err *e);

#endif

/* From a directory to a model that is ready to compute, in a thread of its own, so that the worker
 * shows signs of life meanwhile. The memory of the weights is the supervisor's (worker/keeper.h):
 * when an earlier worker has filled it, nothing is read. */
#ifndef WORKER_ENGINE_LOADER_H
#define WORKER_ENGINE_LOADER_H

#include "worker/engine/checkpoint.h"
#include "worker/engine/memory.h"
#include "worker/keeper.h"

#include <pthread.h>
#include <stdatomic.h>

enum loader_state { LOADER_RUNNING, LOADER_READY, LOADER_FAILED };

struct loader {
    const struct config_model *settings; /* borrowed */
    uint32_t workers;                    /* of all models on this machine */
    int wake_fd;                         /* borrowed */

    /* made by the thread, the loop's once it is LOADER_READY */
    struct checkpoint checkpoint;
    struct memory_plan memory;
    struct keeper keeper;
    struct weights weights;
    struct kern_pool *pool;    /* owned */
    struct forward *forward;   /* owned */
    struct reader_stats stats; /* all zero: the weights were there */
    struct err error;          /* of LOADER_FAILED */

    pthread_t thread;
    pthread_mutex_t lock; /* of the grant and is_stopping */
    pthread_cond_t changed;
    struct control_msg grant;
    int grant_fds[CONTROL_FDS]; /* -1: none */
    bool has_grant, is_stopping, is_started;

    _Atomic int state; /* enum loader_state */
    _Atomic uint64_t bytes, bytes_total;
    _Atomic bool is_waiting; /* for the supervisor's memory: another worker may be filling it */
};

int loader_start(struct loader *l, const struct config_model *settings, uint32_t workers,
                 int control, uint64_t epoch, int wake_fd, struct err *e);
/* CONTROL_WEIGHTS_GRANT has come; the fds are taken out of the array. */
void loader_grant(struct loader *l, const struct control_msg *msg, int fds[CONTROL_FDS]);
/* Ends the thread where it stands, and frees everything. */
void loader_stop(struct loader *l);

#endif

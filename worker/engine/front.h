/* The front thread: templates and tokenisers, one request after the other, so that a long text
 * stops neither the loop nor the engine. */
#ifndef WORKER_ENGINE_FRONT_H
#define WORKER_ENGINE_FRONT_H

#include "worker/engine/prompt.h"

#include <pthread.h>

struct front {
    const struct language *language; /* borrowed */
    int wake_fd;                     /* borrowed: written when a text is ready */
    pthread_t thread;
    pthread_mutex_t lock; /* of queue and is_stopping */
    pthread_cond_t changed;
    struct sequence_queue queue;
    bool is_stopping, is_started;
};

int front_start(struct front *f, const struct language *language, int wake_fd, struct err *e);
/* s->kind, s->params and s->resume are set. Until s->has_text the sequence is the thread's. */
void front_give(struct front *f, struct sequence *s);
/* What is queued stays untouched. */
void front_stop(struct front *f);

#endif

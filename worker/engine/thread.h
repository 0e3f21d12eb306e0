/* The engine's threads beside the loop, and how they call it. */
#ifndef WORKER_ENGINE_THREAD_H
#define WORKER_ENGINE_THREAD_H

#include "base/err.h"

#include <pthread.h>

/* With the signals of others blocked: they are the loop's. name: at most 15 bytes. */
int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg,
                 struct err *e);

/* Make an eventfd readable; never blocks. */
void thread_wake(int event_fd);

#endif

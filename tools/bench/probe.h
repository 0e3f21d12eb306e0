/* How fast a team of threads only reads memory: the limit of what streams weights. */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include "kernels/pool.h"

struct probe {
    const void *data; /* borrowed, aligned to 64 */
    size_t bytes;     /* what is over a multiple of 512 is left out */
    volatile uint64_t sink[KERN_THREADS_MAX * 8];
};

/* A kern_job: arg is a struct probe; each thread reads its share once. */
int probe_read(struct kern_thread *th, void *arg);

#endif

/* A team of threads that run one function together, with barriers that spin, then park.
 *
 * kern_pool_run makes every thread call the job once; the caller is rank 0.  Inside a job the
 * threads meet at kern_barrier, all of them the same number of times.  A thread that waits spins
 * for 20 us and then sleeps on a futex, so an idle team costs nothing and a busy one no system
 * call.  Between jobs the others wait in the same way.
 */
#ifndef KERNELS_POOL_H
#define KERNELS_POOL_H

#include <stddef.h>
#include <stdint.h>

enum {
    KERN_THREADS_MAX = 256,
    KERN_COUNTERS = 16,               /* shared counters between two barriers */
    KERN_SCRATCH_BYTES = 1024 * 1024, /* private to each thread */
};

struct kern_pool;

struct kern_thread {
    int rank, size;
    int counter;            /* next shared counter; 0 after a barrier */
    void *scratch;          /* KERN_SCRATCH_BYTES, aligned to KERN_ALIGN */
    struct kern_pool *pool; /* NULL: a team of one */
};

typedef int kern_job(struct kern_thread *th, void *arg);

/* threads - 1 threads are created, the signals of others blocked in them; cpus, when not NULL, has the CPU
 * each rank is pinned to, from rank 1 on: where the caller runs is its own business. */
int kern_pool_open(struct kern_pool **out, int threads, const int *cpus);

/* One caller at a time.  The job's first nonzero result by rank, else 0. */
int kern_pool_run(struct kern_pool *pool, kern_job *job, void *arg);

int kern_pool_size(const struct kern_pool *pool); /* threads, the caller among them */

void kern_pool_close(struct kern_pool **pool);

void kern_barrier(struct kern_thread *th);

/* This thread as a team of one: it then does an operation whole, into memory of its own.  Cheaper
 * than a barrier for the norm of a few rows. */
struct kern_thread kern_solo(const struct kern_thread *th);

/* Rows [from, to) of n units that this thread starts with: its part of the first three quarters,
 * or of everything in a team of one.  Then kern_claim hands out the rest, `step` at a time. */
struct kern_share {
    int64_t from, to;
    int64_t rest, end, step; /* the shared part */
    int counter;
};

struct kern_share kern_share_begin(struct kern_thread *th, int64_t n, int64_t step);
int kern_share_next(struct kern_thread *th, struct kern_share *s); /* 0: nothing is left */

/* The fixed part of n units: for operations whose units must stay with one thread. */
void kern_split(const struct kern_thread *th, int64_t n, int64_t *from, int64_t *to);

#endif

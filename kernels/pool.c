#include "kernels/pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernels/kern.h"

enum { SPIN_NS = 20000, PAUSES_PER_LOOK = 32 };

struct counter {
    _Alignas(KERN_ALIGN) _Atomic int64_t next;
};

struct member {
    struct kern_thread th;
    pthread_t id;
    int result;
};

/* arrived, round, sleepers: written by every thread.  The last to arrive resets arrived and the
 * counters, then moves round on; the release of round hands all of it over.  A sleeper counts
 * itself before it looks at round for the last time (in the futex call), the last arriver moves
 * round before it looks at sleepers, both sequentially consistent: one of them sees the other. */
struct kern_pool {
    _Alignas(KERN_ALIGN) _Atomic uint32_t arrived;
    _Alignas(KERN_ALIGN) _Atomic uint32_t round;
    _Alignas(KERN_ALIGN) _Atomic uint32_t sleepers;
    struct counter counters[KERN_COUNTERS];
    int size;
    kern_job *job; /* NULL: the threads end */
    void *arg;
    struct member *members; /* [size] */
};

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void park(struct kern_pool *pool, uint32_t round)
{
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->round) == round)
        syscall(SYS_futex, &pool->round, FUTEX_WAIT_PRIVATE, round, NULL, NULL, 0);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void wait_round(struct kern_pool *pool, uint32_t round)
{
    int64_t deadline_ns = 0;

    for (;;) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (atomic_load_explicit(&pool->round, memory_order_acquire) != round)
                return;
            pause_cpu();
        }
        int64_t t = now_ns();
        if (deadline_ns == 0)
            deadline_ns = t + SPIN_NS;
        if (t >= deadline_ns) {
            park(pool, round);
            return;
        }
    }
}

void kern_barrier(struct kern_thread *th)
{
    struct kern_pool *pool = th->pool;

    th->counter = 0;
    if (pool == NULL || pool->size == 1)
        return;
    uint32_t round = atomic_load_explicit(&pool->round, memory_order_acquire);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 < (uint32_t)pool->size) {
        wait_round(pool, round);
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    for (int i = 0; i < KERN_COUNTERS; i++)
        atomic_store_explicit(&pool->counters[i].next, 0, memory_order_relaxed);
    atomic_fetch_add(&pool->round, 1);
    if (atomic_load(&pool->sleepers) > 0)
        syscall(SYS_futex, &pool->round, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

struct kern_thread kern_solo(const struct kern_thread *th)
{
    return (struct kern_thread){.rank = 0, .size = 1, .scratch = th->scratch};
}

void kern_split(const struct kern_thread *th, int64_t n, int64_t *from, int64_t *to)
{
    *from = n * th->rank / th->size;
    *to = n * (th->rank + 1) / th->size;
}

struct kern_share kern_share_begin(struct kern_thread *th, int64_t n, int64_t step)
{
    struct kern_share s = {.rest = n, .end = n, .step = step, .counter = -1};

    if (th->size > 1 && th->pool != NULL && th->counter < KERN_COUNTERS) {
        s.counter = th->counter++;
        s.rest = n - n / 4;
    }
    kern_split(th, s.rest, &s.from, &s.to);
    return s;
}

int kern_share_next(struct kern_thread *th, struct kern_share *s)
{
    if (s->counter < 0)
        return 0;
    int64_t taken = atomic_fetch_add_explicit(&th->pool->counters[s->counter].next, s->step,
                                              memory_order_relaxed);
    if (taken >= s->end - s->rest)
        return 0;
    s->from = s->rest + taken;
    s->to = s->from + s->step < s->end ? s->from + s->step : s->end;
    return 1;
}

static void *run_member(void *arg)
{
    struct member *m = arg;
    struct kern_pool *pool = m->th.pool;

    for (;;) {
        kern_barrier(&m->th);
        if (pool->job == NULL)
            return NULL;
        m->result = pool->job(&m->th, pool->arg);
        kern_barrier(&m->th);
    }
}

int kern_pool_run(struct kern_pool *pool, kern_job *job, void *arg)
{
    struct member *first = &pool->members[0];

    if (job == NULL)
        return -EINVAL;
    pool->job = job;
    pool->arg = arg;
    kern_barrier(&first->th);
    first->result = job(&first->th, arg);
    kern_barrier(&first->th);
    for (int i = 0; i < pool->size; i++)
        if (pool->members[i].result != 0)
            return pool->members[i].result;
    return 0;
}

static int start_member(struct member *m, int cpu)
{
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);

    if (rc == 0 && cpu >= 0) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        rc = pthread_attr_setaffinity_np(&attr, sizeof set, &set);
    }
    if (rc == 0)
        rc = pthread_create(&m->id, &attr, run_member, m);
    if (rc == 0) {
        char name[16];

        snprintf(name, sizeof name, "kern-%d", m->th.rank);
        pthread_setname_np(m->id, name);
    }
    pthread_attr_destroy(&attr);
    return -rc;
}

/* Ends the `started` threads, of which the pool then consists. */
static void stop_members(struct kern_pool *pool, int started)
{
    pool->job = NULL;
    kern_barrier(&pool->members[0].th);
    for (int i = 1; i < started; i++)
        pthread_join(pool->members[i].id, NULL);
}

static void free_pool(struct kern_pool *pool)
{
    if (pool->members != NULL)
        for (int i = 0; i < pool->size; i++)
            free(pool->members[i].th.scratch);
    free(pool->members);
    free(pool);
}

static int make_members(struct kern_pool *pool)
{
    pool->members = calloc((size_t)pool->size, sizeof *pool->members);
    if (pool->members == NULL)
        return -ENOMEM;
    for (int i = 0; i < pool->size; i++) {
        struct kern_thread *th = &pool->members[i].th;

        *th = (struct kern_thread){.rank = i, .size = pool->size, .pool = pool};
        th->scratch = aligned_alloc(KERN_ALIGN, KERN_SCRATCH_BYTES);
        if (th->scratch == NULL)
            return -ENOMEM;
    }
    return 0;
}

static int start_members(struct kern_pool *pool, const int *cpus)
{
    /* What a thread raises itself is not blocked: it ends the process with its last words. */
    static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t all, before;
    int started = 1, rc = 0;

    sigfillset(&all);
    for (size_t i = 0; i < sizeof own_faults / sizeof own_faults[0]; i++)
        sigdelset(&all, own_faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < pool->size && rc == 0) {
        rc = start_member(&pool->members[started], cpus != NULL ? cpus[started] : -1);
        if (rc == 0)
            started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) { /* arrive for the threads that do not exist, so that the others can end */
        atomic_fetch_add(&pool->arrived, (uint32_t)(pool->size - started));
        stop_members(pool, started);
    }
    return rc;
}

int kern_pool_open(struct kern_pool **out, int threads, const int *cpus)
{
    *out = NULL;
    if (threads < 1 || threads > KERN_THREADS_MAX)
        return -EINVAL;
    for (int i = 1; cpus != NULL && i < threads; i++)
        if (cpus[i] < 0 || cpus[i] >= CPU_SETSIZE)
            return -EINVAL;
    struct kern_pool *pool = aligned_alloc(KERN_ALIGN, sizeof *pool);
    if (pool == NULL)
        return -ENOMEM;
    *pool = (struct kern_pool){.size = threads};

    int rc = make_members(pool);
    if (rc == 0)
        rc = start_members(pool, cpus);
    if (rc != 0) {
        free_pool(pool);
        return rc;
    }
    *out = pool;
    return 0;
}

int kern_pool_size(const struct kern_pool *pool)
{
    return pool->size;
}

void kern_pool_close(struct kern_pool **pool)
{
    if (*pool == NULL)
        return;
    stop_members(*pool, (*pool)->size);
    free_pool(*pool);
    *pool = NULL;
}

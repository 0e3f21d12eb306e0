/* The team: barriers, shared counters, jobs one after another, parked threads. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "tests/kernels/kernels_util.h"

enum { ROUNDS = 2000, THREADS = 4, UNITS = 1000 };

struct shared {
    int value[THREADS];
    _Atomic int wrong;
    _Atomic int taken[UNITS];
    int rounds, sleep_every;
};

/* Each thread writes its cell; after the barrier it must see what its neighbour wrote. */
static int meet(struct kern_thread *th, void *arg)
{
    struct shared *s = arg;

    for (int i = 1; i <= s->rounds; i++) {
        s->value[th->rank] = i;
        if (s->sleep_every > 0 && i % s->sleep_every == th->rank)
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        kern_barrier(th);
        if (s->value[(th->rank + 1) % th->size] != i)
            s->wrong++;
        kern_barrier(th);
    }
    return 0;
}

static void barrier_separates(void **unused)
{
    (void)unused;
    for (int threads = 1; threads <= THREADS; threads++) {
        struct shared s = {.rounds = threads > 2 ? ROUNDS / 10 : ROUNDS};
        assert_int_equal(run_team(threads, meet, &s), 0);
        assert_int_equal(s.wrong, 0);
        s = (struct shared){.rounds = 100, .sleep_every = 10}; /* the others park */
        assert_int_equal(run_team(threads, meet, &s), 0);
        assert_int_equal(s.wrong, 0);
    }
}

static int take_units(struct kern_thread *th, void *arg)
{
    struct shared *s = arg;

    for (int round = 0; round < KERN_COUNTERS + 3; round++) { /* more than there are counters */
        struct kern_share share = kern_share_begin(th, UNITS - round, 7);

        do
            for (int64_t u = share.from; u < share.to; u++)
                s->taken[u]++;
        while (kern_share_next(th, &share));
    }
    kern_barrier(th);
    return 0;
}

static void every_unit_is_taken_once(void **unused)
{
    (void)unused;
    for (int threads = 1; threads <= THREADS; threads++)
        for (int again = 0; again < 3; again++) {
            struct shared s = {.rounds = 0};

            assert_int_equal(run_team(threads, take_units, &s), 0);
            for (int u = 0; u < UNITS; u++) {
                int rounds = UNITS - u < KERN_COUNTERS + 3 ? UNITS - u : KERN_COUNTERS + 3;

                assert_int_equal(s.taken[u], rounds);
            }
        }
}

struct stalled {
    _Atomic int is_done; /* rank 0 has nothing left to take */
    int64_t units[2];
};

/* Rank 1 does its fixed part and is then held up. */
static int stall(struct kern_thread *th, void *arg)
{
    struct stalled *s = arg;
    struct kern_share share = kern_share_begin(th, UNITS, 10);

    do {
        s->units[th->rank] += share.to - share.from;
        while (th->rank == 1 && !s->is_done)
            nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    } while (kern_share_next(th, &share));
    s->is_done = 1;
    return 0;
}

static void a_stalled_thread_holds_back_its_part_only(void **unused)
{
    struct stalled s = {.is_done = 0};

    (void)unused;
    assert_int_equal(run_team(2, stall, &s), 0);
    assert_int_equal(s.units[1], UNITS * 3 / 8);
    assert_int_equal(s.units[0], UNITS - UNITS * 3 / 8);
}

static int fail_by_rank(struct kern_thread *th, void *arg)
{
    const int *first = arg;

    return th->rank >= *first ? -th->rank - 100 : 0;
}

static void first_failure_by_rank_is_returned(void **unused)
{
    struct kern_pool *pool;
    int first = 1, none = 9;

    (void)unused;
    assert_int_equal(kern_pool_open(&pool, 3, NULL), 0);
    assert_int_equal(kern_pool_run(pool, fail_by_rank, &first), -101);
    assert_int_equal(kern_pool_run(pool, fail_by_rank, &none), 0);
    assert_int_equal(kern_pool_run(pool, NULL, &none), -EINVAL);
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* they sleep by now */
    assert_int_equal(kern_pool_run(pool, fail_by_rank, &first), -101);
    kern_pool_close(&pool);
    assert_null(pool);
    kern_pool_close(&pool);
}

static void impossible_teams_are_refused(void **unused)
{
    struct kern_pool *pool;
    int cpus[2] = {0, -1}, absent[2] = {0, 1 << 20};

    (void)unused;
    assert_int_equal(kern_pool_open(&pool, 0, NULL), -EINVAL);
    assert_int_equal(kern_pool_open(&pool, KERN_THREADS_MAX + 1, NULL), -EINVAL);
    assert_int_equal(kern_pool_open(&pool, 2, cpus), -EINVAL);
    assert_int_equal(kern_pool_open(&pool, 2, absent), -EINVAL);
    assert_null(pool);
}

static int check_solo(struct kern_thread *th, void *arg)
{
    struct kern_thread solo = kern_solo(th);
    int64_t from, to;

    (void)arg;
    kern_split(&solo, 10, &from, &to);
    kern_barrier(&solo); /* waits for nobody */
    return from == 0 && to == 10 && solo.scratch == th->scratch ? 0 : -1;
}

static void a_solo_team_does_everything(void **unused)
{
    (void)unused;
    assert_int_equal(run_team(3, check_solo, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barrier_separates),
        cmocka_unit_test(every_unit_is_taken_once),
        cmocka_unit_test(a_stalled_thread_holds_back_its_part_only),
        cmocka_unit_test(first_failure_by_rank_is_returned),
        cmocka_unit_test(impossible_teams_are_refused),
        cmocka_unit_test(a_solo_team_does_everything),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

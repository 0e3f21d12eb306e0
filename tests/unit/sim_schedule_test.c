#include "worker/sim/schedule.h"

#include "base/clock.h"
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SEATS 37

/* Against a plain array: random entering, moving and taking out. */
static void heap_agrees_with_array(void **state)
{
    struct schedule s;
    uint64_t due[SEATS] = {0}; /* 0 = not in */
    uint64_t draw = 0;

    (void)state;
    schedule_init(&s, SEATS);
    for (int step = 0; step < 20000; step++) {
        uint32_t seat = (uint32_t)(hash_mix(1, draw++) % SEATS);
        if (hash_mix(1, draw++) % 3 == 0) {
            schedule_remove(&s, seat);
            due[seat] = 0;
        } else {
            due[seat] = 1 + hash_mix(1, draw++) % 100;
            schedule_set(&s, seat, due[seat]);
        }
        uint64_t least = UINT64_MAX;
        for (int i = 0; i < SEATS; i++)
            if (due[i] != 0 && due[i] < least)
                least = due[i];
        uint32_t first;
        uint64_t first_due;
        int has = schedule_first(&s, &first, &first_due);
        assert_int_equal(has, least != UINT64_MAX);
        if (has) {
            assert_int_equal(first_due, least);
            assert_int_equal(due[first], least);
        }
    }
    schedule_free(&s);
}

/* Also after many were taken out of the middle. */
static void comes_out_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct schedule s;
        uint64_t last = 0, due;
        uint32_t seat, n = 0;
        schedule_init(&s, 1000);
        for (uint32_t i = 0; i < 1000; i++)
            schedule_set(&s, i, hash_mix(seed, i));
        for (uint32_t i = 0; i < 500; i++)
            schedule_remove(&s, (uint32_t)(hash_mix(~seed, i) % 1000));
        for (; schedule_first(&s, &seat, &due); n++) {
            assert_true(due >= last);
            assert_int_equal(due, hash_mix(seed, seat));
            last = due;
            schedule_remove(&s, seat);
        }
        assert_true(n >= 500 && n < 700);
        schedule_free(&s);
    }
}

static void token_times(void **state)
{
    (void)state;
    assert_int_equal(schedule_token_ns(5, 0, 50), 5);
    assert_int_equal(schedule_token_ns(5, 1, 50), 5 + 20 * NS_PER_MS);
    assert_int_equal(schedule_token_ns(0, 3, 3), NS_PER_S);
    /* no drift and no overflow after a million tokens */
    assert_int_equal(schedule_token_ns(0, 999999, 3), 333333 * NS_PER_S);
    assert_int_equal(schedule_token_ns(0, 1000000, 1000000), NS_PER_S);
    assert_int_equal(schedule_token_ns(0, UINT32_MAX, 1), UINT32_MAX * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_agrees_with_array),
        cmocka_unit_test(comes_out_in_order),
        cmocka_unit_test(token_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

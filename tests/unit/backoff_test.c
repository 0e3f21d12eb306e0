#include "supervisor/backoff.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MIDDLE 0 /* a random number; the jitter of step n is checked over many */

static const struct backoff_rules rules = {
    .max_ns = 30 * NS_PER_S,
    .fault_budget = 5,
    .forgive_ns = 300 * NS_PER_S,
    .open_ns = 60 * NS_PER_S,
};
static const struct backoff_rules router_rules = {.max_ns = NS_PER_S};

static struct backoff_plan fault(struct backoff *b, uint64_t now_ns, uint64_t random)
{
    return backoff_after(b, &rules, EXIT_CLASS_FAULT, false, true, now_ns, random);
}

static struct backoff_plan temporary(struct backoff *b, uint64_t random)
{
    return backoff_after(b, &rules, EXIT_CLASS_TEMPORARY, false, true, NS_PER_S, random);
}

static void waits_double_up_to_the_limit(void **state)
{
    (void)state;
    static const uint64_t expected_ms[] = {0,    250,   500,   1000,  2000, 4000,
                                           8000, 16000, 30000, 30000, 30000};
    for (uint64_t random = 0; random < 1000; random++) {
        struct backoff b = {0};
        for (size_t i = 0; i < sizeof expected_ms / sizeof expected_ms[0]; i++) {
            uint64_t ns = temporary(&b, random * 0x9e3779b97f4a7c15ull).delay_ns;
            uint64_t middle = expected_ms[i] * NS_PER_MS;
            assert_true(ns >= middle - middle / 5);
            assert_true(ns <= middle + middle / 5);
            assert_true(ns <= rules.max_ns);
        }
    }
}

static void jitter_fills_its_range(void **state)
{
    (void)state;
    uint64_t least = UINT64_MAX, most = 0;

    for (uint64_t i = 0; i < 1000; i++) {
        struct backoff b = {.step = 1};
        uint64_t ns = temporary(&b, i * 0x9e3779b97f4a7c15ull).delay_ns;
        least = ns < least ? ns : least;
        most = ns > most ? ns : most;
    }
    assert_in_range(least, 200 * NS_PER_MS, 202 * NS_PER_MS);
    assert_in_range(most, 298 * NS_PER_MS, 300 * NS_PER_MS);
}

static void many_deaths_do_not_overflow(void **state)
{
    (void)state;
    struct backoff b = {.step = UINT32_MAX - 1};

    for (int i = 0; i < 3; i++)
        assert_in_range(temporary(&b, MIDDLE).delay_ns, 24 * NS_PER_S, 30 * NS_PER_S);
}

static void settling_starts_over(void **state)
{
    (void)state;
    struct backoff b = {0};

    for (int i = 0; i < 6; i++)
        temporary(&b, MIDDLE);
    backoff_settle(&b);
    assert_int_equal(temporary(&b, MIDDLE).delay_ns, 0);
}

static void asked_for_is_not_a_death(void **state)
{
    (void)state;
    struct backoff b = {.step = 7, .faults = 4, .forgive_at_ns = UINT64_MAX};
    struct backoff_plan p =
        backoff_after(&b, &rules, EXIT_CLASS_CLEAN, true, true, NS_PER_S, MIDDLE);

    assert_int_equal(p.state, CHILD_BACKOFF);
    assert_int_equal(p.delay_ns, 0);
    assert_int_equal(b.step, 7);
    assert_int_equal(b.faults, 4);
}

static void permanent_fails_but_not_the_router(void **state)
{
    (void)state;
    struct backoff b = {0};
    struct backoff_plan p =
        backoff_after(&b, &rules, EXIT_CLASS_PERMANENT, false, false, NS_PER_S, MIDDLE);

    assert_int_equal(p.state, CHILD_FAILED);
    p = backoff_after(&b, &router_rules, EXIT_CLASS_PERMANENT, false, false, NS_PER_S, MIDDLE);
    assert_int_equal(p.state, CHILD_BACKOFF);
}

static void the_fifth_fault_opens(void **state)
{
    (void)state;
    static const enum exit_class classes[] = {EXIT_CLASS_FAULT, EXIT_CLASS_HUNG,
                                              EXIT_CLASS_VIOLATION, EXIT_CLASS_FAULT};
    struct backoff b = {0};

    for (int i = 0; i < 4; i++)
        assert_int_equal(backoff_after(&b, &rules, classes[i], false, true, NS_PER_S, MIDDLE).state,
                         CHILD_BACKOFF);
    assert_false(b.is_tripped);
    struct backoff_plan p = fault(&b, NS_PER_S, MIDDLE);
    assert_int_equal(p.state, CHILD_OPEN);
    assert_int_equal(p.delay_ns, rules.open_ns);
    assert_true(b.is_tripped);
}

static void one_fault_is_forgiven_per_period(void **state)
{
    (void)state;
    struct backoff b = {0};
    uint64_t now = NS_PER_S;

    /* A fault every period for ever never opens it. */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(fault(&b, now, MIDDLE).state, CHILD_BACKOFF);
        now += rules.forgive_ns;
    }
    backoff_forgive(&b, &rules, now);
    assert_int_equal(b.faults, 0);

    /* Four in one period: forgiven one by one. */
    for (int i = 0; i < 4; i++)
        fault(&b, now, MIDDLE);
    backoff_forgive(&b, &rules, now + rules.forgive_ns - 1);
    assert_int_equal(b.faults, 4);
    backoff_forgive(&b, &rules, now + rules.forgive_ns);
    assert_int_equal(b.faults, 3);
    backoff_forgive(&b, &rules, now + 2 * rules.forgive_ns);
    assert_int_equal(b.faults, 2);
    backoff_forgive(&b, &rules, now + 100 * rules.forgive_ns);
    assert_int_equal(b.faults, 0);
}

static struct backoff tripped(void)
{
    struct backoff b = {0};
    for (int i = 0; i < 5; i++)
        fault(&b, NS_PER_S, MIDDLE);
    assert_true(b.is_tripped);
    return b;
}

static void only_a_proof_closes(void **state)
{
    (void)state;
    struct backoff b = tripped();

    backoff_ready(&b);
    backoff_settle(&b);
    backoff_forgive(&b, &rules, UINT64_MAX / 2);
    assert_true(b.is_tripped);
    assert_int_equal(fault(&b, NS_PER_S, MIDDLE).state, CHILD_OPEN);
    backoff_prove(&b);
    assert_false(b.is_tripped);
    assert_int_equal(b.faults, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(fault(&b, NS_PER_S, MIDDLE).state, CHILD_BACKOFF);
    assert_int_equal(fault(&b, NS_PER_S, MIDDLE).state, CHILD_OPEN);
}

static void a_canary_that_was_killed_tries_again(void **state)
{
    (void)state;
    struct backoff b = tripped();
    struct backoff_plan p =
        backoff_after(&b, &rules, EXIT_CLASS_KILLED, false, true, NS_PER_S, MIDDLE);

    assert_int_equal(p.state, CHILD_BACKOFF);
    assert_true(b.is_tripped);
}

static void kills_of_a_ready_child_cost_nothing(void **state)
{
    (void)state;
    struct backoff b = {0};

    for (int i = 0; i < 10000; i++) {
        struct backoff_plan p =
            backoff_after(&b, &rules, EXIT_CLASS_KILLED, false, true, NS_PER_S, MIDDLE);
        assert_int_equal(p.state, CHILD_BACKOFF);
        assert_int_equal(p.delay_ns, 0);
    }
    assert_int_equal(b.faults, 0);
    assert_int_equal(b.step, 0);
}

static void kills_before_ready_wait_in_their_own_row(void **state)
{
    (void)state;
    struct backoff b = {0};
    static const uint64_t least_ms[] = {0, 200, 400, 800};

    for (int i = 0; i < 4; i++)
        assert_int_equal(
            backoff_after(&b, &rules, EXIT_CLASS_KILLED, false, false, NS_PER_S, MIDDLE).delay_ns,
            least_ms[i] * NS_PER_MS);
    assert_int_equal(b.faults, 0);
    assert_int_equal(b.step, 0);
    backoff_ready(&b);
    assert_int_equal(
        backoff_after(&b, &rules, EXIT_CLASS_KILLED, false, false, NS_PER_S, MIDDLE).delay_ns, 0);
}

static void the_router_has_no_circuit(void **state)
{
    (void)state;
    struct backoff b = {0};

    for (int i = 0; i < 100; i++) {
        struct backoff_plan p =
            backoff_after(&b, &router_rules, EXIT_CLASS_FAULT, false, true, NS_PER_S, MIDDLE);
        assert_int_equal(p.state, CHILD_BACKOFF);
        assert_true(p.delay_ns <= NS_PER_S);
    }
    assert_false(b.is_tripped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_limit),
        cmocka_unit_test(jitter_fills_its_range),
        cmocka_unit_test(many_deaths_do_not_overflow),
        cmocka_unit_test(settling_starts_over),
        cmocka_unit_test(asked_for_is_not_a_death),
        cmocka_unit_test(permanent_fails_but_not_the_router),
        cmocka_unit_test(the_fifth_fault_opens),
        cmocka_unit_test(one_fault_is_forgiven_per_period),
        cmocka_unit_test(only_a_proof_closes),
        cmocka_unit_test(a_canary_that_was_killed_tries_again),
        cmocka_unit_test(kills_of_a_ready_child_cost_nothing),
        cmocka_unit_test(kills_before_ready_wait_in_their_own_row),
        cmocka_unit_test(the_router_has_no_circuit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

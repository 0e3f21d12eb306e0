#include "router/deadline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static int fired[8], n_fired;

static void note(void *owner, uint64_t now_ns)
{
    (void)now_ns;
    fired[n_fired++] = *(int *)owner;
}

static struct deadline_queue queue;
static struct deadline d[4];
static int names[4] = {0, 1, 2, 3};

static int setup(void **state)
{
    (void)state;
    n_fired = 0;
    for (int i = 0; i < 4; i++)
        d[i] = (struct deadline){0};
    deadline_queue_init(&queue, 100, note);
    return 0;
}

static void test_due_ones_fire_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        deadline_arm(&queue, &d[i], &names[i], (uint64_t)i * 10 + 1);
    deadline_queue_run(&queue, 100);
    assert_int_equal(n_fired, 0);
    deadline_queue_run(&queue, 111);
    assert_int_equal(n_fired, 2);
    assert_int_equal(fired[0], 0);
    assert_int_equal(fired[1], 1);
    assert_false(deadline_is_armed(&d[0]));
    assert_true(deadline_is_armed(&d[2]));
}

static void test_arming_again_moves(void **state)
{
    (void)state;
    deadline_arm(&queue, &d[0], &names[0], 1);
    deadline_arm(&queue, &d[1], &names[1], 2);
    deadline_arm(&queue, &d[0], &names[0], 50);
    deadline_queue_run(&queue, 102);
    assert_int_equal(n_fired, 1);
    assert_int_equal(fired[0], 1);
    deadline_queue_run(&queue, 150);
    assert_int_equal(fired[1], 0);
}

static void test_disarmed_stays_silent(void **state)
{
    (void)state;
    deadline_arm(&queue, &d[0], &names[0], 1);
    deadline_disarm(&queue, &d[0]);
    deadline_disarm(&queue, &d[0]);
    deadline_queue_run(&queue, 1000);
    assert_int_equal(n_fired, 0);
}

static void test_shorter_interval_keeps_order(void **state)
{
    (void)state;
    deadline_arm(&queue, &d[0], &names[0], 1); /* due 101 */
    queue.interval_ns = 10;
    deadline_arm(&queue, &d[1], &names[1], 2); /* due 12: overtakes */
    deadline_queue_run(&queue, 12);
    assert_int_equal(n_fired, 1);
    assert_int_equal(fired[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_due_ones_fire_in_order, setup),
        cmocka_unit_test_setup(test_arming_again_moves, setup),
        cmocka_unit_test_setup(test_disarmed_stays_silent, setup),
        cmocka_unit_test_setup(test_shorter_interval_keeps_order, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

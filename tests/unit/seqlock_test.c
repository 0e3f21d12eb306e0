/* Sequence-locked records: whole, or not at all. tests/torture/seqlock_torture.c kills writers. */
#include "shm/layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct process_slot slot;

static int clear_slot(void **state)
{
    (void)state;
    memset(&slot, 0, sizeof slot);
    return 0;
}

static void test_publish_and_copy(void **state)
{
    struct process_record in = {
        .kind = PROCESS_WORKER, .pid = 42, .epoch = UINT64_MAX, .name = "m#0", .reason = "exit 3"};
    struct process_record out;

    (void)state;
    assert_int_equal(seqlock_copy(&slot, &out), 0);
    assert_int_equal(out.pid, 0);
    for (uint32_t i = 0; i < 100; i++) {
        in.spawns = i;
        seqlock_publish(&slot, &in);
        assert_int_equal(atomic_load(&slot.seq), 2 * (i + 1));
        assert_int_equal(seqlock_copy(&slot, &out), 0);
        assert_memory_equal(&in, &out, sizeof in);
    }
}

static void test_sequence_wraps(void **state)
{
    struct process_record in = {.pid = 7}, out;

    (void)state;
    atomic_store(&slot.seq, UINT32_MAX - 1);
    seqlock_publish(&slot, &in);
    assert_int_equal(atomic_load(&slot.seq), 0);
    assert_int_equal(seqlock_copy(&slot, &out), 0);
    assert_int_equal(out.pid, 7);
}

/* A writer died half way: no copy; its successor's next record is whole again. */
static void test_dead_writer_and_successor(void **state)
{
    struct process_record first = {.pid = 1, .epoch = 1}, second = {.pid = 2, .epoch = 2}, out;

    (void)state;
    seqlock_publish(&slot, &first);
    atomic_fetch_or(&slot.seq, 1);
    atomic_store(&slot.word[1], 0xdeadull);
    assert_int_equal(seqlock_copy(&slot, &out), -EAGAIN);
    seqlock_publish(&slot, &second);
    assert_int_equal(atomic_load(&slot.seq) % 2, 0);
    assert_int_equal(seqlock_copy(&slot, &out), 0);
    assert_memory_equal(&second, &out, sizeof out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_publish_and_copy, clear_slot),
        cmocka_unit_test_setup(test_sequence_wraps, clear_slot),
        cmocka_unit_test_setup(test_dead_writer_and_successor, clear_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

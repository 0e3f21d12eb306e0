#include "supervisor/death.h"

#include "base/clock.h"
#include "base/err.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define EXITED(code) ((code) << 8)
#define DUMPED       0x80

static void classes(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool was_asked;
        enum exit_class killed_as, expected;
    } rows[] = {
        {EXITED(0), false, EXIT_CLASS_NONE, EXIT_CLASS_CLEAN},
        {EXITED(EXIT_PERMANENT), false, EXIT_CLASS_NONE, EXIT_CLASS_PERMANENT},
        {EXITED(EXIT_TEMPORARY), false, EXIT_CLASS_NONE, EXIT_CLASS_TEMPORARY},
        {EXITED(EXIT_FAULT), false, EXIT_CLASS_NONE, EXIT_CLASS_FAULT},
        {EXITED(1), false, EXIT_CLASS_NONE, EXIT_CLASS_FAULT},
        {EXITED(255), false, EXIT_CLASS_NONE, EXIT_CLASS_FAULT},
        {SIGSEGV, false, EXIT_CLASS_NONE, EXIT_CLASS_FAULT},
        {SIGABRT | DUMPED, false, EXIT_CLASS_NONE, EXIT_CLASS_FAULT},
        {SIGBUS, false, EXIT_CLASS_NONE, EXIT_CLASS_FAULT},
        {SIGKILL, false, EXIT_CLASS_NONE, EXIT_CLASS_KILLED},
        {SIGTERM, false, EXIT_CLASS_NONE, EXIT_CLASS_KILLED},
        {SIGKILL, false, EXIT_CLASS_HUNG, EXIT_CLASS_HUNG},
        {SIGKILL, false, EXIT_CLASS_VIOLATION, EXIT_CLASS_VIOLATION},
        {SIGSEGV, false, EXIT_CLASS_VIOLATION, EXIT_CLASS_VIOLATION},
        {SIGKILL, true, EXIT_CLASS_NONE, EXIT_CLASS_CLEAN},
        {SIGTERM, true, EXIT_CLASS_NONE, EXIT_CLASS_CLEAN},
        {EXITED(100), true, EXIT_CLASS_NONE, EXIT_CLASS_CLEAN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(death_classify(rows[i].status, rows[i].was_asked, rows[i].killed_as),
                         rows[i].expected);
}

static void how(void **state)
{
    (void)state;
    char buf[64];

    assert_string_equal(death_how(EXITED(70), buf, sizeof buf), "exit code 70");
    assert_string_equal(death_how(SIGSEGV, buf, sizeof buf), "killed by SIGSEGV");
    assert_string_equal(death_how(SIGSEGV | DUMPED, buf, sizeof buf),
                        "killed by SIGSEGV (core dumped)");
    assert_string_equal(death_how(SIGRTMIN + 3, buf, sizeof buf), "killed by signal 37");
}

static const struct death killed = {
    .exit_class = EXIT_CLASS_KILLED,
    .status = SIGKILL,
    .pid = 42,
    .was_ready = true,
    .up_ns = 3210 * NS_PER_MS,
    .ready_ns = 3100 * NS_PER_MS,
};

static void lines(void **state)
{
    (void)state;
    char buf[512];
    struct death d = killed;

    death_describe(&d, 3, "", "", buf, sizeof buf);
    assert_string_equal(buf, "pid 42 (slot 3): killed by SIGKILL, class killed, after 3.210 s, "
                             "ready for 3.100 s");
    d.was_ready = false;
    death_describe(&d, -1, "why", "CHECK(x)", buf, sizeof buf);
    assert_string_equal(buf, "pid 42: killed by SIGKILL, class killed, after 3.210 s, never ready; "
                             "why; CHECK(x)");
}

static void what_a_child_said_is_bounded_and_printable(void **state)
{
    (void)state;
    char buf[100], words[4000];

    memset(words, '\n', sizeof words);
    words[sizeof words - 1] = '\0';
    for (size_t size = 1; size <= sizeof buf; size++) {
        memset(buf, 'x', sizeof buf);
        death_describe(&killed, 0, words, words, buf, size);
        assert_true(strlen(buf) < size);
        assert_null(strchr(buf, '\n'));
        for (size_t i = size; i < sizeof buf; i++)
            assert_int_equal(buf[i], 'x');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),
        cmocka_unit_test(how),
        cmocka_unit_test(lines),
        cmocka_unit_test(what_a_child_said_is_bounded_and_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

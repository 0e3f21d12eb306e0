#include "worker/heritage.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ARGS_MAX 9

static const struct {
    char *argv[ARGS_MAX];
    const char *says; /* NULL = good */
} cases[] = {
    {{"w", "--slot", "3", "--model", "1", "--epoch", "99", "--simulate"}, NULL},
    {{"w", "--simulate", "--epoch", "99", "--model", "1", "--slot", "3"}, NULL},
    {{"w"}, "usage"},
    {{"w", "--slot", "3", "--model", "1"}, "usage"},
    {{"w", "--slot"}, "--slot : expected a number"},
    {{"w", "--slot", "64"}, "at most 63"},
    {{"w", "--slot", "-1"}, "expected a number"},
    {{"w", "--slot", "3x"}, "expected a number"},
    {{"w", "--model", "64"}, "at most 63"},
    {{"w", "--epoch", "18446744073709551615"}, "expected a number"},
    {{"w", "--epoch", "99999999999999999999"}, "expected a number"},
    {{"w", "--help"}, "argument --help: not known"},
};

static void arguments(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct worker_args args;
        struct err e = {0};
        char *argv[ARGS_MAX];
        int argc = 0;
        memcpy(argv, cases[i].argv, sizeof argv);
        while (argv[argc] != NULL)
            argc++;
        int rc = worker_args_parse(&args, argc, argv, &e);
        if (cases[i].says == NULL) {
            assert_int_equal(rc, 0);
            assert_int_equal(args.slot, 3);
            assert_int_equal(args.model, 1);
            assert_int_equal(args.epoch, 99);
            assert_true(args.is_simulated);
        } else {
            assert_int_equal(rc, -EINVAL);
            if (strstr(e.text, cases[i].says) == NULL)
                fail_msg("says \"%s\", expected \"%s\"", e.text, cases[i].says);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

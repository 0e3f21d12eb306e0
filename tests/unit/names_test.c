#include "base/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void distances(void **state)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"listen", "listen", 0},
        {"lisen", "listen", 1},
        {"listne", "listen", 1},
        {"Listen", "lISTEN", 0},
        {"kitten", "sitting", 3},
        {"ca", "abc", 3}, /* 2 if a transposed pair could be split */
        {"abcd", "badc", 2},
        {"a", "b", 1},
        {"flaw", "lawn", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(names_distance(rows[i].a, rows[i].b), rows[i].distance);
        assert_int_equal(names_distance(rows[i].b, rows[i].a), rows[i].distance);
    }
}

static void long_names_are_measured_or_wholly_different(void **state)
{
    char a[300], b[300];

    (void)state;
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    a[255] = b[254] = '\0';
    assert_int_equal(names_distance(a, b), 1);
    a[255] = 'x';
    a[256] = '\0';
    assert_int_equal(names_distance(a, b), 256);
    assert_int_equal(names_distance(a, a), 0);
    const char *one = b;
    assert_null(names_nearest(a, &one, 1));
}

static void nearest_name_within_a_third(void **state)
{
    static const char *const known[] = {"listen", "metrics_listen", "hosts", "tls_cert", "tls_key"};
    const size_t n = sizeof known / sizeof known[0];

    (void)state;
    assert_string_equal(names_nearest("lisen", known, n), "listen");
    assert_string_equal(names_nearest("LISTEN", known, n), "listen");
    assert_string_equal(names_nearest("tls_kye", known, n), "tls_key");
    assert_string_equal(names_nearest("tls_crt", known, n), "tls_cert");
    assert_string_equal(names_nearest("host", known, n), "hosts");
    assert_string_equal(names_nearest("metric_listn", known, n), "metrics_listen");
    assert_null(names_nearest("workers", known, n));
    assert_null(names_nearest("", known, n));
    assert_null(names_nearest("listen", known, 0));
    assert_string_equal(names_nearest("lixxen", known, n), "listen"); /* 2 of 6 */
    assert_null(names_nearest("lxxxen", known, n));                   /* 3 of 6 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(long_names_are_measured_or_wholly_different),
        cmocka_unit_test(nearest_name_within_a_third),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The counter tables cover their structs, and histograms put times where they belong. */
#include "shm/counters.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const struct counter_desc *descs;
    size_t size;
} counter_tables[] = {
    {supervisor_counter_descs, sizeof(struct supervisor_counters)},
    {router_counter_descs, sizeof(struct router_counters)},
    {model_counter_descs, sizeof(struct model_counters)},
    {worker_counter_descs, sizeof(struct worker_counters)},
};
static const struct {
    const struct histogram_desc *descs;
    size_t size;
} histogram_tables[] = {
    {model_histogram_descs, sizeof(struct model_histograms)},
    {router_histogram_descs, sizeof(struct router_histograms)},
};
#define LENGTH(a) (sizeof(a) / sizeof(a)[0])

static void assert_name(const char *name, const char *help)
{
    assert_true(islower((unsigned char)name[0]));
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
    assert_true(strlen(help) > 0);
    assert_true(strlen(name) < 28); /* shm_field_desc.name */
}

static void test_tables_cover_structs(void **state)
{
    const char *names[256];
    size_t n_names = 0;

    (void)state;
    for (size_t t = 0; t < LENGTH(counter_tables); t++) {
        const struct counter_desc *d = counter_tables[t].descs;
        size_t n = 0;
        for (; d[n].name != NULL; n++) {
            assert_int_equal(d[n].offset, n * sizeof(uint64_t));
            assert_name(d[n].name, d[n].help);
            names[n_names++] = d[n].name;
        }
        assert_int_equal(n * sizeof(uint64_t), counter_tables[t].size);
    }
    for (size_t t = 0; t < LENGTH(histogram_tables); t++) {
        const struct histogram_desc *d = histogram_tables[t].descs;
        size_t n = 0;
        for (; d[n].name != NULL; n++) {
            assert_int_equal(d[n].offset, n * sizeof(struct histogram));
            assert_name(d[n].name, d[n].help);
            assert_non_null(strstr(d[n].name, "_seconds"));
            names[n_names++] = d[n].name;
        }
        assert_int_equal(n * sizeof(struct histogram), histogram_tables[t].size);
    }
    for (size_t i = 0; i < n_names; i++) /* one name space for Prometheus */
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
}

static void test_arithmetic(void **state)
{
    _Atomic uint64_t c = 0;

    (void)state;
    counter_add(&c, 5);
    counter_add(&c, 1);
    counter_sub(&c, 2);
    assert_int_equal(counter_get(&c), 4);
    counter_set(&c, UINT64_MAX);
    counter_add(&c, 2);
    assert_int_equal(counter_get(&c), 1);
}

static void test_buckets(void **state)
{
    struct histogram h = {0};
    uint64_t sum = 0;

    (void)state;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t bound = histogram_bounds_ns[i];
        if (i > 0)
            assert_true(bound > histogram_bounds_ns[i - 1]);
        histogram_add(&h, bound);     /* a bound belongs to its own bucket */
        histogram_add(&h, bound + 1); /* and one more to the next */
        sum += 2 * bound + 1;
    }
    histogram_add(&h, 0);
    histogram_add(&h, UINT64_MAX / 4);
    sum += UINT64_MAX / 4;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        assert_int_equal(counter_get(&h.bucket[i]), 2);
    assert_int_equal(counter_get(&h.sum_ns), sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_cover_structs),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The memory plan: what it grants fits, and what it refuses says by how much. */
#include "worker/engine/memory.h"

#include "worker/io/root.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static struct model_config hybrid, dense;

static void load(struct model_config *c, const char *folder)
{
    struct root root;
    struct err e = {0};
    char path[512];

    snprintf(path, sizeof path, "%s/%s", CHECKPOINTS, folder);
    assert_int_equal(root_open(&root, path, &e), 0);
    assert_int_equal(model_config_load(c, &root, &e), 0);
    root_close(&root);
}

static int load_both(void **state)
{
    (void)state;
    load(&hybrid, "qwen3_5_tied");
    load(&dense, "qwen3");
    return 0;
}

static struct config_model settings(int64_t memory_mb, int64_t seats, int64_t context)
{
    return (struct config_model){
        .memory_mb = memory_mb, .seats = seats, .limit_context = context, .batch_tokens = 64};
}

static int plan(struct memory_plan *p, const struct model_config *c, const struct config_model *s,
                uint64_t weights, struct err *e)
{
    struct memory_request r = {.config = c,
                               .settings = s,
                               .weights_bytes = weights,
                               .kv_type = KERN_BF16,
                               .workers = 1,
                               .threads = 2};

    return memory_plan_make(p, &r, e);
}

static uint64_t total(const struct memory_plan *p)
{
    return p->weights + p->activations + p->sampling + p->kv + p->states;
}

static void what_is_granted_fits(void **state)
{
    static const int64_t mb[] = {2, 3, 5, 16, 64, 1024}, seats[] = {1, 2, 16, 256};
    const struct model_config *models[] = {&hybrid, &dense};
    uint32_t n_granted = 0;

    (void)state;
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < sizeof mb / sizeof mb[0]; i++)
            for (size_t k = 0; k < sizeof seats / sizeof seats[0]; k++) {
                struct config_model s = settings(mb[i], seats[k], 200);
                struct memory_plan p;
                struct err e = {0};
                if (plan(&p, models[m], &s, 100000, &e) != 0) {
                    assert_int_equal(e.code, ENOMEM);
                    continue;
                }
                n_granted++;
                assert_true(total(&p) <= p.allowed);
                assert_int_equal(p.allowed, (uint64_t)mb[i] * MIB);
                assert_in_range(p.seats, 1, seats[k]);
                assert_int_equal(p.context, 200);
                /* one whole context at least, and no more than all seats can use */
                assert_in_range(p.shape.pages, 7, 7 * p.seats);
                assert_int_equal(p.shape.slots, m == 0 ? (int32_t)p.seats : 0);
                assert_true(p.shape.picks <= p.shape.rows && p.shape.spans <= p.shape.rows);
            }
    assert_true(n_granted > 20);
}

/* The prefix cache takes nothing from the seats that they would have without it. */
static void the_prefix_cache_has_its_share(void **state)
{
    static const int64_t mb[] = {3, 5, 16, 64, 256, 1024};
    const struct model_config *models[] = {&hybrid, &dense};
    uint32_t n_with_checkpoints = 0;

    (void)state;
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < sizeof mb / sizeof mb[0]; i++) {
            struct config_model s = settings(mb[i], 16, 200);
            struct memory_plan without, with;
            struct err e = {0};
            if (plan(&without, models[m], &s, 100000, &e) != 0)
                continue;
            s.prefix_cache_percent = 40;
            assert_int_equal(plan(&with, models[m], &s, 100000, &e), 0);
            assert_true(total(&with) <= with.allowed);
            assert_int_equal(with.seats, without.seats);
            assert_int_equal(without.checkpoints, 0);
            if (m == 0)
                assert_int_equal(with.shape.slots, with.seats + with.checkpoints);
            n_with_checkpoints += with.checkpoints > 0;
            assert_true((uint64_t)with.checkpoints * with.bytes.slot <= with.allowed / 10 * 4);
            assert_in_range(with.shape.pages, 7, 2 * 7 * with.seats);
            if (mb[i] == 1024)
                assert_int_equal(with.shape.pages, 2 * without.shape.pages);
        }
    assert_true(n_with_checkpoints > 2);
}

static void what_does_not_fit_is_refused_with_numbers(void **state)
{
    struct config_model s = settings(8, 4, 200);
    struct memory_plan p;
    struct err e = {0};

    (void)state;
    assert_int_equal(plan(&p, &hybrid, &s, 9 * MIB, &e), -ENOMEM);
    assert_non_null(strstr(e.text, "weights 9,"));
    assert_non_null(strstr(e.text, "but 8 MiB are allowed"));
    assert_non_null(strstr(e.text, "limit_context"));
}

static void the_context_is_the_models_at_most(void **state)
{
    struct config_model s = settings(4096, 1, 1 << 24);
    struct memory_plan p;
    struct err e = {0};

    (void)state;
    assert_int_equal(plan(&p, &dense, &s, 0, &e), 0);
    assert_int_equal(p.context, dense.max_positions);
}

static void workers_share_the_machine(void **state)
{
    struct config_model s = settings(0, 1, 64);
    struct memory_request r = {
        .config = &dense, .settings = &s, .kv_type = KERN_F32, .workers = 3, .threads = 1};
    struct memory_plan p;
    struct err e = {0};

    (void)state;
    assert_int_equal(memory_plan_make(&p, &r, &e), 0);
    assert_int_equal(p.allowed, memory_of_machine() / 4 * 3 / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_granted_fits),
        cmocka_unit_test(the_prefix_cache_has_its_share),
        cmocka_unit_test(what_does_not_fit_is_refused_with_numbers),
        cmocka_unit_test(the_context_is_the_models_at_most),
        cmocka_unit_test(workers_share_the_machine),
    };

    return cmocka_run_group_tests(tests, load_both, NULL);
}

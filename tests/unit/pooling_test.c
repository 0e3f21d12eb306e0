/* What sentence-transformers keeps beside a checkpoint, and what is refused of it. */
#include "worker/model/pooling.h"

#include "tests/unit/model_dir.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ST              "sentence_transformers.models."
#define MODULE(i, n, p) "{\"idx\":" i ",\"name\":\"" i "\",\"path\":\"" p "\",\"type\":\"" n "\"}"
#define TRANSFORMER     MODULE("0", ST "Transformer", "")
#define POOLING         MODULE("1", ST "Pooling", "1_Pooling")
#define NORMALIZE       MODULE("2", ST "Normalize", "2_Normalize")
#define PLAIN           "[" TRANSFORMER "," POOLING "]"
#define NORMALISED      "[" TRANSFORMER "," POOLING "," NORMALIZE "]"

struct files {
    const char *modules, *pooling, *bert; /* NULL: there is none */
};

static int load(const struct files *f, struct pooling *p, struct model_config *c, struct err *e)
{
    struct model_dir dir;
    struct root root;

    model_dir_make(&dir);
    CHECK(mkdir(model_dir_path(&dir, "1_Pooling"), 0700) == 0);
    if (f->modules != NULL)
        model_dir_write(&dir, "modules.json", f->modules, strlen(f->modules));
    if (f->pooling != NULL)
        model_dir_write(&dir, "1_Pooling/config.json", f->pooling, strlen(f->pooling));
    if (f->bert != NULL)
        model_dir_write(&dir, "sentence_bert_config.json", f->bert, strlen(f->bert));
    CHECK(root_open(&root, dir.path, e) == 0);
    *c = (struct model_config){.hidden_size = 48, .max_positions = 1000};
    int rc = pooling_load(p, c, &root, e);
    root_close(&root);
    model_dir_remove(&dir);
    return rc;
}

static void reads_the_layouts(void **state)
{
    static const struct {
        struct files files;
        struct pooling is;
        uint32_t max_positions;
    } rows[] = {
        {{NULL, "{}", NULL}, {POOLING_NONE, false}, 1000},
        {{NORMALISED,
          "{\"word_embedding_dimension\":48,\"pooling_mode_cls_token\":false,"
          "\"pooling_mode_mean_tokens\":false,\"pooling_mode_lasttoken\":true,"
          "\"include_prompt\":true}",
          NULL},
         {POOLING_LAST, true},
         1000},
        {{PLAIN, "{\"pooling_mode_mean_tokens\":true}",
          "{\"max_seq_length\":512,\"do_lower_case\":false}"},
         {POOLING_MEAN, false},
         512},
        {{PLAIN, "{\"embedding_dimension\":48,\"pooling_mode\":\"lasttoken\"}",
          "{\"max_seq_length\":32768,\"transformer_task\":\"feature-extraction\"}"},
         {POOLING_LAST, false},
         1000},
        {{NORMALISED, "{\"pooling_mode\":[\"mean\"]}", "{\"max_seq_length\":null}"},
         {POOLING_MEAN, true},
         1000},
        {{PLAIN, "{\"pooling_mode_mean_tokens\":false}", NULL}, {POOLING_MEAN, false}, 1000},
        {{"[" MODULE("0", "a.b.c.Transformer", "") "," MODULE("1", "Pooling", "1_Pooling") "]",
          "{}", NULL},
         {POOLING_MEAN, false},
         1000},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pooling p;
        struct model_config c;
        struct err e = {0};
        if (load(&rows[i].files, &p, &c, &e) != 0)
            fail_msg("%zu: %s", i, e.text);
        assert_int_equal(p.kind, rows[i].is.kind);
        assert_int_equal(p.is_normalised, rows[i].is.is_normalised);
        assert_int_equal(c.is_headless, p.kind != POOLING_NONE);
        assert_int_equal(c.max_positions, rows[i].max_positions);
    }
}

static void refuses_what_it_cannot_do(void **state)
{
    static const char last[] = "{\"pooling_mode\":\"lasttoken\"}";
    static const struct {
        struct files files;
        int rc;
        const char *says;
    } rows[] = {
        {{"{", last, NULL}, -EINVAL, "modules.json: "},
        {{"{}", last, NULL}, -ENOTSUP, "found 0 modules"},
        {{"[]", last, NULL}, -ENOTSUP, "found 0 modules"},
        {{"[" TRANSFORMER "]", last, NULL}, -ENOTSUP, "found 1 modules"},
        {{"[1,2]", last, NULL}, -ENOTSUP, "module 0: found none, expected Transformer"},
        {{"[" MODULE("0", ST "CLIPModel", "") "," POOLING "]", last, NULL},
         -ENOTSUP,
         "module 0: found CLIPModel, expected Transformer"},
        {{"[" MODULE("0", ST "Transformer", "0_Transformer") "," POOLING "]", last, NULL},
         -ENOTSUP,
         "found it in 0_Transformer"},
        {{"[" TRANSFORMER "," POOLING "," MODULE("2", ST "Dense", "2_Dense") "]", last, NULL},
         -ENOTSUP,
         "module 2: found Dense, expected Normalize"},
        {{"[" TRANSFORMER "," MODULE("1", ST "Pooling", "") "]", last, NULL}, -EINVAL, "a folder"},
        {{"[" TRANSFORMER "," MODULE("1", ST "Pooling", "../up") "]", last, NULL},
         -EXDEV,
         "leads out of the model's directory"},
        {{PLAIN, NULL, NULL}, -ENOENT, "1_Pooling/config.json"},
        {{PLAIN, "[]", NULL}, -EINVAL, "1_Pooling/config.json: pooling: found array"},
        {{PLAIN, "{\"word_embedding_dimension\":64}", NULL}, -EINVAL, "found vectors of 64"},
        {{PLAIN, "{\"pooling_mode\":\"max\"}", NULL}, -ENOTSUP, "found pooling by max"},
        {{PLAIN, "{\"pooling_mode\":[\"mean\",\"max\"]}", NULL}, -ENOTSUP, "side by side"},
        {{PLAIN, "{\"pooling_mode\":3}", NULL}, -ENOTSUP, "side by side, or none"},
        {{PLAIN, "{\"pooling_mode_cls_token\":true}", NULL},
         -ENOTSUP,
         "found pooling by pooling_mode_cls_token"},
        {{PLAIN, "{\"pooling_mode_mean_tokens\":true,\"pooling_mode_lasttoken\":true}", NULL},
         -ENOTSUP,
         "found a second mode beside pooling_mode_mean_tokens"},
        {{PLAIN, "{\"pooling_mode_lasttoken\":1}", NULL}, -EINVAL, "expected true or false"},
        {{PLAIN, last, "{\"do_lower_case\":true}"}, -ENOTSUP, "do_lower_case: found true"},
        {{PLAIN, last, "{\"max_seq_length\":0}"}, -EINVAL, "max_seq_length"},
        {{PLAIN, last, "{\"transformer_task\":\"fill-mask\"}"}, -ENOTSUP, "found fill-mask"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pooling p;
        struct model_config c;
        struct err e = {0};
        assert_int_equal(load(&rows[i].files, &p, &c, &e), rows[i].rc);
        if (strstr(e.text, rows[i].says) == NULL)
            fail_msg("%zu: says \"%s\", expected \"%s\"", i, e.text, rows[i].says);
        assert_false(c.is_headless);
    }
}

static void pools(void **state)
{
    struct pooling last = {.kind = POOLING_LAST}, mean = {.kind = POOLING_MEAN};
    struct pooling normalised = {.kind = POOLING_MEAN, .is_normalised = true};
    double sum[3] = {0}, zero[3] = {0}, big[3] = {1e200, 0, 0};
    float out[3];
    (void)state;

    assert_int_equal(pooling_first(&last, 7), 6);
    assert_int_equal(pooling_first(&mean, 7), 0);
    pooling_add(sum, (float[]){1, 2, 3}, 3);
    pooling_add(sum, (float[]){5, 6, -9}, 3);
    assert_int_equal(pooling_finish(&mean, sum, 2, 3, out), 0);
    assert_true(out[0] == 3 && out[1] == 4 && out[2] == -3);
    assert_int_equal(pooling_finish(&normalised, sum, 2, 2, out), 0); /* cut, then normalised */
    assert_true(out[0] == 0.6f && out[1] == 0.8f);
    assert_int_equal(pooling_finish(&normalised, zero, 2, 3, out), 0);
    assert_true(out[0] == 0 && out[1] == 0 && out[2] == 0);
    assert_int_equal(pooling_finish(&mean, big, 1, 3, out), -ERANGE);
    sum[1] = NAN;
    assert_int_equal(pooling_finish(&mean, sum, 1, 3, out), -ERANGE);
    assert_int_equal(pooling_finish(&normalised, sum, 1, 3, out), -ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_layouts),
        cmocka_unit_test(refuses_what_it_cannot_do),
        cmocka_unit_test(pools),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

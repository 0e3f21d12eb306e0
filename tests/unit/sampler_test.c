/* A sampler that has seen the first k tokens again is the sampler after k tokens, for every k. */
#include "worker/engine/sampler.h"

#include "base/hash.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VOCAB 97
#define STEPS 60

static const struct generation defaults = {
    .temperature = 0.7, .top_p = 0.9, .min_p = 0.01, .repetition_penalty = 1, .top_k = 40};

static struct sampling set(const char *json, struct json_object **root)
{
    struct err e = {0};
    struct sampling s = {0};

    assert_int_equal(json_parse(json, strlen(json), root, &e), 0);
    for (struct json_iterator it = json_members(*root); json_next(&it);) {
#define X(name, type) \
    if (strcmp(it.key, #name) == 0) \
        s.name = (struct sampling_value){ \
            true, json_type_of(it.value) == JSON_NUMBER ? json_number(it.value) : 0, it.value};
        SAMPLING_FIELDS(X)
#undef X
    }
    return s;
}

static const struct sampler_choice any;

static void fill_logits(float *logits, uint32_t position)
{
    for (uint32_t i = 0; i < VOCAB; i++)
        logits[i] = (float)(hash_mix(position, i) % 1000) / 250;
}

static void run(struct sampler *s, uint32_t *tokens, uint32_t from, uint32_t to)
{
    float logits[VOCAB], copy[VOCAB], scratch[VOCAB];
    struct kern_candidate candidates[VOCAB];
    struct sampler_work work = {.logits = scratch, .candidates = candidates};

    for (uint32_t i = from; i < to; i++) {
        fill_logits(logits, i);
        memcpy(copy, logits, sizeof copy);
        assert_int_equal(sampler_draw(s, i, logits, VOCAB, any, &work, &tokens[i]), 0);
        assert_memory_equal(copy, logits, sizeof copy);
        sampler_see(s, tokens[i], true);
    }
}

static void begin(struct sampler *s, const char *json)
{
    struct json_object *root;
    struct sampling p = set(json, &root);
    struct err e = {0};

    assert_int_equal(sampler_init(s, &p, &defaults, VOCAB, 42, &e), 0);
    json_free(&root);
    sampler_reserve(s, VOCAB, STEPS + 3);
    for (uint32_t i = 0; i < 3; i++)
        sampler_see(s, i, false);
}

static void replay_is_the_state(void **state)
{
    static const char *const settings[] = {
        "{}",
        "{\"repetition_penalty\":1.3}",
        "{\"frequency_penalty\":0.5,\"presence_penalty\":0.2,\"temperature\":1.5,\"top_k\":-1}",
        "{\"logit_bias\":{\"5\":3,\"6\":-100},\"top_p\":0.5,\"presence_penalty\":-1}",
        "{\"temperature\":0,\"repetition_penalty\":1.1}",
    };
    uint32_t whole[STEPS], again[STEPS];

    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        struct sampler s;
        begin(&s, settings[i]);
        run(&s, whole, 0, STEPS);
        sampler_free(&s);
        for (uint32_t k = 0; k < STEPS; k += 7) {
            begin(&s, settings[i]);
            for (uint32_t n = 0; n < k; n++)
                sampler_see(&s, whole[n], true);
            run(&s, again, k, STEPS);
            assert_memory_equal(again + k, whole + k, (STEPS - k) * sizeof *whole);
            sampler_free(&s);
        }
    }
}

static void the_request_wins_over_the_model(void **state)
{
    struct sampler s;

    (void)state;
    begin(&s, "{}");
    assert_float_equal(s.kern.temperature, 0.7, 1e-6);
    assert_int_equal(s.kern.top_k, 40);
    assert_false(s.is_greedy);
    sampler_free(&s);
    begin(&s, "{\"temperature\":0}");
    assert_true(s.is_greedy);
    sampler_free(&s);
    begin(&s, "{\"top_k\":1}");
    assert_true(s.is_greedy);
    sampler_free(&s);
    begin(&s, "{\"top_p\":0}"); /* only the most likely one is left */
    assert_true(s.is_greedy);
    sampler_free(&s);
    begin(&s, "{\"top_k\":0,\"top_p\":1,\"min_p\":0}");
    assert_int_equal(s.kern.top_k, 0);
    sampler_free(&s);

    struct generation greedy = defaults;
    struct err e = {0};
    greedy.has_is_sampled = true;
    assert_int_equal(sampler_init(&s, &(struct sampling){0}, &greedy, VOCAB, 1, &e), 0);
    assert_true(s.is_greedy);
    sampler_free(&s);
}

static void refuses(const char *json, const char *part)
{
    struct json_object *root;
    struct sampling p = set(json, &root);
    struct sampler s;
    struct err e = {0};

    assert_int_equal(sampler_init(&s, &p, &defaults, VOCAB, 42, &e), -EINVAL);
    if (strstr(e.text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", e.text, part);
    json_free(&root);
}

static void bad_biases_are_named(void **state)
{
    (void)state;
    refuses("{\"logit_bias\":{\"97\":1}}", "\"97\", expected a token id below 97");
    refuses("{\"logit_bias\":{\"-1\":1}}", "\"-1\"");
    refuses("{\"logit_bias\":{\"x\":1}}", "\"x\"");
    refuses("{\"logit_bias\":{\"99999999999999999999\":1}}", "expected a token id");
    refuses("{\"logit_bias\":{\"5\":101}}", "token 5");
    refuses("{\"logit_bias\":{\"5\":true}}", "token 5");
}

static void no_number_is_an_error(void **state)
{
    struct sampler s;
    float logits[VOCAB], scratch[VOCAB];
    struct kern_candidate candidates[VOCAB];
    struct sampler_work work = {.logits = scratch, .candidates = candidates};
    uint32_t token;

    (void)state;
    for (uint32_t i = 0; i < VOCAB; i++)
        logits[i] = NAN;
    begin(&s, "{}");
    assert_int_equal(sampler_draw(&s, 0, logits, VOCAB, any, &work, &token), -ERANGE);
    sampler_free(&s);
}

static void what_is_banned_is_not_drawn(void **state)
{
    float logits[VOCAB], scratch[VOCAB];
    struct kern_candidate candidates[VOCAB];
    struct sampler_work work = {.logits = scratch, .candidates = candidates};
    uint32_t banned[VOCAB], token;

    (void)state;
    static const char *const settings[] = {"{\"temperature\":0}", "{\"temperature\":2}"};
    for (size_t i = 0; i < 2; i++) {
        struct sampler s;
        begin(&s, settings[i]);
        fill_logits(logits, 3);
        for (uint32_t n = 0; n < VOCAB; n++) { /* one after the other, until none is left */
            struct sampler_choice ban = {.banned = banned, .n_banned = n};
            assert_int_equal(sampler_draw(&s, 3, logits, VOCAB, ban, &work, &token), 0);
            for (uint32_t k = 0; k < n; k++)
                assert_int_not_equal(token, banned[k]);
            banned[n] = token;
        }
        struct sampler_choice all = {.banned = banned, .n_banned = VOCAB};
        assert_int_equal(sampler_draw(&s, 3, logits, VOCAB, all, &work, &token), -ERANGE);
        sampler_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_is_the_state),
        cmocka_unit_test(the_request_wins_over_the_model),
        cmocka_unit_test(bad_biases_are_named),
        cmocka_unit_test(no_number_is_an_error),
        cmocka_unit_test(what_is_banned_is_not_drawn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a hostile text may cost, in steps, never in time. */
#include "base/check.h"
#include "base/hash.h"
#include "tests/unit/tokenizer_fixture.h"
#include "worker/text/tokenizer_bpe.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static struct bpe read_model(const struct buf *json)
{
    struct json_object *root;
    struct bpe m;
    struct err e = {0};

    if (json_parse(json->data, json->len, &root, &e) != 0 || bpe_read(&m, root, &e) != 0)
        CHECK_UNREACHABLE(e.text);
    bpe_index_joins(&m);
    json_free(&root);
    return m;
}

/* A model that makes 2^k a's of one token, for k up to 10, and "ba", "baa". */
static void add_as(struct buf *json, int k)
{
    for (int i = 0; i < 1 << k; i++)
        buf_add_char(json, 'a');
}

static struct bpe make_model(void)
{
    struct buf json = {0};

    buf_add_str(&json, "{\"type\":\"BPE\",\"vocab\":{\"b\":0,\"ba\":1,\"baa\":2");
    for (int k = 0; k <= 10; k++) {
        buf_add_str(&json, ",\"");
        add_as(&json, k);
        buf_printf(&json, "\":%d", k + 3);
    }
    buf_add_str(&json, "},\"merges\":[[\"b\",\"a\"],[\"ba\",\"a\"]");
    for (int k = 0; k < 10; k++) {
        buf_add_str(&json, ",[\"");
        add_as(&json, k);
        buf_add_str(&json, "\",\"");
        add_as(&json, k);
        buf_add_str(&json, "\"]");
    }
    buf_add_str(&json, "]}");
    struct bpe m = read_model(&json);
    buf_free(&json);
    return m;
}

static uint64_t count_steps(const struct bpe *m, const char *word, size_t len,
                            struct token_ids *ids)
{
    struct bpe_work w;

    bpe_work_init(&w);
    assert_int_equal(bpe_encode(m, &w, word, len, false, ids, NULL), 0);
    uint64_t steps = w.steps;
    bpe_work_free(&w);
    return steps;
}

/* n log n: a heap of n entries moves each of n merges' entries by at most log n places. */
static void a_long_word_takes_n_log_n_steps(void **state)
{
    static const char *const words[] = {"a", "ab", "ba", "baa", "aaaaaaab"};
    struct bpe m = make_model();
    char *word = malloc(MIB);

    (void)state;
    assert_non_null(word);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t len = strlen(words[i]), most = i == 0 ? MIB : MIB / 16;
        for (size_t at = 0; at < most; at++)
            word[at] = words[i][at % len];
        for (size_t n = 1 << 10, log = 10; n <= most; n *= 4, log += 2) {
            struct token_ids ids = {0};
            m.has_joins = false;
            uint64_t steps = count_steps(&m, word, n, &ids);
            if (steps > 4 * n * log)
                fail_msg("%zu bytes of %s took %llu steps", n, words[i], (unsigned long long)steps);
            assert_true(ids.n > 0);
            token_ids_free(&ids);
        }
    }
    free(word);
    bpe_free(&m);
}

/* Forty random merges over four letters, and z, which nothing merges with. */
static struct bpe make_random_model(uint64_t seed)
{
    struct buf json = {0}, merges = {0};
    char tokens[45][8] = {"a", "b", "c", "d", "z"};
    size_t n = 5;

    for (uint64_t i = 0; n < 45; i++) {
        const char *left = tokens[hash_mix(seed, 2 * i) % n];
        const char *right = tokens[hash_mix(seed, 2 * i + 1) % n];
        size_t at = 0;
        if (*left == 'z' || *right == 'z' || strlen(left) + strlen(right) > 6)
            continue;
        char both[16];
        snprintf(both, sizeof both, "%s%s", left, right);
        memcpy(tokens[n], both, strlen(both) + 1);
        while (strcmp(tokens[at], tokens[n]) != 0)
            at++;
        if (at < n)
            continue;
        buf_printf(&merges, "%s[\"%s\",\"%s\"]", n > 5 ? "," : "", left, right);
        n++;
    }
    buf_add_str(&json, "{\"type\":\"BPE\",\"vocab\":{");
    for (size_t i = 0; i < n; i++)
        buf_printf(&json, "%s\"%s\":%zu", i > 0 ? "," : "", tokens[i], i);
    buf_printf(&json, "},\"merges\":[%s]}", buf_text(&merges));
    struct bpe m = read_model(&json);
    buf_free(&json);
    buf_free(&merges);
    return m;
}

/* The loop for short words, the heap for long ones, and words that are cut give the same: here a
 * word by itself, and as the beginning of one that is long enough. */
static void words_are_merged_alike_in_every_way(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct bpe m = make_random_model(seed);
        char word[128];
        struct token_ids alone = {0}, merged = {0}, cut = {0};
        size_t n = 1 + seed % 31;
        memset(word, 'z', sizeof word);
        for (size_t i = 0; i < n; i++)
            word[i] = "abcd"[hash_mix(~seed, i) % 4];
        count_steps(&m, word, n, &alone);
        assert_true(m.has_joins);
        count_steps(&m, word, n + 40, &cut);
        m.has_joins = false;
        count_steps(&m, word, n + 40, &merged);
        assert_int_equal(merged.n, alone.n + 40);
        assert_int_equal(cut.n, alone.n + 40);
        assert_memory_equal(merged.id, alone.id, alone.n * sizeof *alone.id);
        assert_memory_equal(cut.id, merged.id, merged.n * sizeof *merged.id);
        token_ids_free(&alone);
        token_ids_free(&merged);
        token_ids_free(&cut);
        bpe_free(&m);
    }
}

/* Much of one thing or another through whole tokenizers: it ends. */
static void much_of_anything_is_encoded(void **state)
{
    static const char *const names[] = {"gpt2",   "qwen2",   "gpt_oss",   "deepseek",
                                        "llama2", "mistral", "metaspace", "gemma"};
    static const char *const parts[] = {"a",
                                        " ",
                                        "\n",
                                        "1",
                                        "!",
                                        "a ",
                                        "e\xcc\x81",
                                        "<|im_",
                                        "\xff",
                                        "\xe4\xbd\xa0",
                                        "\xcc\x81\xcc\xa3",
                                        "\xf0\x9f\x98\x80 "};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tokenizer *t = fixture_tokenizer(names[i]);
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
            struct buf text = {0};
            while (text.len < (k == 0 ? MIB : MIB / 8))
                buf_add_str(&text, parts[k]);
            struct tokenizer_input in = {.text = text.data, .len = text.len};
            struct token_ids ids = fixture_encode(t, &in);
            assert_true(ids.n > 0 && ids.n <= 4 * text.len);
            token_ids_free(&ids);
            buf_free(&text);
        }
        tokenizer_free(&t);
    }
}

/* A pattern that looks at all that is left for each three digits: a square of the text, which ends
 * with an error instead. */
static void a_pattern_that_takes_a_square_ends(void **state)
{
    struct tokenizer *t = fixture_tokenizer("superbpe");
    struct token_ids ids = {0};
    struct err e = {0};
    char *text = malloc(MIB / 4);

    (void)state;
    assert_non_null(text);
    memset(text, '1', MIB / 4);
    struct tokenizer_input in = {.text = text, .len = MIB / 4};
    assert_int_equal(tokenizer_encode(t, &in, &ids, &e), -E2BIG);
    assert_int_equal(ids.n, 0);
    in.len = 3000;
    assert_int_equal(tokenizer_encode(t, &in, &ids, &e), 0);
    assert_true(ids.n > 0);
    token_ids_free(&ids);
    tokenizer_free(&t);
    free(text);
}

static void expect_growth_refused(const char *part, const char *step)
{
    struct buf json = {0};
    struct tokenizer *t;
    struct token_ids ids = {0};
    struct tokenizer_input in = {.text = "          ", .len = 10};
    struct err e = {0};

    buf_printf(&json, "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},%s[", part);
    for (int i = 0; i < 30; i++)
        buf_printf(&json, "%s%s", i > 0 ? "," : "", step);
    buf_add_str(&json, "]}}");
    assert_int_equal(tokenizer_new(json.data, json.len, &t, &e), 0);
    assert_int_equal(tokenizer_encode(t, &in, &ids, &e), -E2BIG);
    assert_non_null(strstr(e.text, "10 bytes of text have grown to"));
    tokenizer_free(&t);
    buf_free(&json);
}

/* Each step makes two bytes of one: thirty of them a thousand million. */
static void a_text_does_not_grow_without_end(void **state)
{
    (void)state;
    expect_growth_refused("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":",
                          "{\"type\":\"ByteLevel\"}");
    expect_growth_refused("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":",
                          "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
                          "\"content\":\"  \"}");
    expect_growth_refused("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":",
                          "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                          "\"trim_offsets\":false,\"use_regex\":false}");
}

static void a_text_has_a_largest_length(void **state)
{
    struct tokenizer *t = fixture_tokenizer("gpt2");
    struct tokenizer_input in = {.text = "a", .len = (size_t)TOKENIZER_TEXT_MAX + 1};
    struct token_ids ids = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(tokenizer_encode(t, &in, &ids, &e), -E2BIG);
    assert_string_equal(e.text, "the text has 67108865 bytes, expected at most 67108864");
    tokenizer_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_word_takes_n_log_n_steps),
        cmocka_unit_test(words_are_merged_alike_in_every_way),
        cmocka_unit_test(much_of_anything_is_encoded),
        cmocka_unit_test(a_pattern_that_takes_a_square_ends),
        cmocka_unit_test(a_text_does_not_grow_without_end),
        cmocka_unit_test(a_text_has_a_largest_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

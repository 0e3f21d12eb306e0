/* Files that are refused, and the sentences; truncation at every byte, every bit flipped. */
#include "base/check.h"
#include "tests/unit/tokenizer_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VOCAB \
    "\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4,\"<u>\":5,\" \":6},\"merges\":[\"a " \
    "b\",\"ab c\"]"
#define MODEL "\"model\":{\"type\":\"BPE\"," VOCAB "}"
#define TOKEN(id, content, more) \
    "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false," \
    "\"rstrip\":false,\"normalized\":false,\"special\":true" more "}"
#define NORMALIZED(id, content) \
    "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false," \
    "\"rstrip\":false,\"normalized\":true,\"special\":false}"
#define NORMALIZER(json)    "{" MODEL ",\"normalizer\":" json "}"
#define PRE_TOKENIZER(json) "{" MODEL ",\"pre_tokenizer\":" json "}"
#define DECODER(json)       "{" MODEL ",\"decoder\":" json "}"
#define POST(json)          "{" MODEL ",\"post_processor\":" json "}"
#define ADDED(json)         "{" MODEL ",\"added_tokens\":[" json "]}"

static void expect_sentence(const char *json, int code, const char *sentence)
{
    struct tokenizer *t;
    struct err e = {0};
    int rc = tokenizer_new(json, strlen(json), &t, &e);

    assert_null(t);
    if (rc != -code || strncmp(e.text, "tokenizer.json: ", 16) != 0 ||
        strcmp(e.text + 16, sentence) != 0)
        fail_msg("%s: found %d \"%s\", expected %d \"%s\"", json, rc, e.text, -code, sentence);
}

static void refusals_say_where(void **state)
{
    static const struct {
        const char *json, *sentence;
    } rows[] = {
        {"", "byte 0: found the end of the document, expected a value"},
        {"[]", "found array, expected an object"},
        {"{\"x\":1}",
         "found the member \"x\", expected among: version truncation padding added_tokens "
         "normalizer pre_tokenizer post_processor decoder model"},
        {"{\"\":1}",
         "found the member \"\", expected among: version truncation padding added_tokens "
         "normalizer pre_tokenizer post_processor decoder model"},
        {"{\"version\":\"2.0\"}", "version: found \"2.0\", expected 1.0"},
        {"{}", "model: found null, expected an object"},
        {"{\"model\":{\"type\":\"Unigram\"}}",
         "model: type: found \"Unigram\", expected BPE, the only kind that is known here"},
        {"{\"model\":{\"vocab\":{}}}", "model: type: found null, expected a string"},
        {"{\"model\":{\"type\":\"BPE\",\"x\":0}}",
         "model: found the member \"x\", expected among: type dropout unk_token "
         "continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback ignore_merges vocab "
         "merges"},
        {"{\"model\":{\"type\":\"BPE\",\"dropout\":0.1," VOCAB "}}",
         "model: dropout: found a value, expected none: it makes ids random"},
        {"{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\"," VOCAB "}}",
         "model: end_of_word_suffix: found a value, expected none: it is not followed here"},
        {"{\"model\":{\"type\":\"BPE\",\"continuing_subword_prefix\":\"##\"," VOCAB "}}",
         "model: continuing_subword_prefix: found a value, expected none: it is not followed here"},
        {"{\"model\":{\"type\":\"BPE\",\"byte_fallback\":1," VOCAB "}}",
         "model: byte_fallback: found number, expected true or false"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}",
         "model: vocab: expected an object of texts and ids"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}",
         "model: vocab: \"a\": found no id, expected a whole number below 2097151"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2097151},\"merges\":[]}}",
         "model: vocab: \"a\": found no id, expected a whole number below 2097151"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]}}",
         "model: vocab: \"a\": found no id, expected a whole number below 2097151"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
         "model: vocab: \"b\": found id 0 a second time"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}",
         "byte 40: found a second key \"a\", expected every key of an object once"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}",
         "model: merges: expected an array of at most 4194303"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}",
         "model: merges[0]: found \"ab\", which the vocabulary does not have"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}",
         "model: merges[0]: found no two texts with one space between them"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b c\"]}}",
         "model: merges[0]: found no two texts with one space between them"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}",
         "model: merges[0]: found array, expected two texts, as all before it"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[[\"a\","
         "\"b\"],\"a b\"]}}",
         "model: merges[1]: found string, expected two texts, as all before it"},
        {NORMALIZER("1"), "normalizer: found number, expected an object"},
        {NORMALIZER("{\"type\":\"Precompiled\"}"),
         "normalizer: type: found \"Precompiled\", expected one of: NFC, NFD, NFKC, NFKD, "
         "Lowercase, Strip, StripAccents, Nmt, Prepend, Replace, ByteLevel, Sequence"},
        {NORMALIZER("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":"
                    "\"Strip\",\"strip_left\":true}]}"),
         "normalizer: Sequence: normalizers[1]: Strip: strip_right: found null, expected true or "
         "false"},
        {NORMALIZER("{\"type\":\"NFC\",\"x\":1}"),
         "normalizer: NFC: found the member \"x\", expected among: type"},
        {NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}"),
         "normalizer: Replace: pattern: String: found nothing, expected a text to look for"},
        {NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}"),
         "normalizer: Replace: pattern: byte 0: found a group without its end, expected a "
         "construct that is known here"},
        {NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\",\"String\":\"b\"},"
                    "\"content\":\"\"}"),
         "normalizer: Replace: pattern: found 2 members, expected String or Regex"},
        {PRE_TOKENIZER("{\"type\":\"UnicodeScripts\"}"),
         "pre_tokenizer: type: found \"UnicodeScripts\", expected one of: ByteLevel, Split, "
         "Digits, Punctuation, Metaspace, Whitespace, WhitespaceSplit, FixedLength, Sequence"},
        {PRE_TOKENIZER("{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Gone\","
                       "\"invert\":false}"),
         "pre_tokenizer: Split: behavior: found \"Gone\", expected one of: Removed, Isolated, "
         "MergedWithPrevious, MergedWithNext, Contiguous"},
        {PRE_TOKENIZER("{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"),
         "pre_tokenizer: Metaspace: replacement: found 2 bytes, expected one character"},
        {PRE_TOKENIZER("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}"),
         "pre_tokenizer: Metaspace: add_prefix_space: found false, expected prepend_scheme never"},
        {PRE_TOKENIZER("{\"type\":\"FixedLength\",\"length\":0}"),
         "pre_tokenizer: FixedLength: length: found 0, expected 1 or more"},
        {DECODER("{\"type\":\"WordPiece\"}"),
         "decoder: type: found \"WordPiece\", expected one of: ByteLevel, Replace, ByteFallback, "
         "Fuse, Strip, Metaspace, Sequence"},
        {DECODER("{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Strip\","
                 "\"content\":\" \",\"start\":0,\"stop\":1}]}"),
         "decoder: Sequence: decoders[1]: Strip: stop: found 1 behind Fuse, expected 0"},
        {DECODER("{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"
                 "\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"\"}]}"),
         "decoder: Sequence: decoders[1]: Replace: found it behind ByteFallback, where it cannot "
         "be followed token by token"},
        {POST("{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],"
              "\"special_tokens\":{}}"),
         "post_processor: TemplateProcessing: single[0]: found \"x\", which special_tokens does "
         "not have"},
        {POST("{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}"),
         "post_processor: TemplateProcessing: single[0]: Sequence: found another one than A, once, "
         "expected only that"},
        {POST("{\"type\":\"TemplateProcessing\",\"single\":[]}"),
         "post_processor: TemplateProcessing: single: found no Sequence A, expected one"},
        {POST("{\"type\":\"BertProcessing\",\"cls\":[\"a\",7],\"sep\":[\"b\",1]}"),
         "post_processor: BertProcessing: cls: found no id of a token, expected one below 7"},
        {ADDED(TOKEN(8, "<x>", "")),
         "added_tokens: [0]: id: found 8, expected 7, the next behind those before it"},
        {ADDED(TOKEN(7, "ab", "")),
         "added_tokens: [0]: id: found 7, expected 3, which its content has in the vocabulary"},
        {ADDED(TOKEN(7, "<x>", "") "," TOKEN(8, "<x>", "")),
         "added_tokens: [1]: content: found a second time"},
        {ADDED(TOKEN(7, "<x>", ",\"x\":1")),
         "added_tokens: [0]: found the member \"x\", expected among: id content single_word lstrip "
         "rstrip normalized special"},
        {"{\"normalizer\":{\"type\":\"Lowercase\"}," MODEL
         ",\"added_tokens\":[" NORMALIZED(7, "X") "," NORMALIZED(8, "x") "]}",
         "added_tokens: found two tokens that are \"x\" after normalisation"},
        {"{\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}," MODEL
         ",\"added_tokens\":[" NORMALIZED(7, "  ") "]}",
         "added_tokens: [0]: content: found nothing after normalisation"},
        {ADDED("{\"id\":7,\"content\":\"x\"}"),
         "added_tokens: [0]: single_word: found null, expected true or false"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_sentence(rows[i].json, EINVAL, rows[i].sentence);
}

/* Every kind of part, small enough to be broken at every bit. */
static const char small[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
    "{\"id\":7,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":true,\"rstrip\":true,"
    "\"normalized\":true,\"special\":true}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":"
    "[{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[ x]+|y{1,2}\"},"
    "\"content\":\" \"}]},\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},"
    "\"behavior\":\"MergedWithNext\",\"invert\":false},\"post_processor\":{\"type\":"
    "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{"
    "\"id\":\"<s>\",\"ids\":[7],\"tokens\":[\"<s>\"]}}},\"decoder\":{\"type\":\"Strip\","
    "\"content\":\" \",\"start\":1,\"stop\":0},\"model\":{\"type\":\"BPE\",\"dropout\":null,"
    "\"unk_token\":\"<u>\",\"fuse_unk\":true,\"byte_fallback\":false," VOCAB "}}";

static void encode_something(const struct tokenizer *t)
{
    struct tokenizer_input in = {.text = "abc abx <s> yb\xff", .len = 15, .add_special = true};
    struct token_ids ids = {0};
    struct detokenizer d;
    struct buf out = {0};
    struct err e = {0};
    int rc = tokenizer_encode(t, &in, &ids, &e);

    assert_true(rc == 0 || rc == -EINVAL || rc == -E2BIG);
    detokenizer_init(&d, t, false);
    for (size_t i = 0; i < ids.n; i++) {
        assert_true(ids.id[i] < tokenizer_vocab(t));
        detokenizer_push(&d, ids.id[i], &out);
    }
    token_ids_free(&ids);
    buf_free(&out);
}

/* From memory of exactly that size, so that nothing is read behind it unseen. */
static int load(const char *json, size_t len, struct err *e)
{
    struct tokenizer *t;
    char *copy = malloc(len + 1);

    CHECK(copy != NULL);
    memcpy(copy + 1, json, len);
    int rc = tokenizer_new(copy + 1, len, &t, e);
    free(copy);
    assert_true((rc == 0) == (t != NULL));
    if (rc == 0)
        encode_something(t);
    tokenizer_free(&t);
    return rc;
}

static void a_file_that_ends_early_is_refused(void **state)
{
    const size_t len = sizeof small - 1;
    struct err e = {0};

    (void)state;
    if (load(small, len, &e) != 0)
        fail_msg("%s", e.text);
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(load(small, n, &e), -EINVAL);
        assert_non_null(strstr(e.text, "found the end of the document"));
    }
}

static void a_bit_that_flips_is_no_harm(void **state)
{
    char copy[sizeof small];
    size_t n_refused = 0;

    (void)state;
    memcpy(copy, small, sizeof small);
    for (size_t i = 0; i < 8 * (sizeof small - 1); i++) {
        struct err e = {0};
        copy[i / 8] ^= (char)(1 << i % 8);
        int rc = load(copy, sizeof small - 1, &e);
        copy[i / 8] ^= (char)(1 << i % 8);
        assert_true(rc == 0 || rc == -EINVAL || rc == -E2BIG);
        assert_int_equal(e.code, -rc);
        assert_true(rc == 0 || strncmp(e.text, "tokenizer.json: ", 16) == 0);
        n_refused += rc != 0;
    }
    assert_true(n_refused > 4 * sizeof small);
}

static struct token_ids encode_with(const char *json, const char *text, int expected, struct err *e)
{
    struct tokenizer_input in = {.text = text, .len = strlen(text)};
    struct token_ids ids = {0};
    struct tokenizer *t;

    if (tokenizer_new(json, strlen(json), &t, e) != 0)
        fail_msg("%s", e->text);
    token_ids_add(&ids, 77);
    assert_int_equal(tokenizer_encode(t, &in, &ids, e), expected);
    tokenizer_free(&t);
    return ids;
}

/* What stands for unknown characters may be missing until it is needed, and a text that cannot be
 * encoded adds nothing. */
static void a_missing_unk_matters_when_it_is_needed(void **state)
{
    static const char json[] = "{\"model\":{\"unk_token\":\"<none>\"," VOCAB "}}";
    struct err e = {0};

    (void)state;
    struct token_ids ids = encode_with(json, "abc", 0, &e);
    assert_int_equal(ids.n, 2);
    assert_int_equal(ids.id[1], 4);
    token_ids_free(&ids);
    ids = encode_with(json, "abcx", -EINVAL, &e);
    assert_string_equal(e.text, "unk_token: found a character without a token, expected "
                                "\"<none>\" in the vocabulary");
    assert_int_equal(ids.n, 1);
    token_ids_free(&ids);
}

/* Merges as lines, with a version in front, and a model without its type: early files. */
static void early_files_are_read(void **state)
{
    static const char json[] =
        "{\"model\":{\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":\"\","
        "\"end_of_word_suffix\":\"\",\"fuse_unk\":false,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,"
        "\"ba\":3},\"merges\":[\"#version: 0.2\",\"b a\",\"a b\"]}}";
    struct err e = {0};

    (void)state;
    struct token_ids ids = encode_with(json, "abab", 0, &e);
    assert_int_equal(ids.n, 4);
    assert_int_equal(ids.id[1], 0);
    assert_int_equal(ids.id[2], 3);
    assert_int_equal(ids.id[3], 1);
    token_ids_free(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_say_where),
        cmocka_unit_test(a_file_that_ends_early_is_refused),
        cmocka_unit_test(a_bit_that_flips_is_no_harm),
        cmocka_unit_test(a_missing_unk_matters_when_it_is_needed),
        cmocka_unit_test(early_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

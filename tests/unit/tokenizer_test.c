/* Ids and text against what the `tokenizers` library gave, for every family and text; cuts; bytes
 * that are no text; several threads. */
#include "base/check.h"
#include "tests/unit/model_dir.h"
#include "tests/unit/tokenizer_fixture.h"
#include "worker/text/tokenizer_text.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define X(family) #family,
static const char *const families[] = {TOKENIZER_FAMILIES(X)};
#undef X
#define N_FAMILIES (sizeof families / sizeof families[0])

/* One family and what is known about it. */
struct family {
    const char *name;
    struct tokenizer *t;
    struct json_object *cases;
};

static struct json_object *shared; /* texts.json */
static struct family all[N_FAMILIES];

static int load(void **state)
{
    (void)state;
    shared = fixture_json("texts.json");
    for (size_t i = 0; i < N_FAMILIES; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.cases.json", families[i]);
        all[i] = (struct family){families[i], fixture_tokenizer(families[i]), fixture_json(name)};
    }
    return 0;
}

static int unload(void **state)
{
    (void)state;
    json_free(&shared);
    for (size_t i = 0; i < N_FAMILIES; i++) {
        tokenizer_free(&all[i].t);
        json_free(&all[i].cases);
    }
    return 0;
}

static const struct family *find_family(const char *name)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    CHECK_UNREACHABLE(name);
}

static const char *text_at(size_t i, size_t *len)
{
    return json_string(json_at(json_get(shared, "texts"), i), len);
}

/* --- comparing --- */

static bool is_same(const struct token_ids *ids, const struct json_object *expected)
{
    if (ids->n != json_length(expected))
        return false;
    for (size_t i = 0; i < ids->n; i++)
        if (ids->id[i] != (uint32_t)json_integer(json_at(expected, i)))
            return false;
    return true;
}

static void show_ids(struct buf *out, const struct token_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        buf_printf(out, " %u", ids->id[i]);
}

static void expect_ids(const struct family *f, const struct tokenizer_input *in,
                       const struct json_object *expected)
{
    struct token_ids ids = fixture_encode(f->t, in);

    if (!is_same(&ids, expected)) {
        struct buf message = {0};
        buf_printf(&message, "%s: ", f->name);
        buf_add_json_string(&message, in->text, in->len);
        buf_add_str(&message, ": found");
        show_ids(&message, &ids);
        buf_add_str(&message, ", expected ");
        json_write(expected, &message);
        fail_msg("%s", buf_text(&message));
    }
    token_ids_free(&ids);
}

/* All pieces as Rust's from_utf8_lossy shows them. */
static void show_clean(const struct buf *raw, struct buf *clean)
{
    struct text from = {.p = raw->len > 0 ? raw->data : "", .len = raw->len};
    struct text_writer to = {.out = clean, .from = &from};

    text_write_clean(&to);
    text_finish(&to);
}

static void decode(const struct tokenizer *t, const uint32_t *ids, size_t n, bool keeps_special,
                   struct buf *out)
{
    struct detokenizer d;

    detokenizer_init(&d, t, keeps_special);
    for (size_t i = 0; i < n; i++)
        detokenizer_push(&d, ids[i], out);
}

static void expect_text(const struct family *f, const struct token_ids *ids, bool keeps_special,
                        const char *expected, size_t len)
{
    struct buf raw = {0}, clean = {0};

    decode(f->t, ids->id, ids->n, keeps_special, &raw);
    show_clean(&raw, &clean);
    if (clean.len != len || memcmp(clean.data, expected, len) != 0) {
        struct buf message = {0};
        buf_printf(&message, "%s: keeps_special %d:", f->name, keeps_special);
        show_ids(&message, ids);
        buf_add_str(&message, ": found ");
        buf_add_json_string(&message, clean.data, clean.len);
        buf_add_str(&message, ", expected ");
        buf_add_json_string(&message, expected, len);
        fail_msg("%s", buf_text(&message));
    }
    buf_free(&raw);
    buf_free(&clean);
}

static struct token_ids ids_from(const struct json_object *array)
{
    struct token_ids ids = {0};

    for (size_t i = 0; i < json_length(array); i++)
        token_ids_add(&ids, (uint32_t)json_integer(json_at(array, i)));
    return ids;
}

/* --- texts --- */

static void ids_are_the_librarys(void **state)
{
    const size_t n = json_length(json_get(shared, "texts"));

    (void)state;
    assert_true(n > 500);
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const struct json_object *ids = json_get(all[i].cases, "ids");
        assert_int_equal(json_length(ids), n);
        for (size_t k = 0; k < n; k++) {
            struct tokenizer_input in = {.add_special = k % 8 == 0};
            in.text = text_at(k, &in.len);
            expect_ids(&all[i], &in, json_at(ids, k));
        }
    }
}

static void text_is_the_librarys(void **state)
{
    static const char *const kinds[] = {"drop", "keep"};

    (void)state;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const struct json_object *all_ids = json_get(all[i].cases, "ids");
        for (size_t k = 0; k < json_length(all_ids); k++) {
            struct token_ids ids = ids_from(json_at(all_ids, k));
            for (int keeps = 0; keeps < 2; keeps++) {
                const struct json_object *v = json_at(json_get(all[i].cases, kinds[keeps]), k);
                size_t len;
                const char *text = v != NULL ? json_string(v, &len) : text_at(k, &len);
                expect_text(&all[i], &ids, keeps, text, len);
            }
            token_ids_free(&ids);
        }
    }
}

static void any_ids_are_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const struct json_object *cases = json_get(all[i].cases, "decode");
        for (size_t k = 0; k < json_length(cases); k++) {
            struct token_ids ids = ids_from(json_at(json_at(cases, k), 0));
            for (int keeps = 0; keeps < 2; keeps++) {
                size_t len;
                const char *text = json_string(json_at(json_at(cases, k), keeps ? 1 : 2), &len);
                expect_text(&all[i], &ids, keeps, text, len);
            }
            token_ids_free(&ids);
        }
    }
}

/* After k ids the state is that of a new one that was given k ids. */
static void a_detokenizer_can_be_rebuilt(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const struct json_object *cases = json_get(all[i].cases, "decode");
        for (size_t c = 0; c < json_length(cases); c++) {
            struct token_ids ids = ids_from(json_at(json_at(cases, c), 0));
            struct buf whole = {0}, parts = {0};
            decode(all[i].t, ids.id, ids.n, true, &whole);
            for (size_t k = 0; k <= ids.n; k++) {
                struct detokenizer d;
                buf_clear(&parts);
                detokenizer_init(&d, all[i].t, true);
                for (size_t j = 0; j < k; j++)
                    detokenizer_push(&d, ids.id[j], &parts);
                struct detokenizer rest = d;
                for (size_t j = k; j < ids.n; j++)
                    detokenizer_push(&rest, ids.id[j], &parts);
                assert_int_equal(parts.len, whole.len);
                assert_true(whole.len == 0 || memcmp(parts.data, whole.data, whole.len) == 0);
            }
            buf_free(&whole);
            buf_free(&parts);
            token_ids_free(&ids);
        }
    }
}

/* --- bytes --- */

static size_t read_hex(const char *hex, char *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++)
        out[i] = (char)strtoul((char[]){hex[2 * i], hex[2 * i + 1], '\0'}, NULL, 16);
    return n;
}

static void what_is_not_utf8_comes_in_replaced(void **state)
{
    const struct json_object *rows = json_get(shared, "bytes");
    char bytes[64];

    (void)state;
    assert_true(json_length(rows) > 10);
    for (size_t i = 0; i < N_FAMILIES; i++)
        for (size_t k = 0; k < json_length(rows); k++) {
            struct tokenizer_input broken = {.text = bytes}, whole = {0};
            broken.len = read_hex(json_string(json_at(json_at(rows, k), 0), NULL), bytes);
            whole.text = json_string(json_at(json_at(rows, k), 1), &whole.len);
            struct token_ids a = fixture_encode(all[i].t, &broken);
            struct token_ids b = fixture_encode(all[i].t, &whole);
            if (a.n != b.n || (a.n > 0 && memcmp(a.id, b.id, a.n * sizeof *a.id) != 0))
                fail_msg("%s: %s", all[i].name, json_string(json_at(json_at(rows, k), 0), NULL));
            token_ids_free(&a);
            token_ids_free(&b);
        }
}

/* A token's own bytes, and byte tokens that make no character. */
static void tokens_have_bytes(void **state)
{
    const struct family *f = find_family("llama2");
    static const char euro[] = "\xe2\x82";
    struct buf out = {0};
    uint32_t ids[2];

    (void)state;
    /* Training put the three special tokens in front, and the bytes behind them. */
    ids[0] = 3 + 0xe2;
    ids[1] = 3 + 0x82;
    tokenizer_bytes(f->t, ids[0], &out);
    tokenizer_bytes(f->t, ids[1], &out);
    assert_int_equal(out.len, 2);
    assert_memory_equal(out.data, euro, 2);
    buf_clear(&out);
    decode(f->t, ids, 2, false, &out);
    assert_int_equal(out.len, 2);
    assert_memory_equal(out.data, euro, 2);
    buf_clear(&out);
    tokenizer_bytes(f->t, 1, &out);
    assert_string_equal(buf_text(&out), "<s>");
    buf_clear(&out);
    tokenizer_bytes(f->t, tokenizer_vocab(f->t), &out);
    tokenizer_bytes(f->t, UINT32_MAX, &out);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

static void count_special(void *ctx, const char *text, size_t len)
{
    size_t *n = ctx;

    assert_true(len > 0 && text[0] == '<');
    ++*n;
}

static void added_tokens_are_found(void **state)
{
    const struct tokenizer *t = find_family("qwen2")->t;
    uint32_t start = tokenizer_find_added(t, "<|im_start|>", 12);
    size_t n = 0;

    (void)state;
    assert_true(start < tokenizer_vocab(t));
    assert_true(tokenizer_is_special(t, start));
    uint32_t call = tokenizer_find_added(t, "<tool_call>", 11);
    assert_true(call < tokenizer_vocab(t));
    assert_false(tokenizer_is_special(t, call));
    assert_false(tokenizer_is_special(t, 0));
    assert_false(tokenizer_is_special(t, UINT32_MAX));
    assert_int_equal(tokenizer_find_added(t, "<|im_start|", 11), TOKENIZER_NOT_FOUND);
    assert_int_equal(tokenizer_find_added(t, "the", 3), TOKENIZER_NOT_FOUND);
    tokenizer_each_special(t, count_special, &n);
    assert_int_equal(n, 3);
}

/* --- cuts --- */

/* With a cut in every place no special token is left; with none but at their edges, all are. */
static void special_tokens_can_be_cut(void **state)
{
    size_t cuts[1024];

    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        cuts[i] = i;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const struct json_object *rows = json_get(all[i].cases, "cut");
        for (size_t k = 0; k < json_length(rows); k++) {
            struct tokenizer_input in = {.cuts = cuts};
            in.text = text_at((size_t)json_integer(json_at(json_at(rows, k), 0)), &in.len);
            in.n_cuts = in.len + 1;
            assert_true(in.n_cuts <= sizeof cuts / sizeof cuts[0]);
            expect_ids(&all[i], &in, json_at(json_at(rows, k), 1));
        }
    }
}

/* How many of a token's ids a text has, with one cut or none. */
static size_t count_ids(const char *family, const char *token, const char *text, size_t len,
                        size_t cut)
{
    const struct tokenizer *t = find_family(family)->t;
    struct tokenizer_input in = {
        .text = text, .len = len, .cuts = &cut, .n_cuts = cut != SIZE_MAX ? 1 : 0};
    struct token_ids ids = fixture_encode(t, &in);
    uint32_t id = tokenizer_find_added(t, token, strlen(token));
    size_t n = 0;

    assert_int_not_equal(id, TOKENIZER_NOT_FOUND);
    for (size_t i = 0; i < ids.n; i++)
        n += ids.id[i] == id;
    token_ids_free(&ids);
    return n;
}

static void a_cut_is_in_one_token_only(void **state)
{
    static const char text[] = "<|im_end|>x<|im_end|>";
    static const char broken[] = "\xff\xc3<|im_end|>\xe2\x82";

    (void)state;
    assert_int_equal(count_ids("qwen2", "<|im_end|>", text, 21, SIZE_MAX), 2);
    for (size_t cut = 0; cut <= 21; cut++) {
        bool is_inside = (cut > 0 && cut < 10) || (cut > 11 && cut < 21);
        assert_int_equal(count_ids("qwen2", "<|im_end|>", text, 21, cut), is_inside ? 1 : 2);
    }
    for (size_t cut = 0; cut <= 14; cut++)
        assert_int_equal(count_ids("qwen2", "<|im_end|>", broken, 14, cut),
                         cut > 2 && cut < 12 ? 0 : 1);
    /* One that is not special stays whole. */
    assert_int_equal(count_ids("qwen2", "<tool_call>", "<tool_call>", 11, 4), 1);
}

/* Special tokens that are looked for in the normalised text, here with a mark for each space and
 * one in front: bytes are in other places than in the input. */
static void a_cut_moves_with_normalisation(void **state)
{
    static const char text[] = "\xc3\xa9 <s> \xc3\xa9 <s>";

    (void)state;
    assert_int_equal(count_ids("gpt2", "<|endoftext|>", "a<|endoftext|>", 14, SIZE_MAX), 1);
    for (size_t cut = 0; cut <= 14; cut++)
        assert_int_equal(count_ids("gpt2", "<|endoftext|>", "a<|endoftext|>", 14, cut),
                         cut > 1 && cut < 14 ? 0 : 1);
    assert_int_equal(count_ids("llama2_old", "<s>", text, 13, SIZE_MAX), 2);
    for (size_t cut = 0; cut <= 13; cut++) {
        bool is_inside = (cut > 2 && cut < 6) || (cut > 9 && cut < 13);
        assert_int_equal(count_ids("llama2_old", "<s>", text, 13, cut), is_inside ? 1 : 2);
    }
}

/* --- threads, files --- */

struct thread {
    pthread_t thread;
    const struct family *family;
    size_t n_wrong;
};

static void *encode_all(void *arg)
{
    struct thread *me = arg;
    const struct json_object *ids = json_get(me->family->cases, "ids");

    for (size_t k = 0; k < json_length(ids); k++) {
        struct tokenizer_input in = {.add_special = k % 8 == 0};
        in.text = text_at(k, &in.len);
        struct token_ids found = fixture_encode(me->family->t, &in);
        me->n_wrong += !is_same(&found, json_at(ids, k));
        token_ids_free(&found);
    }
    return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
    struct thread threads[4] = {0};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        threads[i].family = find_family(i % 2 == 0 ? "qwen2" : "llama2");
        assert_int_equal(pthread_create(&threads[i].thread, NULL, encode_all, &threads[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        assert_int_equal(threads[i].n_wrong, 0);
    }
}

static void it_is_loaded_from_a_models_directory(void **state)
{
    struct buf text = fixture_text("llama3.json");
    struct model_dir dir;
    struct tokenizer *t;
    struct root root;
    struct err e = {0};

    (void)state;
    model_dir_make(&dir);
    assert_int_equal(root_open(&root, dir.path, &e), 0);
    assert_int_equal(tokenizer_load(&root, &t, &e), -ENOENT);
    assert_null(t);
    assert_non_null(strstr(e.text, "tokenizer.json"));
    model_dir_write(&dir, "tokenizer.json", text.data, text.len);
    assert_int_equal(tokenizer_load(&root, &t, &e), 0);
    assert_int_equal(tokenizer_vocab(t), tokenizer_vocab(find_family("llama3")->t));
    tokenizer_free(&t);
    assert_null(t);
    tokenizer_free(&t);
    root_close(&root);
    model_dir_remove(&dir);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_the_librarys),
        cmocka_unit_test(text_is_the_librarys),
        cmocka_unit_test(any_ids_are_decoded),
        cmocka_unit_test(a_detokenizer_can_be_rebuilt),
        cmocka_unit_test(what_is_not_utf8_comes_in_replaced),
        cmocka_unit_test(tokens_have_bytes),
        cmocka_unit_test(added_tokens_are_found),
        cmocka_unit_test(special_tokens_can_be_cut),
        cmocka_unit_test(a_cut_is_in_one_token_only),
        cmocka_unit_test(a_cut_moves_with_normalisation),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(it_is_loaded_from_a_models_directory),
    };
    return cmocka_run_group_tests(tests, load, unload);
}

/* The wrapper over json-c: trees from any split, the getters, and the writer in slices. */
#include "base/json.h"

#include "base/json_check.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct json_object *parse(const char *text)
{
    struct json_object *root;
    struct err e = {0};

    if (json_parse(text, strlen(text), &root, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return root;
}

/* clang-format off */
#define ROW(in, out) {in, sizeof in - 1, out}
static const struct {
    const char *in;
    size_t len;
    const char *out;
} rows[] = {
    ROW("null", "null"), ROW(" true ", "true"), ROW("false", "false"), ROW("\"\"", "\"\""),
    ROW("[]", "[]"), ROW("{}", "{}"), ROW("[ [ ] , { } ]", "[[],{}]"),
    ROW("0", "0"), ROW("-0", "0"), ROW("12", "12"), ROW("-7", "-7"), ROW("[1,2]", "[1,2]"),
    ROW("9223372036854775807", "9223372036854775807"),
    ROW("-9223372036854775808", "-9223372036854775808"),
    ROW("9223372036854775808", "9223372036854775808"),
    ROW("18446744073709551615", "18446744073709551615"),
    ROW("18446744073709551616", "1.8446744073709552e+19"),
    ROW("[-9223372036854775809]", "[-9.223372036854776e+18]"),
    ROW("[100000000000000000000,1]", "[1e+20,1]"),
    ROW("{\"a\":100000000000000000000}", "{\"a\":1e+20}"),
    ROW("0.0", "0.0"), ROW("-0.0", "-0.0"), ROW("1.0", "1.0"), ROW("1e5", "100000.0"), ROW("1E+2", "100.0"),
    ROW("0.1", "0.1"), ROW("0.30000000000000004", "0.30000000000000004"), ROW("0.7", "0.7"),
    ROW("123456789.123456789", "123456789.12345679"), ROW("1e-7", "1e-07"), ROW("1e300", "1e+300"),
    ROW("1.7976931348623157e308", "1.7976931348623157e+308"), ROW("1e-400", "0.0"),
    ROW("3.141592653589793", "3.141592653589793"),
    ROW("{\"z\":1,\"a\":[true,null],\"m\":{\"x\":\"y\"}}", "{\"z\":1,\"a\":[true,null],\"m\":{\"x\":\"y\"}}"),
    ROW("{\"\":{\"\":{}}}", "{\"\":{\"\":{}}}"),
    ROW("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""),
    ROW("\"\\u0000a\\u0000\"", "\"\\u0000a\\u0000\""),
    ROW("\"\\u00e9\\u20ac\\ud83d\\ude00\\ud7ff\\uffff\"",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xef\xbf\xbf\""),
    ROW("\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"", "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\""),
    ROW("{\"a\\n\\\"\\u00e9\":1}", "{\"a\\n\\\"\xc3\xa9\":1}"),
    ROW("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
    ROW("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
};
#undef ROW
/* clang-format on */

static void trees_from_every_split(void **state)
{
    struct json_reader *r = json_reader_new();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t cut = 0; cut <= rows[i].len + 1; cut++) {
            size_t step = cut <= rows[i].len ? rows[i].len : 1;
            struct json_object *root;
            struct err e = {0};
            struct buf out = {0};
            int rc = 0;

            for (size_t at = 0, n; rc == 0 && at < rows[i].len; at += n) {
                n = rows[i].len - at < step ? rows[i].len - at : step;
                if (at < cut && at + n > cut)
                    n = cut - at;
                rc = json_reader_feed(r, rows[i].in + at, n, &e);
            }
            if (rc != 0 || json_reader_finish(r, &root, &e) != 0)
                fail_msg("%s, cut at %zu: %s", rows[i].in, cut, e.text);
            json_write(root, &out);
            assert_string_equal(buf_text(&out), rows[i].out);
            json_free(&root);
            assert_null(root);
            json_reader_reset(r);
            buf_free(&out);
        }
    json_reader_free(&r);
    assert_null(r);
    json_reader_free(&r);
}

static void errors_are_the_validators(void **state)
{
    struct json_reader *r = json_reader_new();
    struct json_object *root;
    struct err e = {0};

    (void)state;
    assert_int_equal(json_reader_feed(r, "{\"a\":[1,", 8, &e), 0);
    assert_int_equal(json_reader_feed(r, "]}", 2, &e), -EINVAL);
    assert_string_equal(e.text, "byte 8: found ']', expected a value");
    assert_int_equal(json_reader_feed(r, "1", 1, NULL), -EINVAL);
    assert_int_equal(json_reader_finish(r, &root, &e), -EINVAL);
    assert_null(root);
    json_reader_reset(r);
    assert_int_equal(json_reader_feed(r, "{\"a\":[1", 7, &e), 0);
    assert_int_equal(json_reader_finish(r, &root, &e), -EINVAL);
    assert_string_equal(e.text, "byte 7: found the end of the document, expected ',' or ']'");
    json_reader_reset(r);
    assert_int_equal(json_reader_feed(r, "[1] ", 4, &e), 0);
    json_reader_reset(r); /* without finish: the tree goes with it */
    assert_int_equal(json_reader_feed(r, "[2]", 3, &e), 0);
    assert_int_equal(json_reader_feed(r, "  ", 2, &e), 0);
    assert_int_equal(json_reader_feed(r, "x", 1, &e), -EINVAL);
    json_reader_free(&r);
    assert_int_equal(json_parse("[NaN]", 5, &root, &e), -EINVAL);
    assert_null(root);
    assert_int_equal(json_parse("{\"a\":1,\"a\":1}", 13, &root, NULL), -EINVAL);
    assert_int_equal(json_parse("", 0, &root, NULL), -EINVAL);
}

static void a_large_file_has_a_limit_of_its_own(void **state)
{
    struct buf b = {0};
    struct json_object *root;
    struct err e = {0};
    const uint32_t n = 3 * JSON_NODES_MAX;

    (void)state;
    buf_add_char(&b, '[');
    for (uint32_t i = 0; i < n - 2; i++)
        buf_add_str(&b, "7,");
    buf_add_str(&b, "8]");
    assert_int_equal(json_parse(b.data, b.len, &root, &e), -E2BIG);
    assert_int_equal(json_parse_large(b.data, b.len, n - 1, &root, &e), -E2BIG);
    assert_string_equal(e.text, "byte 599997: found another value, expected at most 299999");
    assert_null(root);
    assert_int_equal(json_parse_large(b.data, b.len, n, &root, &e), 0);
    assert_int_equal(json_length(root), n - 1);
    assert_int_equal(json_integer(json_at(root, n - 2)), 8);
    json_free(&root);
    buf_free(&b);
}

/* Cut anywhere, a document leaves nothing behind for the next one. */
static void an_abandoned_document_leaves_nothing(void **state)
{
    static const char first[] = "{\"a\":[-1.5e+3,\"\\n\\ud83d\\ude00\xe2\x82\xac\",tru";
    static const char second[] = "[\"\\u0041\\u20ac\",1,true,{\"a\":null}]";
    struct json_reader *r = json_reader_new();

    (void)state;
    for (size_t cut = 0; cut < sizeof first; cut++) {
        struct json_object *root;
        struct buf out = {0};
        assert_int_equal(json_reader_feed(r, first, cut, NULL), 0);
        json_reader_reset(r);
        assert_int_equal(json_reader_feed(r, second, sizeof second - 1, NULL), 0);
        assert_int_equal(json_reader_finish(r, &root, NULL), 0);
        json_write(root, &out);
        assert_string_equal(buf_text(&out), "[\"A\xe2\x82\xac\",1,true,{\"a\":null}]");
        json_reader_reset(r);
        json_free(&root);
        buf_free(&out);
    }
    json_reader_free(&r);
}

static void types_and_members(void **state)
{
    struct json_object *o =
        parse("{\"null\":null,\"bool\":true,\"int\":3,\"double\":2.5,"
              "\"string\":\"a\\u0000b\",\"array\":[1,null,\"x\"],\"object\":{}}");
    static const enum json_type types[] = {JSON_NULL,   JSON_BOOL,  JSON_NUMBER, JSON_NUMBER,
                                           JSON_STRING, JSON_ARRAY, JSON_OBJECT};
    static const char *const keys[] = {"null",   "bool",  "int",   "double",
                                       "string", "array", "object"};
    struct json_iterator it = json_members(o);
    size_t i = 0, len;

    (void)state;
    for (; json_next(&it); i++) {
        assert_string_equal(it.key, keys[i]);
        assert_int_equal(json_type_of(it.value), types[i]);
    }
    assert_int_equal(i, 7);
    assert_false(json_next(&it));
    assert_int_equal(json_length(o), 7);
    assert_null(json_get(o, "null"));
    assert_null(json_get(o, "absent"));
    assert_null(json_get(NULL, "x"));
    assert_null(json_get(json_get(o, "array"), "x"));
    assert_true(json_bool(json_get(o, "bool")));
    assert_true(json_number(json_get(o, "double")) == 2.5);
    assert_true(json_number(json_get(o, "int")) == 3.0);
    assert_memory_equal(json_string(json_get(o, "string"), &len), "a\0b", 4);
    assert_int_equal(len, 3);
    struct json_object *array = json_get(o, "array");
    assert_int_equal(json_length(array), 3);
    assert_int_equal(json_integer(json_at(array, 0)), 1);
    assert_null(json_at(array, 1));
    assert_string_equal(json_string(json_at(array, 2), NULL), "x");
    assert_null(json_at(array, 3));
    assert_null(json_at(array, SIZE_MAX));
    assert_int_equal(json_length(json_get(o, "string")), 0);
    assert_int_equal(json_length(NULL), 0);
    it = json_members(array);
    assert_false(json_next(&it));
    it = json_members(NULL);
    assert_false(json_next(&it));
    assert_string_equal(json_type_name(JSON_BOOL), "boolean");
    assert_string_equal(json_type_name(json_type_of(NULL)), "null");
    json_free(&o);
    json_free(&o);
}

static void integers_are_numbers_without_fraction_in_64_bits(void **state)
{
    static const struct {
        const char *text;
        bool is_integer;
        int64_t value;
    } numbers[] = {
        {"0", true, 0},
        {"-0.0", true, 0},
        {"3.0", true, 3},
        {"2e3", true, 2000},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775808.0", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"9223372036854775808.0", false, 0},
        {"18446744073709551615", false, 0},
        {"18446744073709551616", false, 0},
        {"1e300", false, 0},
        {"0.5", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[1]", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct json_object *o = parse(numbers[i].text);
        if (json_is_integer(o) != numbers[i].is_integer)
            fail_msg("%s", numbers[i].text);
        if (numbers[i].is_integer)
            assert_true(json_integer(o) == numbers[i].value);
        json_free(&o);
    }
}

/* Whatever the budget, the slices make up the same text, and none is much longer than it. */
static void slices_make_up_the_whole(void **state)
{
    struct buf text = {0}, whole = {0};

    (void)state;
    buf_add_str(&text, "{\"long\":\"");
    for (int i = 0; i < 500; i++)
        buf_add_str(&text, "plain \\n\\u0001\xe2\x82\xac\\\"");
    buf_add_str(&text, "\",\"list\":[1,2.5,null,[],{},[[\"a\",\"b\"]],{\"k\":{\"k\":\"v\"}}],\"");
    for (int i = 0; i < 500; i++)
        buf_add_str(&text, "key");
    buf_add_str(&text, "\":true}");
    struct json_object *root = parse(buf_text(&text));
    json_write(root, &whole);
    for (size_t budget = 1; budget < 6000; budget += budget < 40 ? 1 : 487) {
        struct json_writer *w = json_writer_new(root);
        struct buf out = {0};
        size_t read = 0;
        int is_complete;
        do {
            size_t before = buf_pending(&out);
            is_complete = json_writer_step(w, &out, budget);
            size_t n = buf_pending(&out) - before;
            assert_true(n <= 6 * budget + 30);
            assert_true(n >= budget || is_complete);
            if (buf_pending(&out) > 100) { /* like a socket that takes the front away */
                assert_memory_equal(out.data + out.pos, whole.data + read, 90);
                buf_consume(&out, 90);
                read += 90;
            }
        } while (!is_complete);
        assert_int_equal(read + buf_pending(&out), whole.len);
        assert_memory_equal(out.data + out.pos, whole.data + read, buf_pending(&out));
        assert_int_equal(json_writer_step(w, &out, budget), 1);
        json_writer_free(&w);
        assert_null(w);
        buf_free(&out);
    }
    json_free(&root);
    buf_free(&text);
    buf_free(&whole);
}

static void doubles_read_back_the_same(void **state)
{
    static const double values[] = {0.1,
                                    1.0 / 3,
                                    1e21,
                                    1e22,
                                    123456.789,
                                    5e-324,
                                    0x1p-1022,
                                    0x1p1023,
                                    1e15,
                                    1e16,
                                    1e17,
                                    -2.5,
                                    0x1.fffffffffffffp1023,
                                    9007199254740993.0,
                                    4.35};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[400];
        struct buf out = {0};
        snprintf(text, sizeof text, "%.17g", values[i]);
        if (strpbrk(text, ".e") == NULL)
            strcat(text, ".0");
        struct json_object *o = parse(text);
        assert_true(json_number(o) == values[i]);
        json_write(o, &out);
        assert_true(out.len <= strlen(text));
        struct json_object *again = parse(buf_text(&out));
        assert_true(json_number(again) == values[i]);
        json_free(&o);
        json_free(&again);
        buf_free(&out);
    }
}

/* A reader that has seen a big document still works, and gives its buffers back on the way. */
static void readers_survive_big_documents(void **state)
{
    struct json_reader *r = json_reader_new();
    struct json_object *root;
    struct buf big = {0};

    (void)state;
    buf_add_char(&big, '"');
    for (int i = 0; i < 200000; i++)
        buf_add_char(&big, 'x');
    buf_add_char(&big, '"');
    for (int round = 0; round < 3; round++) {
        assert_int_equal(json_reader_feed(r, big.data, big.len, NULL), 0);
        assert_int_equal(json_reader_finish(r, &root, NULL), 0);
        size_t len;
        json_string(root, &len);
        assert_int_equal(len, 200000);
        json_free(&root);
        json_reader_reset(r);
        assert_int_equal(json_reader_feed(r, "{\"a\":1}", 7, NULL), 0);
        assert_int_equal(json_reader_finish(r, &root, NULL), 0);
        assert_int_equal(json_integer(json_get(root, "a")), 1);
        json_free(&root);
        json_reader_reset(r);
    }
    json_reader_free(&r);
    buf_free(&big);
}

/* A tree given back in steps: as many as its size asks for, and nothing left behind (ASan). */
static void a_tree_is_freed_in_steps(void **state)
{
    static const char *const small[] = {"null", "1", "[]", "{}", "[[[]]]", "{\"a\":{\"b\":[1,{}]}}"};
    struct buf text = {0};
    struct json_object *root;
    struct err e;
    int steps = 1;

    (void)state;
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        assert_int_equal(json_parse(small[i], strlen(small[i]), &root, &e), 0);
        assert_int_equal(json_free_step(&root, 100), 1);
        assert_null(root);
    }
    assert_int_equal(json_free_step(&root, 1), 1); /* NULL is free already */

    buf_add_str(&text, "{\"messages\":[0");
    for (int i = 0; i < 1000; i++)
        buf_add_str(&text, ",{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}");
    buf_add_str(&text, "],\"b\":2}");
    assert_int_equal(json_parse(text.data, text.len, &root, &e), 0);
    while (json_free_step(&root, 50) == 0)
        steps++;
    assert_null(root);
    assert_in_range(steps, 60, 140); /* 5003 values, 50 at a time */
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_is_freed_in_steps),
        cmocka_unit_test(trees_from_every_split),
        cmocka_unit_test(errors_are_the_validators),
        cmocka_unit_test(a_large_file_has_a_limit_of_its_own),
        cmocka_unit_test(an_abandoned_document_leaves_nothing),
        cmocka_unit_test(types_and_members),
        cmocka_unit_test(integers_are_numbers_without_fraction_in_64_bits),
        cmocka_unit_test(slices_make_up_the_whole),
        cmocka_unit_test(doubles_read_back_the_same),
        cmocka_unit_test(readers_survive_big_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every rule of the validator, each document split at every byte position and fed byte by byte: the
 * verdict and the sentence are the same each time. */
#include "base/json_check.h"

#include "base/buf.h"
#include "base/hash.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *text;
    size_t len;
    const char *sentence; /* NULL = valid */
};

/* clang-format off */
#define GOOD(text) {text, sizeof text - 1, NULL}
#define BAD(text, sentence) {text, sizeof text - 1, sentence}
#define A_VALUE "expected a value"
#define END(n) "byte " #n ": found the end of the document, expected "
static const struct row rows[] = {
    /* values, structure */
    GOOD("{}"), GOOD("[]"), GOOD("null"), GOOD("true"), GOOD("false"), GOOD("0"), GOOD("\"\""),
    GOOD(" \t\r\n{ \n}\r\n"),
    GOOD("{\"a\":1}"),
    GOOD("{ \"a\" : 1 , \"b\" : [ 1 , { } , [ ] ] }"),
    GOOD("[true,false,null,0,\"x\",[],{}]"),
    GOOD("[[[[]]],[[]]]"),
    GOOD("{\"a\":{\"a\":{\"a\":{}}},\"b\":[{\"a\":1},{\"a\":1}]}"),
    BAD("", END(0) "a value"),
    BAD(" \n", END(2) "a value"),
    BAD("\xef\xbb\xbf{}", "byte 0: found byte 0xef, " A_VALUE),
    BAD("\0", "byte 0: found byte 0x00, " A_VALUE),
    BAD("{}\0", "byte 2: found byte 0x00, expected the end of the document"),
    BAD("{} {}", "byte 3: found '{', expected the end of the document"),
    BAD("1 2", "byte 2: found '2', expected the end of the document"),
    BAD("[1]]", "byte 3: found ']', expected the end of the document"),
    BAD("{}x", "byte 2: found 'x', expected the end of the document"),
    BAD("{}/**/", "byte 2: found '/', expected the end of the document"),
    BAD("/* c */ 1", "byte 0: found '/', " A_VALUE),
    BAD("[1,//\n2]", "byte 3: found '/', " A_VALUE),
    BAD("\f1", "byte 0: found byte 0x0c, " A_VALUE),
    BAD("\xc2\xa0" "1", "byte 0: found byte 0xc2, " A_VALUE),
    BAD("[", END(1) "a value or ']'"),
    BAD("[1", END(2) "',' or ']'"),
    BAD("[1,", END(3) "a value"),
    BAD("{", END(1) "a key in double quotes or '}'"),
    BAD("{\"a\"", END(4) "':'"),
    BAD("{\"a\":", END(5) "a value"),
    BAD("{\"a\":1", END(6) "',' or '}'"),
    BAD("{\"a\":1,", END(7) "a key in double quotes"),
    BAD("{\"a", END(3) "the rest of a string"),
    BAD("[1,]", "byte 3: found ']', " A_VALUE),
    BAD("[,1]", "byte 1: found ',', expected a value or ']'"),
    BAD("[1,,2]", "byte 3: found ',', " A_VALUE),
    BAD("[1 2]", "byte 3: found '2', expected ',' or ']'"),
    BAD("[1:2]", "byte 2: found ':', expected ',' or ']'"),
    BAD("[1}", "byte 2: found '}', expected ',' or ']'"),
    BAD("]", "byte 0: found ']', " A_VALUE),
    BAD("{]", "byte 1: found ']', expected a key in double quotes or '}'"),
    BAD("{,}", "byte 1: found ',', expected a key in double quotes or '}'"),
    BAD("{\"a\":1,}", "byte 7: found '}', expected a key in double quotes"),
    BAD("{\"a\":}", "byte 5: found '}', " A_VALUE),
    BAD("{\"a\" 1}", "byte 5: found '1', expected ':'"),
    BAD("{\"a\"::1}", "byte 5: found ':', " A_VALUE),
    BAD("{\"a\":1 \"b\":2}", "byte 7: found '\"', expected ',' or '}'"),
    BAD("{\"a\":1]", "byte 6: found ']', expected ',' or '}'"),
    BAD("{a:1}", "byte 1: found 'a', expected a key in double quotes or '}'"),
    BAD("{'a':1}", "byte 1: found ''', expected a key in double quotes or '}'"),
    BAD("{1:1}", "byte 1: found '1', expected a key in double quotes or '}'"),
    BAD("{null:1}", "byte 1: found 'n', expected a key in double quotes or '}'"),
    BAD("'a'", "byte 0: found ''', " A_VALUE),
    /* literals */
    BAD("nul", END(3) "true, false or null"),
    BAD("nulL", "byte 3: found 'L', expected true, false or null"),
    BAD("True", "byte 0: found 'T', " A_VALUE),
    BAD("[truefalse]", "byte 5: found 'f', expected ',' or ']'"),
    BAD("trues", "byte 4: found 's', expected the end of the document"),
    BAD("NaN", "byte 0: found 'N', " A_VALUE),
    BAD("Infinity", "byte 0: found 'I', " A_VALUE),
    BAD("-Infinity", "byte 1: found 'I', expected a digit"),
    BAD("undefined", "byte 0: found 'u', " A_VALUE),
    /* numbers */
    GOOD("-0"), GOOD("-0.0"), GOOD("10"), GOOD("-1"), GOOD("0.5"), GOOD("1e5"), GOOD("1E+5"), GOOD("1e-5"),
    GOOD("0e0"), GOOD("1.25e00"), GOOD("[0,-0,0.0]"), GOOD("12 "), GOOD("-12.5E-3\n"),
    GOOD("9223372036854775807"), GOOD("-9223372036854775808"), GOOD("18446744073709551615"),
    GOOD("18446744073709551616"), GOOD("-9223372036854775809"), GOOD("[123456789012345678901234567890]"),
    GOOD("1.7976931348623157e308"), GOOD("-1.7976931348623157e308"), GOOD("5e-324"), GOOD("1e-999"),
    GOOD("0e999"), GOOD("0.00000000000000000000000000000000000000000000000001e350"),
    BAD("01", "byte 1: found '1', expected no digit after a leading zero"),
    BAD("-01", "byte 2: found '1', expected no digit after a leading zero"),
    BAD("[00]", "byte 2: found '0', expected no digit after a leading zero"),
    BAD("-", END(1) "a digit"),
    BAD("--1", "byte 1: found '-', expected a digit"),
    BAD("+1", "byte 0: found '+', " A_VALUE),
    BAD(".5", "byte 0: found '.', " A_VALUE),
    BAD("-.5", "byte 1: found '.', expected a digit"),
    BAD("1.", END(2) "a digit"),
    BAD("[1.]", "byte 3: found ']', expected a digit"),
    BAD("1.e5", "byte 2: found 'e', expected a digit"),
    BAD("1e", END(2) "a digit or a sign"),
    BAD("1e+", END(3) "a digit"),
    BAD("1e+-5", "byte 3: found '-', expected a digit"),
    BAD("1e5.5", "byte 3: found '.', expected the end of the document"),
    BAD("1.5.5", "byte 3: found '.', expected the end of the document"),
    BAD("0x10", "byte 1: found 'x', expected the end of the document"),
    BAD("1_000", "byte 1: found '_', expected the end of the document"),
    BAD("[1a]", "byte 2: found 'a', expected ',' or ']'"),
    BAD("1e999", "byte 5: found a number beyond the range of a double before it, expected a magnitude below 1.8e308"),
    BAD("[-1e309]", "byte 7: found a number beyond the range of a double before it, expected a magnitude below 1.8e308"),
    BAD("[1.7976931348623159e308,0]", "byte 23: found a number beyond the range of a double before it, expected a magnitude below 1.8e308"),
    /* strings */
    GOOD("\"plain\""), GOOD("\"/\""), GOOD("\"\x7f\""),
    GOOD("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uabCD\""),
    GOOD("\"\\u0000\""), GOOD("[\"a\\u0000b\"]"),
    GOOD("\"12345678\\n12345678\\n1234567\\n123456789\""),
    BAD("\"", END(1) "the rest of a string"),
    BAD("\"abc", END(4) "the rest of a string"),
    BAD("\"a\\\"", END(4) "the rest of a string"),
    BAD("\"\\", END(2) "one of \" \\ / b f n r t u"),
    BAD("\"\\x41\"", "byte 2: found 'x', expected one of \" \\ / b f n r t u"),
    BAD("\"\\'\"", "byte 2: found ''', expected one of \" \\ / b f n r t u"),
    BAD("\"\\\n\"", "byte 2: found byte 0x0a, expected one of \" \\ / b f n r t u"),
    BAD("\"\\\0\"", "byte 2: found byte 0x00, expected one of \" \\ / b f n r t u"),
    BAD("\"\\U0041\"", "byte 2: found 'U', expected one of \" \\ / b f n r t u"),
    BAD("\"\\u004\"", "byte 6: found '\"', expected a hexadecimal digit"),
    BAD("\"\\u00g0\"", "byte 5: found 'g', expected a hexadecimal digit"),
    BAD("\"\\u+041\"", "byte 3: found '+', expected a hexadecimal digit"),
    BAD("\"\n\"", "byte 1: found control byte 0x0a, expected it escaped inside a string"),
    BAD("\"a\tb\"", "byte 2: found control byte 0x09, expected it escaped inside a string"),
    BAD("\"123456789\x1f\"", "byte 10: found control byte 0x1f, expected it escaped inside a string"),
    BAD("\"1234\0" "5678\"", "byte 5: found control byte 0x00, expected it escaped inside a string"),
    /* surrogates */
    GOOD("\"\\ud83d\\ude00\""), GOOD("\"\\uD800\\uDC00\\uDBFF\\uDFFF\""), GOOD("\"\\ud7ff\\ue000\""),
    BAD("\"\\ud800\"", "byte 7: found '\"', expected the \\u of a low surrogate"),
    BAD("\"\\ud800x\"", "byte 7: found 'x', expected the \\u of a low surrogate"),
    BAD("\"\\ud800\\n\"", "byte 8: found 'n', expected the \\u of a low surrogate"),
    BAD("\"\\ud800\\u0041\"", "byte 12: found \\u0041 behind a high surrogate, expected a surrogate pair"),
    BAD("\"\\ud800\\ud800\"", "byte 12: found \\ud800 behind a high surrogate, expected a surrogate pair"),
    BAD("\"\\udc00\"", "byte 6: found \\udc00 alone, expected a surrogate pair"),
    BAD("\"\\udfff\\ud800\"", "byte 6: found \\udfff alone, expected a surrogate pair"),
    BAD("\"\\ud83d", END(7) "the \\u of a low surrogate"),
    /* UTF-8 */
    GOOD("\"gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x98\x80\""),
    GOOD("{\"\xe4\xb8\xad\xe6\x96\x87\":\"\xe4\xb8\xad\xe6\x96\x87\"}"),
    GOOD("\"\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf\""),
    GOOD("\"\xef\xbb\xbf\""),
    BAD("\"\xc0\x80\"", "byte 1: found byte 0xc0, expected UTF-8"),
    BAD("\"\xc1\xbf\"", "byte 1: found byte 0xc1, expected UTF-8"),
    BAD("\"\xe0\x9f\xbf\"", "byte 2: found byte 0x9f, expected a UTF-8 continuation byte"),
    BAD("\"\xf0\x8f\xbf\xbf\"", "byte 2: found byte 0x8f, expected a UTF-8 continuation byte"),
    BAD("\"\xed\xa0\x80\"", "byte 2: found byte 0xa0, expected a UTF-8 continuation byte"),
    BAD("\"\xed\xbf\xbf\"", "byte 2: found byte 0xbf, expected a UTF-8 continuation byte"),
    BAD("\"\xf4\x90\x80\x80\"", "byte 2: found byte 0x90, expected a UTF-8 continuation byte"),
    BAD("\"\xf5\x80\x80\x80\"", "byte 1: found byte 0xf5, expected UTF-8"),
    BAD("\"\xff\"", "byte 1: found byte 0xff, expected UTF-8"),
    BAD("\"12345678\x80\"", "byte 9: found byte 0x80, expected UTF-8"),
    BAD("\"\xc3\"", "byte 2: found '\"', expected a UTF-8 continuation byte"),
    BAD("\"\xe2\x82\"", "byte 3: found '\"', expected a UTF-8 continuation byte"),
    BAD("\"\xe2\x82", END(3) "a UTF-8 continuation byte"),
    BAD("\"\xe2\\u0041\"", "byte 2: found '\\', expected a UTF-8 continuation byte"),
    BAD("{\"\xc3(\":1}", "byte 3: found '(', expected a UTF-8 continuation byte"),
    /* keys */
    GOOD("{\"\":1,\"a\":2,\"A\":3,\"aa\":4}"),
    GOOD("{\"a\":{\"b\":1},\"b\":{\"a\":1},\"c\":[{\"a\":1,\"b\":1},{\"b\":1,\"a\":1}]}"),
    GOOD("{\"\\n\":1,\"\\\\n\":2,\"n\":3}"),
    BAD("{\"a\":1,\"a\":2}", "byte 9: found a second key \"a\", expected every key of an object once"),
    BAD("{\"a\":1,\"b\":2,\"a\":3}", "byte 15: found a second key \"a\", expected every key of an object once"),
    BAD("{\"\":1,\"\":2}", "byte 7: found a second key \"\", expected every key of an object once"),
    BAD("{\"a\":1,\"\\u0061\":2}", "byte 14: found a second key \"a\", expected every key of an object once"),
    BAD("{\"/\":1,\"\\/\":2}", "byte 10: found a second key \"/\", expected every key of an object once"),
    BAD("{\"\\t\":1,\"\\u0009\":2}", "byte 15: found a second key \"\\u0009\", expected every key of an object once"),
    BAD("{\"\xc3\xa9\":1,\"\\u00e9\":2}", "byte 15: found a second key \"\xc3\xa9\", expected every key of an object once"),
    BAD("{\"\xe2\x82\xac\":1,\"\\u20AC\":2}", "byte 16: found a second key \"\xe2\x82\xac\", expected every key of an object once"),
    BAD("{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}",
        "byte 23: found a second key \"\xf0\x9f\x98\x80\", expected every key of an object once"),
    BAD("{\"a\":{\"b\":1},\"c\":{\"a\":{}},\"a\":0}", "byte 28: found a second key \"a\", expected every key of an object once"),
    BAD("[{\"x\":{\"k\":1,\"k\":2}}]", "byte 15: found a second key \"k\", expected every key of an object once"),
    BAD("{\"\\u0000\":1}", "byte 7: found \\u0000 in a key, expected a key without it"),
    BAD("{\"a\\u0000b\":1}", "byte 8: found \\u0000 in a key, expected a key without it"),
    BAD("{\"\\ud800\":1}", "byte 8: found '\"', expected the \\u of a low surrogate"),
};
/* clang-format on */

/* Feed in pieces that end at each multiple of step and at cut; 0 = valid. */
static int judge(const char *text, size_t len, size_t cut, size_t step, struct err *e)
{
    struct json_check *c = json_check_new();
    size_t at = 0;
    int rc = 0;

    *e = (struct err){0};
    while (rc == 0 && at < len) {
        size_t n = len - at < step ? len - at : step;
        if (at < cut && at + n > cut)
            n = cut - at;
        rc = json_check_feed(c, text + at, n, e);
        at += n;
    }
    if (rc == 0)
        rc = json_check_finish(c, e);
    if (rc != 0) {
        struct err again = {0};
        assert_int_equal(json_check_feed(c, "1", 1, &again), rc);
        assert_string_equal(again.text, e->text);
        assert_int_equal(json_check_finish(c, NULL), rc);
    }
    assert_int_equal(e->code, -rc);
    json_check_free(&c);
    assert_null(c);
    return rc;
}

static void every_row_at_every_split(void **state)
{
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        for (size_t cut = 0; cut <= r->len + 1; cut++) {
            size_t step = cut <= r->len ? r->len : 1; /* the last round goes byte by byte */
            int rc = judge(r->text, r->len, cut, step, &e);
            if (rc != (r->sentence != NULL ? -EINVAL : 0))
                fail_msg("%s, cut at %zu: %d %s", r->text, cut, rc, e.text);
            if (rc != 0)
                assert_string_equal(e.text, r->sentence);
        }
    }
}

/* A document of prefix, n times unit, suffix, against each of a few ways to cut it. */
static void assert_repeated(const char *prefix, const char *unit, size_t n, const char *suffix,
                            int expected, const char *sentence)
{
    static const size_t steps[] = {SIZE_MAX, 65536, 4099, 7};
    struct buf b = {0};
    struct err e;

    buf_add_str(&b, prefix);
    for (size_t i = 0; i < n; i++)
        buf_add_str(&b, unit);
    buf_add_str(&b, suffix);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_int_equal(judge(b.data, b.len, b.len, steps[i], &e), expected);
        if (expected != 0)
            assert_string_equal(e.text, sentence);
    }
    buf_free(&b);
}

static void depth_is_limited(void **state)
{
    static const char deep[] = "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]";

    (void)state;
    assert_int_equal(sizeof deep - 1, JSON_DEPTH_MAX);
    assert_repeated("", "[", JSON_DEPTH_MAX, deep, 0, NULL);
    assert_repeated("", "[", JSON_DEPTH_MAX - 1, "1,{}]]", -EINVAL,
                    "byte 69: found the end of the document, expected ',' or ']'");
    assert_repeated("", "[", JSON_DEPTH_MAX + 1, "", -E2BIG,
                    "byte 64: found a deeper level, expected at most 64");
    assert_repeated("", "{\"a\":", JSON_DEPTH_MAX + 1, "", -E2BIG,
                    "byte 320: found a deeper level, expected at most 64");
    assert_repeated("[", "[[[]]],", 1000, "1]", 0, NULL);
}

static void values_are_limited(void **state)
{
    (void)state;
    assert_repeated("[", "1,", JSON_NODES_MAX - 2, "1]", 0, NULL);
    assert_repeated("[", "1,", JSON_NODES_MAX - 1, "1]", -E2BIG,
                    "byte 199999: found another value, expected at most 100000");
    assert_repeated("[", "{\"a\":\"\"},", JSON_NODES_MAX / 2, "1]", -E2BIG,
                    "byte 449997: found another value, expected at most 100000");
}

static void numbers_are_limited(void **state)
{
    (void)state;
    assert_repeated("0.", "1", JSON_NUMBER_MAX - 2, "", 0, NULL);
    assert_repeated("0.", "1", JSON_NUMBER_MAX - 1, "", -E2BIG,
                    "byte 512: found a longer number, expected at most 512");
    assert_repeated("[1", "0", 308, ".5]", 0, NULL);
    assert_repeated("[1", "0", 309, "]", -EINVAL,
                    "byte 311: found a number beyond the range of a double before it, expected a "
                    "magnitude below 1.8e308");
}

static void keys_are_limited(void **state)
{
    (void)state;
    assert_repeated("{\"", "k", JSON_KEY_MAX, "\":1}", 0, NULL);
    assert_repeated("{\"", "k", JSON_KEY_MAX + 1, "\":1}", -E2BIG,
                    "byte 65538: found a longer key, expected at most 65536");
    assert_repeated("{\"", "\\u0041", JSON_KEY_MAX, "\":1}", 0, NULL);
    assert_repeated("{\"", "\\u0041", JSON_KEY_MAX + 1, "\":1}", -E2BIG,
                    "byte 393223: found a longer key, expected at most 65536");
    assert_repeated("{\"", "k", JSON_KEY_MAX, "\":\"kkkkkkkkk\"}", 0, NULL);
    assert_repeated("\"", "v", 3 * JSON_KEY_MAX, "\"", 0, NULL);
}

/* The last key of many repeats one of them, or none. */
static void many_keys_are_told_apart(void **state)
{
    (void)state;
    for (int repeated = -1; repeated < 3; repeated++) {
        struct buf b = {0};
        struct err e;
        int n = (JSON_NODES_MAX - 2) / 2, again[] = {0, n / 2, n - 1};

        buf_add_char(&b, '{');
        for (int i = 0; i < n; i++)
            buf_printf(&b, "\"key-%d\":{\"key-%d\":%d},", i, i, i);
        buf_printf(&b, "\"key-%d\":0}", repeated < 0 ? n : again[repeated]);
        int rc = judge(b.data, b.len, b.len, 65536, &e);
        assert_int_equal(rc, repeated < 0 ? 0 : -EINVAL);
        assert_true((strstr(e.text, "a second key") != NULL) == (repeated >= 0));
        buf_free(&b);
    }
}

static void a_checker_can_be_used_again(void **state)
{
    struct json_check *c = json_check_new();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = {0};
        size_t half = rows[i].len / 2;
        int rc = json_check_feed(c, rows[i].text, half, &e);
        if (rc == 0)
            rc = json_check_feed(c, rows[i].text + half, rows[i].len - half, &e);
        if (rc == 0 && i % 3 != 0)
            rc = json_check_finish(c, &e);
        if (i % 3 != 0)
            assert_int_equal(rc, rows[i].sentence != NULL ? -EINVAL : 0);
        json_check_reset(c);
    }
    /* The same keys again and again: none is left over from the document before. */
    for (int i = 0; i < 100; i++) {
        struct buf b = {0};
        buf_add_char(&b, '{');
        for (int k = 0; k < 40 * i; k++)
            buf_printf(&b, "\"%d\":1,", k);
        buf_add_str(&b, "\"x\":1}");
        assert_int_equal(json_check_feed(c, b.data, b.len, NULL), 0);
        assert_int_equal(json_check_finish(c, NULL), 0);
        json_check_reset(c);
        buf_free(&b);
    }
    json_check_free(&c);
    json_check_free(&c);
}

/* Each byte value at each place of a long string, next to the eight-byte steps. */
static void every_byte_at_every_place_of_a_string(void **state)
{
    char text[40];
    struct err e;

    (void)state;
    for (size_t place = 1; place < 35; place++)
        for (unsigned b = 0; b < 256; b++) {
            memset(text, 'x', sizeof text);
            text[0] = text[39] = '"';
            text[place] = (char)b;
            bool is_ok = b >= 0x20 && b < 0x80 && b != '"' && b != '\\';
            if ((judge(text, sizeof text, 0, sizeof text, &e) == 0) != is_ok)
                fail_msg("byte 0x%02x at %zu: %s", b, place, e.text);
        }
}

static void code_points_in_any_cut(void **state)
{
    char text[8];
    struct err e;

    (void)state;
    for (uint32_t u = 0x80; u < 0x110000; u += u < 0x900 ? 1 : 61) {
        size_t n = u < 0x800 ? 2 : u < 0x10000 ? 3 : 4, len = n + 2;
        uint32_t rest = u;
        text[0] = text[n + 1] = '"';
        for (size_t i = n; i > 1; i--, rest >>= 6)
            text[i] = (char)(0x80 | (rest & 0x3f));
        text[1] = (char)(0xff00 >> n | rest);
        int expected = u >= 0xd800 && u <= 0xdfff ? -EINVAL : 0;
        for (size_t cut = 1; cut <= n; cut++)
            assert_int_equal(judge(text, len, cut, len, &e), expected);
    }
}

static void wide_integers_are_pointed_out(void **state)
{
    static const char text[] = "[18446744073709551616,1,-9223372036854775809]";
    struct json_check *c = json_check_new();
    size_t used;

    (void)state;
    assert_int_equal(json_check_feed_to_wide(c, text, 45, &used, NULL), 0);
    assert_int_equal(used, 21);
    assert_true(json_check_is_wide(c));
    assert_int_equal(json_check_feed_to_wide(c, text + 21, 23, &used, NULL), 0);
    assert_int_equal(used, 23); /* the number may go on in the next piece */
    assert_false(json_check_is_wide(c));
    assert_int_equal(json_check_feed_to_wide(c, text + 44, 1, &used, NULL), 0);
    assert_int_equal(used, 0);
    assert_true(json_check_is_wide(c));
    assert_int_equal(json_check_feed_to_wide(c, text + 44, 1, &used, NULL), 0);
    assert_int_equal(used, 1);
    assert_int_equal(json_check_finish(c, NULL), 0);
    assert_false(json_check_is_wide(c));
    json_check_reset(c);
    assert_int_equal(json_check_feed(c, text + 1, 20, NULL), 0);
    assert_int_equal(json_check_finish(c, NULL), 0);
    assert_true(json_check_is_wide(c));
    json_check_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_at_every_split),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(values_are_limited),
        cmocka_unit_test(numbers_are_limited),
        cmocka_unit_test(keys_are_limited),
        cmocka_unit_test(many_keys_are_told_apart),
        cmocka_unit_test(a_checker_can_be_used_again),
        cmocka_unit_test(every_byte_at_every_place_of_a_string),
        cmocka_unit_test(code_points_in_any_cut),
        cmocka_unit_test(wide_integers_are_pointed_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

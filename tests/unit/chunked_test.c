/* Rows of good and bad chunked bodies, each fed whole, byte by byte and cut at every position. */
#include "router/http/chunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *what;
    const char *body;
    size_t len;
    enum chunked_result result; /* after all of it */
    const char *text;           /* decoded */
    const char *rest;           /* after END: not consumed */
};

#define TEXT(s)          .body = (s), .len = sizeof(s) - 1
#define GOOD(s, decoded) TEXT(s), CHUNKED_END, decoded, ""
#define BAD(s, decoded)  TEXT(s), CHUNKED_REFUSED, decoded, NULL
#define PART(s, decoded) TEXT(s), CHUNKED_MORE, decoded, NULL

/* clang-format off */
static const struct row rows[] = {
    {"nothing yet", PART("", "")},
    {"empty body", GOOD("0\r\n\r\n", "")},
    {"one chunk", GOOD("5\r\nhello\r\n0\r\n\r\n", "hello")},
    {"two chunks", GOOD("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world")},
    {"digits of both cases", GOOD("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a")},
    {"leading zeros", GOOD("000000000000005\r\nhello\r\n000\r\n\r\n", "hello")},
    {"data that looks like framing", GOOD("9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n")},
    {"part of a size", PART("1", "")},
    {"part of the data", PART("a\r\nhello", "hello")},
    {"before the last line", PART("5\r\nhello\r\n0\r\n", "hello")},
    {"pipelined request", TEXT("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), CHUNKED_END, "x", "GET / HTTP/1.1\r\n"},
    {"pipelined chunk", TEXT("0\r\n\r\n1\r\nx\r\n"), CHUNKED_END, "", "1\r\nx\r\n"},

    {"size of 15 digits", PART("fffffffffffffff\r\nx", "x")},
    {"size of 16 digits", BAD("ffffffffffffffff\r\nx", "")},
    {"16 digits, all zero", BAD("0000000000000000\r\n\r\n", "")},
    {"16 digits, small", BAD("0000000000000001\r\nx\r\n0\r\n\r\n", "")},
    {"size missing", BAD("\r\nhello", "")},
    {"size missing before an extension", BAD(";a\r\nhello", "")},
    {"second size missing", BAD("1\r\nx\r\n\r\n", "x")},
    {"sign", BAD("+5\r\nhello", "")},
    {"minus", BAD("-5\r\nhello", "")},
    {"0x", BAD("0x5\r\nhello", "")},
    {"space before the size", BAD(" 5\r\nhello", "")},
    {"space after the size", BAD("5 \r\nhello", "")},
    {"tab before an extension", BAD("5\t;a\r\nhello", "")},
    {"not a digit", BAD("g\r\n", "")},
    {"underscore", BAD("1_0\r\n", "")},
    {"NUL in the size", BAD("5\0\r\nhello", "")},
    {"bare LF after the size", BAD("5\nhello\r\n0\r\n\r\n", "")},
    {"bare CR after the size", BAD("5\rhello", "")},
    {"two CR after the size", BAD("5\r\r\nhello", "")},

    {"extension", GOOD("5;a=b\r\nhello\r\n0;c\r\n\r\n", "hello")},
    {"quoted extension, obs-text, tab", GOOD("5; a=\"b;\\\"\xff\" ;\tx\r\nhello\r\n0\r\n\r\n", "hello")},
    {"LF in an extension", BAD("5;a\nhello", "")},
    {"CR in an extension", BAD("5;a\rb\r\nhello", "")},
    {"control byte in an extension", BAD("5;a\x01\r\nhello", "")},
    {"NUL in an extension", BAD("5;a\0\r\nhello", "")},
    {"DEL in an extension", BAD("5;a\x7f\r\nhello", "")},

    {"junk after the data", BAD("5\r\nhelloX\r\n0\r\n\r\n", "hello")},
    {"data longer than its size", BAD("4\r\nhello\r\n0\r\n\r\n", "hell")},
    {"data shorter than its size", BAD("6\r\nhello\r\n0\r\n\r\n", "hello\r")},
    {"bare LF after the data", BAD("5\r\nhello\n0\r\n\r\n", "hello")},
    {"bare CR after the data", BAD("5\r\nhello\r0\r\n\r\n", "hello")},
    {"next size without CRLF", BAD("5\r\nhello0\r\n\r\n", "hello")},

    {"trailers", GOOD("1\r\nx\r\n0\r\nA: b\r\nContent-Length: 5\r\nC:\r\n\r\n", "x")},
    {"trailer with obs-text", GOOD("0\r\nA: \xc3\xbc\t\r\n\r\n", "")},
    {"folded trailer", BAD("0\r\nA: b\r\n c\r\n\r\n", "")},
    {"folded trailer first", BAD("0\r\n A: b\r\n\r\n", "")},
    {"space before the colon", BAD("0\r\nA : b\r\n\r\n", "")},
    {"trailer without a name", BAD("0\r\n: b\r\n\r\n", "")},
    {"trailer without a colon", BAD("0\r\nA\r\n\r\n", "")},
    {"control byte in a trailer", BAD("0\r\nA: \x01\r\n\r\n", "")},
    {"NUL in a trailer", BAD("0\r\nA: \0\r\n\r\n", "")},
    {"bare LF after a trailer", BAD("0\r\nA: b\n\r\n", "")},
    {"bare CR in a trailer", BAD("0\r\nA: b\rC: d\r\n\r\n", "")},
    {"request instead of the last line", BAD("0\r\nGET / HTTP/1.1\r\n\r\n", "")},
    {"bare LF as last line", BAD("0\r\n\n", "")},
    {"CR without LF at the end", BAD("0\r\n\rX", "")},
};
/* clang-format on */

struct outcome {
    enum chunked_result result;
    size_t used, decoded;
    char *text;
};

/* Feed one piece; what is left of it after END stays. */
static void feed(struct chunked *c, const char *piece, size_t len, struct outcome *o)
{
    char *copy = malloc(len > 0 ? len : 1); /* exactly sized, for the sanitizer */
    size_t at = 0;

    assert_non_null(copy);
    memcpy(copy, piece, len);
    do {
        const char *data = NULL;
        size_t used = 0, data_len = 0;
        o->result = chunked_next(c, copy + at, len - at, &used, &data, &data_len);
        assert_true(used <= len - at);
        if (o->result == CHUNKED_DATA) {
            assert_true(data_len > 0 && data + data_len == copy + at + used);
            memcpy(o->text + o->decoded, data, data_len);
            o->decoded += data_len;
        }
        if (o->result == CHUNKED_MORE)
            assert_int_equal(used, len - at);
        at += used;
    } while (o->result == CHUNKED_DATA);
    o->used += at;
    free(copy);
}

static struct outcome decode(const char *body, size_t len, size_t first, size_t step)
{
    struct chunked c;
    struct outcome o = {.result = CHUNKED_MORE, .text = malloc(len + 1)};

    assert_non_null(o.text);
    chunked_init(&c);
    for (size_t at = 0, n = first < len ? first : len;;) {
        feed(&c, body + at, n, &o);
        at += n;
        if (o.result != CHUNKED_MORE || at == len)
            break;
        n = step < len - at ? step : len - at;
    }
    if (o.result == CHUNKED_REFUSED)
        assert_non_null(c.why);
    o.text[o.decoded] = '\0';
    /* END and REFUSED are final, and take nothing more. */
    if (o.result != CHUNKED_MORE) {
        const char *data;
        size_t used, data_len;
        assert_int_equal(chunked_next(&c, "5\r\n", 3, &used, &data, &data_len), o.result);
        assert_int_equal(used, 0);
    }
    return o;
}

static void assert_row(const struct row *row, size_t first, size_t step)
{
    struct outcome o = decode(row->body, row->len, first, step);

    if (o.result != row->result || strcmp(o.text, row->text) != 0)
        fail_msg("%s, first piece %zu: result %d \"%s\", expected %d \"%s\"", row->what, first,
                 o.result, o.text, row->result, row->text);
    if (row->rest != NULL)
        assert_int_equal(row->len - o.used, strlen(row->rest));
    free(o.text);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t split = 0; split <= rows[i].len; split++)
            assert_row(&rows[i], split, rows[i].len);
        assert_row(&rows[i], 1, 1);
    }
}

static void assert_result(const char *body, size_t len, enum chunked_result expected)
{
    for (size_t step = 1; step <= len; step = step * 3 + 1) {
        struct outcome o = decode(body, len, step, step);
        free(o.text);
        assert_int_equal(o.result, expected);
    }
}

static void test_extension_limit(void **state)
{
    char body[600];

    (void)state;
    for (size_t n = CHUNKED_EXTENSION_MAX; n <= CHUNKED_EXTENSION_MAX + 1; n++) {
        size_t len = 0;
        for (int chunk = 0; chunk < 2; chunk++) { /* the limit is for each chunk */
            body[len++] = chunk == 0 ? '1' : '0';
            memset(body + len, 'e', n);
            body[len] = ';';
            len += n;
            memcpy(body + len, chunk == 0 ? "\r\nx\r\n" : "\r\n\r\n", chunk == 0 ? 5 : 4);
            len += chunk == 0 ? 5 : 4;
        }
        assert_result(body, len, n > CHUNKED_EXTENSION_MAX ? CHUNKED_REFUSED : CHUNKED_END);
    }
}

static void test_trailer_limit(void **state)
{
    static char body[2 * CHUNKED_TRAILER_MAX];

    (void)state;
    for (size_t n = CHUNKED_TRAILER_MAX; n <= CHUNKED_TRAILER_MAX + 1; n++) {
        size_t len = 3;
        memcpy(body, "0\r\n", 3);
        while (len < n + 3) { /* lines of 64 bytes, the last one what is left */
            size_t line = n + 3 - len < 128 ? n + 3 - len : 64;
            memset(body + len, 't', line);
            body[len + 1] = ':';
            memcpy(body + len + line - 2, "\r\n", 2);
            len += line;
        }
        memcpy(body + len, "\r\n", 2);
        assert_result(body, len + 2, n > CHUNKED_TRAILER_MAX ? CHUNKED_REFUSED : CHUNKED_END);
    }
}

/* A chunk of 15 digits is counted down, not stored: sizes beyond 4 GiB keep their count. */
static void test_huge_chunk(void **state)
{
    static char zeros[1 << 20];
    struct chunked c;
    const char *data;
    size_t used, data_len;
    uint64_t left = 0x140000005ull;

    (void)state;
    chunked_init(&c);
    assert_int_equal(chunked_next(&c, "140000005\r\n", 11, &used, &data, &data_len), CHUNKED_MORE);
    while (left > 0) {
        assert_int_equal(chunked_next(&c, zeros, sizeof zeros, &used, &data, &data_len),
                         CHUNKED_DATA);
        assert_int_equal(data_len, left < sizeof zeros ? left : sizeof zeros);
        assert_int_equal(used, data_len);
        left -= data_len;
    }
    assert_int_equal(chunked_next(&c, "\r\n0\r\n\r\n", 7, &used, &data, &data_len), CHUNKED_END);
    assert_int_equal(used, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_extension_limit),
        cmocka_unit_test(test_trailer_limit),
        cmocka_unit_test(test_huge_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

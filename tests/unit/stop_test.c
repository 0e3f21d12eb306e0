#include "worker/text/stop.h"

#include "base/hash.h"
#include "base/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STOPS   4
#define DRAW(n) (hash_mix(seed, draw++) % (n))

static struct stop_list make_list(const char *const *stops)
{
    struct stop_list list = {0};

    for (size_t i = 0; i < STOPS && stops[i] != NULL; i++)
        assert_int_equal(stop_list_add(&list, stops[i], strlen(stops[i])), 0);
    return list;
}

/* What must be shown of a well-formed text, found the slow way; 1 when a stop string ends it. */
static int find_expected(const char *const *stops, const char *text, size_t len, size_t *shown)
{
    for (size_t end = 1; end <= len; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < STOPS && stops[i] != NULL; i++) {
            size_t n = strlen(stops[i]);
            if (n <= end && n > longest && memcmp(text + end - n, stops[i], n) == 0)
                longest = n;
        }
        if (longest > 0) {
            *shown = end - longest;
            return 1;
        }
    }
    *shown = len;
    return 0;
}

/* How much of the end may still become a stop string. */
static size_t find_held(const char *const *stops, const char *text, size_t len)
{
    size_t held = 0;

    for (size_t i = 0; i < STOPS && stops[i] != NULL; i++)
        for (size_t n = 1; n < strlen(stops[i]) && n <= len; n++)
            if (memcmp(text + len - n, stops[i], n) == 0 && n > held)
                held = n;
    return held;
}

static void check_shown(const struct buf *out, const char *text, size_t len)
{
    if (buf_pending(out) != len || (len > 0 && memcmp(out->data + out->pos, text, len) != 0))
        fail_msg("shown \"%.*s\", expected \"%.*s\"", (int)buf_pending(out),
                 out->data != NULL ? out->data + out->pos : "", (int)len, text);
}

/* Feed the text cut at the given places (ascending, ends with len) and check every step. */
static void check_cut(const char *const *stops, const char *text, const size_t *cut, size_t n_cuts)
{
    size_t len = cut[n_cuts - 1];
    size_t expected;
    int ends = find_expected(stops, text, len, &expected);
    struct stop_list list = make_list(stops);
    struct stop s;
    struct buf out = {0};
    size_t at = 0;
    int over = 0;

    stop_init(&s, &list);
    for (size_t i = 0; i < n_cuts; i++) {
        over = stop_push(&s, text + at, cut[i] - at, &out);
        at = cut[i];
        assert_true(utf8_valid(out.data + out.pos, buf_pending(&out)));
        assert_true(buf_pending(&out) <= expected);
        size_t shown;
        size_t whole = at; /* without the beginning of a sequence */
        while (whole < len && ((unsigned char)text[whole] & 0xc0) == 0x80)
            whole--;
        int is_over = find_expected(stops, text, whole, &shown);
        assert_int_equal(over, is_over);
        if (!is_over)
            shown -= find_held(stops, text, whole);
        check_shown(&out, text, shown);
    }
    assert_int_equal(over, ends);
    stop_flush(&s, &out);
    check_shown(&out, text, expected);
    assert_int_equal(stop_push(&s, "more", 4, &out), ends);
    if (ends)
        check_shown(&out, text, expected);
    stop_free(&s);
    stop_list_free(&list);
    buf_free(&out);
}

static const struct row {
    const char *stops[STOPS];
    const char *text;
} rows[] = {
    {{NULL}, "nothing to stop at"},
    {{"\n"}, "one line\nand another"},
    {{"STOP"}, "go on STOP here"},
    {{"STOP"}, "STOP"},
    {{"STOP"}, "SSTOP"},
    {{"STOP"}, "STSTOP rest"},
    {{"STOP"}, "held back STO"},
    {{"aab"}, "aaaab"},
    {{"abab", "ba"}, "xababab"},
    {{"abc", "b"}, "xabcx"},
    {{"b", "ab", "aab"}, "xaab"},
    {{"abcd", "bc"}, "xabcd"},
    {{"abcd", "bce"}, "xabce"},
    {{"\n\n", "\n###"}, "a\n##\n\nb"},
    {{"é"}, "caf\xc3\xa9!"},
    {{"日本"}, "a日b日本c"},
    {{"日本語"}, "日本日本"},
    {{"🙂🚀", "🚀🙂"}, "x🙂🙂🚀🙂"},
    {{"ü"}, "õ ö ü"},
    {{"</s>", "<|end|>"}, "a<b></s><|end|>"},
};

static void every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].text);
        for (size_t a = 0; a <= len; a++)
            for (size_t b = a; b <= len; b++)
                check_cut(rows[i].stops, rows[i].text, (size_t[]){a, b, len}, 3);
    }
}

static void every_byte(void **state)
{
    size_t cut[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].text);
        for (size_t k = 0; k < len; k++)
            cut[k] = k + 1;
        check_cut(rows[i].stops, rows[i].text, cut, len);
    }
}

/* Short texts and stop strings over three letters, one of two bytes: all kinds of overlaps. */
static void many_overlaps(void **state)
{
    static const char *const letters[] = {"a", "b", "é"};
    char stop[3][16], text[64];
    size_t cut[64];

    (void)state;
    for (uint64_t seed = 0; seed < 5000; seed++) {
        uint64_t draw = 0;
        const char *stops[STOPS] = {stop[0], stop[1], stop[2], NULL};
        for (int i = 0; i < 3; i++) {
            stop[i][0] = '\0';
            for (uint64_t n = 1 + DRAW(4); n > 0; n--)
                strcat(stop[i], letters[DRAW(3)]);
        }
        text[0] = '\0';
        for (uint64_t n = 1 + DRAW(20); n > 0; n--)
            strcat(text, letters[DRAW(3)]);
        size_t n_cuts = 0;
        for (size_t at = DRAW(3); at < strlen(text); at += 1 + DRAW(5))
            cut[n_cuts++] = at;
        cut[n_cuts++] = strlen(text);
        check_cut(stops, text, cut, n_cuts);
    }
}

static void bad_bytes_are_replaced(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"a\x80"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd"},                 /* broken off by the end */
        {"\xe2\x82x", "\xef\xbf\xbdx"},               /* broken off by a letter */
        {"\xe2\x82\xc3\xa9", "\xef\xbf\xbd\xc3\xa9"}, /* broken off by another sequence */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf0\x9f\x99\x82", "\xf0\x9f\x99\x82"},
    };
    struct stop_list none = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t cut = 0; cut <= strlen(cases[i].in); cut++) {
            struct stop s;
            struct buf out = {0};
            stop_init(&s, &none);
            assert_int_equal(stop_push(&s, cases[i].in, cut, &out), 0);
            assert_int_equal(stop_push(&s, cases[i].in + cut, strlen(cases[i].in) - cut, &out), 0);
            stop_flush(&s, &out);
            check_shown(&out, cases[i].out, strlen(cases[i].out));
            stop_free(&s);
            buf_free(&out);
        }
}

static void list_refuses(void **state)
{
    struct stop_list list = {0};
    char longest[STOP_LEN_MAX + 1];

    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_int_equal(stop_list_add(&list, "", 0), -EINVAL);
    assert_int_equal(stop_list_add(&list, "\xc3", 1), -EINVAL);
    assert_int_equal(stop_list_add(&list, longest, sizeof longest), -E2BIG);
    for (int i = 0; i < STOPS_MAX; i++)
        assert_int_equal(stop_list_add(&list, longest, STOP_LEN_MAX), 0);
    assert_int_equal(stop_list_add(&list, "x", 1), -E2BIG);
    stop_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split),   cmocka_unit_test(every_byte),
        cmocka_unit_test(many_overlaps), cmocka_unit_test(bad_bytes_are_replaced),
        cmocka_unit_test(list_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

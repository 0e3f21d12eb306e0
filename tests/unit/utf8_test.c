#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static size_t encode(uint32_t u, char out[4])
{
    if (u < 0x80) {
        out[0] = (char)u;
        return 1;
    }
    size_t n = u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, u >>= 6)
        out[i] = (char)(0x80 | (u & 0x3f));
    out[0] = (char)(0xff00 >> n | u);
    return n;
}

static void every_code_point_but_surrogates_is_well_formed(void **state)
{
    char s[4];

    (void)state;
    for (uint32_t u = 0; u < 0x110000; u++) {
        size_t n = encode(u, s);
        size_t expected = u >= 0xd800 && u <= 0xdfff ? 0 : n;
        if (utf8_sequence(s, n) != expected)
            fail_msg("U+%04X", u);
        if (expected > 1 && utf8_sequence(s, n - 1) != 0)
            fail_msg("U+%04X without its last byte", u);
    }
}

static void code_points_go_in_and_come_out(void **state)
{
    char expected[4], s[4];
    size_t n_decoded;

    (void)state;
    for (uint32_t u = 0; u < 0x110000; u++) {
        size_t n = encode(u, expected);
        if (utf8_encode(u, s) != n || memcmp(s, expected, n) != 0)
            fail_msg("U+%04X is encoded wrongly", u);
        if (utf8_decode(s, &n_decoded) != u || n_decoded != n)
            fail_msg("U+%04X is decoded wrongly", u);
    }
}

/* Of all four-byte strings over the interesting bytes, exactly the code points' own are accepted.
 */
static void nothing_else_is_well_formed(void **state)
{
    static const unsigned char bytes[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                          0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xec, 0xed,
                                          0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    const size_t n_bytes = sizeof bytes;

    (void)state;
    for (size_t i = 0; i < n_bytes * n_bytes * n_bytes * n_bytes; i++) {
        char s[4], again[4];
        size_t rest = i;
        uint32_t u = 0;
        for (size_t k = 0; k < 4; k++, rest /= n_bytes)
            s[k] = (char)bytes[rest % n_bytes];
        size_t n = utf8_sequence(s, 4);
        if (n < 2)
            continue;
        u = (unsigned char)s[0] & (0xffu >> (n + 1));
        for (size_t k = 1; k < n; k++)
            u = u << 6 | ((unsigned char)s[k] & 0x3f);
        assert_int_equal(encode(u, again), n);
        assert_memory_equal(s, again, n);
        assert_true(u < 0x110000 && (u < 0xd800 || u > 0xdfff));
    }
}

static void rows_of_table_3_7(void **state)
{
    static const struct {
        const char *s;
        int is_valid;
    } rows[] = {
        {"", 1},
        {"plain text longer than eight bytes", 1},
        {"gr\xc3\xbc\xc3\x9f", 1},
        {"\xe2\x82\xac and then eight more", 1},
        {"\xf0\x9f\x98\x80", 1},
        {"\xef\xbf\xbf\xef\xb7\x90", 1}, /* noncharacters are code points too */
        {"\xc0\x80", 0},
        {"\xc1\xbf", 0},
        {"\xe0\x80\x80", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xed\xa0\x80", 0},
        {"\xed\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xfe", 0},
        {"\x80", 0},
        {"a\xbf", 0},
        {"12345678\xc3", 0},
        {"1234567\xc3\xa9"
         "12345678",
         1},
        {"\xe2\x82", 0},
        {"\xe2\x28\xa1", 0},
        {"\xf0\x9f\x98", 0},
        {"\xc3\xa9\xa9", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (utf8_valid(rows[i].s, strlen(rows[i].s)) != rows[i].is_valid)
            fail_msg("row %zu", i);
    assert_int_equal(utf8_valid("a\0b", 3), 1);
    assert_int_equal(utf8_sequence("a", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_but_surrogates_is_well_formed),
        cmocka_unit_test(code_points_go_in_and_come_out),
        cmocka_unit_test(nothing_else_is_well_formed),
        cmocka_unit_test(rows_of_table_3_7),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/buf.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void bytes_come_out_as_they_went_in(void **state)
{
    struct buf b = {0};
    unsigned written = 0, read = 0;

    (void)state;
    assert_string_equal(buf_text(&b), "");
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < round; i++)
            buf_add_char(&b, (char)(written++ % 251));
        for (unsigned i = 0; i < round / 2; i++) {
            assert_int_equal((unsigned char)b.data[b.pos], read++ % 251);
            buf_consume(&b, 1);
        }
        assert_int_equal(buf_pending(&b), written - read);
    }
    while (buf_pending(&b) > 0) {
        assert_int_equal((unsigned char)b.data[b.pos], read++ % 251);
        buf_consume(&b, 1);
    }
    assert_int_equal(read, written);
    assert_int_equal(b.len, 0);
    buf_free(&b);
    assert_null(b.data);
}

static void pieces_of_text_are_appended(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_add_str(&b, "one");
    buf_add(&b, "", 0);
    buf_add_char(&b, ' ');
    buf_add_u64(&b, 0);
    buf_add_u64(&b, UINT64_MAX);
    buf_printf(&b, " %s-%03d", "x", 7);
    assert_string_equal(buf_text(&b), "one 018446744073709551615 x-007");
    buf_consume(&b, 4);
    assert_string_equal(buf_text(&b), "018446744073709551615 x-007");
    buf_clear(&b);
    assert_string_equal(buf_text(&b), "");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    buf_free(&b);
}

static void reserved_room_is_writable_and_counted_when_committed(void **state)
{
    struct buf b = {0};

    (void)state;
    memset(buf_reserve(&b, 5000), 'x', 5000);
    assert_int_equal(buf_pending(&b), 0);
    buf_commit(&b, 3);
    assert_string_equal(buf_text(&b), "xxx");
    buf_free(&b);
}

static void json_strings_are_escaped(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        const char *out;
    } rows[] = {
#define ROW(in, out) {in, sizeof in - 1, out}
        ROW("", "\"\""),
        ROW("plain", "\"plain\""),
        ROW("a\"b\\c", "\"a\\\"b\\\\c\""),
        ROW("\n\r\t", "\"\\n\\u000d\\u0009\""),
        ROW("\0\x1f\x7f", "\"\\u0000\\u001f\\u007f\""),
        ROW("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
            "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""),
        ROW("\xff", "\"\xef\xbf\xbd\""),
        ROW("a\xc3", "\"a\xef\xbf\xbd\""),
        ROW("\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""),
        ROW("\xed\xa0\x80z", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\""),
        ROW("</script>", "\"</script>\""),
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = {0};
        buf_add_json_string(&b, rows[i].in, rows[i].len);
        assert_string_equal(buf_text(&b), rows[i].out);
        buf_free(&b);
    }
}

static void what_a_terminal_may_get(void **state)
{
    static const struct {
        const char *in, *kept, *out;
    } rows[] = {
        {"plain \u00e4\u20ac\U0001f642", "", "plain \u00e4\u20ac\U0001f642"},
        {"\x1b[2J\a\x7f", "", "?[2J??"},
        {"a\tb\nc\rd", "\n\t", "a\tb\nc?d"},
        {"a\nb", "", "a?b"},
        {"\xc2\x9b" "31m", "", "?31m"}, /* CSI as one character */
        {"\xff\xc3", "", "??"},
    };
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_clear(&b);
        buf_add_printable(&b, rows[i].in, strlen(rows[i].in), rows[i].kept);
        assert_string_equal(buf_text(&b), rows[i].out);
    }
    buf_clear(&b);
    buf_add_printable(&b, "a\0b", 3, "\n");
    assert_string_equal(buf_text(&b), "a?b");
    buf_free(&b);
}

static void any_bytes_make_a_json_string(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 65536; pair++) {
        char in[2] = {(char)(pair >> 8), (char)pair};
        struct buf b = {0};
        buf_add_json_string(&b, in, 2);
        assert_true(utf8_valid(b.data, b.len));
        assert_true(b.data[0] == '"' && b.data[b.len - 1] == '"');
        for (size_t i = 1; i + 1 < b.len; i++) {
            assert_true((unsigned char)b.data[i] >= 0x20);
            if (b.data[i] == '\\')
                i++;
            else
                assert_true(b.data[i] != '"');
        }
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(pieces_of_text_are_appended),
        cmocka_unit_test(reserved_room_is_writable_and_counted_when_committed),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(any_bytes_make_a_json_string),
        cmocka_unit_test(what_a_terminal_may_get),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

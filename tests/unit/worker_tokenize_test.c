/* The pieces that `cortex tokenize` prints: one line each, whatever is in them. */
#include "worker/tokenize_command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *bytes;
    size_t len;
    const char *piece;
} rows[] = {
    {"", 0, ""},
    {" plain", 6, " plain"},
    {"\u00e4\u65e5\U0001f642", 9, "\u00e4\u65e5\U0001f642"},
    {"a\nb\rc\td\\n", 9, "a\\nb\\rc\\td\\\\n"},
    {"\0\x1b\x7f", 3, "\\x00\\x1b\\x7f"},
    {"\xc2\x9b", 2, "\\xc2\\x9b"}, /* a control character of two bytes */
    {"\xe6\x97", 2, "\\xe6\\x97"}, /* part of a character */
    {"\xa5x", 2, "\\xa5x"},        /* the rest of one */
    {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},
};

static void pieces(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_clear(&out);
        tokenize_add_piece(&out, rows[i].bytes, rows[i].len);
        assert_string_equal(buf_text(&out), rows[i].piece);
    }
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

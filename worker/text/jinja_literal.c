#include "worker/text/jinja_literal.h"

#include "base/utf8.h"
#include "worker/text/jinja_unicode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* --- strings --- */

static void put_char(struct jrun *r, uint32_t c)
{
    char text[4];

    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        jrun_fail(r, "the string escapes U+%04" PRIX32 ", which is no character", c);
    jrun_put(r, text, utf8_encode(c, text));
}

static size_t put_hex(struct jrun *r, const char *p, size_t len, size_t digits)
{
    uint32_t c = 0;

    for (size_t i = 1; i <= digits; i++) {
        if (i >= len || digit_of(p[i]) > 15)
            jrun_fail(r, "the escape \\%c wants %zu hexadecimal digits", p[0], digits);
        c = c << 4 | (uint32_t)digit_of(p[i]);
    }
    put_char(r, c);
    return 1 + digits;
}

static size_t put_octal(struct jrun *r, const char *p, size_t len)
{
    uint32_t c = 0;
    size_t i = 0;

    for (; i < 3 && i < len && p[i] >= '0' && p[i] <= '7'; i++)
        c = c << 3 | (uint32_t)(p[i] - '0');
    put_char(r, c);
    return i;
}

/* jinja2 writes what is not ASCII as an escape before it resolves escapes, so a backslash in front
 * of such a character escapes the backslash of that. */
static size_t put_escaped_escape(struct jrun *r, const char *p)
{
    size_t n;
    uint32_t c = utf8_decode(p, &n);

    jrun_putf(r, c < 0x100 ? "\\x%02" PRIx32 : c < 0x10000 ? "\\u%04" PRIx32 : "\\U%08" PRIx32, c);
    return n;
}

/* What stands behind a backslash, len > 0. Its length. */
static size_t put_escape(struct jrun *r, const char *p, size_t len)
{
    static const char letters[] = "abfnrtv\\'\"", plain[] = "\a\b\f\n\r\t\v\\'\"";
    const char *found = p[0] != 0 ? strchr(letters, p[0]) : NULL;

    if (found != NULL) {
        jrun_put(r, &plain[found - letters], 1);
        return 1;
    }
    if (p[0] == '\n')
        return 1;
    if (p[0] == 'x' || p[0] == 'u' || p[0] == 'U')
        return put_hex(r, p, len, p[0] == 'x' ? 2 : p[0] == 'u' ? 4 : 8);
    if (p[0] >= '0' && p[0] <= '7')
        return put_octal(r, p, len);
    if (p[0] == 'N')
        jrun_fail(r, "characters by name are not supported; write \\uXXXX");
    if ((unsigned char)p[0] >= 0x80)
        return put_escaped_escape(r, p);
    jrun_put(r, "\\", 1);
    jrun_put(r, p, 1);
    return 1;
}

const struct jstr *jliteral_string(struct jrun *r, const char *p, size_t len)
{
    size_t begin = jstr_begin(r);

    for (size_t at = 0; at < len;) {
        const char *slash = memchr(p + at, '\\', len - at);
        size_t n = slash != NULL ? (size_t)(slash - p) - at : len - at;
        jrun_put(r, p + at, n);
        at += n;
        if (slash != NULL) {
            at++;
            at += put_escape(r, p + at, len - at);
        }
    }
    return jstr_end(r, begin);
}

/* --- numbers --- */

/* Digits of the base with single underscores between them (and before the first, behind 0x): where
 * they end. */
static size_t skip_digits(const char *p, size_t len, size_t at, int base)
{
    for (;;) {
        size_t next = at > 0 && at < len && p[at] == '_' ? at + 1 : at;
        if (next >= len || digit_of(p[next]) >= base)
            return at;
        at = next + 1;
    }
}

/* Digits that begin right here, or 0. */
static size_t skip_decimals(const char *p, size_t len, size_t at)
{
    return at < len && digit_of(p[at]) < 10 ? skip_digits(p, len, at, 10) : 0;
}

static size_t end_of_float(const char *p, size_t len)
{
    size_t whole = skip_decimals(p, len, 0), end = 0, exponent = whole;

    if (whole < len && p[whole] == '.') {
        end = skip_decimals(p, len, whole + 1);
        exponent = end != 0 ? end : whole;
    }
    if (exponent < len && (p[exponent] | 0x20) == 'e') {
        size_t at = exponent + 1;
        if (at < len && (p[at] == '+' || p[at] == '-'))
            at++;
        at = skip_decimals(p, len, at);
        if (at != 0)
            end = at;
    }
    return end;
}

static double read_float(struct jrun *r, const char *p, size_t len)
{
    char *copy = jrun_alloc(r, len + 1);
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        if (p[i] != '_')
            copy[n++] = p[i];
    return strtod(copy, NULL);
}

static int64_t read_int(struct jrun *r, const char *p, size_t from, size_t to, int base)
{
    int64_t value = 0;

    for (size_t i = from; i < to; i++)
        if (p[i] != '_' && (__builtin_mul_overflow(value, base, &value) ||
                            __builtin_add_overflow(value, digit_of(p[i]), &value)))
            jrun_fail(r, "an integer is beyond 64 bits");
    return value;
}

size_t jliteral_number(struct jrun *r, const char *p, size_t len, bool may_be_float, struct jval *v)
{
    size_t end = may_be_float ? end_of_float(p, len) : 0;

    if (end != 0) {
        *v = jval_float(read_float(r, p, end));
        return end;
    }
    if (p[0] == '0') {
        char mark = len > 1 ? (char)(p[1] | 0x20) : 0;
        int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
        end = base != 0 ? skip_digits(p, len, 2, base) : 0;
        if (end > 2) {
            *v = jval_int(read_int(r, p, 2, end, base));
            return end;
        }
        *v = jval_int(0);
        return skip_digits(p, len, 0, 1); /* 0, 00, 0_0 */
    }
    end = skip_digits(p, len, 0, 10);
    *v = jval_int(read_int(r, p, 0, end, 10));
    return end;
}

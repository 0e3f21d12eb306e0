#include "worker/text/json_scan.h"

#include "base/utf8.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* --- strings --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static uint32_t read_unit(const char *escape)
{
    uint32_t unit = 0;

    for (int i = 2; i < 6; i++)
        unit = unit << 4 | (uint32_t)hex_value(escape[i]);
    return unit;
}

static bool is_high(uint32_t unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool may_follow(const struct json_chars *c, char next)
{
    switch (c->n) {
    case 1:
        return next != '\0' && strchr("\"\\/bfnrtu", next) != NULL;
    case 6:
        return next == '\\';
    case 7:
        return next == 'u';
    case 8:
        return next == 'd' || next == 'D';
    case 9:
        return hex_value(next) >= 12;
    default:
        return hex_value(next) >= 0;
    }
}

static bool is_whole_escape(const struct json_chars *c)
{
    if (c->escape[1] != 'u')
        return c->n == 2;
    return c->n == 12 || (c->n == 6 && !is_high(read_unit(c->escape)));
}

static void add_character(struct buf *out, uint32_t character)
{
    char text[4];

    buf_add(out, text, utf8_encode(character, text));
}

static void add_decoded(const struct json_chars *c, struct buf *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";

    if (c->escape[1] != 'u') {
        buf_add_char(out, values[strchr(names, c->escape[1]) - names]);
        return;
    }
    uint32_t unit = read_unit(c->escape);
    if (c->n == 12)
        unit = 0x10000 + ((unit - 0xd800) << 10) + (read_unit(c->escape + 6) - 0xdc00);
    if (unit >= 0xdc00 && unit < 0xe000)
        buf_add_str(out, REPLACEMENT);
    else
        add_character(out, unit);
}

/* What has come of an escape that is none: itself, or half a pair and perhaps another beginning. */
static void give_up_escape(struct json_chars *c, struct buf *out)
{
    struct json_chars old = *c;

    c->n = 0;
    if (old.n < 6) {
        buf_add(out, old.escape, old.n);
        return;
    }
    buf_add_str(out, REPLACEMENT);
    for (uint8_t i = 6; i < old.n; i++) /* too few to be whole */
        json_chars_push(c, &old.escape[i], 1, out);
}

bool json_chars_push(struct json_chars *c, const char *s, size_t n, struct buf *out)
{
    if (c->n > 0 && !may_follow(c, *s)) {
        give_up_escape(c, out);
        return json_chars_push(c, s, n, out);
    }
    if (c->n == 0 && *s != '\\') {
        if (*s != '"')
            buf_add(out, s, n);
        return *s == '"';
    }
    c->escape[c->n++] = *s;
    if (c->n > 1 && is_whole_escape(c)) {
        add_decoded(c, out);
        c->n = 0;
    }
    return false;
}

void json_escape(struct buf *out, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    static const char values[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *value = c != 0 ? strchr(values, c) : NULL;
        if (value != NULL) {
            buf_add_char(out, '\\');
            buf_add_char(out, names[value - values]);
        } else if (c < 0x20) {
            char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            buf_add(out, escape, sizeof escape);
        } else {
            buf_add_char(out, text[i]);
        }
    }
}

/* --- values --- */

enum scan_at {
    AT_VALUE,
    AT_ELEMENT, /* the first of an array, or its end */
    AT_MEMBER,  /* the first of an object, or its end */
    AT_KEY,
    AT_COLON,
    AT_NEXT, /* a comma, or the end of what is open */
    AT_STRING,
    AT_KEY_STRING,
    AT_NUMBER,
    AT_WORD,
    AT_END,
};

enum number_at { N_MINUS, N_ZERO, N_INT, N_DOT, N_FRACTION, N_E, N_SIGN, N_EXPONENT };

static const struct word {
    const char *text, *json;
    uint8_t kind;
} words[] = {
    {"true", "true", JSON_KIND_BOOL},   {"false", "false", JSON_KIND_BOOL},
    {"null", "null", JSON_KIND_NULL},   {"True", "true", JSON_KIND_BOOL},
    {"False", "false", JSON_KIND_BOOL}, {"None", "null", JSON_KIND_NULL},
};
#define WORDS_N      (sizeof words / sizeof words[0])
#define WORDS_JSON_N 3

static bool is_number_whole(const struct json_scan *j)
{
    return j->number == N_ZERO || j->number == N_INT || j->number == N_FRACTION ||
           j->number == N_EXPONENT;
}

bool json_scan_is_whole(const struct json_scan *j)
{
    return j->at == AT_END || (j->at == AT_NUMBER && j->depth == 0 && is_number_whole(j));
}

static enum json_scan_result end_value(struct json_scan *j)
{
    j->at = j->depth > 0 ? AT_NEXT : AT_END;
    return j->depth > 0 ? JSON_SCAN_MORE : JSON_SCAN_DONE;
}

static enum json_scan_result open_container(struct json_scan *j, bool is_object)
{
    if (j->depth == JSON_SCAN_DEPTH_MAX)
        return JSON_SCAN_BROKEN;
    uint64_t bit = UINT64_C(1) << j->depth++;
    j->is_object = is_object ? j->is_object | bit : j->is_object & ~bit;
    j->at = is_object ? AT_MEMBER : AT_ELEMENT;
    return JSON_SCAN_MORE;
}

static bool is_in_object(const struct json_scan *j)
{
    return (j->is_object >> (j->depth - 1) & 1) != 0;
}

static enum json_scan_result begin_word(struct json_scan *j, char c, uint8_t *kind)
{
    for (uint8_t i = 0; i < (j->takes_python ? WORDS_N : WORDS_JSON_N); i++)
        if (words[i].text[0] == c) {
            j->at = AT_WORD;
            j->word = i;
            j->word_at = 1;
            *kind = words[i].kind;
            return JSON_SCAN_MORE;
        }
    return JSON_SCAN_BROKEN;
}

static enum json_scan_result begin_value(struct json_scan *j, char c, struct buf *out)
{
    enum json_scan_result rc = JSON_SCAN_MORE;
    uint8_t kind = JSON_KIND_STRING;

    if (c == '{' || c == '[') {
        rc = open_container(j, c == '{');
        kind = c == '{' ? JSON_KIND_OBJECT : JSON_KIND_ARRAY;
    } else if (c == '"') {
        j->at = AT_STRING;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        j->at = AT_NUMBER;
        j->number = c == '-' ? N_MINUS : c == '0' ? N_ZERO : N_INT;
        j->has_fraction = false;
        kind = JSON_KIND_NUMBER;
    } else {
        rc = begin_word(j, c, &kind);
    }
    if (rc == JSON_SCAN_BROKEN)
        return rc;
    if (j->kind == JSON_KIND_NONE)
        j->kind = kind;
    if (j->at != AT_WORD)
        buf_add_char(out, c);
    return rc;
}

/* The number's next state, or -1 when the character is not of it. */
static int next_of_number(uint8_t at, char c)
{
    bool is_digit = c >= '0' && c <= '9';

    switch ((enum number_at)at) {
    case N_MINUS:
        return c == '0' ? N_ZERO : is_digit ? N_INT : -1;
    case N_INT:
        if (is_digit)
            return N_INT;
        __attribute__((fallthrough));
    case N_ZERO:
        return c == '.' ? N_DOT : c == 'e' || c == 'E' ? N_E : -1;
    case N_DOT:
        return is_digit ? N_FRACTION : -1;
    case N_FRACTION:
        return is_digit ? N_FRACTION : c == 'e' || c == 'E' ? N_E : -1;
    case N_E:
        if (c == '+' || c == '-')
            return N_SIGN;
        __attribute__((fallthrough));
    case N_SIGN:
    case N_EXPONENT:
        return is_digit ? N_EXPONENT : -1;
    }
    return -1;
}

static enum json_scan_result push_number(struct json_scan *j, const char *s, size_t n,
                                         struct buf *out)
{
    int next = next_of_number(j->number, *s);

    if (next >= 0) {
        j->number = (uint8_t)next;
        j->has_fraction |= next == N_DOT || next == N_E;
        buf_add_char(out, *s);
        return JSON_SCAN_MORE;
    }
    if (!is_number_whole(j) || (j->depth == 0 && !json_is_space(*s)))
        return JSON_SCAN_BROKEN;
    struct json_scan old = *j;
    end_value(j);
    enum json_scan_result rc = json_scan_push(j, s, n, out);
    if (rc == JSON_SCAN_BROKEN)
        *j = old;
    return rc;
}

static enum json_scan_result push_word(struct json_scan *j, char c, struct buf *out)
{
    const struct word *w = &words[j->word];

    if (w->text[j->word_at] != c)
        return JSON_SCAN_BROKEN;
    if (w->text[++j->word_at] != '\0')
        return JSON_SCAN_MORE;
    buf_add_str(out, w->json);
    return end_value(j);
}

static enum json_scan_result push_string(struct json_scan *j, const char *s, size_t n,
                                         struct buf *out)
{
    if (j->chars.n == 0 && *s != '"' && *s != '\\') {
        json_escape(out, s, n);
        return JSON_SCAN_MORE;
    }
    struct buf text = {0};
    bool is_end = json_chars_push(&j->chars, s, n, &text);

    json_escape(out, text.data, buf_pending(&text));
    buf_free(&text);
    if (!is_end)
        return JSON_SCAN_MORE;
    buf_add_char(out, '"');
    if (j->at == AT_STRING)
        return end_value(j);
    j->at = AT_COLON;
    return JSON_SCAN_MORE;
}

static enum json_scan_result push_mark(struct json_scan *j, char c, struct buf *out)
{
    bool may_end = j->at == AT_NEXT || j->at == AT_ELEMENT || j->at == AT_MEMBER;

    if (may_end && c == (is_in_object(j) ? '}' : ']')) {
        buf_add_char(out, c);
        j->depth--;
        return end_value(j);
    }
    if (j->at == AT_NEXT && c == ',')
        j->at = is_in_object(j) ? AT_KEY : AT_VALUE;
    else if (j->at == AT_COLON && c == ':')
        j->at = AT_VALUE;
    else if ((j->at == AT_KEY || j->at == AT_MEMBER) && c == '"')
        j->at = AT_KEY_STRING;
    else
        return JSON_SCAN_BROKEN;
    buf_add_char(out, c);
    return JSON_SCAN_MORE;
}

enum json_scan_result json_scan_push(struct json_scan *j, const char *s, size_t n, struct buf *out)
{
    if (j->at == AT_STRING || j->at == AT_KEY_STRING)
        return push_string(j, s, n, out);
    if (j->at == AT_NUMBER)
        return push_number(j, s, n, out);
    if (j->at == AT_WORD)
        return push_word(j, *s, out);
    if (json_is_space(*s)) {
        if (j->depth > 0)
            buf_add_char(out, *s);
        return j->at == AT_END ? JSON_SCAN_DONE : JSON_SCAN_MORE;
    }
    if (j->at == AT_END)
        return JSON_SCAN_BROKEN;
    if (j->at == AT_VALUE || (j->at == AT_ELEMENT && *s != ']'))
        return begin_value(j, *s, out);
    return push_mark(j, *s, out);
}

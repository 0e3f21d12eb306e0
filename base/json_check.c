#include "base/json_check.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/json_keys.h"
#include "base/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(JSON_DEPTH_MAX <= 64, "one bit a level in is_object");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "skip_plain() takes the lowest byte first");

/* X(state, what it waits for) */
#define STATES(X) \
    X(WANT_VALUE, "a value") \
    X(WANT_ITEM_OR_END, "a value or ']'") \
    X(WANT_KEY_OR_END, "a key in double quotes or '}'") \
    X(WANT_KEY, "a key in double quotes") \
    X(WANT_COLON, "':'") \
    X(WANT_COMMA_IN_ARRAY, "',' or ']'") \
    X(WANT_COMMA_IN_OBJECT, "',' or '}'") \
    X(IN_STRING, "the rest of a string") \
    X(IN_UTF8, "a UTF-8 continuation byte") \
    X(IN_ESCAPE, "one of \" \\ / b f n r t u") \
    X(IN_HEX, "a hexadecimal digit") \
    X(IN_PAIR, "the \\u of a low surrogate") \
    X(IN_PAIR_U, "the \\u of a low surrogate") \
    X(NUMBER_MINUS, "a digit") \
    X(NUMBER_ZERO, "no digit after a leading zero") \
    X(NUMBER_INT, "a number") \
    X(NUMBER_DOT, "a digit") \
    X(NUMBER_FRACTION, "a number") \
    X(NUMBER_E, "a digit or a sign") \
    X(NUMBER_E_SIGN, "a digit") \
    X(NUMBER_EXPONENT, "a number") \
    X(IN_LITERAL, "true, false or null") \
    X(DONE, "the end of the document")

#define X(state, expected) state,
enum state { STATES(X) STATES_N };
#undef X

struct json_check {
    enum state state;
    bool is_key;       /* of the string being read */
    bool is_wide;      /* json_check_is_wide() */
    uint8_t hex_left;  /* digits of \uXXXX */
    uint8_t utf8_left; /* continuation bytes, the next one within [low, high] */
    uint8_t utf8_low, utf8_high;
    uint32_t unit;       /* the \uXXXX being read */
    uint32_t high_half;  /* of a surrogate pair, 0 = none open */
    const char *literal; /* rest of it; static */
    uint32_t nodes, nodes_max;
    uint32_t depth;
    uint64_t is_object;              /* one bit a level */
    uint64_t object[JSON_DEPTH_MAX]; /* number of each open one */
    uint64_t objects;                /* so far */
    const char *piece;               /* borrowed during a call: where it began */
    uint64_t before;                 /* bytes before it */
    struct buf key;                  /* unescaped so far */
    size_t number_len;
    char number[JSON_NUMBER_MAX + 1];

    struct json_keys keys; /* of all objects */

    struct err err; /* sticky */
};

typedef int taker(struct json_check *c, const char **at, const char *end);

/* --- refusing --- */

static uint64_t position(const struct json_check *c, const char *at)
{
    return c->before + (uint64_t)(at - c->piece);
}

static int refuse_as(struct json_check *c, const char *at, const char *found, const char *expected)
{
    return err_set(&c->err, EINVAL, "byte %llu: found %s, expected %s",
                   (unsigned long long)position(c, at), found, expected);
}

static const char *expected_in(enum state state)
{
#define X(constant, expected) expected,
    static const char *const expected[] = { STATES(X) };
#undef X
    return expected[state];
}

/* The byte at `at` is not what the state waits for. */
static int refuse(struct json_check *c, const char *at)
{
    unsigned char b = (unsigned char)*at;
    char found[16];

    snprintf(found, sizeof found, b > 0x20 && b < 0x7f ? "'%c'" : "byte 0x%02x", b);
    return refuse_as(c, at, found, expected_in(c->state));
}

static int refuse_limit(struct json_check *c, const char *at, const char *found, unsigned most)
{
    return err_set(&c->err, E2BIG, "byte %llu: found %s, expected at most %u",
                   (unsigned long long)position(c, at), found, most);
}

static int refuse_duplicate(struct json_check *c, const char *at)
{
    struct buf found = {0};
    size_t shown = c->key.len < 64 ? c->key.len : 64;

    buf_add_str(&found, "a second key ");
    buf_add_json_string(&found, buf_text(&c->key), shown);
    int rc = refuse_as(c, at, buf_text(&found), "every key of an object once");
    buf_free(&found);
    return rc;
}

/* --- keys --- */

/* bytes = at when they stand in the document as they are. */
static int add_key_bytes(struct json_check *c, const char *at, const char *bytes, size_t n)
{
    size_t room = JSON_KEY_MAX - c->key.len;

    if (n > room)
        return refuse_limit(c, bytes == at ? at + room : at, "a longer key", JSON_KEY_MAX);
    buf_add(&c->key, bytes, n);
    return 0;
}

/* --- values --- */

static bool is_in_object(const struct json_check *c)
{
    return (c->is_object >> (c->depth - 1) & 1) != 0;
}

static void end_value(struct json_check *c)
{
    if (c->depth == 0)
        c->state = DONE;
    else
        c->state = is_in_object(c) ? WANT_COMMA_IN_OBJECT : WANT_COMMA_IN_ARRAY;
}

static int open_container(struct json_check *c, const char *at, bool is_object)
{
    if (c->depth == JSON_DEPTH_MAX)
        return refuse_limit(c, at, "a deeper level", JSON_DEPTH_MAX);
    uint64_t bit = 1ull << c->depth;
    c->is_object = is_object ? c->is_object | bit : c->is_object & ~bit;
    c->object[c->depth++] = c->objects;
    c->objects += is_object;
    c->state = is_object ? WANT_KEY_OR_END : WANT_ITEM_OR_END;
    return 0;
}

static void close_container(struct json_check *c)
{
    c->depth--;
    end_value(c);
}

static void begin_string(struct json_check *c, bool is_key)
{
    c->is_key = is_key;
    buf_clear(&c->key);
    c->state = IN_STRING;
}

static void begin_number(struct json_check *c, char first)
{
    c->number[0] = first;
    c->number_len = 1;
    c->state = first == '-' ? NUMBER_MINUS : first == '0' ? NUMBER_ZERO : NUMBER_INT;
}

static void begin_literal(struct json_check *c, const char *rest)
{
    c->literal = rest;
    c->state = IN_LITERAL;
}

static int begin_value(struct json_check *c, const char *at)
{
    if (c->nodes == c->nodes_max)
        return refuse_limit(c, at, "another value", c->nodes_max);
    c->nodes++;
    switch (*at) {
    case '{':
        return open_container(c, at, true);
    case '[':
        return open_container(c, at, false);
    case '"':
        begin_string(c, false);
        return 0;
    case 't':
        begin_literal(c, "rue");
        return 0;
    case 'f':
        begin_literal(c, "alse");
        return 0;
    case 'n':
        begin_literal(c, "ull");
        return 0;
    default:
        if (*at != '-' && (*at < '0' || *at > '9'))
            return refuse(c, at);
        begin_number(c, *at);
        return 0;
    }
}

/* --- structure: each consumes white space and at most one byte more --- */

static bool skip_space(const char **at, const char *end)
{
    const char *p = *at;

    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    *at = p;
    return p < end;
}

static int take_value(struct json_check *c, const char **at, const char *end)
{
    return skip_space(at, end) ? begin_value(c, (*at)++) : 0;
}

static int take_item_or_end(struct json_check *c, const char **at, const char *end)
{
    if (!skip_space(at, end))
        return 0;
    if (**at != ']')
        return begin_value(c, (*at)++);
    ++*at;
    close_container(c);
    return 0;
}

static int take_key(struct json_check *c, const char **at, const char *end)
{
    if (!skip_space(at, end))
        return 0;
    if (**at == '"')
        begin_string(c, true);
    else if (**at == '}' && c->state == WANT_KEY_OR_END)
        close_container(c);
    else
        return refuse(c, *at);
    ++*at;
    return 0;
}

static int take_colon(struct json_check *c, const char **at, const char *end)
{
    if (!skip_space(at, end))
        return 0;
    if (**at != ':')
        return refuse(c, *at);
    ++*at;
    c->state = WANT_VALUE;
    return 0;
}

static int take_comma(struct json_check *c, const char **at, const char *end)
{
    bool is_object = c->state == WANT_COMMA_IN_OBJECT;

    if (!skip_space(at, end))
        return 0;
    if (**at == ',')
        c->state = is_object ? WANT_KEY : WANT_VALUE;
    else if (**at == (is_object ? '}' : ']'))
        close_container(c);
    else
        return refuse(c, *at);
    ++*at;
    return 0;
}

static int take_nothing(struct json_check *c, const char **at, const char *end)
{
    return skip_space(at, end) ? refuse(c, *at) : 0;
}

/* --- strings --- */

/* The first byte that is not plain: a quote, a backslash, a control byte or not ASCII. */
static const char *skip_plain(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101ull, tops = 0x8080808080808080ull;

    for (; end - p >= 8; p += 8) {
        uint64_t w, quote, backslash;
        memcpy(&w, p, 8);
        quote = w ^ ones * '"';
        backslash = w ^ ones * '\\';
        /* Top bits: a byte that is a quote, a backslash, below 0x20, or not ASCII. A borrow can
         * set a wrong one only above a right one, and the lowest is what counts. */
        uint64_t hit = ((quote - ones) | (backslash - ones) | (w - ones * 0x20) | w) & tops;
        if (hit != 0)
            return p + __builtin_ctzll(hit) / 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return p;
}

static int begin_utf8(struct json_check *c, const char *at)
{
    unsigned char b = (unsigned char)*at;

    if (b < 0xc2 || b > 0xf4) {
        char found[16];
        snprintf(found, sizeof found, "byte 0x%02x", b);
        return refuse_as(c, at, found, "UTF-8");
    }
    c->utf8_left = b >= 0xf0 ? 3 : b >= 0xe0 ? 2 : 1;
    c->utf8_low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
    c->utf8_high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    c->state = IN_UTF8;
    return 0;
}

static int take_utf8(struct json_check *c, const char **at, const char *end)
{
    unsigned char b = (unsigned char)**at;

    (void)end;
    if (b < c->utf8_low || b > c->utf8_high)
        return refuse(c, *at);
    c->utf8_low = 0x80;
    c->utf8_high = 0xbf;
    if (--c->utf8_left == 0)
        c->state = IN_STRING;
    ++*at;
    return c->is_key ? add_key_bytes(c, *at - 1, *at - 1, 1) : 0;
}

static int end_string(struct json_check *c, const char *at)
{
    if (!c->is_key) {
        end_value(c);
        return 0;
    }
    if (!json_keys_enter(&c->keys, c->object[c->depth - 1], buf_text(&c->key), c->key.len))
        return refuse_duplicate(c, at);
    c->state = WANT_COLON;
    return 0;
}

static int take_string(struct json_check *c, const char **at, const char *end)
{
    const char *from = *at, *p = skip_plain(from, end);
    size_t n;
    int rc = 0;

    while (p < end && (unsigned char)*p >= 0x80 && (n = utf8_sequence(p, (size_t)(end - p))) > 0) {
        p += n;
        if (p < end && (unsigned char)*p < 0x80)
            p = skip_plain(p, end);
    }
    if (c->is_key)
        rc = add_key_bytes(c, from, from, (size_t)(p - from));
    *at = p;
    if (rc != 0 || p == end)
        return rc;
    ++*at;
    if (*p == '"')
        return end_string(c, p);
    if (*p == '\\') {
        c->state = IN_ESCAPE;
        return 0;
    }
    if ((unsigned char)*p < 0x20) {
        char found[32];
        snprintf(found, sizeof found, "control byte 0x%02x", (unsigned char)*p);
        return refuse_as(c, p, found, "it escaped inside a string");
    }
    rc = begin_utf8(c, p); /* broken, or cut by the end of the piece */
    if (rc == 0 && c->is_key)
        rc = add_key_bytes(c, p, p, 1);
    return rc;
}

static int take_escape(struct json_check *c, const char **at, const char *end)
{
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    const char *p = (*at)++;
    const char *name = *p != '\0' ? strchr(names, *p) : NULL;

    (void)end;
    if (*p == 'u') {
        c->unit = 0;
        c->hex_left = 4;
        c->state = IN_HEX;
        return 0;
    }
    if (name == NULL)
        return refuse(c, p);
    c->state = IN_STRING;
    return c->is_key ? add_key_bytes(c, p, &bytes[name - names], 1) : 0;
}

static int add_key_code_point(struct json_check *c, const char *at, uint32_t u)
{
    char s[4];

    return add_key_bytes(c, at, s, utf8_encode(u, s));
}

/* c->unit is complete; at = its last digit. */
static int end_unit(struct json_check *c, const char *at)
{
    bool is_high = c->unit >= 0xd800 && c->unit <= 0xdbff;
    bool is_low = c->unit >= 0xdc00 && c->unit <= 0xdfff;
    uint32_t u = c->unit;
    char found[64];

    if (is_low != (c->high_half != 0)) {
        snprintf(found, sizeof found, "\\u%04x %s", u,
                 is_low ? "alone" : "behind a high surrogate");
        return refuse_as(c, at, found, "a surrogate pair");
    }
    if (is_high) {
        c->high_half = u;
        c->state = IN_PAIR;
        return 0;
    }
    if (is_low)
        u = 0x10000 + ((c->high_half - 0xd800) << 10) + (u - 0xdc00);
    c->high_half = 0;
    c->state = IN_STRING;
    if (!c->is_key)
        return 0;
    if (u == 0)
        return refuse_as(c, at, "\\u0000 in a key", "a key without it");
    return add_key_code_point(c, at, u);
}

static int take_hex(struct json_check *c, const char **at, const char *end)
{
    while (*at < end) {
        const char *p = *at;
        int digit = *p >= '0' && *p <= '9'   ? *p - '0'
                    : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
                    : *p >= 'A' && *p <= 'F' ? *p - 'A' + 10
                                             : -1;
        if (digit < 0)
            return refuse(c, p);
        c->unit = c->unit << 4 | (uint32_t)digit;
        ++*at;
        if (--c->hex_left == 0)
            return end_unit(c, p);
    }
    return 0;
}

static int take_pair(struct json_check *c, const char **at, const char *end)
{
    bool is_first = c->state == IN_PAIR;

    (void)end;
    if (**at != (is_first ? '\\' : 'u'))
        return refuse(c, *at);
    ++*at;
    c->unit = 0;
    c->hex_left = 4;
    c->state = is_first ? IN_PAIR_U : IN_HEX;
    return 0;
}

/* --- numbers and literals --- */

/* Where a byte leads from each state of a number; 0 = not part of it. */
static enum state number_next(enum state state, char b)
{
    bool is_digit = b >= '0' && b <= '9';

    switch ((int)state) {
    case NUMBER_MINUS:
        return b == '0' ? NUMBER_ZERO : is_digit ? NUMBER_INT : 0;
    case NUMBER_ZERO:
        return b == '.' ? NUMBER_DOT : b == 'e' || b == 'E' ? NUMBER_E : 0;
    case NUMBER_INT:
        return is_digit ? NUMBER_INT : b == '.' ? NUMBER_DOT : b == 'e' || b == 'E' ? NUMBER_E : 0;
    case NUMBER_DOT:
        return is_digit ? NUMBER_FRACTION : 0;
    case NUMBER_FRACTION:
        return is_digit ? NUMBER_FRACTION : b == 'e' || b == 'E' ? NUMBER_E : 0;
    case NUMBER_E:
        return is_digit ? NUMBER_EXPONENT : b == '+' || b == '-' ? NUMBER_E_SIGN : 0;
    default: /* NUMBER_E_SIGN, NUMBER_EXPONENT */
        return is_digit ? NUMBER_EXPONENT : 0;
    }
}

static bool is_beyond_64_bits(const char *number)
{
    errno = 0;
    if (number[0] == '-')
        (void)strtoll(number, NULL, 10);
    else
        (void)strtoull(number, NULL, 10);
    return errno == ERANGE;
}

/* The byte at `at`, or the end of the document, is not part of the number any more. */
static int end_number(struct json_check *c, const char *at)
{
    bool is_integer = c->state == NUMBER_ZERO || c->state == NUMBER_INT;
    bool may_overflow = c->state == NUMBER_EXPONENT || c->number_len > 300;

    c->number[c->number_len] = '\0';
    if (may_overflow && !isfinite(strtod(c->number, NULL)))
        return refuse_as(c, at, "a number beyond the range of a double before it",
                         "a magnitude below 1.8e308");
    c->is_wide = is_integer && c->number_len > 18 && is_beyond_64_bits(c->number);
    end_value(c);
    return 0;
}

static bool is_number_complete(enum state state)
{
    return state == NUMBER_ZERO || state == NUMBER_INT || state == NUMBER_FRACTION ||
           state == NUMBER_EXPONENT;
}

static int take_number(struct json_check *c, const char **at, const char *end)
{
    for (const char *p = *at; p < end; p++) {
        enum state next = number_next(c->state, *p);
        *at = p;
        if (next == 0) {
            bool is_leading_zero = c->state == NUMBER_ZERO && *p >= '0' && *p <= '9';
            if (!is_number_complete(c->state) || is_leading_zero)
                return refuse(c, p);
            return end_number(c, p);
        }
        if (c->number_len == JSON_NUMBER_MAX)
            return refuse_limit(c, p, "a longer number", JSON_NUMBER_MAX);
        c->number[c->number_len++] = *p;
        c->state = next;
    }
    *at = end;
    return 0;
}

static int take_literal(struct json_check *c, const char **at, const char *end)
{
    while (*at < end && *c->literal != '\0') {
        if (**at != *c->literal)
            return refuse(c, *at);
        ++*at;
        c->literal++;
    }
    if (*c->literal == '\0')
        end_value(c);
    return 0;
}

/* --- the document --- */

static taker *const takers[STATES_N] = {
    [WANT_VALUE] = take_value,
    [WANT_ITEM_OR_END] = take_item_or_end,
    [WANT_KEY_OR_END] = take_key,
    [WANT_KEY] = take_key,
    [WANT_COLON] = take_colon,
    [WANT_COMMA_IN_ARRAY] = take_comma,
    [WANT_COMMA_IN_OBJECT] = take_comma,
    [IN_STRING] = take_string,
    [IN_UTF8] = take_utf8,
    [IN_ESCAPE] = take_escape,
    [IN_HEX] = take_hex,
    [IN_PAIR] = take_pair,
    [IN_PAIR_U] = take_pair,
    [NUMBER_MINUS] = take_number,
    [NUMBER_ZERO] = take_number,
    [NUMBER_INT] = take_number,
    [NUMBER_DOT] = take_number,
    [NUMBER_FRACTION] = take_number,
    [NUMBER_E] = take_number,
    [NUMBER_E_SIGN] = take_number,
    [NUMBER_EXPONENT] = take_number,
    [IN_LITERAL] = take_literal,
    [DONE] = take_nothing,
};

struct json_check *json_check_new(void)
{
    struct json_check *c = calloc(1, sizeof *c);

    CHECK(c != NULL);
    json_keys_init(&c->keys);
    c->nodes_max = JSON_NODES_MAX;
    return c;
}

void json_check_allow_nodes(struct json_check *c, uint32_t nodes_max)
{
    c->nodes_max = nodes_max;
}

void json_check_free(struct json_check **c)
{
    if (*c == NULL)
        return;
    json_keys_clear(&(*c)->keys);
    buf_free(&(*c)->key);
    free(*c);
    *c = NULL;
}

void json_check_reset(struct json_check *c)
{
    json_keys_clear(&c->keys);
    buf_clear(&c->key);
    c->state = WANT_VALUE;
    c->is_wide = false;
    c->high_half = 0;
    c->nodes = c->depth = 0;
    c->objects = c->before = 0;
    c->err.code = 0;
}

/* The error of now or of an earlier call, if any. */
static int report(const struct json_check *c, struct err *e)
{
    if (c->err.code != 0 && e != NULL)
        *e = c->err;
    return -c->err.code;
}

int json_check_feed_to_wide(struct json_check *c, const char *data, size_t len, size_t *used,
                            struct err *e)
{
    const char *at = data, *end = data + len;
    int rc = -c->err.code;

    c->piece = data;
    c->is_wide = false;
    while (rc == 0 && at < end && !c->is_wide)
        rc = takers[c->state](c, &at, end);
    *used = (size_t)(at - data);
    c->before += *used;
    return report(c, e);
}

bool json_check_is_wide(const struct json_check *c)
{
    return c->is_wide;
}

int json_check_feed(struct json_check *c, const char *data, size_t len, struct err *e)
{
    size_t used = 0;
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < len; at += used)
        rc = json_check_feed_to_wide(c, data + at, len - at, &used, e);
    return rc;
}

int json_check_finish(struct json_check *c, struct err *e)
{
    c->piece = "";
    c->is_wide = false;
    if (c->err.code == 0 && is_number_complete(c->state))
        end_number(c, c->piece);
    if (c->err.code == 0 && c->state != DONE)
        refuse_as(c, c->piece, "the end of the document", expected_in(c->state));
    return report(c, e);
}

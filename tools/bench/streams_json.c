#include "tools/bench/streams_json.h"

#include <string.h>

#define DEPTH_MAX 32

struct cursor {
    const char *at, *end;
    int depth;
    struct chunk *chunk;
};

typedef int member_fn(struct cursor *c, struct text key);

static int skip_value(struct cursor *c);

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

/* 1 when the next token is this one, which is then taken. */
static int take(struct cursor *c, char ch)
{
    skip_space(c);
    if (c->at == c->end || *c->at != ch)
        return 0;
    c->at++;
    return 1;
}

static int take_string(struct cursor *c, struct text *t)
{
    if (!take(c, '"'))
        return -1;
    t->at = c->at;
    while (c->at < c->end && *c->at != '"') {
        if ((unsigned char)*c->at < 0x20)
            return -1;
        c->at += *c->at == '\\' ? 2 : 1;
    }
    if (c->at >= c->end)
        return -1;
    t->len = (size_t)(c->at++ - t->at);
    return 0;
}

static int take_word(struct cursor *c)
{
    const char *from = c->at;

    while (c->at < c->end && strchr("+-.0123456789Eaeflnrstu", *c->at) != NULL && *c->at != '\0')
        c->at++;
    return c->at > from ? 0 : -1;
}

static int walk_object(struct cursor *c, member_fn *member)
{
    struct text key;

    if (!take(c, '{') || ++c->depth > DEPTH_MAX)
        return -1;
    if (!take(c, '}')) {
        do {
            if (take_string(c, &key) != 0 || !take(c, ':') || member(c, key) != 0)
                return -1;
        } while (take(c, ','));
        if (!take(c, '}'))
            return -1;
    }
    c->depth--;
    return 0;
}

static int skip_member(struct cursor *c, struct text key)
{
    (void)key;
    return skip_value(c);
}

/* Elements go to the member function too, without a key. */
static int walk_array(struct cursor *c, member_fn *element)
{
    if (!take(c, '[') || ++c->depth > DEPTH_MAX)
        return -1;
    if (!take(c, ']')) {
        do {
            if (element(c, (struct text){NULL, 0}) != 0)
                return -1;
        } while (take(c, ','));
        if (!take(c, ']'))
            return -1;
    }
    c->depth--;
    return 0;
}

static int skip_value(struct cursor *c)
{
    struct text ignored;

    skip_space(c);
    if (c->at == c->end)
        return -1;
    switch (*c->at) {
    case '{':
        return walk_object(c, skip_member);
    case '[':
        return walk_array(c, skip_member);
    case '"':
        return take_string(c, &ignored);
    default:
        return take_word(c);
    }
}

static bool is_null(struct cursor *c)
{
    skip_space(c);
    return c->end - c->at >= 4 && memcmp(c->at, "null", 4) == 0;
}

static int take_text(struct cursor *c, struct text *t)
{
    return is_null(c) ? skip_value(c) : take_string(c, t);
}

static int take_count(struct cursor *c, uint64_t *n)
{
    skip_space(c);
    const char *from = c->at;
    for (*n = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        *n = *n * 10 + (uint64_t)(*c->at - '0');
    return c->at > from ? 0 : -1;
}

/* --- the document --- */

static int delta_member(struct cursor *c, struct text key)
{
    if (text_is(key, "content"))
        return take_text(c, &c->chunk->text);
    if (text_is(key, "role"))
        return take_text(c, &c->chunk->role);
    return skip_value(c);
}

static int choice_member(struct cursor *c, struct text key)
{
    if (text_is(key, "delta") || text_is(key, "message"))
        return walk_object(c, delta_member);
    if (text_is(key, "text"))
        return take_text(c, &c->chunk->text);
    if (text_is(key, "finish_reason"))
        return take_text(c, &c->chunk->finish);
    return skip_value(c);
}

static int choice(struct cursor *c, struct text key)
{
    (void)key;
    if (c->chunk->has_choice)
        return -1; /* one answer was asked for */
    c->chunk->has_choice = true;
    return walk_object(c, choice_member);
}

static int usage_member(struct cursor *c, struct text key)
{
    if (text_is(key, "prompt_tokens"))
        return take_count(c, &c->chunk->prompt_tokens);
    if (text_is(key, "completion_tokens"))
        return take_count(c, &c->chunk->completion_tokens);
    return skip_value(c);
}

/* Milliseconds with at most nine digits on either side of the point. */
static int take_ms(struct cursor *c, double *ms)
{
    uint64_t whole, fraction = 0;

    if (take_count(c, &whole) != 0)
        return -1;
    double scale = 1;
    if (c->at < c->end && *c->at == '.') {
        const char *from = ++c->at;
        if (take_count(c, &fraction) != 0)
            return -1;
        for (; from < c->at; from++)
            scale *= 10;
    }
    *ms += (double)whole + (double)fraction / scale;
    return 0;
}

static int timing_member(struct cursor *c, struct text key)
{
    if (text_is(key, "prefill_ms") || text_is(key, "decode_ms"))
        return take_ms(c, &c->chunk->worker_ms);
    return skip_value(c);
}

static int top_member(struct cursor *c, struct text key)
{
    if (text_is(key, "choices"))
        return walk_array(c, choice);
    if (text_is(key, "id"))
        return take_text(c, &c->chunk->id);
    if (text_is(key, "object"))
        return take_text(c, &c->chunk->object);
    if (text_is(key, "usage") && !is_null(c)) {
        c->chunk->has_usage = true;
        return walk_object(c, usage_member);
    }
    if (text_is(key, "timing"))
        return walk_object(c, timing_member);
    if (text_is(key, "error"))
        c->chunk->has_error = !is_null(c);
    return skip_value(c);
}

int chunk_parse(struct chunk *c, const char *json, size_t len)
{
    struct cursor cursor = {.at = json, .end = json + len, .chunk = c};

    *c = (struct chunk){0};
    if (walk_object(&cursor, top_member) != 0)
        return -1;
    skip_space(&cursor);
    return cursor.at == cursor.end ? 0 : -1;
}

/* --- strings --- */

bool text_is(struct text t, const char *expected)
{
    return t.at != NULL && t.len == strlen(expected) && memcmp(t.at, expected, t.len) == 0;
}

static long hex4(const char *s, const char *end)
{
    long value = 0;

    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = strchr(digits, s[i] >= 'A' && s[i] <= 'F' ? s[i] + 32 : s[i]);
        if (digit == NULL || s[i] == '\0')
            return -1;
        value = value * 16 + (digit - digits);
    }
    return value;
}

/* A \u escape behind the 'u' at *s, with the second half of a pair. The code point or -1. */
static long take_code_point(const char **s, const char *end)
{
    long high = hex4(*s, end);

    *s += 4;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    long low = end - *s >= 6 && (*s)[0] == '\\' && (*s)[1] == 'u' ? hex4(*s + 2, end) : -1;
    *s += 6;
    if (high > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return -1;
    return 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
}

static char *put_utf8(char *out, long point)
{
    if (point < 0x80) {
        *out++ = (char)point;
        return out;
    }
    if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
    } else {
        if (point < 0x10000) {
            *out++ = (char)(0xe0 | point >> 12);
        } else {
            *out++ = (char)(0xf0 | point >> 18);
            *out++ = (char)(0x80 | (point >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (point & 0x3f));
    return out;
}

long text_unescape(struct text t, char *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *s = t.at, *end = t.at + t.len;
    char *begin = out;

    while (s < end) {
        if (*s != '\\') {
            *out++ = *s++;
            continue;
        }
        const char *known = strchr(from, s[1]); /* the closing quote is behind end: s[1] exists */
        s += 2;
        if (s[-1] == 'u') {
            long point = take_code_point(&s, end);
            if (point < 0)
                return -1;
            out = put_utf8(out, point);
        } else if (known != NULL && *known != '\0') {
            *out++ = to[known - from];
        } else {
            return -1;
        }
    }
    return out - begin;
}

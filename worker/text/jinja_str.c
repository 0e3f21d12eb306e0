#include "worker/text/jinja_str.h"

#include "base/utf8.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_text.h"
#include "worker/text/jinja_unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct jval finish(struct jrun *r, size_t begin, struct jval like)
{
    struct jval v = jval_string(jstr_end(r, begin));

    v.flag = like.flag;
    return v;
}

/* --- case --- */

static void put_chars(struct jrun *r, const uint32_t *c, size_t n)
{
    char text[4];

    for (size_t i = 0; i < n; i++)
        jrun_put(r, text, utf8_encode(c[i], text));
}

static bool follows_cased(const struct jstr *s, size_t at)
{
    size_t n;

    while (at > 0) {
        uint32_t c = juni_decode_before(s->p + at, &n);
        at -= n;
        if (!juni_is_ignorable(c))
            return juni_is_cased(c);
    }
    return false;
}

static bool precedes_cased(const struct jstr *s, size_t at)
{
    size_t n;

    for (; at < s->len; at += n) {
        uint32_t c = utf8_decode(s->p + at, &n);
        if (!juni_is_ignorable(c))
            return juni_is_cased(c);
    }
    return false;
}

/* The character at offset `at`, n bytes long, in lower case. */
static void put_lower(struct jrun *r, const struct jstr *s, size_t at, size_t n)
{
    uint32_t to[3], c = utf8_decode(s->p + at, &n);
    size_t n_to = juni_lower_of(c, to);

    if (c == 0x3a3) { /* sigma at the end of a word */
        jrun_step_bytes(r, 8 * s->len);
        if (follows_cased(s, at) && !precedes_cased(s, at + n))
            to[0] = 0x3c2;
    }
    put_chars(r, to, n_to);
}

static void put_upper(struct jrun *r, uint32_t c, bool is_title)
{
    uint32_t to[3];

    put_chars(r, to, is_title ? juni_title_of(c, to) : juni_upper_of(c, to));
}

struct jval jstr_upper(struct jrun *r, struct jval v)
{
    size_t begin = jstr_begin(r);

    jrun_step_bytes(r, 8 * v.u.s->len);
    for (size_t at = 0, n; at < v.u.s->len; at += n)
        put_upper(r, utf8_decode(v.u.s->p + at, &n), false);
    return finish(r, begin, v);
}

struct jval jstr_lower(struct jrun *r, struct jval v)
{
    size_t begin = jstr_begin(r);

    jrun_step_bytes(r, 8 * v.u.s->len);
    for (size_t at = 0, n; at < v.u.s->len; at += n) {
        utf8_decode(v.u.s->p + at, &n);
        put_lower(r, v.u.s, at, n);
    }
    return finish(r, begin, v);
}

struct jval jstr_capitalize(struct jrun *r, struct jval v)
{
    size_t begin = jstr_begin(r);

    jrun_step_bytes(r, 8 * v.u.s->len);
    for (size_t at = 0, n; at < v.u.s->len; at += n) {
        uint32_t c = utf8_decode(v.u.s->p + at, &n);
        if (at == 0)
            put_upper(r, c, true);
        else
            put_lower(r, v.u.s, at, n);
    }
    return finish(r, begin, v);
}

struct jval jstr_title(struct jrun *r, struct jval v)
{
    size_t begin = jstr_begin(r);
    bool is_inside = false;

    jrun_step_bytes(r, 8 * v.u.s->len);
    for (size_t at = 0, n; at < v.u.s->len; at += n) {
        uint32_t c = utf8_decode(v.u.s->p + at, &n);
        if (is_inside)
            put_lower(r, v.u.s, at, n);
        else
            put_upper(r, c, true);
        is_inside = juni_is_cased(c);
    }
    return finish(r, begin, v);
}

static bool has_only_case(const struct jstr *s, bool (*wanted)(uint32_t), bool (*other)(uint32_t))
{
    bool is_found = false;

    for (size_t at = 0, n; at < s->len; at += n) {
        uint32_t c = utf8_decode(s->p + at, &n);
        if (other(c) || juni_is_title(c))
            return false;
        is_found = is_found || wanted(c);
    }
    return is_found;
}

bool jstr_is_upper(const struct jstr *s)
{
    return has_only_case(s, juni_is_upper, juni_is_lower);
}

bool jstr_is_lower(const struct jstr *s)
{
    return has_only_case(s, juni_is_lower, juni_is_upper);
}

/* --- ends --- */

static bool is_stripped(uint32_t c, const struct jstr *set)
{
    if (set == NULL)
        return juni_is_space(c);
    for (size_t at = 0, n; at < set->len; at += n)
        if (utf8_decode(set->p + at, &n) == c)
            return true;
    return false;
}

struct jval jstr_strip(struct jrun *r, struct jval v, const struct jstr *set, enum jstr_sides sides)
{
    const struct jstr *s = v.u.s;
    size_t begin = 0, end = s->len, n;
    size_t cost = set != NULL ? set->len + 1 : 8;

    while ((sides & JSTR_LEFT) != 0 && begin < end &&
           is_stripped(utf8_decode(s->p + begin, &n), set))
        begin += n;
    while ((sides & JSTR_RIGHT) != 0 && begin < end &&
           is_stripped(juni_decode_before(s->p + end, &n), set))
        end -= n;
    jrun_step_bytes(r, (begin + (s->len - end)) * cost);
    if (begin > 0 || end < s->len)
        v.u.s = jstr_borrow(r, s->p + begin, end - begin);
    return v;
}

struct jval jstr_pad(struct jrun *r, struct jval v, int64_t width, const struct jstr *fill,
                     enum jstr_sides side)
{
    int64_t room = width - (int64_t)v.u.s->chars;

    if (width <= (int64_t)v.u.s->chars)
        return v;
    /* As str.center() does: the odd one to the left when the width is odd too. */
    int64_t left = side == JSTR_LEFT    ? room
                   : side == JSTR_RIGHT ? 0
                                        : room / 2 + (room & width & 1);
    size_t begin = jstr_begin(r);
    for (int64_t i = 0; i < left; i++)
        jrun_put(r, fill->p, fill->len);
    jrun_put(r, v.u.s->p, v.u.s->len);
    for (int64_t i = left; i < room; i++)
        jrun_put(r, fill->p, fill->len);
    return finish(r, begin, v);
}

/* --- whole texts --- */

/* An empty old one is found between all characters. */
static const struct jstr *interleave(struct jrun *r, const struct jstr *s, const struct jstr *new,
                                     int64_t count)
{
    size_t begin = jstr_begin(r), at = 0, n = 0;

    for (;; at += n) {
        if (count > 0) {
            jrun_put(r, new->p, new->len);
            count--;
        }
        if (at >= s->len)
            break;
        utf8_decode(s->p + at, &n);
        jrun_put(r, s->p + at, n);
    }
    jrun_step_bytes(r, 8 * s->len);
    return jstr_end(r, begin);
}

const struct jstr *jstr_replace(struct jrun *r, const struct jstr *s, const struct jstr *old,
                                const struct jstr *new, int64_t count)
{
    if (count < 0)
        count = INT64_MAX;
    if (old->len == 0)
        return interleave(r, s, new, count);
    size_t at = 0, found, begin = jstr_begin(r);
    for (; count > 0 && (found = jstr_find(r, s, at, old)) != SIZE_MAX; count--) {
        jrun_put(r, s->p + at, found - at);
        jrun_put(r, new->p, new->len);
        at = found + old->len;
    }
    if (at == 0)
        return s;
    jrun_put(r, s->p + at, s->len - at);
    return jstr_end(r, begin);
}

static bool is_line_end(uint32_t c)
{
    return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

struct jlist *jstr_split_lines(struct jrun *r, struct jval v, bool keeps_ends)
{
    struct jlist *l = jlist_new(r, 0);
    const struct jstr *s = v.u.s;
    size_t begin = 0;

    jrun_step_bytes(r, 8 * s->len);
    for (size_t at = 0, n; at < s->len; at += n) {
        uint32_t c = utf8_decode(s->p + at, &n);
        if (!is_line_end(c))
            continue;
        size_t end = at + n;
        if (c == '\r' && end < s->len && s->p[end] == '\n')
            end++;
        v.u.s = jstr_borrow(r, s->p + begin, (keeps_ends ? end : at) - begin);
        jlist_add(r, l, v);
        begin = end;
        n = end - at;
    }
    if (begin < s->len) {
        v.u.s = jstr_borrow(r, s->p + begin, s->len - begin);
        jlist_add(r, l, v);
    }
    return l;
}

struct jval jstr_join(struct jrun *r, struct jval separator, struct jval items, bool any_type)
{
    size_t begin = jstr_begin(r);
    struct jiter it;
    struct jval item;

    jiter_start(r, &it, items);
    for (size_t i = 0; jiter_next(r, &it, &item); i++) {
        if (!any_type && item.type != JVAL_STRING && !separator.flag)
            jrun_fail(r, "join wants str, found a %s at %zu", jval_type_name(item), i);
        if (i > 0)
            jrun_put(r, separator.u.s->p, separator.u.s->len);
        if (separator.flag && !any_type)
            jtext_put_escaped(r, item);
        else
            jtext_put_str(r, item);
    }
    return finish(r, begin, any_type ? jval_none() : separator);
}

struct jval jstr_reversed(struct jrun *r, struct jval v)
{
    size_t begin = jstr_begin(r);

    for (size_t at = v.u.s->len, n; at > 0; at -= n) {
        juni_decode_before(v.u.s->p + at, &n);
        jrun_put(r, v.u.s->p + at - n, n);
    }
    jrun_step_bytes(r, 8 * v.u.s->len);
    return finish(r, begin, v);
}

/* --- numbers --- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
}

/* 0x, 0o or 0b at p: what base it stands for, 0 without one. */
static int64_t prefix_base(const char *p, size_t len)
{
    char mark = len > 2 && p[0] == '0' ? (char)(p[1] | 0x20) : 0;

    return mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
}

static bool read_digits(struct jrun *r, const char *p, size_t len, int64_t base, bool is_negative,
                        int64_t *i)
{
    bool may_underscore = false;

    *i = 0;
    for (size_t k = 0; k < len; k++) {
        int digit = digit_of(p[k]);
        if (p[k] == '_' && may_underscore && k + 1 < len) {
            may_underscore = false;
            continue;
        }
        if (digit >= base)
            return false;
        may_underscore = true;
        if (__builtin_mul_overflow(*i, base, i) ||
            __builtin_add_overflow(*i, is_negative ? -digit : digit, i))
            jrun_fail(r, "an integer is beyond 64 bits");
    }
    return len > 0;
}

bool jstr_read_int(struct jrun *r, const struct jstr *s, int64_t base, int64_t *i)
{
    s = jstr_strip(r, jval_string(s), NULL, JSTR_BOTH).u.s;
    const char *p = s->p;
    size_t len = s->len;
    bool is_negative = len > 0 && p[0] == '-';

    if (base != 0 && (base < 2 || base > 36))
        return false;
    if (len > 0 && (p[0] == '-' || p[0] == '+')) {
        p++;
        len--;
    }
    int64_t by_prefix = prefix_base(p, len);
    if (by_prefix != 0 && (base == 0 || base == by_prefix)) {
        base = by_prefix;
        p += 2;
        len -= 2;
        if (p[0] == '_') { /* allowed behind the prefix alone */
            p++;
            len--;
        }
    } else if (base == 0) {
        bool is_zero = true;
        for (size_t k = 0; k < len; k++)
            is_zero = is_zero && (p[k] == '0' || p[k] == '_');
        if (len > 1 && p[0] == '0' && !is_zero)
            return false;
        base = 10;
    }
    return read_digits(r, p, len, base, is_negative, i);
}

static bool is_float_text(const char *p)
{
    const char *digits = p;
    bool has_digits = false;

    for (; *p >= '0' && *p <= '9'; p++)
        has_digits = true;
    if (*p == '.')
        p++;
    for (; *p >= '0' && *p <= '9'; p++)
        has_digits = true;
    if (!has_digits)
        return strcasecmp(digits, "inf") == 0 || strcasecmp(digits, "infinity") == 0 ||
               strcasecmp(digits, "nan") == 0;
    if ((*p | 0x20) == 'e') {
        p++;
        if (*p == '+' || *p == '-')
            p++;
        if (*p < '0' || *p > '9')
            return false;
        while (*p >= '0' && *p <= '9')
            p++;
    }
    return *p == '\0';
}

bool jstr_read_float(struct jrun *r, const struct jstr *s, double *d)
{
    s = jstr_strip(r, jval_string(s), NULL, JSTR_BOTH).u.s;
    char *copy = jrun_alloc(r, s->len + 1), *to = copy;

    for (size_t i = 0; i < s->len; i++) {
        bool is_between =
            i > 0 && i + 1 < s->len && digit_of(s->p[i - 1]) < 10 && digit_of(s->p[i + 1]) < 10;
        if (s->p[i] == '\0' || (s->p[i] == '_' && !is_between))
            return false;
        if (s->p[i] != '_')
            *to++ = s->p[i];
    }
    if (!is_float_text(copy + (*copy == '+' || *copy == '-')))
        return false;
    *d = strtod(copy, NULL);
    return true;
}

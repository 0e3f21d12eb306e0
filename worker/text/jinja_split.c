/* str.split and str.rsplit. */
#include "worker/text/jinja_str.h"
#include "worker/text/jinja_unicode.h"

#include "base/utf8.h"
#include <string.h>

static void add_part(struct jrun *r, struct jlist *l, struct jval like, size_t from, size_t to)
{
    like.u.s = jstr_borrow(r, like.u.s->p + from, to - from);
    jlist_add(r, l, like);
}

static size_t skip(const struct jstr *s, size_t at, bool is_space)
{
    size_t n;

    while (at < s->len && juni_is_space(utf8_decode(s->p + at, &n)) == is_space)
        at += n;
    return at;
}

static size_t skip_back(const struct jstr *s, size_t at, bool is_space)
{
    size_t n;

    while (at > 0 && juni_is_space(juni_decode_before(s->p + at, &n)) == is_space)
        at -= n;
    return at;
}

static void split_words(struct jrun *r, struct jlist *l, struct jval v, int64_t max)
{
    const struct jstr *s = v.u.s;
    size_t at = skip(s, 0, true);

    for (; at < s->len && max > 0; max--) {
        size_t end = skip(s, at, false);
        add_part(r, l, v, at, end);
        at = skip(s, end, true);
    }
    if (at < s->len)
        add_part(r, l, v, at, s->len);
}

static void split_words_right(struct jrun *r, struct jlist *l, struct jval v, int64_t max)
{
    const struct jstr *s = v.u.s;
    size_t end = skip_back(s, s->len, true);

    for (; end > 0 && max > 0; max--) {
        size_t at = skip_back(s, end, false);
        add_part(r, l, v, at, end);
        end = skip_back(s, at, true);
    }
    if (end > 0)
        add_part(r, l, v, 0, end);
}

static void split_at(struct jrun *r, struct jlist *l, struct jval v, const struct jstr *separator,
                     int64_t max)
{
    size_t at = 0, found;

    for (; max > 0 && (found = jstr_find(r, v.u.s, at, separator)) != SIZE_MAX; max--) {
        add_part(r, l, v, at, found);
        at = found + separator->len;
    }
    add_part(r, l, v, at, v.u.s->len);
}

static size_t find_back(const struct jstr *s, size_t end, const struct jstr *needle)
{
    for (size_t at = end; at >= needle->len; at--)
        if (memcmp(s->p + at - needle->len, needle->p, needle->len) == 0)
            return at - needle->len;
    return SIZE_MAX;
}

static void split_at_right(struct jrun *r, struct jlist *l, struct jval v,
                           const struct jstr *separator, int64_t max)
{
    size_t end = v.u.s->len, found;

    jrun_step_bytes(r, 8 * v.u.s->len);
    for (; max > 0 && (found = find_back(v.u.s, end, separator)) != SIZE_MAX; max--) {
        add_part(r, l, v, found + separator->len, end);
        end = found;
    }
    add_part(r, l, v, 0, end);
}

static void reverse(struct jlist *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        struct jval v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
}

struct jval jstr_split(struct jrun *r, struct jval v, struct jval separator, int64_t max,
                       bool is_from_right)
{
    struct jlist *l = jlist_new(r, 0);
    bool is_words = separator.type == JVAL_NONE || separator.type == JVAL_MISSING;

    if (max < 0)
        max = INT64_MAX;
    if (!is_words && separator.type != JVAL_STRING)
        jrun_fail(r, "split wants a str or none, found a %s", jval_type_name(separator));
    if (!is_words && separator.u.s->len == 0)
        jrun_fail(r, "split wants a separator that is not empty");
    if (is_words) {
        jrun_step_bytes(r, 8 * v.u.s->len);
        (is_from_right ? split_words_right : split_words)(r, l, v, max);
    } else {
        (is_from_right ? split_at_right : split_at)(r, l, v, separator.u.s, max);
    }
    if (is_from_right)
        reverse(l);
    return jval_list(l);
}

#include "worker/text/jinja_iter.h"

#include "base/utf8.h"
#include "worker/text/jinja_unicode.h"

#include <inttypes.h>
#include <string.h>

bool jiter_can(struct jval v)
{
    switch (v.type) {
    case JVAL_UNDEFINED:
    case JVAL_STRING:
    case JVAL_LIST:
    case JVAL_TUPLE:
    case JVAL_DICT:
    case JVAL_RANGE:
    case JVAL_VIEW:
    case JVAL_ITERATOR:
    case JVAL_LOOP:
        return true;
    default:
        return false;
    }
}

static bool next_element(struct jrun *r, struct jiter *it, struct jval *out)
{
    const struct jlist *l = it->over.u.list;

    (void)r;
    if (it->at >= l->n)
        return false;
    *out = l->v[it->at++];
    return true;
}

static bool next_char(struct jrun *r, struct jiter *it, struct jval *out)
{
    const struct jstr *s = it->over.u.s;
    size_t n;

    if (it->at >= s->len)
        return false;
    utf8_decode(s->p + it->at, &n);
    *out = jval_string(jstr_borrow(r, s->p + it->at, n));
    it->at += n;
    return true;
}

static bool next_pair(struct jrun *r, struct jiter *it, struct jval *out)
{
    const struct jdict *d = it->over.u.dict;

    if (it->at >= d->n)
        return false;
    const struct jpair *pair = &d->pair[it->at++];
    if (it->over.type == JVAL_DICT || it->over.flag == JVAL_KEYS)
        *out = pair->key;
    else if (it->over.flag == JVAL_VALUES)
        *out = pair->value;
    else
        *out = jval_pair(r, pair->key, pair->value);
    return true;
}

static bool next_number(struct jrun *r, struct jiter *it, struct jval *out)
{
    const struct jrange *range = it->over.u.range;

    (void)r;
    if ((int64_t)it->at >= range->n)
        return false;
    *out = jval_int(range->start + (int64_t)it->at++ * range->step);
    return true;
}

static bool next_of_inner(struct jrun *r, struct jiter *it, struct jval *out)
{
    return jiter_next(r, it->inner, out);
}

static bool next_of_loop(struct jrun *r, struct jiter *it, struct jval *out)
{
    struct jval item;

    if (!jiter_loop_next(r, it->over.u.loop, &item))
        return false;
    *out = jval_pair(r, item, it->over);
    return true;
}

static bool next_of_nothing(struct jrun *r, struct jiter *it, struct jval *out)
{
    (void)r;
    (void)it;
    (void)out;
    return false;
}

void jiter_start(struct jrun *r, struct jiter *it, struct jval v)
{
    *it = (struct jiter){.over = v};
    switch (v.type) {
    case JVAL_UNDEFINED:
        it->next = next_of_nothing;
        break;
    case JVAL_STRING:
        it->next = next_char;
        break;
    case JVAL_LIST:
    case JVAL_TUPLE:
        it->next = next_element;
        break;
    case JVAL_DICT:
    case JVAL_VIEW:
        it->next = next_pair;
        break;
    case JVAL_RANGE:
        it->next = next_number;
        break;
    case JVAL_ITERATOR:
        it->next = next_of_inner;
        it->inner = v.u.iter;
        break;
    case JVAL_LOOP:
        it->next = next_of_loop;
        break;
    default:
        jrun_fail(r, "a %s cannot be iterated over", jval_type_name(v));
    }
}

bool jiter_next(struct jrun *r, struct jiter *it, struct jval *out)
{
    jrun_step(r, 1);
    if (it->is_over)
        return false;
    jrun_enter(r); /* iterators upon iterators */
    it->is_over = !it->next(r, it, out);
    jrun_leave(r);
    return !it->is_over;
}

struct jlist *jiter_list(struct jrun *r, struct jval v)
{
    size_t n;
    struct jlist *l = jlist_new(r, jval_length(v, &n) ? n : 0);
    struct jiter it;
    struct jval item;

    jiter_start(r, &it, v);
    while (jiter_next(r, &it, &item))
        jlist_add(r, l, item);
    return l;
}

struct jval jiter_value(struct jrun *r, jiter_fn *next, struct jval over, void *state)
{
    struct jiter *it = jrun_alloc(r, sizeof *it);

    *it = (struct jiter){.next = next, .over = over, .state = state};
    return (struct jval){.type = JVAL_ITERATOR, .u.iter = it};
}

static bool next_backwards(struct jrun *r, struct jiter *it, struct jval *out)
{
    const struct jlist *l = it->over.u.list;

    (void)r;
    if (it->at >= l->n)
        return false;
    *out = l->v[l->n - ++it->at];
    return true;
}

struct jval jiter_reversed(struct jrun *r, struct jval v)
{
    return jiter_value(r, next_backwards, jval_list(jiter_list(r, v)), NULL);
}

/* --- in --- */

static bool is_in_range(struct jrun *r, const struct jrange *range, struct jval needle)
{
    if (!jval_is_int(needle)) { /* 1.0 is in range(3) */
        for (int64_t i = 0; i < range->n; i++)
            if (jval_equal(r, jval_int(range->start + i * range->step), needle))
                return true;
        return false;
    }
    if (range->n == 0)
        return false;
    int64_t i = jval_as_int(needle);
    int64_t last = range->start + (range->n - 1) * range->step;
    if (i < (range->step > 0 ? range->start : last) || i > (range->step > 0 ? last : range->start))
        return false;
    return (i - range->start) % range->step == 0;
}

bool jiter_contains(struct jrun *r, struct jval v, struct jval needle)
{
    struct jiter it;
    struct jval item;

    if (v.type == JVAL_STRING) {
        if (needle.type != JVAL_STRING)
            jrun_fail(r, "'in' a str wants a str, found a %s", jval_type_name(needle));
        return jstr_find(r, v.u.s, 0, needle.u.s) != SIZE_MAX;
    }
    if (v.type == JVAL_DICT || (v.type == JVAL_VIEW && v.flag == JVAL_KEYS))
        return jdict_get(r, v.u.dict, needle) != NULL;
    if (v.type == JVAL_RANGE)
        return is_in_range(r, v.u.range, needle);
    jiter_start(r, &it, v);
    while (jiter_next(r, &it, &item))
        if (jval_equal(r, item, needle))
            return true;
    return false;
}

/* --- sorting: by merging, because a comparison may leave through jrun_fail --- */

void jiter_sort(struct jrun *r, struct jval *v, size_t n, jiter_before *before)
{
    struct jval *from = v, *to = jrun_alloc_array(r, n, sizeof *to);

    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t mid = low + width < n ? low + width : n;
            size_t high = mid + width < n ? mid + width : n;
            size_t a = low, b = mid;
            for (size_t i = low; i < high; i++)
                to[i] =
                    a < mid && (b >= high || !before(r, from[b], from[a])) ? from[a++] : from[b++];
        }
        struct jval *other = from;
        from = to;
        to = other;
    }
    if (from != v && n > 0)
        memcpy(v, from, n * sizeof *v);
}

static bool is_before(struct jrun *r, struct jval a, struct jval b)
{
    return jval_less(r, a, b, "sorting");
}

const struct jlist *jiter_sorted_keys(struct jrun *r, const struct jdict *d)
{
    struct jlist *keys = jlist_new(r, d->n);

    for (size_t i = 0; i < d->n; i++)
        jlist_add(r, keys, d->pair[i].key);
    jiter_sort(r, keys->v, keys->n, is_before);
    return keys;
}

/* --- loop --- */

bool jiter_loop_next(struct jrun *r, struct jloop *loop, struct jval *out)
{
    if (loop->has_after)
        *out = loop->after;
    else if (!jeval_pull(r, loop, out))
        return false;
    loop->has_after = false;
    loop->index0++;
    loop->before = loop->current;
    loop->current = *out;
    return true;
}

static bool peek(struct jrun *r, struct jloop *loop)
{
    if (!loop->has_after)
        loop->has_after = jeval_pull(r, loop, &loop->after);
    return loop->has_after;
}

/* What has no length is read to its end, and gone through from the list of it. */
static int64_t length_of(struct jrun *r, struct jloop *loop)
{
    size_t n;
    struct jval item;

    if (loop->length >= 0)
        return loop->length;
    if (loop->node->c == NULL && loop->it.inner == NULL && jval_length(loop->it.over, &n)) {
        loop->length = (int64_t)n;
        return loop->length;
    }
    struct jlist *rest = jlist_new(r, 0);
    while (jeval_pull(r, loop, &item))
        jlist_add(r, rest, item);
    struct jnode *plain = jrun_alloc(r, sizeof *plain); /* the condition has been applied */
    *plain = *loop->node;
    plain->c = NULL;
    loop->node = plain;
    jiter_start(r, &loop->it, jval_list(rest));
    loop->length = (int64_t)rest->n + loop->index0 + 1 + loop->has_after;
    return loop->length;
}

static struct jval loop_cycle(struct jrun *r, const struct jcall *c)
{
    if (c->all->n == 0)
        jrun_fail(r, "loop.cycle wants the values to cycle through");
    return c->all->v[(size_t)c->self.u.loop->index0 % c->all->n];
}

static struct jval loop_changed(struct jrun *r, const struct jcall *c)
{
    struct jloop *loop = c->self.u.loop;
    struct jlist *args = jlist_new(r, c->all->n);

    for (size_t i = 0; i < c->all->n; i++)
        jlist_add(r, args, c->all->v[i]);
    if (loop->changed.type == JVAL_TUPLE && jval_equal(r, loop->changed, jval_tuple(args)))
        return jval_bool(false);
    loop->changed = jval_tuple(args);
    return jval_bool(true);
}

static const struct jcallable loop_methods[] = {
    {.name = "cycle", .call = loop_cycle, .is_variadic = true},
    {.name = "changed", .call = loop_changed, .is_variadic = true},
};

bool jiter_loop_attribute(struct jrun *r, struct jloop *loop, const struct jstr *name,
                          struct jval *out)
{
    const struct jcallable *method = jcall_find(loop_methods, 2, name);

    if (method != NULL) {
        struct jbound *bound = jrun_alloc(r, sizeof *bound);
        *bound = (struct jbound){method, {.type = JVAL_LOOP, .u.loop = loop}};
        *out = (struct jval){.type = JVAL_METHOD, .u.method = bound};
    } else if (jstr_is(name, "index")) {
        *out = jval_int(loop->index0 + 1);
    } else if (jstr_is(name, "index0")) {
        *out = jval_int(loop->index0);
    } else if (jstr_is(name, "first")) {
        *out = jval_bool(loop->index0 == 0);
    } else if (jstr_is(name, "last")) {
        *out = jval_bool(!peek(r, loop));
    } else if (jstr_is(name, "length")) {
        *out = jval_int(length_of(r, loop));
    } else if (jstr_is(name, "revindex")) {
        *out = jval_int(length_of(r, loop) - loop->index0);
    } else if (jstr_is(name, "revindex0")) {
        *out = jval_int(length_of(r, loop) - loop->index0 - 1);
    } else if (jstr_is(name, "previtem")) {
        *out = loop->index0 > 0 ? loop->before : jval_absent(JVAL_NO_ITEM, JVAL_LOOP, NULL);
    } else if (jstr_is(name, "nextitem")) {
        *out = peek(r, loop) ? loop->after : jval_absent(JVAL_NO_ITEM, JVAL_LOOP, NULL);
    } else if (jstr_is(name, "depth") || jstr_is(name, "depth0")) {
        *out = jval_int(name->len == 5); /* recursive loops alone go deeper */
    } else {
        return false;
    }
    return true;
}

void jiter_put_loop(struct jrun *r, struct jloop *loop)
{
    jrun_putf(r, "<LoopContext %" PRId64 "/", loop->index0 + 1);
    jrun_putf(r, "%" PRId64 ">", length_of(r, loop));
}

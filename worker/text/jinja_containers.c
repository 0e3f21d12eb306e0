/* Lists and dicts of jinja_value.h. */
#include "base/hash.h"
#include "worker/text/jinja_value.h"

#include <math.h>
#include <string.h>

#define SMALL_DICT 8

/* A namespace counts as flat: it may come to hold what holds it. Only printing looks inside one. */
static uint32_t depth_of(struct jval v)
{
    switch (v.type) {
    case JVAL_LIST:
    case JVAL_TUPLE:
        return v.u.list->depth;
    case JVAL_DICT:
    case JVAL_VIEW:
        return v.u.dict->depth;
    default:
        return 0;
    }
}

static void deepen(struct jrun *r, uint32_t *depth, struct jval v)
{
    uint32_t below = depth_of(v) + 1;

    if (below > JVAL_DEPTH_MAX)
        jrun_exhaust(r, "a value is nested more than %d deep", JVAL_DEPTH_MAX);
    if (below > *depth)
        *depth = below;
}

struct jlist *jlist_new(struct jrun *r, size_t cap)
{
    struct jlist *l = jrun_alloc(r, sizeof *l);

    l->v = jrun_alloc_array(r, cap, sizeof *l->v);
    l->cap = cap;
    l->depth = 1;
    return l;
}

void jlist_add(struct jrun *r, struct jlist *l, struct jval v)
{
    deepen(r, &l->depth, v);
    if (l->n == l->cap)
        l->v = jrun_grow_array(r, l->v, l->n, &l->cap, sizeof *l->v);
    l->v[l->n++] = v;
}

struct jval jval_pair(struct jrun *r, struct jval a, struct jval b)
{
    struct jlist *l = jlist_new(r, 2);

    jlist_add(r, l, a);
    jlist_add(r, l, b);
    return jval_tuple(l);
}

struct jdict *jdict_new(struct jrun *r)
{
    struct jdict *d = jrun_alloc(r, sizeof *d);

    d->depth = 1;
    return d;
}

bool jval_is_hashable(struct jval v)
{
    switch (v.type) {
    case JVAL_LIST:
    case JVAL_DICT:
    case JVAL_VIEW:
        return false;
    case JVAL_TUPLE:
        for (size_t i = 0; i < v.u.list->n; i++)
            if (!jval_is_hashable(v.u.list->v[i]))
                return false;
        return true;
    default:
        return true;
    }
}

/* Equal values have equal hashes: True, 1 and 1.0 do. */
static uint64_t hash_value(struct jrun *r, struct jval v)
{
    uint64_t h = 0;

    jrun_step(r, 1);
    switch (v.type) {
    case JVAL_STRING:
        jrun_step_bytes(r, v.u.s->len);
        return hash_xxh3(v.u.s->p, v.u.s->len);
    case JVAL_BOOL:
    case JVAL_INT:
        return hash_mix(1, (uint64_t)jval_as_int(v));
    case JVAL_WIDE:
        return hash_mix(1, v.u.w);
    case JVAL_FLOAT:
        if (trunc(v.u.d) == v.u.d && v.u.d >= -0x1p63 && v.u.d < 0x1p63)
            return hash_mix(1, (uint64_t)(int64_t)v.u.d);
        if (trunc(v.u.d) == v.u.d && v.u.d > 0 && v.u.d < 0x1p64)
            return hash_mix(1, (uint64_t)v.u.d);
        return hash_xxh3(&v.u.d, sizeof v.u.d);
    case JVAL_TUPLE:
        for (size_t i = 0; i < v.u.list->n; i++)
            h = hash_mix(h, hash_value(r, v.u.list->v[i]));
        return h;
    default:
        return v.type;
    }
}

static void index_pair(struct jdict *d, uint64_t hash, size_t i)
{
    size_t at = (size_t)hash & (d->n_slots - 1);

    while (d->slot[at] != 0)
        at = (at + 1) & (d->n_slots - 1);
    d->slot[at] = (uint32_t)i + 1;
}

static void index_all(struct jrun *r, struct jdict *d)
{
    d->n_slots = d->n_slots == 0 ? 4 * SMALL_DICT : 2 * d->n_slots;
    d->slot = jrun_alloc_array(r, d->n_slots, sizeof *d->slot);
    for (size_t i = 0; i < d->n; i++)
        index_pair(d, hash_value(r, d->pair[i].key), i);
}

static bool are_keys_equal(struct jrun *r, struct jval a, struct jval b)
{
    if (a.type == JVAL_STRING && b.type == JVAL_STRING)
        return a.u.s == b.u.s || jstr_equal(a.u.s, b.u.s);
    return jval_equal(r, a, b);
}

static struct jval *find_key(struct jrun *r, const struct jdict *d, struct jval key)
{
    if (d->slot == NULL) {
        for (size_t i = 0; i < d->n; i++)
            if (are_keys_equal(r, d->pair[i].key, key))
                return &d->pair[i].value;
        return NULL;
    }
    for (size_t at = (size_t)hash_value(r, key);; at++) {
        uint32_t i = d->slot[at & (d->n_slots - 1)];
        if (i == 0)
            return NULL;
        jrun_step(r, 1); /* nobody gets long chains for nothing */
        if (are_keys_equal(r, d->pair[i - 1].key, key))
            return &d->pair[i - 1].value;
    }
}

static void check_key(struct jrun *r, struct jval key)
{
    if (!jval_is_hashable(key))
        jrun_fail(r, "a %s cannot be a key", jval_type_name(key));
}

struct jval *jdict_get(struct jrun *r, const struct jdict *d, struct jval key)
{
    check_key(r, key);
    return find_key(r, d, key);
}

struct jval *jdict_get_str(struct jrun *r, const struct jdict *d, const struct jstr *key)
{
    return find_key(r, d, jval_string(key));
}

void jdict_set(struct jrun *r, struct jdict *d, struct jval key, struct jval value)
{
    check_key(r, key);
    deepen(r, &d->depth, key);
    deepen(r, &d->depth, value);
    struct jval *old = find_key(r, d, key);
    if (old != NULL) {
        *old = value;
        return;
    }
    if (d->n == d->cap)
        d->pair = jrun_grow_array(r, d->pair, d->n, &d->cap, sizeof *d->pair);
    d->pair[d->n++] = (struct jpair){key, value};
    if (d->n > SMALL_DICT && (d->slot == NULL || d->n * 2 > d->n_slots))
        index_all(r, d);
    else if (d->slot != NULL)
        index_pair(d, hash_value(r, key), d->n - 1);
}

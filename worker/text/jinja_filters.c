/* Filters of sequences and mappings. */
#include "worker/text/jinja_filters.h"

#include "worker/text/jinja_attr.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_ops.h"
#include "worker/text/jinja_str.h"
#include "worker/text/jinja_text.h"

static struct jval no_item(void)
{
    return jval_absent(JVAL_NO_ITEM, JVAL_LIST, NULL);
}

/* --- whole sequences --- */

static struct jval filter_length(struct jrun *r, const struct jcall *c)
{
    size_t n;

    if (c->self.type == JVAL_LOOP) {
        struct jval length;
        jiter_loop_attribute(r, c->self.u.loop, jstr_of(r, "length"), &length);
        return length;
    }
    if (!jval_length(c->self, &n))
        jrun_fail(r, "a %s has no length", jval_type_name(c->self));
    return jval_int((int64_t)n);
}

static struct jval filter_list(struct jrun *r, const struct jcall *c)
{
    return jval_list(jiter_list(r, c->self));
}

static struct jval filter_first(struct jrun *r, const struct jcall *c)
{
    struct jiter it;
    struct jval item;

    jiter_start(r, &it, c->self);
    return jiter_next(r, &it, &item) ? item : no_item();
}

static struct jval filter_last(struct jrun *r, const struct jcall *c)
{
    if (c->self.type == JVAL_ITERATOR || c->self.type == JVAL_LOOP)
        jrun_fail(r, "last wants a sequence; make the %s a list first", jval_type_name(c->self));
    struct jlist *l = jiter_list(r, c->self);
    return l->n > 0 ? l->v[l->n - 1] : no_item();
}

static struct jval filter_reverse(struct jrun *r, const struct jcall *c)
{
    return c->self.type == JVAL_STRING ? jstr_reversed(r, c->self) : jiter_reversed(r, c->self);
}

static struct jval filter_default(struct jrun *r, const struct jcall *c)
{
    bool is_wanted =
        c->self.type == JVAL_UNDEFINED || (jcall_bool(c, 1, false) && !jval_is_true(c->self));

    if (!is_wanted)
        return c->self;
    return jcall_has(c, 0) ? c->arg[0] : jval_string(jstr_of(r, ""));
}

static struct jval filter_attr(struct jrun *r, const struct jcall *c)
{
    return jattr_only(r, c->self, jcall_str(r, c, 0));
}

/* --- iterators upon items --- */

static bool next_inner(struct jrun *r, struct jiter *it, struct jval *out)
{
    if (it->inner == NULL) {
        it->inner = jrun_alloc(r, sizeof *it->inner);
        jiter_start(r, it->inner, it->over);
    }
    return jiter_next(r, it->inner, out);
}

static bool next_item(struct jrun *r, struct jiter *it, struct jval *out)
{
    if (it->over.type == JVAL_UNDEFINED)
        return false;
    if (it->over.type != JVAL_DICT)
        jrun_fail(r, "items wants a mapping, found a %s", jval_type_name(it->over));
    if (it->inner == NULL)
        it->over = (struct jval){.type = JVAL_VIEW, .flag = JVAL_ITEMS, .u.dict = it->over.u.dict};
    it->next = next_inner;
    return next_inner(r, it, out);
}

static struct jval filter_items(struct jrun *r, const struct jcall *c)
{
    return jiter_value(r, next_item, c->self, NULL);
}

/* What map, select and their like have been told. */
struct order {
    struct jargs args; /* of the filter or test */
    const struct jstr *fn_name;
    struct jval attribute; /* JVAL_MISSING: the item itself */
    struct jval default_value;
    bool is_attribute_only; /* map(attribute=) */
    bool is_rejecting;
    bool is_bad; /* told nothing at all, or too much: an error once it is asked for an item */
};

static struct jargs rest_of(const struct jargs *all, size_t from)
{
    struct jargs rest = *all;

    rest.v = all->n > from ? all->v + from : NULL;
    rest.n = all->n > from ? all->n - from : 0;
    return rest;
}

static const struct jstr *name_of(struct jrun *r, struct jval v)
{
    if (v.type != JVAL_STRING)
        jrun_fail(r, "the name of a filter or test is a str, found a %s", jval_type_name(v));
    return v.u.s;
}

static bool next_mapped(struct jrun *r, struct jiter *it, struct jval *out)
{
    const struct order *o = it->state;

    if (it->inner == NULL && !jval_is_true(it->over))
        return false;
    if (o->is_bad)
        jrun_fail(r, "map wants a filter, or attribute and default");
    if (!next_inner(r, it, out))
        return false;
    if (o->is_attribute_only) {
        *out = jattr_path(r, *out, o->attribute, o->default_value);
        return true;
    }
    const struct jcallable *fn = jcall_find_filter(o->fn_name);
    if (fn == NULL)
        jrun_fail(r, "there is no filter '%.*s'",
                  o->fn_name->len < 100 ? (int)o->fn_name->len : 100, o->fn_name->p);
    *out = jcall_invoke(r, fn, *out, &o->args);
    return true;
}

static struct jval filter_map(struct jrun *r, const struct jcall *c)
{
    struct order *o = jrun_alloc(r, sizeof *o);
    const struct jval *attribute = jcall_keyword(c->all, "attribute");
    const struct jval *missing = jcall_keyword(c->all, "default");

    o->attribute = o->default_value = jval_missing();
    if (c->all->n > 0) {
        o->fn_name = name_of(r, c->all->v[0]);
        o->args = rest_of(c->all, 1);
    } else if (attribute != NULL) {
        o->is_attribute_only = true;
        o->attribute = *attribute;
        if (missing != NULL && missing->type != JVAL_NONE)
            o->default_value = *missing;
        o->is_bad = c->all->n_kw != 1 + (size_t)(missing != NULL);
    } else {
        o->is_bad = true;
    }
    return jiter_value(r, next_mapped, c->self, o);
}

static bool is_selected(struct jrun *r, const struct order *o, struct jval item)
{
    struct jval v = jattr_path(r, item, o->attribute, jval_missing());

    if (o->fn_name == NULL)
        return jval_is_true(v) != o->is_rejecting;
    const struct jcallable *fn = jcall_find_test(o->fn_name);
    if (fn == NULL)
        jrun_fail(r, "there is no test '%.*s'", o->fn_name->len < 100 ? (int)o->fn_name->len : 100,
                  o->fn_name->p);
    return jval_is_true(jcall_invoke(r, fn, v, &o->args)) != o->is_rejecting;
}

static bool next_selected(struct jrun *r, struct jiter *it, struct jval *out)
{
    const struct order *o = it->state;

    if (it->inner == NULL && !jval_is_true(it->over))
        return false;
    if (o->is_bad)
        jrun_fail(r, "selectattr and rejectattr want the name of an attribute");
    while (next_inner(r, it, out))
        if (is_selected(r, o, *out))
            return true;
    return false;
}

static struct jval select_items(struct jrun *r, const struct jcall *c, bool is_rejecting,
                                bool by_attribute)
{
    struct order *o = jrun_alloc(r, sizeof *o);
    size_t off = by_attribute;

    o->is_rejecting = is_rejecting;
    o->is_bad = c->all->n < off;
    o->attribute = by_attribute && !o->is_bad ? c->all->v[0] : jval_missing();
    if (c->all->n > off)
        o->fn_name = name_of(r, c->all->v[off]);
    o->args = rest_of(c->all, off + 1);
    return jiter_value(r, next_selected, c->self, o);
}

static struct jval filter_select(struct jrun *r, const struct jcall *c)
{
    return select_items(r, c, false, false);
}

static struct jval filter_reject(struct jrun *r, const struct jcall *c)
{
    return select_items(r, c, true, false);
}

static struct jval filter_selectattr(struct jrun *r, const struct jcall *c)
{
    return select_items(r, c, false, true);
}

static struct jval filter_rejectattr(struct jrun *r, const struct jcall *c)
{
    return select_items(r, c, true, true);
}

static bool next_batch(struct jrun *r, struct jiter *it, struct jval *out)
{
    const struct jcall *c = it->state;
    int64_t n = jcall_int(r, c, 0, 0);
    struct jlist *l = jlist_new(r, 0);
    struct jval item;

    if (n < 1)
        jrun_fail(r, "batch wants a size of at least 1");
    while ((int64_t)l->n < n && next_inner(r, it, &item))
        jlist_add(r, l, item);
    if (l->n == 0)
        return false;
    while ((int64_t)l->n < n && !jcall_is_none(c, 1)) {
        jrun_step(r, 1);
        jlist_add(r, l, c->arg[1]);
    }
    *out = jval_list(l);
    return true;
}

static struct jval filter_batch(struct jrun *r, const struct jcall *c)
{
    struct jcall *copy = jrun_alloc(r, sizeof *copy);

    *copy = *c;
    return jiter_value(r, next_batch, c->self, copy);
}

static struct jval filter_slice(struct jrun *r, const struct jcall *c)
{
    struct jlist *items = jiter_list(r, c->self), *slices = jlist_new(r, 0);
    int64_t n = jcall_int(r, c, 0, 0);

    if (n < 1)
        jrun_fail(r, "slice wants at least 1 slice");
    size_t each = items->n / (size_t)n, extra = items->n % (size_t)n, at = 0;
    for (size_t i = 0; i < (size_t)n; i++) {
        struct jlist *slice = jlist_new(r, 0);
        jrun_step(r, 1);
        for (size_t k = 0; k < each + (i < extra); k++)
            jlist_add(r, slice, items->v[at++]);
        if (i >= extra && !jcall_is_none(c, 1))
            jlist_add(r, slice, c->arg[1]);
        jlist_add(r, slices, jval_list(slice));
    }
    return jiter_value(r, next_inner, jval_list(slices), NULL);
}

/* --- keys to sort and compare by --- */

static struct jval fold_case(struct jrun *r, struct jval v, bool is_sensitive)
{
    return v.type == JVAL_STRING && !is_sensitive ? jstr_lower(r, v) : v;
}

static struct jval key_of(struct jrun *r, struct jval item, struct jval attribute,
                          bool is_sensitive)
{
    return fold_case(r, jattr_path(r, item, attribute, jval_missing()), is_sensitive);
}

static bool next_unique(struct jrun *r, struct jiter *it, struct jval *out)
{
    struct jcall *c = it->state;
    struct jdict *seen = c->arg[2].u.dict;

    while (next_inner(r, it, out)) {
        struct jval key = key_of(r, *out, c->arg[1], jcall_bool(c, 0, false));
        if (jdict_get(r, seen, key) == NULL) {
            jdict_set(r, seen, key, jval_none());
            return true;
        }
    }
    return false;
}

static struct jval filter_unique(struct jrun *r, const struct jcall *c)
{
    struct jcall *copy = jrun_alloc(r, sizeof *copy);

    *copy = *c;
    copy->arg[2] = jval_dict(jdict_new(r));
    return jiter_value(r, next_unique, c->self, copy);
}

/* Of "a,b" the list of what a and b lead to. */
static struct jval keys_of(struct jrun *r, struct jval item, struct jval attribute,
                           bool is_sensitive)
{
    struct jlist *keys = jlist_new(r, 1);

    if (attribute.type != JVAL_STRING) {
        jlist_add(r, keys, key_of(r, item, attribute, is_sensitive));
        return jval_list(keys);
    }
    struct jlist *paths =
        (struct jlist *)jstr_split(r, attribute, jval_string(jstr_of(r, ",")), -1, false).u.list;
    for (size_t i = 0; i < paths->n; i++)
        jlist_add(r, keys, key_of(r, item, paths->v[i], is_sensitive));
    return jval_list(keys);
}

/* Pairs of (key, item) by key. */
static bool has_lower_key(struct jrun *r, struct jval a, struct jval b)
{
    return jval_less(r, a.u.list->v[0], b.u.list->v[0], "sorting");
}

static bool has_higher_key(struct jrun *r, struct jval a, struct jval b)
{
    return has_lower_key(r, b, a);
}

static struct jval sort_pairs(struct jrun *r, struct jlist *pairs, bool is_reverse)
{
    jiter_sort(r, pairs->v, pairs->n, is_reverse ? has_higher_key : has_lower_key);
    for (size_t i = 0; i < pairs->n; i++)
        pairs->v[i] = pairs->v[i].u.list->v[1];
    return jval_list(pairs);
}

static struct jval filter_sort(struct jrun *r, const struct jcall *c)
{
    struct jlist *pairs = jlist_new(r, 0);
    struct jiter it;
    struct jval item;

    jiter_start(r, &it, c->self);
    while (jiter_next(r, &it, &item))
        jlist_add(r, pairs,
                  jval_pair(r, keys_of(r, item, c->arg[2], jcall_bool(c, 1, false)), item));
    return sort_pairs(r, pairs, jcall_bool(c, 0, false));
}

static struct jval filter_dictsort(struct jrun *r, const struct jcall *c)
{
    const struct jstr *by = jcall_has(c, 1) ? jcall_str(r, c, 1) : jstr_of(r, "key");
    struct jlist *pairs = jlist_new(r, 0);

    if (!jstr_is(by, "key") && !jstr_is(by, "value"))
        jrun_fail(r, "dictsort sorts by key or by value");
    if (c->self.type != JVAL_DICT)
        jrun_fail(r, "dictsort wants a dict, found a %s", jval_type_name(c->self));
    for (size_t i = 0; i < c->self.u.dict->n; i++) {
        const struct jpair *pair = &c->self.u.dict->pair[i];
        struct jval key = jstr_is(by, "key") ? pair->key : pair->value;
        jlist_add(r, pairs,
                  jval_pair(r, fold_case(r, key, jcall_bool(c, 0, false)),
                            jval_pair(r, pair->key, pair->value)));
    }
    return sort_pairs(r, pairs, jcall_bool(c, 2, false));
}

static struct jval pick(struct jrun *r, const struct jcall *c, bool is_max)
{
    struct jiter it;
    struct jval item, best, best_key = jval_missing();

    best = no_item();
    jiter_start(r, &it, c->self);
    while (jiter_next(r, &it, &item)) {
        struct jval key = key_of(r, item, c->arg[1], jcall_bool(c, 0, false));
        bool is_better =
            best_key.type == JVAL_MISSING ||
            (is_max ? jval_less(r, best_key, key, "max") : jval_less(r, key, best_key, "min"));
        if (is_better) {
            best = item;
            best_key = key;
        }
    }
    return best;
}

static struct jval filter_min(struct jrun *r, const struct jcall *c)
{
    return pick(r, c, false);
}

static struct jval filter_max(struct jrun *r, const struct jcall *c)
{
    return pick(r, c, true);
}

static struct jval filter_sum(struct jrun *r, const struct jcall *c)
{
    struct jval sum = jcall_has(c, 1) ? c->arg[1] : jval_int(0), item;
    struct jiter it;

    if (sum.type == JVAL_STRING)
        jrun_fail(r, "sum cannot add str; use join");
    jiter_start(r, &it, c->self);
    while (jiter_next(r, &it, &item))
        sum = jops_math(r, JTOK_ADD, sum, jattr_path(r, item, c->arg[0], jval_missing()));
    return sum;
}

static struct jval filter_join(struct jrun *r, const struct jcall *c)
{
    struct jval separator = jval_string(jcall_has(c, 0) ? jtext_of(r, c->arg[0]) : jstr_of(r, ""));
    struct jval items = c->self, item;

    if (!jcall_is_none(c, 1)) {
        struct jlist *l = jlist_new(r, 0);
        struct jiter it;
        jiter_start(r, &it, c->self);
        while (jiter_next(r, &it, &item))
            jlist_add(r, l, jattr_path(r, item, c->arg[1], jval_missing()));
        items = jval_list(l);
    }
    return jstr_join(r, separator, items, true);
}

#define BY_ATTRIBUTE .has_keywords = true, .params = {"case_sensitive", "attribute"}

static const struct jcallable filters[] = {
    {.name = "length", .call = filter_length},
    {.name = "count", .call = filter_length},
    {.name = "list", .call = filter_list},
    {.name = "first", .call = filter_first},
    {.name = "last", .call = filter_last},
    {.name = "reverse", .call = filter_reverse},
    {.name = "default",
     .call = filter_default,
     .has_keywords = true,
     .params = {"default_value", "boolean"}},
    {.name = "d",
     .call = filter_default,
     .has_keywords = true,
     .params = {"default_value", "boolean"}},
    {.name = "attr", .call = filter_attr, .n_needed = 1, .has_keywords = true, .params = {"name"}},
    {.name = "items", .call = filter_items},
    {.name = "map", .call = filter_map, .is_variadic = true},
    {.name = "select", .call = filter_select, .is_variadic = true},
    {.name = "reject", .call = filter_reject, .is_variadic = true},
    {.name = "selectattr", .call = filter_selectattr, .is_variadic = true},
    {.name = "rejectattr", .call = filter_rejectattr, .is_variadic = true},
    {.name = "batch",
     .call = filter_batch,
     .n_needed = 1,
     .has_keywords = true,
     .params = {"linecount", "fill_with"}},
    {.name = "slice",
     .call = filter_slice,
     .n_needed = 1,
     .has_keywords = true,
     .params = {"slices", "fill_with"}},
    {.name = "unique", .call = filter_unique, BY_ATTRIBUTE},
    {.name = "sort",
     .call = filter_sort,
     .has_keywords = true,
     .params = {"reverse", "case_sensitive", "attribute"}},
    {.name = "dictsort",
     .call = filter_dictsort,
     .has_keywords = true,
     .params = {"case_sensitive", "by", "reverse"}},
    {.name = "min", .call = filter_min, BY_ATTRIBUTE},
    {.name = "max", .call = filter_max, BY_ATTRIBUTE},
    {.name = "sum", .call = filter_sum, .has_keywords = true, .params = {"attribute", "start"}},
    {.name = "join", .call = filter_join, .has_keywords = true, .params = {"d", "attribute"}},
    {.name = "groupby"},
    {.name = "random"},
};

const struct jcallable *jfilter_of_sequence(const struct jstr *name)
{
    return jcall_find(filters, sizeof filters / sizeof filters[0], name);
}

const struct jcallable *jcall_find_filter(const struct jstr *name)
{
    const struct jcallable *fn = jfilter_of_sequence(name);

    return fn != NULL ? fn : jfilter_of_text(name);
}

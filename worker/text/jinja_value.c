#include "worker/text/jinja_value.h"

#include "worker/text/jinja_text.h"
#include "worker/text/jinja_unicode.h"

#include <math.h>
#include <string.h>

#define FIND_COST 16 /* bytes that one search is worth, however short */

static const char *const type_names[] = {
    [JVAL_UNDEFINED] = "Undefined", [JVAL_MISSING] = "missing",   [JVAL_NONE] = "None",
    [JVAL_BOOL] = "bool",           [JVAL_INT] = "int",           [JVAL_WIDE] = "int",
    [JVAL_FLOAT] = "float",         [JVAL_STRING] = "str",        [JVAL_LIST] = "list",
    [JVAL_TUPLE] = "tuple",         [JVAL_DICT] = "dict",         [JVAL_RANGE] = "range",
    [JVAL_VIEW] = "dict view",      [JVAL_ITERATOR] = "iterator", [JVAL_NAMESPACE] = "namespace",
    [JVAL_MACRO] = "macro",         [JVAL_LOOP] = "loop",         [JVAL_FUNCTION] = "function",
    [JVAL_METHOD] = "method",
};

const char *jval_type_name(struct jval v)
{
    return type_names[v.type];
}

_Noreturn void jval_fail_undefined(struct jrun *r, struct jval v)
{
    int len = v.u.name != NULL && v.u.name->len < 100 ? (int)v.u.name->len : 100;
    const char *name = v.u.name != NULL ? v.u.name->p : "";
    const char *of = type_names[v.of];

    if (v.u.name == NULL)
        len = 0;
    switch (v.flag) {
    case JVAL_NO_MEMBER:
        jrun_fail(r, "the %s has no '%.*s'", of, len, name);
    case JVAL_NO_INDEX:
        jrun_fail(r, "the %s has no such element", of);
    case JVAL_UNSAFE:
        jrun_fail(r, "'%.*s' of a %s is not allowed in a template", len, name, of);
    case JVAL_NO_ELSE:
        jrun_fail(r, "the inline if was false and has no else");
    case JVAL_NO_ITEM:
        jrun_fail(r, "there is no such item: the sequence has ended, or is empty");
    case JVAL_NO_ARG:
        jrun_fail(r, "parameter '%.*s' was not given", len, name);
    default:
        jrun_fail(r, "'%.*s' is undefined", len, name);
    }
}

double jval_as_float(struct jval v)
{
    switch (v.type) {
    case JVAL_BOOL:
        return v.u.b;
    case JVAL_INT:
        return (double)v.u.i;
    case JVAL_WIDE:
        return (double)v.u.w;
    default:
        return v.u.d;
    }
}

bool jval_is_true(struct jval v)
{
    size_t n;

    switch (v.type) {
    case JVAL_UNDEFINED:
    case JVAL_MISSING:
    case JVAL_NONE:
        return false;
    case JVAL_BOOL:
        return v.u.b;
    case JVAL_INT:
        return v.u.i != 0;
    case JVAL_FLOAT:
        return v.u.d < 0 || v.u.d > 0 || isnan(v.u.d);
    case JVAL_STRING:
        return v.u.s->len > 0;
    case JVAL_LIST:
    case JVAL_TUPLE:
    case JVAL_DICT:
    case JVAL_VIEW:
    case JVAL_RANGE:
        return jval_length(v, &n) && n > 0;
    default:
        return true;
    }
}

bool jval_length(struct jval v, size_t *n)
{
    *n = 0;
    switch (v.type) {
    case JVAL_UNDEFINED:
        return true;
    case JVAL_STRING:
        *n = v.u.s->chars;
        return true;
    case JVAL_LIST:
    case JVAL_TUPLE:
        *n = v.u.list->n;
        return true;
    case JVAL_DICT:
    case JVAL_VIEW:
        *n = v.u.dict->n;
        return true;
    case JVAL_RANGE:
        *n = (size_t)v.u.range->n;
        return true;
    default:
        return false;
    }
}

/* --- comparing --- */

/* An integer against a double, exactly: the integer part first, then what is left of the double. */
static int compare_int_double(int64_t i, double d)
{
    if (isnan(d))
        return 2;
    if (d >= 0x1p63)
        return -1;
    if (d < -0x1p63)
        return 1;
    int64_t whole = (int64_t)d;
    if (i != whole)
        return i < whole ? -1 : 1;
    double rest = d - (double)whole;
    return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

static int compare_wide_double(uint64_t w, double d)
{
    if (isnan(d))
        return 2;
    if (d >= 0x1p64)
        return -1;
    if (d < 0x1p63)
        return 1;
    uint64_t whole = (uint64_t)d; /* no fraction at this size */
    return w < whole ? -1 : w > whole ? 1 : 0;
}

static int flip(int order)
{
    return order == 2 ? 2 : -order;
}

int jval_compare_numbers(struct jval a, struct jval b)
{
    if (a.type == JVAL_FLOAT && b.type == JVAL_FLOAT) {
        if (isnan(a.u.d) || isnan(b.u.d))
            return 2;
        return a.u.d < b.u.d ? -1 : a.u.d > b.u.d ? 1 : 0;
    }
    if (a.type == JVAL_FLOAT)
        return flip(jval_compare_numbers(b, a));
    if (a.type == JVAL_WIDE) {
        if (b.type == JVAL_FLOAT)
            return compare_wide_double(a.u.w, b.u.d);
        if (b.type == JVAL_WIDE)
            return a.u.w < b.u.w ? -1 : a.u.w > b.u.w ? 1 : 0;
        return 1;
    }
    if (b.type == JVAL_WIDE)
        return -1;
    int64_t x = jval_as_int(a);
    if (b.type == JVAL_FLOAT)
        return compare_int_double(x, b.u.d);
    int64_t y = jval_as_int(b);
    return x < y ? -1 : x > y ? 1 : 0;
}

bool jval_is_same(struct jval a, struct jval b)
{
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case JVAL_UNDEFINED:
    case JVAL_FLOAT:
        return false;
    case JVAL_NONE:
        return true;
    case JVAL_BOOL:
        return a.u.b == b.u.b;
    case JVAL_INT:
    case JVAL_WIDE:
        return a.u.i == b.u.i;
    case JVAL_STRING:
        return a.u.s == b.u.s;
    default:
        return a.u.list == b.u.list; /* any of the pointers */
    }
}

static bool are_lists_equal(struct jrun *r, const struct jlist *a, const struct jlist *b)
{
    if (a == b)
        return true;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jval_equal(r, a->v[i], b->v[i]))
            return false;
    return true;
}

static bool are_dicts_equal(struct jrun *r, const struct jdict *a, const struct jdict *b)
{
    if (a == b)
        return true;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct jval *other = jdict_get(r, b, a->pair[i].key);
        if (other == NULL || !jval_equal(r, a->pair[i].value, *other))
            return false;
    }
    return true;
}

static bool are_ranges_equal(const struct jrange *a, const struct jrange *b)
{
    return a->n == b->n &&
           (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

bool jval_equal(struct jrun *r, struct jval a, struct jval b)
{
    jrun_step(r, 1);
    if (jval_is_number(a) && jval_is_number(b))
        return jval_compare_numbers(a, b) == 0;
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case JVAL_UNDEFINED:
        return true;
    case JVAL_STRING:
        jrun_step_bytes(r, a.u.s->len);
        return jstr_equal(a.u.s, b.u.s);
    case JVAL_LIST:
    case JVAL_TUPLE:
        return are_lists_equal(r, a.u.list, b.u.list);
    case JVAL_DICT:
        return are_dicts_equal(r, a.u.dict, b.u.dict);
    case JVAL_RANGE:
        return are_ranges_equal(a.u.range, b.u.range);
    case JVAL_VIEW:
        if (a.u.dict != b.u.dict || a.flag != b.flag || a.flag == JVAL_VALUES)
            jrun_fail(r, "views of dicts cannot be compared here; compare their lists");
        return true;
    default:
        return jval_is_same(a, b);
    }
}

static bool is_list_less(struct jrun *r, const struct jlist *a, const struct jlist *b,
                         const char *op)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!jval_equal(r, a->v[i], b->v[i]))
            return jval_less(r, a->v[i], b->v[i], op);
    return a->n < b->n;
}

bool jval_less(struct jrun *r, struct jval a, struct jval b, const char *op)
{
    jrun_step(r, 1);
    if (jval_is_number(a) && jval_is_number(b))
        return jval_compare_numbers(a, b) == -1;
    if (a.type == JVAL_STRING && b.type == JVAL_STRING) {
        jrun_step_bytes(r, a.u.s->len);
        return jstr_compare(a.u.s, b.u.s) < 0;
    }
    if (a.type == b.type && (a.type == JVAL_LIST || a.type == JVAL_TUPLE))
        return is_list_less(r, a.u.list, b.u.list, op);
    if (a.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, a);
    if (b.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, b);
    jrun_fail(r, "%s is not possible between a %s and a %s", op, jval_type_name(a),
              jval_type_name(b));
}

/* --- strings --- */

const struct jstr *jstr_borrow(struct jrun *r, const char *p, size_t len)
{
    struct jstr *s = jrun_alloc(r, sizeof *s);

    jrun_step_bytes(r, len);
    s->p = p;
    s->len = len;
    s->chars = juni_count(p, len);
    return s;
}

const struct jstr *jstr_copy(struct jrun *r, const char *p, size_t len)
{
    char *copy = jrun_alloc(r, len);

    if (len > 0)
        memcpy(copy, p, len);
    return jstr_borrow(r, copy, len);
}

const struct jstr *jstr_end(struct jrun *r, size_t begin)
{
    size_t len = r->text.len - begin;
    const struct jstr *s = jstr_copy(r, len > 0 ? r->text.data + begin : "", len);

    r->text.len = begin;
    return s;
}

bool jstr_equal(const struct jstr *a, const struct jstr *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

bool jstr_is(const struct jstr *s, const char *text)
{
    return s->len == strlen(text) && memcmp(s->p, text, s->len) == 0;
}

/* The order of UTF-8 bytes is the order of characters. */
int jstr_compare(const struct jstr *a, const struct jstr *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int order = n > 0 ? memcmp(a->p, b->p, n) : 0;

    if (order != 0)
        return order;
    return a->len < b->len ? -1 : a->len > b->len ? 1 : 0;
}

size_t jstr_offset(struct jrun *r, const struct jstr *s, size_t i)
{
    if (s->chars == s->len)
        return i;
    jrun_step_bytes(r, i);
    return juni_offset(s->p, s->len, i);
}

const struct jstr *jstr_part(struct jrun *r, const struct jstr *s, size_t from, size_t to)
{
    if (from == 0 && to == s->chars)
        return s;
    size_t begin = jstr_offset(r, s, from);
    size_t end = begin + juni_offset(s->p + begin, s->len - begin, to - from);
    return jstr_borrow(r, s->p + begin, end - begin);
}

size_t jstr_find(struct jrun *r, const struct jstr *s, size_t at, const struct jstr *needle)
{
    if (needle->len == 0)
        return at;
    if (at > s->len || s->len - at < needle->len)
        return SIZE_MAX;
    const char *p = needle->len == 1 ? memchr(s->p + at, needle->p[0], s->len - at)
                                     : memmem(s->p + at, s->len - at, needle->p, needle->len);
    jrun_step_bytes(r, FIND_COST + (p != NULL ? (size_t)(p - s->p) - at : s->len - at));
    return p != NULL ? (size_t)(p - s->p) : SIZE_MAX;
}

#include "worker/text/jinja_attr.h"

#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_unicode.h"

#include <string.h>

/* Methods that change their object exist for Python but not for a template. */
static bool is_mutating(struct jval v, const struct jstr *name)
{
    static const char *const of_list[] = {"append", "clear", "pop",    "reverse",
                                          "insert", "sort",  "extend", "remove"};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
    const char *const *list = v.type == JVAL_LIST ? of_list : of_dict;
    size_t n = v.type == JVAL_LIST ? 8 : 5;

    if (v.type != JVAL_LIST && v.type != JVAL_DICT)
        return false;
    for (size_t i = 0; i < n; i++)
        if (jstr_is(name, list[i]))
            return true;
    return false;
}

/* What every Python object has and no template may see; it hides a key of that name. */
static bool is_internal(const struct jstr *name)
{
    static const char *const names[] = {
        "__class__",   "__delattr__", "__dir__",           "__doc__",          "__eq__",
        "__format__",  "__ge__",      "__getattribute__",  "__getstate__",     "__gt__",
        "__hash__",    "__init__",    "__init_subclass__", "__le__",           "__lt__",
        "__ne__",      "__new__",     "__reduce__",        "__reduce_ex__",    "__repr__",
        "__setattr__", "__sizeof__",  "__str__",           "__subclasshook__",
    };

    if (name->len < 4 || memcmp(name->p, "__", 2) != 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (jstr_is(name, names[i]))
            return true;
    return false;
}

static struct jval bind(struct jrun *r, const struct jcallable *fn, struct jval self)
{
    struct jbound *bound = jrun_alloc(r, sizeof *bound);

    *bound = (struct jbound){fn, self};
    return (struct jval){.type = JVAL_METHOD, .u.method = bound};
}

static bool find_macro_attribute(struct jrun *r, const struct jmacro *m, const struct jstr *name,
                                 struct jval *out)
{
    if (jstr_is(name, "name")) {
        *out = m->node->str != NULL ? jval_string(m->node->str) : jval_none();
    } else if (jstr_is(name, "arguments")) {
        struct jlist *names = jlist_new(r, 0);
        for (const struct jnode *arg = m->node->args; arg != NULL; arg = arg->next)
            jlist_add(r, names, jval_string(arg->str));
        *out = jval_tuple(names);
    } else if (jstr_is(name, "caller")) {
        *out = jval_bool((m->node->uses & JUSES_CALLER) != 0);
    } else if (jstr_is(name, "catch_kwargs")) {
        *out = jval_bool((m->node->uses & JUSES_KWARGS) != 0);
    } else if (jstr_is(name, "catch_varargs")) {
        *out = jval_bool((m->node->uses & JUSES_VARARGS) != 0);
    } else {
        return false;
    }
    return true;
}

static bool find_number_attribute(struct jval v, const struct jstr *name, struct jval *out)
{
    bool is_float = v.type == JVAL_FLOAT;

    if (jstr_is(name, "real") || (!is_float && jstr_is(name, "numerator")))
        *out = v.type == JVAL_BOOL ? jval_int(v.u.b) : v;
    else if (jstr_is(name, "imag"))
        *out = is_float ? jval_float(0) : jval_int(0);
    else if (!is_float && jstr_is(name, "denominator"))
        *out = jval_int(1);
    else
        return false;
    return true;
}

static bool find_range_attribute(const struct jrange *range, const struct jstr *name,
                                 struct jval *out)
{
    if (jstr_is(name, "start"))
        *out = jval_int(range->start);
    else if (jstr_is(name, "stop"))
        *out = jval_int(range->stop);
    else if (jstr_is(name, "step"))
        *out = jval_int(range->step);
    else
        return false;
    return true;
}

/* What Python's getattr() finds and the sandbox lets through. Something forbidden is found too: as
 * undefined. */
static bool find_attribute(struct jrun *r, struct jval v, const struct jstr *name, struct jval *out)
{
    const struct jcallable *method = NULL;
    const struct jval *member;

    switch (v.type) {
    case JVAL_UNDEFINED:
        if (!is_internal(name))
            jval_fail_undefined(r, v);
        break;
    case JVAL_NAMESPACE: /* nothing but what was set */
        member = jdict_get_str(r, v.u.dict, name);
        if (member != NULL)
            *out = *member;
        return member != NULL;
    case JVAL_LOOP:
        if (jiter_loop_attribute(r, v.u.loop, name, out))
            return true;
        break;
    case JVAL_MACRO:
        if (find_macro_attribute(r, v.u.macro, name, out))
            return true;
        break;
    case JVAL_RANGE:
        if (find_range_attribute(v.u.range, name, out))
            return true;
        break;
    default:
        if (jval_is_number(v) && find_number_attribute(v, name, out))
            return true;
    }
    if (is_mutating(v, name) || is_internal(name)) {
        *out = jval_absent(JVAL_UNSAFE, (enum jval_type)v.type, name);
        return true;
    }
    method = v.type == JVAL_STRING ? jstr_method(name) : jval_method(v, name);
    if (method == NULL)
        return false;
    *out = bind(r, method, v);
    return true;
}

static bool find_index(struct jrun *r, struct jval v, int64_t i, struct jval *out)
{
    size_t length;
    int64_t n;

    jval_length(v, &length);
    n = (int64_t)length;
    if (i < 0 ? i < -n : i >= n)
        return false;
    size_t at = (size_t)(i < 0 ? i + n : i);
    if (v.type == JVAL_STRING) {
        *out = v; /* Markup stays Markup */
        out->u.s = jstr_part(r, v.u.s, at, at + 1);
    } else if (v.type == JVAL_RANGE) {
        *out = jval_int(v.u.range->start + (int64_t)at * v.u.range->step);
    } else {
        *out = v.u.list->v[at];
    }
    return true;
}

/* obj[key], as far as it does not raise. */
static bool find_item(struct jrun *r, struct jval v, struct jval key, struct jval *out)
{
    const struct jval *member;

    switch (v.type) {
    case JVAL_DICT:
        member = jval_is_hashable(key) ? jdict_get(r, v.u.dict, key) : NULL;
        if (member != NULL)
            *out = *member;
        return member != NULL;
    case JVAL_STRING:
    case JVAL_LIST:
    case JVAL_TUPLE:
    case JVAL_RANGE:
        return jval_is_int(key) && find_index(r, v, jval_as_int(key), out);
    case JVAL_UNDEFINED:
        jval_fail_undefined(r, v);
    default:
        return false;
    }
}

struct jval jattr_get(struct jrun *r, struct jval v, const struct jstr *name)
{
    struct jval out;

    jrun_step(r, 1);
    if (find_attribute(r, v, name, &out) || find_item(r, v, jval_string(name), &out))
        return out;
    return jval_absent(JVAL_NO_MEMBER, (enum jval_type)v.type, name);
}

struct jval jattr_item(struct jrun *r, struct jval v, struct jval key)
{
    struct jval out;

    jrun_step(r, 1);
    if (find_item(r, v, key, &out))
        return out;
    if (key.type != JVAL_STRING)
        return jval_absent(JVAL_NO_INDEX, (enum jval_type)v.type, NULL);
    if (find_attribute(r, v, key.u.s, &out))
        return out;
    return jval_absent(JVAL_NO_MEMBER, (enum jval_type)v.type, key.u.s);
}

struct jval jattr_only(struct jrun *r, struct jval v, const struct jstr *name)
{
    struct jval out;

    if (find_attribute(r, v, name, &out))
        return out;
    return jval_absent(JVAL_NO_MEMBER, (enum jval_type)v.type, name);
}

static struct jval follow(struct jrun *r, struct jval v, struct jval key, struct jval default_value)
{
    v = jattr_item(r, v, key);
    return v.type == JVAL_UNDEFINED && default_value.type != JVAL_MISSING ? default_value : v;
}

/* "12" is an index; what is no number for us is a name. */
static struct jval path_key(struct jrun *r, const char *p, size_t len)
{
    int64_t i = 0;

    for (size_t k = 0; k < len; k++)
        if (p[k] < '0' || p[k] > '9' || __builtin_mul_overflow(i, 10, &i) ||
            __builtin_add_overflow(i, p[k] - '0', &i))
            return jval_string(jstr_borrow(r, p, len));
    return len > 0 ? jval_int(i) : jval_string(jstr_borrow(r, p, len));
}

struct jval jattr_path(struct jrun *r, struct jval v, struct jval path, struct jval default_value)
{
    if (path.type == JVAL_NONE || path.type == JVAL_MISSING)
        return v;
    if (path.type != JVAL_STRING)
        return follow(r, v, path, default_value);
    const struct jstr *s = path.u.s;
    for (size_t at = 0; at <= s->len;) {
        const char *dot = at < s->len ? memchr(s->p + at, '.', s->len - at) : NULL;
        size_t end = dot != NULL ? (size_t)(dot - s->p) : s->len;
        v = follow(r, v, path_key(r, s->p + at, end - at), default_value);
        at = end + 1;
    }
    return v;
}

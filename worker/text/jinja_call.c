#include "worker/text/jinja_call.h"

#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_text.h"

#include <string.h>
#include <time.h>

const struct jcallable *jcall_find(const struct jcallable *table, size_t n, const struct jstr *name)
{
    for (size_t i = 0; i < n; i++)
        if (jstr_is(name, table[i].name))
            return &table[i];
    return NULL;
}

/* --- binding --- */

static size_t count_params(const struct jcallable *fn)
{
    size_t n = 0;

    while (n < JCALL_PARAMS_MAX && fn->params[n] != NULL)
        n++;
    return n;
}

static void bind_keyword(struct jrun *r, const struct jcallable *fn, const struct jkeyword *kw,
                         struct jcall *c)
{
    size_t n = count_params(fn), i = 0;
    int len = kw->name->len < 100 ? (int)kw->name->len : 100;

    while (i < n && !jstr_is(kw->name, fn->params[i]))
        i++;
    if (!fn->has_keywords || i == n)
        jrun_fail(r, "%s takes no argument '%.*s'", fn->name, len, kw->name->p);
    if (c->arg[i].type != JVAL_MISSING)
        jrun_fail(r, "%s got two values for '%s'", fn->name, fn->params[i]);
    c->arg[i] = kw->value;
}

static void bind_params(struct jrun *r, const struct jcallable *fn, const struct jargs *args,
                        struct jcall *c)
{
    size_t n = count_params(fn);

    if (args->n > n)
        jrun_fail(r, "%s takes %zu arguments at most, found %zu", fn->name, n, args->n);
    for (size_t i = 0; i < args->n; i++)
        c->arg[i] = args->v[i];
    for (size_t i = 0; i < args->n_kw; i++)
        bind_keyword(r, fn, &args->kw[i], c);
    for (size_t i = 0; i < fn->n_needed; i++)
        if (c->arg[i].type == JVAL_MISSING)
            jrun_fail(r, "%s needs an argument '%s'", fn->name, fn->params[i]);
}

struct jval jcall_invoke(struct jrun *r, const struct jcallable *fn, struct jval self,
                         const struct jargs *args)
{
    struct jcall c = {.self = self, .all = args};

    jrun_step(r, 1);
    if (fn->call == NULL)
        jrun_fail(r, "%s is not supported", fn->name);
    for (size_t i = 0; i < JCALL_PARAMS_MAX; i++)
        c.arg[i] = jval_missing();
    if (!fn->is_variadic)
        bind_params(r, fn, args, &c);
    jrun_enter(r);
    struct jval result = fn->call(r, &c);
    jrun_leave(r);
    return result;
}

bool jcall_is_callable(struct jval v)
{
    /* Undefined and the loop have __call__, if only to refuse. */
    return v.type == JVAL_FUNCTION || v.type == JVAL_METHOD || v.type == JVAL_MACRO ||
           v.type == JVAL_UNDEFINED || v.type == JVAL_LOOP;
}

struct jval jcall_value(struct jrun *r, struct jval callee, const struct jargs *args)
{
    switch (callee.type) {
    case JVAL_FUNCTION:
        return jcall_invoke(r, callee.u.fn, jval_none(), args);
    case JVAL_METHOD:
        return jcall_invoke(r, callee.u.method->fn, callee.u.method->self, args);
    case JVAL_MACRO:
        return jeval_macro(r, callee.u.macro, args);
    case JVAL_UNDEFINED:
        jval_fail_undefined(r, callee);
    case JVAL_LOOP:
        jrun_fail(r, "recursive loops are not supported");
    default:
        jrun_fail(r, "a %s cannot be called", jval_type_name(callee));
    }
}

const struct jval *jcall_keyword(const struct jargs *args, const char *name)
{
    for (size_t i = 0; i < args->n_kw; i++)
        if (jstr_is(args->kw[i].name, name))
            return &args->kw[i].value;
    return NULL;
}

void jcall_put_macro(struct jrun *r, const struct jmacro *m)
{
    if (m->node->str == NULL) {
        jrun_put_str(r, "<Macro anonymous>");
        return;
    }
    jrun_put_str(r, "<Macro ");
    jtext_put_repr(r, jval_string(m->node->str));
    jrun_put(r, ">", 1);
}

/* --- arguments --- */

int64_t jcall_int(struct jrun *r, const struct jcall *c, unsigned i, int64_t missing)
{
    if (!jcall_has(c, i))
        return missing;
    if (!jval_is_int(c->arg[i]))
        jrun_fail(r, "argument %u: found a %s, expected an int", i + 1, jval_type_name(c->arg[i]));
    return jval_as_int(c->arg[i]);
}

bool jcall_bool(const struct jcall *c, unsigned i, bool missing)
{
    return jcall_has(c, i) ? jval_is_true(c->arg[i]) : missing;
}

const struct jstr *jcall_str(struct jrun *r, const struct jcall *c, unsigned i)
{
    if (c->arg[i].type == JVAL_UNDEFINED)
        jval_fail_undefined(r, c->arg[i]);
    if (c->arg[i].type != JVAL_STRING)
        jrun_fail(r, "argument %u: found a %s, expected a str", i + 1, jval_type_name(c->arg[i]));
    return c->arg[i].u.s;
}

/* --- functions --- */

#define RANGE_MAX 100000 /* the sandbox's */

static struct jval call_range(struct jrun *r, const struct jcall *c)
{
    bool is_single = !jcall_has(c, 1);
    int64_t start = is_single ? 0 : jcall_int(r, c, 0, 0);
    int64_t stop = jcall_int(r, c, is_single ? 0 : 1, 0), step = jcall_int(r, c, 2, 1);
    int64_t gap;

    if (step == 0)
        jrun_fail(r, "range wants a step other than 0");
    if (__builtin_sub_overflow(stop, start, &gap) || step == INT64_MIN)
        jrun_fail(r, "a range is beyond 64 bits");
    int64_t n =
        step > 0 ? (gap > 0 ? (gap - 1) / step + 1 : 0) : (gap < 0 ? (-(gap + 1)) / -step + 1 : 0);
    if (n > RANGE_MAX)
        jrun_fail(r, "a range of %lld numbers is too long, the maximum is %d", (long long)n,
                  RANGE_MAX);
    struct jrange *range = jrun_alloc(r, sizeof *range);
    *range = (struct jrange){start, stop, step, n};
    return (struct jval){.type = JVAL_RANGE, .u.range = range};
}

static void add_pairs(struct jrun *r, struct jdict *d, struct jval from)
{
    struct jiter it;
    struct jval item;

    if (from.type == JVAL_DICT) {
        for (size_t i = 0; i < from.u.dict->n; i++)
            jdict_set(r, d, from.u.dict->pair[i].key, from.u.dict->pair[i].value);
        return;
    }
    jiter_start(r, &it, from);
    while (jiter_next(r, &it, &item)) {
        struct jlist *pair = jiter_list(r, item);
        if (pair->n != 2)
            jrun_fail(r, "a dict is made of pairs, found %zu elements", pair->n);
        jdict_set(r, d, pair->v[0], pair->v[1]);
    }
}

static struct jdict *make_dict(struct jrun *r, const struct jcall *c)
{
    struct jdict *d = jdict_new(r);

    if (c->all->n > 1)
        jrun_fail(r, "a dict is made of one value at most, found %zu", c->all->n);
    if (c->all->n == 1)
        add_pairs(r, d, c->all->v[0]);
    for (size_t i = 0; i < c->all->n_kw; i++)
        jdict_set(r, d, jval_string(c->all->kw[i].name), c->all->kw[i].value);
    return d;
}

static struct jval call_dict(struct jrun *r, const struct jcall *c)
{
    return jval_dict(make_dict(r, c));
}

static struct jval call_namespace(struct jrun *r, const struct jcall *c)
{
    struct jdict *d = make_dict(r, c);

    for (size_t i = 0; i < d->n; i++) {
        struct jval key = d->pair[i].key;
        if (key.type == JVAL_STRING && key.u.s->len > 0 && key.u.s->p[0] == '_')
            jrun_fail(r, "a namespace takes no attribute that begins with an underscore");
    }
    return (struct jval){.type = JVAL_NAMESPACE, .u.dict = d};
}

static struct jval call_raise(struct jrun *r, const struct jcall *c)
{
    const struct jstr *s = jtext_of(r, c->arg[0]);

    jrun_fail(r, "%.*s", s->len < 400 ? (int)s->len : 400, s->p);
}

/* A naive time has no zone; microseconds are 0. What is left is strftime's. */
static const char *adapt_format(struct jrun *r, const struct jstr *format)
{
    char *copy = jrun_alloc_array(r, 6 * format->len + 2, 1), *to = copy;

    for (size_t i = 0; i < format->len; i++) {
        char next = i + 1 < format->len ? format->p[i + 1] : 0;
        if (format->p[i] == 0)
            jrun_fail(r, "strftime_now wants a format without NUL");
        if (format->p[i] != '%' || next == 0) {
            *to++ = format->p[i];
            continue;
        }
        i++;
        if (next == 'f')
            to = stpcpy(to, "000000");
        else if (next != 'z' && next != 'Z')
            *to++ = '%', *to++ = next;
    }
    *to++ = '.'; /* so that an empty result is not a failure */
    return copy;
}

static struct jval call_strftime(struct jrun *r, const struct jcall *c)
{
    char text[4096];
    time_t now = (time_t)r->now_s;
    struct tm tm;

    if (localtime_r(&now, &tm) == NULL)
        jrun_fail(r, "strftime_now: the clock says %lld", (long long)r->now_s);
    const char *format = adapt_format(r, jcall_str(r, c, 0));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the template's, read by strftime alone */
    size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
    if (n == 0)
        jrun_fail(r, "strftime_now: the result is longer than %zu bytes", sizeof text - 2);
    return jval_string(jstr_copy(r, text, n - 1));
}

static const struct jcallable functions[] = {
    {.name = "range", .call = call_range, .n_needed = 1, .params = {"start", "stop", "step"}},
    {.name = "dict", .call = call_dict, .is_variadic = true},
    {.name = "namespace", .call = call_namespace, .is_variadic = true},
    {.name = "raise_exception",
     .call = call_raise,
     .n_needed = 1,
     .has_keywords = true,
     .params = {"message"}},
    {.name = "strftime_now",
     .call = call_strftime,
     .n_needed = 1,
     .has_keywords = true,
     .params = {"format"}},
    {.name = "cycler"},
    {.name = "joiner"},
    {.name = "lipsum"},
};

struct jval jcall_global(const struct jstr *name)
{
    const struct jcallable *fn =
        jcall_find(functions, sizeof functions / sizeof functions[0], name);

    return fn != NULL ? (struct jval){.type = JVAL_FUNCTION, .u.fn = fn} : jval_missing();
}

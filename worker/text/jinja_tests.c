/* What may stand behind "is". */
#include "worker/text/jinja_call.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_ops.h"
#include "worker/text/jinja_str.h"
#include "worker/text/jinja_text.h"

/* self % n == rest */
static struct jval has_rest(struct jrun *r, struct jval self, struct jval n, int64_t rest)
{
    struct jval found = jops_math(r, JTOK_MOD, self, n);

    return jval_bool(jval_equal(r, found, jval_int(rest)));
}

static struct jval test_odd(struct jrun *r, const struct jcall *c)
{
    return has_rest(r, c->self, jval_int(2), 1);
}

static struct jval test_even(struct jrun *r, const struct jcall *c)
{
    return has_rest(r, c->self, jval_int(2), 0);
}

static struct jval test_divisibleby(struct jrun *r, const struct jcall *c)
{
    return has_rest(r, c->self, c->arg[0], 0);
}

static struct jval test_filter(struct jrun *r, const struct jcall *c)
{
    (void)r;
    return jval_bool(c->self.type == JVAL_STRING && jcall_find_filter(c->self.u.s) != NULL);
}

static struct jval test_test(struct jrun *r, const struct jcall *c)
{
    (void)r;
    return jval_bool(c->self.type == JVAL_STRING && jcall_find_test(c->self.u.s) != NULL);
}

/* Tests of the type alone. */
#define X(name, condition) \
    static struct jval test_##name(struct jrun *r, const struct jcall *c) \
    { \
        struct jval v = c->self; \
        (void)r; \
        return jval_bool(condition); \
    }
X(defined, v.type != JVAL_UNDEFINED)
X(undefined, v.type == JVAL_UNDEFINED)
X(none, v.type == JVAL_NONE)
X(boolean, v.type == JVAL_BOOL)
X(false, v.type == JVAL_BOOL && !v.u.b)
X(true, v.type == JVAL_BOOL && v.u.b)
X(integer, v.type == JVAL_INT || v.type == JVAL_WIDE)
X(float, v.type == JVAL_FLOAT)
X(number, jval_is_number(v))
X(string, v.type == JVAL_STRING)
X(mapping, v.type == JVAL_DICT)
X(iterable, jiter_can(v))
X(callable, jcall_is_callable(v))
X(escaped, v.type == JVAL_STRING && v.flag)
#undef X

/* What has a length and elements by index. */
static struct jval test_sequence(struct jrun *r, const struct jcall *c)
{
    size_t n;

    (void)r;
    return jval_bool(jval_length(c->self, &n) && c->self.type != JVAL_VIEW);
}

static struct jval test_lower(struct jrun *r, const struct jcall *c)
{
    return jval_bool(jstr_is_lower(jtext_of(r, c->self)));
}

static struct jval test_upper(struct jrun *r, const struct jcall *c)
{
    return jval_bool(jstr_is_upper(jtext_of(r, c->self)));
}

static struct jval test_sameas(struct jrun *r, const struct jcall *c)
{
    (void)r;
    return jval_bool(jval_is_same(c->self, c->arg[0]));
}

#define X(name, op) \
    static struct jval test_##name(struct jrun *r, const struct jcall *c) \
    { \
        return jval_bool(jops_compare(r, op, c->self, c->arg[0])); \
    }
X(in, JCOMPARE_IN)
X(eq, JTOK_EQ)
X(ne, JTOK_NE)
X(lt, JTOK_LT)
X(le, JTOK_LE)
X(gt, JTOK_GT)
X(ge, JTOK_GE)
#undef X

#define COMPARISON(text, fn) \
    { \
        .name = text, .call = fn, .n_needed = 1, .params = { "other" } \
    }

static const struct jcallable tests[] = {
    {.name = "odd", .call = test_odd},
    {.name = "even", .call = test_even},
    {.name = "divisibleby",
     .call = test_divisibleby,
     .n_needed = 1,
     .has_keywords = true,
     .params = {"num"}},
    {.name = "defined", .call = test_defined},
    {.name = "undefined", .call = test_undefined},
    {.name = "filter", .call = test_filter},
    {.name = "test", .call = test_test},
    {.name = "none", .call = test_none},
    {.name = "boolean", .call = test_boolean},
    {.name = "false", .call = test_false},
    {.name = "true", .call = test_true},
    {.name = "integer", .call = test_integer},
    {.name = "float", .call = test_float},
    {.name = "lower", .call = test_lower},
    {.name = "upper", .call = test_upper},
    {.name = "string", .call = test_string},
    {.name = "mapping", .call = test_mapping},
    {.name = "number", .call = test_number},
    {.name = "sequence", .call = test_sequence},
    {.name = "iterable", .call = test_iterable},
    {.name = "callable", .call = test_callable},
    {.name = "escaped", .call = test_escaped},
    COMPARISON("sameas", test_sameas),
    {.name = "in", .call = test_in, .n_needed = 1, .has_keywords = true, .params = {"seq"}},
    COMPARISON("==", test_eq),
    COMPARISON("eq", test_eq),
    COMPARISON("equalto", test_eq),
    COMPARISON("!=", test_ne),
    COMPARISON("ne", test_ne),
    COMPARISON(">", test_gt),
    COMPARISON("gt", test_gt),
    COMPARISON("greaterthan", test_gt),
    COMPARISON("ge", test_ge),
    COMPARISON(">=", test_ge),
    COMPARISON("<", test_lt),
    COMPARISON("lt", test_lt),
    COMPARISON("lessthan", test_lt),
    COMPARISON("<=", test_le),
    COMPARISON("le", test_le),
};

const struct jcallable *jcall_find_test(const struct jstr *name)
{
    return jcall_find(tests, sizeof tests / sizeof tests[0], name);
}

#include "worker/text/jinja_ops.h"

#include "base/utf8.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_text.h"
#include "worker/text/jinja_unicode.h"

#include <math.h>
#include <string.h>

_Noreturn static void fail_operands(struct jrun *r, uint8_t op, struct jval a, struct jval b)
{
    if (a.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, a);
    if (b.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, b);
    if (a.type == JVAL_WIDE || b.type == JVAL_WIDE)
        jrun_fail(r, "an integer beyond 64 bits cannot be computed with");
    jrun_fail(r, "%s is not possible between a %s and a %s", jtok_name(&(struct jtok){.type = op}),
              jval_type_name(a), jval_type_name(b));
}

_Noreturn static void fail_overflow(struct jrun *r)
{
    jrun_fail(r, "an integer is beyond 64 bits");
}

/* --- numbers --- */

static struct jval floor_divide(struct jrun *r, uint8_t op, int64_t a, int64_t b)
{
    if (b == 0)
        jrun_fail(r, "division by zero");
    if (b == -1) { /* INT64_MIN / -1 */
        int64_t negated;
        if (op == JTOK_MOD)
            return jval_int(0);
        if (__builtin_sub_overflow(0, a, &negated))
            fail_overflow(r);
        return jval_int(negated);
    }
    int64_t quotient = a / b, rest = a % b;
    if (rest != 0 && (rest < 0) != (b < 0)) { /* C rounds to zero, Python down */
        quotient--;
        rest += b;
    }
    return jval_int(op == JTOK_MOD ? rest : quotient);
}

static struct jval raise_int(struct jrun *r, int64_t base, int64_t exponent)
{
    int64_t result = 1;

    if (exponent < 0) {
        if (base == 0)
            jrun_fail(r, "0 cannot be raised to a negative power");
        return jval_float(pow((double)base, (double)exponent));
    }
    for (bool is_over = false; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) != 0 && (is_over || __builtin_mul_overflow(result, base, &result)))
            fail_overflow(r);
        is_over = __builtin_mul_overflow(base, base, &base);
    }
    return jval_int(result);
}

/* A quotient of integers is rounded once. */
static double divide_ints(int64_t a, int64_t b)
{
    return (double)((long double)a / (long double)b);
}

static struct jval compute_ints(struct jrun *r, uint8_t op, int64_t a, int64_t b)
{
    int64_t result;
    bool is_over;

    switch (op) {
    case JTOK_ADD:
        is_over = __builtin_add_overflow(a, b, &result);
        break;
    case JTOK_SUB:
        is_over = __builtin_sub_overflow(a, b, &result);
        break;
    case JTOK_MUL:
        is_over = __builtin_mul_overflow(a, b, &result);
        break;
    case JTOK_DIV:
        if (b == 0)
            jrun_fail(r, "division by zero");
        return jval_float(divide_ints(a, b));
    case JTOK_POW:
        return raise_int(r, a, b);
    default:
        return floor_divide(r, op, a, b);
    }
    if (is_over)
        fail_overflow(r);
    return jval_int(result);
}

static double modulo(double a, double b)
{
    double rest = fmod(a, b);

    if (rest != 0 && (rest < 0) != (b < 0))
        return rest + b;
    return rest != 0 ? rest : copysign(0, b);
}

/* As Python does it: through the modulus, so that both fit together. */
static double floor_quotient(double a, double b)
{
    double rest = fmod(a, b), quotient = (a - rest) / b;

    if (rest != 0 && (rest < 0) != (b < 0))
        quotient -= 1;
    if (quotient == 0)
        return copysign(0, a / b);
    double low = floor(quotient);
    return quotient - low > 0.5 ? low + 1 : low;
}

static double raise_float(struct jrun *r, double base, double exponent)
{
    if (base == 0 && exponent < 0)
        jrun_fail(r, "0 cannot be raised to a negative power");
    if (base < 0 && isfinite(base) && isfinite(exponent) && floor(exponent) != exponent)
        jrun_fail(r, "a negative number raised to a fraction is complex");
    double result = pow(base, exponent);
    if (isinf(result) && isfinite(base) && isfinite(exponent))
        jrun_fail(r, "the power is too large for a float");
    return result;
}

static struct jval compute_floats(struct jrun *r, uint8_t op, double a, double b)
{
    if (b == 0 && (op == JTOK_DIV || op == JTOK_FLOORDIV || op == JTOK_MOD))
        jrun_fail(r, "division by zero");
    switch (op) {
    case JTOK_ADD:
        return jval_float(a + b);
    case JTOK_SUB:
        return jval_float(a - b);
    case JTOK_MUL:
        return jval_float(a * b);
    case JTOK_DIV:
        return jval_float(a / b);
    case JTOK_FLOORDIV:
        return jval_float(floor_quotient(a, b));
    case JTOK_MOD:
        return jval_float(modulo(a, b));
    default:
        return jval_float(raise_float(r, a, b));
    }
}

/* --- sequences --- */

static struct jval concat_strings(struct jrun *r, struct jval a, struct jval b)
{
    bool is_markup = a.flag || b.flag;
    size_t begin = jstr_begin(r);

    if (is_markup) {
        jtext_put_escaped(r, a);
        jtext_put_escaped(r, b);
    } else {
        jtext_put_str(r, a);
        jtext_put_str(r, b);
    }
    struct jval result = jval_string(jstr_end(r, begin));
    result.flag = is_markup;
    return result;
}

static struct jval concat_lists(struct jrun *r, struct jval a, struct jval b)
{
    struct jlist *l = jlist_new(r, a.u.list->n + b.u.list->n);

    jrun_step(r, a.u.list->n + b.u.list->n);
    for (size_t i = 0; i < a.u.list->n; i++)
        jlist_add(r, l, a.u.list->v[i]);
    for (size_t i = 0; i < b.u.list->n; i++)
        jlist_add(r, l, b.u.list->v[i]);
    a.u.list = l;
    return a;
}

static struct jval repeat_string(struct jrun *r, struct jval v, int64_t n)
{
    size_t begin = jstr_begin(r);

    for (int64_t i = 0; i < n && v.u.s->len > 0; i++) {
        jrun_put(r, v.u.s->p, v.u.s->len);
    }
    v.u.s = jstr_end(r, begin);
    return v;
}

static struct jval repeat_list(struct jrun *r, struct jval v, int64_t n)
{
    struct jlist *l = jlist_new(r, 0);

    for (int64_t i = 0; i < n && v.u.list->n > 0; i++) {
        jrun_step(r, v.u.list->n);
        for (size_t k = 0; k < v.u.list->n; k++)
            jlist_add(r, l, v.u.list->v[k]);
    }
    v.u.list = l;
    return v;
}

static bool is_list(struct jval v)
{
    return v.type == JVAL_LIST || v.type == JVAL_TUPLE;
}

static struct jval compute_sequences(struct jrun *r, uint8_t op, struct jval a, struct jval b)
{
    if (op == JTOK_ADD && a.type == JVAL_STRING && b.type == JVAL_STRING)
        return concat_strings(r, a, b);
    if (op == JTOK_ADD && is_list(a) && a.type == b.type)
        return concat_lists(r, a, b);
    if (op == JTOK_MUL && jval_is_int(a))
        return compute_sequences(r, op, b, a);
    if (op == JTOK_MUL && a.type == JVAL_STRING && jval_is_int(b))
        return repeat_string(r, a, jval_as_int(b));
    if (op == JTOK_MUL && is_list(a) && jval_is_int(b))
        return repeat_list(r, a, jval_as_int(b));
    fail_operands(r, op, a, b);
}

struct jval jops_math(struct jrun *r, uint8_t op, struct jval a, struct jval b)
{
    jrun_step(r, 1);
    if (op == JTOK_MOD && a.type == JVAL_STRING)
        return jops_format(r, a, b);
    if (jval_is_int(a) && jval_is_int(b))
        return compute_ints(r, op, jval_as_int(a), jval_as_int(b));
    if (a.type == JVAL_WIDE || b.type == JVAL_WIDE)
        fail_operands(r, op, a, b);
    if (jval_is_number(a) && jval_is_number(b))
        return compute_floats(r, op, jval_as_float(a), jval_as_float(b));
    return compute_sequences(r, op, a, b);
}

struct jval jops_sign(struct jrun *r, uint8_t op, struct jval v)
{
    jrun_step(r, 1);
    if (v.type == JVAL_FLOAT)
        return jval_float(op == JTOK_SUB ? -v.u.d : v.u.d);
    if (v.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, v);
    if (!jval_is_int(v))
        jrun_fail(r, "a %s has no sign", jval_type_name(v));
    return compute_ints(r, op, 0, jval_as_int(v));
}

/* --- comparisons --- */

static bool is_at_most(struct jrun *r, struct jval a, struct jval b, const char *op)
{
    if (jval_is_number(a) && jval_is_number(b)) {
        int order = jval_compare_numbers(a, b);
        return order == -1 || order == 0;
    }
    return !jval_less(r, b, a, op);
}

bool jops_compare(struct jrun *r, uint8_t op, struct jval a, struct jval b)
{
    switch (op) {
    case JTOK_EQ:
        return jval_equal(r, a, b);
    case JTOK_NE:
        return !jval_equal(r, a, b);
    case JTOK_LT:
        return jval_less(r, a, b, "'<'");
    case JTOK_GT:
        return jval_less(r, b, a, "'>'");
    case JTOK_LE:
        return is_at_most(r, a, b, "'<='");
    case JTOK_GE:
        return is_at_most(r, b, a, "'>='");
    case JCOMPARE_IN:
        return jiter_contains(r, b, a);
    default:
        return !jiter_contains(r, b, a);
    }
}

/* --- slices --- */

static bool has_bound(struct jval v)
{
    return v.type != JVAL_MISSING && v.type != JVAL_NONE;
}

static int64_t read_bound(struct jrun *r, struct jval v)
{
    if (v.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, v);
    if (!jval_is_int(v))
        jrun_fail(r, "a slice wants integers, found a %s", jval_type_name(v));
    return jval_as_int(v);
}

static int64_t clamp_bound(int64_t i, int64_t n, int64_t step)
{
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;

    if (i < 0)
        i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

struct slice {
    int64_t start, stop, step, n;
};

static struct slice resolve_slice(struct jrun *r, size_t length, struct jval from, struct jval to,
                                  struct jval step)
{
    struct slice s = {.step = has_bound(step) ? read_bound(r, step) : 1};
    int64_t n = (int64_t)length;

    if (s.step == 0)
        jrun_fail(r, "a slice wants a step other than 0");
    if (s.step < -n - 1 || s.step > n + 1) /* one element at most */
        s.step = s.step < 0 ? -n - 1 : n + 1;
    s.start =
        has_bound(from) ? clamp_bound(read_bound(r, from), n, s.step) : (s.step > 0 ? 0 : n - 1);
    s.stop = has_bound(to) ? clamp_bound(read_bound(r, to), n, s.step) : (s.step > 0 ? n : -1);
    if (s.step > 0 && s.stop > s.start)
        s.n = (s.stop - s.start - 1) / s.step + 1;
    else if (s.step < 0 && s.stop < s.start)
        s.n = (s.start - s.stop - 1) / -s.step + 1;
    return s;
}

static struct jval slice_string(struct jrun *r, struct jval v, struct slice s)
{
    const struct jstr *str = v.u.s;

    if (s.step == 1) {
        v.u.s = jstr_part(r, str, (size_t)s.start, (size_t)(s.start + s.n));
        return v;
    }
    size_t begin = jstr_begin(r), at = s.n > 0 ? jstr_offset(r, str, (size_t)s.start) : 0, n;
    for (int64_t i = 0; i < s.n; i++) {
        utf8_decode(str->p + at, &n);
        jrun_put(r, str->p + at, n);
        if (i + 1 == s.n)
            break;
        if (s.step > 0)
            at += juni_offset(str->p + at, str->len - at, (size_t)s.step);
        for (int64_t k = s.step; k < 0; k++) {
            juni_decode_before(str->p + at, &n);
            at -= n;
        }
    }
    jrun_step_bytes(r, str->len);
    v.u.s = jstr_end(r, begin);
    return v;
}

static struct jval slice_range(struct jrun *r, const struct jrange *old, struct slice s)
{
    struct jrange *range = jrun_alloc(r, sizeof *range);

    range->n = s.n;
    if (__builtin_mul_overflow(old->step, s.step, &range->step) ||
        __builtin_mul_overflow(old->step, s.start, &range->start) ||
        __builtin_add_overflow(old->start, range->start, &range->start) ||
        __builtin_mul_overflow(old->step, s.stop, &range->stop) ||
        __builtin_add_overflow(old->start, range->stop, &range->stop))
        fail_overflow(r);
    return (struct jval){.type = JVAL_RANGE, .u.range = range};
}

struct jval jops_slice(struct jrun *r, struct jval a, struct jval from, struct jval to,
                       struct jval step)
{
    size_t n;

    jrun_step(r, 1);
    if (a.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, a);
    if (!is_list(a) && a.type != JVAL_STRING && a.type != JVAL_RANGE)
        jrun_fail(r, "a %s cannot be sliced", jval_type_name(a));
    jval_length(a, &n);
    struct slice s = resolve_slice(r, n, from, to, step);
    if (a.type == JVAL_STRING)
        return slice_string(r, a, s);
    if (a.type == JVAL_RANGE)
        return slice_range(r, a.u.range, s);
    struct jlist *l = jlist_new(r, (size_t)s.n);
    jrun_step(r, (uint64_t)s.n);
    for (int64_t i = 0; i < s.n; i++)
        jlist_add(r, l, a.u.list->v[s.start + i * s.step]);
    a.u.list = l;
    return a;
}

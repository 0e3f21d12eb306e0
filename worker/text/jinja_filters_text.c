/* Filters of texts and numbers. */
#include "worker/text/jinja_filters.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_ops.h"
#include "worker/text/jinja_str.h"
#include "worker/text/jinja_text.h"
#include "worker/text/jinja_unicode.h"

#include "base/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A str as it is, anything else as text. */
static struct jval soften(struct jrun *r, struct jval v)
{
    return v.type == JVAL_STRING ? v : jval_string(jtext_of(r, v));
}

static struct jval want_str(struct jrun *r, struct jval v, const char *filter)
{
    if (v.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, v);
    if (v.type != JVAL_STRING)
        jrun_fail(r, "%s wants a str, found a %s", filter, jval_type_name(v));
    return v;
}

/* --- texts --- */

static struct jval filter_upper(struct jrun *r, const struct jcall *c)
{
    return jstr_upper(r, soften(r, c->self));
}

static struct jval filter_lower(struct jrun *r, const struct jcall *c)
{
    return jstr_lower(r, soften(r, c->self));
}

static struct jval filter_capitalize(struct jrun *r, const struct jcall *c)
{
    return jstr_capitalize(r, soften(r, c->self));
}

static bool begins_word(uint32_t c)
{
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || juni_is_space(c);
}

/* Not str.title(): words begin behind white space, hyphens and opening brackets only. */
static struct jval filter_title(struct jrun *r, const struct jcall *c)
{
    struct jval v = soften(r, c->self);
    const struct jstr *s = v.u.s;
    size_t begin = jstr_begin(r);

    for (size_t at = 0, n, end; at < s->len; at = end) {
        bool is_break = begins_word(utf8_decode(s->p + at, &n));
        for (end = at; end < s->len; end += n)
            if (begins_word(utf8_decode(s->p + end, &n)) != is_break)
                break;
        utf8_decode(s->p + at, &n);
        jtext_put_str(r, jstr_upper(r, jval_string(jstr_borrow(r, s->p + at, n))));
        jtext_put_str(r, jstr_lower(r, jval_string(jstr_borrow(r, s->p + at + n, end - at - n))));
    }
    return jval_string(jstr_end(r, begin));
}

static struct jval filter_trim(struct jrun *r, const struct jcall *c)
{
    return jstr_strip(r, soften(r, c->self), jcall_is_none(c, 0) ? NULL : jcall_str(r, c, 0),
                      JSTR_BOTH);
}

static struct jval filter_replace(struct jrun *r, const struct jcall *c)
{
    int64_t count = jcall_is_none(c, 2) ? -1 : jcall_int(r, c, 2, -1);

    return jval_string(jstr_replace(r, jtext_of(r, c->self), jtext_of(r, c->arg[0]),
                                    jtext_of(r, c->arg[1]), count));
}

static struct jval filter_string(struct jrun *r, const struct jcall *c)
{
    return soften(r, c->self);
}

static struct jval filter_safe(struct jrun *r, const struct jcall *c)
{
    struct jval v = soften(r, c->self);

    v.flag = true;
    return v;
}

static struct jval filter_escape(struct jrun *r, const struct jcall *c)
{
    return jtext_escape(r, c->self);
}

static struct jval filter_forceescape(struct jrun *r, const struct jcall *c)
{
    struct jval v = soften(r, c->self);

    v.flag = false;
    return jtext_escape(r, v);
}

static struct jval filter_center(struct jrun *r, const struct jcall *c)
{
    return jstr_pad(r, soften(r, c->self), jcall_int(r, c, 0, 80), jstr_of(r, " "), JSTR_BOTH);
}

static struct jval filter_format(struct jrun *r, const struct jcall *c)
{
    struct jlist *l = jlist_new(r, c->all->n);
    struct jdict *d = jdict_new(r);

    if (c->all->n > 0 && c->all->n_kw > 0)
        jrun_fail(r, "format takes arguments by position or by keyword, not both");
    for (size_t i = 0; i < c->all->n; i++)
        jlist_add(r, l, c->all->v[i]);
    for (size_t i = 0; i < c->all->n_kw; i++)
        jdict_set(r, d, jval_string(c->all->kw[i].name), c->all->kw[i].value);
    return jops_format(r, soften(r, c->self), d->n > 0 ? jval_dict(d) : jval_tuple(l));
}

static struct jval filter_indent(struct jrun *r, const struct jcall *c)
{
    struct jval v = want_str(r, c->self, "indent");
    struct jlist *lines;
    const struct jstr *indent;
    bool with_first = jcall_bool(c, 1, false), with_blank = jcall_bool(c, 2, false);
    size_t begin = jstr_begin(r);

    if (jcall_has(c, 0) && c->arg[0].type == JVAL_STRING) {
        indent = c->arg[0].u.s;
    } else {
        int64_t width = jcall_int(r, c, 0, 4);
        jrun_put_fill(r, ' ', width > 0 ? (size_t)width : 0);
        indent = jstr_end(r, begin);
    }
    jtext_put_str(r, v);
    jrun_put(r, "\n", 1); /* so that there is a line, and the last one ends */
    lines = jstr_split_lines(r, jval_string(jstr_end(r, begin)), false);
    for (size_t i = 0; i < lines->n; i++) {
        const struct jstr *line = lines->v[i].u.s;
        if (i > 0)
            jrun_put(r, "\n", 1);
        if (i == 0 ? with_first : with_blank || line->len > 0)
            jrun_put(r, indent->p, indent->len);
        jrun_put(r, line->p, line->len);
    }
    struct jval result = jval_string(jstr_end(r, begin));
    result.flag = v.flag;
    return result;
}

static struct jval filter_truncate(struct jrun *r, const struct jcall *c)
{
    struct jval v = c->self;
    int64_t length = jcall_int(r, c, 0, 255), chars;
    size_t n;
    const struct jstr *end = jcall_has(c, 2) ? jcall_str(r, c, 2) : jstr_of(r, "...");
    int64_t leeway = jcall_is_none(c, 3) ? 5 : jcall_int(r, c, 3, 5);

    if (length < (int64_t)end->chars || leeway < 0)
        jrun_fail(r, "truncate wants a length of at least %zu and a leeway of at least 0",
                  end->chars);
    if (!jval_length(v, &n))
        jrun_fail(r, "truncate wants a str, found a %s", jval_type_name(v));
    chars = (int64_t)n;
    if (chars - leeway <= length)
        return v;
    v = want_str(r, v, "truncate");
    v.u.s = jstr_part(r, v.u.s, 0, (size_t)(length - (int64_t)end->chars));
    if (!jcall_bool(c, 1, false))
        v = jstr_split(r, v, jval_string(jstr_of(r, " ")), 1, true).u.list->v[0];
    return jops_math(r, JTOK_ADD, v, jval_string(end));
}

static struct jval filter_wordcount(struct jrun *r, const struct jcall *c)
{
    const struct jstr *s = jtext_of(r, c->self);
    bool is_inside = false;
    int64_t words = 0;

    jrun_step_bytes(r, 8 * s->len);
    for (size_t at = 0, n; at < s->len; at += n) {
        uint32_t ch = utf8_decode(s->p + at, &n);
        bool is_word = ch == '_' || juni_is_alnum(ch);
        words += is_word && !is_inside;
        is_inside = is_word;
    }
    return jval_int(words);
}

/* --- JSON --- */

static const struct jstr *indent_of(struct jrun *r, const struct jcall *c)
{
    size_t begin = jstr_begin(r);

    if (jcall_is_none(c, 1))
        return NULL;
    if (c->arg[1].type == JVAL_STRING)
        return c->arg[1].u.s;
    int64_t width = jcall_int(r, c, 1, 0);
    jrun_put_fill(r, ' ', width > 0 ? (size_t)width : 0);
    return jstr_end(r, begin);
}

static struct jval filter_tojson(struct jrun *r, const struct jcall *c)
{
    const struct jstr *indent = indent_of(r, c);
    struct jtext_json form = {
        .is_ascii = jcall_bool(c, 0, false),
        .is_sorted = jcall_bool(c, 3, false),
        .indent = indent,
        .between_items = jstr_of(r, indent != NULL ? "," : ", "),
        .behind_key = jstr_of(r, ": "),
    };

    if (!jcall_is_none(c, 2)) {
        struct jlist *pair = jiter_list(r, c->arg[2]);
        if (pair->n != 2 || pair->v[0].type != JVAL_STRING || pair->v[1].type != JVAL_STRING)
            jrun_fail(r, "tojson wants a pair of str as separators");
        form.between_items = pair->v[0].u.s;
        form.behind_key = pair->v[1].u.s;
    }
    size_t begin = jstr_begin(r);
    jtext_put_json(r, c->self, &form);
    return jval_string(jstr_end(r, begin));
}

/* --- numbers --- */

static struct jval whole_of(struct jrun *r, double d, struct jval otherwise)
{
    if (!isfinite(d))
        return otherwise;
    if (!(d >= -0x1p63 && d < 0x1p63))
        jrun_fail(r, "an integer is beyond 64 bits");
    return jval_int((int64_t)d);
}

static struct jval filter_int(struct jrun *r, const struct jcall *c)
{
    struct jval otherwise = jcall_has(c, 0) ? c->arg[0] : jval_int(0);
    int64_t i;
    double d;

    switch (c->self.type) {
    case JVAL_UNDEFINED:
        jval_fail_undefined(r, c->self);
    case JVAL_BOOL:
        return jval_int(c->self.u.b);
    case JVAL_INT:
    case JVAL_WIDE:
        return c->self;
    case JVAL_FLOAT:
        if (isinf(c->self.u.d))
            jrun_fail(r, "an infinite float has no int");
        return whole_of(r, c->self.u.d, otherwise);
    case JVAL_STRING:
        if (jstr_read_int(r, c->self.u.s, jcall_int(r, c, 1, 10), &i))
            return jval_int(i);
        return jstr_read_float(r, c->self.u.s, &d) ? whole_of(r, d, otherwise) : otherwise;
    default:
        return otherwise;
    }
}

static struct jval filter_float(struct jrun *r, const struct jcall *c)
{
    double d;

    if (c->self.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, c->self);
    if (jval_is_number(c->self))
        return jval_float(jval_as_float(c->self));
    if (c->self.type == JVAL_STRING && jstr_read_float(r, c->self.u.s, &d))
        return jval_float(d);
    return jcall_has(c, 0) ? c->arg[0] : jval_float(0);
}

static struct jval filter_abs(struct jrun *r, const struct jcall *c)
{
    struct jval v = c->self;

    if (v.type == JVAL_UNDEFINED || !jval_is_number(v))
        jrun_fail(r, "abs wants a number, found a %s", jval_type_name(v));
    if (v.type == JVAL_FLOAT)
        return jval_float(fabs(v.u.d));
    if (v.type == JVAL_WIDE)
        return v;
    return jops_sign(r, jval_as_int(v) < 0 ? JTOK_SUB : JTOK_ADD, v);
}

/* round() of an int to tens, hundreds, …: half to even. */
static struct jval round_int(struct jrun *r, int64_t i, int64_t precision)
{
    int64_t unit = 1, up;

    if (precision >= 0)
        return jval_int(i);
    for (; precision < 0; precision++)
        if (__builtin_mul_overflow(unit, 10, &unit))
            return jval_int(0);
    int64_t rest = i % unit, quotient = i / unit;
    if (rest < 0) {
        rest += unit;
        quotient--;
    }
    if (rest > unit - rest || (rest == unit - rest && quotient % 2 != 0))
        quotient++;
    if (__builtin_mul_overflow(quotient, unit, &up))
        jrun_fail(r, "an integer is beyond 64 bits");
    return jval_int(up);
}

/* By way of the decimal digits, which are rounded correctly. */
static struct jval round_float(double d, int64_t precision)
{
    char text[700];

    if (!isfinite(d) || precision > 330)
        return jval_float(d);
    if (precision < -310)
        return jval_float(copysign(0, d));
    if (precision < 0) {
        double unit = pow(10, (double)-precision);
        return jval_float(rint(d / unit) * unit);
    }
    snprintf(text, sizeof text, "%.*f", (int)precision, d);
    return jval_float(strtod(text, NULL));
}

static struct jval filter_round(struct jrun *r, const struct jcall *c)
{
    const struct jstr *method = jcall_has(c, 1) ? jcall_str(r, c, 1) : jstr_of(r, "common");
    int64_t precision = jcall_int(r, c, 0, 0);
    bool is_ceil = jstr_is(method, "ceil");

    if (!is_ceil && !jstr_is(method, "floor") && !jstr_is(method, "common"))
        jrun_fail(r, "round wants common, ceil or floor");
    if (!jval_is_number(c->self) || c->self.type == JVAL_WIDE)
        jrun_fail(r, "round wants a number, found a %s", jval_type_name(c->self));
    if (jstr_is(method, "common"))
        return jval_is_int(c->self) ? round_int(r, jval_as_int(c->self), precision)
                                    : round_float(c->self.u.d, precision);
    struct jval unit = jops_math(r, JTOK_POW, jval_int(10), jval_int(precision));
    struct jval scaled = jops_math(r, JTOK_MUL, c->self, unit);
    if (scaled.type == JVAL_FLOAT) {
        if (!isfinite(scaled.u.d))
            jrun_fail(r, "round: the number is not finite");
        double whole = is_ceil ? ceil(scaled.u.d) : floor(scaled.u.d);
        scaled = whole_of(r, whole, scaled);
    }
    return jops_math(r, JTOK_DIV, scaled, unit);
}

static const struct jcallable filters[] = {
    {.name = "upper", .call = filter_upper},
    {.name = "lower", .call = filter_lower},
    {.name = "capitalize", .call = filter_capitalize},
    {.name = "title", .call = filter_title},
    {.name = "trim", .call = filter_trim, .has_keywords = true, .params = {"chars"}},
    {.name = "replace",
     .call = filter_replace,
     .n_needed = 2,
     .has_keywords = true,
     .params = {"old", "new", "count"}},
    {.name = "string", .call = filter_string},
    {.name = "safe", .call = filter_safe},
    {.name = "e", .call = filter_escape},
    {.name = "escape", .call = filter_escape},
    {.name = "forceescape", .call = filter_forceescape},
    {.name = "center", .call = filter_center, .has_keywords = true, .params = {"width"}},
    {.name = "format", .call = filter_format, .is_variadic = true},
    {.name = "indent",
     .call = filter_indent,
     .has_keywords = true,
     .params = {"width", "first", "blank"}},
    {.name = "truncate",
     .call = filter_truncate,
     .has_keywords = true,
     .params = {"length", "killwords", "end", "leeway"}},
    {.name = "wordcount", .call = filter_wordcount},
    {.name = "tojson",
     .call = filter_tojson,
     .has_keywords = true,
     .params = {"ensure_ascii", "indent", "separators", "sort_keys"}},
    {.name = "int", .call = filter_int, .has_keywords = true, .params = {"default", "base"}},
    {.name = "float", .call = filter_float, .has_keywords = true, .params = {"default"}},
    {.name = "abs", .call = filter_abs},
    {.name = "round",
     .call = filter_round,
     .has_keywords = true,
     .params = {"precision", "method"}},
    {.name = "filesizeformat"},
    {.name = "pprint"},
    {.name = "striptags"},
    {.name = "urlencode"},
    {.name = "urlize"},
    {.name = "wordwrap"},
    {.name = "xmlattr"},
};

const struct jcallable *jfilter_of_text(const struct jstr *name)
{
    return jcall_find(filters, sizeof filters / sizeof filters[0], name);
}

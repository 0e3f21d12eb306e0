/* "%s" % values and "{}".format(values). */
#include "worker/text/jinja_attr.h"
#include "worker/text/jinja_ops.h"
#include "worker/text/jinja_str.h"
#include "worker/text/jinja_text.h"
#include "worker/text/jinja_unicode.h"

#include "base/utf8.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define WIDTH_MAX     100000
#define PRECISION_MAX 100

struct spec {
    char type; /* 0: none */
    char align, sign;
    bool is_alternate, is_zeroed, has_precision;
    char group; /* , or _ */
    uint32_t fill;
    int width, precision;
};

/* --- numbers --- */

static const char *sign_of(const struct spec *f, bool is_negative)
{
    return is_negative ? "-" : f->sign == '+' ? "+" : f->sign == ' ' ? " " : "";
}

static void put_padded(struct jrun *r, const struct spec *f, const char *sign, const char *digits,
                       size_t len)
{
    char fill[4];
    size_t n_fill = utf8_encode(f->fill != 0 ? f->fill : f->is_zeroed ? '0' : ' ', fill);
    size_t used = strlen(sign) + juni_count(digits, len);
    size_t room = f->width > 0 && (size_t)f->width > used ? (size_t)f->width - used : 0;
    size_t left = f->align == '<' || f->align == '=' ? 0 : f->align == '^' ? room / 2 : room;

    for (size_t i = 0; i < left; i++)
        jrun_put(r, fill, n_fill);
    jrun_put_str(r, sign);
    for (size_t i = 0; f->align == '=' && i < room; i++)
        jrun_put(r, fill, n_fill);
    jrun_put(r, digits, len);
    for (size_t i = left; f->align != '=' && i < room; i++)
        jrun_put(r, fill, n_fill);
}

/* Digits in groups of three, up to the first that is none. */
static size_t group_digits(const char *in, size_t len, char group, char *out)
{
    size_t whole = strspn(in, "0123456789"), n = 0;

    for (size_t i = 0; i < len; i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0 && group != 0)
            out[n++] = group;
        out[n++] = in[i];
    }
    return n;
}

static void put_integer(struct jrun *r, const struct spec *f, struct jval v)
{
    char digits[80], grouped[120], sign[8];
    bool is_negative = v.type != JVAL_WIDE && jval_as_int(v) < 0;
    uint64_t size = v.type == JVAL_WIDE ? v.u.w : (uint64_t)jval_as_int(v);
    unsigned base = f->type == 'x' || f->type == 'X' ? 16
                    : f->type == 'o'                 ? 8
                    : f->type == 'b'                 ? 2
                                                     : 10;
    size_t at = sizeof digits;

    if (f->has_precision && f->precision > 60)
        jrun_fail(r, "a precision of %d digits for an integer is not supported", f->precision);
    if (is_negative)
        size = 0 - size;
    do {
        digits[--at] = (f->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[size % base];
        size /= base;
    } while (size != 0);
    while (f->has_precision && sizeof digits - at < (size_t)f->precision)
        digits[--at] = '0';
    snprintf(sign, sizeof sign, "%s%s%c", sign_of(f, is_negative),
             f->is_alternate && base != 10 ? "0" : "", base != 10 && f->is_alternate ? f->type : 0);
    char text[81];
    size_t len = sizeof digits - at;
    memcpy(text, digits + at, len);
    text[len] = '\0';
    len = group_digits(text, len, base == 10 ? f->group : 0, grouped);
    put_padded(r, f, sign, grouped, len);
}

static void put_double(struct jrun *r, const struct spec *f, double d)
{
    char text[512], grouped[800];
    int precision = f->has_precision ? f->precision : 6;
    double size = fabs(d);
    int n;

    switch (f->type) {
    case 'e':
        n = snprintf(text, sizeof text, "%.*e", precision, size);
        break;
    case 'E':
        n = snprintf(text, sizeof text, "%.*E", precision, size);
        break;
    case 'g':
        n = snprintf(text, sizeof text, "%.*g", precision, size);
        break;
    case 'G':
        n = snprintf(text, sizeof text, "%.*G", precision, size);
        break;
    case '%':
        n = snprintf(text, sizeof text, "%.*f%%", precision, size * 100);
        break;
    default:
        n = snprintf(text, sizeof text, "%.*f", precision, size);
        break;
    }
    size_t len = group_digits(text, (size_t)n, isfinite(d) ? f->group : 0, grouped);
    put_padded(r, f, sign_of(f, signbit(d) && !isnan(d)), grouped, len);
}

static void put_string(struct jrun *r, const struct spec *f, const struct jstr *s)
{
    size_t chars =
        f->has_precision && (size_t)f->precision < s->chars ? (size_t)f->precision : s->chars;

    s = jstr_part(r, s, 0, chars);
    put_padded(r, f, "", s->p, s->len);
}

static int64_t whole_of(struct jrun *r, struct jval v, char type)
{
    if (jval_is_int(v))
        return jval_as_int(v);
    if (v.type == JVAL_FLOAT && (type == 'd' || type == 'i' || type == 'u') && fabs(v.u.d) < 0x1p63)
        return (int64_t)v.u.d;
    jrun_fail(r, "%%%c wants an integer, found a %s", type, jval_type_name(v));
}

/* --- % --- */

struct percent {
    struct jrun *r;
    const struct jstr *format;
    size_t at;
    struct jval values;
    size_t used;
    bool is_markup;
};

static char peek_char(const struct percent *p)
{
    return p->at < p->format->len ? p->format->p[p->at] : 0;
}

static struct jval next_value(struct percent *p)
{
    struct jval v = p->values;

    if (v.type == JVAL_TUPLE ? p->used >= v.u.list->n : p->used > 0)
        jrun_fail(p->r, "there are fewer values than the format string wants");
    v = v.type == JVAL_TUPLE ? v.u.list->v[p->used] : v;
    p->used++;
    return v;
}

static struct jval named_value(struct percent *p)
{
    const char *end = memchr(p->format->p + p->at, ')', p->format->len - p->at);

    if (end == NULL)
        jrun_fail(p->r, "a format string has '%%(' without ')'");
    size_t len = (size_t)(end - p->format->p) - p->at - 1;
    const struct jstr *name = jstr_borrow(p->r, p->format->p + p->at + 1, len);
    p->at += len + 2;
    if (p->values.type != JVAL_DICT)
        jrun_fail(p->r, "%%(name) wants a dict of values, found a %s", jval_type_name(p->values));
    const struct jval *v = jdict_get_str(p->r, p->values.u.dict, name);
    if (v == NULL)
        jrun_fail(p->r, "the format string wants '%.*s', which is not given",
                  (int)(len < 100 ? len : 100), name->p);
    return *v;
}

static int read_count(struct percent *p, int max)
{
    int n = 0;

    if (peek_char(p) == '*') {
        p->at++;
        struct jval v = next_value(p);
        if (!jval_is_int(v) || jval_as_int(v) < 0 || jval_as_int(v) > max)
            jrun_fail(p->r, "'*' in a format string wants an integer from 0 to %d", max);
        return (int)jval_as_int(v);
    }
    for (; peek_char(p) >= '0' && peek_char(p) <= '9'; p->at++) {
        n = n * 10 + (peek_char(p) - '0');
        if (n > max)
            jrun_fail(p->r, "a width or precision in a format string is more than %d", max);
    }
    return n;
}

static void read_flags(struct percent *p, struct spec *f)
{
    for (;; p->at++) {
        switch (peek_char(p)) {
        case '-':
            f->align = '<';
            break;
        case '+':
            f->sign = '+';
            break;
        case ' ':
            f->sign = f->sign != 0 ? f->sign : ' ';
            break;
        case '#':
            f->is_alternate = true;
            break;
        case '0':
            f->is_zeroed = true;
            break;
        default:
            return;
        }
    }
}

static void put_percent_value(struct percent *p, struct spec *f, struct jval v)
{
    struct jrun *r = p->r;
    bool is_number = strchr("diuxXoeEfFgG", f->type) != NULL;

    if (f->is_zeroed && is_number && f->align != '<')
        f->align = '=';
    else
        f->is_zeroed = false;
    if (f->type == 's' || f->type == 'r' || f->type == 'a') {
        size_t begin = jstr_begin(r);
        if (f->type != 's')
            jtext_put_repr(r, v);
        else if (p->is_markup)
            jtext_put_escaped(r, v);
        else
            jtext_put_str(r, v);
        put_string(r, f, jstr_end(r, begin));
    } else if (strchr("diuxXo", f->type) != NULL) {
        put_integer(r, f, v.type == JVAL_WIDE ? v : jval_int(whole_of(r, v, f->type)));
    } else if (f->type == 'c') {
        if (v.type != JVAL_STRING || v.u.s->chars != 1)
            jrun_fail(r, "%%c wants one character");
        put_string(r, f, v.u.s);
    } else {
        if (!jval_is_number(v))
            jrun_fail(r, "%%%c wants a number, found a %s", f->type, jval_type_name(v));
        put_double(r, f, jval_as_float(v));
    }
}

static void put_conversion(struct percent *p)
{
    struct spec f = {.align = '>'};
    struct jval named = jval_missing();

    if (peek_char(p) == '%') {
        p->at++;
        jrun_put(p->r, "%", 1);
        return;
    }
    if (peek_char(p) == '(')
        named = named_value(p);
    read_flags(p, &f);
    f.width = read_count(p, WIDTH_MAX);
    if (peek_char(p) == '.') {
        p->at++;
        f.has_precision = true;
        f.precision = read_count(p, PRECISION_MAX);
    }
    f.type = peek_char(p);
    p->at++;
    if (f.type == 0 || strchr("srdiuxXoeEfFgGc", f.type) == NULL)
        jrun_fail(p->r, "a format string wants the unsupported conversion %%%c",
                  f.type > ' ' && f.type < 0x7f ? f.type : '?');
    put_percent_value(p, &f, named.type != JVAL_MISSING ? named : next_value(p));
}

struct jval jops_format(struct jrun *r, struct jval format, struct jval values)
{
    struct percent p = {.r = r, .format = format.u.s, .values = values, .is_markup = format.flag};
    size_t begin = jstr_begin(r);

    while (p.at < p.format->len) {
        const char *mark = memchr(p.format->p + p.at, '%', p.format->len - p.at);
        size_t end = mark != NULL ? (size_t)(mark - p.format->p) : p.format->len;
        jrun_put(r, p.format->p + p.at, end - p.at);
        p.at = end;
        if (mark != NULL) {
            jrun_step(r, 1);
            p.at++;
            put_conversion(&p);
        }
    }
    bool is_whole = values.type == JVAL_TUPLE
                        ? p.used == values.u.list->n
                        : p.used == 1 || values.type == JVAL_DICT || values.type == JVAL_LIST ||
                              values.type == JVAL_RANGE || values.type == JVAL_UNDEFINED;
    if (!is_whole)
        jrun_fail(r, "there are more values than the format string wants");
    struct jval result = jval_string(jstr_end(r, begin));
    result.flag = format.flag;
    return result;
}

/* --- str.format --- */

struct braces {
    struct jrun *r;
    const struct jstr *format;
    size_t at;
    const struct jargs *args;
    int64_t next; /* argument for {}; -1 once one was numbered */
    bool is_markup;
};

static struct jval numbered_arg(struct braces *b, const struct jstr *name)
{
    int64_t i;

    if (name->len == 0) {
        if (b->next < 0)
            jrun_fail(b->r, "a format string numbers some of its fields and not others");
        i = b->next++;
    } else if (b->next > 0 || !jstr_read_int(b->r, name, 10, &i)) {
        jrun_fail(b->r, "a format string numbers some of its fields and not others");
    } else {
        b->next = -1;
    }
    if (i < 0 || (size_t)i >= b->args->n)
        jrun_fail(b->r, "a format string wants argument %lld, which is not given", (long long)i);
    return b->args->v[i];
}

/* "name", "0", "", and behind it ".attribute" and "[key]". */
static struct jval field_value(struct braces *b, const char *p, size_t len)
{
    size_t n = 0;

    while (n < len && p[n] != '.' && p[n] != '[')
        n++;
    const struct jstr *name = jstr_borrow(b->r, p, n);
    struct jval v = jval_missing();
    if (n == 0 || (p[0] >= '0' && p[0] <= '9'))
        v = numbered_arg(b, name);
    for (size_t i = 0; v.type == JVAL_MISSING && i < b->args->n_kw; i++)
        if (jstr_equal(b->args->kw[i].name, name))
            v = b->args->kw[i].value;
    if (v.type == JVAL_MISSING)
        jrun_fail(b->r, "a format string wants '%.*s', which is not given",
                  (int)(n < 100 ? n : 100), p);
    while (n < len) {
        bool is_item = p[n++] == '[';
        size_t begin = n;
        while (n < len && (is_item ? p[n] != ']' : p[n] != '.' && p[n] != '['))
            n++;
        const struct jstr *key = jstr_borrow(b->r, p + begin, n - begin);
        int64_t i;
        if (!is_item)
            v = jattr_get(b->r, v, key);
        else if (key->len > 0 && key->p[0] >= '0' && key->p[0] <= '9' &&
                 jstr_read_int(b->r, key, 10, &i))
            v = jattr_item(b->r, v, jval_int(i));
        else
            v = jattr_item(b->r, v, jval_string(key));
        n += is_item;
    }
    return v;
}

static size_t read_align(const char *p, size_t len, struct spec *f)
{
    size_t n = 0;

    if (len > 0)
        utf8_decode(p, &n);
    if (n > 0 && n < len && strchr("<>=^", p[n]) != NULL && p[n] != 0) {
        f->fill = utf8_decode(p, &n);
        f->align = p[n];
        return n + 1;
    }
    if (len > 0 && p[0] != 0 && strchr("<>=^", p[0]) != NULL) {
        f->align = p[0];
        return 1;
    }
    return 0;
}

static int read_digits(struct braces *b, const char *p, size_t len, size_t *n, int max)
{
    int value = 0;

    for (; *n < len && p[*n] >= '0' && p[*n] <= '9'; ++*n) {
        value = value * 10 + (p[*n] - '0');
        if (value > max)
            jrun_fail(b->r, "a width or precision in a format string is more than %d", max);
    }
    return value;
}

static void read_spec(struct braces *b, const char *p, size_t len, struct spec *f)
{
    size_t n = read_align(p, len, f);

    if (n < len && (p[n] == '+' || p[n] == '-' || p[n] == ' '))
        f->sign = p[n++];
    if (n < len && p[n] == '#') {
        f->is_alternate = true;
        n++;
    }
    if (n < len && p[n] == '0') {
        f->is_zeroed = true;
        n++;
    }
    f->width = read_digits(b, p, len, &n, WIDTH_MAX);
    if (n < len && (p[n] == ',' || p[n] == '_'))
        f->group = p[n++];
    if (n < len && p[n] == '.') {
        size_t begin = ++n;
        f->precision = read_digits(b, p, len, &n, PRECISION_MAX);
        f->has_precision = true;
        if (n == begin)
            jrun_fail(b->r, "a format string has a '.' without a precision");
    }
    if (n < len)
        f->type = p[n++];
    if (n < len || (f->type != 0 && strchr("sdxXobeEfFgG%", f->type) == NULL))
        jrun_fail(b->r, "the format specification '%.*s' is not supported",
                  (int)(len < 50 ? len : 50), p);
}

static void put_number(struct braces *b, struct spec *f, struct jval v)
{
    bool is_float_type = f->type != 0 && strchr("eEfFgG%", f->type) != NULL;

    if (f->align == 0)
        f->align = f->is_zeroed ? '=' : '>';
    if (v.type == JVAL_FLOAT && f->type == 0) {
        if (f->has_precision || f->group != 0)
            jrun_fail(b->r, "a float in a format string wants a type, such as .2f");
        size_t begin = jstr_begin(b->r);
        jtext_put_float(b->r, fabs(v.u.d));
        const struct jstr *s = jstr_end(b->r, begin);
        put_padded(b->r, f, sign_of(f, signbit(v.u.d)), s->p, s->len);
    } else if (is_float_type) {
        put_double(b->r, f, jval_as_float(v));
    } else if (v.type != JVAL_FLOAT && f->type != 's' && !f->has_precision) {
        put_integer(b->r, f, v);
    } else {
        jrun_fail(b->r, "the format specification does not fit a %s", jval_type_name(v));
    }
}

static void put_field(struct braces *b, const struct spec *spec, bool has_spec, struct jval v)
{
    struct spec f = *spec;

    if (jval_is_number(v) && has_spec && v.type != JVAL_BOOL) {
        put_number(b, &f, v);
        return;
    }
    if (has_spec && v.type != JVAL_STRING)
        jrun_fail(b->r, "a %s takes no format specification", jval_type_name(v));
    if (f.type != 0 && f.type != 's')
        jrun_fail(b->r, "the format specification does not fit a str");
    if (f.align == 0)
        f.align = '<';
    size_t begin = jstr_begin(b->r);
    if (b->is_markup)
        jtext_put_escaped(b->r, v);
    else
        jtext_put_str(b->r, v);
    put_string(b->r, &f, jstr_end(b->r, begin));
}

/* "field!r:spec" between braces. */
static void put_braces(struct braces *b, const char *p, size_t len)
{
    const char *colon = memchr(p, ':', len);
    size_t n = colon != NULL ? (size_t)(colon - p) : len, n_name = n;
    struct spec f = {0};
    char conversion = 0;

    jrun_step(b->r, 1);
    if (memchr(p, '{', len) != NULL)
        jrun_fail(b->r, "fields in fields of a format string are not supported");
    if (n >= 2 && p[n - 2] == '!') {
        conversion = p[n - 1];
        n_name = n - 2;
    }
    struct jval v = field_value(b, p, n_name);
    if (conversion == 'r' || conversion == 's') {
        size_t begin = jstr_begin(b->r);
        (conversion == 'r' ? jtext_put_repr : jtext_put_str)(b->r, v);
        v = jval_string(jstr_end(b->r, begin));
    } else if (conversion != 0) {
        jrun_fail(b->r, "the conversion of a format string is not supported");
    }
    if (colon != NULL)
        read_spec(b, colon + 1, len - n - 1, &f);
    put_field(b, &f, colon != NULL && len - n > 1, v);
}

struct jval jstr_format(struct jrun *r, struct jval format, const struct jargs *args)
{
    const struct jstr *s = format.u.s;
    struct braces b = {.r = r, .format = s, .args = args, .is_markup = format.flag};
    size_t begin = jstr_begin(r);

    for (size_t at = 0; at < s->len; at++) {
        char c = s->p[at];
        if (c != '{' && c != '}') {
            jrun_put(r, s->p + at, 1);
            continue;
        }
        if (at + 1 < s->len && s->p[at + 1] == c) {
            jrun_put(r, &c, 1);
            at++;
            continue;
        }
        const char *end = c == '{' ? memchr(s->p + at, '}', s->len - at) : NULL;
        if (end == NULL)
            jrun_fail(r, "a format string has a single '%c'", c);
        size_t len = (size_t)(end - s->p) - at - 1;
        put_braces(&b, s->p + at + 1, len);
        at += len + 1;
    }
    jrun_step_bytes(r, 8 * s->len);
    struct jval result = jval_string(jstr_end(r, begin));
    result.flag = format.flag;
    return result;
}

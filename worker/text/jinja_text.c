#include "worker/text/jinja_text.h"

#include "base/utf8.h"
#include "worker/text/jinja_call.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jtext_put_float(struct jrun *r, double d)
{
    char text[40];
    int precision = 0;

    if (isnan(d) || isinf(d)) {
        jrun_put_str(r, isnan(d) ? "nan" : d > 0 ? "inf" : "-inf");
        return;
    }
    do /* as few digits as read back the same */
        snprintf(text, sizeof text, "%.*e", precision, d);
    while (strtod(text, NULL) != d && ++precision < 17);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        jrun_put_str(r, text); /* 1e+16: two digits of exponent at least, like Python */
        return;
    }
    int decimals = precision - exponent;
    jrun_putf(r, "%.*f", decimals > 1 ? decimals : 1, d);
}

/* --- repr --- */

static void put_quoted_char(struct jrun *r, uint32_t c, const char *p, size_t n, char quote)
{
    if (c == '\\' || c == (uint32_t)quote)
        jrun_putf(r, "\\%c", (int)c);
    else if (c == '\n')
        jrun_put(r, "\\n", 2);
    else if (c == '\r')
        jrun_put(r, "\\r", 2);
    else if (c == '\t')
        jrun_put(r, "\\t", 2);
    else if (c < 0x20 || c == 0x7f)
        jrun_putf(r, "\\x%02" PRIx32, c);
    else if (c < 0x80 || juni_is_printable(c))
        jrun_put(r, p, n);
    else
        jrun_putf(r,
                  c < 0x100     ? "\\x%02" PRIx32
                  : c < 0x10000 ? "\\u%04" PRIx32
                                : "\\U%08" PRIx32,
                  c);
}

static void put_quoted(struct jrun *r, const struct jstr *s)
{
    bool has_single = s->len > 0 && memchr(s->p, '\'', s->len) != NULL;
    bool has_double = s->len > 0 && memchr(s->p, '"', s->len) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';

    jrun_put(r, &quote, 1);
    for (size_t at = 0, n; at < s->len; at += n) {
        uint32_t c = utf8_decode(s->p + at, &n);
        put_quoted_char(r, c, s->p + at, n, quote);
    }
    jrun_step_bytes(r, 8 * s->len);
    jrun_put(r, &quote, 1);
}

static void put_items(struct jrun *r, const struct jlist *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            jrun_put(r, ", ", 2);
        jtext_put_repr(r, l->v[i]);
    }
}

static void put_pairs(struct jrun *r, const struct jdict *d)
{
    jrun_put(r, "{", 1);
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0)
            jrun_put(r, ", ", 2);
        jtext_put_repr(r, d->pair[i].key);
        jrun_put(r, ": ", 2);
        jtext_put_repr(r, d->pair[i].value);
    }
    jrun_put(r, "}", 1);
}

static void put_view(struct jrun *r, struct jval v)
{
    static const char *const heads[] = {"dict_keys([", "dict_values([", "dict_items(["};
    struct jiter it;
    struct jval item;

    jrun_put_str(r, heads[v.flag]);
    jiter_start(r, &it, v);
    for (size_t i = 0; jiter_next(r, &it, &item); i++) {
        if (i > 0)
            jrun_put(r, ", ", 2);
        jtext_put_repr(r, item);
    }
    jrun_put(r, "])", 2);
}

static void put_range(struct jrun *r, const struct jrange *range)
{
    jrun_putf(r, "range(%" PRId64 ", %" PRId64, range->start, range->stop);
    if (range->step != 1)
        jrun_putf(r, ", %" PRId64, range->step);
    jrun_put(r, ")", 1);
}

static void put_tuple(struct jrun *r, const struct jlist *l)
{
    jrun_put(r, "(", 1);
    put_items(r, l);
    if (l->n == 1)
        jrun_put(r, ",", 1);
    jrun_put(r, ")", 1);
}

static void put_scalar(struct jrun *r, struct jval v)
{
    switch (v.type) {
    case JVAL_UNDEFINED:
        jrun_put_str(r, "Undefined");
        break;
    case JVAL_NONE:
        jrun_put_str(r, "None");
        break;
    case JVAL_BOOL:
        jrun_put_str(r, v.u.b ? "True" : "False");
        break;
    case JVAL_INT:
        jrun_putf(r, "%" PRId64, v.u.i);
        break;
    case JVAL_WIDE:
        jrun_putf(r, "%" PRIu64, v.u.w);
        break;
    case JVAL_FLOAT:
        jtext_put_float(r, v.u.d);
        break;
    case JVAL_MACRO:
        jcall_put_macro(r, v.u.macro);
        break;
    case JVAL_LOOP:
        jiter_put_loop(r, v.u.loop);
        break;
    default: /* Python would print an address */
        jrun_fail(r, "a %s cannot be printed%s", jval_type_name(v),
                  v.type == JVAL_ITERATOR ? "; make it a list first" : "; is it to be called?");
    }
}

void jtext_put_repr(struct jrun *r, struct jval v)
{
    jrun_step(r, 1);
    jrun_enter(r);
    switch (v.type) {
    case JVAL_STRING:
        jrun_put_str(r, v.flag ? "Markup(" : "");
        put_quoted(r, v.u.s);
        jrun_put_str(r, v.flag ? ")" : "");
        break;
    case JVAL_LIST:
        jrun_put(r, "[", 1);
        put_items(r, v.u.list);
        jrun_put(r, "]", 1);
        break;
    case JVAL_TUPLE:
        put_tuple(r, v.u.list);
        break;
    case JVAL_DICT:
        put_pairs(r, v.u.dict);
        break;
    case JVAL_NAMESPACE:
        jrun_put_str(r, "<Namespace ");
        put_pairs(r, v.u.dict);
        jrun_put(r, ">", 1);
        break;
    case JVAL_VIEW:
        put_view(r, v);
        break;
    case JVAL_RANGE:
        put_range(r, v.u.range);
        break;
    default:
        put_scalar(r, v);
    }
    jrun_leave(r);
}

/* --- str --- */

void jtext_put_str(struct jrun *r, struct jval v)
{
    if (v.type == JVAL_STRING)
        jrun_put(r, v.u.s->p, v.u.s->len);
    else if (v.type != JVAL_UNDEFINED)
        jtext_put_repr(r, v);
}

const struct jstr *jtext_of(struct jrun *r, struct jval v)
{
    if (v.type == JVAL_STRING)
        return v.u.s;
    size_t begin = jstr_begin(r);
    jtext_put_str(r, v);
    return jstr_end(r, begin);
}

void jtext_put_escaped(struct jrun *r, struct jval v)
{
    const struct jstr *s = jtext_of(r, v);

    if (v.type == JVAL_STRING && v.flag) {
        jrun_put(r, s->p, s->len);
        return;
    }
    for (size_t i = 0; i < s->len; i++) {
        const char *entity = s->p[i] == '&'    ? "&amp;"
                             : s->p[i] == '<'  ? "&lt;"
                             : s->p[i] == '>'  ? "&gt;"
                             : s->p[i] == '\'' ? "&#39;"
                             : s->p[i] == '"'  ? "&#34;"
                                               : NULL;
        if (entity != NULL)
            jrun_put_str(r, entity);
        else
            jrun_put(r, s->p + i, 1);
    }
    jrun_step_bytes(r, s->len);
}

struct jval jtext_escape(struct jrun *r, struct jval v)
{
    size_t begin = jstr_begin(r);

    jtext_put_escaped(r, v);
    struct jval escaped = jval_string(jstr_end(r, begin));
    escaped.flag = true;
    return escaped;
}

/* --- json.dumps --- */

static void put_json_char(struct jrun *r, uint32_t c)
{
    static const char plain[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const char *found = c != 0 && c < 0x80 ? strchr(plain, (int)c) : NULL;

    if (found != NULL)
        jrun_putf(r, "\\%c", letters[found - plain]);
    else if (c < 0x10000)
        jrun_putf(r, "\\u%04" PRIx32, c);
    else
        jrun_putf(r, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((c - 0x10000) >> 10),
                  0xdc00 + ((c - 0x10000) & 0x3ff));
}

static void put_json_string(struct jrun *r, const struct jstr *s, bool is_ascii)
{
    size_t done = 0;

    jrun_put(r, "\"", 1);
    for (size_t at = 0, n; at < s->len; at += n) {
        uint32_t c = utf8_decode(s->p + at, &n);
        bool is_plain = c >= 0x20 && c != '"' && c != '\\' && (!is_ascii || c < 0x7f);
        if (is_plain)
            continue;
        jrun_put(r, s->p + done, at - done);
        put_json_char(r, c);
        done = at + n;
    }
    jrun_step_bytes(r, s->len);
    jrun_put(r, s->p + done, s->len - done);
    jrun_put(r, "\"", 1);
}

static void put_json_value(struct jrun *r, struct jval v, const struct jtext_json *form,
                           unsigned level);

static void put_json_scalar(struct jrun *r, struct jval v)
{
    switch (v.type) {
    case JVAL_NONE:
        jrun_put_str(r, "null");
        break;
    case JVAL_BOOL:
        jrun_put_str(r, v.u.b ? "true" : "false");
        break;
    case JVAL_FLOAT:
        if (isnan(v.u.d) || isinf(v.u.d))
            jrun_put_str(r, isnan(v.u.d) ? "NaN" : v.u.d > 0 ? "Infinity" : "-Infinity");
        else
            jtext_put_float(r, v.u.d);
        break;
    case JVAL_INT:
    case JVAL_WIDE:
        jtext_put_repr(r, v);
        break;
    case JVAL_UNDEFINED:
        jval_fail_undefined(r, v);
    default:
        jrun_fail(r, "a %s has no JSON form", jval_type_name(v));
    }
}

static void put_json_break(struct jrun *r, const struct jtext_json *form, unsigned level)
{
    if (form->indent == NULL)
        return;
    jrun_put(r, "\n", 1);
    for (unsigned i = 0; i < level; i++)
        jrun_put(r, form->indent->p, form->indent->len);
}

static void put_json_list(struct jrun *r, const struct jlist *l, const struct jtext_json *form,
                          unsigned level)
{
    jrun_put(r, "[", 1);
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            jrun_put(r, form->between_items->p, form->between_items->len);
        put_json_break(r, form, level + 1);
        put_json_value(r, l->v[i], form, level + 1);
    }
    if (l->n > 0)
        put_json_break(r, form, level);
    jrun_put(r, "]", 1);
}

static void put_json_key(struct jrun *r, struct jval key, const struct jtext_json *form)
{
    if (key.type == JVAL_STRING) {
        put_json_string(r, key.u.s, form->is_ascii);
        return;
    }
    if (key.type != JVAL_NONE && !jval_is_number(key))
        jrun_fail(r, "a %s cannot be a key in JSON", jval_type_name(key));
    jrun_put(r, "\"", 1);
    put_json_scalar(r, key);
    jrun_put(r, "\"", 1);
}

static void put_json_dict(struct jrun *r, const struct jdict *d, const struct jtext_json *form,
                          unsigned level)
{
    const struct jlist *keys = form->is_sorted ? jiter_sorted_keys(r, d) : NULL;

    jrun_put(r, "{", 1);
    for (size_t i = 0; i < d->n; i++) {
        struct jval key = keys != NULL ? keys->v[i] : d->pair[i].key;
        if (i > 0)
            jrun_put(r, form->between_items->p, form->between_items->len);
        put_json_break(r, form, level + 1);
        put_json_key(r, key, form);
        jrun_put(r, form->behind_key->p, form->behind_key->len);
        put_json_value(r, keys != NULL ? *jdict_get(r, d, key) : d->pair[i].value, form, level + 1);
    }
    if (d->n > 0)
        put_json_break(r, form, level);
    jrun_put(r, "}", 1);
}

static void put_json_value(struct jrun *r, struct jval v, const struct jtext_json *form,
                           unsigned level)
{
    jrun_step(r, 1);
    jrun_enter(r);
    if (v.type == JVAL_STRING)
        put_json_string(r, v.u.s, form->is_ascii);
    else if (v.type == JVAL_LIST || v.type == JVAL_TUPLE)
        put_json_list(r, v.u.list, form, level);
    else if (v.type == JVAL_DICT)
        put_json_dict(r, v.u.dict, form, level);
    else
        put_json_scalar(r, v);
    jrun_leave(r);
}

void jtext_put_json(struct jrun *r, struct jval v, const struct jtext_json *form)
{
    put_json_value(r, v, form, 0);
}

/* The methods of Python's types, as tables. */
#include "worker/text/jinja_attr.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_str.h"
#include "worker/text/jinja_text.h"
#include "worker/text/jinja_unicode.h"

#include "base/utf8.h"
#include <math.h>

/* --- str: case and ends --- */

static struct jval str_upper(struct jrun *r, const struct jcall *c)
{
    return jstr_upper(r, c->self);
}

static struct jval str_lower(struct jrun *r, const struct jcall *c)
{
    return jstr_lower(r, c->self);
}

static struct jval str_capitalize(struct jrun *r, const struct jcall *c)
{
    return jstr_capitalize(r, c->self);
}

static struct jval str_title(struct jrun *r, const struct jcall *c)
{
    return jstr_title(r, c->self);
}

static struct jval strip(struct jrun *r, const struct jcall *c, enum jstr_sides sides)
{
    return jstr_strip(r, c->self, jcall_is_none(c, 0) ? NULL : jcall_str(r, c, 0), sides);
}

static struct jval str_strip(struct jrun *r, const struct jcall *c)
{
    return strip(r, c, JSTR_BOTH);
}

static struct jval str_lstrip(struct jrun *r, const struct jcall *c)
{
    return strip(r, c, JSTR_LEFT);
}

static struct jval str_rstrip(struct jrun *r, const struct jcall *c)
{
    return strip(r, c, JSTR_RIGHT);
}

static struct jval pad(struct jrun *r, const struct jcall *c, enum jstr_sides side)
{
    const struct jstr *fill = jcall_has(c, 1) ? jcall_str(r, c, 1) : jstr_of(r, " ");

    if (fill->chars != 1)
        jrun_fail(r, "the fill character must be one character");
    return jstr_pad(r, c->self, jcall_int(r, c, 0, 0), fill, side);
}

static struct jval str_ljust(struct jrun *r, const struct jcall *c)
{
    return pad(r, c, JSTR_RIGHT);
}

static struct jval str_rjust(struct jrun *r, const struct jcall *c)
{
    return pad(r, c, JSTR_LEFT);
}

static struct jval str_center(struct jrun *r, const struct jcall *c)
{
    return pad(r, c, JSTR_BOTH);
}

static struct jval str_zfill(struct jrun *r, const struct jcall *c)
{
    const struct jstr *s = c->self.u.s;
    int64_t room = jcall_int(r, c, 0, 0) - (int64_t)s->chars;
    size_t n_sign = s->len > 0 && (s->p[0] == '-' || s->p[0] == '+'), begin = jstr_begin(r);

    jrun_put(r, s->p, n_sign);
    for (int64_t i = 0; i < room; i++)
        jrun_put(r, "0", 1);
    jrun_put(r, s->p + n_sign, s->len - n_sign);
    return jval_string(jstr_end(r, begin));
}

static struct jval remove_end(struct jrun *r, const struct jcall *c, bool is_prefix)
{
    const struct jstr *end = jcall_str(r, c, 0), *s = c->self.u.s;
    struct jval v = c->self;

    if (end->len > s->len || end->len == 0)
        return v;
    struct jstr part = {.p = is_prefix ? s->p : s->p + s->len - end->len, .len = end->len};
    if (jstr_equal(&part, end))
        v.u.s = jstr_borrow(r, is_prefix ? s->p + end->len : s->p, s->len - end->len);
    return v;
}

static struct jval str_removeprefix(struct jrun *r, const struct jcall *c)
{
    return remove_end(r, c, true);
}

static struct jval str_removesuffix(struct jrun *r, const struct jcall *c)
{
    return remove_end(r, c, false);
}

/* --- str: searching --- */

struct window {
    size_t begin, end; /* byte offsets */
    size_t first;      /* character at begin */
    bool is_valid;     /* begin is not behind end or the string */
};

/* The part that optional arguments start and end, from number i on, speak of. */
static struct window find_window(struct jrun *r, const struct jcall *c, unsigned i)
{
    const struct jstr *s = c->self.u.s;
    int64_t n = (int64_t)s->chars;
    int64_t from = jcall_is_none(c, i) ? 0 : jcall_int(r, c, i, 0);
    int64_t to = jcall_is_none(c, i + 1) ? n : jcall_int(r, c, i + 1, 0);

    from = from < 0 ? (from < -n ? 0 : from + n) : from;
    to = to < 0 ? (to < -n ? 0 : to + n) : to > n ? n : to;
    if (from > to)
        return (struct window){0};
    size_t begin = jstr_offset(r, s, (size_t)from);
    return (struct window){begin, jstr_offset(r, s, (size_t)to), (size_t)from, true};
}

static bool has_end(struct jrun *r, const struct jcall *c, struct jval wanted, bool is_start)
{
    if (wanted.type == JVAL_TUPLE) {
        for (size_t i = 0; i < wanted.u.list->n; i++)
            if (has_end(r, c, wanted.u.list->v[i], is_start))
                return true;
        return false;
    }
    if (wanted.type == JVAL_UNDEFINED)
        jval_fail_undefined(r, wanted);
    if (wanted.type != JVAL_STRING)
        jrun_fail(r, "%s wants a str, found a %s", is_start ? "startswith" : "endswith",
                  jval_type_name(wanted));
    struct window w = find_window(r, c, 1);
    size_t len = wanted.u.s->len;
    if (!w.is_valid || w.end - w.begin < len)
        return false;
    jrun_step_bytes(r, len);
    struct jstr part = {.p = c->self.u.s->p + (is_start ? w.begin : w.end - len), .len = len};
    return jstr_equal(&part, wanted.u.s);
}

static struct jval str_startswith(struct jrun *r, const struct jcall *c)
{
    return jval_bool(has_end(r, c, c->arg[0], true));
}

static struct jval str_endswith(struct jrun *r, const struct jcall *c)
{
    return jval_bool(has_end(r, c, c->arg[0], false));
}

/* The character index of the first or last occurrence, or -1. */
static int64_t find(struct jrun *r, const struct jcall *c, bool is_last)
{
    const struct jstr *s = c->self.u.s, *needle = jcall_str(r, c, 0);
    struct window w = find_window(r, c, 1);
    struct jstr part = {.p = s->p, .len = w.end};
    size_t found = SIZE_MAX;

    if (!w.is_valid)
        return -1;
    if (!is_last) {
        found = jstr_find(r, &part, w.begin, needle);
    } else {
        jrun_step_bytes(r, 8 * s->len);
        for (size_t at = w.end; at >= w.begin + needle->len; at--) {
            struct jstr here = {.p = s->p + at - needle->len, .len = needle->len};
            if (jstr_equal(&here, needle)) {
                found = at - needle->len;
                break;
            }
            if (at == 0)
                break;
        }
    }
    jrun_step_bytes(r, s->len);
    return found == SIZE_MAX ? -1 : (int64_t)juni_count(s->p, found);
}

static struct jval str_find(struct jrun *r, const struct jcall *c)
{
    return jval_int(find(r, c, false));
}

static struct jval str_rfind(struct jrun *r, const struct jcall *c)
{
    return jval_int(find(r, c, true));
}

static struct jval found_or_fail(struct jrun *r, int64_t i)
{
    if (i < 0)
        jrun_fail(r, "index: the substring is not there");
    return jval_int(i);
}

static struct jval str_index(struct jrun *r, const struct jcall *c)
{
    return found_or_fail(r, find(r, c, false));
}

static struct jval str_rindex(struct jrun *r, const struct jcall *c)
{
    return found_or_fail(r, find(r, c, true));
}

static struct jval str_count(struct jrun *r, const struct jcall *c)
{
    const struct jstr *s = c->self.u.s, *needle = jcall_str(r, c, 0);
    struct window w = find_window(r, c, 1);
    struct jstr part = {.p = s->p, .len = w.end};
    int64_t n = 0;

    if (!w.is_valid)
        return jval_int(0);
    if (needle->len == 0)
        return jval_int((int64_t)juni_count(s->p + w.begin, w.end - w.begin) + 1);
    for (size_t at = w.begin; (at = jstr_find(r, &part, at, needle)) != SIZE_MAX; at += needle->len)
        n++;
    return jval_int(n);
}

/* --- str: parts --- */

static struct jval str_split(struct jrun *r, const struct jcall *c)
{
    return jstr_split(r, c->self, c->arg[0], jcall_int(r, c, 1, -1), false);
}

static struct jval str_rsplit(struct jrun *r, const struct jcall *c)
{
    return jstr_split(r, c->self, c->arg[0], jcall_int(r, c, 1, -1), true);
}

static struct jval str_splitlines(struct jrun *r, const struct jcall *c)
{
    return jval_list(jstr_split_lines(r, c->self, jcall_bool(c, 0, false)));
}

static struct jval partition(struct jrun *r, const struct jcall *c, bool is_last)
{
    struct jlist *l = jlist_new(r, 3);
    struct jval parts = jstr_split(r, c->self, c->arg[0], 1, is_last);
    struct jval empty = jval_string(jstr_of(r, ""));
    bool is_found = parts.u.list->n == 2;

    jcall_str(r, c, 0);
    empty.flag = c->self.flag;
    if (is_found || !is_last)
        jlist_add(r, l, parts.u.list->v[0]);
    else
        jlist_add(r, l, empty);
    jlist_add(r, l, is_found ? c->arg[0] : empty);
    jlist_add(r, l, is_found ? parts.u.list->v[1] : is_last ? parts.u.list->v[0] : empty);
    return jval_tuple(l);
}

static struct jval str_partition(struct jrun *r, const struct jcall *c)
{
    return partition(r, c, false);
}

static struct jval str_rpartition(struct jrun *r, const struct jcall *c)
{
    return partition(r, c, true);
}

static struct jval str_join(struct jrun *r, const struct jcall *c)
{
    return jstr_join(r, c->self, c->arg[0], false);
}

static struct jval str_replace(struct jrun *r, const struct jcall *c)
{
    struct jval v = c->self;
    const struct jstr *old = jcall_str(r, c, 0), *new = jcall_str(r, c, 1);

    if (v.flag)
        new = jtext_escape(r, c->arg[1]).u.s;
    v.u.s = jstr_replace(r, v.u.s, old, new, jcall_int(r, c, 2, -1));
    return v;
}

static struct jval str_format(struct jrun *r, const struct jcall *c)
{
    return jstr_format(r, c->self, c->all);
}

/* --- str: kinds of characters --- */

static struct jval all_are(const struct jcall *c, bool (*test)(uint32_t), bool when_empty)
{
    const struct jstr *s = c->self.u.s;

    for (size_t at = 0, n; at < s->len; at += n)
        if (!test(utf8_decode(s->p + at, &n)))
            return jval_bool(false);
    return jval_bool(s->len > 0 || when_empty);
}

static bool is_ascii(uint32_t c)
{
    return c < 0x80;
}

#define X(name, test, when_empty) \
    static struct jval str_##name(struct jrun *r, const struct jcall *c) \
    { \
        jrun_step_bytes(r, 8 * c->self.u.s->len); \
        return all_are(c, test, when_empty); \
    }
X(isalnum, juni_is_alnum, false)
X(isalpha, juni_is_alpha, false)
X(isascii, is_ascii, true)
X(isdecimal, juni_is_decimal, false)
X(isdigit, juni_is_digit, false)
X(isnumeric, juni_is_numeric, false)
X(isprintable, juni_is_printable, true)
X(isspace, juni_is_space, false)
#undef X

static struct jval str_islower(struct jrun *r, const struct jcall *c)
{
    jrun_step_bytes(r, 8 * c->self.u.s->len);
    return jval_bool(jstr_is_lower(c->self.u.s));
}

static struct jval str_isupper(struct jrun *r, const struct jcall *c)
{
    jrun_step_bytes(r, 8 * c->self.u.s->len);
    return jval_bool(jstr_is_upper(c->self.u.s));
}

static const struct jcallable str_methods[] = {
    {.name = "capitalize", .call = str_capitalize},
    {.name = "casefold"},
    {.name = "center", .call = str_center, .n_needed = 1, .params = {"width", "fillchar"}},
    {.name = "count", .call = str_count, .n_needed = 1, .params = {"sub", "start", "end"}},
    {.name = "encode"},
    {.name = "endswith", .call = str_endswith, .n_needed = 1, .params = {"suffix", "start", "end"}},
    {.name = "expandtabs"},
    {.name = "find", .call = str_find, .n_needed = 1, .params = {"sub", "start", "end"}},
    {.name = "format", .call = str_format, .is_variadic = true},
    {.name = "format_map"},
    {.name = "index", .call = str_index, .n_needed = 1, .params = {"sub", "start", "end"}},
    {.name = "isalnum", .call = str_isalnum},
    {.name = "isalpha", .call = str_isalpha},
    {.name = "isascii", .call = str_isascii},
    {.name = "isdecimal", .call = str_isdecimal},
    {.name = "isdigit", .call = str_isdigit},
    {.name = "isidentifier"},
    {.name = "islower", .call = str_islower},
    {.name = "isnumeric", .call = str_isnumeric},
    {.name = "isprintable", .call = str_isprintable},
    {.name = "isspace", .call = str_isspace},
    {.name = "istitle"},
    {.name = "isupper", .call = str_isupper},
    {.name = "join", .call = str_join, .n_needed = 1, .params = {"iterable"}},
    {.name = "ljust", .call = str_ljust, .n_needed = 1, .params = {"width", "fillchar"}},
    {.name = "lower", .call = str_lower},
    {.name = "lstrip", .call = str_lstrip, .params = {"chars"}},
    {.name = "maketrans"},
    {.name = "partition", .call = str_partition, .n_needed = 1, .params = {"sep"}},
    {.name = "removeprefix", .call = str_removeprefix, .n_needed = 1, .params = {"prefix"}},
    {.name = "removesuffix", .call = str_removesuffix, .n_needed = 1, .params = {"suffix"}},
    {.name = "replace", .call = str_replace, .n_needed = 2, .params = {"old", "new", "count"}},
    {.name = "rfind", .call = str_rfind, .n_needed = 1, .params = {"sub", "start", "end"}},
    {.name = "rindex", .call = str_rindex, .n_needed = 1, .params = {"sub", "start", "end"}},
    {.name = "rjust", .call = str_rjust, .n_needed = 1, .params = {"width", "fillchar"}},
    {.name = "rpartition", .call = str_rpartition, .n_needed = 1, .params = {"sep"}},
    {.name = "rsplit", .call = str_rsplit, .has_keywords = true, .params = {"sep", "maxsplit"}},
    {.name = "rstrip", .call = str_rstrip, .params = {"chars"}},
    {.name = "split", .call = str_split, .has_keywords = true, .params = {"sep", "maxsplit"}},
    {.name = "splitlines", .call = str_splitlines, .has_keywords = true, .params = {"keepends"}},
    {.name = "startswith",
     .call = str_startswith,
     .n_needed = 1,
     .params = {"prefix", "start", "end"}},
    {.name = "strip", .call = str_strip, .params = {"chars"}},
    {.name = "swapcase"},
    {.name = "title", .call = str_title},
    {.name = "translate"},
    {.name = "upper", .call = str_upper},
    {.name = "zfill", .call = str_zfill, .n_needed = 1, .params = {"width"}},
};

const struct jcallable *jstr_method(const struct jstr *name)
{
    return jcall_find(str_methods, sizeof str_methods / sizeof str_methods[0], name);
}

/* --- dict --- */

static struct jval view(const struct jcall *c, enum jval_view kind)
{
    return (struct jval){.type = JVAL_VIEW, .flag = (uint8_t)kind, .u.dict = c->self.u.dict};
}

static struct jval dict_keys(struct jrun *r, const struct jcall *c)
{
    (void)r;
    return view(c, JVAL_KEYS);
}

static struct jval dict_values(struct jrun *r, const struct jcall *c)
{
    (void)r;
    return view(c, JVAL_VALUES);
}

static struct jval dict_items(struct jrun *r, const struct jcall *c)
{
    (void)r;
    return view(c, JVAL_ITEMS);
}

static struct jval dict_get(struct jrun *r, const struct jcall *c)
{
    const struct jval *v = jdict_get(r, c->self.u.dict, c->arg[0]);

    if (v != NULL)
        return *v;
    return jcall_has(c, 1) ? c->arg[1] : jval_none();
}

/* Nothing can change it, so it is its own copy. */
static struct jval copy(struct jrun *r, const struct jcall *c)
{
    (void)r;
    return c->self;
}

static const struct jcallable dict_methods[] = {
    {.name = "copy", .call = copy},
    {.name = "fromkeys"},
    {.name = "items", .call = dict_items},
    {.name = "keys", .call = dict_keys},
    {.name = "values", .call = dict_values},
    {.name = "get", .call = dict_get, .n_needed = 1, .params = {"key", "default"}},
};

/* --- list, tuple, range --- */

static struct jval sequence_count(struct jrun *r, const struct jcall *c)
{
    struct jiter it;
    struct jval item;
    int64_t n = 0;

    jiter_start(r, &it, c->self);
    while (jiter_next(r, &it, &item))
        n += jval_equal(r, item, c->arg[0]);
    return jval_int(n);
}

static struct jval sequence_index(struct jrun *r, const struct jcall *c)
{
    struct jiter it;
    struct jval item;
    size_t length;

    jval_length(c->self, &length);
    int64_t n = (int64_t)length, from = jcall_int(r, c, 1, 0), to = jcall_int(r, c, 2, n);
    from = from < 0 ? from + n : from;
    to = to < 0 ? to + n : to;
    jiter_start(r, &it, c->self);
    for (int64_t i = 0; jiter_next(r, &it, &item); i++)
        if (i >= from && i < to && jval_equal(r, item, c->arg[0]))
            return jval_int(i);
    jrun_fail(r, "index: the value is not there");
}

static const struct jcallable list_methods[] = {
    {.name = "count", .call = sequence_count, .n_needed = 1, .params = {"value"}},
    {.name = "index", .call = sequence_index, .n_needed = 1, .params = {"value", "start", "stop"}},
    {.name = "copy", .call = copy}, /* of lists alone; see jval_method */
};

/* --- numbers --- */

static struct jval float_is_integer(struct jrun *r, const struct jcall *c)
{
    (void)r;
    return jval_bool(isfinite(c->self.u.d) && floor(c->self.u.d) == c->self.u.d);
}

static const struct jcallable int_methods[] = {
    {.name = "as_integer_ratio"}, {.name = "bit_count"},  {.name = "bit_length"},
    {.name = "conjugate"},        {.name = "from_bytes"}, {.name = "to_bytes"},
};

static const struct jcallable float_methods[] = {
    {.name = "is_integer", .call = float_is_integer},
    {.name = "as_integer_ratio"},
    {.name = "conjugate"},
    {.name = "fromhex"},
    {.name = "hex"},
};

static const struct jcallable view_methods[] = {{.name = "isdisjoint"}, {.name = "mapping"}};

const struct jcallable *jval_method(struct jval v, const struct jstr *name)
{
    switch (v.type) {
    case JVAL_DICT:
        return jcall_find(dict_methods, sizeof dict_methods / sizeof dict_methods[0], name);
    case JVAL_LIST:
        return jcall_find(list_methods, 3, name);
    case JVAL_TUPLE:
    case JVAL_RANGE:
        return jcall_find(list_methods, 2, name);
    case JVAL_BOOL:
    case JVAL_INT:
    case JVAL_WIDE:
        return jcall_find(int_methods, sizeof int_methods / sizeof int_methods[0], name);
    case JVAL_FLOAT:
        return jcall_find(float_methods, sizeof float_methods / sizeof float_methods[0], name);
    case JVAL_VIEW:
        return jcall_find(view_methods, sizeof view_methods / sizeof view_methods[0], name);
    default:
        return NULL;
    }
}

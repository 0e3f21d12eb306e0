#include "worker/text/regex_translate.h"

#include "base/utf8.h"
#include "worker/text/regex_class.h"

#include <errno.h>
#include <string.h>

/* One group or the whole: alternatives up to its ')' or the end. */
static int read_alternatives(struct regex_reader *r);

int regex_refuse(const struct regex_reader *r, const char *at, const char *what)
{
    return err_set(r->e, EINVAL, "byte %zu: found %s, expected a construct that is known here",
                   (size_t)(at - r->begin), what);
}

bool regex_accept(struct regex_reader *r, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* --- literals --- */

void regex_add_literal(struct buf *out, uint32_t c)
{
    bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    char s[4];

    if (c < 0x20 || c == 0x7f) {
        buf_printf(out, "\\x{%x}", c);
        return;
    }
    if (c < 0x80 && !is_plain)
        buf_add_char(out, '\\');
    buf_add(out, s, utf8_encode(c, s));
}

/* Folding of case is the same for ASCII letters and none else is let through; but Oniguruma also
 * takes one character for two, as sharp s for "ss". */
static bool is_folded_pair(uint32_t a, uint32_t b)
{
    static const char pairs[][3] = {"ss", "ff", "fi", "fl", "st"};

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if ((a | 0x20) == (uint32_t)pairs[i][0] && (b | 0x20) == (uint32_t)pairs[i][1])
            return true;
    return false;
}

static int add_literal(struct regex_reader *r, const char *at, uint32_t c)
{
    if (r->folds_case && c >= 0x80)
        return regex_refuse(r, at, "a character beyond ASCII under (?i)");
    if (r->folds_case && is_folded_pair(r->last_literal, c))
        return regex_refuse(r, at, "letters under (?i) that fold to one character");
    r->last_literal = c;
    regex_add_literal(r->out, c);
    return 0;
}

int regex_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Behind \x or \u: the code point. */
static int read_hex(struct regex_reader *r, const char *at, size_t n_min, size_t n_max, uint32_t *c)
{
    size_t n = 0;

    for (*c = 0; n < n_max && r->at < r->end; n++, r->at++) {
        int digit = regex_hex_digit(*r->at);
        if (digit < 0)
            break;
        *c = *c << 4 | (uint32_t)digit;
    }
    bool is_character = *c <= 0x10ffff && (*c < 0xd800 || *c > 0xdfff);
    return n < n_min || !is_character ? regex_refuse(r, at, "an escape that is no character") : 0;
}

int regex_read_escaped(struct regex_reader *r, const char *at, uint32_t *c)
{
    static const char names[] = "tnrfvae", codes[] = "\t\n\r\f\v\a\x1b";
    size_t n;
    int rc;

    const char *name = *r->at != '\0' ? strchr(names, *r->at) : NULL;
    if (name != NULL) {
        *c = (unsigned char)codes[name - names];
        r->at++;
        return 0;
    }
    if (regex_accept(r, "x{")) {
        rc = read_hex(r, at, 1, 8, c);
        if (rc == 0 && !regex_accept(r, "}"))
            rc = regex_refuse(r, at, "\\x{ without its end");
        return rc;
    }
    if (regex_accept(r, "x")) {
        rc = read_hex(r, at, 2, 2, c);
        return rc == 0 && *c >= 0x80 ? regex_refuse(r, at, "a byte beyond ASCII") : rc;
    }
    if (regex_accept(r, "u"))
        return read_hex(r, at, 4, 4, c);
    *c = utf8_decode(r->at, &n);
    bool is_name = (*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z');
    if (is_name)
        return regex_refuse(r, at, "this escape");
    r->at += n;
    return 0;
}

/* --- escapes outside of a class --- */

#define WORD     "[" REGEX_WORD_ALONE "]"
#define BOUNDARY "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))"
#define WITHIN   "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))"

/* X(escape, what it is here, matches no character, by categories) */
#define ESCAPES(X) \
    X('A', "\\A", true, false) \
    X('z', "\\z", true, false) \
    X('Z', "(?=\\n?\\z)", true, false) \
    X('b', BOUNDARY, true, true) \
    X('B', WITHIN, true, true) \
    X('R', "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])", false, false)

static int read_escape(struct regex_reader *r, const char *at, bool *is_anchor)
{
#define X(name, emitted, anchor, by_category) {name, emitted, anchor, by_category},
    static const struct {
        char name;
        const char *emitted;
        bool is_anchor, by_category;
    } escapes[] = {ESCAPES(X)};
#undef X
    uint32_t c;

    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        if (*r->at != escapes[i].name)
            continue;
        r->at++;
        *is_anchor = escapes[i].is_anchor;
        r->asks_for_categories |= escapes[i].by_category;
        buf_add_str(r->out, escapes[i].emitted);
        return 0;
    }
    int rc = regex_read_set(r, at);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = regex_read_escaped(r, at, &c);
    return rc == 0 ? add_literal(r, at, c) : rc;
}

/* --- groups --- */

/* Behind "(?": the options in front of ':' or ')'. */
static int read_options(struct regex_reader *r, const char *at)
{
    bool value = true;

    for (; r->at < r->end && *r->at != ':' && *r->at != ')'; r->at++) {
        if (*r->at == '-')
            value = false;
        else if (*r->at == 'i')
            r->folds_case = value;
        else if (*r->at == 'm')
            r->dot_takes_newline = value;
        else
            return regex_refuse(r, at, "a kind of group");
    }
    return 0;
}

static int skip_name(struct regex_reader *r, const char *at)
{
    const char *close = memchr(r->at, '>', (size_t)(r->end - r->at));

    if (close == NULL || close == r->at)
        return regex_refuse(r, at, "a group without a name");
    r->at = close + 1;
    return 0;
}

/* Up to the ')' that belongs to it. */
static int read_rest_of_group(struct regex_reader *r, const char *at)
{
    int rc = read_alternatives(r);

    if (rc == 0 && !regex_accept(r, ")"))
        rc = regex_refuse(r, at, "a group without its end");
    buf_add_char(r->out, ')');
    return rc;
}

/* (?i) holds up to the end of the group that it stands in, alternatives included. */
static int read_option_group(struct regex_reader *r, const char *at)
{
    int rc = read_options(r, at);

    if (rc == 0 && r->at == r->end)
        rc = regex_refuse(r, at, "a group without its end");
    if (rc != 0)
        return rc;
    buf_add_str(r->out, r->folds_case ? "(?i:" : "(?-i:");
    if (*r->at++ == ':')
        return read_rest_of_group(r, at);
    rc = read_alternatives(r);
    buf_add_char(r->out, ')');
    return rc;
}

static int read_group(struct regex_reader *r, const char *at, bool *is_anchor)
{
    static const char *const looks[] = {"?=", "?!", "?<=", "?<!"};
    const bool folds_case = r->folds_case, dot_takes_newline = r->dot_takes_newline;
    int rc;

    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        if (!regex_accept(r, looks[i]))
            continue;
        *is_anchor = true;
        buf_printf(r->out, "(%s", looks[i]);
        return read_rest_of_group(r, at);
    }
    if (regex_accept(r, "?>")) {
        buf_add_str(r->out, "(?>");
        return read_rest_of_group(r, at);
    }
    if (regex_accept(r, "?<")) {
        rc = skip_name(r, at);
        if (rc != 0)
            return rc;
    } else if (regex_accept(r, "?")) {
        rc = read_option_group(r, at);
        r->folds_case = folds_case;
        r->dot_takes_newline = dot_takes_newline;
        return rc;
    }
    buf_add_str(r->out, "(?:");
    return read_rest_of_group(r, at);
}

static int skip_comment(struct regex_reader *r, const char *at)
{
    const char *close = memchr(r->at, ')', (size_t)(r->end - r->at));

    if (close == NULL)
        return regex_refuse(r, at, "a comment without its end");
    r->at = close + 1;
    return 0;
}

/* --- repeats --- */

/* {n}, {n,}, {,m}, {n,m}: false when it is none, and then '{' is a literal. */
static bool read_interval(struct regex_reader *r, unsigned *n, unsigned *m, bool *has_m)
{
    const char *p = r->at + 1;
    unsigned number[2] = {0};
    bool has[2] = {false};
    int i = 0;

    for (; p < r->end && *p != '}'; p++) {
        if (*p == ',' && i == 0) {
            i = 1;
        } else if (*p >= '0' && *p <= '9' && number[i] < 100000) {
            number[i] = number[i] * 10 + (unsigned)(*p - '0');
            has[i] = true;
        } else {
            return false;
        }
    }
    if (p == r->end || !(has[0] || has[1]))
        return false;
    *n = number[0];
    *has_m = i == 0 || has[1];
    *m = i == 0 ? number[0] : number[1];
    r->at = p + 1;
    return true;
}

/* Put "(?:" before and ")" behind what has been written from place on. */
static void enclose(struct buf *out, size_t place)
{
    buf_add_str(out, "(?:)");
    memmove(out->data + place + 3, out->data + place, out->len - 4 - place);
    memcpy(out->data + place, "(?:", 3);
    out->data[out->len - 1] = ')';
}

static int read_interval_repeat(struct regex_reader *r, const char *at, size_t place, bool *was)
{
    unsigned n, m;
    bool has_m;

    *was = read_interval(r, &n, &m, &has_m);
    if (!*was)
        return 0;
    if (has_m && m < n)
        return regex_refuse(r, at, "a repeat of fewer than its least");
    if (has_m)
        buf_printf(r->out, "{%u,%u}", n, m);
    else
        buf_printf(r->out, "{%u,}", n);
    if (regex_accept(r, "+")) {
        enclose(r->out, place);
        buf_add_char(r->out, '+');
    } else if (has_m && n == m && regex_accept(r, "?")) {
        enclose(r->out, place);
        buf_add_char(r->out, '?');
    } else if (regex_accept(r, "?")) {
        buf_add_char(r->out, '?');
    }
    return 0;
}

static bool is_repeat(const struct regex_reader *r)
{
    return r->at < r->end && (*r->at == '*' || *r->at == '+' || *r->at == '?');
}

/* What may follow an atom that was written from place on. */
static int read_repeat(struct regex_reader *r, size_t place, bool is_anchor)
{
    const char *at = r->at;
    bool was = false;

    if (is_repeat(r)) {
        buf_add_char(r->out, *r->at++);
        if (r->at < r->end && (*r->at == '?' || *r->at == '+'))
            buf_add_char(r->out, *r->at++);
        was = true;
    } else if (r->at < r->end && *r->at == '{') {
        int rc = read_interval_repeat(r, at, place, &was);
        if (rc != 0)
            return rc;
    }
    if (was)
        r->last_literal = 0;
    if (was && is_anchor)
        return regex_refuse(r, at, "a repeat of what matches no character");
    unsigned n, m;
    bool has_m;
    struct regex_reader ahead = *r;
    bool is_second =
        is_repeat(r) || (r->at < r->end && *r->at == '{' && read_interval(&ahead, &n, &m, &has_m));
    return was && is_second ? regex_refuse(r, r->at, "a repeat of a repeat") : 0;
}

/* --- the whole --- */

static int read_atom(struct regex_reader *r, bool *is_anchor)
{
    const char *at = r->at;
    size_t n;
    uint32_t c = utf8_decode(at, &n);
    uint32_t last = r->last_literal;

    r->last_literal = 0;
    r->at += n;
    switch (c) {
    case '(':
        return read_group(r, at, is_anchor);
    case '[':
        return regex_read_class(r, at);
    case '\\':
        if (r->at == r->end)
            return regex_refuse(r, at, "a backslash at the end");
        r->last_literal = last;
        return read_escape(r, at, is_anchor);
    case '.':
        buf_add_str(r->out, r->dot_takes_newline ? "(?s:.)" : "[^\\n]");
        return 0;
    case '^':
    case '$':
        *is_anchor = true;
        buf_printf(r->out, "(?m:%c)", (char)c);
        return 0;
    case '*':
    case '+':
    case '?':
        return regex_refuse(r, at, "a repeat of nothing");
    default:
        r->last_literal = last;
        return add_literal(r, at, c);
    }
}

static int read_alternatives(struct regex_reader *r)
{
    int rc = 0;

    if (++r->depth > REGEX_DEPTH_MAX)
        return err_set(r->e, E2BIG, "byte %zu: found a deeper group, expected at most %d levels",
                       (size_t)(r->at - r->begin), REGEX_DEPTH_MAX);
    r->last_literal = 0;
    while (rc == 0 && r->at < r->end && *r->at != ')') {
        const char *at = r->at;
        size_t place = r->out->len;
        bool is_anchor = false;
        if (regex_accept(r, "|")) {
            r->last_literal = 0;
            buf_add_char(r->out, '|');
            continue;
        }
        if (regex_accept(r, "(?#")) {
            rc = skip_comment(r, at);
            continue;
        }
        rc = read_atom(r, &is_anchor);
        if (rc == 0)
            rc = read_repeat(r, place, is_anchor);
    }
    r->last_literal = 0;
    r->depth--;
    return rc;
}

int regex_translate(const char *from, size_t len, const char *script_prefix,
                    struct regex_translation *out, struct err *e)
{
    struct regex_reader r = {.begin = from,
                             .at = from,
                             .end = from + len,
                             .script_prefix = script_prefix,
                             .out = &out->pattern,
                             .e = e};

    *out = (struct regex_translation){0};
    if (len > REGEX_PATTERN_MAX)
        return err_set(e, E2BIG, "found a pattern of %zu bytes, expected at most %d", len,
                       REGEX_PATTERN_MAX);
    buf_reserve(&out->pattern, 64); /* so that there is one, even an empty one */
    int rc = read_alternatives(&r);
    if (rc == 0 && r.at < r.end)
        rc = regex_refuse(&r, r.at, "')' without its beginning");
    out->asks_for_categories = r.asks_for_categories;
    if (rc != 0)
        buf_free(&out->pattern);
    return rc;
}

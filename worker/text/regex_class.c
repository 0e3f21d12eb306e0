#include "worker/text/regex_class.h"

#include "base/utf8.h"

#include <errno.h>
#include <string.h>

#define SPACE \
    "\\t-\\r\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"

/* X(letter, the members of a class it stands for inside of one and alone, by categories); the
 * capital is the rest. */
#define SETS(X) \
    X('s', SPACE, SPACE, false) \
    X('w', REGEX_WORD, REGEX_WORD_ALONE, true) \
    X('d', "\\p{Nd}", "\\p{Nd}", true) \
    X('h', "0-9A-Fa-f", "0-9A-Fa-f", false)

/* Scripts; categories are recognised by their form. */
#define SCRIPTS(X) \
    X("Arabic") \
    X("Armenian") \
    X("Bengali") \
    X("Bopomofo") \
    X("Cyrillic") \
    X("Devanagari") \
    X("Ethiopic") \
    X("Georgian") \
    X("Greek") \
    X("Gujarati") \
    X("Gurmukhi") \
    X("Han") \
    X("Hangul") \
    X("Hebrew") \
    X("Hiragana") \
    X("Kannada") \
    X("Katakana") \
    X("Khmer") \
    X("Lao") \
    X("Latin") \
    X("Malayalam") \
    X("Mongolian") \
    X("Myanmar") \
    X("Oriya") \
    X("Sinhala") \
    X("Tamil") \
    X("Telugu") \
    X("Thai") \
    X("Tibetan")

/* What is inside a class that is read: members of a PCRE2 class, and whole expressions for those
 * that none can hold, such as the rest of a set. */
struct char_class {
    struct buf members;
    struct buf others; /* each with a '|' in front */
};

static void free_class(struct char_class *c)
{
    buf_free(&c->members);
    buf_free(&c->others);
}

/* --- sets --- */

/* One set: members of a class, or what is not among them. */
struct set {
    struct buf members;
    bool is_rest;
    bool is_property; /* stands outside of a class as it is, and is never the rest */
};

static bool is_category(const char *name, size_t len)
{
    static const char *const of[] = {"CcCfCnCoCs",     "LlLmLoLtLu", "McMeMn", "NdNlNo",
                                     "PcPdPePfPiPoPs", "ScSkSmSo",   "ZlZpZs"};

    if (len == 0 || len > 2)
        return false;
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        if (of[i][0] != name[0])
            continue;
        for (const char *p = of[i]; *p != '\0'; p += 2)
            if (len == 1 || p[1] == name[1])
                return true;
    }
    return false;
}

static bool is_script(const char *name, size_t len)
{
#define X(script) script,
    static const char *const scripts[] = {SCRIPTS(X)};
#undef X

    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        if (strlen(scripts[i]) == len && memcmp(scripts[i], name, len) == 0)
            return true;
    return false;
}

/* Behind \p or \P. */
static int read_property(struct regex_reader *r, const char *at, bool is_rest, struct set *set)
{
    if (r->folds_case)
        return regex_refuse(r, at, "a property under (?i)");
    if (!regex_accept(r, "{"))
        return regex_refuse(r, at, "a property without braces");
    is_rest ^= regex_accept(r, "^");
    const char *close = memchr(r->at, '}', (size_t)(r->end - r->at));
    size_t len = close != NULL ? (size_t)(close - r->at) : 0;
    bool has_prefix = is_script(r->at, len);
    if (!has_prefix && !is_category(r->at, len))
        return regex_refuse(r, at, "a property");
    buf_printf(&set->members, "\\%c{%s%.*s}", is_rest ? 'P' : 'p',
               has_prefix ? r->script_prefix : "", (int)len, r->at);
    r->at = close + 1;
    set->is_property = true;
    r->asks_for_categories = true;
    return 0;
}

/* Behind a backslash: 1, 0 when it is no set, or an error. */
static int read_set(struct regex_reader *r, const char *at, bool is_alone, struct set *set)
{
#define X(letter, inside, alone, by_category) {letter, {inside, alone}, by_category},
    static const struct {
        char letter;
        const char *members[2];
        bool by_category;
    } sets[] = {SETS(X)};
#undef X

    if (*r->at == 'p' || *r->at == 'P') {
        bool is_rest = *r->at++ == 'P';
        int rc = read_property(r, at, is_rest, set);
        return rc == 0 ? 1 : rc;
    }
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if ((*r->at | 0x20) != sets[i].letter)
            continue;
        set->is_rest = *r->at++ != sets[i].letter;
        buf_add_str(&set->members, sets[i].members[is_alone]);
        r->asks_for_categories |= sets[i].by_category;
        return 1;
    }
    return 0;
}

int regex_read_set(struct regex_reader *r, const char *at)
{
    struct set set = {0};
    int rc = read_set(r, at, true, &set);

    if (rc == 1 && set.is_property)
        buf_add(r->out, set.members.data, set.members.len);
    else if (rc == 1)
        buf_printf(r->out, "[%s%s]", set.is_rest ? "^" : "", buf_text(&set.members));
    buf_free(&set.members);
    return rc;
}

/* --- classes --- */

/* As what matches one character. */
static void write_class(struct buf *out, const struct char_class *c, bool is_rest)
{
    const int n_members = (int)c->members.len, n_others = (int)c->others.len;

    if (n_others == 0)
        buf_printf(out, "[%s%.*s]", is_rest ? "^" : "", n_members, c->members.data);
    else if (is_rest && n_members == 0)
        buf_printf(out, "(?:(?!%.*s)(?s:.))", n_others - 1, c->others.data + 1);
    else if (is_rest)
        buf_printf(out, "(?:(?![%.*s]%.*s)(?s:.))", n_members, c->members.data, n_others,
                   c->others.data);
    else if (n_members == 0)
        buf_printf(out, "(?:%.*s)", n_others - 1, c->others.data + 1);
    else
        buf_printf(out, "(?:[%.*s]%.*s)", n_members, c->members.data, n_others, c->others.data);
}

static bool is_empty(const struct char_class *c)
{
    return c->members.len == 0 && c->others.len == 0;
}

static void add_set(struct char_class *c, struct set *set)
{
    if (set->is_rest)
        buf_printf(&c->others, "|[^%s]", buf_text(&set->members));
    else
        buf_add(&c->members, set->members.data, set->members.len);
}

static int read_members(struct regex_reader *r, const char *at, struct char_class *c);

/* Behind a '[' inside of a class: what it matches is matched, too. */
static int read_nested(struct regex_reader *r, const char *at, struct char_class *c)
{
    struct char_class inner = {0};
    bool is_rest = regex_accept(r, "^");

    if (r->at < r->end && *r->at == ':')
        return regex_refuse(r, at, "a bracket of POSIX");
    int rc = read_members(r, at, &inner);
    if (rc == 0 && is_rest) {
        buf_add_char(&c->others, '|');
        write_class(&c->others, &inner, true);
    } else if (rc == 0) {
        buf_add(&c->members, inner.members.data, inner.members.len);
        buf_add(&c->others, inner.others.data, inner.others.len);
    }
    free_class(&inner);
    return rc;
}

/* One character of a class: itself or an escape. */
static int read_character(struct regex_reader *r, const char *at, uint32_t *c)
{
    size_t n;

    if (r->at == r->end)
        return regex_refuse(r, at, "a class without its end");
    if (regex_accept(r, "\\")) {
        if (r->at == r->end)
            return regex_refuse(r, at, "a backslash at the end");
        return regex_read_escaped(r, at, c);
    }
    *c = utf8_decode(r->at, &n);
    r->at += n;
    return 0;
}

/* A character, or a range of them. */
static int read_range(struct regex_reader *r, const char *at, bool is_first, struct char_class *c)
{
    uint32_t low, high;
    const char *here = r->at;
    int rc = read_character(r, here, &low);

    if (rc != 0)
        return rc;
    bool is_end = r->end - r->at < 2 || r->at[1] == ']';
    if (*here == '-' && !is_first && r->at < r->end && *r->at != ']')
        return regex_refuse(r, here, "a '-' in the middle of a class");
    bool is_range = !is_end && *r->at == '-' && *here != '-';
    high = low;
    if (is_range) {
        r->at++;
        bool is_set = *r->at == '[' || (*r->at == '\\' && r->end - r->at > 1 &&
                                        strchr("sSwWdDhHpP", r->at[1]) != NULL);
        if (is_set)
            return regex_refuse(r, here, "a range that ends in a set");
        rc = read_character(r, at, &high);
    }
    if (rc != 0)
        return rc;
    if (high < low)
        return regex_refuse(r, here, "a range with its end before its beginning");
    if (r->folds_case && high >= 0x80)
        return regex_refuse(r, here, "a character beyond ASCII under (?i)");
    regex_add_literal(&c->members, low);
    if (is_range) {
        buf_add_char(&c->members, '-');
        regex_add_literal(&c->members, high);
    }
    return 0;
}

/* a&&b: what has been read so far, and what follows. */
static int intersect(struct regex_reader *r, const char *at, struct char_class *c, struct buf *left)
{
    if (is_empty(c))
        return regex_refuse(r, at, "an intersection with nothing");
    buf_add_str(left, "(?=");
    write_class(left, c, false);
    buf_add_char(left, ')');
    free_class(c);
    return 0;
}

static int read_member(struct regex_reader *r, const char *at, bool is_first, struct char_class *c)
{
    const char *here = r->at;

    if (regex_accept(r, "[")) {
        if (++r->depth > REGEX_DEPTH_MAX)
            return regex_refuse(r, here, "a deeper class");
        return read_nested(r, at, c);
    }
    if (*r->at == '\\' && r->end - r->at > 1) {
        struct set set = {0};
        r->at++;
        int rc = read_set(r, here, false, &set);
        if (rc == 1)
            add_set(c, &set);
        buf_free(&set.members);
        if (rc != 0)
            return rc < 0 ? rc : 0;
        r->at--;
    }
    return read_range(r, at, is_first, c);
}

/* Up to the ']' that belongs to it. */
static int read_members(struct regex_reader *r, const char *at, struct char_class *c)
{
    struct buf left = {0};
    const unsigned depth = r->depth;
    bool is_first = true;
    int rc = 0;

    if (r->at < r->end && *r->at == ']')
        return regex_refuse(r, at, "a class that is empty or begins with ']'");
    while (rc == 0 && r->at < r->end && *r->at != ']') {
        if (regex_accept(r, "&&")) {
            rc = intersect(r, at, c, &left);
            is_first = true;
            continue;
        }
        rc = read_member(r, at, is_first, c);
        r->depth = depth;
        is_first = false;
    }
    if (rc == 0 && !regex_accept(r, "]"))
        rc = regex_refuse(r, at, "a class without its end");
    if (rc == 0 && is_empty(c))
        rc = regex_refuse(r, at, "an intersection with nothing");
    if (rc == 0 && left.len > 0) {
        write_class(&left, c, false);
        free_class(c);
        buf_printf(&c->others, "|(?:%s)", buf_text(&left));
    }
    buf_free(&left);
    return rc;
}

int regex_read_class(struct regex_reader *r, const char *at)
{
    struct char_class c = {0};
    bool is_rest = regex_accept(r, "^");
    int rc = read_members(r, at, &c);

    if (rc == 0)
        write_class(r->out, &c, is_rest);
    free_class(&c);
    return rc;
}

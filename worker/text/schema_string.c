/* Strings: lengths, patterns and formats, all at once. */
#include "worker/text/schema.h"

#include <errno.h>
#include <string.h>

#define CHARS_STATES_MAX 50000

#define DATE \
    "[1-9][0-9]{3}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|" \
    "(0[13578]|1[02])-31)"
#define TIME \
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?" \
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define LABEL    "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define HOSTNAME LABEL "(\\." LABEL "){0,6}"
#define BYTE     "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4     BYTE "(\\." BYTE "){3}"
#define HEX4     "[0-9A-Fa-f]{1,4}"
#define URI_TEXT "[A-Za-z0-9._~!$&'()*+,;=:@-]"
#define URI_TAIL "(\\?(" URI_TEXT "|[/?])*)?(#(" URI_TEXT "|[/?])*)?"

const char *schema_format(const char *name)
{
    static const struct {
        const char *name, *pattern;
    } formats[] = {
        {"date", "^(" DATE ")$"},
        {"time", "^" TIME "$"},
        {"date-time", "^(" DATE ")T" TIME "$"},
        {"duration", "^P([0-9]{1,9}W|([0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}D)?)?|"
                     "[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{1,9}D)|T([0-9]{1,9}H([0-9]{1,9}M"
                     "([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S))$"},
        {"email", "^[A-Za-z0-9_+-]{1,16}(\\.[A-Za-z0-9_+-]{1,15}){0,2}@" HOSTNAME "$"},
        {"hostname", "^" HOSTNAME "$"},
        {"ipv4", "^" IPV4 "$"},
        {"ipv6", "^((" HEX4 ":){7}" HEX4 "|(" HEX4 ":){1,7}:|:(:" HEX4 "){1,7}|::|"
                 "(" HEX4 ":){1,6}:" HEX4 "|(" HEX4 ":){1,5}(:" HEX4 "){1,2}|"
                 "(" HEX4 ":){1,4}(:" HEX4 "){1,3}|(" HEX4 ":){1,3}(:" HEX4 "){1,4}|"
                 "(" HEX4 ":){1,2}(:" HEX4 "){1,5}|" HEX4 ":(:" HEX4 "){1,6})$"},
        {"uuid", "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"},
        {"uri", "^[A-Za-z][A-Za-z0-9+.-]{0,15}:(//" HOSTNAME "(:[1-9][0-9]{0,3})?(/" URI_TEXT
                "*)*|" URI_TEXT "+(/" URI_TEXT "*)*)" URI_TAIL "$"},
    };

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return formats[i].pattern;
    return NULL;
}

/* Of numbers, or of what no pattern can say: no more than a remark. */
static bool is_remark(const char *format)
{
    static const char *const names[] = {"int32",  "int64", "uint32",   "uint64", "float",
                                        "double", "byte",  "password", "binary"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], format) == 0)
            return true;
    return false;
}

/* *out becomes what is in both; the second is used up. */
static int narrow(struct schema_compiler *c, const struct schema_place *at, struct chars *out,
                  bool *is_free, struct chars *more)
{
    struct chars both = {0};
    int rc = 0;

    if (*is_free) {
        *out = *more;
        *is_free = false;
        return 0;
    }
    if (chars_product(out, more, CHARS_STATES_MAX, &c->steps, &both) != 0)
        rc = schema_refuse(c, at, E2BIG,
                           "patterns and lengths together are too large as an "
                           "automaton");
    chars_free(out);
    chars_free(more);
    *out = both;
    return rc;
}

static int add_pattern(struct schema_compiler *c, const struct schema_place *at, const char *text,
                       size_t len, struct chars *out, bool *is_free)
{
    struct chars own;
    struct err e = {0};

    if (schema_pattern_read(text, len, CHARS_STATES_MAX, &c->steps, &own, &e) != 0)
        return schema_refuse(c, at, e.code, "%s", e.text);
    return narrow(c, at, out, is_free, &own);
}

static int add_patterns(struct schema_compiler *c, const struct schema_all *all,
                        const char *keyword, struct chars *out, bool *is_free)
{
    const struct schema_part *part;
    struct json_object *o;
    int rc = 0;

    for (size_t i = 0; rc == 0 && (part = schema_next(all, &i, keyword, &o)) != NULL;) {
        const struct schema_place at = {.up = part->place, .name = keyword};
        bool is_format = strcmp(keyword, "format") == 0;
        size_t len = 0;
        if (json_type_of(o) != JSON_STRING)
            return schema_refuse(c, &at, EINVAL, "found %s, expected a string",
                                 json_type_name(json_type_of(o)));
        const char *text = json_string(o, &len);
        if (is_format && is_remark(text))
            continue;
        const char *pattern = is_format ? schema_format(text) : text;
        if (pattern == NULL)
            return schema_refuse(c, &at, EINVAL, "'%.100s' is not a format that is known", text);
        rc = add_pattern(c, &at, pattern, is_format ? strlen(pattern) : len, out, is_free);
    }
    return rc;
}

static int add_length(struct schema_compiler *c, const struct schema_all *all, struct chars *out,
                      bool *is_free)
{
    uint32_t min = 0, max = UINT32_MAX;
    const struct schema_place *place = all->n > 0 ? all->part[0].place : c->root_place;
    int rc = schema_count(c, all, "minLength", true, &min);

    if (rc == 0)
        rc = schema_count(c, all, "maxLength", false, &max);
    if (rc != 0 || (min == 0 && max == UINT32_MAX))
        return rc;
    if (min > CHARS_STATES_MAX || (max != UINT32_MAX && max > CHARS_STATES_MAX))
        return schema_refuse(c, place, E2BIG, "a length of more than %d characters is too large",
                             CHARS_STATES_MAX);
    struct chars own = {0};
    chars_length(&own, min, max);
    return narrow(c, place, out, is_free, &own);
}

int schema_read_string(struct schema_compiler *c, const struct schema_all *all, struct chars *out,
                       bool *is_free)
{
    *out = (struct chars){0};
    *is_free = true;
    int rc = add_patterns(c, all, "pattern", out, is_free);
    if (rc == 0)
        rc = add_patterns(c, all, "format", out, is_free);
    if (rc == 0)
        rc = add_length(c, all, out, is_free);
    if (rc != 0)
        chars_free(out);
    return rc;
}

int schema_add_string(struct schema_compiler *c, const struct schema_all *all, uint32_t from,
                      uint32_t to)
{
    struct chars text;
    bool is_free;
    int rc = schema_read_string(c, all, &text, &is_free);

    if (rc != 0)
        return rc;
    if (is_free) {
        nfa_call(c->n, from, to, RULE_STRING);
        return 0;
    }
    uint32_t inside = nfa_state(c->n), end = nfa_state(c->n);
    nfa_byte(c->n, from, inside, '"');
    chars_emit(&text, c->n, inside, end, CHARS_JSON);
    nfa_byte(c->n, end, to, '"');
    chars_free(&text);
    return 0;
}

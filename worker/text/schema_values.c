/* Values that a schema lists, and what tells schemas apart. */
#include "worker/text/schema.h"

#include <errno.h>
#include <string.h>

static bool are_equal(const struct json_object *a, const struct json_object *b)
{
    struct buf x = {0}, y = {0};

    json_write(a, &x);
    json_write(b, &y);
    bool equal = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
    buf_free(&x);
    buf_free(&y);
    return equal;
}

static bool has_key(const struct json_object *o, const char *key, struct json_object **value)
{
    const struct schema_all one = {.part = {{.o = o}}, .n = 1};
    size_t i = 0;

    return schema_next(&one, &i, key, value) != NULL;
}

/* The i-th value that a schema lists; false behind the last one. */
static bool listed_value(const struct json_object *o, size_t i, const struct json_object **value)
{
    struct json_object *list;

    if (has_key(o, "const", &list)) {
        *value = list;
        return i == 0;
    }
    if (!has_key(o, "enum", &list) || json_type_of(list) != JSON_ARRAY || i >= json_length(list))
        return false;
    *value = json_at(list, i);
    return true;
}

static bool lists_values(const struct json_object *o)
{
    struct json_object *value;

    return has_key(o, "const", &value) || has_key(o, "enum", &value);
}

static bool lists_value(const struct json_object *o, const struct json_object *value)
{
    const struct json_object *other;
    struct json_object *list;
    bool found = false;

    for (size_t i = 0; !found && listed_value(o, i, &other); i++)
        found = are_equal(value, other);
    /* const and enum in one schema: both. */
    if (found && has_key(o, "const", &list) && has_key(o, "enum", &list)) {
        found = false;
        for (size_t i = 0; !found && i < json_length(list); i++)
            found = are_equal(value, json_at(list, i));
    }
    return found;
}

/* --- the rest of the schema about a value that is listed --- */

static uint32_t count_chars(const char *text, size_t len)
{
    uint32_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

static int string_fits(struct schema_compiler *c, const struct schema_all *all,
                       const struct json_object *value, bool *fits)
{
    uint32_t min = 0, max = UINT32_MAX;
    size_t len, i = 0;
    struct json_object *o;
    const struct schema_part *part = schema_next(all, &i, "pattern", &o);
    const char *text = json_string(value, &len);

    if (part != NULL)
        return schema_refuse(c, part->place, EINVAL,
                             "'pattern' together with listed values is "
                             "not supported");
    int rc = schema_count(c, all, "minLength", true, &min);
    if (rc == 0)
        rc = schema_count(c, all, "maxLength", false, &max);
    uint32_t n = count_chars(text, len);
    *fits = n >= min && n <= max;
    return rc;
}

static bool number_fits(const struct schema_all *all, const struct json_object *value)
{
    static const struct {
        const char *keyword;
        int sign; /* 1: at least */
        bool is_exclusive;
    } bounds[] = {{"minimum", 1, false},
                  {"exclusiveMinimum", 1, true},
                  {"maximum", -1, false},
                  {"exclusiveMaximum", -1, true}};
    struct json_object *o;

    for (size_t k = 0; k < sizeof bounds / sizeof *bounds; k++)
        for (size_t i = 0; schema_next(all, &i, bounds[k].keyword, &o) != NULL;) {
            double more = json_type_of(o) == JSON_NUMBER
                              ? (json_number(value) - json_number(o)) * bounds[k].sign
                              : 0;
            if (more < 0 || (bounds[k].is_exclusive && more <= 0))
                return false;
        }
    return true;
}

static int container_fits(struct schema_compiler *c, const struct schema_all *all)
{
    static const char *const keywords[] = {"properties", "required",    "additionalProperties",
                                           "items",      "prefixItems", "minItems",
                                           "maxItems"};
    struct json_object *o;

    for (size_t k = 0; k < sizeof keywords / sizeof *keywords; k++) {
        size_t i = 0;
        const struct schema_part *part = schema_next(all, &i, keywords[k], &o);
        if (part != NULL)
            return schema_refuse(c, part->place, EINVAL,
                                 "'%s' together with listed objects or arrays is not supported",
                                 keywords[k]);
    }
    return 0;
}

/* All schemas but the one that the values come from, if it has no second list: each compares the
 * value with all of its own. */
static int others_list(struct schema_compiler *c, const struct schema_all *all,
                       const struct schema_part *source, const struct json_object *value,
                       bool *fits)
{
    struct json_object *list;

    for (size_t i = 0; i < all->n && *fits; i++) {
        const struct json_object *o = all->part[i].o;
        bool has_both = has_key(o, "const", &list) && has_key(o, "enum", &list);
        if (!lists_values(o) || (&all->part[i] == source && !has_both))
            continue;
        uint64_t steps = 100 * (1 + (has_key(o, "enum", &list) ? json_length(list) : 0));
        if (c->steps < steps)
            return schema_refuse(c, all->part[i].place, E2BIG, "too many listed values");
        c->steps -= steps;
        *fits = lists_value(o, value);
    }
    return 0;
}

static int value_fits(struct schema_compiler *c, const struct schema_all *all, unsigned types,
                      const struct schema_part *source, const struct json_object *value, bool *fits)
{
    unsigned type = schema_type_of_value(value);

    *fits = (type & types) != 0;
    int rc = others_list(c, all, source, value, fits);
    if (rc != 0)
        return rc;
    if (!*fits)
        return 0;
    if (type == TYPE_STRING)
        return string_fits(c, all, value, fits);
    if (type == TYPE_ARRAY || type == TYPE_OBJECT)
        return container_fits(c, all);
    *fits = (type & TYPE_NUMBER) == 0 || number_fits(all, value);
    return 0;
}

static void write_value(const struct json_object *value, bool is_bare, struct buf *out)
{
    size_t len;

    if (!is_bare || json_type_of(value) != JSON_STRING) {
        json_write(value, out);
        return;
    }
    const char *text = json_string(value, &len);
    buf_add(out, text, len);
}

int schema_add_values(struct schema_compiler *c, const struct schema_all *all, unsigned types,
                      uint32_t from, uint32_t to, bool *has)
{
    const struct schema_part *part = NULL;
    const struct json_object *value;
    struct json_object *list;
    int rc = 0;

    for (size_t i = 0; i < all->n && part == NULL; i++)
        if (lists_values(all->part[i].o))
            part = &all->part[i];
    *has = part != NULL;
    if (part == NULL)
        return 0;
    if (has_key(part->o, "enum", &list) && json_type_of(list) != JSON_ARRAY)
        return schema_refuse(c, part->place, EINVAL, "'enum' is %s, expected an array",
                             json_type_name(json_type_of(list)));
    for (size_t i = 0; rc == 0 && listed_value(part->o, i, &value); i++) {
        struct buf text = {0};
        bool fits;
        rc = value_fits(c, all, types, part, value, &fits);
        write_value(value, c->is_bare, &text);
        if (rc == 0 && fits)
            nfa_literal(c->n, from, to, text.data, text.len);
        buf_free(&text);
    }
    return rc;
}

/* --- apart --- */

/* A reference stands for what it names, as long as nothing that matters here stands beside it. */
static const struct json_object *look_through(struct schema_compiler *c,
                                              const struct json_object *o)
{
    struct json_object *ref;
    int rc = 0;

    for (int i = 0;
         i < 16 && o != NULL && json_type_of(o) == JSON_OBJECT && has_key(o, "$ref", &ref); i++) {
        const struct schema_part part = {.o = o, .place = c->root_place};
        o = schema_resolve(c, &part, &rc);
    }
    return o;
}

static bool values_apart(const struct json_object *a, const struct json_object *b)
{
    const struct json_object *value;

    if (!lists_values(a) || !lists_values(b))
        return false;
    for (size_t i = 0; listed_value(a, i, &value); i++)
        if (lists_value(b, value))
            return false;
    return true;
}

/* With the types of listed values, too. */
static unsigned possible_types(const struct json_object *o)
{
    const struct json_object *value;
    unsigned types = schema_types_of(o), listed = 0;

    if (!lists_values(o))
        return types;
    for (size_t i = 0; listed_value(o, i, &value); i++)
        listed |= schema_type_of_value(value);
    return types & listed;
}

static bool requires(const struct json_object *o, const char *key)
{
    struct json_object *list = json_get(o, "required");
    size_t len;

    for (size_t i = 0; json_type_of(list) == JSON_ARRAY && i < json_length(list); i++)
        if (json_type_of(json_at(list, i)) == JSON_STRING &&
            strcmp(json_string(json_at(list, i), &len), key) == 0)
            return true;
    return false;
}

static bool forbids(const struct json_object *o, const char *key)
{
    struct json_object *more = json_get(o, "additionalProperties");
    struct json_object *named = json_get(o, "properties");

    return more != NULL && json_type_of(more) == JSON_BOOL && !json_bool(more) &&
           (named == NULL || json_get(named, key) == NULL);
}

/* One needs a member that the other excludes, or that has other values there. */
static bool members_apart(struct schema_compiler *c, const struct json_object *a,
                          const struct json_object *b)
{
    struct json_object *list = json_get(a, "required"), *mine, *theirs;
    struct json_object *in_a = json_get(a, "properties"), *in_b = json_get(b, "properties");
    size_t len;

    for (size_t i = 0; json_type_of(list) == JSON_ARRAY && i < json_length(list); i++) {
        if (json_type_of(json_at(list, i)) != JSON_STRING)
            continue;
        const char *key = json_string(json_at(list, i), &len);
        if (forbids(b, key))
            return true;
        mine = in_a != NULL ? json_get(in_a, key) : NULL;
        theirs = in_b != NULL ? json_get(in_b, key) : NULL;
        if (mine == NULL || theirs == NULL || !requires(b, key))
            continue;
        const struct json_object *x = look_through(c, mine), *y = look_through(c, theirs);
        if (x != NULL && y != NULL &&
            ((possible_types(x) & possible_types(y)) == 0 || values_apart(x, y)))
            return true;
    }
    return false;
}

bool schema_are_apart(struct schema_compiler *c, const struct json_object *a,
                      const struct json_object *b)
{
    a = look_through(c, a);
    b = look_through(c, b);
    if (a == NULL || b == NULL || json_type_of(a) != JSON_OBJECT || json_type_of(b) != JSON_OBJECT)
        return false;
    unsigned common = possible_types(a) & possible_types(b);
    if (common == 0 || values_apart(a, b))
        return true;
    return common == TYPE_OBJECT && (members_apart(c, a, b) || members_apart(c, b, a));
}

#include "worker/text/schema.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INLINE_STATES_MAX 4000 /* from here on references of branches are called, too */
#define STEPS_EACH        256  /* of reading one place */
#define STEPS_MEMBER      16   /* and each member of a schema there */
#define RULES_MAX         4096

/* References that are being read in place: one within itself is called. */
struct schema_inline {
    const struct schema_inline *up;
    const struct json_object *schema;
};

/* What keywords there are: those that are followed, those that say nothing about values, and those
 * that would, but cannot be followed. Others are refused as unknown. */
#define KEYWORDS(X) \
    X("type", KEY_FOLLOWED) \
    X("enum", KEY_FOLLOWED) \
    X("const", KEY_FOLLOWED) \
    X("properties", KEY_FOLLOWED) \
    X("required", KEY_FOLLOWED) \
    X("additionalProperties", KEY_FOLLOWED) \
    X("items", KEY_FOLLOWED) \
    X("prefixItems", KEY_FOLLOWED) \
    X("additionalItems", KEY_FOLLOWED) \
    X("minItems", KEY_FOLLOWED) \
    X("maxItems", KEY_FOLLOWED) \
    X("minLength", KEY_FOLLOWED) \
    X("maxLength", KEY_FOLLOWED) \
    X("pattern", KEY_FOLLOWED) \
    X("format", KEY_FOLLOWED) \
    X("minimum", KEY_FOLLOWED) \
    X("maximum", KEY_FOLLOWED) \
    X("exclusiveMinimum", KEY_FOLLOWED) \
    X("exclusiveMaximum", KEY_FOLLOWED) \
    X("anyOf", KEY_FOLLOWED) \
    X("oneOf", KEY_FOLLOWED) \
    X("allOf", KEY_FOLLOWED) \
    X("$ref", KEY_FOLLOWED) \
    X("$defs", KEY_SILENT) \
    X("definitions", KEY_SILENT) \
    X("title", KEY_SILENT) \
    X("description", KEY_SILENT) \
    X("default", KEY_SILENT) \
    X("examples", KEY_SILENT) \
    X("example", KEY_SILENT) \
    X("deprecated", KEY_SILENT) \
    X("readOnly", KEY_SILENT) \
    X("writeOnly", KEY_SILENT) \
    X("$schema", KEY_SILENT) \
    X("$id", KEY_SILENT) \
    X("id", KEY_SILENT) \
    X("$comment", KEY_SILENT) \
    X("$anchor", KEY_SILENT) \
    X("$vocabulary", KEY_SILENT) \
    X("contentEncoding", KEY_SILENT) \
    X("contentMediaType", KEY_SILENT) \
    X("contentSchema", KEY_SILENT) \
    X("discriminator", KEY_SILENT) \
    X("enumDescriptions", KEY_SILENT) \
    X("enumNames", KEY_SILENT) \
    X("markdownDescription", KEY_SILENT) \
    X("strict", KEY_SILENT) \
    X("propertyOrdering", KEY_SILENT) \
    X("uniqueItems", KEY_UNLESS_FALSE) \
    X("nullable", KEY_UNLESS_FALSE) \
    X("unevaluatedProperties", KEY_REFUSED) \
    X("unevaluatedItems", KEY_REFUSED) \
    X("multipleOf", KEY_REFUSED) \
    X("not", KEY_REFUSED) \
    X("if", KEY_REFUSED) \
    X("then", KEY_REFUSED) \
    X("else", KEY_REFUSED) \
    X("contains", KEY_REFUSED) \
    X("minContains", KEY_REFUSED) \
    X("maxContains", KEY_REFUSED) \
    X("patternProperties", KEY_REFUSED) \
    X("propertyNames", KEY_REFUSED) \
    X("minProperties", KEY_REFUSED) \
    X("maxProperties", KEY_REFUSED) \
    X("dependencies", KEY_REFUSED) \
    X("dependentRequired", KEY_REFUSED) \
    X("dependentSchemas", KEY_REFUSED) \
    X("$dynamicRef", KEY_REFUSED) \
    X("$recursiveRef", KEY_REFUSED)

enum keyword_kind { KEY_UNKNOWN, KEY_FOLLOWED, KEY_SILENT, KEY_UNLESS_FALSE, KEY_REFUSED };

static enum keyword_kind find_keyword(const char *key)
{
    static const struct {
        const char *name;
        enum keyword_kind kind;
    } keywords[] = {
#define X(name, kind) {name, kind},
        KEYWORDS(X)
#undef X
    };

    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(keywords[i].name, key) == 0)
            return keywords[i].kind;
    return strncmp(key, "x-", 2) == 0 ? KEY_SILENT : KEY_UNKNOWN;
}

/* --- errors --- */

static void write_place(const struct schema_place *place, struct buf *out)
{
    if (place->up != NULL) {
        write_place(place->up, out);
        buf_add_char(out, '/');
    }
    if (place->name != NULL)
        buf_add_printable(out, place->name, strlen(place->name), "");
    else
        buf_add_u64(out, place->index);
}

int schema_refuse(struct schema_compiler *c, const struct schema_place *place, int code,
                  const char *fmt, ...)
{
    struct buf where = {0};
    char text[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    write_place(place, &where);
    int rc = err_set(c->e, code, "%.150s: %s", buf_text(&where), text);
    buf_free(&where);
    return rc;
}

static int spend(struct schema_compiler *c, const struct schema_place *place, uint64_t steps)
{
    if (c->n->is_full || c->steps < steps)
        return schema_refuse(c, place, E2BIG,
                             "the schema is too large as an automaton; make it "
                             "simpler");
    c->steps -= steps;
    return 0;
}

/* --- parts --- */

int schema_push(struct schema_compiler *c, struct schema_all *all, const struct json_object *o,
                const struct schema_place *place)
{
    if (all->n == SCHEMA_PARTS_MAX)
        return schema_refuse(c, place, E2BIG, "more than %d schemas for one value",
                             SCHEMA_PARTS_MAX);
    all->part[all->n++] = (struct schema_part){.o = o, .place = place};
    return 0;
}

/* Also when it is there and null. */
static bool find_member(const struct json_object *o, const char *keyword,
                        struct json_object **value)
{
    if (json_type_of(o) != JSON_OBJECT)
        return false;
    *value = json_get(o, keyword);
    if (*value != NULL)
        return true;
    for (struct json_iterator it = json_members(o); json_next(&it);)
        if (strcmp(it.key, keyword) == 0)
            return true;
    return false;
}

const struct schema_part *schema_next(const struct schema_all *all, size_t *i, const char *keyword,
                                      struct json_object **value)
{
    while (*i < all->n) {
        const struct schema_part *part = &all->part[(*i)++];
        if (find_member(part->o, keyword, value))
            return part;
    }
    return NULL;
}

int schema_count(struct schema_compiler *c, const struct schema_all *all, const char *keyword,
                 bool want_max, uint32_t *value)
{
    struct json_object *o;
    const struct schema_part *part;

    for (size_t i = 0; (part = schema_next(all, &i, keyword, &o)) != NULL;) {
        const struct schema_place at = {.up = part->place, .name = keyword};
        bool is_number = json_type_of(o) == JSON_NUMBER;
        double count = is_number ? json_number(o) : -1;
        if (count < 0 || count != (double)(uint64_t)(count < 1e18 ? count : 1e18))
            return schema_refuse(c, &at, EINVAL, "found %s, expected a count",
                                 is_number ? "another number" : json_type_name(json_type_of(o)));
        uint32_t n = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX - 1;
        if (want_max ? n > *value : n < *value)
            *value = n;
    }
    return 0;
}

static int check_keywords(struct schema_compiler *c, const struct schema_part *part)
{
    enum json_type type = json_type_of(part->o);

    if (type == JSON_BOOL)
        return 0;
    if (type != JSON_OBJECT)
        return schema_refuse(c, part->place, EINVAL,
                             "found %s, expected a schema: an object, true "
                             "or false",
                             json_type_name(type));
    for (struct json_iterator it = json_members(part->o); json_next(&it);) {
        enum keyword_kind kind = find_keyword(it.key);
        if (kind == KEY_UNLESS_FALSE)
            kind = json_type_of(it.value) == JSON_BOOL && !json_bool(it.value) ? KEY_SILENT
                                                                               : KEY_REFUSED;
        if (kind == KEY_REFUSED)
            return schema_refuse(c, part->place, EINVAL, "'%s' is not supported", it.key);
        if (kind == KEY_UNKNOWN)
            return schema_refuse(c, part->place, EINVAL, "'%.100s' is not a keyword that is known",
                                 it.key);
    }
    return 0;
}

/* --- references --- */

static size_t unescape_step(const char *text, size_t len, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        if (text[i] == '~' && i + 1 < len) {
            out[n++] = text[++i] == '1' ? '/' : '~';
        } else if (text[i] == '%' && i + 2 < len && sscanf(text + i + 1, "%2x", &byte) == 1) {
            out[n++] = (char)byte;
            i += 2;
        } else {
            out[n++] = text[i];
        }
    }
    out[n] = '\0';
    return n;
}

static const struct json_object *follow_step(const struct json_object *o, const char *step)
{
    if (json_type_of(o) == JSON_OBJECT)
        return json_get(o, step);
    if (json_type_of(o) != JSON_ARRAY || *step < '0' || *step > '9')
        return NULL;
    return json_at(o, strtoul(step, NULL, 10));
}

const struct json_object *schema_resolve(struct schema_compiler *c, const struct schema_part *part,
                                         int *rc)
{
    const struct schema_place at = {.up = part->place, .name = "$ref"};
    struct json_object *ref = json_get(part->o, "$ref");
    const struct json_object *o = c->root;
    size_t len = 0;

    *rc = -EINVAL;
    const char *text = json_type_of(ref) == JSON_STRING ? json_string(ref, &len) : "";
    if (len == 0 || text[0] != '#' || (len > 1 && text[1] != '/')) {
        schema_refuse(c, &at, EINVAL,
                      "found '%.100s', expected a pointer into this schema, like "
                      "#/$defs/name",
                      text);
        return NULL;
    }
    char *step = malloc(len + 1);
    CHECK(step != NULL);
    for (const char *p = text + 1; p < text + len && o != NULL;) {
        const char *end = memchr(p + 1, '/', (size_t)(text + len - p - 1));
        end = end == NULL ? text + len : end;
        unescape_step(p + 1, (size_t)(end - p - 1), step);
        o = follow_step(o, step);
        p = end;
    }
    free(step);
    if (o == NULL) {
        schema_refuse(c, &at, EINVAL, "'%.100s' is not in the schema", text);
        return NULL;
    }
    *rc = 0;
    return o;
}

static int find_rule(struct schema_compiler *c, const struct schema_part *part,
                     const struct json_object *schema, uint32_t *rule)
{
    int rc = spend(c, part->place, c->n_rules);

    for (uint32_t i = 0; i < c->n_rules; i++)
        if (c->rules[i].schema == schema) {
            *rule = c->rules[i].rule;
            return 0;
        }
    if (rc == 0 && c->n_rules == RULES_MAX)
        rc = schema_refuse(c, part->place, E2BIG, "more than %d references", RULES_MAX);
    if (rc != 0)
        return rc;
    size_t len;
    c->rules = grammar_grow(c->rules, c->n_rules, &c->cap_rules, sizeof *c->rules);
    *rule = nfa_rule(c->n);
    c->rules[c->n_rules++] = (struct schema_rule){
        .schema = schema, .name = json_string(json_get(part->o, "$ref"), &len), .rule = *rule};
    return 0;
}

static bool is_inlined(const struct schema_compiler *c, const struct json_object *schema)
{
    for (const struct schema_inline *i = c->inlined; i != NULL; i = i->up)
        if (i->schema == schema)
            return true;
    return false;
}

/* A reference with nothing beside it. */
static int add_reference(struct schema_compiler *c, const struct schema_all *all, uint32_t from,
                         uint32_t to)
{
    const struct schema_part *part = &all->part[0];
    uint32_t rule;
    int rc;
    const struct json_object *schema = schema_resolve(c, part, &rc);

    if (schema == NULL)
        return rc;
    if (!all->is_branch || is_inlined(c, schema) || c->n->n_states > INLINE_STATES_MAX ||
        c->depth > c->limits.depth_max / 2) {
        rc = find_rule(c, part, schema, &rule);
        if (rc == 0)
            nfa_call(c->n, from, to, rule);
        return rc;
    }
    const struct schema_inline here = {.up = c->inlined, .schema = schema};
    struct schema_all inside = {.is_branch = true};
    c->inlined = &here;
    schema_push(c, &inside, schema, part->place);
    rc = schema_add(c, &inside, from, to);
    c->inlined = here.up;
    return rc;
}

static bool is_silent_beside(const struct json_object *o, const char *keyword)
{
    for (struct json_iterator it = json_members(o); json_next(&it);)
        if (strcmp(it.key, keyword) != 0 && find_keyword(it.key) != KEY_SILENT)
            return false;
    return true;
}

/* --- putting schemas together --- */

/* Places of parts that lists of allOf have brought, and of those lists. */
struct more_places {
    struct schema_place list[SCHEMA_PARTS_MAX], element[SCHEMA_PARTS_MAX + 1];
};

static int push_elements(struct schema_compiler *c, struct schema_all *all, size_t i,
                         struct more_places *places)
{
    struct schema_place *place = &places->list[i];
    struct json_object *list = json_get(all->part[i].o, "allOf");

    *place = (struct schema_place){.up = all->part[i].place, .name = "allOf"};

    if (json_type_of(list) != JSON_ARRAY)
        return schema_refuse(c, place, EINVAL, "found %s, expected an array of schemas",
                             json_type_name(json_type_of(list)));
    for (size_t k = 0; k < json_length(list); k++) {
        struct schema_place *element = &places->element[all->n];
        *element = (struct schema_place){.up = place, .index = k};
        int rc = schema_push(c, all, json_at(list, k), element);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Put what allOf and $ref stand for beside the parts. Parts that come with it are looked at in the
 * same loop. */
static int expand(struct schema_compiler *c, struct schema_all *all, struct more_places *places)
{
    int rc = 0;

    for (size_t i = 0; i < all->n && rc == 0; i++) {
        struct schema_part *part = &all->part[i];
        struct json_object *value;
        if ((part->done & DONE_CHECK) == 0)
            rc = check_keywords(c, part);
        part->done |= DONE_CHECK;
        if (rc == 0 && (part->done & DONE_ALL_OF) == 0 && find_member(part->o, "allOf", &value)) {
            part->done |= DONE_ALL_OF;
            rc = push_elements(c, all, i, places);
        }
        bool is_alone = all->n == 1 && is_silent_beside(part->o, "$ref");
        if (rc == 0 && (part->done & DONE_REF) == 0 && json_type_of(part->o) == JSON_OBJECT &&
            find_member(part->o, "$ref", &value) && !is_alone) {
            part->done |= DONE_REF;
            const struct json_object *schema = schema_resolve(c, part, &rc);
            if (rc == 0)
                rc = schema_push(c, all, schema, part->place);
        }
    }
    return rc;
}

/* Leave out those that are true. false: one of them is false. */
static bool drop_booleans(struct schema_all *all)
{
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++) {
        if (json_type_of(all->part[i].o) != JSON_BOOL)
            all->part[n++] = all->part[i];
        else if (!json_bool(all->part[i].o))
            return false;
    }
    all->n = n;
    return true;
}

static int check_apart(struct schema_compiler *c, const struct schema_place *at,
                       const struct json_object *list)
{
    size_t n = json_length(list);
    int rc = spend(c, at, n * n);

    for (size_t i = 0; i < n && rc == 0; i++)
        for (size_t k = 0; k < i && rc == 0; k++)
            if (!schema_are_apart(c, json_at(list, i), json_at(list, k)))
                rc = schema_refuse(c, at, EINVAL,
                                   "alternatives %zu and %zu may both be satisfied, as far as "
                                   "their types, constants and required members show; use anyOf",
                                   k, i);
    return rc;
}

/* Each alternative together with everything else. */
static int add_branches(struct schema_compiler *c, const struct schema_all *all, size_t i,
                        const char *keyword, unsigned done, uint32_t from, uint32_t to)
{
    const struct schema_place at = {.up = all->part[i].place, .name = keyword};
    struct json_object *list = json_get(all->part[i].o, keyword);
    size_t n = json_length(list);
    int rc = 0;

    if (json_type_of(list) != JSON_ARRAY || n == 0)
        return schema_refuse(c, &at, EINVAL, "expected an array of schemas, at least one");
    if (done == DONE_ONE_OF)
        rc = check_apart(c, &at, list);
    for (size_t k = 0; k < n && rc == 0; k++) {
        const struct schema_place place = {.up = &at, .index = k};
        struct schema_all branch = *all;
        branch.is_branch = true;
        branch.part[i].done |= done;
        if (is_silent_beside(all->part[i].o, keyword))
            branch.part[i] = branch.part[--branch.n];
        rc = schema_push(c, &branch, json_at(list, k), &place);
        if (rc == 0)
            rc = schema_add(c, &branch, from, to);
    }
    return rc;
}

/* --- values --- */

unsigned schema_type_of_value(const struct json_object *value)
{
    switch (json_type_of(value)) {
    case JSON_NULL:
        return TYPE_NULL;
    case JSON_BOOL:
        return TYPE_BOOLEAN;
    case JSON_NUMBER: {
        double x = json_number(value);
        return !json_is_double(value) || (x > -1e15 && x < 1e15 && x == (double)(int64_t)x)
                   ? TYPE_INTEGER
                   : TYPE_FRACTION;
    }
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_OBJECT:
        return TYPE_OBJECT;
    }
    CHECK_UNREACHABLE("a type of JSON that is not listed");
}

static unsigned type_by_name(const struct json_object *o)
{
    static const struct {
        const char *name;
        unsigned types;
    } names[] = {{"null", TYPE_NULL},     {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER},
                 {"number", TYPE_NUMBER}, {"string", TYPE_STRING},   {"array", TYPE_ARRAY},
                 {"object", TYPE_OBJECT}};
    size_t len;

    for (size_t i = 0; json_type_of(o) == JSON_STRING && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, json_string(o, &len)) == 0)
            return names[i].types;
    return 0;
}

unsigned schema_types_of(const struct json_object *o)
{
    struct json_object *type;
    unsigned types = 0;

    if (!find_member(o, "type", &type))
        return TYPE_ANY;
    if (json_type_of(type) != JSON_ARRAY)
        return type_by_name(type);
    for (size_t i = 0; i < json_length(type); i++) {
        unsigned one = type_by_name(json_at(type, i));
        if (one == 0)
            return 0;
        types |= one;
    }
    return types;
}

/* Without `type` the other keywords say which one is meant. */
static unsigned guess_types(const struct schema_all *all)
{
    static const struct {
        const char *keyword;
        unsigned types;
    } hints[] = {
        {"properties", TYPE_OBJECT},
        {"required", TYPE_OBJECT},
        {"additionalProperties", TYPE_OBJECT},
        {"items", TYPE_ARRAY},
        {"prefixItems", TYPE_ARRAY},
        {"minItems", TYPE_ARRAY},
        {"maxItems", TYPE_ARRAY},
        {"minLength", TYPE_STRING},
        {"maxLength", TYPE_STRING},
        {"pattern", TYPE_STRING},
        {"format", TYPE_STRING},
        {"minimum", TYPE_NUMBER},
        {"maximum", TYPE_NUMBER},
        {"exclusiveMinimum", TYPE_NUMBER},
        {"exclusiveMaximum", TYPE_NUMBER},
    };
    unsigned types = 0;

    for (size_t k = 0; k < sizeof hints / sizeof *hints; k++) {
        struct json_object *value;
        size_t i = 0;
        if (schema_next(all, &i, hints[k].keyword, &value) != NULL)
            types |= hints[k].types;
    }
    return types == 0 ? TYPE_ANY : types;
}

static int find_types(struct schema_compiler *c, const struct schema_all *all, unsigned *types)
{
    struct json_object *value;
    bool has_type = false;

    *types = TYPE_ANY;
    for (size_t i = 0; i < all->n; i++) {
        unsigned own = schema_types_of(all->part[i].o);
        if (own == 0)
            return schema_refuse(c, all->part[i].place, EINVAL,
                                 "'type' is not one of null, boolean, integer, number, string, "
                                 "array, object, or an array of them");
        has_type |= find_member(all->part[i].o, "type", &value);
        *types &= own;
    }
    size_t i = 0, k = 0;
    bool has_values = schema_next(all, &i, "enum", &value) || schema_next(all, &k, "const", &value);
    if (!has_type && !has_values)
        *types = guess_types(all);
    return 0;
}

static bool says_nothing(const struct schema_all *all)
{
    for (size_t i = 0; i < all->n; i++)
        for (struct json_iterator it = json_members(all->part[i].o); json_next(&it);)
            if (find_keyword(it.key) != KEY_SILENT && strcmp(it.key, "type") != 0)
                return false;
    return true;
}

static int add_types(struct schema_compiler *c, const struct schema_all *all, unsigned types,
                     uint32_t from, uint32_t to)
{
    int rc = 0;

    if ((types & TYPE_NULL) != 0)
        nfa_literal(c->n, from, to, "null", 4);
    if ((types & TYPE_BOOLEAN) != 0) {
        nfa_literal(c->n, from, to, "true", 4);
        nfa_literal(c->n, from, to, "false", 5);
    }
    if ((types & TYPE_NUMBER) != 0)
        rc = schema_add_number(c, all, (types & TYPE_FRACTION) == 0, from, to);
    if (rc == 0 && (types & TYPE_STRING) != 0)
        rc = schema_add_string(c, all, from, to);
    if (rc == 0 && (types & TYPE_ARRAY) != 0)
        rc = schema_add_array(c, all, from, to);
    if (rc == 0 && (types & TYPE_OBJECT) != 0)
        rc = schema_add_object(c, all, from, to);
    return rc;
}

static int add_leaf(struct schema_compiler *c, const struct schema_all *all, uint32_t from,
                    uint32_t to)
{
    unsigned types;
    bool has_values;
    int rc = find_types(c, all, &types);

    if (rc != 0)
        return rc;
    if (types == TYPE_ANY && says_nothing(all)) {
        nfa_call(c->n, from, to, RULE_VALUE);
        return 0;
    }
    rc = schema_add_values(c, all, types, from, to, &has_values);
    return rc != 0 || has_values ? rc : add_types(c, all, types, from, to);
}

static int add_all(struct schema_compiler *c, struct schema_all *all, uint32_t from, uint32_t to)
{
    struct more_places places;
    struct json_object *value;
    int rc = expand(c, all, &places);

    if (rc != 0 || !drop_booleans(all))
        return rc;
    if (all->n == 1 && (all->part[0].done & DONE_REF) == 0 &&
        find_member(all->part[0].o, "$ref", &value))
        return add_reference(c, all, from, to);
    for (size_t i = 0; i < all->n; i++) {
        const struct schema_part *part = &all->part[i];
        if ((part->done & DONE_ANY_OF) == 0 && find_member(part->o, "anyOf", &value))
            return add_branches(c, all, i, "anyOf", DONE_ANY_OF, from, to);
        if ((part->done & DONE_ONE_OF) == 0 && find_member(part->o, "oneOf", &value))
            return add_branches(c, all, i, "oneOf", DONE_ONE_OF, from, to);
    }
    return add_leaf(c, all, from, to);
}

static uint64_t count_steps(const struct schema_all *all)
{
    uint64_t steps = STEPS_EACH;

    for (size_t i = 0; i < all->n; i++)
        steps += STEPS_MEMBER * json_length(all->part[i].o);
    return steps;
}

int schema_add(struct schema_compiler *c, const struct schema_all *all, uint32_t from, uint32_t to)
{
    const struct schema_place *place = all->n > 0 ? all->part[0].place : c->root_place;
    struct schema_all own = *all;
    int rc = spend(c, place, count_steps(all));

    if (rc != 0)
        return rc;
    if (c->depth >= c->limits.depth_max)
        return schema_refuse(c, place, E2BIG, "schemas are nested more than %u deep",
                             c->limits.depth_max);
    c->depth++;
    rc = add_all(c, &own, from, to);
    c->depth--;
    return rc;
}

/* --- the whole --- */

static int add_rules(struct schema_compiler *c)
{
    int rc = 0;

    for (; c->n_done < c->n_rules && rc == 0; c->n_done++) {
        const struct schema_rule r = c->rules[c->n_done];
        const struct schema_place place = {.name = r.name};
        struct schema_all all = {0};
        schema_push(c, &all, r.schema, &place);
        rc = schema_add(c, &all, c->n->rules[r.rule].from, c->n->rules[r.rule].to);
    }
    return rc;
}

static struct schema_compiler begin(struct nfa *n, const struct schema_source *source,
                                    const struct schema_place *place, struct err *e)
{
    return (struct schema_compiler){.n = n,
                                    .root = source->root,
                                    .root_place = place,
                                    .limits = *source->limits,
                                    .steps = source->limits->steps_max,
                                    .e = e};
}

int schema_compile(struct nfa *n, uint32_t from, uint32_t to, const struct schema_source *source,
                   struct err *e)
{
    const struct schema_place root = {.name = source->place};
    struct schema_compiler c = begin(n, source, &root, e);
    struct schema_all all = {0};

    schema_push(&c, &all, source->schema, &root);
    int rc = schema_add(&c, &all, from, to);
    if (rc == 0)
        rc = add_rules(&c);
    if (rc == 0)
        rc = spend(&c, &root, 0);
    free(c.rules);
    return rc;
}

/* --- bare texts --- */

static int add_bare(struct schema_compiler *c, struct schema_all *all, uint32_t from, uint32_t to)
{
    struct more_places places;
    struct json_object *value;
    struct chars text;
    unsigned types;
    bool has_values, is_free;
    int rc = expand(c, all, &places);

    if (rc != 0 || !drop_booleans(all))
        return rc;
    for (size_t i = 0; i < all->n; i++)
        if (find_member(all->part[i].o, "anyOf", &value) ||
            find_member(all->part[i].o, "oneOf", &value))
            return 1;
    rc = find_types(c, all, &types);
    if (rc != 0)
        return rc;
    c->is_bare = true;
    rc = schema_add_values(c, all, types, from, to, &has_values);
    c->is_bare = false;
    if (rc != 0 || has_values)
        return rc;
    if ((types & TYPE_STRING) == 0)
        return schema_add(c, all, from, to);
    if (types != TYPE_STRING)
        return 1;
    rc = schema_read_string(c, all, &text, &is_free);
    if (rc != 0 || is_free)
        return rc != 0 ? rc : 1;
    chars_emit(&text, c->n, from, to, CHARS_RAW);
    chars_free(&text);
    return 0;
}

int schema_compile_bare(struct nfa *n, uint32_t from, uint32_t to,
                        const struct schema_source *source, struct err *e)
{
    const struct schema_place root = {.name = source->place};
    struct schema_compiler c = begin(n, source, &root, e);
    struct schema_all all = {.is_branch = true};
    struct json_object *value;
    int rc = 0;

    schema_push(&c, &all, source->schema, &root);
    for (int i = 0;
         i < SCHEMA_PARTS_MAX && rc == 0 && all.n == 1 &&
         json_type_of(all.part[0].o) == JSON_OBJECT && find_member(all.part[0].o, "$ref", &value) &&
         is_silent_beside(all.part[0].o, "$ref");
         i++)
        all.part[0].o = schema_resolve(&c, &all.part[0], &rc);
    if (rc == 0)
        rc = add_bare(&c, &all, from, to);
    int rules_rc = rc >= 0 ? add_rules(&c) : 0;
    free(c.rules);
    return rules_rc != 0 ? rules_rc : rc;
}

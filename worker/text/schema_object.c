/* Objects: the members that are named, in the order of the schema, then those that are not. */
#include "worker/text/schema.h"

#include "base/check.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct member {
    const char *key; /* borrowed */
    bool is_required;
};

struct members {
    struct member *all; /* owned */
    uint32_t n, cap;
    bool is_named; /* any schema has properties */
};

static uint32_t find_member(struct members *m, const char *key)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (strcmp(m->all[i].key, key) == 0)
            return i;
    m->all = grammar_grow(m->all, m->n, &m->cap, sizeof *m->all);
    m->all[m->n] = (struct member){.key = key};
    return m->n++;
}

/* Linear search: what it costs is counted. */
static int count_step(struct schema_compiler *c, const struct schema_part *part,
                      const struct members *m)
{
    if (c->steps < m->n)
        return schema_refuse(c, part->place, E2BIG, "too many members");
    c->steps -= m->n;
    return 0;
}

static int collect_properties(struct schema_compiler *c, const struct schema_all *all,
                              struct members *m)
{
    const struct schema_part *part;
    struct json_object *o;

    for (size_t i = 0; (part = schema_next(all, &i, "properties", &o)) != NULL;) {
        if (json_type_of(o) != JSON_OBJECT)
            return schema_refuse(c, part->place, EINVAL, "'properties' is %s, expected an object",
                                 json_type_name(json_type_of(o)));
        m->is_named = true;
        for (struct json_iterator it = json_members(o); json_next(&it);) {
            int rc = count_step(c, part, m);
            if (rc != 0)
                return rc;
            find_member(m, it.key);
        }
    }
    return 0;
}

static int collect_required(struct schema_compiler *c, const struct schema_all *all,
                            struct members *m)
{
    const struct schema_part *part;
    struct json_object *o;
    size_t len;

    for (size_t i = 0; (part = schema_next(all, &i, "required", &o)) != NULL;) {
        bool is_array = json_type_of(o) == JSON_ARRAY;
        for (size_t k = 0; is_array && k < json_length(o); k++) {
            struct json_object *name = json_at(o, k);
            is_array = json_type_of(name) == JSON_STRING;
            int rc = count_step(c, part, m);
            if (rc != 0)
                return rc;
            if (!is_array)
                break;
            uint32_t i_member = find_member(m, json_string(name, &len));
            m->all[i_member].is_required = true;
        }
        if (!is_array)
            return schema_refuse(c, part->place, EINVAL, "'required' is not an array of strings");
    }
    return 0;
}

/* All that a member must satisfy: what each schema says of its name, or else of additional ones. */
static int add_member_value(struct schema_compiler *c, const struct schema_all *all,
                            const char *key, uint32_t from, uint32_t to)
{
    struct schema_place lists[SCHEMA_PARTS_MAX], places[SCHEMA_PARTS_MAX];
    struct schema_all value = {0};
    int rc = 0;

    for (size_t i = 0; i < all->n && rc == 0; i++) {
        const struct schema_part *part = &all->part[i];
        struct json_object *named = json_get(part->o, "properties");
        struct json_object *o = named != NULL && key != NULL ? json_get(named, key) : NULL;
        places[i] = (struct schema_place){.up = &lists[i], .name = key};
        lists[i] = (struct schema_place){.up = part->place, .name = "properties"};
        if (o == NULL) {
            o = json_get(part->o, "additionalProperties");
            places[i] = (struct schema_place){.up = part->place, .name = "additionalProperties"};
        }
        if (o != NULL)
            rc = schema_push(c, &value, o, &places[i]);
    }
    return rc != 0 ? rc : schema_add(c, &value, from, to);
}

static void add_key(struct schema_compiler *c, const char *key, uint32_t from, uint32_t to)
{
    struct buf text = {0};
    uint32_t colon = nfa_state(c->n);

    buf_add_json_string(&text, key, strlen(key));
    nfa_literal(c->n, from, colon, text.data, text.len);
    nfa_colon(c->n, colon, to);
    buf_free(&text);
}

/* --- names of additional members: any but those that are taken --- */

struct name_tree {
    struct name_node {
        uint32_t c, first, next; /* the character that leads here; child and sibling, 0: none */
        bool is_taken;
    } * nodes; /* owned; 0 is the root */
    uint32_t n, cap;
};

static uint32_t find_child(struct name_tree *t, uint32_t parent, uint32_t c)
{
    uint32_t *link = &t->nodes[parent].first;

    while (*link != 0 && t->nodes[*link].c < c)
        link = &t->nodes[*link].next;
    if (*link != 0 && t->nodes[*link].c == c)
        return *link;
    uint32_t next = *link, node = t->n;
    *link = node;
    t->nodes = grammar_grow(t->nodes, t->n, &t->cap, sizeof *t->nodes);
    t->nodes[t->n++] = (struct name_node){.c = c, .next = next};
    return node;
}

static void add_name(struct name_tree *t, const char *key)
{
    size_t len = strlen(key), n;
    uint32_t at = 0;

    for (size_t i = 0; i < len; i += n)
        at = find_child(t, at, utf8_decode(key + i, &n));
    t->nodes[at].is_taken = true;
}

/* One state for each node, and one for all names that have left the tree. */
static void make_other_names(const struct name_tree *t, struct chars *out)
{
    const uint32_t other = t->n;

    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t next = 0;
        chars_add_state(out, !t->nodes[i].is_taken);
        for (uint32_t k = t->nodes[i].first; k != 0; k = t->nodes[k].next) {
            if (t->nodes[k].c > next)
                chars_add_range(out, next, t->nodes[k].c - 1, other);
            chars_add_range(out, t->nodes[k].c, t->nodes[k].c, k);
            next = t->nodes[k].c + 1;
        }
        chars_add_range(out, next, CHAR_MAX_CODE, other);
    }
    chars_add_state(out, true);
    chars_add_range(out, 0, CHAR_MAX_CODE, other);
}

static void add_other_key(struct schema_compiler *c, const struct members *m, uint32_t from,
                          uint32_t to)
{
    struct name_tree t = {.n = 1};
    struct chars names = {0};
    uint32_t colon = nfa_state(c->n), inside = nfa_state(c->n), end = nfa_state(c->n);

    nfa_colon(c->n, colon, to);
    if (m->n == 0) {
        nfa_call(c->n, from, colon, RULE_STRING);
        return;
    }
    t.nodes = grammar_grow(NULL, 0, &t.cap, sizeof *t.nodes);
    t.nodes[0] = (struct name_node){.c = 0};
    for (uint32_t i = 0; i < m->n; i++)
        add_name(&t, m->all[i].key);
    make_other_names(&t, &names);
    nfa_byte(c->n, from, inside, '"');
    chars_emit(&names, c->n, inside, end, CHARS_JSON);
    nfa_byte(c->n, end, colon, '"');
    chars_free(&names);
    free(t.nodes);
}

/* --- the object --- */

/* additionalProperties that nobody speaks of may come only where no members are named: a schema
 * that names some means those. */
static bool has_others(const struct schema_all *all, const struct members *m)
{
    struct json_object *o;
    size_t i = 0;

    return !m->is_named || schema_next(all, &i, "additionalProperties", &o) != NULL;
}

/* Between members: candidate[i] is where the i-th or a later one begins, behind[i] where a value
 * has ended and those from i on may follow. */
static int add_members(struct schema_compiler *c, const struct schema_all *all,
                       const struct members *m, const uint32_t *candidate, const uint32_t *behind)
{
    int rc = 0;

    for (uint32_t i = 0; i < m->n && rc == 0; i++) {
        uint32_t value = nfa_state(c->n);
        add_key(c, m->all[i].key, candidate[i], value);
        rc = add_member_value(c, all, m->all[i].key, value, behind[i + 1]);
    }
    if (rc == 0 && has_others(all, m)) {
        uint32_t value = nfa_state(c->n);
        add_other_key(c, m, candidate[m->n], value);
        rc = add_member_value(c, all, NULL, value, behind[m->n]);
    }
    return rc;
}

static void join_members(struct schema_compiler *c, const struct members *m, uint32_t open,
                         uint32_t close, const uint32_t *candidate, const uint32_t *behind)
{
    bool may_close = true;

    for (uint32_t i = m->n + 1; i-- > 0;) {
        uint32_t comma = nfa_state(c->n);
        bool is_optional = i < m->n && !m->all[i].is_required;
        if (is_optional)
            nfa_empty(c->n, candidate[i], candidate[i + 1]);
        may_close = may_close && (i == m->n || is_optional);
        if (may_close)
            nfa_space(c->n, behind[i], close);
        nfa_byte(c->n, behind[i], comma, ',');
        nfa_space(c->n, comma, candidate[i]);
    }
    nfa_space(c->n, open, candidate[0]);
    if (may_close)
        nfa_space(c->n, open, close);
}

int schema_add_object(struct schema_compiler *c, const struct schema_all *all, uint32_t from,
                      uint32_t to)
{
    struct members m = {0};
    int rc = collect_properties(c, all, &m);

    if (rc == 0)
        rc = collect_required(c, all, &m);
    if (rc == 0 && m.n == 0 && all->n == 0) {
        nfa_call(c->n, from, to, RULE_OBJECT);
        return 0;
    }
    uint32_t *candidate = calloc((size_t)m.n + 1, sizeof *candidate);
    uint32_t *behind = calloc((size_t)m.n + 1, sizeof *behind);
    uint32_t open = nfa_state(c->n), close = nfa_state(c->n);
    CHECK(candidate != NULL);
    CHECK(behind != NULL);
    for (uint32_t i = 0; i <= m.n; i++) {
        candidate[i] = nfa_state(c->n);
        behind[i] = nfa_state(c->n);
    }
    if (rc == 0)
        rc = add_members(c, all, &m, candidate, behind);
    if (rc == 0) {
        nfa_byte(c->n, from, open, '{');
        nfa_byte(c->n, close, to, '}');
        join_members(c, &m, open, close, candidate, behind);
    }
    free(candidate);
    free(behind);
    free(m.all);
    return rc;
}

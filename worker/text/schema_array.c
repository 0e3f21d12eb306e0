/* Arrays: elements with a schema each, then others of the same one. */
#include "worker/text/schema.h"

#include <errno.h>

/* Elements at the beginning that have schemas of their own: the older form is an array in items. */
static struct json_object *find_prefix(const struct json_object *o)
{
    struct json_object *prefix = json_get(o, "prefixItems");

    if (prefix == NULL)
        prefix = json_get(o, "items");
    return json_type_of(prefix) == JSON_ARRAY ? prefix : NULL;
}

static struct json_object *find_rest(const struct json_object *o)
{
    struct json_object *items = json_get(o, "items");

    return json_type_of(items) == JSON_ARRAY ? json_get(o, "additionalItems") : items;
}

/* All that the element with this index must satisfy. */
static int add_element(struct schema_compiler *c, const struct schema_all *all, size_t index,
                       uint32_t from, uint32_t to)
{
    struct schema_place lists[SCHEMA_PARTS_MAX], places[SCHEMA_PARTS_MAX];
    struct schema_all value = {0};
    int rc = 0;

    for (size_t i = 0; i < all->n && rc == 0; i++) {
        const struct schema_part *part = &all->part[i];
        struct json_object *prefix = find_prefix(part->o), *o;
        if (prefix != NULL && index < json_length(prefix)) {
            o = json_at(prefix, index);
            lists[i] = (struct schema_place){.up = part->place, .name = "prefixItems"};
            places[i] = (struct schema_place){.up = &lists[i], .index = index};
            rc = schema_push(c, &value, o, &places[i]);
        } else if ((o = find_rest(part->o)) != NULL) {
            places[i] = (struct schema_place){.up = part->place, .name = "items"};
            rc = schema_push(c, &value, o, &places[i]);
        }
    }
    return rc != 0 ? rc : schema_add(c, &value, from, to);
}

static size_t count_prefix(const struct schema_all *all)
{
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++) {
        struct json_object *prefix = find_prefix(all->part[i].o);
        if (prefix != NULL && json_length(prefix) > n)
            n = json_length(prefix);
    }
    return n;
}

struct array {
    uint32_t n_prefix, min, max; /* max UINT32_MAX: no end */
    uint32_t rule;               /* of the elements behind the prefix, when there are several */
};

static int add_nth(struct schema_compiler *c, const struct schema_all *all, const struct array *a,
                   uint32_t i, uint32_t from, uint32_t to)
{
    if (i < a->n_prefix || a->rule == GRAMMAR_NONE)
        return add_element(c, all, i, from, to);
    nfa_call(c->n, from, to, a->rule);
    return 0;
}

/* In the schema, elements with a schema each; then as many others as are counted; then a loop. */
static int add_elements(struct schema_compiler *c, const struct schema_all *all,
                        const struct array *a, uint32_t open, uint32_t close)
{
    uint32_t counted = a->min > a->n_prefix ? a->min : a->n_prefix;
    uint32_t last = a->max == UINT32_MAX ? counted + 1 : a->max;
    uint32_t element = nfa_state(c->n);
    int rc = 0;

    nfa_space(c->n, open, element);
    if (a->min == 0)
        nfa_space(c->n, open, close);
    for (uint32_t i = 0; i < last && rc == 0 && !c->n->is_full; i++) {
        uint32_t behind = nfa_state(c->n), comma = nfa_state(c->n);
        bool loops = a->max == UINT32_MAX && i + 1 == last;
        rc = add_nth(c, all, a, i, element, behind);
        if (i + 1 >= a->min)
            nfa_space(c->n, behind, close);
        if (!loops)
            element = nfa_state(c->n);
        nfa_byte(c->n, behind, comma, ',');
        nfa_space(c->n, comma, element);
    }
    return rc;
}

int schema_add_array(struct schema_compiler *c, const struct schema_all *all, uint32_t from,
                     uint32_t to)
{
    struct array a = {.max = UINT32_MAX, .rule = GRAMMAR_NONE};
    uint32_t open = nfa_state(c->n), close = nfa_state(c->n);
    size_t n_prefix = count_prefix(all);
    int rc = schema_count(c, all, "minItems", true, &a.min);

    if (rc == 0)
        rc = schema_count(c, all, "maxItems", false, &a.max);
    if (rc != 0)
        return rc;
    a.n_prefix = n_prefix < a.max ? (uint32_t)n_prefix : a.max;
    if (a.min > a.max)
        return 0; /* nothing is such an array */
    if (a.min > a.n_prefix || (a.max != UINT32_MAX && a.max > a.n_prefix + 1)) {
        a.rule = nfa_rule(c->n);
        rc = add_element(c, all, n_prefix, c->n->rules[a.rule].from, c->n->rules[a.rule].to);
    }
    nfa_byte(c->n, from, open, '[');
    nfa_byte(c->n, close, to, ']');
    return rc != 0 ? rc : add_elements(c, all, &a, open, close);
}

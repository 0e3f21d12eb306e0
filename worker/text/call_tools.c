#include "worker/text/call_tools.h"

#include "base/check.h"
#include "base/json.h"
#include "shm/protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 100000 /* subschemas looked at for one request; the rest may be anything */
#define DEPTH_MAX 16
#define REF_MAX   512

/* --- what a schema says about the type --- */

struct typer {
    const struct json_object *root; /* where "#/..." begins */
    uint32_t steps;
};

static unsigned find_types(struct typer *t, const struct json_object *schema, int depth);

static unsigned type_of_name(const struct json_object *name)
{
    if (json_type_of(name) != JSON_STRING)
        return CALL_ANY;
#define X(constant, text) \
    if (strcmp(json_string(name, NULL), text) == 0) \
        return constant;
    CALL_TYPES(X)
#undef X
    return CALL_ANY;
}

static unsigned type_of_value(const struct json_object *value)
{
    switch (json_type_of(value)) {
    case JSON_NULL:
        return CALL_NULL;
    case JSON_BOOL:
        return CALL_BOOLEAN;
    case JSON_NUMBER:
        return json_is_integer(value) ? CALL_INTEGER : CALL_NUMBER;
    case JSON_STRING:
        return CALL_STRING;
    case JSON_ARRAY:
        return CALL_ARRAY;
    case JSON_OBJECT:
        return CALL_OBJECT;
    }
    return CALL_ANY;
}

/* "#/$defs/Color": names that need no unescaping, as generators of schemas write them. */
static const struct json_object *follow(const struct typer *t, const char *ref)
{
    const struct json_object *o = t->root;
    char name[128];

    if (strncmp(ref, "#/", 2) != 0 || strnlen(ref, REF_MAX + 1) > REF_MAX)
        return NULL;
    for (const char *at = ref + 1; o != NULL && *at == '/';) {
        size_t len = strcspn(++at, "/");
        if (len >= sizeof name || json_type_of(o) != JSON_OBJECT)
            return NULL;
        memcpy(name, at, len);
        name[len] = '\0';
        o = json_get(o, name);
        at += len;
    }
    return o;
}

/* Any of these; one that says nothing makes all of them say nothing. */
static unsigned find_any(struct typer *t, const struct json_object *list, int depth)
{
    unsigned types = 0;

    for (size_t i = 0; i < json_length(list); i++) {
        unsigned some = find_types(t, json_at(list, i), depth);
        if (some == CALL_ANY)
            return CALL_ANY;
        types |= some;
    }
    return types;
}

static unsigned find_all(struct typer *t, const struct json_object *list, int depth)
{
    unsigned types = CALL_ANY;

    for (size_t i = 0; i < json_length(list) && types == CALL_ANY; i++)
        types = find_types(t, json_at(list, i), depth);
    return types;
}

static unsigned find_enum(struct typer *t, const struct json_object *list)
{
    unsigned types = 0;

    if (json_length(list) > t->steps)
        return CALL_ANY;
    t->steps -= (uint32_t)json_length(list);
    for (size_t i = 0; i < json_length(list); i++)
        types |= type_of_value(json_at(list, i));
    return types;
}

static const struct json_object *get_array(const struct json_object *o, const char *key)
{
    const struct json_object *v = json_get(o, key);

    return json_type_of(v) == JSON_ARRAY ? v : NULL;
}

static unsigned find_types(struct typer *t, const struct json_object *schema, int depth)
{
    const struct json_object *v;
    unsigned types = 0;

    if (depth == DEPTH_MAX || t->steps == 0 || json_type_of(schema) != JSON_OBJECT)
        return CALL_ANY;
    t->steps--;
    if ((v = json_get(schema, "$ref")) != NULL && json_type_of(v) == JSON_STRING)
        return find_types(t, follow(t, json_string(v, NULL)), depth + 1);
    if ((v = get_array(schema, "type")) != NULL) {
        for (size_t i = 0; i < json_length(v) && i < 2 * CALL_TYPES_N; i++)
            types |= type_of_name(json_at(v, i));
        return types;
    }
    if ((v = json_get(schema, "type")) != NULL)
        return type_of_name(v);
    if ((v = json_get(schema, "const")) != NULL)
        return type_of_value(v);
    if ((v = get_array(schema, "enum")) != NULL)
        return find_enum(t, v);
    if ((v = get_array(schema, "anyOf")) != NULL || (v = get_array(schema, "oneOf")) != NULL)
        return find_any(t, v, depth + 1);
    if ((v = get_array(schema, "allOf")) != NULL)
        return find_all(t, v, depth + 1);
    if (json_get(schema, "properties") != NULL)
        return CALL_OBJECT;
    return json_get(schema, "items") != NULL ? CALL_ARRAY : CALL_ANY;
}

/* --- the tools --- */

static struct call_name add_name(struct call_tools *t, const char *name, size_t len)
{
    struct call_name n = {(uint32_t)t->text.len, (uint32_t)len};

    buf_add(&t->text, name, len);
    return n;
}

static void add_parameters(struct call_tools *t, struct typer *typer,
                           const struct json_object *function)
{
    const struct json_object *schema = json_get(function, "parameters");
    const struct json_object *properties = NULL;

    if (json_type_of(schema) == JSON_OBJECT)
        properties = json_get(schema, "properties");
    if (json_type_of(properties) != JSON_OBJECT)
        return;
    typer->root = schema;
    size_t n = t->n_parameters + json_length(properties);
    t->parameter = realloc(t->parameter, (n + 1) * sizeof *t->parameter);
    CHECK(t->parameter != NULL);
    for (struct json_iterator it = json_members(properties); json_next(&it);) {
        struct call_parameter *p = &t->parameter[t->n_parameters++];
        p->name = add_name(t, it.key, strlen(it.key));
        p->types = find_types(typer, it.value, 0);
    }
}

static int add_tool(struct call_tools *t, struct typer *typer, const struct json_object *tool,
                    struct err *e)
{
    const struct json_object *function =
        json_type_of(tool) == JSON_OBJECT ? json_get(tool, "function") : NULL;
    const struct json_object *name =
        json_type_of(function) == JSON_OBJECT ? json_get(function, "name") : NULL;
    size_t len;

    if (json_type_of(name) != JSON_STRING)
        return err_set(e, EINVAL, "tools[%u]: expected a function with a name", t->n);
    const char *text = json_string(name, &len);
    if (len == 0 || len > CALL_NAME_MAX)
        return err_set(e, EINVAL, "tools[%u]: a name of %zu bytes, expected 1 to %d", t->n, len,
                       CALL_NAME_MAX);
    struct call_tool *to = &t->tool[t->n++];
    *to = (struct call_tool){.name = add_name(t, text, len), .first = t->n_parameters};
    add_parameters(t, typer, function);
    to->n = t->n_parameters - to->first;
    return 0;
}

int call_tools_read(struct call_tools *t, const struct json_object *tools, struct err *e)
{
    struct typer typer = {.steps = STEPS_MAX};
    size_t n = json_length(tools);

    *t = (struct call_tools){0};
    if (n > CALL_TOOLS_MAX)
        return err_set(e, EINVAL, "tools: found %zu, expected at most %d", n, CALL_TOOLS_MAX);
    t->tool = calloc(n + 1, sizeof *t->tool);
    CHECK(t->tool != NULL);
    for (size_t i = 0; i < n; i++)
        if (add_tool(t, &typer, json_at(tools, i), e) != 0) {
            call_tools_free(t);
            return -e->code;
        }
    return 0;
}

void call_tools_free(struct call_tools *t)
{
    buf_free(&t->text);
    free(t->tool);
    free(t->parameter);
    *t = (struct call_tools){0};
}

static bool begins(const struct call_tools *t, struct call_name name, const char *text, size_t len)
{
    return len == 0 || (len <= name.len && memcmp(t->text.data + name.at, text, len) == 0);
}

const struct call_tool *call_tools_find(const struct call_tools *t, const char *name, size_t len)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->tool[i].name.len == len && begins(t, t->tool[i].name, name, len))
            return &t->tool[i];
    return NULL;
}

bool call_tools_may_be(const struct call_tools *t, const char *beginning, size_t len)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (begins(t, t->tool[i].name, beginning, len))
            return true;
    return false;
}

const char *call_tools_name(const struct call_tools *t, const struct call_tool *tool, size_t *len)
{
    *len = tool->name.len;
    return t->text.data + tool->name.at;
}

unsigned call_tools_types(const struct call_tools *t, const struct call_tool *tool,
                          const char *parameter, size_t len)
{
    for (uint32_t i = tool->first; i < tool->first + tool->n; i++)
        if (t->parameter[i].name.len == len && begins(t, t->parameter[i].name, parameter, len))
            return t->parameter[i].types;
    return CALL_ANY;
}

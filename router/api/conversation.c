#include "router/api/conversation.h"

#include "shm/protocol.h"

#include <errno.h>
#include <string.h>

void conversation_init(struct conversation *v, struct json_object *members)
{
    *v = (struct conversation){.members = members,
                               .messages = json_new_array(),
                               .calls = json_new_object(),
                               .names = json_new_object()};
    json_put(members, "messages", v->messages);
}

void conversation_free(struct conversation *v)
{
    json_free(&v->calls);
    json_free(&v->names);
}

struct json_object *conversation_add(struct conversation *v, const char *role)
{
    struct json_object *message = json_new_object();

    json_put_string(message, "role", role, strlen(role));
    json_append(v->messages, message);
    return message;
}

/* ---- names and ids ---- */

/* Letters, digits and a few more: a name stands in the prompt between marks of the template. */
static int check_name(const struct json_object *name, const char *at, struct param_error *e)
{
    size_t len = 0;

    if (name == NULL || json_type_of(name) != JSON_STRING)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s.name: expected a string", at);
    const char *text = json_string(name, &len);
    for (size_t i = 0; i < len; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:/",
                   text[i]) == NULL ||
            text[i] == '\0')
            return param_refuse(e, ERROR_INVALID_BODY, at,
                                "%s.name: expected letters, digits and _ - . : / only", at);
    if (len == 0 || len > CALL_NAME_MAX)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s.name: %zu characters, expected 1 to %d",
                            at, len, CALL_NAME_MAX);
    return 0;
}

/* As a key; NULL when it is no string that can be one. */
static const char *read_id(const struct json_object *id)
{
    size_t len;

    if (id == NULL || json_type_of(id) != JSON_STRING)
        return NULL;
    const char *text = json_string(id, &len);
    return len > 0 && strlen(text) == len ? text : NULL;
}

/* ---- calls and their results ---- */

/* The array of that name in an object, made when it is not there. */
static struct json_object *find_array(struct json_object *o, const char *name)
{
    struct json_object *array = json_get(o, name);

    if (array == NULL)
        json_put(o, name, array = json_new_array());
    return array;
}

static struct json_object *read_arguments(const struct json_object *arguments)
{
    struct json_object *parsed = NULL;
    size_t len;

    if (arguments == NULL)
        return json_new_object();
    if (json_type_of(arguments) == JSON_OBJECT)
        return json_share(arguments);
    const char *text = json_string(arguments, &len);
    if (strspn(text, " \t\r\n") == len)
        return json_new_object();
    if (json_parse(text, len, &parsed, NULL) == 0 && json_type_of(parsed) == JSON_OBJECT)
        return parsed;
    json_free(&parsed);
    parsed = json_new_object();
    json_put_string(parsed, "arguments", text, len);
    return parsed;
}

int conversation_call(struct conversation *v, struct json_object *message,
                      const struct json_object *id, const struct json_object *name,
                      const struct json_object *arguments, const char *at, struct param_error *e)
{
    const char *key = read_id(id);

    if (check_name(name, at, e) != 0)
        return -EINVAL;
    if (key == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s.id: expected a string that is not empty",
                            at);
    struct json_object *other = json_get(v->calls, key);
    if (other != NULL && json_type_of(other) == JSON_STRING)
        return param_refuse(e, ERROR_INVALID_BODY, at,
                            "%s.id: \"%.64s\" is the id of another call that has no result yet", at,
                            key);
    if (arguments != NULL && json_type_of(arguments) != JSON_OBJECT &&
        json_type_of(arguments) != JSON_STRING)
        return param_refuse(e, ERROR_INVALID_BODY, at,
                            "%s: found %s as arguments, expected an object or its JSON text", at,
                            json_type_name(json_type_of(arguments)));
    struct json_object *function = json_new_object(), *call = json_new_object();
    json_put(function, "name", json_share(name));
    json_put(function, "arguments", read_arguments(arguments));
    json_put(call, "id", json_share(id));
    json_put_string(call, "type", "function", strlen("function"));
    json_put(call, "function", function);
    json_append(find_array(message, "tool_calls"), call);
    json_put(v->calls, key, json_share(name));
    return 0;
}

int conversation_result(struct conversation *v, const struct json_object *id, const char *at,
                        struct json_object **message, struct param_error *e)
{
    const char *key = read_id(id);

    if (key == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s: expected the id of a call", at);
    struct json_object *name = json_get(v->calls, key);
    if (name == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, at,
                            "%s: no call with the id \"%.64s\" comes before it", at, key);
    if (json_type_of(name) != JSON_STRING)
        return param_refuse(e, ERROR_INVALID_BODY, at,
                            "%s: the call with the id \"%.64s\" has its result already", at, key);
    *message = conversation_add(v, "tool");
    json_put(*message, "tool_call_id", json_share(id));
    json_put(*message, "name", json_share(name));
    json_put_bool(v->calls, key, true);
    return 0;
}

/* ---- tools ---- */

static int check_fields(const struct tool_fields *tool, const char *at, struct param_error *e)
{
    if (tool->description != NULL && json_type_of(tool->description) != JSON_STRING)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s.description: expected a string", at);
    if (tool->parameters != NULL && json_type_of(tool->parameters) != JSON_OBJECT)
        return param_refuse(e, ERROR_INVALID_BODY, at,
                            "%s: the schema of the parameters must be an object", at);
    if (tool->strict != NULL && json_type_of(tool->strict) != JSON_BOOL)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s.strict: expected true or false", at);
    return check_name(tool->name, at, e);
}

static void put_shared(struct json_object *o, const char *key, const struct json_object *value)
{
    if (value != NULL)
        json_put(o, key, json_share(value));
}

static struct json_object *make_tool(const struct tool_fields *fields)
{
    struct json_object *function = json_new_object(), *tool = json_new_object();

    put_shared(function, "name", fields->name);
    put_shared(function, "description", fields->description);
    put_shared(function, "parameters", fields->parameters);
    put_shared(function, "strict", fields->strict);
    json_put_string(tool, "type", "function", strlen("function"));
    json_put(tool, "function", function);
    return tool;
}

int conversation_tool(struct conversation *v, const struct tool_fields *fields, const char *at,
                      struct param_error *e)
{
    if (check_fields(fields, at, e) != 0)
        return -EINVAL;
    const char *name = json_string(fields->name, NULL);
    if (json_get(v->names, name) != NULL)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s.name: \"%s\" is another tool's, too", at,
                            name);
    struct json_object *tool =
        fields->whole != NULL ? json_share(fields->whole) : make_tool(fields);
    json_append(find_array(v->members, "tools"), tool);
    json_put_bool(v->names, name, true);
    return 0;
}

void conversation_choose(struct conversation *v, const char *choice)
{
    if (strcmp(choice, "auto") != 0)
        json_put_string(v->members, "tool_choice", choice, strlen(choice));
}

int conversation_choose_tool(struct conversation *v, const struct json_object *name, const char *at,
                             struct param_error *e)
{
    if (check_name(name, at, e) != 0)
        return -EINVAL;
    if (json_get(v->names, json_string(name, NULL)) == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s: there is no tool \"%s\" in tools", at,
                            json_string(name, NULL));
    struct json_object *choice = json_new_object();
    put_shared(choice, "name", name);
    json_put(v->members, "tool_choice", choice);
    return 0;
}

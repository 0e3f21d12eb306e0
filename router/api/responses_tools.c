/* The tools of a Responses request and the choice among them. */
#include "router/api/responses.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int responses_check_word(const struct json_object *v, const char *at, const char *const *words,
                         struct param_error *e)
{
    char expected[128] = "";

    if (v == NULL)
        return 0;
    for (size_t i = 0; words[i] != NULL; i++) {
        size_t n = strlen(expected);
        if (json_is_string(v, words[i]))
            return 0;
        snprintf(expected + n, sizeof expected - n, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return param_refuse(e, ERROR_INVALID_BODY, at, "%s: expected one of %s", at, expected);
}

/* The schema of the function that stands for a custom tool. A grammar is what the model reads about
 * the string. */
static struct json_object *make_parameters(const struct json_object *format)
{
    const struct json_object *definition = json_get(format, "definition");
    struct json_object *input = json_new_object(), *properties = json_new_object();
    struct json_object *required = json_new_array(), *schema = json_new_object();

    json_put_string(input, "type", "string", strlen("string"));
    if (json_is_string(json_get(format, "type"), "grammar") && definition != NULL)
        json_put(input, "description", json_share(definition));
    json_put(properties, "input", input);
    json_append(required, json_new_string("input", strlen("input")));
    json_put_string(schema, "type", "object", strlen("object"));
    json_put(schema, "properties", properties);
    json_put(schema, "required", required);
    json_put_bool(schema, "additionalProperties", false);
    return schema;
}

static int take_custom_tool(struct responses_call *r, const struct json_object *tool,
                            const char *at, struct param_error *e)
{
    const struct json_object *format = json_get(tool, "format");
    struct json_object *parameters;

    if (format != NULL && json_type_of(format) != JSON_OBJECT)
        return responses_refuse(e, at, format, "an object as format");
    parameters = make_parameters(format);
    struct tool_fields fields = {.name = json_get(tool, "name"),
                                 .description = json_get(tool, "description"),
                                 .parameters = parameters};
    int rc = conversation_tool(&r->conversation, &fields, at, e);
    json_free(&parameters);
    if (rc == 0)
        json_put_bool(r->customs, json_string(fields.name, NULL), true);
    return rc;
}

/* Is the tool among those that tool_choice allows? NULL allows all. */
static bool is_allowed(const struct json_object *allowed, const struct json_object *tool)
{
    const struct json_object *name = json_get(tool, "name");

    if (allowed == NULL || name == NULL || json_type_of(name) != JSON_STRING)
        return true;
    for (size_t i = 0; i < json_length(allowed); i++)
        if (json_is_string(json_get(json_at(allowed, i), "name"), json_string(name, NULL)))
            return true;
    return false;
}

/* What runs on OpenAI's own machines is skipped. */
static int take_tools(struct responses_call *r, const struct json_object *tools,
                      const struct json_object *allowed, struct param_error *e)
{
    for (size_t i = 0; i < json_length(tools); i++) {
        const struct json_object *tool = json_at(tools, i), *type = json_get(tool, "type");
        char at[RESPONSES_AT_SIZE];
        int rc = 0;
        snprintf(at, sizeof at, "tools[%zu]", i);
        if (type == NULL || json_type_of(type) != JSON_STRING)
            return responses_refuse(e, at, type, "a string as type");
        struct tool_fields fields = {.name = json_get(tool, "name"),
                                     .description = json_get(tool, "description"),
                                     .parameters = json_get(tool, "parameters"),
                                     .strict = json_get(tool, "strict")};
        if (!is_allowed(allowed, tool))
            continue;
        if (json_is_string(type, "function"))
            rc = conversation_tool(&r->conversation, &fields, at, e);
        else if (json_is_string(type, "custom"))
            rc = take_custom_tool(r, tool, at, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* {"type":"allowed_tools","mode":…,"tools":[…]}: the others are not shown to the model. */
static int choose_allowed(struct responses_call *r, const struct json_object *choice,
                          struct param_error *e)
{
    static const char *const modes[] = {"auto", "required", NULL};
    const struct json_object *mode = json_get(choice, "mode"), *allowed = json_get(choice, "tools");

    if (responses_check_word(mode, "tool_choice.mode", modes, e) != 0)
        return -EINVAL;
    for (size_t i = 0; i < json_length(allowed); i++) {
        const struct json_object *name = json_get(json_at(allowed, i), "name");
        char at[RESPONSES_AT_SIZE];
        snprintf(at, sizeof at, "tool_choice.tools[%zu]", i);
        if (name == NULL || json_type_of(name) != JSON_STRING)
            return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, at,
                                "%s: only function and custom tools are supported", at);
        if (json_get(r->conversation.names, json_string(name, NULL)) == NULL)
            return param_refuse(e, ERROR_INVALID_BODY, at,
                                "%s: there is no tool \"%.128s\" in "
                                "tools",
                                at, json_string(name, NULL));
    }
    if (json_is_string(mode, "required"))
        conversation_choose(&r->conversation, "required");
    return 0;
}

/* A word, or an object that names a tool or several. */
static int take_choice(struct responses_call *r, const struct json_object *choice,
                       struct param_error *e)
{
    struct conversation *v = &r->conversation;
    const struct json_object *type =
        json_type_of(choice) == JSON_OBJECT ? json_get(choice, "type") : NULL;

    if (json_is_string(choice, "auto"))
        return 0;
    if (json_is_string(choice, "none") || json_is_string(choice, "required")) {
        if (json_is_string(choice, "required") && json_length(v->names) == 0)
            return param_refuse(e, ERROR_INVALID_BODY, "tool_choice",
                                "tool_choice: required, without a function or custom tool");
        conversation_choose(v, json_string(choice, NULL));
        return 0;
    }
    if (json_is_string(type, "function") || json_is_string(type, "custom"))
        return conversation_choose_tool(v, json_get(choice, "name"), "tool_choice", e);
    if (json_is_string(type, "allowed_tools"))
        return choose_allowed(r, choice, e);
    if (type != NULL)
        return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, "tool_choice",
                            "tool_choice.type: only function, custom and allowed_tools are "
                            "supported");
    return responses_refuse(e, "tool_choice", choice,
                            "none, auto, required, or an object with a type");
}

int responses_take_tools(struct responses_call *r, struct param_error *e)
{
    const struct json_object *body = r->generation->body;
    const struct json_object *choice = json_get(body, "tool_choice"), *allowed = NULL;

    if (choice != NULL && json_type_of(choice) == JSON_OBJECT &&
        json_is_string(json_get(choice, "type"), "allowed_tools")) {
        allowed = json_get(choice, "tools");
        if (allowed == NULL || json_type_of(allowed) != JSON_ARRAY)
            return responses_refuse(e, "tool_choice.tools", allowed, "an array");
    }
    if (take_tools(r, json_get(body, "tools"), allowed, e) != 0)
        return -EINVAL;
    return choice != NULL ? take_choice(r, choice, e) : 0;
}

#include "router/api/messages_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AT_SIZE 32

int messages_refuse(struct param_error *e, const char *at, const char *name,
                    const struct json_object *found, const char *expected)
{
    const char *dot = *at != '\0' && *name != '\0' ? "." : "";

    if (found == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s%s%s: Field required", at, dot, name);
    if (json_is(found, JSON_STRING))
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s%s%s: found \"%.40s\", expected %s", at,
                            dot, name, json_string(found, NULL), expected);
    return param_refuse(e, ERROR_INVALID_BODY, at, "%s%s%s: found %s, expected %s", at, dot, name,
                        json_type_name(json_type_of(found)), expected);
}

/* ---- tools ---- */

static int take_tool(struct messages_request *r, size_t i, struct param_error *e)
{
    const struct json_object *tool = json_at(json_get(r->body, "tools"), i);
    const struct json_object *type = json_get(tool, "type");
    char at[AT_SIZE];

    snprintf(at, sizeof at, "tools.%zu", i);
    if (type != NULL && !json_is(type, JSON_STRING))
        return messages_refuse(e, at, "type", type, "a string");
    if (type != NULL && !json_is_string(type, "custom"))
        return 0; /* Anthropic's own: it brings no schema, and its words are not this model's */
    struct tool_fields fields = {.name = json_get(tool, "name"),
                                 .description = json_get(tool, "description"),
                                 .parameters = json_get(tool, "input_schema"),
                                 .strict = json_get(tool, "strict")};
    if (!json_is(fields.parameters, JSON_OBJECT))
        return messages_refuse(e, at, "input_schema", fields.parameters, "an object");
    return conversation_tool(&r->v, &fields, at, e);
}

static int take_choice(struct messages_request *r, const struct json_object *choice,
                       struct param_error *e)
{
    const struct json_object *type = json_get(choice, "type");
    const struct json_object *serial = json_get(choice, "disable_parallel_tool_use");
    bool has_tools = json_length(r->v.names) > 0;

    if (serial != NULL && !json_is(serial, JSON_BOOL))
        return messages_refuse(e, "tool_choice", "disable_parallel_tool_use", serial,
                               "true or false");
    if (has_tools && serial != NULL && json_bool(serial))
        json_put_bool(r->v.members, "parallel_tool_calls", false);
    if (json_is_string(type, "tool"))
        return conversation_choose_tool(&r->v, json_get(choice, "name"), "tool_choice", e);
    if (!has_tools && json_is_string(type, "any"))
        return param_refuse(e, ERROR_INVALID_BODY, "tool_choice",
                            "tool_choice: there is no tool to choose among");
    if (json_is_string(type, "any"))
        conversation_choose(&r->v, "required");
    else if (has_tools && json_is_string(type, "none"))
        conversation_choose(&r->v, "none");
    else if (!json_is_string(type, "auto") && !json_is_string(type, "none"))
        return messages_refuse(e, "tool_choice", "type", type, "auto, any, tool or none");
    return 0;
}

/* ---- thinking, and the form of the answer ---- */

static int take_budget(struct messages_request *r, const struct json_object *budget,
                       struct param_error *e)
{
    if (budget == NULL || json_type_of(budget) != JSON_NUMBER || !json_is_integer(budget))
        return messages_refuse(e, "thinking", "budget_tokens", budget, "an integer");
    if (json_integer(budget) < 1)
        return param_refuse(e, ERROR_INVALID_BODY, "thinking",
                            "thinking.budget_tokens: expected 1 or more");
    if (r->dialect == DIALECT_MESSAGES)
        json_put_integer(r->v.members, "thinking_tokens", json_integer(budget));
    return 0;
}

static int take_thinking_mode(struct messages_request *r, const struct json_object *thinking,
                              struct param_error *e)
{
    const struct json_object *type = json_get(thinking, "type");
    const struct json_object *display = json_get(thinking, "display");
    bool is_enabled = json_is_string(type, "enabled");

    if (!is_enabled && !json_is_string(type, "adaptive") && !json_is_string(type, "disabled"))
        return messages_refuse(e, "thinking", "type", type, "enabled, adaptive or disabled");
    if (display != NULL && !json_is_string(display, "summarized") &&
        !json_is_string(display, "omitted"))
        return messages_refuse(e, "thinking", "display", display, "summarized or omitted");
    r->hides_thinking = json_is_string(display, "omitted");
    json_put_bool(r->v.members, "thinking", !json_is_string(type, "disabled"));
    return is_enabled ? take_budget(r, json_get(thinking, "budget_tokens"), e) : 0;
}

static int take_format(struct messages_request *r, const struct json_object *format, const char *at,
                       struct param_error *e)
{
    const struct json_object *type, *schema;

    if (!json_is(format, JSON_OBJECT))
        return messages_refuse(e, at, "", format, "an object");
    type = json_get(format, "type");
    schema = json_get(format, "schema");
    if (!json_is_string(type, "json_schema"))
        return messages_refuse(e, at, "type", type, "json_schema");
    if (!json_is(schema, JSON_OBJECT))
        return messages_refuse(e, at, "schema", schema, "an object");
    if (r->dialect != DIALECT_MESSAGES)
        return 0;
    struct json_object *made = json_new_object();
    json_put_string(made, "type", "json_schema", strlen("json_schema"));
    json_put(made, "schema", json_share(schema));
    json_put(r->v.members, "format", made);
    return 0;
}

/* ---- the whole ---- */

static int begin(struct messages_request *r, struct param_error *e)
{
    const struct json_object *thinking = json_get(r->body, "thinking");
    const struct json_object *format = json_get(json_get(r->body, "output_config"), "format");
    const struct json_object *older = json_get(r->body, "output_format");
    const struct json_object *system = json_get(r->body, "system");

    r->has_begun = true;
    if (json_get(r->body, "thread") != NULL)
        return param_refuse(e, ERROR_NO_THREADS, "thread",
                            "thread: conversations are not kept here; send all of the messages");
    r->turn = system == NULL || json_is_string(system, "");
    if (json_get(r->body, "messages") == NULL)
        return messages_refuse(e, "messages", "", NULL, "");
    if (thinking != NULL && take_thinking_mode(r, thinking, e) != 0)
        return -EINVAL;
    if (format != NULL)
        return take_format(r, format, "output_config.format", e);
    return older != NULL ? take_format(r, older, "output_format", e) : 0;
}

static int finish(struct messages_request *r, struct param_error *e)
{
    const struct json_object *choice = json_get(r->body, "tool_choice");
    const struct json_object *messages = r->v.messages;
    const struct json_object *last = json_at(messages, json_length(messages) - 1);

    if (choice != NULL && take_choice(r, choice, e) != 0)
        return -EINVAL;
    if (r->dialect == DIALECT_MESSAGES && json_is_string(json_get(last, "role"), "assistant"))
        return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, "messages",
                            "messages: the last one is the assistant's, and this version cannot "
                            "continue it (prefill); the conversation must end with a user message");
    return 1;
}

static int step(struct messages_request *r, struct param_error *e)
{
    if (!r->has_begun)
        return begin(r, e);
    if (r->n_levels > 0)
        return messages_step_in_turn(r, e);
    if (r->tool < json_length(json_get(r->body, "tools")))
        return take_tool(r, r->tool++, e);
    if (r->turn <= json_length(json_get(r->body, "messages")))
        return messages_open_turn(r, e);
    return finish(r, e);
}

void messages_request_init(struct messages_request *r, const struct json_object *body,
                           struct json_object *members, enum dialect dialect)
{
    *r = (struct messages_request){.body = body, .dialect = dialect};
    conversation_init(&r->v, members);
}

int messages_request_step(struct messages_request *r, size_t budget, struct param_error *e)
{
    int rc = 0;

    while (rc == 0 && budget-- > 0)
        rc = step(r, e);
    return rc;
}

void messages_request_free(struct messages_request *r)
{
    json_free(&r->texts);
    json_free(&r->thoughts);
    json_free(&r->result_texts);
    conversation_free(&r->v);
}

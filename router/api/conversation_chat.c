/* OpenAI's chat messages and tools as a conversation. */
#include "router/api/conversation.h"
#include "router/api/generate.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES_AT_ONCE 500
#define AT_SIZE          64

static int refuse(struct param_error *e, const char *at, const struct json_object *found,
                  const char *expected)
{
    return param_refuse(e, ERROR_INVALID_BODY, at, "%s: found %s, expected %s", at,
                        found == NULL ? "nothing" : json_type_name(json_type_of(found)), expected);
}

/* ---- content ---- */

static int add_part(struct json_object *parts, const struct json_object *part, const char *at,
                    struct param_error *e)
{
    const struct json_object *type =
        json_type_of(part) == JSON_OBJECT ? json_get(part, "type") : NULL;
    bool is_refusal = json_is_string(type, "refusal");

    if (type == NULL || json_type_of(type) != JSON_STRING)
        return refuse(e, at, part, "an object with a type");
    if (!json_is_string(type, "text") && !is_refusal)
        return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, at,
                            "%s: only text is supported by this version", at);
    struct json_object *text = json_get(part, is_refusal ? "refusal" : "text");
    if (text == NULL || json_type_of(text) != JSON_STRING)
        return refuse(e, at, text, "a string as its text");
    struct json_object *made = json_new_object();
    json_put_string(made, "type", "text", strlen("text"));
    json_put(made, "text", json_share(text));
    json_append(parts, made);
    return 0;
}

static int take_parts(struct json_object *message, const struct json_object *content,
                      const char *at, struct param_error *e)
{
    struct json_object *parts = json_new_array();

    json_put(message, "content", parts);
    for (size_t i = 0; i < json_length(content); i++) {
        char where[AT_SIZE];
        snprintf(where, sizeof where, "%s.content[%zu]", at, i);
        if (add_part(parts, json_at(content, i), where, e) != 0)
            return -EINVAL;
    }
    return 0;
}

static int take_content(struct json_object *message, const struct json_object *m, bool is_needed,
                        const char *at, struct param_error *e)
{
    struct json_object *content = json_get(m, "content");

    if (content == NULL && !is_needed)
        return 0;
    if (content != NULL && json_type_of(content) == JSON_ARRAY)
        return take_parts(message, content, at, e);
    if (content != NULL && json_type_of(content) == JSON_STRING) {
        json_put(message, "content", json_share(content));
        return 0;
    }
    char where[AT_SIZE];
    snprintf(where, sizeof where, "%s.content", at);
    return refuse(e, where, content, "a string or an array");
}

/* ---- the messages, by role ---- */

static int take_calls(struct conversation *v, struct json_object *message,
                      const struct json_object *calls, const char *at, struct param_error *e)
{
    if (json_type_of(calls) != JSON_ARRAY)
        return refuse(e, at, calls, "an array as tool_calls");
    for (size_t i = 0; i < json_length(calls); i++) {
        const struct json_object *call = json_at(calls, i);
        char where[AT_SIZE];
        snprintf(where, sizeof where, "%s.tool_calls[%zu]", at, i);
        const struct json_object *function =
            json_type_of(call) == JSON_OBJECT ? json_get(call, "function") : NULL;
        if (function == NULL || json_type_of(function) != JSON_OBJECT)
            return refuse(e, where, call, "an object with a function");
        if (conversation_call(v, message, json_get(call, "id"), json_get(function, "name"),
                              json_get(function, "arguments"), where, e) != 0)
            return -EINVAL;
    }
    return 0;
}

static int take_assistant(struct conversation *v, const struct json_object *m, const char *at,
                          struct param_error *e)
{
    struct json_object *message = conversation_add(v, "assistant");
    struct json_object *calls = json_get(m, "tool_calls");
    struct json_object *reasoning = json_get(m, "reasoning_content");
    bool has_calls = calls != NULL && json_length(calls) > 0;

    if (reasoning == NULL)
        reasoning = json_get(m, "reasoning"); /* the other name it goes out by */
    if (reasoning != NULL && json_type_of(reasoning) != JSON_STRING)
        return refuse(e, at, reasoning, "a string as reasoning_content");
    if (take_content(message, m, !has_calls && reasoning == NULL, at, e) != 0)
        return -EINVAL;
    if (reasoning != NULL)
        json_put(message, "reasoning_content", json_share(reasoning));
    return has_calls ? take_calls(v, message, calls, at, e) : 0;
}

static int take_result(struct conversation *v, const struct json_object *m, const char *at,
                       struct param_error *e)
{
    struct json_object *message;
    char where[AT_SIZE];

    snprintf(where, sizeof where, "%s.tool_call_id", at);
    if (conversation_result(v, json_get(m, "tool_call_id"), where, &message, e) != 0)
        return -EINVAL;
    return take_content(message, m, true, at, e);
}

static int take_text(struct conversation *v, const char *role, const struct json_object *m,
                     const char *at, struct param_error *e)
{
    struct json_object *message = conversation_add(v, role);
    struct json_object *name = json_get(m, "name");

    if (name != NULL && json_type_of(name) != JSON_STRING)
        return refuse(e, at, name, "a string as name");
    if (name != NULL)
        json_put(message, "name", json_share(name));
    return take_content(message, m, true, at, e);
}

static int take_message(struct conversation *v, size_t i, const struct json_object *m,
                        struct param_error *e)
{
    char at[AT_SIZE];

    snprintf(at, sizeof at, "messages[%zu]", i);
    if (json_type_of(m) != JSON_OBJECT)
        return refuse(e, at, m, "an object");
    const struct json_object *role = json_get(m, "role");
    if (json_is_string(role, "user"))
        return take_text(v, "user", m, at, e);
    if (json_is_string(role, "system") || json_is_string(role, "developer"))
        return take_text(v, "system", m, at, e);
    if (json_is_string(role, "assistant"))
        return take_assistant(v, m, at, e);
    if (json_is_string(role, "tool"))
        return take_result(v, m, at, e);
    return param_refuse(e, ERROR_INVALID_BODY, at,
                        "%s.role: expected system, developer, user, assistant or tool", at);
}

/* ---- tools ---- */

static int take_tools(struct conversation *v, const struct json_object *tools,
                      struct param_error *e)
{
    for (size_t i = 0; i < json_length(tools); i++) {
        const struct json_object *tool = json_at(tools, i);
        const struct json_object *function = json_get(tool, "function");
        char at[AT_SIZE];
        snprintf(at, sizeof at, "tools[%zu]", i);
        if (!json_is_string(json_get(tool, "type"), "function"))
            return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, at,
                                "%s.type: only \"function\" is supported", at);
        if (function == NULL || json_type_of(function) != JSON_OBJECT)
            return refuse(e, at, function, "an object as function");
        struct tool_fields fields = {.name = json_get(function, "name"),
                                     .description = json_get(function, "description"),
                                     .parameters = json_get(function, "parameters"),
                                     .strict = json_get(function, "strict"),
                                     .whole = tool};
        if (conversation_tool(v, &fields, at, e) != 0)
            return -EINVAL;
    }
    return 0;
}

/* A word, or {"type":"function","function":{"name":…}}. */
static int take_choice(struct conversation *v, const struct json_object *choice,
                       struct param_error *e)
{
    static const char *const words[] = {"none", "auto", "required"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!json_is_string(choice, words[i]))
            continue;
        if (i > 0 && json_length(v->names) == 0)
            return param_refuse(e, ERROR_INVALID_BODY, "tool_choice",
                                "tool_choice: only with tools");
        conversation_choose(v, words[i]);
        return 0;
    }
    if (json_type_of(choice) != JSON_OBJECT || !json_is_string(json_get(choice, "type"), "function"))
        return refuse(e, "tool_choice", choice,
                      "none, auto, required, or an object of type function");
    const struct json_object *function = json_get(choice, "function");
    if (function == NULL || json_type_of(function) != JSON_OBJECT)
        return refuse(e, "tool_choice.function", function, "an object with a name");
    return conversation_choose_tool(v, json_get(function, "name"), "tool_choice.function", e);
}

static int begin(struct generation *g, struct param_error *e)
{
    struct conversation *v = malloc(sizeof *v);
    const struct json_object *tools = json_get(g->body, "tools");
    const struct json_object *choice = json_get(g->body, "tool_choice");

    CHECK(v != NULL);
    conversation_init(v, g->members);
    g->own = v;
    if (json_get(g->body, "messages") == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, "messages", "messages: missing");
    if (tools != NULL && take_tools(v, tools, e) != 0)
        return -EINVAL;
    return choice != NULL ? take_choice(v, choice, e) : 0;
}

int conversation_from_chat(struct generation *g, struct param_error *e)
{
    if (g->own == NULL && begin(g, e) != 0)
        return -EINVAL;
    const struct json_object *messages = json_get(g->body, "messages");
    size_t n = json_length(messages), end = g->cursor + MESSAGES_AT_ONCE;
    for (; g->cursor < n && g->cursor < end; g->cursor++)
        if (take_message(g->own, g->cursor, json_at(messages, g->cursor), e) != 0)
            return -EINVAL;
    return g->cursor == n;
}

void conversation_forget(struct generation *g)
{
    if (g->own != NULL)
        conversation_free(g->own);
    free(g->own);
    g->own = NULL;
}

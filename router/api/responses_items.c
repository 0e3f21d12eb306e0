/* The items of a Responses conversation as the messages of a canonical request.
 *
 * Reasoning, an assistant's message and the calls behind it are one message there: it is open from
 * its first item until one of another kind comes. */
#include "router/api/responses.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int responses_refuse(struct param_error *e, const char *at, const struct json_object *found,
                     const char *expected)
{
    return param_refuse(e, ERROR_INVALID_BODY, at, "%s: found %s, expected %s", at,
                        found == NULL ? "nothing" : json_type_name(json_type_of(found)), expected);
}

/* ---- content ---- */

/* The text of a part; NULL: refused. Borrowed. */
static struct json_object *text_of(const struct json_object *part, const char *at,
                                   struct param_error *e)
{
    static const char *const texts[] = {"input_text", "output_text", "text", "summary_text",
                                        "reasoning_text"};
    const struct json_object *type =
        json_type_of(part) == JSON_OBJECT ? json_get(part, "type") : NULL;
    bool is_refusal = json_is_string(type, "refusal"), is_text = is_refusal;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        is_text = is_text || json_is_string(type, texts[i]);
    if (!json_is(type, JSON_STRING)) {
        responses_refuse(e, at, part, "an object with a type");
        return NULL;
    }
    if (!is_text) {
        param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, at,
                     "%s: found \"%.32s\", only text is supported by this version", at,
                     json_string(type, NULL));
        return NULL;
    }
    struct json_object *text = json_get(part, is_refusal ? "refusal" : "text");
    if (!json_is(text, JSON_STRING)) {
        responses_refuse(e, at, text, "a string as its text");
        return NULL;
    }
    return text;
}

static int put_parts(struct json_object *message, const struct json_object *content, const char *at,
                     struct param_error *e)
{
    struct json_object *parts = json_new_array();
    size_t n = json_length(content);

    json_put(message, "content", parts);
    for (size_t i = 0; i < n; i++) {
        char where[RESPONSES_AT_SIZE];
        snprintf(where, sizeof where, "%s[%zu]", at, i);
        struct json_object *text = text_of(json_at(content, i), where, e);
        if (text == NULL)
            return -EINVAL;
        if (n == 1) { /* which is how most of them say a string */
            json_put(message, "content", json_share(text));
            return 0;
        }
        struct json_object *made = json_new_object();
        json_put_string(made, "type", "text", strlen("text"));
        json_put(made, "text", json_share(text));
        json_append(parts, made);
    }
    return 0;
}

/* A string or an array of parts, of the member of that name. */
static int put_content(struct json_object *message, const struct json_object *item,
                       const char *name, const char *at, struct param_error *e)
{
    struct json_object *content = json_get(item, name);
    char where[RESPONSES_AT_SIZE];

    if (json_is(content, JSON_STRING)) {
        json_put(message, "content", json_share(content));
        return 0;
    }
    snprintf(where, sizeof where, "%s.%s", at, name);
    if (content != NULL && json_type_of(content) == JSON_ARRAY)
        return put_parts(message, content, where, e);
    return responses_refuse(e, where, content, "a string or an array");
}

/* ---- what stands in front ---- */

/* Instructions and the system and developer messages behind them are one message: many templates
 * know a system message at the beginning only. */
void responses_add_lead(struct responses_call *r, const struct json_object *text)
{
    if (r->lead == NULL)
        r->lead = json_new_array();
    json_append(r->lead, json_share(text));
}

static struct json_object *join_lead(const struct responses_call *r)
{
    struct buf joined = {0};
    size_t len;

    if (json_length(r->lead) == 1)
        return json_share(json_at(r->lead, 0));
    for (size_t i = 0; i < json_length(r->lead); i++) {
        const char *s = json_string(json_at(r->lead, i), &len);
        if (i > 0)
            buf_add_str(&joined, "\n\n");
        buf_add(&joined, s, len);
    }
    struct json_object *text = json_new_string(buf_text(&joined), buf_pending(&joined));
    buf_free(&joined);
    return text;
}

static void end_lead(struct responses_call *r)
{
    if (r->lead != NULL)
        json_put(conversation_add(&r->conversation, "system"), "content", join_lead(r));
    json_free(&r->lead);
    r->is_lead_over = true;
}

static int take_lead(struct responses_call *r, const struct json_object *item, const char *at,
                     struct param_error *e)
{
    struct json_object *message = json_new_object();
    int rc = put_content(message, item, "content", at, e);
    const struct json_object *content = json_get(message, "content");

    if (rc == 0 && json_is(content, JSON_STRING))
        responses_add_lead(r, content);
    for (size_t i = 0; rc == 0 && !json_is(content, JSON_STRING) && i < json_length(content); i++)
        responses_add_lead(r, json_get(json_at(content, i), "text"));
    json_free(&message);
    return rc;
}

/* ---- the assistant's message ---- */

static void close_message(struct responses_call *r)
{
    r->assistant = NULL;
    r->has_content = r->has_calls = false;
}

/* A message that still takes content (or calls only), with the reasoning before it. */
static struct json_object *open_message(struct responses_call *r, bool takes_content)
{
    if (r->assistant != NULL && !(takes_content && (r->has_content || r->has_calls)))
        return r->assistant;
    end_lead(r);
    r->assistant = conversation_add(&r->conversation, "assistant");
    r->has_content = r->has_calls = false;
    if (buf_pending(&r->reasoning) > 0)
        json_put_string(r->assistant, "reasoning_content", buf_text(&r->reasoning),
                        buf_pending(&r->reasoning));
    buf_free(&r->reasoning);
    return r->assistant;
}

void responses_end_items(struct responses_call *r)
{
    if (buf_pending(&r->reasoning) > 0)
        json_put_string(open_message(r, true), "content", "", 0);
    end_lead(r);
    close_message(r);
}

static int add_texts(struct responses_call *r, const struct json_object *parts, const char *at,
                     struct param_error *e)
{
    if (parts == NULL)
        return 0;
    if (json_type_of(parts) != JSON_ARRAY)
        return responses_refuse(e, at, parts, "an array");
    for (size_t i = 0; i < json_length(parts); i++) {
        char where[RESPONSES_AT_SIZE];
        size_t len;
        snprintf(where, sizeof where, "%s[%zu]", at, i);
        const struct json_object *text = text_of(json_at(parts, i), where, e);
        if (text == NULL)
            return -EINVAL;
        const char *s = json_string(text, &len);
        if (len > 0 && buf_pending(&r->reasoning) > 0)
            buf_add_char(&r->reasoning, '\n');
        buf_add(&r->reasoning, s, len);
    }
    return 0;
}

/* Its texts, or where there are none the summary's. What is encrypted is for others. */
static int take_reasoning(struct responses_call *r, const struct json_object *item, const char *at,
                          struct param_error *e)
{
    const struct json_object *content = json_get(item, "content");
    bool has_content = content != NULL && json_length(content) > 0;
    char where[RESPONSES_AT_SIZE];

    close_message(r);
    snprintf(where, sizeof where, "%s.%s", at, has_content ? "content" : "summary");
    return add_texts(r, has_content ? content : json_get(item, "summary"), where, e);
}

/* ---- items by type ---- */

static int take_message(struct responses_call *r, const struct json_object *item, const char *at,
                        struct param_error *e)
{
    const struct json_object *role = json_get(item, "role");
    bool is_system = json_is_string(role, "system") || json_is_string(role, "developer");

    if (is_system && !r->is_lead_over && buf_pending(&r->reasoning) == 0)
        return take_lead(r, item, at, e);
    if (json_is_string(role, "assistant")) {
        struct json_object *message = open_message(r, true);
        r->has_content = true;
        return put_content(message, item, "content", at, e);
    }
    responses_end_items(r);
    if (json_is_string(role, "user"))
        return put_content(conversation_add(&r->conversation, "user"), item, "content", at, e);
    if (is_system)
        return put_content(conversation_add(&r->conversation, "system"), item, "content", at, e);
    char where[RESPONSES_AT_SIZE];
    snprintf(where, sizeof where, "%s.role", at);
    return responses_refuse(e, where, role, "user, assistant, system or developer");
}

/* A string; of a call one that no call without its result has. */
static int check_call_id(const struct responses_call *r, const struct json_object *id, bool is_new,
                         const char *at, struct param_error *e)
{
    char where[RESPONSES_AT_SIZE];

    snprintf(where, sizeof where, "%s.call_id", at);
    if (!json_is(id, JSON_STRING))
        return responses_refuse(e, where, id, "a string");
    const struct json_object *other = json_get(r->conversation.calls, json_string(id, NULL));
    if (is_new && json_is(other, JSON_STRING))
        return param_refuse(e, ERROR_INVALID_BODY, where,
                            "%s: \"%.64s\" is that of another call that has no output yet", where,
                            json_string(id, NULL));
    return 0;
}

static int take_call(struct responses_call *r, const struct json_object *item,
                     const struct json_object *arguments, const char *at, struct param_error *e)
{
    const struct json_object *id = json_get(item, "call_id");

    if (check_call_id(r, id, true, at, e) != 0)
        return -EINVAL;
    struct json_object *message = open_message(r, false);
    r->has_calls = true;
    return conversation_call(&r->conversation, message, id, json_get(item, "name"), arguments, at,
                             e);
}

static int take_function_call(struct responses_call *r, const struct json_object *item,
                              const char *at, struct param_error *e)
{
    return take_call(r, item, json_get(item, "arguments"), at, e);
}

static int take_custom_call(struct responses_call *r, const struct json_object *item,
                            const char *at, struct param_error *e)
{
    struct json_object *input = json_get(item, "input"), *arguments;
    char where[RESPONSES_AT_SIZE];

    if (!json_is(input, JSON_STRING)) {
        snprintf(where, sizeof where, "%s.input", at);
        return responses_refuse(e, where, input, "a string");
    }
    arguments = json_new_object();
    json_put(arguments, "input", json_share(input));
    int rc = take_call(r, item, arguments, at, e);
    json_free(&arguments);
    return rc;
}

static int take_output(struct responses_call *r, const struct json_object *item, const char *at,
                       struct param_error *e)
{
    struct json_object *message;
    char where[RESPONSES_AT_SIZE];

    responses_end_items(r);
    snprintf(where, sizeof where, "%s.call_id", at);
    if (check_call_id(r, json_get(item, "call_id"), false, at, e) != 0 ||
        conversation_result(&r->conversation, json_get(item, "call_id"), where, &message, e) != 0)
        return -EINVAL;
    return put_content(message, item, "output", at, e);
}

/* X(type, function): those that say something; the others are skipped. */
#define ITEM_TYPES(X) \
    X(message, take_message) \
    X(reasoning, take_reasoning) \
    X(function_call, take_function_call) \
    X(custom_tool_call, take_custom_call) \
    X(function_call_output, take_output) \
    X(custom_tool_call_output, take_output)

int responses_take_item(struct responses_call *r, const struct json_object *item, const char *at,
                        struct param_error *e)
{
    if (json_type_of(item) != JSON_OBJECT)
        return responses_refuse(e, at, item, "an object");
    const struct json_object *type = json_get(item, "type");
    if (type == NULL && json_get(item, "role") != NULL)
        return take_message(r, item, at, e);
    if (!json_is(type, JSON_STRING)) {
        char where[RESPONSES_AT_SIZE];
        snprintf(where, sizeof where, "%s.type", at);
        return responses_refuse(e, where, type, "a string");
    }
#define X(name, take) \
    if (json_is_string(type, #name)) \
        return take(r, item, at, e);
    ITEM_TYPES(X)
#undef X
    return 0;
}

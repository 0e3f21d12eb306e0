/* POST /v1/chat/completions: OpenAI chat, streamed and not. */
#include "router/api/api.h"
#include "router/api/generate.h"

#include <string.h>

static bool equals(const struct json_object *v, const char *text)
{
    size_t len;

    if (v == NULL || json_type_of(v) != JSON_STRING)
        return false;
    const char *s = json_string(v, &len);
    return len == strlen(text) && memcmp(s, text, len) == 0;
}

static bool is_role(const struct json_object *v)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool",
                                        "function"};

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (equals(v, roles[i]))
            return true;
    return false;
}

static int check_parts(size_t at, const struct json_object *content, struct param_error *e)
{
    for (size_t i = 0; i < json_length(content); i++) {
        const struct json_object *part = json_at(content, i);
        const struct json_object *type =
            json_type_of(part) == JSON_OBJECT ? json_get(part, "type") : NULL;

        if (type == NULL || json_type_of(type) != JSON_STRING)
            return param_refuse(e, ERROR_INVALID_BODY, "messages",
                                "messages[%zu].content[%zu]: expected an object with a type", at,
                                i);
        if (!equals(type, "text"))
            return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, "messages",
                                "messages[%zu].content[%zu]: only text is supported by this "
                                "version", at, i);
        const struct json_object *text = json_get(part, "text");
        if (text == NULL || json_type_of(text) != JSON_STRING)
            return param_refuse(e, ERROR_INVALID_BODY, "messages",
                                "messages[%zu].content[%zu].text: expected a string", at, i);
    }
    return 0;
}

static int check_message(size_t at, const struct json_object *m, struct param_error *e)
{
    if (json_type_of(m) != JSON_OBJECT)
        return param_refuse(e, ERROR_INVALID_BODY, "messages",
                            "messages[%zu]: found %s, expected an object", at,
                            json_type_name(json_type_of(m)));
    if (!is_role(json_get(m, "role")))
        return param_refuse(e, ERROR_INVALID_BODY, "messages",
                            "messages[%zu].role: expected system, developer, user, assistant or "
                            "tool", at);
    const struct json_object *content = json_get(m, "content");
    if (content == NULL) {
        if (equals(json_get(m, "role"), "assistant")) /* only tool calls */
            return 0;
        return param_refuse(e, ERROR_INVALID_BODY, "messages", "messages[%zu].content: missing",
                            at);
    }
    if (json_type_of(content) == JSON_STRING)
        return 0;
    if (json_type_of(content) == JSON_ARRAY)
        return check_parts(at, content, e);
    return param_refuse(e, ERROR_INVALID_BODY, "messages",
                        "messages[%zu].content: found %s, expected a string or an array", at,
                        json_type_name(json_type_of(content)));
}

#define MESSAGES_AT_ONCE 1000

static int check_prompt(const struct json_object *body, size_t *cursor, struct param_error *e)
{
    const struct json_object *messages = json_get(body, "messages");

    if (messages == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, "messages", "messages: missing");
    size_t n = json_length(messages);
    size_t end = *cursor + MESSAGES_AT_ONCE < n ? *cursor + MESSAGES_AT_ONCE : n;
    for (; *cursor < end; ++*cursor) {
        int rc = check_message(*cursor, json_at(messages, *cursor), e);
        if (rc != 0)
            return rc;
    }
    return end == n;
}

static struct json_object *write_prompt(struct generation *g, struct buf *canonical)
{
    buf_add_str(canonical, "{\"kind\":\"chat\",\"messages\":");
    return json_get(g->body, "messages");
}

/* Every event is head + delta + tail. */
static void write_head(struct generation *g)
{
    struct buf *h = &g->head;

    buf_printf(h, "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%llu,"
                  "\"model\":", g->id, (unsigned long long)g->created);
    buf_add_json_string(h, g->params.model, strlen(g->params.model));
    buf_add_str(h, ",\"choices\":[{\"index\":0,\"delta\":");
}

static void end_event(struct generation *g, struct buf *out, const char *reason)
{
    buf_add_str(out, ",\"logprobs\":null,\"finish_reason\":");
    if (reason != NULL)
        buf_printf(out, "\"%s\"", reason);
    else
        buf_add_str(out, "null");
    buf_add_str(out, "}]}");
    generation_event_end(g, out);
}

static void start_stream(struct generation *g)
{
    write_head(g);
    struct buf *out = generation_event(g);
    buf_add_str(out, "{\"role\":\"assistant\",\"content\":\"\"}");
    end_event(g, out, NULL);
}

static void write_part(struct generation *g, const struct part *part)
{
    struct buf *out = generation_event(g);

    if (part->channel == CHANNEL_REASONING) { /* under both names that clients look for */
        buf_add_str(out, "{\"reasoning_content\":");
        buf_add_json_string(out, part->text, part->len);
        buf_add_str(out, ",\"reasoning\":");
    } else {
        buf_add_str(out, "{\"content\":");
    }
    buf_add_json_string(out, part->text, part->len);
    buf_add_char(out, '}');
    end_event(g, out, NULL);
}

static void write_finish(struct generation *g, enum finish_reason reason)
{
    struct buf *out = generation_event(g);

    buf_add_str(out, "{}");
    end_event(g, out, finish_reason_name(reason));
}

static void write_whole(struct generation *g, enum finish_reason reason, struct buf *body)
{
    buf_printf(body, "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%llu,\"model\":",
               g->id, (unsigned long long)g->created);
    buf_add_json_string(body, g->params.model, strlen(g->params.model));
    buf_add_str(body, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    buf_add_json_string(body, buf_text(&g->content), buf_pending(&g->content));
    if (buf_pending(&g->reasoning) > 0) {
        buf_add_str(body, ",\"reasoning_content\":");
        buf_add_json_string(body, g->reasoning.data, g->reasoning.len);
        buf_add_str(body, ",\"reasoning\":");
        buf_add_json_string(body, g->reasoning.data, g->reasoning.len);
    }
    buf_printf(body, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"%s\"}]",
               finish_reason_name(reason));
}

static const struct form chat_form = {
    .dialect = DIALECT_CHAT,
    .id_prefix = "chatcmpl-",
    .check = check_prompt,
    .prompt = write_prompt,
    .start = start_stream,
    .part = write_part,
    .finish = write_finish,
    .whole = write_whole,
};

enum handler_result chat_create(struct exchange *x)
{
    return generate(x, &chat_form);
}

/* POST /v1/chat/completions: OpenAI chat, streamed and not. */
#include "router/api/api.h"
#include "router/api/choices.h"
#include "router/api/conversation.h"

#include <errno.h>
#include <string.h>

/* ---- the request ---- */

/* {"type":"json_schema","json_schema":{"name":…,"schema":…}}: the schema alone goes on. */
static int put_schema(struct generation *g, const struct json_object *format, struct param_error *e)
{
    const struct json_object *outer = json_get(format, "json_schema");
    struct json_object *schema = NULL;

    if (outer != NULL && json_type_of(outer) == JSON_OBJECT)
        schema = json_get(outer, "schema");
    if (schema == NULL || json_type_of(schema) != JSON_OBJECT)
        return param_refuse(e, ERROR_INVALID_BODY, "response_format",
                            "response_format.json_schema.schema: expected an object");
    struct json_object *made = json_new_object();
    json_put_string(made, "type", "json_schema", strlen("json_schema"));
    json_put(made, "schema", json_share(schema));
    json_put(g->members, "format", made);
    return 0;
}

static int put_format(struct generation *g, struct param_error *e)
{
    const struct json_object *format = json_get(g->body, "response_format");
    const struct json_object *type = json_get(format, "type");

    if (format == NULL || json_is_string(type, "text"))
        return 0;
    if (json_is_string(type, "json_schema"))
        return put_schema(g, format, e);
    if (!json_is_string(type, "json_object"))
        return param_refuse(e, ERROR_INVALID_BODY, "response_format",
                            "response_format.type: expected text, json_object or json_schema");
    struct json_object *made = json_new_object();
    json_put_string(made, "type", "json_object", strlen("json_object"));
    json_put(g->members, "format", made);
    return 0;
}

static int prepare(struct generation *g, struct param_error *e)
{
    int rc = conversation_from_chat(g, e);

    if (rc != 1)
        return rc;
    const struct json_object *parallel = json_get(g->body, "parallel_tool_calls");
    if (parallel != NULL && !json_bool(parallel))
        json_put_bool(g->members, "parallel_tool_calls", false);
    return put_format(g, e) == 0 ? 1 : -EINVAL;
}

/* ---- the stream: every event is head + delta + tail ---- */

static void start_choice(struct choice *c)
{
    struct buf *out = choices_event(c);

    buf_add_str(out, "{\"role\":\"assistant\",\"content\":\"\"}");
    choices_event_end(c, out, NULL, logprobs_take_chat);
}

static void add_tops(struct choice *c, const struct top *tops, size_t n_tops)
{
    logprobs_add_chat(c->logprobs, tops, n_tops);
}

/* {"tool_calls":[{"index":…: the first of a call has its id and name, the others arguments. */
static void write_call(struct choice *c, const struct part *part, struct buf *out)
{
    char id[CALL_ID_SIZE];

    buf_printf(out, "{\"tool_calls\":[{\"index\":%u,", c->n_calls - 1);
    if (part->channel == CHANNEL_CALL) {
        generation_call_id(c, c->n_calls - 1, id);
        buf_printf(out, "\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":", id);
        buf_add_json_string(out, part->text, part->len);
        buf_add_str(out, ",\"arguments\":\"\"}}]}");
    } else {
        buf_add_str(out, "\"function\":{\"arguments\":");
        buf_add_json_string(out, part->text, part->len);
        buf_add_str(out, "}}]}");
    }
}

static void write_part(struct choice *c, const struct part *part)
{
    struct buf *out = choices_event(c);

    switch (part->channel) {
    case CHANNEL_CALL:
    case CHANNEL_ARGUMENTS:
        write_call(c, part, out);
        break;
    case CHANNEL_REASONING: /* under both names that clients look for */
        buf_add_str(out, "{\"reasoning_content\":");
        buf_add_json_string(out, part->text, part->len);
        buf_add_str(out, ",\"reasoning\":");
        buf_add_json_string(out, part->text, part->len);
        buf_add_char(out, '}');
        break;
    case CHANNEL_CONTENT:
    case channel_count:
        buf_add_str(out, "{\"content\":");
        buf_add_json_string(out, part->text, part->len);
        buf_add_char(out, '}');
        break;
    }
    choices_event_end(c, out, NULL, logprobs_take_chat);
}

static void write_finish(struct choice *c)
{
    struct buf *out = choices_event(c);

    buf_add_str(out, "{}");
    choices_event_end(c, out, finish_reason_name(c->reason), logprobs_take_chat);
}

/* ---- the whole ---- */

static void write_calls(struct choice *c, struct buf *body)
{
    uint32_t n = 0;

    buf_add_str(body, ",\"tool_calls\":[");
    for (uint32_t i = 0; i < c->blocks.n; i++) {
        struct block *b = &c->blocks.at[i];
        char id[CALL_ID_SIZE];
        if (b->channel != CHANNEL_CALL)
            continue;
        generation_call_id(c, n, id);
        buf_printf(body, "%s{\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":",
                   n++ > 0 ? "," : "", id);
        buf_add_json_string(body, b->name, strlen(b->name));
        buf_add_str(body, ",\"arguments\":");
        buf_add_json_string(body, buf_text(&b->text), buf_pending(&b->text));
        buf_add_str(body, "}}");
    }
    buf_add_char(body, ']');
}

/* "name":text, or nothing when there is none. */
static void write_text(const char *name, struct buf *text, struct buf *body)
{
    if (buf_pending(text) == 0)
        return;
    buf_printf(body, ",\"%s\":", name);
    buf_add_json_string(body, buf_text(text), buf_pending(text));
}

static void write_choice(struct choice *c, struct buf *body)
{
    struct buf content = {0}, reasoning = {0};

    blocks_join(&c->blocks, CHANNEL_CONTENT, &content);
    blocks_join(&c->blocks, CHANNEL_REASONING, &reasoning);
    buf_add_str(body, "\"message\":{\"role\":\"assistant\",\"content\":");
    if (buf_pending(&content) == 0 && c->n_calls > 0)
        buf_add_str(body, "null");
    else
        buf_add_json_string(body, buf_text(&content), buf_pending(&content));
    write_text("reasoning_content", &reasoning, body);
    write_text("reasoning", &reasoning, body);
    if (c->n_calls > 0)
        write_calls(c, body);
    buf_add_str(body, ",\"refusal\":null},\"logprobs\":");
    logprobs_take_chat(c->logprobs, body);
    buf_free(&content);
    buf_free(&reasoning);
}

static const struct choices_form chat_form = {
    .form = {.dialect = DIALECT_CHAT,
             .kind = PROMPT_CHAT,
             .id_prefix = "chatcmpl-",
             .call_prefix = "call_",
             .prepare = prepare,
             .open = choices_open,
             .part = write_part,
             .finish = write_finish,
             .close = choices_close,
             .fail = choices_fail,
             .silent = generation_comment,
             .tops = add_tops,
             .whole = choices_whole,
             .forget = conversation_forget},
    .object = "chat.completion",
    .chunk = "chat.completion.chunk",
    .delta = "\"delta\":",
    .start = start_choice,
    .choice = write_choice,
};

enum handler_result chat_create(struct exchange *x)
{
    return generate(x, &chat_form.form);
}

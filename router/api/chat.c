/* POST /v1/chat/completions: OpenAI chat, streamed and not. */
#include "router/api/api.h"
#include "router/api/generate.h"
#include "router/api/messages.h"

static struct json_object *find_value(const struct json_object *body, uint32_t prompt, uint32_t i,
                                      const char **name)
{
    (void)prompt;
    *name = "messages";
    return i == 0 ? json_get(body, "messages") : NULL;
}

/* ---- the stream: every event is head + delta + tail ---- */

static void start_stream(struct choice *c)
{
    struct buf *out = generation_event(c);

    buf_add_str(out, "{\"role\":\"assistant\",\"content\":\"\"}");
    generation_event_end(c, out, NULL, logprobs_take_chat);
}

static void add_tops(struct choice *c, const struct top *tops, size_t n_tops)
{
    logprobs_add_chat(c->logprobs, tops, n_tops);
}

static void write_part(struct choice *c, const struct part *part)
{
    struct buf *out = generation_event(c);

    if (part->channel == CHANNEL_REASONING) { /* under both names that clients look for */
        buf_add_str(out, "{\"reasoning_content\":");
        buf_add_json_string(out, part->text, part->len);
        buf_add_str(out, ",\"reasoning\":");
    } else {
        buf_add_str(out, "{\"content\":");
    }
    buf_add_json_string(out, part->text, part->len);
    buf_add_char(out, '}');
    generation_event_end(c, out, NULL, logprobs_take_chat);
}

static void write_finish(struct choice *c)
{
    struct buf *out = generation_event(c);

    buf_add_str(out, "{}");
    generation_event_end(c, out, finish_reason_name(c->reason), logprobs_take_chat);
}

/* ---- the whole ---- */

static void write_choice(struct choice *c, struct buf *body)
{
    buf_add_str(body, "\"message\":{\"role\":\"assistant\",\"content\":");
    buf_add_json_string(body, buf_text(&c->content), buf_pending(&c->content));
    if (buf_pending(&c->reasoning) > 0) {
        buf_add_str(body, ",\"reasoning_content\":");
        buf_add_json_string(body, c->reasoning.data, c->reasoning.len);
        buf_add_str(body, ",\"reasoning\":");
        buf_add_json_string(body, c->reasoning.data, c->reasoning.len);
    }
    buf_add_str(body, ",\"refusal\":null},\"logprobs\":");
    logprobs_take_chat(c->logprobs, body);
}

static const struct form chat_form = {
    .dialect = DIALECT_CHAT,
    .kind = PROMPT_CHAT,
    .id_prefix = "chatcmpl-",
    .object = "chat.completion",
    .chunk = "chat.completion.chunk",
    .delta = "\"delta\":",
    .check = messages_check,
    .value = find_value,
    .start = start_stream,
    .tops = add_tops,
    .part = write_part,
    .finish = write_finish,
    .choice = write_choice,
};

enum handler_result chat_create(struct exchange *x)
{
    return generate(x, &chat_form);
}

/* The response object, its items and their ids, as text. */
#include "router/api/responses.h"

#include "base/check.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A response repeats what was asked, in three events of a stream: instructions and tools beyond
 * this are left out of it. */
#define ECHO_MAX (1u << 20)

/* ---- ids ---- */

#define RESPONSE_PREFIX "resp_"

void responses_item_id(const struct generation *g, const char *prefix, const char *infix, size_t i,
                       char id[RESPONSES_ITEM_ID_MAX])
{
    snprintf(id, RESPONSES_ITEM_ID_MAX, "%s_%.32s_%s%zu", prefix, g->id + strlen(RESPONSE_PREFIX),
             infix, i);
}

bool responses_split_id(const char *item, char response[RESPONSE_ID_MAX], bool *is_input,
                        size_t *index)
{
    const char *from = strchr(item, '_'), *to = strrchr(item, '_');

    if (from == NULL || from == to || to - from > 32)
        return false;
    snprintf(response, RESPONSE_ID_MAX, RESPONSE_PREFIX "%.*s", (int)(to - from - 1), from + 1);
    *is_input = to[1] == 'i';
    *index = strtoul(to + 1 + *is_input, NULL, 10);
    return true;
}

static struct block *block_at(const struct responses_call *r, uint32_t i)
{
    return &r->generation->choice[0].blocks.at[i];
}

/* ---- items ---- */

const struct item_words item_words[] = {
    [ITEM_MESSAGE] = {"message", "msg", ",\"role\":\"assistant\",\"content\":[",
                      "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":",
                      "response.output_text", "text", "response.content_part",
                      ",\"content_index\":0", ",\"logprobs\":[]"},
    [ITEM_REASONING] = {"reasoning", "rs", ",\"summary\":[],\"content\":[",
                        "{\"type\":\"reasoning_text\",\"text\":", "response.reasoning_text", "text",
                        "response.content_part", ",\"content_index\":0", ""},
    [ITEM_SUMMARY] = {"reasoning", "rs", ",\"summary\":[",
                      "{\"type\":\"summary_text\",\"text\":", "response.reasoning_summary_text",
                      "text", "response.reasoning_summary_part", ",\"summary_index\":0", ""},
    [ITEM_FUNCTION] = {"function_call", "fc", ",\"arguments\":", NULL,
                       "response.function_call_arguments", "arguments", NULL, "", ""},
    [ITEM_CUSTOM] = {"custom_tool_call", "ctc", ",\"input\":", NULL,
                     "response.custom_tool_call_input", "input", NULL, "", ""},
};

enum item_kind responses_kind(const struct responses_call *r, const struct block *b)
{
    if (b->channel == CHANNEL_CALL)
        return json_get(r->customs, b->name) != NULL ? ITEM_CUSTOM : ITEM_FUNCTION;
    if (b->channel == CHANNEL_REASONING)
        return r->has_summary ? ITEM_SUMMARY : ITEM_REASONING;
    return ITEM_MESSAGE;
}

void responses_output_id(const struct responses_call *r, uint32_t i, char id[RESPONSES_ITEM_ID_MAX])
{
    const char *prefix = item_words[responses_kind(r, block_at(r, i))].prefix;

    responses_item_id(r->generation, prefix, "", i, id);
}

static void add_text(struct buf *out, const char *text, size_t len, bool is_full)
{
    buf_add_json_string(out, text, is_full ? len : 0);
}

static uint32_t count_calls(const struct responses_call *r, uint32_t end)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < end; i++)
        n += block_at(r, i)->channel == CHANNEL_CALL;
    return n;
}

static void write_call(struct responses_call *r, uint32_t i, bool is_full, struct buf *out)
{
    struct block *b = block_at(r, i);
    enum item_kind kind = responses_kind(r, b);
    const char *text = buf_text(&b->text);
    size_t len = buf_pending(&b->text);
    struct custom_input input = {0};
    char id[CALL_ID_SIZE];

    generation_call_id(&r->generation->choice[0], count_calls(r, i), id);
    buf_printf(out, ",\"call_id\":\"%s\",\"name\":", id);
    buf_add_json_string(out, b->name, strlen(b->name));
    buf_add_str(out, item_words[kind].head);
    if (kind == ITEM_CUSTOM) {
        custom_input_end(&input, text, len);
        text = buf_text(&input.text);
        len = buf_pending(&input.text);
    }
    add_text(out, text, len, is_full);
    buf_free(&input.text);
}

void responses_write_part(struct responses_call *r, struct block *b, bool is_full, struct buf *out)
{
    buf_add_str(out, item_words[responses_kind(r, b)].part);
    add_text(out, buf_text(&b->text), buf_pending(&b->text), is_full);
    buf_add_char(out, '}');
}

void responses_write_item(struct responses_call *r, uint32_t i, const char *status, bool is_full,
                          struct buf *out)
{
    struct block *b = block_at(r, i);
    const struct item_words *w = &item_words[responses_kind(r, b)];
    char id[RESPONSES_ITEM_ID_MAX];

    responses_output_id(r, i, id);
    buf_printf(out, "{\"id\":\"%s\",\"type\":\"%s\",\"status\":\"%s\"", id, w->type, status);
    if (w->part == NULL) {
        write_call(r, i, is_full, out);
    } else {
        buf_add_str(out, w->head);
        if (is_full)
            responses_write_part(r, b, true, out);
        buf_add_char(out, ']');
    }
    buf_add_char(out, '}');
}

void responses_write_output(struct responses_call *r, enum response_status status, struct buf *out)
{
    uint32_t n = r->generation->choice[0].blocks.n;

    buf_add_char(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        bool is_whole = status == RESPONSE_COMPLETED || i + 1 < n;
        if (i > 0)
            buf_add_char(out, ',');
        responses_write_item(r, i, is_whole ? "completed" : "incomplete", true, out);
    }
    buf_add_char(out, ']');
}

/* ---- the response ---- */

static const char *const status_names[] = {
    [RESPONSE_IN_PROGRESS] = "in_progress", [RESPONSE_COMPLETED] = "completed",
    [RESPONSE_INCOMPLETE] = "incomplete",   [RESPONSE_FAILED] = "failed",
    [RESPONSE_CANCELLED] = "cancelled",
};

void responses_write_before(const struct responses_call *r, enum response_status status,
                            const char *failure, struct buf *out)
{
    const struct generation *g = r->generation;

    buf_printf(out, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%llu,\"status\":\"%s\"",
               g->id, (unsigned long long)g->created, status_names[status]);
    if (status == RESPONSE_COMPLETED)
        buf_printf(out, ",\"completed_at\":%llu", (unsigned long long)(clock_wall_ns() / NS_PER_S));
    buf_add_str(out, ",\"background\":false,\"error\":");
    buf_add_str(out, failure != NULL ? failure : "null");
    buf_add_str(out, status == RESPONSE_INCOMPLETE
                         ? ",\"incomplete_details\":{\"reason\":\"max_output_tokens\"}"
                         : ",\"incomplete_details\":null");
    buf_add_str(out, ",\"model\":");
    buf_add_json_string(out, g->params.model, strlen(g->params.model));
    buf_add_str(out, ",\"output\":");
}

static void write_usage(const struct usage *u, struct buf *out)
{
    buf_printf(out,
               "{\"input_tokens\":%llu,\"input_tokens_details\":{\"cached_tokens\":%llu},"
               "\"output_tokens\":%llu,\"output_tokens_details\":{\"reasoning_tokens\":%llu},"
               "\"total_tokens\":%llu}",
               (unsigned long long)u->prompt_tokens, (unsigned long long)u->cached_tokens,
               (unsigned long long)u->completion_tokens, (unsigned long long)u->reasoning_tokens,
               (unsigned long long)(u->prompt_tokens + u->completion_tokens));
}

void responses_write_after(const struct responses_call *r, enum response_status status,
                           struct buf *out)
{
    buf_add_str(out, ",\"usage\":");
    if (status == RESPONSE_COMPLETED || status == RESPONSE_INCOMPLETE)
        write_usage(&r->generation->usage, out);
    else
        buf_add_str(out, "null");
    buf_add(out, r->echo.data, r->echo.len);
    buf_add_char(out, '}');
}

/* ---- what repeats the request ---- */

/* The value, or the other text when there is none, or it is too long to be repeated. */
static void echo(struct buf *out, const struct json_object *value, const char *otherwise)
{
    size_t start = out->len;
    bool is_whole = false;

    if (value != NULL && start < ECHO_MAX) {
        struct json_writer *w = json_writer_new(value);
        is_whole = json_writer_step(w, out, ECHO_MAX - start) == 1;
        json_writer_free(&w);
    }
    if (!is_whole) {
        out->len = start;
        buf_add_str(out, otherwise);
    }
}

/* Two members of an object of the request. */
static void echo_pair(struct buf *out, const struct json_object *o, const char *first,
                      const char *otherwise, const char *second)
{
    buf_printf(out, "{\"%s\":", first);
    echo(out, json_get(o, first), otherwise);
    buf_printf(out, ",\"%s\":", second);
    echo(out, json_get(o, second), "null");
    buf_add_char(out, '}');
}

/* As the specification has them, with the defaults. temperature and top_p without a value are the
 * model's own. */
#define ECHOES(X) \
    X(instructions, "null") \
    X(max_output_tokens, "null") \
    X(max_tool_calls, "null") \
    X(metadata, "{}") \
    X(parallel_tool_calls, "true") \
    X(previous_response_id, "null") \
    X(prompt_cache_key, "null") \
    X(safety_identifier, "null") \
    X(temperature, "null") \
    X(tool_choice, "\"auto\"") \
    X(top_logprobs, "0") \
    X(top_p, "null") \
    X(user, "null") \
    X(tools, "[]")

void responses_write_echo(struct responses_call *r)
{
    const struct json_object *body = r->generation->body;
    struct buf *out = &r->echo;

    buf_printf(out, ",\"store\":%s,\"service_tier\":\"default\",\"truncation\":\"disabled\"",
               r->is_kept ? "true" : "false");
    buf_add_str(out, ",\"reasoning\":");
    echo_pair(out, json_get(body, "reasoning"), "effort", "null", "summary");
    buf_add_str(out, ",\"text\":");
    echo_pair(out, json_get(body, "text"), "format", "{\"type\":\"text\"}", "verbosity");
#define X(name, otherwise) \
    buf_add_str(out, ",\"" #name "\":"); \
    echo(out, json_get(body, #name), otherwise);
    ECHOES(X)
#undef X
}

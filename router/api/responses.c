/* POST /v1/responses: OpenAI Responses, streamed and not. A block of the answer is an output item.
 */
#include "router/api/responses.h"

#include "base/clock.h"
#include "base/hash.h"
#include "router/api/api.h"
#include "router/api/errors.h"
#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_MAX      (1u << 20)
#define PROGRESS_S     10 /* of silence: some clients take comments for nothing */
#define EVENT_KEEP_MAX (64u << 10)

/* ---- events ---- */

/* event: STEM.WHAT, data: {"type":…,"sequence_number":… without the closing brace */
static struct buf *begin_event(struct responses_call *r, const char *stem, const char *what)
{
    buf_clear(&r->event);
    buf_printf(&r->event, "event: %s.%s\ndata: {\"type\":\"%s.%s\",\"sequence_number\":%u", stem,
               what, stem, what, r->sequence++);
    return &r->event;
}

static void end_event(struct responses_call *r)
{
    struct exchange *x = r->generation->x;
    struct buf *event = &r->event;

    buf_add_str(event, "}\n\n");
    while (buf_pending(event) > 0) {
        size_t n = buf_pending(event) < PIECE_MAX ? buf_pending(event) : PIECE_MAX;
        buf_add(exchange_piece_begin(x), event->data + event->pos, n);
        exchange_piece_end(x);
        buf_consume(event, n);
    }
    if (event->cap > EVENT_KEEP_MAX)
        buf_free(event);
    r->said_ns = clock_now_ns();
}

static void say_response(struct responses_call *r, const char *what, enum response_status status,
                         const char *failure)
{
    struct buf *out = begin_event(r, "response", what);

    buf_add_str(out, ",\"response\":");
    responses_write_before(r, status, failure, out);
    if (status == RESPONSE_IN_PROGRESS)
        buf_add_str(out, "[]");
    else
        responses_write_output(r, status, out);
    responses_write_after(r, status, out);
    end_event(r);
}

/* ---- the last item ---- */

static struct block *last_block(const struct responses_call *r)
{
    return &r->generation->choice[0].blocks.at[r->n_items - 1];
}

static const struct item_words *last_words(const struct responses_call *r)
{
    return &item_words[responses_kind(r, last_block(r))];
}

/* Of what it says, or of its part. */
static struct buf *begin_item_event(struct responses_call *r, const char *stem, const char *what)
{
    struct buf *out = begin_event(r, stem, what);
    char id[RESPONSES_ITEM_ID_MAX];

    responses_output_id(r, r->n_items - 1, id);
    buf_printf(out, ",\"item_id\":\"%s\",\"output_index\":%u%s", id, r->n_items - 1,
               last_words(r)->index);
    return out;
}

static void say_item(struct responses_call *r, const char *what, const char *status, bool is_full)
{
    struct buf *out = begin_event(r, "response.output_item", what);

    buf_printf(out, ",\"output_index\":%u,\"item\":", r->n_items - 1);
    responses_write_item(r, r->n_items - 1, status, is_full, out);
    end_event(r);
}

static void say_part(struct responses_call *r, const char *what, bool is_full)
{
    if (last_words(r)->part == NULL)
        return;
    struct buf *out = begin_item_event(r, last_words(r)->part_stem, what);
    buf_add_str(out, ",\"part\":");
    responses_write_part(r, last_block(r), is_full, out);
    end_event(r);
}

/* "delta", or the whole text under its name. */
static void say_text(struct responses_call *r, const char *what, const char *name, const char *text,
                     size_t len)
{
    struct buf *out = begin_item_event(r, last_words(r)->stem, what);

    buf_printf(out, ",\"%s\":", name);
    buf_add_json_string(out, text, len);
    buf_add_str(out, last_words(r)->more);
    end_event(r);
}

static void say_delta(struct responses_call *r, const char *text, size_t len)
{
    if (len > 0)
        say_text(r, "delta", "delta", text, len);
}

/* What the arguments so far, or in the end, are as the input of a custom tool. */
static void say_custom_delta(struct responses_call *r, bool is_end)
{
    struct buf *arguments = &last_block(r)->text, *input = &r->custom.text;
    size_t before = input->len;

    if (is_end)
        custom_input_end(&r->custom, buf_text(arguments), buf_pending(arguments));
    else
        custom_input_read(&r->custom, buf_text(arguments), buf_pending(arguments));
    say_delta(r, buf_text(input) + before, input->len - before);
}

static void open_item(struct responses_call *r)
{
    r->n_items++;
    r->is_open = true;
    say_item(r, "added", "in_progress", false);
    say_part(r, "added", false);
}

static void close_item(struct responses_call *r, const char *status)
{
    if (!r->is_open)
        return;
    struct buf *text = &last_block(r)->text;
    if (responses_kind(r, last_block(r)) == ITEM_CUSTOM) {
        say_custom_delta(r, true);
        text = &r->custom.text;
    }
    say_text(r, "done", last_words(r)->text, buf_text(text), buf_pending(text));
    say_part(r, "done", true);
    say_item(r, "done", status, true);
    buf_free(&r->custom.text);
    r->custom = (struct custom_input){0};
    r->is_open = false;
}

/* ---- the stream ---- */

static void open_stream(struct generation *g)
{
    say_response(responses_of(g), "created", RESPONSE_IN_PROGRESS, NULL);
    say_response(responses_of(g), "in_progress", RESPONSE_IN_PROGRESS, NULL);
}

static void write_part(struct choice *c, const struct part *part)
{
    struct responses_call *r = responses_of(c->generation);

    if (c->blocks.n > r->n_items) {
        close_item(r, "completed");
        open_item(r);
    }
    if (part->channel == CHANNEL_CALL || r->n_items == 0)
        return;
    if (responses_kind(r, last_block(r)) == ITEM_CUSTOM)
        say_custom_delta(r, false);
    else
        say_delta(r, part->text, part->len);
}

static enum response_status status_of(const struct generation *g)
{
    return g->choice[0].reason == FINISH_LENGTH ? RESPONSE_INCOMPLETE : RESPONSE_COMPLETED;
}

static void finish_items(struct choice *c)
{
    close_item(responses_of(c->generation),
               status_of(c->generation) == RESPONSE_COMPLETED ? "completed" : "incomplete");
}

static void close_stream(struct generation *g)
{
    struct responses_call *r = responses_of(g);
    enum response_status status = status_of(g);

    say_response(r, status == RESPONSE_COMPLETED ? "completed" : "incomplete", status, NULL);
    responses_keep(r, status);
}

/* The codes that the specification has for a response, as far as clients act on them. */
static const char *failure_code(enum api_error error)
{
    if (error == ERROR_CONTEXT_LENGTH)
        return api_errors[error].code;
    if (error == ERROR_QUEUE_FULL)
        return "rate_limit_exceeded";
    return api_errors[error].status < 500 ? "invalid_prompt" : "server_error";
}

static void fail_stream(struct generation *g, enum api_error error, const char *text)
{
    struct responses_call *r = responses_of(g);
    struct buf failure = {0}, printable = {0};

    buf_add_printable(&printable, text, strlen(text), "");
    buf_printf(&failure, "{\"code\":\"%s\",\"message\":", failure_code(error));
    buf_add_json_string(&failure, buf_text(&printable), buf_pending(&printable));
    buf_add_char(&failure, '}');
    say_response(r, "failed", error == ERROR_CANCELLED ? RESPONSE_CANCELLED : RESPONSE_FAILED,
                 buf_text(&failure));
    buf_free(&failure);
    buf_free(&printable);
}

static void say_progress(struct generation *g)
{
    struct responses_call *r = responses_of(g);

    if (clock_now_ns() - r->said_ns < PROGRESS_S * NS_PER_S ||
        exchange_pending_bytes(g->x) > OUTPUT_LOW_MARK) /* it does not read: no more of these */
        generation_comment(g);
    else
        say_response(r, "in_progress", RESPONSE_IN_PROGRESS, NULL);
}

/* ---- the whole ---- */

static void write_whole(struct generation *g, struct buf *body)
{
    struct responses_call *r = responses_of(g);
    enum response_status status = status_of(g);

    responses_write_before(r, status, NULL, body);
    responses_write_output(r, status, body);
    responses_write_after(r, status, body);
    responses_keep(r, status);
}

void responses_keep(struct responses_call *r, enum response_status status)
{
    struct response_texts texts = {.input = r->input, .item_at = r->item_at};

    if (!r->is_kept)
        return;
    r->input = r->item_at = (struct buf){0};
    responses_write_before(r, status, NULL, &texts.before);
    responses_write_output(r, status, &texts.output);
    responses_write_after(r, status, &texts.after);
    responses_store_add(r->store, r->generation->id, r->owner, r->previous, &texts);
}

void responses_forget(struct generation *g)
{
    struct responses_call *r = responses_of(g);

    if (r == NULL)
        return;
    LIST_REMOVE(r, running);
    conversation_free(&r->conversation);
    turn_drop(&r->previous);
    turn_drop(&r->referred);
    json_reader_free(&r->reading.reader);
    json_free(&r->items);
    json_free(&r->referred_items[0]);
    json_free(&r->referred_items[1]);
    json_free(&r->customs);
    json_writer_free(&r->writer);
    json_free(&r->keeping);
    free(r->turns);
    json_free(&r->lead);
    buf_free(&r->reasoning);
    buf_free(&r->input);
    buf_free(&r->item_at);
    buf_free(&r->echo);
    buf_free(&r->custom.text);
    buf_free(&r->event);
    free(r);
    g->own = NULL;
}

static const struct form responses_form = {
    .dialect = DIALECT_RESPONSES,
    .kind = PROMPT_CHAT,
    .id_prefix = "resp_",
    .call_prefix = "call_",
    .keeps_blocks = true,
    .prepare = responses_prepare,
    .open = open_stream,
    .part = write_part,
    .finish = finish_items,
    .close = close_stream,
    .fail = fail_stream,
    .silent = say_progress,
    .whole = write_whole,
    .forget = responses_forget,
};

uint64_t responses_owner(const struct exchange *x)
{
    if (x->key < 0)
        return (uint64_t)(int64_t)x->key;
    const char *sha256 = x->server->config->keys[x->key].sha256;
    return hash_xxh3(sha256, strlen(sha256));
}

/* The two fields that other parts know by another name, or in another place. */
enum handler_result responses_create(struct exchange *x)
{
    struct json_object *effort = json_get(json_get(x->body, "reasoning"), "effort");
    const struct json_object *key = json_get(x->body, "prompt_cache_key");
    size_t len;

    if (effort != NULL && json_type_of(effort) == JSON_STRING)
        json_put(x->body, "reasoning_effort", json_share(effort));
    if (x->session == 0 && key != NULL && json_type_of(key) == JSON_STRING) {
        const char *text = json_string(key, &len);
        x->session = hash_mix(hash_xxh3(text, len), (uint64_t)x->key) | 1;
    }
    return generate(x, &responses_form);
}

/* POST /v1/messages: Anthropic's Messages, streamed and not; POST /v1/messages/count_tokens. */
#include "router/api/api.h"
#include "router/api/errors.h"
#include "router/api/generate.h"
#include "router/api/messages_request.h"
#include "router/api/signature.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS_AT_ONCE 1000

struct messages {
    struct messages_request request; /* until it has been read */
    struct json_object *stops;       /* owned: stop_sequences, as the worker counts them */
    bool hides_thinking;

    /* of a stream */
    bool is_block_open;
    enum channel channel; /* of the open block */
    uint32_t n_blocks;
    struct buf thought; /* of the open block */
};

static struct messages *messages_of(const struct generation *g)
{
    return g->own;
}

/* ---- the request ---- */

/* Without empty ones. The array is another one than the body's, which will be emptied. */
static struct json_object *read_stops(const struct json_object *stops)
{
    struct json_object *made = json_new_array();
    size_t len;

    if (json_is(stops, JSON_STRING))
        json_append(made, json_share(stops));
    for (size_t i = 0; i < json_length(stops); i++) {
        json_string(json_at(stops, i), &len);
        if (len > 0)
            json_append(made, json_share(json_at(stops, i)));
    }
    return made;
}

static int prepare(struct generation *g, struct param_error *e)
{
    struct messages *m = messages_of(g);

    if (m == NULL) {
        m = g->own = calloc(1, sizeof *m);
        CHECK(m != NULL);
        messages_request_init(&m->request, g->body, g->members, g->form->dialect);
        if (g->form->dialect == DIALECT_MESSAGES) /* a count does not know the field */
            m->stops = read_stops(json_get(g->body, "stop_sequences"));
    }
    int rc = messages_request_step(&m->request, BLOCKS_AT_ONCE, e);
    if (rc == 1) {
        m->hides_thinking = m->request.hides_thinking;
        messages_request_free(&m->request);
    }
    return rc;
}

static void forget(struct generation *g)
{
    struct messages *m = messages_of(g);

    if (m == NULL)
        return;
    messages_request_free(&m->request);
    json_free(&m->stops);
    buf_free(&m->thought);
    free(m);
    g->own = NULL;
}

/* ---- what stream and whole have in common ---- */

static void add_string(struct buf *out, const char *text)
{
    buf_add_json_string(out, text, strlen(text));
}

/* {"id":… up to the content's value. */
static void begin_message(const struct generation *g, struct buf *out)
{
    buf_printf(out, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", g->id);
    add_string(out, g->params.model);
    buf_add_str(out, ",\"content\":");
}

/* Of the prompt: what was read anew, and what the cache had. Nothing is written to it at a price,
 * so nothing counts as its creation. */
static void write_input(uint64_t prompt, uint64_t cached, struct buf *out)
{
    buf_printf(out,
               "\"usage\":{\"input_tokens\":%llu,\"cache_creation_input_tokens\":0,"
               "\"cache_read_input_tokens\":%llu,\"output_tokens\":",
               (unsigned long long)(prompt - cached), (unsigned long long)cached);
}

static void write_usage(const struct usage *u, struct buf *out)
{
    write_input(u->prompt_tokens, u->cached_tokens, out);
    buf_printf(out, "%llu,\"output_tokens_details\":{\"thinking_tokens\":%llu}}",
               (unsigned long long)u->completion_tokens, (unsigned long long)u->reasoning_tokens);
}

/* "stop_reason":…,"stop_sequence":… */
static void write_reason(const struct choice *c, struct buf *out)
{
    const struct json_object *stop =
        c->stop != 0 ? json_at(messages_of(c->generation)->stops, c->stop - 1u) : NULL;
    const char *reason = "end_turn";

    switch (c->reason) {
    case FINISH_LENGTH:
        reason = "max_tokens";
        break;
    case FINISH_TOOL_CALLS:
        reason = "tool_use";
        break;
    case FINISH_STOP:
    case finish_reason_count:
        if (stop != NULL)
            reason = "stop_sequence";
        break;
    }
    buf_printf(out, "\"stop_reason\":\"%s\",\"stop_sequence\":", reason);
    if (stop != NULL)
        json_write(stop, out);
    else
        buf_add_str(out, "null");
}

/* A block as it begins, up to its end; call: the number of a call. */
static void begin_call(const struct choice *c, uint32_t call, const char *name, size_t len,
                       struct buf *out)
{
    char id[CALL_ID_SIZE];

    generation_call_id(c, call, id);
    buf_printf(out, "{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":", id);
    buf_add_json_string(out, name, len);
    buf_add_str(out, ",\"input\":");
}

static void write_signature(const struct generation *g, uint32_t block, struct buf *thought,
                            struct buf *out)
{
    buf_add_str(out, "\"signature\":\"");
    signature_write(g->id, (uint16_t)block, buf_text(thought), buf_pending(thought), out);
    buf_add_char(out, '"');
}

/* ---- the stream ---- */

static void begin_event(struct buf *out, const char *name)
{
    buf_printf(out, "event: %s\ndata: ", name);
}

static void end_event(struct buf *out)
{
    buf_add_str(out, "\n\n");
}

static void write_ping(struct generation *g)
{
    buf_add_str(exchange_piece_begin(g->x), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    exchange_piece_end(g->x);
}

/* Of the prompt's tokens what is known by now: all, or nothing as long as no worker has it. */
static void write_start(struct generation *g)
{
    const struct request *r = g->choice[0].request;
    struct buf *out = exchange_piece_begin(g->x);

    begin_event(out, "message_start");
    buf_add_str(out, "{\"type\":\"message_start\",\"message\":");
    begin_message(g, out);
    buf_add_str(out, "[],\"stop_reason\":null,\"stop_sequence\":null,");
    write_input(r->prompt_tokens, r->cached_tokens, out);
    buf_add_str(out, "0}}}");
    end_event(out);
    exchange_piece_end(g->x);
    write_ping(g);
}

static void begin_delta(const struct messages *m, const char *type, struct buf *out)
{
    begin_event(out, "content_block_delta");
    buf_printf(out,
               "{\"type\":\"content_block_delta\",\"index\":%u,\"delta\":{\"type\":\"%s_delta\",",
               m->n_blocks - 1, type);
}

static void end_delta(struct buf *out)
{
    buf_add_str(out, "}}");
    end_event(out);
}

static void write_text_delta(const struct messages *m, const char *type, const char *member,
                             const struct part *part, struct buf *out)
{
    begin_delta(m, type, out);
    buf_printf(out, "\"%s\":", member);
    buf_add_json_string(out, part->text, part->len);
    end_delta(out);
}

static void close_block(const struct generation *g, struct buf *out)
{
    struct messages *m = messages_of(g);

    if (!m->is_block_open)
        return;
    m->is_block_open = false;
    if (m->channel == CHANNEL_REASONING) {
        begin_delta(m, "signature", out);
        write_signature(g, m->n_blocks - 1, &m->thought, out);
        end_delta(out);
        buf_free(&m->thought);
    }
    begin_event(out, "content_block_stop");
    buf_printf(out, "{\"type\":\"content_block_stop\",\"index\":%u}", m->n_blocks - 1);
    end_event(out);
}

static void open_block(const struct choice *c, const struct part *part, struct buf *out)
{
    struct messages *m = messages_of(c->generation);

    m->is_block_open = true;
    m->channel = part->channel;
    begin_event(out, "content_block_start");
    buf_printf(out,
               "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":", m->n_blocks++);
    if (part->channel == CHANNEL_CALL) {
        begin_call(c, c->n_calls - 1, part->text, part->len, out);
        buf_add_str(out, "{}}}");
    } else if (part->channel == CHANNEL_REASONING) {
        buf_add_str(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}");
    } else {
        buf_add_str(out, "{\"type\":\"text\",\"text\":\"\"}}");
    }
    end_event(out);
}

static void write_delta(const struct messages *m, const struct part *part, struct buf *out)
{
    switch (part->channel) {
    case CHANNEL_REASONING:
        if (!m->hides_thinking)
            write_text_delta(m, "thinking", "thinking", part, out);
        break;
    case CHANNEL_ARGUMENTS:
        write_text_delta(m, "input_json", "partial_json", part, out);
        break;
    case CHANNEL_CONTENT:
        write_text_delta(m, "text", "text", part, out);
        break;
    case CHANNEL_CALL:
    case channel_count:
        break;
    }
}

static bool continues_block(const struct messages *m, const struct part *part)
{
    if (part->channel == CHANNEL_ARGUMENTS)
        return true;
    return m->is_block_open && part->channel == m->channel && part->channel != CHANNEL_CALL;
}

static void write_part(struct choice *c, const struct part *part)
{
    struct messages *m = messages_of(c->generation);
    bool goes_on = continues_block(m, part), is_thought = part->channel == CHANNEL_REASONING;

    if (goes_on && is_thought && m->hides_thinking) {
        buf_add(&m->thought, part->text, part->len);
        return; /* there is nothing to say */
    }
    struct buf *out = exchange_piece_begin(c->generation->x);
    if (!goes_on) {
        close_block(c->generation, out);
        open_block(c, part, out);
    }
    if (is_thought)
        buf_add(&m->thought, part->text, part->len);
    write_delta(m, part, out);
    exchange_piece_end(c->generation->x);
}

static void write_finish(struct choice *c)
{
    struct generation *g = c->generation;
    struct buf *out = exchange_piece_begin(g->x);

    close_block(g, out);
    begin_event(out, "message_delta");
    buf_add_str(out, "{\"type\":\"message_delta\",\"delta\":{");
    write_reason(c, out);
    buf_add_str(out, "},");
    write_usage(&g->usage, out);
    buf_add_char(out, '}');
    end_event(out);
    exchange_piece_end(g->x);
}

static void write_stop(struct generation *g)
{
    buf_add_str(exchange_piece_begin(g->x),
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    exchange_piece_end(g->x);
}

static void write_failure(struct generation *g, enum api_error error, const char *text)
{
    struct buf *out = exchange_piece_begin(g->x);

    begin_event(out, "error");
    error_write_messages(out, error, text, g->x->request_id);
    end_event(out);
    exchange_piece_end(g->x);
}

/* ---- the whole ---- */

/* The arguments are JSON text of a model: an object, or, of a call that was cut off, what there is
 * of one, which then is the one member "arguments". */
static void write_arguments(struct buf *arguments, struct buf *out)
{
    const char *text = buf_text(arguments);
    size_t len = buf_pending(arguments);
    struct json_object *parsed = NULL;

    if (len == 0) {
        buf_add_str(out, "{}");
    } else if (json_parse(text, len, &parsed, NULL) == 0 && json_is(parsed, JSON_OBJECT)) {
        buf_add(out, text, len);
    } else {
        buf_add_str(out, "{\"arguments\":");
        buf_add_json_string(out, text, len);
        buf_add_char(out, '}');
    }
    json_free(&parsed);
}

static void write_block(const struct choice *c, struct block *b, uint32_t i, uint32_t call,
                        struct buf *out)
{
    bool hides = messages_of(c->generation)->hides_thinking;

    if (b->channel == CHANNEL_CALL) {
        begin_call(c, call, b->name, strlen(b->name), out);
        write_arguments(&b->text, out);
    } else if (b->channel == CHANNEL_REASONING) {
        buf_add_str(out, "{\"type\":\"thinking\",\"thinking\":");
        buf_add_json_string(out, buf_text(&b->text), hides ? 0 : buf_pending(&b->text));
        buf_add_char(out, ',');
        write_signature(c->generation, i, &b->text, out);
    } else {
        buf_add_str(out, "{\"type\":\"text\",\"text\":");
        buf_add_json_string(out, buf_text(&b->text), buf_pending(&b->text));
    }
    buf_add_char(out, '}');
}

static void write_whole(struct generation *g, struct buf *body)
{
    struct choice *c = &g->choice[0];
    uint32_t call = 0;

    begin_message(g, body);
    buf_add_char(body, '[');
    for (uint32_t i = 0; i < c->blocks.n; i++) {
        struct block *b = &c->blocks.at[i];
        if (i > 0)
            buf_add_char(body, ',');
        write_block(c, b, i, call, body);
        call += b->channel == CHANNEL_CALL;
    }
    buf_add_str(body, "],");
    write_reason(c, body);
    buf_add_char(body, ',');
    write_usage(&g->usage, body);
    buf_add_char(body, '}');
}

static void write_count(struct generation *g, struct buf *body)
{
    buf_printf(body, "{\"input_tokens\":%llu}", (unsigned long long)g->usage.prompt_tokens);
}

static const struct form messages_form = {
    .dialect = DIALECT_MESSAGES,
    .kind = PROMPT_CHAT,
    .id_prefix = "msg_",
    .call_prefix = "toolu_",
    .prepare = prepare,
    .open = write_start,
    .part = write_part,
    .finish = write_finish,
    .close = write_stop,
    .fail = write_failure,
    .silent = write_ping,
    .whole = write_whole,
    .forget = forget,
};

static const struct form count_form = {
    .dialect = DIALECT_COUNT,
    .kind = PROMPT_COUNT,
    .id_prefix = "count-",
    .call_prefix = "toolu_",
    .prepare = prepare,
    .whole = write_count,
    .forget = forget,
};

enum handler_result messages_create(struct exchange *x)
{
    return generate(x, &messages_form);
}

enum handler_result messages_count(struct exchange *x)
{
    return generate(x, &count_form);
}

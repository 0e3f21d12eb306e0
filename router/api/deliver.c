/* A generation under way: what its requests say becomes events or one response. */
#include "router/api/generate.h"

#include "base/check.h"
#include "router/api/errors.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define LOGPROBS_MAX (64u << 20) /* bytes of them in a response that is not streamed */

static void free_choice(struct choice *c)
{
    buf_free(&c->head);
    buf_free(&c->content);
    buf_free(&c->reasoning);
    logprobs_free(&c->logprobs);
}

void generation_free(struct generation *g)
{
    deadline_disarm(&g->router->hold_due, &g->hold_due);
    if (g->preparing != NULL)
        event_free(g->preparing);
    json_writer_free(&g->writer);
    canonical_drop(&g->canonical);
    http_server_discard(g->x->server, &g->body);
    for (uint32_t i = 0; i < g->n_choices; i++)
        free_choice(&g->choice[i]);
    free(g);
}

/* No answer is wanted any more, or another one of them failed. */
static void cancel_requests(struct generation *g)
{
    for (uint32_t i = 0; i < g->n_choices; i++) {
        struct request *r = g->choice[i].request;
        g->choice[i].request = NULL;
        if (r != NULL)
            request_cancel(r);
    }
}

/* ---- the stream ---- */

struct buf *generation_event(struct choice *c)
{
    struct buf *out = exchange_piece_begin(c->generation->x);

    buf_add(out, c->head.data, c->head.len);
    return out;
}

void generation_event_end(struct choice *c, struct buf *out, const char *reason,
                          logprobs_taker *take)
{
    if (reason == NULL && !logprobs_is_pending(c->logprobs)) { /* nearly all of them */
        buf_add_str(out, ",\"logprobs\":null,\"finish_reason\":null}]}\n\n");
    } else {
        buf_add_str(out, ",\"logprobs\":");
        take(c->logprobs, out);
        buf_add_str(out, ",\"finish_reason\":");
        if (reason != NULL)
            buf_printf(out, "\"%s\"}]}\n\n", reason);
        else
            buf_add_str(out, "null}]}\n\n");
    }
    exchange_piece_end(c->generation->x);
}

/* {"id":…,"choices":[ of a response or an event. */
static void begin_object(const struct generation *g, const char *object, struct buf *out)
{
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%llu,\"model\":", g->id, object,
               (unsigned long long)g->created);
    buf_add_json_string(out, g->params.model, strlen(g->params.model));
    buf_add_str(out, ",\"choices\":[");
}

static void write_head(struct choice *c)
{
    struct buf *h = &c->head;

    buf_add_str(h, "data: ");
    begin_object(c->generation, c->generation->form->chunk, h);
    buf_printf(h, "{\"index\":%u,%s", c->index, c->generation->form->delta);
}

static void send_head(struct generation *g)
{
    if (g->is_head_sent)
        return;
    g->is_head_sent = true;
    deadline_disarm(&g->router->hold_due, &g->hold_due);
    exchange_stream_start(g->x, "text/event-stream; charset=utf-8",
                          "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    for (uint32_t i = 0; i < g->n_choices; i++) {
        write_head(&g->choice[i]);
        if (g->form->start != NULL)
            g->form->start(&g->choice[i]);
    }
}

void generation_hold_due(void *owner, uint64_t now_ns)
{
    (void)now_ns;
    send_head(owner);
}

/* ---- the end ---- */

static uint64_t longest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add_usage(struct generation *g, const struct choice *c, const struct done_head *d)
{
    const struct request *r = c->request;
    struct usage *u = &g->usage;

    if (c->index % g->params.n == 0) {
        u->prompt_tokens += r->prompt_tokens;
        u->cached_tokens += r->cached_tokens;
    }
    u->completion_tokens += request_generated(r);
    u->reasoning_tokens += c->reasoning_tokens;
    u->queue_ns = longest(u->queue_ns, r->submitted_ns - r->accepted_ns);
    u->prefill_ns = longest(u->prefill_ns, d->prefill_ns);
    u->decode_ns = longest(u->decode_ns, d->decode_ns);
}

static void write_usage(const struct usage *u, struct buf *out)
{
    buf_printf(out,
               "\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%llu},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":%llu}},"
               "\"timing\":{\"queue_ms\":%.3f,\"prefill_ms\":%.3f,\"decode_ms\":%.3f}",
               (unsigned long long)u->prompt_tokens, (unsigned long long)u->completion_tokens,
               (unsigned long long)(u->prompt_tokens + u->completion_tokens),
               (unsigned long long)u->cached_tokens, (unsigned long long)u->reasoning_tokens,
               (double)u->queue_ns / 1e6, (double)u->prefill_ns / 1e6, (double)u->decode_ns / 1e6);
}

static void end_stream(struct generation *g)
{
    struct buf *out = exchange_piece_begin(g->x);

    buf_add_str(out, "data: ");
    begin_object(g, g->form->chunk, out);
    buf_add_str(out, "],");
    write_usage(&g->usage, out);
    buf_add_str(out, "}\n\n");
    exchange_piece_end(g->x);

    buf_add_str(exchange_piece_begin(g->x), "data: [DONE]\n\n");
    exchange_piece_end(g->x);
    exchange_stream_end(g->x);
}

static void write_whole(struct generation *g, struct buf *body)
{
    begin_object(g, g->form->object, body);
    for (uint32_t i = 0; i < g->n_choices; i++) {
        buf_add_str(body, i > 0 ? ",{\"index\":" : "{\"index\":");
        buf_add_u64(body, i);
        buf_add_char(body, ',');
        g->form->choice(&g->choice[i], body);
        buf_add_str(body, ",\"finish_reason\":\"");
        buf_add_str(body, finish_reason_name(g->choice[i].reason));
        buf_add_str(body, "\"}");
    }
    buf_add_str(body, "],");
    write_usage(&g->usage, body);
    buf_add_char(body, '}');
}

static void respond_whole(struct generation *g)
{
    struct buf body = {0};

    if (g->form->object != NULL)
        write_whole(g, &body);
    else
        g->form->text(&g->choice[0], &body);
    exchange_respond(g->x, 200, "application/json", "", body.data, body.len);
    buf_free(&body);
}

/* One failed: all do. */
static void fail(struct generation *g, enum api_error error, const char *text)
{
    if (g->is_head_sent) {
        struct buf *out = exchange_piece_begin(g->x);
        buf_add_str(out, "data: ");
        error_write(out, error, NULL, text);
        buf_add_str(out, "\n\n");
        exchange_piece_end(g->x);
        exchange_stream_end(g->x);
    } else {
        error_respond(g->x, error, NULL, text, 1);
    }
    cancel_requests(g);
    generation_free(g);
}

/* ---- what the requests say ---- */

static void on_accepted(void *owner)
{
    struct choice *c = owner;
    struct generation *g = c->generation;

    g->n_accepted += !c->is_accepted; /* again by the next worker, after the death of one */
    c->is_accepted = true;
    if (g->params.is_stream && g->n_accepted == g->n_choices)
        send_head(g);
}

static void take_parts(struct choice *c, const struct part *parts, size_t n)
{
    struct generation *g = c->generation;

    for (size_t i = 0; i < n; i++) {
        if (parts[i].len == 0)
            continue;
        if (g->params.is_stream)
            g->form->part(c, &parts[i]);
        else if (parts[i].channel == CHANNEL_REASONING)
            buf_add(&c->reasoning, parts[i].text, parts[i].len);
        else
            buf_add(&c->content, parts[i].text, parts[i].len);
    }
}

/* A token whose text is held back has an event all the same, for its log-probability. */
static void take_token(struct choice *c, const struct token_head *t, const struct part *parts,
                       const struct top *tops)
{
    static const struct part nothing = {CHANNEL_CONTENT, "", 0};
    struct generation *g = c->generation;

    g->form->tops(c, tops, t->n_tops);
    take_parts(c, parts, t->n_parts);
    if (g->params.is_stream && logprobs_is_pending(c->logprobs))
        g->form->part(c, &nothing);
}

static void on_token(void *owner, const struct token_head *t, const struct part *parts,
                     const struct top *tops)
{
    struct choice *c = owner;
    struct generation *g = c->generation;

    if (g->params.is_stream && !g->is_head_sent)
        send_head(g);
    c->reasoning_tokens += (t->flags & TOKEN_REASONING) != 0;
    if (t->n_tops == 0) {
        take_parts(c, parts, t->n_parts);
    } else {
        take_token(c, t, parts, tops);
        if (c->logprobs != NULL && logprobs_bytes(c->logprobs) > LOGPROBS_MAX / g->n_choices) {
            fail(g, ERROR_INVALID_BODY,
                 "the log-probabilities of this answer are too long for one response; stream it");
            return;
        }
    }
    if (exchange_pending_bytes(g->x) <= OUTPUT_LOW_MARK)
        request_acknowledge(c->request);
}

static void on_done(void *owner, const struct done_head *d, const struct part *parts)
{
    struct choice *c = owner;
    struct generation *g = c->generation;
    struct request *r = c->request;

    if (g->params.is_stream)
        send_head(g);
    take_parts(c, parts, d->n_parts);
    c->reason = (enum finish_reason)d->reason;
    add_usage(g, c, d);
    if (g->params.is_stream)
        g->form->finish(c);
    if (++g->n_done < g->n_choices) {
        c->request = NULL;
    } else {
        if (g->params.is_stream)
            end_stream(g);
        else
            respond_whole(g);
        generation_free(g);
    }
    request_release(r);
}

static void on_failed(void *owner, enum api_error error, const char *text)
{
    struct choice *c = owner;

    c->request = NULL;
    fail(c->generation, error, text);
}

const struct request_ops generation_request_ops = {on_accepted, on_token, on_done, on_failed};

/* ---- what the connection says ---- */

static void on_gone(struct exchange *x)
{
    struct generation *g = x->call;

    cancel_requests(g);
    generation_free(g);
}

static void on_drained(struct exchange *x)
{
    struct generation *g = x->call;

    for (uint32_t i = 0; i < g->n_choices; i++)
        if (g->choice[i].request != NULL)
            request_acknowledge(g->choice[i].request);
}

static void on_silent(struct exchange *x)
{
    buf_add_str(exchange_piece_begin(x), ": keep-alive\n\n");
    exchange_piece_end(x);
    counter_add(&x->server->counters->keepalives_sent, 1);
}

const struct exchange_ops generation_exchange_ops = {on_gone, on_drained, on_silent};

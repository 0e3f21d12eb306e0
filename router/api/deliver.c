/* A generation under way: what its requests say becomes events or one response. */
#include "router/api/generate.h"

#include "base/hash.h"
#include "router/api/errors.h"
#include "router/api/replay.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGPROBS_MAX (64u << 20) /* bytes of them in a response that is not streamed */

static void free_choice(struct choice *c)
{
    buf_free(&c->head);
    buf_free(&c->pieces);
    blocks_free(&c->blocks);
    logprobs_free(&c->logprobs);
}

void generation_free(struct generation *g)
{
    if (g->form->forget != NULL)
        g->form->forget(g);
    deadline_disarm(&g->router->hold_due, &g->hold_due);
    if (g->preparing != NULL)
        event_free(g->preparing);
    json_writer_free(&g->writer);
    canonical_drop(&g->canonical);
    generation_drop_body(g);
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

void generation_call_id(const struct choice *c, uint32_t n, char id[CALL_ID_SIZE])
{
    const struct generation *g = c->generation;
    uint64_t h = hash_mix(hash_xxh3(g->id, strlen(g->id)), (uint64_t)c->index << 32 | n);

    snprintf(id, CALL_ID_SIZE, "%s%016llx%08x", g->form->call_prefix, (unsigned long long)h,
             (uint32_t)hash_mix(h, n));
}

void generation_comment(struct generation *g)
{
    buf_add_str(exchange_piece_begin(g->x), ": keep-alive\n\n");
    exchange_piece_end(g->x);
}

/* ---- the head ---- */

/* What the client is told beside the answer: only what the workers have said by then. */
static void write_notes(const struct generation *g, char *headers, size_t size)
{
    for (uint32_t i = 0; i < g->n_choices; i++) {
        const struct request *r = g->choice[i].request;
        if (r == NULL || !r->is_unconstrained)
            continue;
        snprintf(headers, size, "x-cortex-tools: unconstrained\r\n");
        return;
    }
    headers[0] = '\0';
}

static void send_head(struct generation *g)
{
    char notes[64], headers[160];

    if (g->is_head_sent)
        return;
    g->is_head_sent = true;
    deadline_disarm(&g->router->hold_due, &g->hold_due);
    write_notes(g, notes, sizeof notes);
    snprintf(headers, sizeof headers, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n%s",
             notes);
    exchange_stream_start(g->x, "text/event-stream; charset=utf-8", headers);
    g->form->open(g);
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

static void end_stream(struct generation *g)
{
    g->form->close(g);
    exchange_stream_end(g->x);
}

static void respond_whole(struct generation *g)
{
    struct buf body = {0};
    char notes[64];

    write_notes(g, notes, sizeof notes);
    g->form->whole(g, &body);
    exchange_respond(g->x, 200, "application/json", notes, body.data, body.len);
    buf_free(&body);
}

void generation_fail(struct generation *g, enum api_error error, const char *text)
{
    if (g->is_head_sent) {
        g->form->fail(g, error, text);
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
        if (g->keeps_blocks)
            blocks_add(&c->blocks, &parts[i]);
        c->n_calls += parts[i].channel == CHANNEL_CALL;
        if (g->params.is_stream)
            g->form->part(c, &parts[i]);
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
            generation_fail(
                g, ERROR_INVALID_BODY,
                "the log-probabilities of this answer are too long for one response; stream it");
            return;
        }
    }
    if (exchange_pending_bytes(g->x) <= OUTPUT_LOW_MARK)
        request_acknowledge(c->request);
}

/* The client may send this answer back. */
static void keep_for_replay(struct choice *c)
{
    struct generation *g = c->generation;
    char id[CALL_ID_SIZE];

    if (c->blocks.n_calls == 0)
        return;
    generation_call_id(c, 0, id);
    replay_keep(g->router->replay, id, generation_owner(g), &c->blocks, c->request->tokens,
                c->request->n_tokens);
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
    c->stop = d->stop;
    add_usage(g, c, d);
    keep_for_replay(c);
    if (g->form->done != NULL && !g->form->done(c)) {
        c->request = NULL;
        generation_fail(g, ERROR_INTERNAL, "the worker's answer is none: an internal error");
        request_release(r);
        return;
    }
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
    generation_fail(c->generation, error, text);
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
    struct generation *g = x->call;

    g->form->silent(g);
    counter_add(&x->server->counters->keepalives_sent, 1);
}

const struct exchange_ops generation_exchange_ops = {on_gone, on_drained, on_silent};

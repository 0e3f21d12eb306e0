#include "router/api/choices.h"

#include "router/api/errors.h"

#include <string.h>

static const struct choices_form *form_of(const struct generation *g)
{
    return (const struct choices_form *)g->form;
}

/* {"id":…,"choices":[ of a response or an event. */
static void begin_object(const struct generation *g, const char *object, struct buf *out)
{
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%llu,\"model\":", g->id, object,
               (unsigned long long)g->created);
    buf_add_json_string(out, g->params.model, strlen(g->params.model));
    buf_add_str(out, ",\"choices\":[");
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

/* ---- the stream ---- */

static void write_head(struct choice *c)
{
    const struct choices_form *f = form_of(c->generation);
    struct buf *h = &c->head;

    buf_add_str(h, "data: ");
    begin_object(c->generation, f->chunk, h);
    buf_printf(h, "{\"index\":%u,%s", c->index, f->delta);
}

void choices_open(struct generation *g)
{
    for (uint32_t i = 0; i < g->n_choices; i++) {
        write_head(&g->choice[i]);
        if (form_of(g)->start != NULL)
            form_of(g)->start(&g->choice[i]);
    }
}

struct buf *choices_event(struct choice *c)
{
    struct buf *out = exchange_piece_begin(c->generation->x);

    buf_add(out, c->head.data, c->head.len);
    return out;
}

void choices_event_end(struct choice *c, struct buf *out, const char *reason, logprobs_taker *take)
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

void choices_close(struct generation *g)
{
    struct buf *out = exchange_piece_begin(g->x);

    buf_add_str(out, "data: ");
    begin_object(g, form_of(g)->chunk, out);
    buf_add_str(out, "],");
    write_usage(&g->usage, out);
    buf_add_str(out, "}\n\n");
    exchange_piece_end(g->x);

    buf_add_str(exchange_piece_begin(g->x), "data: [DONE]\n\n");
    exchange_piece_end(g->x);
}

void choices_fail(struct generation *g, enum api_error error, const char *text)
{
    struct buf *out = exchange_piece_begin(g->x);

    buf_add_str(out, "data: ");
    error_write(out, error, NULL, text);
    buf_add_str(out, "\n\n");
    exchange_piece_end(g->x);
}

/* ---- the whole ---- */

void choices_whole(struct generation *g, struct buf *body)
{
    begin_object(g, form_of(g)->object, body);
    for (uint32_t i = 0; i < g->n_choices; i++) {
        buf_add_str(body, i > 0 ? ",{\"index\":" : "{\"index\":");
        buf_add_u64(body, i);
        buf_add_char(body, ',');
        form_of(g)->choice(&g->choice[i], body);
        buf_add_str(body, ",\"finish_reason\":\"");
        buf_add_str(body, finish_reason_name(g->choice[i].reason));
        buf_add_str(body, "\"}");
    }
    buf_add_str(body, "],");
    write_usage(&g->usage, body);
    buf_add_char(body, '}');
}

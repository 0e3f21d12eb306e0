#include "router/api/generate.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "router/api/auth.h"
#include "router/api/errors.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENCODE_SLICE (256u << 10) /* bytes of the canonical request written in one turn */
#define LEADING_MESSAGES 2        /* they name the conversation when no header does */

static struct router *router_of(const struct exchange *x)
{
    return x->server->context;
}

static void free_generation(struct generation *g)
{
    deadline_disarm(&g->router->hold_due, &g->hold_due);
    if (g->preparing != NULL)
        event_free(g->preparing);
    json_writer_free(&g->writer);
    http_server_discard(g->x->server, &g->body);
    buf_free(&g->head);
    buf_free(&g->content);
    buf_free(&g->reasoning);
    free(g);
}

/* ---- the stream ---- */

struct buf *generation_event(struct generation *g)
{
    struct buf *out = exchange_piece_begin(g->x);

    buf_add(out, g->head.data, g->head.len);
    return out;
}

void generation_event_end(struct generation *g, struct buf *out)
{
    buf_add(out, "\n\n", 2);
    exchange_piece_end(g->x);
}

static void send_head(struct generation *g)
{
    if (g->is_head_sent)
        return;
    g->is_head_sent = true;
    deadline_disarm(&g->router->hold_due, &g->hold_due);
    exchange_stream_start(g->x, "text/event-stream; charset=utf-8",
                          "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    g->form->start(g);
}

void generation_hold_due(void *owner, uint64_t now_ns)
{
    (void)now_ns;
    send_head(owner);
}

static void write_usage(const struct generation *g, const struct done_head *d, struct buf *out)
{
    const struct request *r = g->request;

    buf_printf(out,
               "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%u},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":%u}},"
               "\"timing\":{\"queue_ms\":%.3f,\"prefill_ms\":%.3f,\"decode_ms\":%.3f}",
               r->prompt_tokens, r->n_tokens, r->prompt_tokens + r->n_tokens, r->cached_tokens,
               g->reasoning_tokens, (double)(r->submitted_ns - r->accepted_ns) / 1e6,
               (double)d->prefill_ns / 1e6, (double)d->decode_ns / 1e6);
}

static void end_stream(struct generation *g, const struct done_head *d)
{
    g->form->finish(g, (enum finish_reason)d->reason);

    struct buf *out = exchange_piece_begin(g->x);
    buf_printf(out, "data: {\"id\":\"%s\",\"object\":\"%s\",\"created\":%llu,\"model\":", g->id,
               g->form->dialect == DIALECT_CHAT ? "chat.completion.chunk" : "text_completion",
               (unsigned long long)g->created);
    buf_add_json_string(out, g->params.model, strlen(g->params.model));
    buf_add_str(out, ",\"choices\":[],");
    write_usage(g, d, out);
    buf_add_str(out, "}\n\n");
    exchange_piece_end(g->x);

    buf_add_str(exchange_piece_begin(g->x), "data: [DONE]\n\n");
    exchange_piece_end(g->x);
    exchange_stream_end(g->x);
}

static void respond_whole(struct generation *g, const struct done_head *d)
{
    struct buf body = {0};

    g->form->whole(g, (enum finish_reason)d->reason, &body);
    buf_add_char(&body, ',');
    write_usage(g, d, &body);
    buf_add_char(&body, '}');
    exchange_respond(g->x, 200, "application/json", "", body.data, body.len);
    buf_free(&body);
}

/* ---- what the request says ---- */

static void on_accepted(void *owner)
{
    struct generation *g = owner;

    if (g->params.is_stream)
        send_head(g);
}

static void take_parts(struct generation *g, const struct part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (parts[i].len == 0)
            continue;
        if (g->params.is_stream)
            g->form->part(g, &parts[i]);
        else if (parts[i].channel == CHANNEL_REASONING)
            buf_add(&g->reasoning, parts[i].text, parts[i].len);
        else
            buf_add(&g->content, parts[i].text, parts[i].len);
    }
}

static void on_token(void *owner, const struct token_head *t, const struct part *parts, size_t n)
{
    struct generation *g = owner;

    (void)t;
    if (n > 0 && parts[0].channel == CHANNEL_REASONING)
        g->reasoning_tokens++;
    take_parts(g, parts, n);
    if (exchange_pending_bytes(g->x) <= OUTPUT_LOW_MARK)
        request_acknowledge(g->request);
}

static void on_done(void *owner, const struct done_head *d, const struct part *parts, size_t n)
{
    struct generation *g = owner;
    struct request *r = g->request;

    take_parts(g, parts, n);
    if (g->params.is_stream)
        end_stream(g, d);
    else
        respond_whole(g, d);
    free_generation(g);
    request_release(r);
}

static void on_failed(void *owner, enum api_error error, const char *text)
{
    struct generation *g = owner;

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
    free_generation(g);
}

static const struct request_ops request_ops = {on_accepted, on_token, on_done, on_failed};

/* ---- what the connection says ---- */

static void on_gone(struct exchange *x)
{
    struct generation *g = x->call;

    if (g->request != NULL)
        request_cancel(g->request);
    free_generation(g);
}

static void on_drained(struct exchange *x)
{
    struct generation *g = x->call;

    if (g->request != NULL)
        request_acknowledge(g->request);
}

static void on_silent(struct exchange *x)
{
    buf_add_str(exchange_piece_begin(x), ": keep-alive\n\n");
    exchange_piece_end(x);
    counter_add(&x->server->counters->keepalives_sent, 1);
}

static const struct exchange_ops exchange_ops = {on_gone, on_drained, on_silent};

/* ---- the beginning ---- */

static uint64_t hash_text(uint64_t h, const struct json_object *v)
{
    size_t len;

    if (v == NULL)
        return h;
    if (json_type_of(v) == JSON_STRING) {
        const char *s = json_string(v, &len);
        return hash_mix(h, hash_xxh3(s, len));
    }
    if (json_type_of(v) == JSON_ARRAY)
        for (size_t i = 0; i < json_length(v) && i < 16; i++)
            h = hash_text(h, json_get(json_at(v, i), "text"));
    return h;
}

/* The conversation: the client's header, else its leading messages, which later turns repeat. */
static uint64_t find_session(const struct exchange *x, const struct json_object *body)
{
    const struct json_object *messages = json_get(body, "messages");
    uint64_t h = (uint64_t)x->key;

    if (x->session != 0)
        return x->session;
    if (messages == NULL)
        return hash_text(h, json_get(body, "prompt")) | 1;
    for (size_t i = 0; i < json_length(messages) && i < LEADING_MESSAGES; i++)
        h = hash_text(h, json_get(json_at(messages, i), "content"));
    return h | 1;
}

/* The model, after every reason to refuse; NULL = refused. */
static struct model *admit(struct exchange *x, const struct params *p)
{
    struct router *rt = router_of(x);
    struct model *m = model_find(rt, p->model);
    enum api_error error;
    char text[400];

    if (m == NULL) {
        error_unknown_model(x, p->model);
        return NULL;
    }
    if (!auth_may_use(x, m->name) && !auth_may_use(x, p->model)) {
        snprintf(text, sizeof text, "this key may not use model \"%s\"", p->model);
        error_respond(x, ERROR_MODEL_FORBIDDEN, "model", text, 0);
        return NULL;
    }
    if (dispatch_admit(rt, m, p->is_stream, &error, text, sizeof text) != 0) {
        if (error == ERROR_QUEUE_FULL)
            counter_add(&m->counters->requests_rejected, 1);
        error_respond(x, error, NULL, text, error == ERROR_QUEUE_FULL ? 1 : 5);
        return NULL;
    }
    return m;
}

/* The canonical request is complete: off to a worker. */
static void start(struct generation *g)
{
    struct request *r = g->request;

    buf_add_char(&r->json, '}');
    json_writer_free(&g->writer);
    http_server_discard(g->x->server, &g->body);
    counter_add(&r->model->counters->requests, 1);
    if (g->params.is_stream)
        deadline_arm(&g->router->hold_due, &g->hold_due, g, clock_now_ns());
    dispatch_start(r);
}

/* One slice of the work before the start: the prompt is checked, then written. 1 = complete, 0 =
 * there is more, negative = refused. */
static int prepare(struct generation *g, struct param_error *e)
{
    struct buf *json = &g->request->json;

    if (g->writer == NULL) {
        int rc = g->form->check(g->body, &g->cursor, e);
        if (rc != 1)
            return rc;
        g->writer = json_writer_new(g->form->prompt(g, json));
    }
    if (json_writer_step(g->writer, json, ENCODE_SLICE) == 0)
        return 0;
    params_write(&g->params, g->body, g->form->dialect, json);
    return 1;
}

/* As prepare, with the consequences. */
static int prepare_and_start(struct generation *g)
{
    struct param_error e = {0};
    int rc = prepare(g, &e);

    if (rc > 0) {
        start(g);
    } else if (rc < 0) {
        struct request *r = g->request;
        http_server_discard(g->x->server, &g->body);
        error_respond(g->x, e.error, e.param, e.text, 0);
        free_generation(g);
        request_free(r);
    }
    return rc;
}

static void on_preparing(evutil_socket_t fd, short what, void *arg)
{
    struct generation *g = arg;
    struct http_server *s = g->x->server;

    (void)fd;
    (void)what;
    if (prepare_and_start(g) == 0)
        event_active(g->preparing, EV_TIMEOUT, 0);
    http_server_flush(s);
}

static struct generation *new_generation(struct exchange *x, const struct form *form,
                                         const struct params *p, struct model *m)
{
    struct router *rt = router_of(x);
    struct generation *g = calloc(1, sizeof *g);

    CHECK(g != NULL);
    g->router = rt;
    g->x = x;
    g->form = form;
    g->params = *p;
    g->created = clock_wall_ns() / NS_PER_S;
    g->request = request_new(rt, m, &request_ops, g);
    if (g->request == NULL) {
        free(g);
        counter_add(&m->counters->requests_rejected, 1);
        error_respond(x, ERROR_QUEUE_FULL, NULL, "this node has no slot for another request", 1);
        return NULL;
    }
    snprintf(g->id, sizeof g->id, "%s%08x%016llx", form->id_prefix, (uint32_t)rt->boot_id,
             (unsigned long long)g->request->id);
    return g;
}

static void fill_request(struct generation *g)
{
    struct request *r = g->request;

    snprintf(r->name, sizeof r->name, "%s", g->id);
    r->dialect = g->form->dialect;
    r->is_stream = g->params.is_stream;
    r->seed = g->params.has_seed ? g->params.seed : hash_random64();
    r->session = find_session(g->x, g->body);
}

enum handler_result generate(struct exchange *x, const struct form *form)
{
    struct params p;
    struct param_error e = {0};

    if (params_read(&p, x->body, form->dialect, &e) != 0) {
        error_respond(x, e.error, e.param, e.text, 0);
        return HANDLER_DONE;
    }
    struct model *m = admit(x, &p);
    if (m == NULL)
        return HANDLER_DONE;
    struct generation *g = new_generation(x, form, &p, m);
    if (g == NULL)
        return HANDLER_DONE;
    g->body = x->body;
    x->body = NULL;
    x->call = g;
    x->ops = &exchange_ops;
    fill_request(g);
    int rc = prepare_and_start(g);
    if (rc < 0)
        return HANDLER_DONE;
    if (rc == 0) {
        g->preparing = event_new(g->router->base, -1, 0, on_preparing, g);
        CHECK(g->preparing != NULL);
        event_active(g->preparing, EV_TIMEOUT, 0);
    }
    return HANDLER_PENDING;
}

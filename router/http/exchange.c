/* Exchanges: from a checked head to a route, the body on its way to JSON, and the response. */
#include "router/http/conn.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *status_text(int status)
{
    switch (status) {
#define X(code, name, text)                                                                        \
    case code:                                                                                     \
        return #text;
        HTTP_STATUS_MAP(X)
#undef X
    case 529: /* Anthropic's, beside 503 */
        return "Overloaded";
    default:
        return "Unknown";
    }
}

void exchange_forget(struct conn *c)
{
    struct exchange *x = &c->x;

    free(x->path);
    free(x->query);
    http_server_discard(c->server, &x->body);
    *x = (struct exchange){.server = c->server, .key = KEY_NONE};
}

static void refuse(struct conn *c, enum api_error error, const char *text)
{
    c->state = CONN_BUSY;
    c->server->app->refuse(&c->x, error, text);
}

/* The gate said no: framing is lost or the head is hostile, so the connection ends. */
static void refuse_head(struct conn *c, const struct gate_refusal *why)
{
    counter_add(&c->server->counters->http_rejects, 1);
    c->keeps_alive = false;
    c->must_linger = true;
    refuse(c, api_error_of_status(why->status), why->text);
}

/* ---- the head ---- */

static int stop_at_body(http_parser *p)
{
    (void)p;
    return 1; /* no body for http-parser: the chunk decoder and the counter here read it */
}

/* http-parser's view of a head the gate let through. False when the two disagree. */
static bool parse_head(const char *data, size_t len, const struct gate_head *head,
                       bool *keeps_alive)
{
    static const http_parser_settings settings = {.on_headers_complete = stop_at_body};
    http_parser p;

    http_parser_init(&p, HTTP_REQUEST);
    http_parser_execute(&p, &settings, data, len);
    if (HTTP_PARSER_ERRNO(&p) != HPE_OK) /* Upgrade is an offer, and not taken */
        return false;
    *keeps_alive = http_should_keep_alive(&p) != 0;
    return strcmp(http_method_str((enum http_method)p.method), gate_method_name(head->method)) == 0 &&
           p.http_minor == head->minor;
}

static const char *field(const struct gate_head *head, const char *data, const char *name,
                         size_t *len)
{
    bool found;
    struct gate_span span = gate_find(head, data, name, &found);

    *len = span.len;
    return found ? data + span.at : NULL;
}

void exchange_make_id(struct conn *c)
{
    struct http_server *s = c->server;

    snprintf(c->x.request_id, sizeof c->x.request_id, "req_%016llx",
             (unsigned long long)hash_mix(s->id_prefix, s->n_exchanges++));
}

/* A path with "*" at its end matches any longer one and yields the rest. */
static bool match_path(const struct route *r, const char *path, const char **parameter)
{
    size_t len = strlen(r->path);

    if (r->path[len - 1] != '*') {
        *parameter = "";
        return strcmp(r->path, path) == 0;
    }
    *parameter = path + len - 1;
    return strncmp(r->path, path, len - 1) == 0 && path[len - 1] != '\0';
}

/* Refused by its head: a body that may come is not read, and so the connection ends. */
static void refuse_by_head(struct conn *c, const struct gate_head *head, enum api_error error,
                           const char *text)
{
    c->must_linger = head->has_body;
    c->keeps_alive = c->keeps_alive && !head->has_body;
    refuse(c, error, text);
}

/* The route, or NULL after the refusal. */
static const struct route *find_route(struct conn *c, const struct gate_head *head,
                                      const char *path)
{
    const char *parameter;
    bool path_known = false;
    char text[300];

    for (const struct route *r = c->server->app->routes; r->path != NULL; r++) {
        if (!match_path(r, path, &parameter))
            continue;
        path_known = true;
        if (r->method == c->x.method) {
            c->x.parameter = parameter;
            return r;
        }
    }
    snprintf(text, sizeof text, path_known ? "%s is not a method of %.128s" : "no such route: %s %.128s",
             gate_method_name(c->x.method), path);
    refuse_by_head(c, head, path_known ? ERROR_METHOD : ERROR_NO_ROUTE, text);
    return NULL;
}

static bool authorize(struct conn *c, const struct gate_head *head, const char *data)
{
    size_t len;
    const char *value = field(head, data, "authorization", &len);

    if (c->x.route->auth == AUTH_OPEN)
        return true;
    if (value != NULL) {
        if (len > 7 && strncasecmp(value, "Bearer ", 7) == 0) {
            value += 7;
            len -= 7;
        }
    } else {
        value = field(head, data, "x-api-key", &len);
    }
    if (c->server->app->authorize(&c->x, value, value != NULL ? len : 0))
        return true;
    counter_add(&c->server->counters->auth_failures, 1);
    refuse_by_head(c, head, ERROR_INVALID_KEY,
                   value != NULL
                       ? "this API key is not known here"
                       : "an API key is needed: Authorization: Bearer KEY, or x-api-key: KEY");
    return false;
}

static bool is_json_type(const char *value, size_t len)
{
    static const char type[] = "application/json";
    size_t n = sizeof type - 1;

    return value != NULL && len >= n && strncasecmp(value, type, n) == 0 &&
           (len == n || value[n] == ';' || value[n] == ' ');
}

/* Rules about the body that the head decides. */
static bool admit_body(struct conn *c, const struct gate_head *head, const char *data)
{
    size_t len;
    const char *type = field(head, data, "content-type", &len);
    uint64_t max = c->x.route->body_max;
    char text[160];

    if (!head->has_body)
        return true;
    c->must_linger = true;
    if (max == BODY_MAX)
        max = (uint64_t)c->server->config->gateway.body_max_mb << 20;
    c->body_max = max;
    if (head->content_length > max || (max == 0 && head->is_chunked)) {
        c->keeps_alive = false;
        snprintf(text, sizeof text, "the body may have at most %llu bytes here",
                 (unsigned long long)max);
        refuse(c, ERROR_BODY_TOO_LARGE, text);
        return false;
    }
    if (!is_json_type(type, len)) {
        c->keeps_alive = false;
        refuse(c, ERROR_MEDIA_TYPE, "the body must be application/json");
        return false;
    }
    return true;
}

static bool refuse_when_draining(struct conn *c)
{
    if (!c->server->is_draining || c->x.route->auth == AUTH_OPEN)
        return false;
    c->keeps_alive = false;
    refuse(c, ERROR_SHUTTING_DOWN, "this node is shutting down; try another, or again");
    return true;
}

static void dispatch(struct conn *c)
{
    c->state = CONN_BUSY;
    if (c->x.route->handle(&c->x) == HANDLER_PENDING)
        CHECK(c->x.ops != NULL);
}

static void start_body(struct conn *c, const struct gate_head *head)
{
    c->state = CONN_BODY;
    c->is_chunked_in = head->is_chunked;
    c->body_left = head->content_length;
    c->body_seen = 0;
    c->body_start_ns = clock_now_ns();
    chunked_init(&c->chunked);
    if (c->reader == NULL)
        c->reader = json_reader_new();
    json_reader_reset(c->reader);
    if (head->expects_continue) {
        buf_add_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        conn_mark_dirty(c);
    }
}

/* "/v1/v1/x" is "/v1/x": a base URL with /v1 given to a client that adds its own. */
static const char *normal_path(const char *path)
{
    return strncmp(path, "/v1/v1/", 7) == 0 ? path + 3 : path;
}

static void take_exchange(struct conn *c, const char *data, size_t head_len)
{
    struct gate_head head;
    struct gate_refusal why;
    struct exchange *x = &c->x;
    size_t len;

    c->must_linger = false;
    c->keeps_alive = false;
    exchange_make_id(c);
    if (gate_check(data, head_len, &c->server->hosts, &head, &why) != GATE_OK) {
        refuse_head(c, &why);
        return;
    }
    if (!parse_head(data, head_len, &head, &c->keeps_alive)) {
        why = (struct gate_refusal){400, "the request head is ambiguous"};
        refuse_head(c, &why);
        return;
    }
    x->method = head.method;
    x->is_http10 = head.minor == 0;
    x->path = strdup(normal_path(head.path));
    x->query = strndup(data + head.query.at, head.query.len);
    CHECK(x->path != NULL && x->query != NULL);
    const char *session = field(&head, data, "x-session-id", &len);
    x->session = session != NULL ? hash_xxh3(session, len) | 1 : 0;

    x->route = find_route(c, &head, x->path);
    if (x->route == NULL)
        return;
    if (!authorize(c, &head, data) || !admit_body(c, &head, data))
        return;
    if (refuse_when_draining(c))
        return;
    if (head.has_body)
        start_body(c, &head);
    else
        dispatch(c);
}

size_t exchange_take_head(struct conn *c, const char *data, size_t len)
{
    struct gate_refusal why;
    size_t head_len = 0;

    switch (gate_find_head(data, len, &c->scanned, &head_len, &why)) {
    case GATE_MORE:
        return 0;
    case GATE_REFUSED:
        exchange_make_id(c);
        refuse_head(c, &why);
        return len;
    case GATE_OK:
        break;
    }
    c->scanned = 0;
    take_exchange(c, data, head_len);
    return head_len;
}

/* ---- the body ---- */

static void fail_body(struct conn *c, enum api_error error, const char *text)
{
    c->keeps_alive = false;
    if (error == ERROR_MALFORMED_JSON)
        counter_add(&c->server->counters->json_rejects, 1);
    refuse(c, error, text);
}

/* False when the body was refused. */
static bool feed_body(struct conn *c, const char *data, size_t len)
{
    struct err e;
    char text[160];

    c->body_seen += len;
    if (c->body_seen > c->body_max) {
        snprintf(text, sizeof text, "the body may have at most %llu bytes here",
                 (unsigned long long)c->body_max);
        fail_body(c, ERROR_BODY_TOO_LARGE, text);
        return false;
    }
    if (json_reader_feed(c->reader, data, len, &e) != 0) {
        fail_body(c, ERROR_MALFORMED_JSON, e.text);
        return false;
    }
    return true;
}

static void finish_body(struct conn *c)
{
    struct err e;

    c->must_linger = false;
    if (json_reader_finish(c->reader, &c->x.body, &e) != 0) {
        fail_body(c, ERROR_MALFORMED_JSON, e.text);
        return;
    }
    if (c->body_seen > OUTPUT_LOW_MARK) /* its buffers have grown: give them back */
        json_reader_free(&c->reader);
    if (refuse_when_draining(c))
        return;
    dispatch(c);
}

static size_t take_chunks(struct conn *c, const char *data, size_t len)
{
    size_t total = 0;

    for (;;) {
        const char *piece;
        size_t used, piece_len;
        enum chunked_result rc =
            chunked_next(&c->chunked, data + total, len - total, &used, &piece, &piece_len);

        total += used;
        switch (rc) {
        case CHUNKED_MORE:
            return total;
        case CHUNKED_DATA:
            if (!feed_body(c, piece, piece_len))
                return total;
            break;
        case CHUNKED_END:
            finish_body(c);
            return total;
        case CHUNKED_REFUSED:
            counter_add(&c->server->counters->http_rejects, 1);
            fail_body(c, ERROR_BAD_HTTP, c->chunked.why);
            return len;
        }
    }
}

size_t exchange_take_body(struct conn *c, const char *data, size_t len)
{
    if (c->is_chunked_in)
        return take_chunks(c, data, len);
    size_t n = len < c->body_left ? len : (size_t)c->body_left;
    if (!feed_body(c, data, n))
        return n;
    c->body_left -= n;
    if (c->body_left == 0)
        finish_body(c);
    return n;
}

/* ---- the response ---- */

static void add_head(struct conn *c, int status, const char *type, const char *headers)
{
    struct buf *out = &c->out;

    buf_add_str(out, "HTTP/1.1 ");
    buf_add_u64(out, (uint64_t)status);
    buf_add_char(out, ' ');
    buf_add_str(out, status_text(status));
    buf_add_str(out, "\r\nDate: ");
    buf_add_str(out, c->server->date);
    buf_add_str(out, "\r\nContent-Type: ");
    buf_add_str(out, type);
    buf_add_str(out, "\r\nx-request-id: ");
    buf_add_str(out, c->x.request_id);
    buf_add_str(out, "\r\nrequest-id: ");
    buf_add_str(out, c->x.request_id);
    buf_add_str(out, "\r\n");
    buf_add_str(out, headers);
    if (!c->keeps_alive)
        buf_add_str(out, "Connection: close\r\n");
    else if (c->x.is_http10)
        buf_add_str(out, "Connection: keep-alive\r\n");
}

/* The response is complete: on to the next request, or to the end. */
static void finish_exchange(struct conn *c)
{
    counter_add(&c->server->counters->http_requests, 1);
    exchange_forget(c);
    c->is_streaming = false;
    deadline_disarm(&c->server->silent_due, &c->silent_due);
    c->state = c->keeps_alive ? CONN_HEAD : CONN_CLOSING;
    conn_mark_dirty(c);
}

void exchange_respond(struct exchange *x, int status, const char *type, const char *headers,
                      const char *body, size_t len)
{
    struct conn *c = conn_of(x);

    CHECK(c->state == CONN_BUSY && !c->is_streaming);
    if (status == 400)
        c->keeps_alive = false;
    add_head(c, status, type, headers);
    buf_add_str(&c->out, "Content-Length: ");
    buf_add_u64(&c->out, len);
    buf_add_str(&c->out, "\r\n\r\n");
    if (x->method != METHOD_HEAD)
        buf_add(&c->out, body, len);
    finish_exchange(c);
}

void exchange_stream_start(struct exchange *x, const char *type, const char *headers)
{
    struct conn *c = conn_of(x);

    CHECK(c->state == CONN_BUSY && !c->is_streaming);
    c->is_streaming = true;
    c->is_chunked_out = !x->is_http10;
    if (x->is_http10)
        c->keeps_alive = false;
    add_head(c, 200, type, headers);
    buf_add_str(&c->out, c->is_chunked_out ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    conn_mark_dirty(c);
}

bool exchange_is_streaming(const struct exchange *x)
{
    return conn_of((struct exchange *)(uintptr_t)x)->is_streaming;
}

#define SIZE_LINE_LEN 8 /* six digits and CRLF; leading zeros are allowed by the grammar */

struct buf *exchange_piece_begin(struct exchange *x)
{
    struct conn *c = conn_of(x);

    CHECK(c->is_streaming);
    if (c->is_chunked_out)
        buf_add(&c->out, "000000\r\n", SIZE_LINE_LEN);
    c->piece_at = buf_pending(&c->out);
    return &c->out;
}

void exchange_piece_end(struct exchange *x)
{
    static const char hex[] = "0123456789abcdef";
    struct conn *c = conn_of(x);
    size_t len = buf_pending(&c->out) - c->piece_at;

    if (c->is_chunked_out) {
        CHECK(len > 0 && len <= 0xffffff);
        char *digit = c->out.data + c->out.pos + c->piece_at - 3; /* before CRLF */
        for (size_t n = len; n > 0; n >>= 4)
            *digit-- = hex[n & 15];
        buf_add(&c->out, "\r\n", 2);
    }
    conn_mark_dirty(c);
}

void exchange_stream_end(struct exchange *x)
{
    struct conn *c = conn_of(x);

    CHECK(c->is_streaming);
    if (c->is_chunked_out)
        buf_add_str(&c->out, "0\r\n\r\n");
    finish_exchange(c);
}

size_t exchange_pending_bytes(const struct exchange *x)
{
    return buf_pending(&conn_of((struct exchange *)(uintptr_t)x)->out);
}

#include "router/api/errors.h"

#include "base/log.h"
#include "base/names.h"
#include "router/api/auth.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define RETRY_S_MAX 60

/* Control characters, C1 ones included, become '?': an error is often shown on a terminal. */
static void copy_printable(char *to, size_t size, const char *from)
{
    size_t n = 0;

    for (; *from != '\0' && n + 1 < size; from++) {
        unsigned char c = (unsigned char)*from;
        if ((c == 0xc2 && (unsigned char)from[1] >= 0x80 && (unsigned char)from[1] < 0xa0))
            from++;
        else if (c >= 0x20 && c != 0x7f) {
            to[n++] = (char)c;
            continue;
        }
        to[n++] = '?';
    }
    to[n] = '\0';
}

void error_write(struct buf *out, enum api_error error, const char *param, const char *text)
{
    const struct api_error_desc *d = &api_errors[error];
    char printable[512];

    copy_printable(printable, sizeof printable, text);
    buf_add_str(out, "{\"error\":{\"message\":");
    buf_add_json_string(out, printable, strlen(printable));
    buf_printf(out, ",\"type\":\"%s\",\"param\":", d->type);
    if (param != NULL)
        buf_add_json_string(out, param, strlen(param));
    else
        buf_add_str(out, "null");
    buf_printf(out, ",\"code\":\"%s\"}}", d->code);
}

void error_write_messages(struct buf *out, enum api_error error, const char *text,
                          const char *request_id)
{
    char printable[512];

    copy_printable(printable, sizeof printable, text);
    buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
               messages_error_type(error));
    buf_add_json_string(out, printable, strlen(printable));
    if (error == ERROR_NO_THREADS) /* Anthropic's SDKs then send the conversation themselves */
        buf_printf(out, ",\"details\":{\"error_code\":\"%s\"}", api_errors[error].code);
    buf_printf(out, "},\"request_id\":\"%s\"}", request_id);
}

/* /v1/messages and what is below it, whether there is such a route or not. */
static bool is_messages_path(const char *path)
{
    static const char root[] = "/v1/messages";
    size_t len = sizeof root - 1;

    return path != NULL && strncmp(path, root, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* The methods a path has, for 405. */
static void add_allow(const struct exchange *x, char *headers, size_t size)
{
    size_t n = 0;

    for (const struct route *r = x->server->app->routes; r->path != NULL; r++) {
        size_t len = strlen(r->path);
        bool matches = r->path[len - 1] == '*' ? strncmp(x->path, r->path, len - 1) == 0
                                                : strcmp(x->path, r->path) == 0;
        if (matches && n < size)
            n += (size_t)snprintf(headers + n, size - n, "%s%s", n == 0 ? "Allow: " : ", ",
                                  gate_method_name(r->method));
    }
    if (n < size)
        snprintf(headers + n, size - n, "\r\n");
}

void error_respond(struct exchange *x, enum api_error error, const char *param, const char *text,
                   unsigned retry_s)
{
    const struct api_error_desc *d = &api_errors[error];
    bool is_messages = is_messages_path(x->path);
    struct buf body = {0};
    char headers[256] = "";
    size_t n = 0;

    if (error == ERROR_METHOD)
        add_allow(x, headers, sizeof headers);
    n = strlen(headers);
    if (d->is_retryable)
        n += (size_t)snprintf(headers + n, sizeof headers - n, "retry-after: %u\r\n",
                              retry_s < 1 ? 1 : retry_s > RETRY_S_MAX ? RETRY_S_MAX : retry_s);
    snprintf(headers + n, sizeof headers - n, "x-should-retry: %s\r\n",
             d->is_retryable ? "true" : "false");
    if (error == ERROR_INTERNAL) {
        counter_add(&x->server->counters->internal_errors, 1);
        log_error(LOG_HTTP, "%s: internal error: %s", x->request_id, text);
    }
    if (is_messages)
        error_write_messages(&body, error, text, x->request_id);
    else
        error_write(&body, error, param, text);
    exchange_respond(x, is_messages ? messages_error_status(error) : d->status,
                     "application/json", headers, body.data, body.len);
    buf_free(&body);
}

void error_unknown_model(struct exchange *x, const char *name)
{
    const struct config *c = x->server->config;
    const char *names[CONFIG_MODELS_MAX + CONFIG_ALIASES_MAX];
    size_t n = 0;
    char text[400];

    for (size_t i = 0; i < c->n_models; i++)
        if (auth_may_use(x, c->models[i].id))
            names[n++] = c->models[i].id;
    for (size_t i = 0; i < c->n_aliases; i++)
        if (auth_may_use(x, c->aliases[i].id) || auth_may_use(x, c->aliases[i].model))
            names[n++] = c->aliases[i].id;
    const char *nearest = names_nearest(name, names, n);
    if (nearest != NULL)
        snprintf(text, sizeof text, "model \"%.128s\" is not known here; did you mean \"%s\"?",
                 name, nearest);
    else
        snprintf(text, sizeof text, "model \"%.128s\" is not known here; GET /v1/models lists them",
                 name);
    error_respond(x, ERROR_MODEL_NOT_FOUND, "model", text, 0);
}

void error_refuse(struct exchange *x, enum api_error error, const char *text)
{
    error_respond(x, error, NULL, text, 1);
}

#include "router/api/errors.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define RETRY_S_MAX 60

void error_write(struct buf *out, enum api_error error, const char *param, const char *text)
{
    const struct api_error_desc *d = &api_errors[error];

    buf_add_str(out, "{\"error\":{\"message\":");
    buf_add_json_string(out, text, strlen(text));
    buf_printf(out, ",\"type\":\"%s\",\"param\":", d->type);
    if (param != NULL)
        buf_add_json_string(out, param, strlen(param));
    else
        buf_add_str(out, "null");
    buf_printf(out, ",\"code\":\"%s\"}}", d->code);
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
    error_write(&body, error, param, text);
    exchange_respond(x, d->status, "application/json", headers, body.data, body.len);
    buf_free(&body);
}

void error_refuse(struct exchange *x, enum api_error error, const char *text)
{
    error_respond(x, error, NULL, text, 1);
}

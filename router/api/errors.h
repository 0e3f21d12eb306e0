/* Error answers in the dialect of the route. */
#ifndef ROUTER_API_ERRORS_H
#define ROUTER_API_ERRORS_H

#include "router/http/server.h"

/* A complete error response. param: the field at fault, or NULL. retry_s: seconds for retry-after,
 * at most 60, of an error that is retryable. */
void error_respond(struct exchange *x, enum api_error error, const char *param, const char *text,
                   unsigned retry_s);

/* 404 for a model, with the nearest name. */
void error_unknown_model(struct exchange *x, const char *name);

/* The error object alone, for error events in a stream. What the text echoes of a client comes out
 * printable. */
void error_write(struct buf *out, enum api_error error, const char *param, const char *text);

/* The same in Anthropic's envelope. */
void error_write_messages(struct buf *out, enum api_error error, const char *text,
                          const char *request_id);

/* http_app.refuse */
void error_refuse(struct exchange *x, enum api_error error, const char *text);

#endif

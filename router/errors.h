/* Every error a client can get: one list (api.md §4). The dialects write the envelopes. */
#ifndef ROUTER_ERRORS_H
#define ROUTER_ERRORS_H

/* Anthropic's types of errors, for /v1/messages. X(constant, text, HTTP status where it is not OpenAI's) */
#define MESSAGES_ERRORS(X)                                                                         \
    X(INVALID, "invalid_request_error", 0) X(UNKNOWN_KEY, "authentication_error", 0)               \
    X(FORBIDDEN, "permission_error", 0) X(NOT_FOUND, "not_found_error", 0)                         \
    X(TOO_LARGE, "request_too_large", 0) X(RATE, "rate_limit_error", 0)                            \
    X(TIMEOUT, "timeout_error", 0) X(API, "api_error", 0) X(OVERLOADED, "overloaded_error", 529)

/* X(constant, HTTP status, OpenAI code, OpenAI type, Anthropic's, is retryable: retry-after and
 * x-should-retry) */
#define API_ERRORS(X)                                                                              \
    X(ERROR_BAD_HTTP, 400, "bad_request", "invalid_request_error", INVALID, 0)                     \
    X(ERROR_MALFORMED_JSON, 400, "malformed_json", "invalid_request_error", INVALID, 0)            \
    X(ERROR_INVALID_BODY, 400, "invalid_request_body", "invalid_request_error", INVALID, 0)        \
    X(ERROR_UNSUPPORTED_PARAMETER, 400, "unsupported_parameter", "invalid_request_error",          \
      INVALID, 0)                                                                                  \
    X(ERROR_CONTEXT_LENGTH, 400, "context_length_exceeded", "invalid_request_error", INVALID, 0)   \
    X(ERROR_INVALID_KEY, 401, "invalid_api_key", "authentication_error", UNKNOWN_KEY, 0)           \
    X(ERROR_MODEL_FORBIDDEN, 403, "model_forbidden", "permission_error", FORBIDDEN, 0)             \
    X(ERROR_NO_ROUTE, 404, "not_found", "invalid_request_error", NOT_FOUND, 0)                     \
    X(ERROR_MODEL_NOT_FOUND, 404, "model_not_found", "invalid_request_error", NOT_FOUND, 0)        \
    X(ERROR_PREVIOUS_RESPONSE, 404, "previous_response_not_found", "invalid_request_error",        \
      NOT_FOUND, 0)                                                                                \
    X(ERROR_RESPONSE_NOT_FOUND, 404, "response_not_found", "invalid_request_error", NOT_FOUND, 0)  \
    X(ERROR_ITEM_NOT_FOUND, 404, "item_not_found", "invalid_request_error", NOT_FOUND, 0)          \
    X(ERROR_METHOD, 405, "method_not_allowed", "invalid_request_error", INVALID, 0)                \
    X(ERROR_TIMEOUT, 408, "request_timeout", "invalid_request_error", TIMEOUT, 0)                  \
    X(ERROR_CANCELLED, 409, "response_cancelled", "invalid_request_error", INVALID, 0)             \
    X(ERROR_BODY_TOO_LARGE, 413, "request_too_large", "invalid_request_error", TOO_LARGE, 0)       \
    X(ERROR_PROMPT_MEMORY, 413, "prompt_too_long_for_memory", "invalid_request_error", INVALID, 0) \
    X(ERROR_URI_TOO_LONG, 414, "uri_too_long", "invalid_request_error", TOO_LARGE, 0)              \
    X(ERROR_MEDIA_TYPE, 415, "unsupported_media_type", "invalid_request_error", INVALID, 0)        \
    X(ERROR_EXPECTATION, 417, "expectation_failed", "invalid_request_error", INVALID, 0)           \
    X(ERROR_MISDIRECTED, 421, "misdirected_request", "invalid_request_error", INVALID, 0)          \
    X(ERROR_QUEUE_FULL, 429, "rate_limit_exceeded", "rate_limit_error", RATE, 1)                   \
    X(ERROR_HEADERS_TOO_LARGE, 431, "headers_too_large", "invalid_request_error", TOO_LARGE, 0)    \
    X(ERROR_QUARANTINED, 500, "request_quarantined", "server_error", API, 0)                       \
    X(ERROR_EMPTY_ANSWER, 500, "empty_answer", "server_error", API, 0)                             \
    X(ERROR_INTERNAL, 500, "internal_error", "server_error", API, 0)                               \
    X(ERROR_METHOD_UNKNOWN, 501, "not_implemented", "invalid_request_error", INVALID, 0)           \
    X(ERROR_MODEL_LOADING, 503, "model_loading", "overloaded_error", OVERLOADED, 1)                \
    X(ERROR_MODEL_FAILED, 503, "model_failed", "overloaded_error", OVERLOADED, 1)                  \
    X(ERROR_NO_WORKER, 503, "no_healthy_node", "overloaded_error", OVERLOADED, 1)                  \
    X(ERROR_SHUTTING_DOWN, 503, "shutting_down", "overloaded_error", OVERLOADED, 1)                \
    X(ERROR_DEADLINE, 504, "request_timeout", "server_error", TIMEOUT, 0)                          \
    X(ERROR_HTTP_VERSION, 505, "http_version_not_supported", "invalid_request_error", INVALID, 0)

#define X(constant, text, status) MESSAGES_ERROR_##constant,
enum messages_error { MESSAGES_ERRORS(X) MESSAGES_ERRORS_N };
#undef X

#define X(constant, status, code, type, messages, is_retryable) constant,
enum api_error { API_ERRORS(X) API_ERRORS_N };
#undef X

struct api_error_desc {
    int status;
    const char *code;
    const char *type;
    enum messages_error messages;
    int is_retryable;
};
extern const struct api_error_desc api_errors[API_ERRORS_N];

/* Anthropic's type and status of an error. */
const char *messages_error_type(enum api_error error);
int messages_error_status(enum api_error error);

/* The error for a status that the gate refused with. */
enum api_error api_error_of_status(int status);

#endif

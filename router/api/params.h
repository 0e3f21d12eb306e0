/* The parameters of the generating endpoints: one table. Unknown fields are ignored; a known one
 * that cannot be honoured is refused by name; nothing is accepted and silently not done. */
#ifndef ROUTER_API_PARAMS_H
#define ROUTER_API_PARAMS_H

#include "base/json.h"
#include "router/errors.h"
#include "shm/states.h"

#include <stdbool.h>
#include <stdint.h>

#define IN_CHAT       (1u << DIALECT_CHAT)
#define IN_COMPLETION (1u << DIALECT_COMPLETION)
#define IN_BOTH       (IN_CHAT | IN_COMPLETION)

/* X(name, type, least, most, dialects, use)
 * type: NUMBER INTEGER BOOL STRING OBJECT ARRAY, STOP = string or array of strings, CHOICE = a word
 * or an object, COUNT = false, true or a number, ANY.
 * use:  OWN      the dialect's own code reads it
 *       FORWARD  goes to the worker in "sampling"
 *       DEFAULT  only its default value is supported: refused with any other */
#define API_PARAMS(X)                                                                              \
    X(model, STRING, 1, 128, IN_BOTH, OWN)                                                         \
    X(messages, ARRAY, 1, 100000, IN_CHAT, OWN)                                                    \
    X(prompt, ANY, 0, 0, IN_COMPLETION, OWN)                                                       \
    X(stream, BOOL, 0, 1, IN_BOTH, OWN)                                                            \
    X(stream_options, OBJECT, 0, 0, IN_BOTH, OWN) /* usage comes always */                         \
    X(max_tokens, INTEGER, 1, 16777216, IN_BOTH, OWN)                                              \
    X(max_completion_tokens, INTEGER, 1, 16777216, IN_CHAT, OWN)                                   \
    X(stop, STOP, 0, 16, IN_BOTH, OWN)                                                             \
    X(seed, INTEGER, -9223372036854775807., 9223372036854775807., IN_BOTH, OWN)                    \
    X(temperature, NUMBER, 0, 2, IN_BOTH, FORWARD)                                                 \
    X(top_p, NUMBER, 0, 1, IN_BOTH, FORWARD)                                                       \
    X(top_k, INTEGER, -1, 1000000, IN_BOTH, FORWARD)                                               \
    X(min_p, NUMBER, 0, 1, IN_BOTH, FORWARD)                                                       \
    X(presence_penalty, NUMBER, -2, 2, IN_BOTH, FORWARD)                                           \
    X(frequency_penalty, NUMBER, -2, 2, IN_BOTH, FORWARD)                                          \
    X(repetition_penalty, NUMBER, 0.01, 10, IN_BOTH, FORWARD)                                      \
    X(logit_bias, OBJECT, 0, 0, IN_BOTH, FORWARD)                                                  \
    X(reasoning_effort, STRING, 1, 32, IN_CHAT, FORWARD)                                           \
    X(chat_template_kwargs, OBJECT, 0, 0, IN_CHAT, FORWARD)                                        \
    X(n, INTEGER, 1, 1, IN_BOTH, DEFAULT)                                                          \
    X(best_of, INTEGER, 1, 1, IN_COMPLETION, DEFAULT)                                              \
    X(logprobs, COUNT, 0, 0, IN_BOTH, DEFAULT)                                                     \
    X(top_logprobs, INTEGER, 0, 0, IN_CHAT, DEFAULT)                                               \
    X(echo, BOOL, 0, 0, IN_COMPLETION, DEFAULT)                                                    \
    X(suffix, STRING, 0, 0, IN_COMPLETION, DEFAULT)                                                \
    X(tools, ARRAY, 0, 0, IN_CHAT, DEFAULT)                                                        \
    X(functions, ARRAY, 0, 0, IN_CHAT, DEFAULT)                                                    \
    X(tool_choice, CHOICE, 0, 0, IN_CHAT, DEFAULT)                                                 \
    X(response_format, OBJECT, 0, 0, IN_CHAT, DEFAULT)

enum param_type { PARAM_NUMBER, PARAM_INTEGER, PARAM_BOOL, PARAM_STRING, PARAM_OBJECT, PARAM_ARRAY,
                  PARAM_STOP, PARAM_CHOICE, PARAM_COUNT, PARAM_ANY };
enum param_use { PARAM_OWN, PARAM_FORWARD, PARAM_DEFAULT };

#define STOP_LEN_MAX 256

struct params {
    char model[129];
    bool is_stream;
    int64_t max_tokens;  /* 0 = not given */
    bool has_seed;
    uint64_t seed;
};

/* What is wrong with a request. */
struct param_error {
    enum api_error error;
    const char *param; /* static or NULL */
    char text[300];
};

/* Check every known field of the body. 0, or -EINVAL and *e. */
int params_read(struct params *p, const struct json_object *body, enum dialect dialect,
                struct param_error *e);

/* Append ,"max_tokens":…,"stop":[…],"sampling":{…} of the canonical request. */
void params_write(const struct params *p, const struct json_object *body, enum dialect dialect,
                  struct buf *out);

int param_refuse(struct param_error *e, enum api_error error, const char *param, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));

#endif

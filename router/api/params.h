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
#define IN_TOKENIZE   (1u << DIALECT_TOKENIZE)
#define IN_DETOKENIZE (1u << DIALECT_DETOKENIZE)
#define IN_TEMPLATE   (1u << DIALECT_TEMPLATE)
#define IN_EMBEDDING  (1u << DIALECT_EMBEDDING)
#define IN_RESPONSES  (1u << DIALECT_RESPONSES)
#define IN_ANTHROPIC  (1u << DIALECT_MESSAGES)
#define IN_COUNT      (1u << DIALECT_COUNT)
#define IN_BOTH       (IN_CHAT | IN_COMPLETION)
#define IN_OPENAI     (IN_BOTH | IN_RESPONSES)
#define IN_ANSWERS    (IN_OPENAI | IN_ANTHROPIC) /* those that generate */
#define IN_TURNS      (IN_ANTHROPIC | IN_COUNT)
#define IN_TEXTS      (IN_TOKENIZE | IN_TEMPLATE)
#define IN_MESSAGES   (IN_CHAT | IN_TEXTS)
#define IN_TEMPLATED  (IN_MESSAGES | IN_TURNS | IN_RESPONSES)
#define IN_ALL        (IN_ANSWERS | IN_TEXTS | IN_DETOKENIZE | IN_COUNT | IN_EMBEDDING)

/* X(name, type, least, most, dialects, use)
 * type: NUMBER INTEGER BOOL STRING OBJECT ARRAY, OBJECTS = array of objects, STOP = string or array
 * of strings, BIAS = numbers by token id, CHOICE = a word or an object, ANY.
 * use:  OWN      the dialect's own code reads it
 *       FORWARD  goes to the worker in "sampling"
 *       DEFAULT  only its default value is supported: refused with any other
 *       NEVER    refused with any value */
#define API_PARAMS(X)                                                                              \
    X(model, STRING, 1, 128, IN_ALL, OWN)                                                          \
    X(messages, ARRAY, 1, 100000, IN_MESSAGES, OWN)                                                \
    X(prompt, ANY, 0, 0, IN_COMPLETION, OWN)                                                       \
    X(input, ANY, 0, 0, IN_EMBEDDING, OWN)                                                         \
    X(dimensions, INTEGER, 1, 65536, IN_EMBEDDING, OWN)                                            \
    X(encoding_format, STRING, 1, 16, IN_EMBEDDING, OWN) /* float or base64 */                     \
    X(prompt, STRING, 0, TEXT_MAX, IN_TOKENIZE, OWN)                                               \
    X(content, STRING, 0, TEXT_MAX, IN_TOKENIZE, OWN)                                              \
    X(tokens, ARRAY, 0, 100000, IN_DETOKENIZE, OWN)                                                \
    X(stream, BOOL, 0, 1, IN_ANSWERS, OWN)                                                         \
    X(stream_options, OBJECT, 0, 0, IN_OPENAI, OWN) /* usage comes always */                       \
    X(max_tokens, INTEGER, 1, 16777216, IN_CHAT, OWN)                                              \
    X(max_tokens, INTEGER, 0, 16777216, IN_COMPLETION, OWN) /* 0: with echo only */                \
    X(max_completion_tokens, INTEGER, 1, 16777216, IN_CHAT, OWN)                                   \
    X(n, INTEGER, 1, 128, IN_BOTH, OWN)                                                            \
    X(best_of, INTEGER, 1, 128, IN_COMPLETION, OWN) /* n, no other */                              \
    X(logprobs, BOOL, 0, 1, IN_CHAT, OWN)                                                          \
    X(top_logprobs, INTEGER, 0, 20, IN_CHAT, OWN)                                                  \
    X(logprobs, INTEGER, 0, 20, IN_COMPLETION, OWN)                                                \
    X(echo, BOOL, 0, 1, IN_COMPLETION, OWN)                                                        \
    X(stop, STOP, 0, 16, IN_OPENAI, OWN)                                                           \
    X(seed, INTEGER, -9223372036854775807., 9223372036854775807., IN_ANSWERS, OWN)                 \
    X(temperature, NUMBER, 0, 2, IN_ANSWERS, FORWARD)                                              \
    X(top_p, NUMBER, 0, 1, IN_ANSWERS, FORWARD)                                                    \
    X(top_k, INTEGER, -1, 1000000, IN_ANSWERS, FORWARD)                                            \
    X(min_p, NUMBER, 0, 1, IN_ANSWERS, FORWARD)                                                    \
    X(presence_penalty, NUMBER, -2, 2, IN_ANSWERS, FORWARD)                                        \
    X(frequency_penalty, NUMBER, -2, 2, IN_ANSWERS, FORWARD)                                       \
    X(repetition_penalty, NUMBER, 0.01, 10, IN_ANSWERS, FORWARD)                                   \
    X(logit_bias, BIAS, -100, 100, IN_ANSWERS, FORWARD)                                            \
    X(reasoning_effort, STRING, 1, 32, IN_MESSAGES | IN_RESPONSES, FORWARD)                        \
    X(chat_template_kwargs, OBJECT, 0, 0, IN_TEMPLATED, FORWARD)                                   \
    X(add_special_tokens, BOOL, 0, 1, IN_COMPLETION | IN_TOKENIZE, OWN)                            \
    X(add_generation_prompt, BOOL, 0, 1, IN_TEXTS, OWN)                                            \
    X(with_pieces, BOOL, 0, 1, IN_TOKENIZE, OWN)                                                   \
    X(return_token_strs, BOOL, 0, 1, IN_TOKENIZE, OWN)                                             \
    X(suffix, STRING, 0, 0, IN_COMPLETION, DEFAULT)                                                \
    X(tools, OBJECTS, 0, 1024, IN_MESSAGES | IN_RESPONSES, OWN)                                                   \
    X(tool_choice, ANY, 0, 0, IN_MESSAGES | IN_RESPONSES, OWN)                                                    \
    X(parallel_tool_calls, BOOL, 0, 1, IN_CHAT | IN_RESPONSES, OWN)                                               \
    X(functions, ARRAY, 0, 0, IN_MESSAGES, DEFAULT) /* the older form of tools */                  \
    X(function_call, CHOICE, 0, 0, IN_MESSAGES, DEFAULT)                                           \
    X(response_format, OBJECT, 0, 0, IN_CHAT, OWN)                                                 \
    X(input, ANY, 0, 0, IN_RESPONSES, OWN)                                                         \
    X(instructions, STRING, 0, TEXT_MAX, IN_RESPONSES, OWN)                                        \
    X(max_output_tokens, INTEGER, 1, 16777216, IN_RESPONSES, OWN)                                  \
    X(reasoning, OBJECT, 0, 0, IN_RESPONSES, OWN)                                                  \
    X(text, OBJECT, 0, 0, IN_RESPONSES, OWN)                                                       \
    X(include, ARRAY, 0, 64, IN_RESPONSES, OWN)                                                    \
    X(top_logprobs, INTEGER, 0, 20, IN_RESPONSES, OWN)                                             \
    X(store, BOOL, 0, 1, IN_RESPONSES, OWN)                                                        \
    X(previous_response_id, STRING, 1, 128, IN_RESPONSES, OWN)                                     \
    X(metadata, OBJECT, 0, 0, IN_RESPONSES, OWN)                                                   \
    X(truncation, STRING, 1, 32, IN_RESPONSES, OWN)                                                \
    X(background, BOOL, 0, 1, IN_RESPONSES, DEFAULT)                                               \
    X(prompt, OBJECT, 0, 0, IN_RESPONSES, NEVER)                                                   \
    X(conversation, ANY, 0, 0, IN_RESPONSES, NEVER)                                                \
    X(messages, OBJECTS, 1, 100000, IN_TURNS, OWN)                                                 \
    X(system, ANY, 0, 0, IN_TURNS, OWN)                                                            \
    X(max_tokens, INTEGER, 1, 16777216, IN_ANTHROPIC, OWN)                                         \
    X(stop_sequences, STOP, 0, 16, IN_ANTHROPIC, OWN)                                              \
    X(tools, OBJECTS, 0, 1024, IN_TURNS, OWN)                                                      \
    X(tool_choice, OBJECT, 0, 0, IN_TURNS, OWN)                                                    \
    X(thinking, OBJECT, 0, 0, IN_TURNS, OWN)                                                       \
    X(output_config, OBJECT, 0, 0, IN_TURNS, OWN)                                                  \
    X(output_format, OBJECT, 0, 0, IN_TURNS, OWN) /* its older place */                            \
    X(thread, ANY, 0, 0, IN_TURNS, OWN)           /* a conversation that the server keeps */

enum param_type { PARAM_NUMBER, PARAM_INTEGER, PARAM_BOOL, PARAM_STRING, PARAM_OBJECT, PARAM_ARRAY,
                  PARAM_OBJECTS, PARAM_STOP, PARAM_BIAS, PARAM_CHOICE, PARAM_ANY };
enum param_use { PARAM_OWN, PARAM_FORWARD, PARAM_DEFAULT, PARAM_NEVER };

#define TEXT_MAX 1e9 /* bytes; the body's limit comes first */
#define STOP_LEN_MAX 256
#define BIAS_MAX     1024

struct params {
    char model[129]; /* "" = not given, where that is allowed */
    bool is_stream;
    int64_t max_tokens; /* -1 = not given */
    uint32_t n;         /* answers to each prompt */
    int32_t logprobs;   /* likeliest tokens to tell beside each; -1 = no log-probabilities */
    bool has_echo;
    bool with_pieces, with_strings; /* of a tokenised text */
    bool is_base64; /* of an embedding */
    bool add_special_tokens, add_generation_prompt;
    bool has_seed;
    uint64_t seed;
    const struct json_object *effort; /* borrowed from the body: likewise, of output_config */
};

/* What is wrong with a request. */
struct param_error {
    enum api_error error;
    char param[64]; /* "" = none */
    char text[300];
};

/* Check every known field of the body. 0, or -EINVAL and *e. */
int params_read(struct params *p, const struct json_object *body, enum dialect dialect,
                struct param_error *e);

/* Append everything of the canonical request that is no prompt: ,"max_tokens":…,"sampling":{…}. */
void params_write(const struct params *p, const struct json_object *body, enum dialect dialect,
                  struct buf *out);

/* -EINVAL. param: which one, or NULL. */
int param_refuse(struct param_error *e, enum api_error error, const char *param, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));

#endif

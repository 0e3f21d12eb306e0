/* What the router's canonical request (shm/protocol.h) asks for. */
#ifndef WORKER_PARAMS_H
#define WORKER_PARAMS_H

#include "base/err.h"
#include "base/json.h"
#include "shm/protocol.h"
#include "worker/text/call_tools.h"
#include "worker/text/stop.h"

#include <stdbool.h>

/* X(name, type): members of "sampling"; those the client did not give stay unset. */
#define SAMPLING_FIELDS(X) \
    X(temperature, JSON_NUMBER) \
    X(top_p, JSON_NUMBER) \
    X(top_k, JSON_NUMBER) \
    X(min_p, JSON_NUMBER) \
    X(presence_penalty, JSON_NUMBER) \
    X(frequency_penalty, JSON_NUMBER) \
    X(repetition_penalty, JSON_NUMBER) \
    X(logit_bias, JSON_OBJECT) \
    X(reasoning_effort, JSON_STRING) \
    X(chat_template_kwargs, JSON_OBJECT)

struct sampling_value {
    bool is_set;
    double number;             /* of a JSON_NUMBER */
    struct json_object *value; /* borrowed from params.root, as long as that lives */
};
struct sampling {
#define X(name, type) struct sampling_value name;
    SAMPLING_FIELDS(X)
#undef X
};

enum tool_choice { TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED, TOOLS_NAMED };
enum answer_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_SCHEMA };

#define THINKING_UNLIMITED UINT32_MAX

struct params {
    enum prompt_kind kind;
    uint32_t max_tokens; /* generated ones; ANSWER_UNLIMITED when the client gave none */
    uint32_t dimensions; /* of an embedding, at least 1; 0: all that the model has */
    int32_t logprobs;    /* likeliest tokens to tell beside each; -1: no log-probabilities */
    bool has_echo, has_pieces;
    bool add_special_tokens, add_generation_prompt; /* true unless the request says otherwise */
    bool has_thinking, is_thinking;                 /* is_thinking: when the request says so */
    uint32_t thinking_tokens;                       /* or THINKING_UNLIMITED */
    struct stop_list stops;                         /* owned */
    struct call_tools calls;                        /* owned: of a chat, what it may call */
    enum tool_choice tool_choice;
    uint32_t tool; /* of calls: TOOLS_NAMED */
    bool has_parallel_calls;
    enum answer_format format;
    struct sampling sampling;
    struct json_object *root;     /* owned: the whole tree, until params_drop_prompt */
    struct json_object *messages; /* borrowed from root; chat, template, tokenize, or NULL */
    struct json_object *tools;  /* borrowed from root; beside messages, or NULL: none to be shown */
    struct json_object *prompt; /* borrowed from root: a string or an array of ids, or NULL */
    struct json_object *schema; /* borrowed from root: of FORMAT_SCHEMA, or NULL */
};

/* Take over the tree. 0, or with the sentence -EINVAL for a request that is not one and -ENOTSUP
 * for a parameter that this worker does not have; then nothing is kept and the tree is freed. */
int params_parse(struct params *p, struct json_object *root, struct err *e);

/* Every text that the request came with, in order: the contents of its messages, or its prompt;
 * none of a prompt of ids. */
typedef void params_text_fn(void *ctx, const char *text, size_t len);
void params_each_text(const struct params *p, params_text_fn *fn, void *ctx);
/* Those of one message: its content, or the text parts of it. */
void params_message_text(const struct json_object *message, params_text_fn *fn, void *ctx);

/* Move the tree, and all that borrows from it, to another struct, for whoever tokenises later. The
 * stop strings and what may be called stay. */
void params_take(struct params *from, struct params *to);

/* The prompt is tokenised: give its memory back. */
void params_drop_prompt(struct params *p);
void params_free(struct params *p);

#endif

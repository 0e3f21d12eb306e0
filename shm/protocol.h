/* What travels through a link's rings (shm/ring.h): the records and their payloads.
 *
 * Life of a request on a link: the router sends SUBMIT; the worker answers with ACCEPT, then one
 * TOKEN per token, in order and without holes, then exactly one of DONE, FAIL or CANCELLED, after
 * which it says nothing about that request any more. CANCEL may come at any time; the worker
 * answers it with CANCELLED unless it had already sent DONE or FAIL. CREDIT raises the number of
 * tokens the worker may send.
 *
 * Resume: SUBMIT carries the token ids that the router has journaled. The worker replays them
 * (state, stop strings, UTF-8 remainder), sends none of them again, and its first TOKEN has index
 * n_resume. What a token does to the text is a pure function of the tokens up to it, so the text of
 * token i is the same in every incarnation.
 */
#ifndef SHM_PROTOCOL_H
#define SHM_PROTOCOL_H

#include "shm/states.h"

#include <stdint.h>

#define RING_TYPES(X)                                                                              \
    X(RING_SUBMIT, "submit", R2W)       /* struct submit_head, token ids, canonical JSON */        \
    X(RING_CREDIT, "credit", R2W)       /* struct credit_body */                                   \
    X(RING_CANCEL, "cancel", R2W)       /* nothing */                                              \
    X(RING_ACCEPT, "accept", W2R)       /* struct accept_body */                                   \
    X(RING_TOKEN, "token", W2R)         /* struct token_head, parts */                             \
    X(RING_DONE, "done", W2R)           /* struct done_head, parts */                              \
    X(RING_FAIL, "fail", W2R)           /* struct fail_head, text */                               \
    X(RING_CANCELLED, "cancelled", W2R) /* nothing */

enum ring_direction { R2W, W2R };

#define X(constant, text, direction) constant,
enum ring_type { RING_NONE, RING_TYPES(X) RING_TYPES_N };
#undef X

const char *ring_type_name(uint32_t type);
/* The direction a type travels in, or -1 for a type that does not exist. */
int ring_type_direction(uint32_t type);

#define CREDIT_TOKENS 256 /* unacknowledged tokens a request may have */

struct submit_head {
    uint64_t seed;
    uint32_t n_resume; /* token ids after this head */
    uint32_t credit;   /* tokens the worker may send in all: index < credit */
    uint32_t json_len; /* bytes of JSON after the ids */
    uint32_t flags;    /* SUBMIT_* */
};
#define SUBMIT_CANARY 1u /* the supervisor's probe of a half-open circuit */
#define SUBMIT_FLAGS  1u
_Static_assert(sizeof(struct submit_head) == 24, "ABI: bump RING_VERSION");

struct credit_body {
    uint32_t credit; /* new total; never less than before */
};

struct accept_body {
    uint32_t prompt_tokens; /* 0 for the kinds that make no new tokens, but PROMPT_COUNT */
    uint32_t cached_tokens;
    uint32_t flags; /* ACCEPT_* */
};
/* A tool's schema is beyond what can be compiled: its arguments are as the model says them. */
#define ACCEPT_UNCONSTRAINED 1u
#define ACCEPT_FLAGS         1u

struct token_head {
    uint32_t index; /* in the answer, from 0; replayed tokens count */
    uint32_t token; /* < vocabulary of the worker's READY */
    float logprob;
    uint8_t n_parts; /* parts of text after this head; none for a held-back token */
    uint8_t n_tops;  /* struct top_head after the parts: TOPS_MAX at most, 0 unless asked for */
    uint8_t flags;   /* TOKEN_* */
    uint8_t reserved;
};
/* A token of the prompt, echoed: it has a place in the journal but was not generated. Those come
 * before all others. The first one has no log-probability: NaN. */
#define TOKEN_PROMPT 1u
/* Of the reasoning channel, whether it shows text now or later. */
#define TOKEN_REASONING 2u
#define TOKEN_FLAGS     3u
_Static_assert(sizeof(struct token_head) == 16, "ABI: bump RING_VERSION");

/* What could have stood in a token's place: first the token itself, then as many of the likeliest
 * ones as the request asks for, in descending order, itself again where it is among them. A request
 * that asks for log-probabilities gets at least the token itself with each. After the head len
 * bytes, which need not be whole UTF-8 sequences. Impossible tokens have -infinity; NaN has only the
 * first echoed token. */
struct top_head {
    uint32_t token;
    float logprob;
    uint16_t len; /* at most TOP_TEXT_MAX */
    uint16_t reserved;
};
#define TOPS_MAX     21
#define TOP_TEXT_MAX 256
_Static_assert(sizeof(struct top_head) == 12, "ABI: bump RING_VERSION");

/* A piece of text: this head, then len bytes of whole UTF-8 sequences. A tool call is one part of
 * CHANNEL_CALL, the tool's name (1 to CALL_NAME_MAX bytes), then parts of CHANNEL_ARGUMENTS: together
 * the JSON text of an object, or as much of one as the model said. It ends where a part of another
 * channel or another call begins. */
struct part_head {
    uint16_t len;
    uint8_t channel; /* enum channel */
    uint8_t reserved;
};
#define PARTS_MAX     255
#define CALL_NAME_MAX 128

struct done_head {
    uint32_t index;  /* tokens in all: what the next TOKEN's index would have been */
    uint32_t reason; /* enum finish_reason */
    uint64_t prefill_ns;
    uint64_t decode_ns;
    uint8_t n_parts; /* text that was held back until now */
    uint8_t stop;    /* 1 + index of the stop string that ended it; 0 = none did */
    uint8_t reserved[6];
};
_Static_assert(sizeof(struct done_head) == 32, "ABI: bump RING_VERSION");

/* Why a worker refuses or ends a request; X(constant, HTTP status, OpenAI code, OpenAI type). */
#define FAIL_CODES(X)                                                                              \
    X(FAIL_INVALID_REQUEST, 400, "invalid_request_body", "invalid_request_error")                  \
    X(FAIL_CONTEXT_LENGTH, 400, "context_length_exceeded", "invalid_request_error")                \
    X(FAIL_UNSUPPORTED, 400, "unsupported_parameter", "invalid_request_error")                     \
    X(FAIL_MEMORY, 413, "prompt_too_long_for_memory", "invalid_request_error")                     \
    X(FAIL_EMPTY, 500, "empty_answer", "server_error") /* the model ended at once, twice */        \
    X(FAIL_INTERNAL, 500, "internal_error", "server_error")

#define X(constant, status, code, type) constant,
enum fail_code { FAIL_CODES(X) FAIL_CODES_N };
#undef X

struct fail_head {
    uint32_t code; /* enum fail_code */
    uint32_t len;  /* bytes of UTF-8 text after this head, at most FAIL_TEXT_MAX */
};
#define FAIL_TEXT_MAX 480

/* Tokens of one answer, echoed ones included: what a SUBMIT can carry as n_resume. */
#define ANSWER_TOKENS_MAX (16u << 20)
#define TOKEN_TEXT_MAX 4096       /* bytes of text that one token may bring */
#define PARTS_TEXT_MAX (32u << 10) /* bytes of all parts of one TOKEN or DONE: escaped, and with what
                                      was held back */
#define SUBMIT_MAX (256u << 20)   /* longest SUBMIT record */
#define W2R_RECORD_MAX (64u << 10) /* longest record a worker sends */

/* What is asked of a worker; the "kind" of a canonical request. Those after COMPLETION make no new
 * tokens: their answer is what they say, in TOKEN records like any other, so that it is journaled,
 * paced and resumed like any other. X(constant, text) */
#define PROMPT_KINDS(X)                                                                            \
    X(PROMPT_CHAT, "chat")             /* messages through the template, then an answer */         \
    X(PROMPT_COMPLETION, "completion") /* prompt (text or ids) as it is, then its continuation */  \
    X(PROMPT_TOKENIZE, "tokenize")     /* the ids of prompt or messages: one TOKEN each, no part,  \
                                          its bytes as the one top when "pieces" asks for it */    \
    X(PROMPT_DETOKENIZE, "detokenize") /* the text of the ids: parts, the TOKENs' ids are 0 */     \
    X(PROMPT_TEMPLATE, "template")     /* the rendered text of messages, likewise */               \
    X(PROMPT_COUNT, "count")           /* of messages, how many tokens: ACCEPT says it, then DONE */ \
    X(PROMPT_EMBED, "embed")           /* of prompt (text or ids) its vector: float32, little-endian, \
                                          in base64, as parts, the TOKENs' ids are 0; ACCEPT says   \
                                          the prompt's tokens */

#define X(constant, text) constant,
enum prompt_kind { PROMPT_KINDS(X) PROMPT_KINDS_N };
#undef X

const char *prompt_kind_name(uint32_t kind); /* "?" when out of range */

/* The canonical request (JSON, written by the router, validated again by the worker):
 *   {"kind":…, "messages":[…], "tools":[…]   chat, template, tokenize, count
 *    "prompt":"…" or [ids]                   completion, tokenize, detokenize (ids), embed
 *    "tool_choice":"auto"|"none"|"required"|{"name":"…"}, "parallel_tool_calls":false
 *                                            beside tools; auto and true when absent
 *    "format":{"type":"json_object"} or {"type":"json_schema","schema":{…}}
 *                                            chat: what the content is
 *    "thinking":true or false                chat, count: enable_thinking of the template
 *    "thinking_tokens":N                     chat: the reasoning ends there
 *    "dimensions":N                          embed: the vector's first N numbers, made of length 1
 *                                            where the model does that
 *    "max_tokens":N, "stop":["…"],
 *    "logprobs":N                            with each token its log-probability and the N likeliest
 *    "echo":true                             completion: the prompt's tokens first, as TOKEN_PROMPT
 *    "add_special_tokens":false              completion, tokenize: nothing added to the text's ids
 *    "pieces":true                           tokenize
 *    "add_generation_prompt":false           messages: nothing after the last one
 *    "sampling":{"temperature":…, only what the client gave}}
 * A message is as templates know it: "role" system, user, assistant or tool; "content" a string or
 * parts {"type":"text","text":…}; of an assistant "reasoning_content" and "tool_calls":
 * [{"id":…,"type":"function","function":{"name":…,"arguments":{…}}}], of a tool "tool_call_id" and
 * "name". "sampled":"1 2 3" beside them: the message repeats an answer, which was these tokens.
 * A tool is {"type":"function","function":{"name":…,"description":…,"parameters":{schema},
 * "strict":true}}.
 * One request is one answer: of n answers or several prompts the router makes a request each.
 */

#endif

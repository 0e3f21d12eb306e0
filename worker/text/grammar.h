/* Structured output: which tokens may come next so that an answer keeps a form. A form is a JSON
 * Schema, any JSON object, tool calls, or a composition of such (struct grammar_form).
 *
 *   struct grammar_vocab   the bytes of all tokens, once per model; immutable, for all threads
 *   struct grammar         one form, compiled; immutable but for masks it remembers, for all
 * threads struct grammar_state   how far one answer has come; one thread at a time
 *
 * A grammar is a set of rules, each a deterministic automaton over bytes that may call rules. The
 * state is a set of stacks. What a token does within the rule on top of the stack does not depend
 * on what lies below, so that is worked out once per automaton state and remembered; only what is
 * left of tokens that end the rule is followed for each mask.
 *
 * What a grammar gives is always JSON of the schema, but not all of it:
 *   - properties come in the order of the schema, additional ones behind them; where a schema has
 *     properties and does not speak of additional ones, there are none;
 *   - without `type` the other keywords say which type is meant;
 *   - white space: after '{' '[' ',' and before '}' ']' nothing, one space, or a newline with at
 * most 40 spaces or 10 tabs; after ':' nothing or one space; nowhere else;
 *   - numbers: at most 18 digits before the point and 18 behind it, exponents of at most 2 digits,
 *     and none where there are bounds;
 *   - dates are of the years 1000 to 9999 and never February 29;
 *   - constants and strings with a pattern use only the escapes that JSON demands. */
#ifndef WORKER_TEXT_GRAMMAR_H
#define WORKER_TEXT_GRAMMAR_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* --- vocabulary --- */

struct grammar_vocab;

/* Append the bytes of a token; nothing for one that no grammar may let through (special tokens,
 * ids without an entry). */
typedef void grammar_bytes_fn(void *ctx, uint32_t id, struct buf *out);

/* Of the ids below n. It must outlive all grammars compiled for it. */
struct grammar_vocab *grammar_vocab_new(uint32_t n, grammar_bytes_fn *bytes, void *ctx);
void grammar_vocab_free(struct grammar_vocab **v);
uint32_t grammar_vocab_size(const struct grammar_vocab *v);
size_t grammar_vocab_memory(const struct grammar_vocab *v);

/* --- compiling --- */

struct grammar;

struct grammar_limits {
    uint32_t depth_max;  /* of schemas in schemas, references counted */
    uint32_t states_max; /* of the automaton */
    uint64_t steps_max;  /* of compiling: about 10 ns each */
    size_t mask_bytes;   /* remembered masks; beyond it each is worked out anew */
};
#define GRAMMAR_LIMITS_DEFAULT \
    ((struct grammar_limits){.depth_max = 64, \
                             .states_max = 100000, \
                             .steps_max = 20000000, \
                             .mask_bytes = (size_t)16 << 20})

/* limits: NULL for the default. 0 and a reference that is the caller's; -EINVAL for what is no
 * schema or is not supported, -E2BIG beyond a limit, each with the place in the schema as a JSON
 * pointer: "#/properties/a: ...". */
int grammar_compile_schema(const struct grammar_vocab *v, const struct json_object *schema,
                           const struct grammar_limits *limits, struct grammar **out,
                           struct err *e);
/* Any JSON object. */
int grammar_compile_object(const struct grammar_vocab *v, struct grammar **out, struct err *e);

struct grammar *grammar_ref(struct grammar *g);
/* Give the reference back and NULL it. */
void grammar_unref(struct grammar **g);
/* Bytes it holds now, remembered masks included. */
size_t grammar_memory(const struct grammar *g);

/* --- tool calls --- */

enum grammar_call_form {
    GRAMMAR_CALL_JSON, /* <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call> */
    GRAMMAR_CALL_XML,  /* <tool_call>\n<function=f>\n<parameter=p>\nv\n</parameter>\n</function>\n
                          </tool_call>, of Qwen3-Coder and Qwen3.5 */
};

struct grammar_tool {
    const char *name;
    size_t name_len;
    const struct json_object *parameters; /* a schema; NULL: any object */
    bool is_strict;                       /* else the arguments are any object */
};

struct grammar_calls {
    enum grammar_call_form form;
    const struct grammar_tool *tools; /* those that may be called, at least one */
    size_t n_tools;
    bool is_optional; /* text before the first call, or text alone */
    /* Where calls are optional: what is said instead, and then nothing before a call. An object of
     * any kind when there is no schema. */
    bool has_content;
    const struct json_object *content;
    bool is_parallel; /* more calls may follow, each behind a newline */
};
int grammar_compile_calls(const struct grammar_vocab *v, const struct grammar_calls *calls,
                          const struct grammar_limits *limits, struct grammar **out, struct err *e);

/* --- larger forms --- */

/* An expression, built from its leaves. Each function returns a node, for use in others, any number
 * of times. Texts are copied, schemas borrowed until the form is freed. */
struct grammar_form;
typedef uint32_t grammar_node;

struct grammar_form *grammar_form_new(void);
void grammar_form_free(struct grammar_form **f);
grammar_node grammar_form_literal(struct grammar_form *f, const char *text, size_t len);
/* A value of the schema; NULL: any value. `place` begins the places in error messages. */
grammar_node grammar_form_schema(struct grammar_form *f, const struct json_object *schema,
                                 const char *place);
grammar_node grammar_form_object(struct grammar_form *f);
/* Text without the terminator (ASCII, not empty), and the terminator. With may_end the text may
 * also be over before a terminator comes, and then the whole answer is. */
grammar_node grammar_form_text(struct grammar_form *f, const char *terminator, bool may_end);
grammar_node grammar_form_sequence(struct grammar_form *f, const grammar_node *nodes, size_t n);
grammar_node grammar_form_choice(struct grammar_form *f, const grammar_node *nodes, size_t n);
/* At least min times; at most max times, 0: no end. */
grammar_node grammar_form_repeat(struct grammar_form *f, grammar_node node, uint32_t min,
                                 uint32_t max);
int grammar_compile_form(const struct grammar_vocab *v, const struct grammar_form *f,
                         grammar_node root, const struct grammar_limits *limits,
                         struct grammar **out, struct err *e);

/* --- an answer --- */

struct grammar_state;

/* At the beginning; holds a reference. Rebuilt after a death by advancing over the tokens so far.
 */
struct grammar_state *grammar_state_new(struct grammar *g);
void grammar_state_free(struct grammar_state **s);
void grammar_state_reset(struct grammar_state *s);

/* The bytes of a token, or of any part of the text. false: the form does not allow them, and the
 * state is as before. */
bool grammar_state_advance(struct grammar_state *s, const char *bytes, size_t len);
/* The answer may end here. */
bool grammar_state_is_complete(const struct grammar_state *s);

#define GRAMMAR_MASK_WORDS(n_tokens) (((size_t)(n_tokens) + 31) / 32)
/* Bit id % 32 of word id / 32 is set when the token may come next. When nothing but the end may
 * follow, no bit is set. Changes nothing but scratch memory of the state. */
void grammar_state_mask(struct grammar_state *s, uint32_t *bits);

/* --- cache --- */

/* Compiled grammars by the bytes they were made from, least recently used out first; thread safe.
 */
struct grammar_cache;

struct grammar_cache *grammar_cache_new(const struct grammar_vocab *v, size_t bytes_max);
void grammar_cache_free(struct grammar_cache **c);

/* Compile what the key stands for; see grammar_compile_*. */
typedef int grammar_make_fn(const void *ctx, const struct grammar_vocab *v, struct grammar **out,
                            struct err *e);
/* The grammar of the key, made now if there is none. A reference is the caller's. */
int grammar_cache_get(struct grammar_cache *c, const char *key, size_t len, grammar_make_fn *make,
                      const void *ctx, struct grammar **out, struct err *e);

#endif

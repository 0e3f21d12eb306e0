/* Chat templates: the Jinja of Hugging Face's apply_chat_template, in C.
 *
 * A template is compiled once and rendered any number of times, from any number of threads. The
 * text that comes out is the one that jinja2's ImmutableSandboxedEnvironment gives with
 * trim_blocks, lstrip_blocks, loop controls, {% generation %}, and transformers' tojson,
 * raise_exception, strftime_now, dict and namespace. What that environment refuses is refused here.
 * What it can do and this one cannot is refused too, with a sentence, never rendered differently:
 * inheritance, inclusion and blocks, recursive loops, {% autoescape %}, integers beyond 64 bits in
 * arithmetic, printing what has no printable form, slices of constants that have none.
 *
 * A template is somebody else's program. It reaches nothing but its variables, and it ends: within
 * the limits below, or with an error. */
#ifndef WORKER_TEXT_JINJA_H
#define WORKER_TEXT_JINJA_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JINJA_SOURCE_MAX (256u << 10) /* bytes of a template */
#define JINJA_OUTPUT_MAX (4u << 20)   /* bytes of a rendered text, and of any text on the way */
#define JINJA_MEMORY_MAX (64u << 20)  /* bytes that one compilation or one rendering may hold */
#define JINJA_STEPS_MAX  1000000u     /* operations of one rendering */
#define JINJA_DEPTH_MAX  64u          /* of macro calls, and of nested tags and brackets */

struct json_object;
struct jinja;

/* len bytes of UTF-8. 0; -EINVAL with "line N: sentence" for a template that is wrong or wants what
 * is not there; -E2BIG beyond a limit. */
int jinja_compile(const char *text, size_t len, struct jinja **out, struct err *e);
void jinja_free(struct jinja **t);

enum jinja_kind {
    JINJA_JSON,     /* json; NULL is none */
    JINJA_MESSAGES, /* json, with what apply_chat_template does to messages: see chat_template.h */
    JINJA_TEXT,     /* text, of text_len bytes of UTF-8 */
    JINJA_BOOL,     /* is_true */
};

struct jinja_var {
    const char *name;
    enum jinja_kind kind;
    bool is_true;
    const struct json_object *json; /* borrowed, not changed */
    const char *text;               /* borrowed */
    size_t text_len;
};

struct jinja_input {
    const struct jinja_var *vars; /* of two with the same name the later one counts */
    size_t n_vars;
    int64_t now_s; /* what strftime_now tells, in local time */
};

/* Append the rendered text to out. 0; -EINVAL with "line N: sentence" when the template fails, or
 * refuses the conversation by raise_exception; -E2BIG beyond a limit. After an error out is as it
 * was before. */
int jinja_render(const struct jinja *t, const struct jinja_input *in, struct buf *out,
                 struct err *e);

#endif

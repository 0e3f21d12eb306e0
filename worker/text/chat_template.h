/* A model's chat template: from messages to the prompt, as apply_chat_template of transformers. */
#ifndef WORKER_TEXT_CHAT_TEMPLATE_H
#define WORKER_TEXT_CHAT_TEMPLATE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;
struct chat_template;

/* One conversation. All borrowed. A template sees messages (without their null members, and with
 * reasoning_content, thinking and reasoning made one), tools, documents, add_generation_prompt, the
 * special tokens by name, and the arguments of the request, which win over special tokens. */
struct chat_input {
    const struct json_object *messages;  /* array of objects, one at least */
    const struct json_object *tools;     /* array, or NULL */
    const struct json_object *documents; /* array, or NULL */
    const struct json_object *arguments; /* object (chat_template_kwargs), or NULL */
    bool add_generation_prompt;
    int64_t now_s; /* the clock, for templates that tell the date */
};

/* special_tokens: object of "bos_token", "eos_token" and their like, each a string or an object
 * with "content"; null ones and other members are left out. It and the text are copied. 0; -EINVAL
 * or -E2BIG with a sentence. */
int chat_template_new(const char *text, size_t len, const struct json_object *special_tokens,
                      struct chat_template **out, struct err *e);
void chat_template_free(struct chat_template **t);

/* Append the prompt to out. May run in several threads at once. 0; -EINVAL, -E2BIG as jinja_render,
 * and then out is as it was. */
int chat_template_render(const struct chat_template *t, const struct chat_input *in,
                         struct buf *out, struct err *e);

#endif

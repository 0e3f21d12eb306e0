/* For grammar_calls.c: what forms of tool calls need beyond grammar.h. */
#ifndef WORKER_TEXT_GRAMMAR_FORM_H
#define WORKER_TEXT_GRAMMAR_FORM_H

#include "worker/text/grammar.h"

/* A value whose references point into another schema than itself. */
grammar_node grammar_form_inner(struct grammar_form *f, const struct json_object *schema,
                                const struct json_object *root, const char *place);
/* The same, strings without quotes, and the terminator behind it. */
grammar_node grammar_form_bare(struct grammar_form *f, const struct json_object *schema,
                               const struct json_object *root, const char *place,
                               const char *terminator);

#endif

/* From what a chat asks for to the grammar of its answer: a schema, tool calls, or both.
 *
 * Where there are tools, each call is one of them with arguments that are an object: of its schema
 * when the tool is strict. A strict schema beyond what can be compiled makes its tool a plain one,
 * which the client is told (is_unconstrained); a schema of the answer is refused. */
#ifndef WORKER_ENGINE_FORM_H
#define WORKER_ENGINE_FORM_H

#include "worker/engine/call_form.h"
#include "worker/params.h"
#include "worker/text/grammar.h"
#include "worker/text/tokenizer.h"

/* All forms of one model; what its vocabulary needs is made when the first one is asked for. Safe
 * from several threads. */
struct forms;

struct forms *forms_new(const struct tokenizer *t, uint32_t vocab); /* borrowed */
void forms_free(struct forms **f);

/* *out is NULL when everything is allowed; else a reference that is the caller's. 0, or -EINVAL and
 * -E2BIG with the sentence. */
int forms_find(struct forms *f, const struct params *p, enum call_form_kind kind,
               struct grammar **out, bool *is_unconstrained, struct err *e);

/* The tokens that are line ends and nothing else: they may stand between reasoning and form. NULL
 * until a form was found. */
const uint32_t *forms_line_ends(const struct forms *f, uint32_t *n);

#endif

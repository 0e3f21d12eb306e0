/* From what a client asked to the ids that the model reads.
 *
 * Special tokens in a client's own text stay text: before messages go through the template, each
 * look-alike of one is broken by a code point that occurs nowhere else, and what comes out is told
 * to the tokenizer as cuts. Text that is asked to be completed as it is may use them. */
#ifndef WORKER_ENGINE_PROMPT_H
#define WORKER_ENGINE_PROMPT_H

#include "worker/engine/call_form.h"
#include "worker/engine/form.h"
#include "worker/engine/sequence.h"
#include "worker/text/chat_template.h"
#include "worker/text/tokenizer.h"

/* The text side of a checkpoint. */
struct language {
    struct tokenizer *tokenizer;         /* owned */
    struct chat_template *chat_template; /* owned; NULL: the model has none */
    bool takes_parts;           /* the template reads content that is an array; else it is joined */
    bool shows_tools;           /* the template does, and calls come back in a form that is known */
    bool reasons;               /* by the template */
    bool takes_system_turns;    /* the template does, also behind the first message */
    struct call_form call_form; /* owned */
    struct forms *forms;        /* owned */
    uint32_t think_start, think_end; /* ids of <think> and </think>, or TOKENIZER_NOT_FOUND */
    uint32_t vocab;                  /* ids are below: of the model, not of the tokenizer */
};

/* tokenizer.json, tokenizer_config.json, chat_template.jinja of the directory. On failure there is
 * nothing to free. */
int language_load(struct language *l, const struct root *root, uint32_t vocab, struct err *e);
void language_free(struct language *l);

/* What p asks for, into out: ids, or the text of a template. Changes the tree of p. A refusal is
 * left in out->error with its code. May run in several threads at once. */
void prompt_make(const struct language *l, struct params *p, struct prompt *out);

#endif

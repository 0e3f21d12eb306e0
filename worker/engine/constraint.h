/* Which tokens may come next in one answer: its form (a schema, tool calls), which begins where the
 * reasoning ends. A pure function of the tokens so far: a fresh constraint that has seen the first
 * k tokens again is the constraint after k tokens. */
#ifndef WORKER_ENGINE_CONSTRAINT_H
#define WORKER_ENGINE_CONSTRAINT_H

#include "worker/engine/thinking.h"
#include "worker/model/generation.h"
#include "worker/text/grammar.h"

struct language;

struct constraint {
    const struct language *language; /* borrowed */
    struct grammar_state *state;     /* owned; NULL: everything is allowed */
    bool is_first;                   /* nothing is said yet: it may begin with reasoning */
    bool was_thinking;               /* before the token seen last, and after it */
    bool is_fresh;   /* right behind the reasoning: line ends may come before the form */
    bool has_failed; /* a token came that the form does not allow */
    struct buf text; /* owned: scratch */
};

/* grammar: of the content; NULL: there is no form. */
void constraint_begin(struct constraint *c, const struct language *language,
                      struct grammar *grammar, const struct thinking *thinking);
void constraint_free(struct constraint *c);

/* The next token of the answer, which thinking has seen. */
void constraint_see(struct constraint *c, const struct thinking *thinking, uint32_t token);

/* Whether there is a form that the next token has to keep. */
static inline bool constraint_is_active(const struct constraint *c)
{
    return c->state != NULL && !c->was_thinking;
}

/* The bits of the tokens that may come next, of those that end the answer too; bits:
 * [GRAMMAR_MASK_WORDS(vocab)]. False when none may. */
bool constraint_mask(struct constraint *c, const struct generation *g, uint32_t *bits);
/* No token may come next: because the form is complete, or because none goes on with it. */
bool constraint_is_complete(const struct constraint *c);

#endif

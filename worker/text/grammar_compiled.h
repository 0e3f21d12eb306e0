/* A compiled grammar from inside, for grammar.c, grammar_state.c and those who make rules. */
#ifndef WORKER_TEXT_GRAMMAR_COMPILED_H
#define WORKER_TEXT_GRAMMAR_COMPILED_H

#include "worker/text/grammar_parts.h"

struct grammar {
    atomic_uint refs;
    const struct grammar_vocab *vocab; /* borrowed */
    struct automaton automaton;
    uint32_t root;            /* rule */
    struct part_table *parts; /* owned: of the states that the vocabulary does not have */
};

/* From the rules in n, of which root is the form. -E2BIG, or -EINVAL when nothing has it. */
int grammar_make(const struct grammar_vocab *v, const struct nfa *n, uint32_t root,
                 const struct grammar_limits *limits, struct grammar **out, struct err *e);

/* The part of a state; see part_table_find. */
const struct mask_part *grammar_part(struct grammar *g, uint32_t state, struct mask_part **own);

#endif

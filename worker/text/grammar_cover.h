/* Which groups of tokens a state takes or leaves whole, without a look at each. */
#ifndef WORKER_TEXT_GRAMMAR_COVER_H
#define WORKER_TEXT_GRAMMAR_COVER_H

#include "worker/text/grammar_automaton.h"
#include "worker/text/grammar_vocab.h"

/* From a state on: `chars` characters of the kinds, all of them, are taken; and with is_over, none
 * is behind those. Nor are characters of dead kinds after any number of them. */
struct coverage {
    unsigned kinds, dead_kinds;
    uint32_t chars;
    bool is_over;
};

struct coverage coverage_find(const struct automaton *a, uint32_t state);

#endif

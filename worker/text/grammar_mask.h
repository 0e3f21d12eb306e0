/* What the tokens do within the rule on top of the stack: worked out once for each state of an
 * automaton, and what is left of tokens that end the rule, to be followed in the callers. */
#ifndef WORKER_TEXT_GRAMMAR_MASK_H
#define WORKER_TEXT_GRAMMAR_MASK_H

#include "worker/text/grammar_machine.h"
#include "worker/text/grammar_vocab.h"

struct trie_span {
    uint32_t begin, end; /* nodes of the vocabulary's trie */
};

struct mask_part {
    uint32_t *bits; /* owned: tokens allowed whatever called; NULL when they are few: */
    uint32_t *ids;  /* owned */
    uint32_t n_ids;
    struct trie rest;        /* owned: remainders behind the end of the rule, with their tokens */
    struct trie_span *spans; /* owned: the same, where there are so many that they are not copied */
    uint32_t n_spans, cap_spans;
    size_t bytes;
    uint64_t hash;          /* of all above */
    struct mask_part *next; /* in the table that has it */
};

struct mask_part *mask_part_new(const struct grammar_vocab *v, const struct automaton *a,
                                uint32_t state);
void mask_part_free(struct mask_part *p);

bool mask_part_equal(const struct grammar_vocab *v, const struct mask_part *a,
                     const struct mask_part *b);

/* A mask begins with what the first part allows (NULL: nothing), and is added to by others. */
void mask_begin(const struct grammar_vocab *v, const struct mask_part *p, uint32_t *bits);
void mask_add_part(const struct grammar_vocab *v, const struct mask_part *p, uint32_t *bits);
/* Those that end the rule and go on behind `node`, which called it. */
void mask_add_rest(const struct grammar_vocab *v, const struct mask_part *p, struct machine *m,
                   uint32_t node, uint32_t *bits);

#endif

/* The parts of masks that a grammar, or the vocabulary for the built-in rules, remembers. */
#ifndef WORKER_TEXT_GRAMMAR_PARTS_H
#define WORKER_TEXT_GRAMMAR_PARTS_H

#include "worker/text/grammar_mask.h"

struct part_table *part_table_new(uint32_t n_states, size_t bytes_max);
void part_table_free(struct part_table **t);
size_t part_table_memory(const struct part_table *t);

/* The part of a state of the automaton, which is the index-th of the table. Several threads at
 * once. When there is no room to remember it, it is the caller's to free, by *own; else that is
 * NULL. */
const struct mask_part *part_table_find(struct part_table *t, const struct grammar_vocab *v,
                                        const struct automaton *a, uint32_t state, uint32_t index,
                                        struct mask_part **own);

#endif

/* Pairs of ids and a number for each, in an open-addressing table of 8 bytes a pair:
 *
 *   bits 43-63   left id
 *   bits 22-42   right id
 *   bits  0-21   number
 */
#ifndef WORKER_TEXT_TOKENIZER_PAIRS_H
#define WORKER_TEXT_TOKENIZER_PAIRS_H

#include "worker/text/tokenizer_vocab.h"

#include <stdbool.h>
#include <stdint.h>

#define PAIRS_MAX     4194303u /* 2^22 - 1, of pairs and one past the largest number */
#define PAIRS_FREE    UINT64_MAX
#define PAIRS_NUMBERS ((uint64_t)PAIRS_MAX)

_Static_assert(VOCAB_IDS_MAX < 1u << 21, "two ids and a number are 64 bits");
_Static_assert(PAIRS_MAX < 1u << 22, "two ids and a number are 64 bits");

struct pairs {
    uint64_t *slots;
    uint32_t shift;      /* 64 - the bits of an index */
    uint64_t multiplier; /* odd and random: no file can choose pairs that make it slow */
};

/* For n pairs. */
void pairs_init(struct pairs *p, uint32_t n);
void pairs_free(struct pairs *p);

static inline uint64_t *pairs_slot(const struct pairs *p, uint64_t key)
{
    const uint64_t mask = UINT64_MAX >> p->shift;
    uint64_t i = (key * p->multiplier) >> p->shift;

    while (p->slots[i] != PAIRS_FREE && p->slots[i] >> 22 != key)
        i = (i + 1) & mask;
    return &p->slots[i];
}

/* Of a pair that comes twice the later number counts. */
static inline void pairs_enter(struct pairs *p, uint32_t left, uint32_t right, uint32_t number)
{
    uint64_t key = (uint64_t)left << 21 | right;

    *pairs_slot(p, key) = key << 22 | number;
}

/* The number, or VOCAB_NONE. */
static inline uint32_t pairs_find(const struct pairs *p, uint32_t left, uint32_t right)
{
    uint64_t found = *pairs_slot(p, (uint64_t)left << 21 | right);

    return found == PAIRS_FREE ? VOCAB_NONE : (uint32_t)(found & PAIRS_NUMBERS);
}

/* What is in slot i, one of pairs_slots; false: nothing. */
bool pairs_at(const struct pairs *p, uint64_t i, uint32_t *left, uint32_t *right);
static inline uint64_t pairs_slots(const struct pairs *p)
{
    return (UINT64_MAX >> p->shift) + 1;
}

#endif

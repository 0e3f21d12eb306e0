/* The table of pairs of tokenizer_bpe.h. */
#ifndef WORKER_TEXT_TOKENIZER_BPE_PAIRS_H
#define WORKER_TEXT_TOKENIZER_BPE_PAIRS_H

#include "base/check.h"
#include "base/hash.h"
#include "worker/text/tokenizer_bpe.h"

#include <stdlib.h>
#include <string.h>

#define PAIR_FREE UINT64_MAX
#define PAIR_RANK ((uint64_t)BPE_MERGES_MAX)

_Static_assert(VOCAB_IDS_MAX < 1u << 21, "two ids and a rank are 64 bits");
_Static_assert(BPE_MERGES_MAX < 1u << 22, "two ids and a rank are 64 bits");

static inline uint64_t pair_key(uint32_t left, uint32_t right)
{
    return (uint64_t)left << 21 | right;
}

static inline void pairs_init(struct bpe *m, uint32_t n)
{
    uint32_t bits = 4;

    while (1ull << bits < n + n / 2)
        bits++;
    m->pair_shift = 64 - bits;
    m->multiplier = hash_random64() | 1;
    m->pairs = malloc((sizeof *m->pairs) << bits);
    m->merged = malloc((n + 1) * sizeof *m->merged);
    CHECK(m->pairs != NULL);
    CHECK(m->merged != NULL);
    memset(m->pairs, 0xff, (sizeof *m->pairs) << bits); /* all PAIR_FREE */
}

static inline uint64_t *pairs_slot(const struct bpe *m, uint64_t key)
{
    const uint64_t mask = UINT64_MAX >> m->pair_shift;
    uint64_t i = (key * m->multiplier) >> m->pair_shift;

    while (m->pairs[i] != PAIR_FREE && m->pairs[i] >> 22 != key)
        i = (i + 1) & mask;
    return &m->pairs[i];
}

/* Of a pair that comes twice the later rank counts, as in the library. */
static inline void pairs_enter(struct bpe *m, uint32_t left, uint32_t right, uint32_t rank)
{
    uint64_t key = pair_key(left, right);

    *pairs_slot(m, key) = key << 22 | rank;
}

/* The rank, or VOCAB_NONE. */
static inline uint32_t pairs_find(const struct bpe *m, uint32_t left, uint32_t right)
{
    uint64_t found = *pairs_slot(m, pair_key(left, right));

    return found == PAIR_FREE ? VOCAB_NONE : (uint32_t)(found & PAIR_RANK);
}

#endif

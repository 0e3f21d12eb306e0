#include "worker/text/tokenizer_pairs.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

void pairs_init(struct pairs *p, uint32_t n)
{
    uint32_t bits = 4;

    CHECK(n <= PAIRS_MAX);
    while (1ull << bits < n + n / 2)
        bits++;
    *p = (struct pairs){.shift = 64 - bits, .multiplier = hash_random64() | 1};
    p->slots = malloc(sizeof *p->slots << bits);
    CHECK(p->slots != NULL);
    memset(p->slots, 0xff, sizeof *p->slots << bits); /* all PAIRS_FREE */
}

void pairs_free(struct pairs *p)
{
    free(p->slots);
    *p = (struct pairs){0};
}

bool pairs_at(const struct pairs *p, uint64_t i, uint32_t *left, uint32_t *right)
{
    *left = (uint32_t)(p->slots[i] >> 43);
    *right = (uint32_t)(p->slots[i] >> 22) & VOCAB_IDS_MAX;
    return p->slots[i] != PAIRS_FREE;
}

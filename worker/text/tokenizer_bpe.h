/* Byte pair encoding: from one word to ids. Of all neighbours that can be merged those of the
 * lowest rank are taken first, of equal ones the leftmost. A short word is merged by a plain loop,
 * a long one by a heap: n log n, whatever the word.
 *
 * Where the whole text is one word, it is cut first where no merge can ever join what is left and
 * right: a merge that does would have a left part that ends in the one character and a right part
 * that begins with the other, and joins holds these two characters of every merge. */
#ifndef WORKER_TEXT_TOKENIZER_BPE_H
#define WORKER_TEXT_TOKENIZER_BPE_H

#include "base/json.h"
#include "worker/text/tokenizer.h"
#include "worker/text/tokenizer_pairs.h"
#include "worker/text/tokenizer_vocab.h"

#define BPE_CHARS 65536u

struct bpe {
    struct vocab vocab;
    struct pairs ranks; /* of the pairs that can be merged: their place among the merges */
    uint32_t *merged;   /* by rank: what a pair becomes */
    uint32_t n_merges;
    struct pairs joins; /* characters, as their ids, where a merge has its seam; the number is 0 */
    bool has_joins;     /* so that words may be cut where there is no join */
    uint32_t *chars;    /* ids of the tokens of one character, by code point below BPE_CHARS */
    uint32_t fallback[256]; /* of <0x00> to <0xFF> */
    uint32_t unk;           /* what stands for an unknown character; VOCAB_NONE: nothing does */
    char *unk_text;         /* as the file names it, if it does: may be missing in the vocabulary */
    bool fuses_unk;
    bool falls_back;
    bool ignores_merges; /* a word that is in the vocabulary is taken as it is */
};

/* The model of tokenizer.json. On failure there is nothing to free. */
int bpe_read(struct bpe *m, const struct json_object *model, struct err *e);
void bpe_free(struct bpe *m);
/* For words that are long and no bytes: once, before any is encoded. */
void bpe_index_joins(struct bpe *m);

/* The character that stands for a byte in a byte-level vocabulary: printable, one for each. */
uint32_t bpe_byte_char(unsigned char byte);

/* A word in symbols, and the heap of the pairs that can be merged. */
struct bpe_symbol {
    uint32_t id;
    uint32_t prev, next; /* VOCAB_NONE at the ends */
    uint32_t rank;       /* of the pair it begins, VOCAB_NONE: cannot be merged */
};

/* What encoding needs; one for each thread. */
struct bpe_work {
    struct bpe_symbol *symbols;
    size_t n, cap;
    uint64_t *heap; /* rank << 32 | symbol */
    size_t n_heap, heap_cap;
    struct buf mapped;
    struct bpe_cached *cache;
    uint64_t steps; /* of merging, so far: a test knows how many they may be */
};
void bpe_work_init(struct bpe_work *w);
void bpe_work_free(struct bpe_work *w);

/* Append the ids of a word: not empty, well-formed, below 4 GiB. is_bytes: its bytes are to be
 * looked up as their characters; the same in all calls with w. 0; -EINVAL when a character is
 * unknown and so is what should stand for it. */
int bpe_encode(const struct bpe *m, struct bpe_work *w, const char *word, size_t len, bool is_bytes,
               struct token_ids *out, struct err *e);

#endif

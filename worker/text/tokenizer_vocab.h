/* Strings and their ids, both ways: all strings in one arena, entries by id, and a table of slots
 * by hash. Nothing is allocated for an entry by itself. */
#ifndef WORKER_TEXT_TOKENIZER_VOCAB_H
#define WORKER_TEXT_TOKENIZER_VOCAB_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOCAB_IDS_MAX  2097151u /* 2^21 - 1: an id takes 21 bits in tokenizer_bpe.c */
#define VOCAB_NONE     UINT32_MAX
#define VOCAB_TEXT_MAX 65536 /* bytes of an entry */

struct vocab_entry {
    uint32_t at;  /* in text */
    uint32_t len; /* VOCAB_NONE: there is no such id */
};

struct vocab_slot {
    uint32_t tag; /* of the hash, so that most others are passed by without a look at their text */
    uint32_t id;  /* VOCAB_NONE: free */
};

struct vocab {
    struct buf text;
    struct vocab_entry *entries; /* by id */
    uint32_t n_ids;              /* one past the largest id */
    uint32_t n;
    uint32_t longest; /* bytes */
    struct vocab_slot *slots;
    uint32_t n_slots; /* a power of two, at least twice n */
    uint64_t secret;  /* so that no file can choose entries that make it slow */
};

/* For n entries with ids below n_ids. */
void vocab_init(struct vocab *v, uint32_t n, uint32_t n_ids);
void vocab_free(struct vocab *v);

/* 0, or -EEXIST when the id or the text has been entered before. */
int vocab_enter(struct vocab *v, uint32_t id, const char *text, size_t len);

/* The id, or VOCAB_NONE. */
uint32_t vocab_find(const struct vocab *v, const char *text, size_t len);
/* NULL when there is no such id. */
const char *vocab_text(const struct vocab *v, uint32_t id, size_t *len);

#endif

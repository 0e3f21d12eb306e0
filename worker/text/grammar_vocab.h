/* The tokens of a model, sorted into groups by the kinds of characters they have, and in each group
 * as a trie. Where an automaton takes all characters of some kinds for a while, whole groups are in
 * the mask without a look at their tokens. */
#ifndef WORKER_TEXT_GRAMMAR_VOCAB_H
#define WORKER_TEXT_GRAMMAR_VOCAB_H

#include "worker/text/grammar.h"
#include "worker/text/grammar_automaton.h"

#include <pthread.h>
#include <stdatomic.h>

enum char_kind {
    CHAR_LOWER, /* a-z */
    CHAR_UPPER, /* A-Z */
    CHAR_DIGIT,
    CHAR_JOINER, /* '_' and '-' */
    CHAR_BLANK,  /* ' ' */
    CHAR_OTHER,  /* the rest of what stands as it is in JSON, within ASCII */
    CHAR_NONASCII,
    CHAR_QUOTE,
    CHAR_BACKSLASH,
    CHAR_CONTROL, /* below 0x20 */
    CHAR_KINDS
};
extern const struct byte_set char_kind_bytes[CHAR_KINDS];
enum char_kind char_kind_of(uint8_t byte);

/* In the order of a walk; what lies below a node ends where `skip` goes on. The tokens below it are
 * a stretch of ids, too. */
struct trie_node {
    uint32_t skip;
    uint32_t byte : 8;
    uint32_t first : 24; /* of ids: the tokens that end here, then those below */
};

struct trie {
    struct trie_node *nodes; /* owned; one more than n, for its `first` */
    uint32_t *ids;           /* owned, sorted by bytes */
    uint32_t n, n_ids;
};

/* What a trie is made of; sorted in place. */
struct trie_text {
    const char *text;
    uint32_t len, id;
};
void trie_build(struct trie *t, struct trie_text *texts, uint32_t n);
void trie_free(struct trie *t);
size_t trie_memory(const struct trie *t);

#define GROUP_CHARS_MAX 128 /* longer tokens are not in a group of kinds */

struct token_group {
    uint16_t kinds;      /* a bit for each; 0: the group of all others */
    uint32_t len_max;    /* in characters */
    uint32_t begin[257]; /* in the trie: nodes that begin with the byte, up to the next byte's */
    uint32_t *by_len;    /* owned: ids, shorter ones first */
    uint32_t n_by_len[GROUP_CHARS_MAX + 2]; /* how many have at most so many characters */
    uint32_t *bits[GROUP_CHARS_MAX + 1];    /* owned: those, as masks, of large groups */
};

/* The parts of masks that are remembered, each content once. */
struct part_table {
    _Atomic(struct mask_part *) *by_state; /* owned; borrowed from the buckets */
    pthread_mutex_t lock;                  /* of the buckets */
    struct mask_part **buckets;            /* owned */
    _Atomic size_t bytes;
    size_t bytes_max;
};

struct grammar_vocab {
    uint32_t n, words;  /* tokens, words of a mask */
    uint32_t token_max; /* bytes of the longest */
    char *text;         /* owned: of all tokens */
    uint32_t *at;       /* owned: by id, n + 1 */
    struct trie trie;   /* groups one behind the other */
    struct token_group *groups;
    uint32_t n_groups;
    struct automaton base;    /* the built-in rules */
    struct part_table *parts; /* owned: of their states */
};

#endif

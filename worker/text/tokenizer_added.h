/* Added tokens: found in a text before all else, those that are not normalised in the text as it
 * came, the others in the normalised text between them. Where several begin, the longest counts;
 * a search goes on behind the last match. */
#ifndef WORKER_TEXT_TOKENIZER_ADDED_H
#define WORKER_TEXT_TOKENIZER_ADDED_H

#include "base/json.h"
#include "worker/text/tokenizer_normalize.h"
#include "worker/text/tokenizer_text.h"
#include "worker/text/tokenizer_vocab.h"

#define ADDED_MAX       65536
#define ADDED_TEXT_MAX  512     /* bytes of one */
#define ADDED_BYTES_MAX 1048576 /* of all, normalised */

/* X(flag, member) */
#define ADDED_FLAGS(X) \
    X(single_word) \
    X(lstrip) \
    X(rstrip) \
    X(normalized) \
    X(special)

struct added_token {
    uint32_t id;
#define X(flag) bool flag;
    ADDED_FLAGS(X)
#undef X
    size_t pattern_at, pattern_len; /* in added.patterns: what is looked for */
};

/* All patterns of one kind as a tree of bytes. Children of the root by their byte, the others in
 * an open-addressing table. */
struct added_tree {
    uint32_t root[256]; /* node, 0: none */
    struct added_edge *edges;
    uint32_t n_slots, n_edges;
    uint32_t *token; /* by node: index of the token that ends there, or VOCAB_NONE */
    uint32_t n_nodes;
    bool has_special;
};

struct added {
    struct added_token *tokens;
    uint32_t n;
    struct vocab texts; /* contents; its ids are indices of tokens */
    struct buf patterns;
    struct added_tree raw, normalized;
    uint32_t n_ids; /* one past the largest id of all, the model's included */
};

/* The array of tokenizer.json, or NULL. model: its vocabulary, ids of which added tokens share. On
 * failure there is nothing to free. */
int added_read(struct added *a, const struct json_object *array, const struct vocab *model,
               const struct normalizer *normalizer, struct normalizer_work *work, struct err *e);
void added_free(struct added *a);

/* A text in pieces: added tokens and what is between them. */
struct added_piece {
    uint32_t id; /* of the token, or VOCAB_NONE: bytes begin to end of the text */
    size_t begin, end;
};

struct added_walk {
    const struct added *added;
    const struct added_tree *tree;
    const struct text *text; /* borrowed */
    size_t at;               /* where the search goes on */
    size_t taken;            /* all before has been given out */
    uint32_t pending;        /* a token to give out next, or VOCAB_NONE */
};

void added_begin(struct added_walk *k, const struct added *a, const struct added_tree *tree,
                 const struct text *text);
bool added_next(struct added_walk *k, struct added_piece *piece);

#endif

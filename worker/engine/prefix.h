/* The prefix cache, and with it the owner of all KV pages and DeltaNet slots: a page or a slot is
 * free, or a sequence's own, or known by the tokens it stands for. Pure bookkeeping of one thread:
 * no model, no clock, nothing allocated after prefix_init.
 *
 * What is known makes a tree. A node is a page whose tokens are known, below the page that comes
 * before it; so the way from the root to a node is a prefix. A whole page never changes any more
 * and is shared by all who have read the same. A page that is not whole yet has no children and one
 * sequence at most that goes on writing to it, behind what is known of it; others copy it.
 *
 * A model with DeltaNet layers can only go on from a position whose state was kept: a checkpoint,
 * which is a slot that belongs to a position within a node, from 1 to its tokens. Without such
 * layers every position is as good.
 *
 * Sequences hold the pages they read (prefix_take, prefix_put, until prefix_drop), and with a page
 * all before it. What nobody holds is evicted when a page or slot is needed: pages from the leaves,
 * those first that were not used for longest; checkpoints by the tokens they save over the time
 * since they were used.
 */
#ifndef WORKER_ENGINE_PREFIX_H
#define WORKER_ENGINE_PREFIX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define PREFIX_NONE   (-1)
#define PREFIX_GHOSTS 4096 /* evicted pages that are remembered: a power of two */

struct prefix_limits {
    int32_t pages, page_tokens; /* 0: the model has no attention, and nothing is kept */
    int32_t slots;              /* 0: it has no DeltaNet layers */
    bool is_keeping;            /* false: all is free again once its sequence is gone */
};

/* Why a prompt could not use more; X(constant, counter, text) */
#define PREFIX_MISSES(X) \
    X(PREFIX_DIVERGED, prefix_diverged, "diverged_at") /* nothing went on like this before */ \
    X(PREFIX_EVICTED, prefix_evicted, "evicted_at")    /* it was there once */ \
    X(PREFIX_NO_CHECKPOINT, prefix_no_checkpoint, "no_checkpoint_at") /* known, but no state */

#define X(constant, counter, text) constant,
enum prefix_miss { PREFIX_WHOLE, PREFIX_MISSES(X) PREFIX_MISSES_N };
#undef X

struct prefix_node {
    int32_t parent, first_child, next, previous; /* siblings; PREFIX_NONE */
    int32_t n_tokens;                            /* 0: not in the tree */
    int32_t first_checkpoint;                    /* slot */
    uint32_t users;                              /* sequences that hold it */
    bool has_lost_checkpoint;                    /* one was evicted */
    uint64_t hash;                               /* of all tokens up to its end, when it is whole */
    uint64_t used;                               /* tick */
    TAILQ_ENTRY(prefix_node) idle;               /* a leaf that nobody holds */
};
TAILQ_HEAD(prefix_idle, prefix_node);

struct prefix_checkpoint {
    int32_t page, next; /* PREFIX_NONE: not one; of the same page */
    int32_t offset;     /* tokens of the page before it */
    uint32_t saves;     /* tokens since the one before it, when it was made */
    uint64_t used;      /* tick */
};

struct prefix {
    struct prefix_limits limits;
    int32_t *free_pages, *free_slots; /* owned: stacks */
    int32_t n_free_pages, n_free_slots;
    struct prefix_node *nodes;             /* owned: [pages + 1] by page, then the root */
    uint32_t *tokens;                      /* owned: [pages][page_tokens] */
    struct prefix_checkpoint *checkpoints; /* owned: [slots] by slot */
    uint64_t *ghosts;                      /* owned: [PREFIX_GHOSTS] hashes, by their low bits */
    struct prefix_idle idle;               /* longest unused first */
    int32_t n_unused;                      /* nodes that nobody holds: all can be evicted */
    int32_t n_checkpoints;
    uint64_t tick; /* one for each look and each leave */
    uint64_t n_evicted;
};

void prefix_init(struct prefix *p, const struct prefix_limits *limits);
void prefix_free(struct prefix *p);

/* --- pages and slots --- */

/* Pages that are free or can be: as many calls of prefix_new_page succeed. */
static inline int32_t prefix_room(const struct prefix *p)
{
    return p->n_free_pages + p->n_unused;
}
int32_t prefix_new_page(struct prefix *p);

/* A page that the sequence does not need any more: held, or its own. */
void prefix_drop(struct prefix *p, int32_t page);

static inline bool prefix_has_slot(const struct prefix *p)
{
    return p->n_free_slots > 0 || p->n_checkpoints > 0;
}
/* A slot that is free, or that of a checkpoint but `except`; PREFIX_NONE when there is no other. */
int32_t prefix_new_slot(struct prefix *p, int32_t except);
void prefix_drop_slot(struct prefix *p, int32_t slot);

/* --- looking --- */

struct prefix_hit {
    uint32_t n_tokens;  /* that can be used */
    uint32_t n_matched; /* that are known, whether they can be used or not */
    int32_t page;       /* of the last one to be used; PREFIX_NONE */
    bool is_all;        /* all that is known of this page is as asked */
    int32_t slot;       /* the checkpoint behind it; PREFIX_NONE: there is none, or no need */
    enum prefix_miss miss;
};
/* How much of the n tokens is there. Valid until anything else is called. */
struct prefix_hit prefix_find(struct prefix *p, const uint32_t *tokens, uint32_t n);

/* Hold what was found; its pages in order, of which the last may be used in part. The number. */
int32_t prefix_take(struct prefix *p, const struct prefix_hit *hit, int32_t *pages);
/* May who took this hit write behind it in its last page? Otherwise it is to be copied. */
bool prefix_may_write(const struct prefix *p, const struct prefix_hit *hit);
/* Make the checkpoint's slot the caller's own, for want of another. */
void prefix_take_slot(struct prefix *p, int32_t slot);

/* --- keeping --- */

/* The caller's page has all its tokens, behind `parent` (PREFIX_NONE: it is the first). The page
 * that the caller holds from now on: this one, or the one that was there with the same tokens. */
int32_t prefix_put(struct prefix *p, int32_t parent, int32_t page, const uint32_t *tokens);
/* The caller's page has n tokens so far. The node that has them, to keep a checkpoint in: the page,
 * held from now on, or another one; the page remains the caller's own then. */
int32_t prefix_put_part(struct prefix *p, int32_t parent, int32_t page, const uint32_t *tokens,
                        int32_t n);

bool prefix_has_checkpoint(const struct prefix *p, int32_t page, int32_t offset);
/* A slot for a checkpoint that saves so many tokens; PREFIX_NONE: all others are worth more. */
int32_t prefix_checkpoint_slot(struct prefix *p, uint32_t saves);
/* The slot has the state behind `offset` tokens of the page. */
void prefix_keep(struct prefix *p, int32_t page, int32_t offset, int32_t slot, uint32_t saves);

#endif

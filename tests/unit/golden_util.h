/* The checkpoints of tests/golden/make_fixtures.py, opened, with what is expected of them; and
 * sequences to run through them. For the tests of the forward pass. */
#ifndef TESTS_UNIT_GOLDEN_UTIL_H
#define TESTS_UNIT_GOLDEN_UTIL_H

#include "base/buf.h"
#include "tests/unit/model_dir.h"
#include "tests/unit/model_open.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above, which it needs */
#include <cmocka.h>

enum {
    GOLDEN_ROWS = 320,
    GOLDEN_PAGE_TOKENS = 16,
    GOLDEN_SEQUENCES = 8,
    GOLDEN_CONTEXT = 1024,
    GOLDEN_LISTED = 16, /* prompts, continuations */
};

struct golden_prompt {
    int32_t n;
    const int32_t *ids;
    const float *logits; /* [n, vocab] */
};

struct golden_greedy {
    int32_t n_prompt, n;
    const int32_t *ids; /* [n_prompt + n] */
};

struct golden {
    const char *name; /* borrowed from the path */
    struct model_open model;
    struct buf data;
    int32_t n_prompts, n_greedy, vocab;
    struct golden_prompt prompts[GOLDEN_LISTED]; /* the longest last */
    struct golden_greedy greedy[GOLDEN_LISTED];
};

typedef void golden_use(struct golden *g);

/* How far transformers' own run in bfloat16 is from the reference, at most, over the prompts of a
 * checkpoint; 0: it was not measured. */
double golden_apart_bf16(const char *name);

void golden_open(struct golden *g, const char *folder, enum weights_mode mode);
void golden_close(struct golden *g);
/* One after the other; a name: only that one. At least one, or the test fails. */
void golden_walk(const char *name, enum weights_mode mode, golden_use *use);

/* A copy of a checkpoint, to be bent. */
void golden_copy(const char *name, struct model_dir *to);
/* A file of this checkpoint whole. */
void golden_read(const struct golden *g, const char *file, struct buf *out);
/* The next count numbers of four bytes. */
const void *golden_take(struct buf *b, size_t count);
int32_t golden_take_int(struct buf *b);

/* Room for GOLDEN_SEQUENCES sequences, one thread, pages of f32. */
extern const struct forward_shape golden_shape;

/* Rows of a sequence in a batch: sequence i has slot i, and pages that lie apart and backwards. */
struct kern_span golden_span(int32_t sequence, int32_t row, int32_t rows, int32_t pos);

/* ids [from, from + n) of a sequence that has read what is in front; their logits to [n, vocab]. */
void golden_feed(struct model_pass *p, int32_t sequence, const int32_t *ids, int32_t from,
                 int32_t n, float *to);
/* All ids of a new sequence, `piece` at a time: [n, vocab], to be freed. */
float *golden_prefill(struct model_pass *p, int32_t sequence, const int32_t *ids, int32_t n,
                      int32_t piece);
/* A row of logits out of a batch's. */
void golden_keep(const struct model_pass *p, const struct forward_logits *from, int32_t row,
                 float *to);

/* |difference| of log p over rows of logits. */
struct golden_distance {
    double most, mean;
};
struct golden_distance golden_compare(const float *a, const float *b, int32_t rows, int32_t vocab);

/* Fails unless found <= bound; FORWARD_TEST_PRINT in the environment shows both. */
void golden_expect(const char *what, const char *name, double found, double bound);

#endif

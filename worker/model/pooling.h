/* How an embedding model makes one vector of a text, as sentence-transformers keeps it beside the
 * checkpoint: modules.json lists a Transformer, a Pooling and perhaps a Normalize, the Pooling's
 * folder says which rows count. A checkpoint without modules.json is no embedding model.
 *
 * Rows come in the order of their positions and each by itself; sums are in double. So a vector has
 * the same bits whatever pieces the text was read in. */
#ifndef WORKER_MODEL_POOLING_H
#define WORKER_MODEL_POOLING_H

#include "worker/model/config.h"

/* X(constant, what sentence-transformers calls it, name of the flag that older files have) */
#define POOLINGS(X) \
    X(POOLING_LAST, "lasttoken", "pooling_mode_lasttoken") \
    X(POOLING_MEAN, "mean", "pooling_mode_mean_tokens")

#define X(constant, mode, flag) constant,
enum pooling_kind { POOLING_NONE, POOLINGS(X) POOLING_KINDS_N };
#undef X

struct pooling {
    enum pooling_kind kind; /* POOLING_NONE: no embedding model */
    bool is_normalised;     /* the vector has length 1 */
};

/* From the model's directory. Of an embedding model c is changed: it has no head, and no more
 * positions than the Transformer's max_seq_length. 0, or -errno with the sentence, -ENOTSUP for
 * what sentence-transformers could do and Cortex does not. */
int pooling_load(struct pooling *p, struct model_config *c, const struct root *root, struct err *e);

/* The first row that counts, of n; so do all behind it. */
static inline uint32_t pooling_first(const struct pooling *p, uint32_t n)
{
    return p->kind == POOLING_LAST ? n - 1 : 0;
}

/* A row that counts: sum[width], zeros at first. */
void pooling_add(double *sum, const float *row, uint32_t width);

/* The vector: the first `width` elements of the n_rows' mean, then of length 1 where the model says
 * so. -ERANGE when an element is no finite number. */
int pooling_finish(const struct pooling *p, const double *sum, uint32_t n_rows, uint32_t width,
                   float *out);

#endif

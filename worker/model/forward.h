/* One step of the model over a ragged batch: rows of several sequences in; of some of them out the
 * logits, or of a headless model the hidden states behind the last norm.
 *
 * All memory is taken in forward_new, none in forward_run. Rows of one sequence are consecutive and
 * belong to one span; a sequence may bring any number of rows to a step. Which rows came together,
 * and in how many pieces, changes no bit of a row's result (kernels/kern.h).
 */
#ifndef WORKER_MODEL_FORWARD_H
#define WORKER_MODEL_FORWARD_H

#include "kernels/pool.h"
#include "worker/model/config.h"
#include "worker/model/weights.h"

/* What memory is taken for. */
struct forward_shape {
    int32_t rows;        /* of one step, at most */
    int32_t spans;       /* of one step */
    int32_t picks;       /* rows of one step whose logits or hidden states are wanted */
    int32_t slots;       /* sequences that have a DeltaNet state; 0 for a model without */
    int32_t pages;       /* of the KV cache, each page_tokens of every attention layer; 0 without */
    int32_t page_tokens; /* 16, 32 or 64 */
    int32_t context;     /* positions of one sequence, at most */
    int32_t threads;
    enum kern_type kv_type;
};

/* Bytes, before anything is taken: forward_new maps exactly these. Memory is touched as it is used.
 */
struct forward_bytes {
    uint64_t page; /* of one page number, all attention layers together; 0: there are none */
    uint64_t slot; /* of one slot number, all DeltaNet layers together; 0: there are none */
    uint64_t activations;
};
/* 0; -ENOTSUP with the sentence for a shape the kernels have no code for, and for a context of more
 * positions than the model has. Only rows, spans, picks, page_tokens, context, threads and kv_type
 * of the shape are looked at. */
int forward_measure(const struct model_config *c, const struct forward_shape *shape,
                    struct forward_bytes *out, struct err *e);

struct forward;

/* config, weights and pool, of shape.threads, are borrowed; ops: kern_cpu_best() or the reference.
 * 0; -ENOMEM, -ENOTSUP. */
int forward_new(struct forward **out, const struct model_config *c, const struct weights *w,
                const struct forward_shape *shape, const struct kern_ops *ops,
                struct kern_pool *pool, struct err *e);
void forward_free(struct forward **f);

/* A slot for a new sequence: as if nothing was read yet. */
void forward_clear_slot(struct forward *f, int32_t slot);
/* All of one slot, or of one page of every attention layer: a sequence that has read so much can go
 * on in the copy with the same bits. */
void forward_copy_slot(struct forward *f, int32_t to, int32_t from);
void forward_copy_page(struct forward *f, int32_t to, int32_t from);

struct forward_batch {
    const int32_t *ids; /* [rows] */
    int32_t rows;
    const struct kern_span *spans; /* [span_count] ascending, covering all rows */
    int32_t span_count;
    const int32_t *picks; /* [pick_count] rows whose logits are wanted, or hidden states; ascending */
    int32_t pick_count;
};

/* Valid until the next run. logits may be changed by the caller: it is its own memory. */
struct forward_logits {
    float *logits;       /* [pick_count, ld] */
    int64_t ld;          /* at least the vocabulary */
    const int32_t *best; /* [pick_count] first largest */
    const float *lse;    /* [pick_count] log(sum(exp)) */
    const float *hidden; /* [pick_count, hidden_ld] of a headless model, which has none of the above */
    int64_t hidden_ld;
};
/* 0, or -errno of a kernel: our own mistake, not the input's. */
int forward_run(struct forward *f, const struct forward_batch *b, struct forward_logits *out);

#endif

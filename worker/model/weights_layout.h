/* Inside weights_*.c: the list of parts, and which rows of which tensors they are made of. */
#ifndef WORKER_MODEL_WEIGHTS_LAYOUT_H
#define WORKER_MODEL_WEIGHTS_LAYOUT_H

#include "kernels/pack.h"
#include "worker/model/weights.h"

#define WEIGHTS_LAYOUT_VERSION 1 /* another one when the same list would be packed otherwise */

enum weights_form {
    FORM_MATRIX,  /* rows in a layout of the kernels */
    FORM_VECTOR,  /* floats in the tensor's order */
    FORM_COLUMNS, /* floats, [cols][rows]: the convolution */
};

/* One matrix or vector of the block. */
struct weights_part {
    uint64_t offset; /* a multiple of KERN_ALIGN */
    enum weights_form form;
    enum kern_layout layout; /* FORM_MATRIX */
    uint32_t rows, cols;
};

/* Rows [first, first + rows) of a tensor become rows [to, to + rows) of a part. */
struct weights_run {
    uint64_t first;
    uint32_t rows, part, to;
};

/* A tensor, seen as rows of `cols` elements that its runs cover in ascending order. */
struct weights_source {
    const struct tensor *tensor;
    uint64_t cols;
    uint32_t first_run, n_runs;
};

struct weights_layout {
    const struct model_config *config;
    const struct weights_plan *plan;
    enum weights_mode mode;
    uint64_t bytes;
    struct weights_part *parts; /* owned, as are the others; in the order of the model */
    struct weights_run *runs;
    struct weights_source *sources; /* in the order of the files */
    uint32_t n_parts, n_runs, n_sources;
    uint32_t cap_parts, cap_runs, cap_sources;
};

/* Each element of the tensor as the kernels' packing sees it. */
enum kern_source weights_source_type(const struct tensor *t);

#endif

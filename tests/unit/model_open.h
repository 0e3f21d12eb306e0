/* A checkpoint's directory as a model that runs: config, weights in a block, forward passes. */
#ifndef TESTS_UNIT_MODEL_OPEN_H
#define TESTS_UNIT_MODEL_OPEN_H

#include "base/check.h"
#include "worker/io/root.h"
#include "worker/model/forward.h"
#include "worker/model/pooling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model_open {
    struct root root;
    struct model_config config;
    struct pooling pooling;
    struct safetensors tensors;
    struct weights_plan plan;
    struct weights_layout *layout;
    void *block;
    struct weights weights;
};

static inline void model_must(int rc, const struct err *e)
{
    if (rc != 0)
        fprintf(stderr, "%s\n", e->text);
    CHECK(rc == 0);
}

static inline void model_open(struct model_open *m, const char *path, enum weights_mode mode)
{
    struct err e = {0};
    struct reader_stats stats;

    model_must(root_open(&m->root, path, &e), &e);
    model_must(model_config_load(&m->config, &m->root, &e), &e);
    model_must(pooling_load(&m->pooling, &m->config, &m->root, &e), &e);
    model_must(safetensors_open(&m->tensors, &m->root, &e), &e);
    model_must(weights_plan_make(&m->plan, &m->config, &m->tensors, &e), &e);
    model_must(weights_layout_new(&m->layout, &m->config, &m->plan, mode, &e), &e);
    m->block = aligned_alloc(KERN_ALIGN, weights_layout_bytes(m->layout));
    CHECK(m->block != NULL);
    memset(m->block, 0, weights_layout_bytes(m->layout));
    struct weights_fill fill = {.layout = m->layout,
                                .tensors = &m->tensors,
                                .root = &m->root,
                                .mode = READER_PREAD,
                                .dest = m->block};
    model_must(weights_fill(&fill, &stats, &e), &e);
    weights_bind(&m->weights, m->layout, m->block);
}

static inline void model_close(struct model_open *m)
{
    weights_unbind(&m->weights);
    free(m->block);
    weights_layout_free(&m->layout);
    weights_plan_free(&m->plan);
    safetensors_close(&m->tensors);
    root_close(&m->root);
}

/* A forward pass over it with a pool of its own. */
struct model_pass {
    struct kern_pool *pool;
    struct forward *forward;
    struct forward_shape shape;
    int32_t vocab;
};

static inline void model_pass_open(struct model_pass *p, const struct model_open *m,
                                   const struct kern_ops *ops, const struct forward_shape *shape)
{
    struct err e = {0};

    *p = (struct model_pass){.shape = *shape, .vocab = (int32_t)m->config.vocab_size};
    if ((uint32_t)p->shape.context > m->config.max_positions)
        p->shape.context = (int32_t)m->config.max_positions;
    CHECK(kern_pool_open(&p->pool, shape->threads, NULL) == 0);
    model_must(forward_new(&p->forward, &m->config, &m->weights, &p->shape, ops, p->pool, &e), &e);
}

static inline void model_pass_close(struct model_pass *p)
{
    forward_free(&p->forward);
    kern_pool_close(&p->pool);
}

#endif

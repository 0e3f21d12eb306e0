/* The memory plan: what a model takes, before any of it is taken, and how many sequences and pages
 * what is left gives. Refused with numbers when one sequence of the whole context does not fit.
 *
 * The prefix cache has no memory apart: pages and slots that no sequence needs are its own
 * (worker/engine/prefix.h). Its share is what there is more of than all seats need. */
#ifndef WORKER_ENGINE_MEMORY_H
#define WORKER_ENGINE_MEMORY_H

#include "base/buf.h"
#include "base/config.h"
#include "kernels/sample.h"
#include "worker/model/forward.h"

#include <stdint.h>

#define MEMORY_PAGE_TOKENS 32
#define MEMORY_PICKS_MAX   64 /* rows of logits in a step; of hidden states any */

struct memory_request {
    const struct model_config *config;
    const struct config_model *settings;
    uint64_t weights_bytes;
    enum kern_type kv_type;
    uint32_t workers; /* of all models on this machine: they share it unless memory_mb is set */
    int threads;
};

struct memory_plan {
    uint64_t allowed; /* bytes, by memory_mb or by the machine */
    uint64_t weights, activations, sampling, kv, states;
    uint32_t seats, context;
    uint32_t checkpoints; /* slots beyond those of the seats */
    struct forward_bytes bytes;
    struct forward_shape shape;
};

/* 0, or -ENOMEM with the sentence. */
int memory_plan_make(struct memory_plan *p, const struct memory_request *r, struct err *e);

/* One line for the log. */
void memory_plan_describe(const struct memory_plan *p, struct buf *out);

/* Bytes of the machine, or of this process's control group when that has fewer. */
uint64_t memory_of_machine(void);

#endif

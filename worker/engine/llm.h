/* The engine of real models: joins loader, front and compute to the worker's loop. */
#ifndef WORKER_ENGINE_LLM_H
#define WORKER_ENGINE_LLM_H

#include "worker/engine.h"
#include "worker/engine/compute.h"
#include "worker/engine/front.h"
#include "worker/engine/loader.h"
#include "worker/engine/speak.h"
#include "worker/heritage.h"

struct llm {
    struct engine engine;      /* first: what the worker sees */
    struct heritage *heritage; /* borrowed */
    struct loader loader;
    struct front front;
    struct compute compute;
    struct speaker speaker;
    struct sequence **seat;   /* owned: [seats] by request.seat; NULL: none */
    struct sequence_list all; /* those of requests, and those that have not come back yet */
    uint64_t n_evictions;     /* counted */
    bool is_loaded;
};

/* Starts loading. 0 or -errno with the sentence. */
int llm_init(struct llm *m, struct heritage *h, struct err *e);
void llm_free(struct llm *m);

#endif

/* generation_config.json: where an answer ends, and how it is drawn unless the request says so. */
#ifndef WORKER_MODEL_GENERATION_H
#define WORKER_MODEL_GENERATION_H

#include "base/err.h"
#include "worker/io/root.h"
#include "worker/model/config.h"

#include <stdbool.h>
#include <stdint.h>

struct generation {
    uint32_t n_eos, eos[CONFIG_EOS_MAX]; /* those of config.json when this file names none */
    /* What the file does not say is 1 (temperature, top_p, repetition_penalty) or 0 (off). */
    double temperature, top_p, min_p, repetition_penalty;
    uint32_t top_k;
    bool is_sampled; /* do_sample; false means argmax for a client that says nothing */
    bool has_is_sampled;
    char ignored[200]; /* keys that change answers and are not followed here, for the log; "" */
};

int generation_parse(struct generation *g, const struct model_config *c, const char *json, size_t len,
                     struct err *e);

/* From the model's directory; a model without the file gets the defaults. */
int generation_load(struct generation *g, const struct model_config *c, const struct root *root,
                    struct err *e);

#endif

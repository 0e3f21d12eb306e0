/* Everything a checkpoint directory says, read and checked; the weights only as a plan. */
#ifndef WORKER_ENGINE_CHECKPOINT_H
#define WORKER_ENGINE_CHECKPOINT_H

#include "base/config.h"
#include "worker/engine/prompt.h"
#include "worker/model/pooling.h"
#include "worker/model/weights.h"

struct checkpoint {
    struct root root;
    struct model_config config;
    struct pooling pooling;
    struct generation generation;
    struct safetensors tensors;
    struct weights_plan plan;
    struct weights_layout *layout; /* owned */
    struct language language;
    enum kern_type kv_type;
    enum reader_mode io;
};

/* By the settings of the model. 0, or -errno with the sentence; close it in either case. */
int checkpoint_open(struct checkpoint *c, const struct config_model *settings, struct err *e);
void checkpoint_close(struct checkpoint *c);

#endif

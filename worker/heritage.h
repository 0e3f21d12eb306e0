/* What a worker inherits: the control socket, the node segment and the configuration, and the
 * words that open and end its conversation with the supervisor (shm/control.h). */
#ifndef WORKER_HERITAGE_H
#define WORKER_HERITAGE_H

#include "base/config.h"
#include "shm/control.h"
#include "shm/layout.h"

#include <stdbool.h>

struct worker_args {
    uint32_t slot;
    uint32_t model; /* index in the node segment */
    uint64_t epoch;
    bool is_simulated;
};

/* --slot N --model INDEX --epoch E [--simulate]. 0 or -EINVAL with the sentence. */
int worker_args_parse(struct worker_args *args, int argc, char **argv, struct err *e);

struct heritage {
    struct worker_args args;
    int control;
    struct shm_node *node;
    struct config config;             /* owned */
    const struct config_model *model; /* borrowed from config */
    uint32_t spawns;                  /* incarnations of this worker so far, this one included */
    bool is_introduced;               /* HELLO is sent */
};

/* Map the segment, read the configuration, find the model by the name the segment has for it; from then on log lines and last words go to the
 * segment. 0 or -errno with the sentence; the process then ends, so nothing is undone. */
int heritage_open(struct heritage *h, const struct worker_args *args, struct err *e);
void heritage_close(struct heritage *h);

/* HELLO, filled in and sent. */
struct control_msg heritage_hello(const struct heritage *h);
int heritage_introduce(struct heritage *h, const struct control_msg *hello, struct err *e);

/* Say why this worker cannot be, to the supervisor and in the log: EXIT_PERMANENT. */
int heritage_refuse(struct heritage *h, const char *why);

#endif

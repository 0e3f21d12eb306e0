/* The simulated engine: tokens that are a function of (seed, index), or of a script, at a
 * configured pace, with faults on demand. Everything else of the worker is the real thing. */
#ifndef WORKER_SIM_SIM_H
#define WORKER_SIM_SIM_H

#include "base/config.h"
#include "shm/control.h"
#include "worker/engine.h"
#include "worker/sim/fault.h"
#include "worker/sim/prompt.h"
#include "worker/sim/schedule.h"
#include "worker/sim/script.h"

struct sim_seat {
    struct request *request;            /* borrowed; NULL = free */
    const struct script_answer *answer; /* borrowed; NULL = words */
    const struct fault *poison;         /* borrowed: what its prompt provokes */
    struct sim_prompt prompt;           /* owned; empty when nothing of it is said */
    uint64_t base_ns;                   /* token base_index is due then, those before it at once */
    uint32_t base_index;
    uint32_t n_said;   /* the first tokens: of the prompt, said as they are */
    uint32_t n_tokens; /* ends by itself there */
};

struct sim {
    struct engine engine;             /* first: what the worker sees */
    const struct config_model *model; /* borrowed */
    struct fault_plan faults;
    struct script script;  /* n_answers = 0: words */
    struct sim_seat *seat; /* owned */
    struct schedule schedule;
    struct garbage_place place;
    uint64_t load_begun_ns, load_due_ns;
    uint64_t n_tokens, n_requests; /* of this incarnation */
    bool has_loaded_half, is_loaded, is_never_ready;
};

/* spawns: how many incarnations of this worker there were, with this one; 0 = not known.
 * 0 or -errno with the sentence why this model cannot be simulated so. */
int sim_init(struct sim *s, const struct config_model *model, uint32_t spawns, struct ring *ring,
             struct err *e);
void sim_free(struct sim *s);

/* Before anything is said: spoil the hello as configured. False when it must not be sent. */
bool sim_spoil_hello(const struct sim *s, int control, struct control_msg *hello);

/* The fault of the moment after hello, if there is one. */
void sim_start(struct sim *s);

static inline bool sim_is_deaf(const struct sim *s)
{
    return fault_find(&s->faults, FAULT_IGNORE_TERM) != NULL;
}

#endif

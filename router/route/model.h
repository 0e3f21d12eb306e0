/* A model of the catalogue as the router knows it: who serves it, who waits for it. */
#ifndef ROUTER_ROUTE_MODEL_H
#define ROUTER_ROUTE_MODEL_H

#include "router/route/link.h"

/* Suspects of a worker's death that run with nothing else beside them (dispatch.c). */
struct trial {
    TAILQ_ENTRY(trial) entry;
    struct request_list members; /* through request.wait */
    uint32_t n;
    struct link *link; /* NULL while it waits for an idle worker */
    uint64_t started_ns;
};
TAILQ_HEAD(trial_list, trial);

struct model {
    uint32_t index; /* in the node segment */
    char name[128]; /* "" = unused */
    bool is_configured;
    bool was_ready; /* a worker has served it since the router started */
    struct request_list waiting;
    uint32_t n_waiting;
    struct trial_list trials;
    uint32_t n_in_flight;
    struct model_counters *counters;     /* borrowed, shared memory */
    struct model_histograms *histograms; /* borrowed, shared memory */
};

/* Take the names from the node segment and the configuration: at start, after CONFIG, and when a
 * link names a model that is not known yet. */
void models_refresh(struct router *rt);

/* By the name a client uses: direct or alias; NULL = unknown. */
struct model *model_find(struct router *rt, const char *name);

/* The supervisor's record; its state is MODEL_ABSENT when it cannot be read. */
void model_status(struct router *rt, const struct model *m, struct model_record *out);

/* Tokens of prompt and answer together, as the worker or else the configuration says; 0 = neither
 * does. */
uint32_t model_context(struct router *rt, const struct model *m);

/* Workers that take work now. */
uint32_t model_links(struct router *rt, const struct model *m);

#endif

/* What the worker shows of itself in the node segment: its sign of life and its record. */
#ifndef WORKER_REPORT_H
#define WORKER_REPORT_H

#include "shm/layout.h"
#include "worker/engine.h"

#include <stdbool.h>

#define REPORT_TICK_NS (100 * 1000000ull) /* the loop comes by at least this often */

struct report {
    struct shm_beat *beat;       /* borrowed: this worker's */
    struct worker_slot *slot;    /* borrowed: this worker's */
    struct worker_record record; /* as it should be seen */
    uint64_t opened_ns, published_ns;
    bool is_changed;
};

void report_open(struct report *p, struct shm_node *node, uint32_t slot, const char *model,
                 uint64_t epoch, uint64_t now_ns);
void report_phase(struct report *p, enum worker_phase phase, uint64_t now_ns);
void report_facts(struct report *p, const struct engine_facts *facts, const char *device);

/* Loading lives as long as the bytes move. */
void report_load(struct report *p, const struct engine_load *load, uint64_t now_ns);

/* Serving lives as long as the loop turns, and the engine with it. */
void report_serving(struct report *p, uint32_t active, uint32_t paused, bool is_alive,
                    uint64_t now_ns);

#endif

#include "worker/report.h"

#include <stdio.h>
#include <string.h>

#define PUBLISH_NS \
    (20 * 1000000ull) /* the record changes with every request: not each is shown \
                       */

static void move_beat(struct report *p, uint64_t now_ns)
{
    /* relaxed: each word is read by itself, and only whether it changed */
    counter_add(&p->beat->progress, 1);
    atomic_store_explicit(&p->beat->at_ns, now_ns, memory_order_relaxed);
}

static void publish(struct report *p, uint64_t now_ns)
{
    seqlock_publish(p->slot, &p->record);
    p->published_ns = now_ns;
    p->is_changed = false;
}

void report_open(struct report *p, struct shm_node *node, uint32_t slot, const char *model,
                 uint64_t epoch, uint64_t now_ns)
{
    *p = (struct report){.beat = &node->beat[SHM_PROC_WORKER(slot)],
                         .slot = &node->worker[slot],
                         .opened_ns = now_ns};
    p->record.epoch = epoch;
    snprintf(p->record.model, sizeof p->record.model, "%s", model);
    report_phase(p, PHASE_STARTING, now_ns);
}

void report_phase(struct report *p, enum worker_phase phase, uint64_t now_ns)
{
    p->record.phase = phase;
    atomic_store_explicit(&p->beat->phase, phase, memory_order_relaxed);
    move_beat(p, now_ns);
    publish(p, now_ns);
}

void report_facts(struct report *p, const struct engine_facts *facts, const char *device)
{
    p->record.seats = facts->seats;
    p->record.weights_bytes = facts->memory.weights_bytes;
    p->record.kv_bytes = facts->memory.kv_bytes;
    p->record.state_bytes = facts->memory.state_bytes;
    p->record.work_bytes = facts->memory.work_bytes;
    snprintf(p->record.device, sizeof p->record.device, "%s", device);
    p->is_changed = true;
}

void report_load(struct report *p, const struct engine_load *load, uint64_t now_ns)
{
    if (load->bytes != p->record.load_bytes || load->bytes_total != p->record.load_bytes_total) {
        p->record.load_bytes = load->bytes;
        p->record.load_bytes_total = load->bytes_total;
        p->is_changed = true;
        move_beat(p, now_ns);
    } else if (load->is_waiting) {
        move_beat(p, now_ns);
    }
    p->record.load_ns = now_ns - p->opened_ns;
    if (p->is_changed && now_ns - p->published_ns >= PUBLISH_NS)
        publish(p, now_ns);
}

void report_serving(struct report *p, uint32_t active, uint32_t paused, bool is_alive,
                    uint64_t now_ns)
{
    if (is_alive)
        move_beat(p, now_ns);
    if (active != p->record.active || paused != p->record.paused) {
        p->record.active = active;
        p->record.paused = paused;
        p->is_changed = true;
    }
    if (p->is_changed && now_ns - p->published_ns >= PUBLISH_NS)
        publish(p, now_ns);
}

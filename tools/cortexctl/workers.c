#include "tools/cortexctl/ctl.h"
#include "tools/cortexctl/table.h"

#include <stdio.h>
#include <string.h>

struct worker_row {
    struct ctl *c;
    struct view *counters;
    uint32_t slot;
};

static void fill_slot(void *row, struct cell *out)
{
    cell_count(out, ((struct worker_row *)row)->slot);
}

static void fill_name(void *row, struct cell *out)
{
    struct worker_row *r = row;
    char name[128];

    cell_text(out, ctl_worker_name(r->c, r->slot, name, sizeof name));
}

static void fill_model(void *row, struct cell *out)
{
    struct worker_row *r = row;
    char name[160];

    view_text(&r->c->worker, "model", name, sizeof name);
    if (name[0] == '\0') /* it has not said so yet */
        ctl_model_name(r->c, (uint32_t)view_u64(&r->c->process, "model"), name, sizeof name);
    cell_text(out, name);
}

static void fill_state(void *row, struct cell *out)
{
    const struct view *v = &((struct worker_row *)row)->c->process;
    char text[64];

    cell_text(out, v->is_torn ? "torn" : view_text(v, "state", text, sizeof text));
}

static void fill_phase(void *row, struct cell *out)
{
    const struct view *v = &((struct worker_row *)row)->c->worker;
    char text[64];

    cell_text(out, v->is_torn ? "torn" : view_text(v, "phase", text, sizeof text));
}

static void fill_pid(void *row, struct cell *out)
{
    uint64_t pid = view_u64(&((struct worker_row *)row)->c->process, "pid");

    if ((int64_t)pid > 0)
        cell_count(out, pid);
}

static void fill_device(void *row, struct cell *out)
{
    char text[64];

    cell_text(out, view_text(&((struct worker_row *)row)->c->worker, "device", text, sizeof text));
}

#define FILL_WORKER(function, field) \
    static void function(void *row, struct cell *out) \
    { \
        cell_count(out, view_u64(&((struct worker_row *)row)->c->worker, field)); \
    }
FILL_WORKER(fill_active, "active")
FILL_WORKER(fill_seats, "seats")
FILL_WORKER(fill_paused, "paused")

/* Bytes are of interest to people while they come; afterwards the time they took is left. */
static bool shows_bytes(const struct worker_row *r)
{
    return (r->c->is_json || view_u64(&r->c->worker, "phase") == PHASE_LOADING) &&
           view_u64(&r->c->worker, "load_bytes_total") > 0;
}

static void fill_bytes(void *row, struct cell *out)
{
    if (shows_bytes(row))
        cell_bytes(out, view_u64(&((struct worker_row *)row)->c->worker, "load_bytes"));
}

static void fill_bytes_total(void *row, struct cell *out)
{
    if (shows_bytes(row))
        cell_bytes(out, view_u64(&((struct worker_row *)row)->c->worker, "load_bytes_total"));
}

static void fill_percent(void *row, struct cell *out)
{
    const struct view *v = &((struct worker_row *)row)->c->worker;

    if (shows_bytes(row))
        cell_rate(
            out,
            100.0 * (double)view_u64(v, "load_bytes") / (double)view_u64(v, "load_bytes_total"), 1);
}

/* A byte in a nanosecond is a GB in a second. */
static void fill_rate(void *row, struct cell *out)
{
    const struct view *v = &((struct worker_row *)row)->c->worker;
    uint64_t ns = view_u64(v, "load_ns");

    if (shows_bytes(row) && ns > 0)
        cell_rate(out, (double)view_u64(v, "load_bytes") / (double)ns, 2);
}

static void fill_load_time(void *row, struct cell *out)
{
    uint64_t ns = view_u64(&((struct worker_row *)row)->c->worker, "load_ns");

    if (ns > 0)
        cell_span(out, 1, ns + 1);
}

static uint64_t sum_memory(const struct view *v)
{
    return view_u64(v, "weights_bytes") + view_u64(v, "kv_bytes") + view_u64(v, "state_bytes") +
           view_u64(v, "work_bytes");
}

/* As planned: pages are taken when they are first written. */
static void fill_memory(void *row, struct cell *out)
{
    uint64_t bytes = sum_memory(&((struct worker_row *)row)->c->worker);

    if (bytes > 0)
        cell_bytes(out, bytes);
}

#define FILL_MEMORY(function, field) \
    static void function(void *row, struct cell *out) \
    { \
        cell_bytes(out, view_u64(&((struct worker_row *)row)->c->worker, field)); \
    }
FILL_MEMORY(fill_weights, "weights_bytes")
FILL_MEMORY(fill_kv, "kv_bytes")
FILL_MEMORY(fill_states, "state_bytes")
FILL_MEMORY(fill_work, "work_bytes")

#define FILL_COUNTER(function, counter) \
    static void function(void *row, struct cell *out) \
    { \
        cell_count(out, view_u64(((struct worker_row *)row)->counters, counter)); \
    }
FILL_COUNTER(fill_requests, "worker_requests")
FILL_COUNTER(fill_tokens, "worker_tokens")
FILL_COUNTER(fill_steps, "worker_steps")

static void fill_prefixes(void *row, struct cell *out)
{
    cell_bytes(out, view_u64(((struct worker_row *)row)->counters, "prefix_cached_bytes"));
}

static void fill_beat(void *row, struct cell *out)
{
    struct worker_row *r = row;

    if (view_load(&r->c->beat, SHM_PROC_WORKER(r->slot)))
        cell_span(out, view_u64(&r->c->beat, "at_ns"), r->c->now_ns);
}

static void fill_up(void *row, struct cell *out)
{
    struct ctl *c = ((struct worker_row *)row)->c;

    if ((int64_t)view_u64(&c->process, "pid") > 0)
        cell_span(out, view_u64(&c->process, "spawned_ns"), c->now_ns);
}

static void fill_faults(void *row, struct cell *out)
{
    cell_count(out, view_u64(&((struct worker_row *)row)->c->process, "faults"));
}

static void fill_is_torn(void *row, struct cell *out)
{
    const struct ctl *c = ((struct worker_row *)row)->c;

    cell_flag(out, c->process.is_torn || c->worker.is_torn);
}

static const struct column columns[] = {
    {"SLOT", "slot", fill_slot},
    {"WORKER", "name", fill_name},
    {"MODEL", "model", fill_model},
    {"STATE", "state", fill_state},
    {"PHASE", "phase", fill_phase},
    {"PID", "pid", fill_pid},
    {"DEVICE", "device", fill_device},
    {"ACTIVE", "active", fill_active},
    {"SEATS", "seats", fill_seats},
    {"PAUSED", "paused", fill_paused},
    {"LOADED", "load_bytes", fill_bytes},
    {"OF", "load_bytes_total", fill_bytes_total},
    {"LOADED%", "loaded_percent", fill_percent},
    {"GB/S", "load_gb_s", fill_rate},
    {"LOADING", "load_s", fill_load_time},
    {"MEMORY", "memory_bytes", fill_memory},
    {NULL, "weights_bytes", fill_weights},
    {NULL, "kv_bytes", fill_kv},
    {NULL, "state_bytes", fill_states},
    {NULL, "work_bytes", fill_work},
    {NULL, "prefix_cached_bytes", fill_prefixes},
    {"REQUESTS", "requests", fill_requests},
    {"TOKENS", "tokens", fill_tokens},
    {"STEPS", "steps", fill_steps},
    {"BEAT", "beat_age_s", fill_beat},
    {"UP", "up_s", fill_up},
    {"FAULTS", "faults", fill_faults},
    {NULL, "is_torn", fill_is_torn},
};

static void add_workers(struct ctl *c)
{
    struct view counters;
    struct table t;

    view_open(&counters, &c->d, "worker_counters");
    table_begin(&t, columns, sizeof columns / sizeof columns[0], c->is_json, &c->out, "workers");
    for (uint32_t slot = 0; view_load(&c->worker, slot); slot++) {
        struct worker_row row = {c, &counters, slot};
        if (!view_load(&c->process, SHM_PROC_WORKER(slot)) ||
            view_u64(&c->process, "kind") == PROCESS_NONE)
            continue;
        view_load(&counters, slot);
        table_row(&t, &row);
    }
    table_end(&t);
    view_close(&counters);
}

int ctl_workers(struct ctl *c, struct err *e)
{
    (void)e;
    if (c->is_json)
        json_begin(&c->out, NULL, '{');
    add_workers(c);
    ctl_add_weights(c);
    if (c->is_json)
        buf_add_str(&c->out, "}\n");
    return 0;
}

#include "shm/counters.h"
#include "tools/cortexctl/ctl.h"

#include <inttypes.h>

/* The page docs/reference/counters.md, from the lists the structs and the metrics come from. */

static void add_counters(struct buf *b, const char *title, const struct counter_desc *descs)
{
    static const char *const kinds[] = {[COUNTER_COUNTER] = "counter", [COUNTER_GAUGE] = "gauge"};
    static const char *const units[] = {[UNIT_NONE] = "", [UNIT_BYTES] = "bytes"};

    buf_printf(b,
               "\n## %s\n\n| counter | metric | kind | unit | meaning |\n|---|---|---|---|---|\n",
               title);
    for (const struct counter_desc *d = descs; d->name != NULL; d++)
        buf_printf(b, "| `%s` | `cortex_%s%s` | %s | %s | %s |\n", d->name, d->name,
                   d->kind == COUNTER_COUNTER ? "_total" : "", kinds[d->kind], units[d->unit],
                   d->help);
}

static void add_histograms(struct buf *b, const char *title, const struct histogram_desc *descs)
{
    buf_printf(b, "\n## %s\n\n| histogram | metric | meaning |\n|---|---|---|\n", title);
    for (const struct histogram_desc *d = descs; d->name != NULL; d++)
        buf_printf(b, "| `%s` | `cortex_%s` | %s |\n", d->name, d->name, d->help);
}

void ctl_add_reference(struct buf *b)
{
    buf_add_str(b,
                "# Counters and histograms\n\n"
                "`cortexctl counters` reads them from shared memory, `/metrics` serves them to "
                "Prometheus.\nEach has one writing process and survives that process's restarts. "
                "Written by `cortexctl counters --reference`.\n");
    add_counters(b, "Supervisor (label node)", supervisor_counter_descs);
    add_counters(b, "Router (label node)", router_counter_descs);
    add_counters(b, "Models (labels model, node)", model_counter_descs);
    add_counters(b, "Workers (labels model, node, worker)", worker_counter_descs);
    add_histograms(b, "Times of the models' requests (labels model, node)", model_histogram_descs);
    add_histograms(b, "Times of the router (label node)", router_histogram_descs);
    buf_add_str(b, "\nUpper bounds of the buckets in seconds:");
    for (int i = 0; i < HISTOGRAM_BUCKETS - 1; i++)
        buf_printf(b, "%s %g", i == 0 ? "" : ",", (double)histogram_bounds_ns[i] / 1e9);
    buf_add_str(b, ".\n");
}

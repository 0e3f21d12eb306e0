#include "shm/counters.h"

#include <assert.h>

#define ROW(strct, n, k, u, h) {#n, h, offsetof(struct strct, n), COUNTER_##k, UNIT_##u},
#define SUPERVISOR_ROW(n, k, u, h) ROW(supervisor_counters, n, k, u, h)
#define ROUTER_ROW(n, k, u, h)     ROW(router_counters, n, k, u, h)
#define MODEL_ROW(n, k, u, h)      ROW(model_counters, n, k, u, h)
#define WORKER_ROW(n, k, u, h)     ROW(worker_counters, n, k, u, h)

const struct counter_desc supervisor_counter_descs[] = {SUPERVISOR_COUNTERS(SUPERVISOR_ROW){0}};
const struct counter_desc router_counter_descs[] = {ROUTER_COUNTERS(ROUTER_ROW){0}};
const struct counter_desc model_counter_descs[] = {MODEL_COUNTERS(MODEL_ROW){0}};
const struct counter_desc worker_counter_descs[] = {WORKER_COUNTERS(WORKER_ROW){0}};

#define MODEL_HISTOGRAM_ROW(n, h)  {#n, h, offsetof(struct model_histograms, n)},
#define ROUTER_HISTOGRAM_ROW(n, h) {#n, h, offsetof(struct router_histograms, n)},

const struct histogram_desc model_histogram_descs[] = {MODEL_HISTOGRAMS(MODEL_HISTOGRAM_ROW){0}};
const struct histogram_desc router_histogram_descs[] = {ROUTER_HISTOGRAMS(ROUTER_HISTOGRAM_ROW){0}};

#define BOUND(ns) ns##ull,
const uint64_t histogram_bounds_ns[] = {HISTOGRAM_BOUNDS(BOUND)};
static_assert(sizeof histogram_bounds_ns == (HISTOGRAM_BUCKETS - 1) * sizeof(uint64_t),
              "one bucket more than there are bounds");

void histogram_add(struct histogram *h, uint64_t ns)
{
    int i = 0;
    while (i < HISTOGRAM_BUCKETS - 1 && ns > histogram_bounds_ns[i])
        i++;
    counter_add(&h->bucket[i], 1);
    counter_add(&h->sum_ns, ns);
}

/* GET /metrics: the Prometheus text format (0.0.4), from the lists of shm/counters.h. Series of
 * models and workers that are gone are gone. */
#include "router/api/api.h"
#include "router/router.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct page {
    struct buf out;
    struct router *router;
    char node[65];
};

static void add_head(struct page *p, const char *name, const char *suffix, const char *help,
                     const char *type)
{
    buf_printf(&p->out, "# HELP cortex_%s%s %s\n# TYPE cortex_%s%s %s\n", name, suffix, help, name,
               suffix, type);
}

/* A label value: backslash, quote and newline escaped. */
static void add_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            buf_add_char(out, '\\');
        if (*value == '\n')
            buf_add_str(out, "\\n");
        else
            buf_add_char(out, *value);
    }
    buf_add_char(out, '"');
}

/* The name a counter is known by elsewhere: _total for counters, _bytes for bytes. */
static const char *suffix_of(const struct counter_desc *d)
{
    return d->kind == COUNTER_COUNTER ? "_total" : "";
}

static void add_counter_head(struct page *p, const struct counter_desc *d)
{
    add_head(p, d->name, suffix_of(d), d->help, d->kind == COUNTER_COUNTER ? "counter" : "gauge");
}

static uint64_t value_at(const void *base, size_t offset)
{
    return counter_get((const _Atomic uint64_t *)((const char *)base + offset));
}

static void add_process_counters(struct page *p, const struct counter_desc *descs, const void *base)
{
    for (const struct counter_desc *d = descs; d->name != NULL; d++) {
        add_counter_head(p, d);
        buf_printf(&p->out, "cortex_%s%s{", d->name, suffix_of(d));
        add_label(&p->out, "node", p->node);
        buf_printf(&p->out, "} %llu\n", (unsigned long long)value_at(base, d->offset));
    }
}

static void add_model_labels(struct page *p, const struct model *m)
{
    add_label(&p->out, "model", m->name);
    buf_add_char(&p->out, ',');
    add_label(&p->out, "node", p->node);
}

static void add_model_counters(struct page *p)
{
    for (const struct counter_desc *d = model_counter_descs; d->name != NULL; d++) {
        add_counter_head(p, d);
        for (int i = 0; i < SHM_MODELS_MAX; i++) {
            const struct model *m = &p->router->models[i];
            if (!m->is_configured)
                continue;
            buf_printf(&p->out, "cortex_%s%s{", d->name, suffix_of(d));
            add_model_labels(p, m);
            buf_printf(&p->out, "} %llu\n", (unsigned long long)value_at(m->counters, d->offset));
        }
    }
}

static void add_worker_counters(struct page *p)
{
    for (const struct counter_desc *d = worker_counter_descs; d->name != NULL; d++) {
        add_counter_head(p, d);
        for (int i = 0; i < SHM_WORKERS_MAX; i++) {
            const struct link *l = &p->router->links[i];
            if (l->state == LINK_NONE)
                continue;
            buf_printf(&p->out, "cortex_%s%s{", d->name, suffix_of(d));
            add_model_labels(p, l->model);
            buf_printf(&p->out, ",worker=\"%d\"} %llu\n", i,
                       (unsigned long long)value_at(&p->router->node->worker_counters[i],
                                                    d->offset));
        }
    }
}

/* One series: cumulative buckets, sum, count. */
static void add_histogram(struct page *p, const struct histogram_desc *d, const struct histogram *h,
                          const struct model *m)
{
    uint64_t total = 0;

    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        total += counter_get(&h->bucket[i]);
        buf_printf(&p->out, "cortex_%s_bucket{", d->name);
        if (m != NULL)
            add_model_labels(p, m);
        else
            add_label(&p->out, "node", p->node);
        if (i < HISTOGRAM_BUCKETS - 1)
            buf_printf(&p->out, ",le=\"%g\"} ", (double)histogram_bounds_ns[i] / 1e9);
        else
            buf_add_str(&p->out, ",le=\"+Inf\"} ");
        buf_printf(&p->out, "%llu\n", (unsigned long long)total);
    }
    for (int k = 0; k < 2; k++) {
        buf_printf(&p->out, "cortex_%s_%s{", d->name, k == 0 ? "sum" : "count");
        if (m != NULL)
            add_model_labels(p, m);
        else
            add_label(&p->out, "node", p->node);
        if (k == 0)
            buf_printf(&p->out, "} %.9f\n", (double)counter_get(&h->sum_ns) / 1e9);
        else
            buf_printf(&p->out, "} %llu\n", (unsigned long long)total);
    }
}

static void add_histograms(struct page *p)
{
    for (const struct histogram_desc *d = model_histogram_descs; d->name != NULL; d++) {
        add_head(p, d->name, "", d->help, "histogram");
        for (int i = 0; i < SHM_MODELS_MAX; i++) {
            const struct model *m = &p->router->models[i];
            if (m->is_configured)
                add_histogram(p, d,
                              (const struct histogram *)((const char *)m->histograms + d->offset),
                              m);
        }
    }
    for (const struct histogram_desc *d = router_histogram_descs; d->name != NULL; d++) {
        add_head(p, d->name, "", d->help, "histogram");
        add_histogram(p, d,
                      (const struct histogram *)((const char *)&p->router->node->router_histograms +
                                                 d->offset),
                      NULL);
    }
}

enum handler_result metrics_show(struct exchange *x)
{
    struct page p = {.router = x->server->context};

    gethostname(p.node, sizeof p.node - 1);
    add_head(&p, "build_info", "", "Version of the running program", "gauge");
    buf_printf(&p.out, "cortex_build_info{version=\"%s\",", CORTEX_VERSION);
    add_label(&p.out, "node", p.node);
    buf_add_str(&p.out, "} 1\n");
    add_head(&p, "node_up", "", "1 while the node serves, 0 while it drains", "gauge");
    buf_add_str(&p.out, "cortex_node_up{");
    add_label(&p.out, "node", p.node);
    buf_printf(&p.out, "} %d\n", !p.router->is_draining);
    add_process_counters(&p, supervisor_counter_descs, &p.router->node->supervisor_counters);
    add_process_counters(&p, router_counter_descs, &p.router->node->router_counters);
    add_model_counters(&p);
    add_worker_counters(&p);
    add_histograms(&p);
    exchange_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", "", p.out.data, p.out.len);
    buf_free(&p.out);
    return HANDLER_DONE;
}

#include "tools/cortexctl/ctl.h"
#include "tools/cortexctl/table.h"

#include <stdio.h>

struct model_row {
    struct ctl *c;
    struct view *counters;
    uint32_t index;
};

static void fill_model(void *row, struct cell *out)
{
    struct model_row *r = row;
    char name[160];

    cell_text(out, ctl_model_name(r->c, r->index, name, sizeof name));
    view_load(&r->c->model, r->index);
    view_load(r->counters, r->index);
}

static void fill_model_state(void *row, struct cell *out)
{
    const struct view *v = &((struct model_row *)row)->c->model;
    char text[64];

    cell_text(out, v->is_torn ? "torn" : view_text(v, "state", text, sizeof text));
}

static void fill_workers(void *row, struct cell *out)
{
    cell_count(out, view_u64(&((struct model_row *)row)->c->model, "workers"));
}

static void fill_workers_ready(void *row, struct cell *out)
{
    cell_count(out, view_u64(&((struct model_row *)row)->c->model, "workers_ready"));
}

static void fill_context(void *row, struct cell *out)
{
    uint64_t tokens = view_u64(&((struct model_row *)row)->c->model, "context");

    if (tokens > 0)
        cell_count(out, tokens);
}

#define FILL_COUNTER(function, counter) \
    static void function(void *row, struct cell *out) \
    { \
        cell_count(out, view_u64(((struct model_row *)row)->counters, counter)); \
    }
FILL_COUNTER(fill_in_flight, "model_in_flight")
FILL_COUNTER(fill_queued, "model_queue_depth")
FILL_COUNTER(fill_requests, "requests")
FILL_COUNTER(fill_errors, "request_errors")

static void fill_model_retry(void *row, struct cell *out)
{
    struct ctl *c = ((struct model_row *)row)->c;
    uint64_t at = view_u64(&c->model, "retry_ns");

    if (at > c->now_ns)
        cell_span(out, c->now_ns, at);
}

static void fill_model_reason(void *row, struct cell *out)
{
    char text[256];

    cell_text(out, view_text(&((struct model_row *)row)->c->model, "reason", text, sizeof text));
}

static const struct column model_columns[] = {
    {"MODEL", "name", fill_model}, /* loads the records for the others */
    {"STATE", "state", fill_model_state},
    {"READY", "workers_ready", fill_workers_ready},
    {"WORKERS", "workers", fill_workers},
    {"CONTEXT", "context", fill_context},
    {"RUNNING", "in_flight", fill_in_flight},
    {"QUEUED", "queued", fill_queued},
    {"REQUESTS", "requests", fill_requests},
    {"ERRORS", "request_errors", fill_errors},
    {"RETRY", "retry_in_s", fill_model_retry},
    {"REASON", "reason", fill_model_reason},
};

void ctl_add_models(struct ctl *c)
{
    struct view counters;
    struct table t;
    char name[160];

    view_open(&counters, &c->d, "model_counters");
    table_begin(&t, model_columns, sizeof model_columns / sizeof model_columns[0], c->is_json,
                &c->out, "models");
    for (uint32_t i = 0; view_load(&c->model, i); i++) {
        struct model_row row = {c, &counters, i};
        if (view_text(&c->model, "name", name, sizeof name)[0] != '\0')
            table_row(&t, &row);
    }
    table_end(&t);
    view_close(&counters);
}

int ctl_models(struct ctl *c, struct err *e)
{
    (void)e;
    if (c->is_json)
        json_begin(&c->out, NULL, '{');
    ctl_add_models(c);
    if (c->is_json)
        buf_add_str(&c->out, "}\n");
    return 0;
}

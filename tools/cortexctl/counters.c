#include "tools/cortexctl/ctl.h"
#include "tools/cortexctl/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One value of one record of a section. */
struct value_row {
    struct ctl *c;
    struct view *v;
    uint32_t index;
    const struct shm_field_desc *field;
};

/* The label of record i of a section: model and worker sections have one record per model or slot.
 * 0 when the record is not in use. */
static int find_label(struct ctl *c, const struct view *v, uint32_t i, const char **key, char *text,
                      size_t size)
{
    *key = NULL;
    text[0] = '\0';
    if (strncmp(v->section.name, "model_", 6) == 0) {
        *key = "model";
        return view_load(&c->model, i) && view_text(&c->model, "name", text, size)[0] != '\0';
    }
    if (strncmp(v->section.name, "worker_", 7) == 0) {
        *key = "worker";
        ctl_worker_name(c, i, text, size);
        return view_load(&c->process, SHM_PROC_WORKER(i)) &&
               view_u64(&c->process, "kind") != PROCESS_NONE;
    }
    if (v->section.count > 1) {
        *key = "index";
        snprintf(text, size, "%u", i);
    }
    return 1;
}

static void fill_name(void *row, struct cell *out)
{
    cell_text(out, ((struct value_row *)row)->field->name);
}

static void fill_kind(void *row, struct cell *out)
{
    cell_text(out, ((struct value_row *)row)->field->set);
}

static void fill_label_key(void *row, struct cell *out)
{
    struct value_row *r = row;
    const char *key;
    char text[160];

    find_label(r->c, r->v, r->index, &key, text, sizeof text);
    cell_text(out, key != NULL ? key : "");
}

static void fill_label(void *row, struct cell *out)
{
    struct value_row *r = row;
    const char *key;
    char text[160];

    find_label(r->c, r->v, r->index, &key, text, sizeof text);
    cell_text(out, text);
}

static void fill_value(void *row, struct cell *out)
{
    struct value_row *r = row;
    cell_count(out, describe_get_element(r->v->record, r->field, 0));
}

static const struct column counter_columns[] = {
    {"COUNTER", "name", fill_name}, {"KIND", "kind", fill_kind},    {NULL, "label", fill_label_key},
    {"FOR", "of", fill_label},      {"VALUE", "value", fill_value},
};

/* ---- histograms: buckets, then the sum of nanoseconds ---- */

static uint64_t count_events(const struct value_row *r)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i + 1 < describe_elements(r->field); i++)
        n += describe_get_element(r->v->record, r->field, i);
    return n;
}

/* Upper bound of bucket i in ns, 0 when it has none. */
static uint64_t find_bound(const struct describe *d, uint32_t i)
{
    struct shm_enum_desc row;

    for (uint32_t k = 0; describe_enum_at(d, k, &row) == 0; k++)
        if (strcmp(row.set, "histogram_bound_us") == 0 && i-- == 0)
            return row.value * 1000ull;
    return 0;
}

/* The value below which `share` of the events lie, taking those of a bucket as evenly spread. In
 * the last bucket, which has no bound, only its lower end is known: the estimate is that. */
static void fill_quantile(const struct value_row *r, double share, struct cell *out)
{
    const struct describe *d = &r->c->d;
    double wanted = share * (double)count_events(r), before = 0;
    uint64_t low = 0;

    for (uint32_t i = 0; wanted > 0 && i + 1 < describe_elements(r->field); i++) {
        double here = (double)describe_get_element(r->v->record, r->field, i);
        uint64_t high = find_bound(d, i);
        if (before + here >= wanted) {
            double ns = (double)low;
            if (high > low)
                ns += (double)(high - low) * (wanted - before) / here;
            cell_span(out, 1, (uint64_t)ns + 1);
            return;
        }
        before += here;
        low = high;
    }
}

static void fill_count(void *row, struct cell *out)
{
    cell_count(out, count_events(row));
}

static void fill_sum(void *row, struct cell *out)
{
    struct value_row *r = row;
    uint32_t last = describe_elements(r->field) - 1;

    cell_span(out, 1, describe_get_element(r->v->record, r->field, last) + 1);
}

static void fill_p50(void *row, struct cell *out)
{
    fill_quantile(row, 0.5, out);
}

static void fill_p99(void *row, struct cell *out)
{
    fill_quantile(row, 0.99, out);
}

static const struct column histogram_columns[] = {
    {"HISTOGRAM", "name", fill_name}, {NULL, "label", fill_label_key}, {"FOR", "of", fill_label},
    {"COUNT", "count", fill_count},   {"SUM", "sum_s", fill_sum},      {"P50", "p50_s", fill_p50},
    {"P99", "p99_s", fill_p99},
};

static void add_section(struct ctl *c, struct table *t, const struct shm_section_desc *s)
{
    struct view v;
    struct shm_field_desc f;
    const char *key;
    char text[160];

    view_open(&v, &c->d, s->name);
    for (uint32_t i = 0; view_load(&v, i); i++) {
        if (!find_label(c, &v, i, &key, text, sizeof text))
            continue;
        for (uint32_t k = 0; k < s->n_fields; k++) {
            struct value_row row = {c, &v, i, &f};
            if (describe_field_at(&c->d, s, k, &f) == 0)
                table_row(t, &row);
        }
    }
    view_close(&v);
}

static void add_kind(struct ctl *c, enum shm_section_kind kind, const struct column *columns,
                     size_t n, const char *key)
{
    struct table t;
    struct shm_section_desc s;

    table_begin(&t, columns, n, c->is_json, &c->out, key);
    for (uint32_t i = 0; i < c->d.header.n_sections; i++)
        if (describe_section_at(&c->d, i, &s) == 0 && s.kind == (uint32_t)kind)
            add_section(c, &t, &s);
    table_end(&t);
}

int ctl_counters(struct ctl *c, struct err *e)
{
    (void)e;
    if (c->is_reference) {
        ctl_add_reference(&c->out);
        return 0;
    }
    if (c->is_json)
        json_begin(&c->out, NULL, '{');
    add_kind(c, SHM_COUNTERS, counter_columns, sizeof counter_columns / sizeof counter_columns[0],
             "counters");
    if (!c->is_json)
        buf_add_char(&c->out, '\n');
    add_kind(c, SHM_HISTOGRAMS, histogram_columns,
             sizeof histogram_columns / sizeof histogram_columns[0], "histograms");
    if (c->is_json)
        buf_add_str(&c->out, "}\n");
    return 0;
}

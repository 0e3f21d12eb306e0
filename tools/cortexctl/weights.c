/* The memory that the supervisor keeps for the weights of models. */
#include "tools/cortexctl/ctl.h"
#include "tools/cortexctl/table.h"

struct weights_row {
    struct ctl *c;
    struct view weights;
};

static void fill_key(void *row, struct cell *out)
{
    cell_id(out, view_u64(&((struct weights_row *)row)->weights, "key"));
}

static void fill_weights_model(void *row, struct cell *out)
{
    struct weights_row *r = row;
    char name[160];

    cell_text(out,
              ctl_model_name(r->c, (uint32_t)view_u64(&r->weights, "model"), name, sizeof name));
}

static void fill_weights_state(void *row, struct cell *out)
{
    const struct view *v = &((struct weights_row *)row)->weights;
    char text[64];

    cell_text(out, v->is_torn ? "torn" : view_text(v, "state", text, sizeof text));
}

static void fill_size(void *row, struct cell *out)
{
    cell_bytes(out, view_u64(&((struct weights_row *)row)->weights, "bytes"));
}

static void fill_users(void *row, struct cell *out)
{
    cell_count(out, view_u64(&((struct weights_row *)row)->weights, "users"));
}

static void fill_waiting(void *row, struct cell *out)
{
    cell_count(out, view_u64(&((struct weights_row *)row)->weights, "waiting"));
}

static void fill_filled(void *row, struct cell *out)
{
    struct weights_row *r = row;

    cell_span(out, view_u64(&r->weights, "filled_ns"), r->c->now_ns);
}

static const struct column weights_columns[] = {
    {"WEIGHTS", "key", fill_key},           {"MODEL", "model", fill_weights_model},
    {"STATE", "state", fill_weights_state}, {"SIZE", "bytes", fill_size},
    {"WORKERS", "workers", fill_users},     {"WAITING", "waiting", fill_waiting},
    {"KEPT", "kept_s", fill_filled},
};

/* As text only where there are some. */
void ctl_add_weights(struct ctl *c)
{
    struct weights_row row = {.c = c};
    struct table t;
    bool is_begun = c->is_json;

    view_open(&row.weights, &c->d, "weights");
    table_begin(&t, weights_columns, sizeof weights_columns / sizeof weights_columns[0], c->is_json,
                &c->out, "weights");
    for (uint32_t i = 0; view_load(&row.weights, i); i++) {
        if (view_u64(&row.weights, "state") == KEPT_NONE)
            continue;
        if (!is_begun)
            buf_add_char(&c->out, '\n');
        is_begun = true;
        table_row(&t, &row);
    }
    if (is_begun)
        table_end(&t);
    view_close(&row.weights);
}

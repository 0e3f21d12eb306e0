#include "base/clock.h"
#include "tools/cortexctl/ctl.h"
#include "tools/cortexctl/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SILENT_NS (2 * NS_PER_S) /* a process beats every 250 ms */

struct process_row {
    struct ctl *c;
    uint32_t index;
};

static void fill_name(void *row, struct cell *out)
{
    struct process_row *r = row;
    char name[128];

    cell_text(out, ctl_process_name(r->c, r->index, name, sizeof name));
    view_load(&r->c->process, r->index);
}

static void fill_state(void *row, struct cell *out)
{
    const struct view *v = &((struct process_row *)row)->c->process;
    char text[64];

    cell_text(out, v->is_torn ? "torn" : view_text(v, "state", text, sizeof text));
}

static void fill_pid(void *row, struct cell *out)
{
    uint64_t pid = view_u64(&((struct process_row *)row)->c->process, "pid");

    if ((int64_t)pid > 0)
        cell_count(out, pid);
}

static void fill_up(void *row, struct cell *out)
{
    struct ctl *c = ((struct process_row *)row)->c;

    if ((int64_t)view_u64(&c->process, "pid") > 0)
        cell_span(out, view_u64(&c->process, "spawned_ns"), c->now_ns);
}

static void fill_beat(void *row, struct cell *out)
{
    struct process_row *r = row;

    if (view_load(&r->c->beat, r->index))
        cell_span(out, view_u64(&r->c->beat, "at_ns"), r->c->now_ns);
}

static void fill_restarts(void *row, struct cell *out)
{
    uint64_t spawns = view_u64(&((struct process_row *)row)->c->process, "spawns");

    cell_count(out, spawns > 0 ? spawns - 1 : 0);
}

static void fill_faults(void *row, struct cell *out)
{
    cell_count(out, view_u64(&((struct process_row *)row)->c->process, "faults"));
}

static void fill_retry(void *row, struct cell *out)
{
    struct ctl *c = ((struct process_row *)row)->c;
    uint64_t at = view_u64(&c->process, "next_start_ns");

    if (at > c->now_ns)
        cell_span(out, c->now_ns, at);
}

static void fill_death_class(void *row, struct cell *out)
{
    const struct view *v = &((struct process_row *)row)->c->process;
    char text[64];

    if (view_u64(v, "exit_class") != 0)
        cell_text(out, view_text(v, "exit_class", text, sizeof text));
}

static void fill_death_age(void *row, struct cell *out)
{
    struct ctl *c = ((struct process_row *)row)->c;

    cell_span(out, view_u64(&c->process, "gone_ns"), c->now_ns);
}

static void fill_reason(void *row, struct cell *out)
{
    char text[256];

    cell_text(out,
              view_text(&((struct process_row *)row)->c->process, "reason", text, sizeof text));
}

static void fill_is_torn(void *row, struct cell *out)
{
    cell_flag(out, ((struct process_row *)row)->c->process.is_torn);
}

static const struct column process_columns[] = {
    {"PROCESS", "name", fill_name}, /* loads the record for the others */
    {"STATE", "state", fill_state},
    {"PID", "pid", fill_pid},
    {"UP", "up_s", fill_up},
    {"BEAT", "beat_age_s", fill_beat},
    {"RESTARTS", "restarts", fill_restarts},
    {"FAULTS", "faults", fill_faults},
    {"RETRY", "retry_in_s", fill_retry},
    {"DEATH", "death_class", fill_death_class},
    {"AGO", "death_age_s", fill_death_age},
    {"LAST DEATH", "death_reason", fill_reason},
    {NULL, "is_torn", fill_is_torn},
};

static void add_processes(struct ctl *c)
{
    struct table t;

    table_begin(&t, process_columns, sizeof process_columns / sizeof process_columns[0], c->is_json,
                &c->out, "processes");
    for (uint32_t i = 0; view_load(&c->process, i); i++) {
        struct process_row row = {c, i};
        if (view_u64(&c->process, "kind") != PROCESS_NONE)
            table_row(&t, &row);
    }
    table_end(&t);
}

static uint64_t sum_models(struct ctl *c, const char *field)
{
    struct view v;
    uint64_t sum = 0;

    view_open(&v, &c->d, "model_counters");
    for (uint32_t i = 0; view_load(&v, i); i++)
        sum += view_u64(&v, field);
    view_close(&v);
    return sum;
}

static void add_totals(struct ctl *c)
{
    struct view router;
    uint64_t open = 0, connections = 0;

    for (uint32_t i = 0; view_load(&c->request, i); i++)
        open += view_u64(&c->request, "id") != 0;
    view_open(&router, &c->d, "router_counters");
    if (view_load(&router, 0))
        connections = view_u64(&router, "connections_open");
    view_close(&router);
    uint64_t prompt = sum_models(c, "prompt_tokens"),
             cached = sum_models(c, "cached_prompt_tokens");
    uint64_t generated = sum_models(c, "completion_tokens"),
             resumed = sum_models(c, "requests_resumed");

    if (c->is_json) {
        json_begin(&c->out, "totals", '{');
        json_count(&c->out, "requests_open", open);
        json_count(&c->out, "connections_open", connections);
        json_count(&c->out, "prompt_tokens", prompt);
        json_count(&c->out, "cached_prompt_tokens", cached);
        json_count(&c->out, "completion_tokens", generated);
        json_count(&c->out, "requests_resumed", resumed);
        json_end(&c->out, '}');
        return;
    }
    buf_printf(&c->out,
               "%" PRIu64 " requests and %" PRIu64 " connections open; %" PRIu64
               " prompt tokens (%" PRIu64 " cached), %" PRIu64 " generated, %" PRIu64
               " times resumed\n",
               open, connections, prompt, cached, generated, resumed);
}

/* What an operator should see first; nothing when all is well. */
static void add_note(struct ctl *c, struct buf *note)
{
    if (c->is_json) {
        json_text(&c->out, NULL, buf_text(note));
    } else {
        buf_add_str(&c->out, "! ");
        add_printable(&c->out, buf_text(note));
        buf_add_char(&c->out, '\n');
    }
    buf_clear(note);
}

static void add_notes(struct ctl *c)
{
    struct buf note = {0};
    char name[160], reason[256];

    if (c->is_json)
        json_begin(&c->out, "notes", '[');
    if (!c->is_alive) {
        uint64_t now = clock_now_ns();
        buf_printf(&note,
                   "supervisor %" PRId32 " is gone, the instance is dead; last sign of life ",
                   c->d.header.owner_pid);
        add_span(&note, now > c->now_ns ? now - c->now_ns : 0);
        buf_add_str(&note, " ago; this is what it left, ages as of then");
        add_note(c, &note);
    }
    for (uint32_t i = 0; view_load(&c->model, i); i++)
        if (view_u64(&c->model, "state") == MODEL_FAILED) {
            buf_printf(&note, "model %s has failed: ", ctl_model_name(c, i, name, sizeof name));
            buf_add_str(&note, view_text(&c->model, "reason", reason, sizeof reason));
            add_note(c, &note);
        }
    for (uint32_t i = 0; c->is_alive && view_load(&c->process, i); i++) {
        int64_t pid = (int64_t)view_u64(&c->process, "pid");
        uint64_t at = view_load(&c->beat, i) ? view_u64(&c->beat, "at_ns") : 0;
        if (pid <= 0 || at == 0 || at + SILENT_NS > c->now_ns)
            continue;
        buf_printf(&note, "%s %" PRId64 " has made no progress for ",
                   ctl_process_name(c, i, name, sizeof name), pid);
        add_span(&note, c->now_ns - at);
        add_note(c, &note);
    }
    if (c->is_json)
        json_end(&c->out, ']');
    buf_free(&note);
}

static void add_address(struct buf *out, const char *what, const char *address)
{
    if (address[0] == '\0')
        return;
    buf_add_str(out, what);
    add_printable(out, address);
}

static void add_instance(struct ctl *c)
{
    const struct shm_header *h = &c->d.header;
    struct cell up = {.kind = CELL_NONE}, boot;
    char host[128] = "", listen[128], metrics[128];
    struct view gateway;

    gethostname(host, sizeof host - 1);
    view_open(&gateway, &c->d, "gateway");
    view_load(&gateway, 0);
    view_text(&gateway, "listen", listen, sizeof listen);
    view_text(&gateway, "metrics_listen", metrics, sizeof metrics);
    view_close(&gateway);
    if (view_load(&c->process, SHM_PROC_SUPERVISOR))
        cell_span(&up, view_u64(&c->process, "spawned_ns"), c->now_ns);
    if (c->is_json) {
        json_text(&c->out, "instance", h->instance);
        json_text(&c->out, "host", host);
        json_text(&c->out, "version", h->program_version);
        json_flag(&c->out, "is_alive", c->is_alive);
        json_count(&c->out, "supervisor_pid", h->owner_pid > 0 ? (uint64_t)h->owner_pid : 0);
        cell_id(&boot, h->boot_id);
        json_cell(&c->out, "boot_id", &boot);
        json_cell(&c->out, "up_s", &up);
        json_text(&c->out, "listen", listen);
        json_text(&c->out, "metrics_listen", metrics);
        return;
    }
    add_printable(&c->out, h->instance);
    buf_add_str(&c->out, " on ");
    add_printable(&c->out, host);
    buf_add_str(&c->out, ", cortex ");
    add_printable(&c->out, h->program_version);
    if (up.kind != CELL_NONE) {
        buf_add_str(&c->out, ", up ");
        add_span(&c->out, up.u64);
    }
    add_address(&c->out, ", client API on ", listen);
    add_address(&c->out, ", metrics on ", metrics);
    buf_add_str(&c->out, "\n");
}

int ctl_status(struct ctl *c, struct err *e)
{
    const char *gap = c->is_json ? "" : "\n";

    (void)e;
    if (c->is_json) {
        json_begin(&c->out, NULL, '{');
        add_instance(c);
        add_notes(c);
    } else {
        add_notes(c);
        add_instance(c);
    }
    buf_add_str(&c->out, gap);
    add_processes(c);
    buf_add_str(&c->out, gap);
    ctl_add_models(c);
    buf_add_str(&c->out, gap);
    add_totals(c);
    if (c->is_json)
        buf_add_str(&c->out, "}\n");
    return 0;
}

#include "tools/cortexctl/ctl.h"
#include "tools/cortexctl/table.h"

#include <stdio.h>
#include <string.h>

/* Rows are struct ctl with the request loaded. */

static const struct view *request_of(void *row)
{
    return &((struct ctl *)row)->request;
}

static void fill_name(void *row, struct cell *out)
{
    char text[64];

    cell_text(out, view_text(request_of(row), "name", text, sizeof text));
}

static void fill_id(void *row, struct cell *out)
{
    cell_id(out, view_u64(request_of(row), "id"));
}

static void fill_session(void *row, struct cell *out)
{
    uint64_t session = view_u64(request_of(row), "session");

    if (session != 0)
        cell_id(out, session);
}

static void fill_dialect(void *row, struct cell *out)
{
    char text[64];

    cell_text(out, view_text(request_of(row), "dialect", text, sizeof text));
}

static void fill_model(void *row, struct cell *out)
{
    char text[160];

    cell_text(out,
              ctl_model_name(row, (uint32_t)view_u64(request_of(row), "model"), text, sizeof text));
}

static void fill_worker(void *row, struct cell *out)
{
    uint64_t slot = view_u64(request_of(row), "worker");
    char text[128];

    if (slot < SHM_WORKERS_MAX)
        cell_text(out, ctl_worker_name(row, (uint32_t)slot, text, sizeof text));
}

static void fill_state(void *row, struct cell *out)
{
    const struct view *v = request_of(row);
    char text[64];

    cell_text(out, v->is_torn ? "torn" : view_text(v, "state", text, sizeof text));
}

static void fill_attempts(void *row, struct cell *out)
{
    cell_count(out, view_u64(request_of(row), "attempts"));
}

static void fill_queue(void *row, struct cell *out)
{
    const struct ctl *c = row;
    uint64_t submitted = view_u64(request_of(row), "submitted_ns");

    cell_span(out, view_u64(request_of(row), "accepted_ns"), submitted ? submitted : c->now_ns);
}

#define FILL_TOKENS(function, field) \
    static void function(void *row, struct cell *out) \
    { \
        cell_count(out, view_u64(request_of(row), field)); \
    }
FILL_TOKENS(fill_prompt, "prompt_tokens")
FILL_TOKENS(fill_cached, "cached_tokens")
FILL_TOKENS(fill_generated, "generated_tokens")

static void fill_ttft(void *row, struct cell *out)
{
    uint64_t first = view_u64(request_of(row), "first_token_ns");

    if (first != 0)
        cell_span(out, view_u64(request_of(row), "accepted_ns"), first);
}

static void fill_rate(void *row, struct cell *out)
{
    const struct view *v = request_of(row);
    uint64_t first = view_u64(v, "first_token_ns"), last = view_u64(v, "last_token_ns");
    uint64_t tokens = view_u64(v, "generated_tokens");

    if (tokens > 1 && first != 0 && last > first)
        cell_rate(out, (double)(tokens - 1) * 1e9 / (double)(last - first), 1);
}

static void fill_age(void *row, struct cell *out)
{
    cell_span(out, view_u64(request_of(row), "accepted_ns"), ((struct ctl *)row)->now_ns);
}

static void fill_is_stream(void *row, struct cell *out)
{
    cell_flag(out, view_u64(request_of(row), "is_stream") != 0);
}

static void fill_is_torn(void *row, struct cell *out)
{
    cell_flag(out, request_of(row)->is_torn);
}

static const struct column columns[] = {
    {NULL, "id", fill_id},
    {"REQUEST", "name", fill_name},
    {"SESSION", "session", fill_session},
    {"DIALECT", "dialect", fill_dialect},
    {"MODEL", "model", fill_model},
    {"WORKER", "worker", fill_worker},
    {"STATE", "state", fill_state},
    {"STREAM", "is_stream", fill_is_stream},
    {"TRIES", "attempts", fill_attempts},
    {"QUEUE", "queue_s", fill_queue},
    {"PROMPT", "prompt_tokens", fill_prompt},
    {"CACHED", "cached_tokens", fill_cached},
    {"GENERATED", "generated_tokens", fill_generated},
    {"TTFT", "ttft_s", fill_ttft},
    {"TOK/S", "tokens_per_s", fill_rate},
    {"AGE", "age_s", fill_age},
    {NULL, "is_torn", fill_is_torn},
};

int ctl_requests(struct ctl *c, struct err *e)
{
    struct table t;

    (void)e;
    if (c->is_json)
        json_begin(&c->out, NULL, '{');
    table_begin(&t, columns, sizeof columns / sizeof columns[0], c->is_json, &c->out, "requests");
    for (uint32_t i = 0; view_load(&c->request, i); i++)
        if (view_u64(&c->request, "id") != 0)
            table_row(&t, c);
    table_end(&t);
    if (c->is_json)
        buf_add_str(&c->out, "}\n");
    return 0;
}

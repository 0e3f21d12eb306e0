#include "worker/engine/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

/* of a control group's limit; UINT64_MAX when there is none */
static uint64_t read_group_limit(void)
{
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");
    uint64_t bytes = UINT64_MAX;

    if (f == NULL)
        return UINT64_MAX;
    if (fscanf(f, "%" SCNu64, &bytes) != 1)
        bytes = UINT64_MAX;
    fclose(f);
    return bytes;
}

uint64_t memory_of_machine(void)
{
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = read_group_limit();

    return bytes < limit ? bytes : limit;
}

static uint64_t find_allowed(const struct memory_request *r)
{
    if (r->settings->memory_mb != 0)
        return (uint64_t)r->settings->memory_mb * MIB;
    return memory_of_machine() / 4 * 3 / (r->workers > 0 ? r->workers : 1);
}

static bool has_layer(const struct model_config *c, enum layer_kind kind)
{
    for (uint32_t i = 0; i < c->n_layers; i++)
        if (c->layers[i].kind == kind)
            return true;
    return false;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int refuse(const struct memory_plan *p, uint64_t kv, uint64_t state, struct err *e)
{
    uint64_t all = p->weights + p->activations + p->sampling + kv + state;

    return err_set(e, ENOMEM,
                   "this model needs %" PRIu64 " MiB (weights %" PRIu64 ", activations %" PRIu64
                   ", sampling %" PRIu64 ", %" PRIu64 " for the keys and values of %u tokens, "
                   "%" PRIu64 " for a state), but %" PRIu64 " MiB are allowed: lower "
                   "limit_context or raise memory_mb",
                   (all + MIB - 1) / MIB, p->weights / MIB, p->activations / MIB, p->sampling / MIB,
                   kv / MIB, p->context, state / MIB, p->allowed / MIB);
}

static struct forward_shape shape_of(const struct memory_request *r, uint32_t context)
{
    uint32_t rows = (uint32_t)r->settings->batch_tokens;
    uint64_t spans = least((uint64_t)r->settings->seats, rows);

    return (struct forward_shape){
        .rows = (int32_t)rows,
        .spans = (int32_t)spans,
        .picks = r->config->is_headless ? (int32_t)rows : (int32_t)least(spans, MEMORY_PICKS_MAX),
        .page_tokens = MEMORY_PAGE_TOKENS,
        .context = (int32_t)context,
        .threads = r->threads,
        .kv_type = r->kv_type};
}

/* Of what the first sequence leaves, half goes to the states of others at most. The prefix cache's
 * share of the rest goes to states, what remains to pages, and these are never more than all
 * sequences can fill, or twice as many with a prefix cache. */
static void divide(struct memory_plan *p, uint64_t left, const struct config_model *settings,
                   uint64_t context_pages)
{
    uint64_t page = p->bytes.page, slot = p->bytes.slot, seats = (uint64_t)settings->seats;
    uint64_t percent = (uint64_t)settings->prefix_cache_percent;

    left -= page * context_pages + slot;
    if (slot > 0) {
        seats = least(seats, 1 + left / 2 / slot);
        left -= (seats - 1) * slot;
        uint64_t most = least(context_pages > 0 ? left / page : 0, INT32_MAX - seats);
        p->checkpoints = (uint32_t)least(left / 100 * percent / slot, most);
        left -= p->checkpoints * slot;
        p->shape.slots = (int32_t)(seats + p->checkpoints);
        p->states = (uint64_t)p->shape.slots * slot;
    }
    p->seats = (uint32_t)seats;
    if (context_pages == 0)
        return;
    uint64_t useful = seats * context_pages * (percent > 0 ? 2 : 1);
    uint64_t pages = least(context_pages + left / page, useful);
    p->shape.pages = (int32_t)least(pages, INT32_MAX);
    p->kv = (uint64_t)p->shape.pages * page;
}

int memory_plan_make(struct memory_plan *p, const struct memory_request *r, struct err *e)
{
    const struct model_config *c = r->config;
    uint32_t context = (uint32_t)least((uint64_t)r->settings->limit_context, c->max_positions);

    *p = (struct memory_plan){.allowed = find_allowed(r),
                              .weights = r->weights_bytes,
                              .context = context,
                              .shape = shape_of(r, context)};
    int rc = forward_measure(c, &p->shape, &p->bytes, e);
    if (rc != 0)
        return rc;
    p->activations = p->bytes.activations;
    if (!c->is_headless)
        p->sampling =
            (uint64_t)r->threads * c->vocab_size * (sizeof(float) + sizeof(struct kern_candidate));

    uint64_t context_pages =
        has_layer(c, LAYER_ATTENTION) ? (context + MEMORY_PAGE_TOKENS - 1) / MEMORY_PAGE_TOKENS : 0;
    uint64_t one = p->bytes.page * context_pages, slot = p->bytes.slot;
    uint64_t fixed = p->weights + p->activations + p->sampling;
    if (fixed + one + slot > p->allowed)
        return refuse(p, one, slot, e);
    divide(p, p->allowed - fixed, r->settings, context_pages);
    return 0;
}

void memory_plan_describe(const struct memory_plan *p, struct buf *out)
{
    buf_printf(
        out,
        "memory plan, MiB: weights %" PRIu64 ", activations %" PRIu64 ", sampling %" PRIu64
        ", keys and values %" PRIu64 " (%d pages of %d tokens), states %" PRIu64
        " (%u sequences, %u for the prefix cache), together %" PRIu64 " of %" PRIu64 " allowed",
        p->weights / MIB, p->activations / MIB, p->sampling / MIB, p->kv / MIB, p->shape.pages,
        p->shape.page_tokens, p->states / MIB, p->seats, p->checkpoints,
        (p->weights + p->activations + p->sampling + p->kv + p->states) / MIB, p->allowed / MIB);
}

/* Which slot works for which model: fills posts that are wanted, retires workers that are not, and
 * replaces the ones started with an older configuration of their model, new ones first. */
#include "base/log.h"
#include "supervisor/tree.h"

#include <stdio.h>
#include <string.h>

struct census {
    uint32_t current;       /* wanted, of the current generation or not running */
    uint32_t current_ready; /* of these, ready */
    uint32_t old;           /* wanted, running an older configuration */
    uint32_t leaving;       /* no longer wanted, still there */
};

static bool is_old(const struct tree *t, const struct child *c)
{
    return child_is_alive(c) && c->generation != t->model[c->model].generation;
}

static struct census count_model(struct tree *t, uint32_t model)
{
    struct census n = {0};

    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        const struct child *c = tree_worker(t, slot);
        if (!c->is_assigned || c->model != model)
            continue;
        if (!c->is_wanted)
            n.leaving += !c->is_quarantined;
        else if (is_old(t, c))
            n.old++;
        else {
            n.current++;
            n.current_ready += c->state == CHILD_READY;
        }
    }
    return n;
}

static void release(struct child *c)
{
    c->is_assigned = false;
    c->ordinal = 0;
    c->ops->changed(c);
}

static uint32_t next_ordinal(struct tree *t, uint32_t model)
{
    uint64_t used = 0;
    uint32_t ordinal = 0;

    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        const struct child *c = tree_worker(t, slot);
        if (c->is_assigned && c->model == model)
            used |= 1ull << c->ordinal;
    }
    while (used & 1ull << ordinal)
        ordinal++;
    return ordinal;
}
_Static_assert(SHM_WORKERS_MAX <= 64, "ordinals in one word");

/* 1 when a free slot took the post. */
static int assign(struct tree *t, uint32_t model)
{
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        struct child *c = tree_worker(t, slot);
        if (c->is_assigned || c->state != CHILD_DOWN)
            continue;
        c->ordinal = next_ordinal(t, model);
        c->model = model;
        c->is_assigned = true;
        c->backoff = (struct backoff){0};
        c->last = (struct death){0};
        c->obituary[0] = '\0';
        c->gone_ns = 0;
        snprintf(c->name, sizeof c->name, "%.56s#%u", t->model[model].name, c->ordinal);
        child_event(c, EV_WANT_UP, t->now_ns);
        return 1;
    }
    return 0;
}

/* Who goes first: those that do not run, those that do not serve yet, the others. */
static int rank_of(const struct child *c)
{
    return c->state == CHILD_READY ? 2 : child_is_alive(c) ? 1 : 0;
}

/* Let n workers of the model go: old ones, or current ones. */
static void retire(struct tree *t, uint32_t model, uint32_t n, bool want_old)
{
    for (int rank = 0; rank <= 2 && n > 0; rank++)
        for (uint32_t slot = SHM_WORKERS_MAX; slot-- > 0 && n > 0;) {
            struct child *c = tree_worker(t, slot);
            if (!c->is_assigned || c->model != model || !c->is_wanted || is_old(t, c) != want_old ||
                rank_of(c) != rank)
                continue;
            child_event(c, EV_WANT_DOWN, t->now_ns);
            n--;
        }
}

static void fill_model(struct tree *t, uint32_t model)
{
    const struct model *m = &t->model[model];
    uint32_t wanted = m->is_configured ? m->workers : 0;
    struct census n = count_model(t, model);

    if (n.current > wanted)
        retire(t, model, n.current - wanted, false);
    for (; n.current < wanted && assign(t, model); n.current++)
        ;
    /* No slot for the new ones: one of the old ones makes room. */
    if (n.current < wanted && n.old > 0 && n.leaving == 0)
        retire(t, model, 1, true);
    /* The old ones serve until their successors do. */
    else if (n.old > 0 && n.old + n.current_ready > wanted)
        retire(t, model,
               n.old + n.current_ready - wanted < n.old ? n.old + n.current_ready - wanted : n.old,
               true);
}

void posts_fill(struct tree *t)
{
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        struct child *c = tree_worker(t, slot);
        if (c->is_assigned && !c->is_wanted && c->state == CHILD_DOWN)
            release(c);
    }
    for (uint32_t i = 0; i < SHM_MODELS_MAX && t->model[i].name[0] != '\0'; i++)
        fill_model(t, i);
}

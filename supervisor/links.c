/* Making and ending links; the order of messages is in shm/control.h. */
#include "base/clock.h"
#include "base/log.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <inttypes.h>

static bool can_link(const struct child *c)
{
    return c->state == CHILD_READY || (c->kind == PROCESS_ROUTER && c->state == CHILD_DRAINING);
}

static void forget(struct link *l)
{
    link_fds_close(&l->fds);
    l->state = LINK_NONE;
    l->epoch = 0;
    l->is_router_mapped = l->is_worker_mapped = false;
}

static void begin(struct tree *t, struct child *w, struct link *l)
{
    struct child *r = tree_router(t);
    struct control_msg msg = {.type = CONTROL_LINK_WRITE, .slot = w->slot, .model = w->model};
    struct err e = {0};
    uint64_t epoch = tree_next_epoch(t);

    if (link_fds_create(&l->fds, epoch, RING_CAPACITY, &e) != 0) {
        log_error(LOG_LINK, "%s: no link: %s; next attempt in %" PRIu64 " s", w->name, e.text,
                  LINK_RETRY_NS / NS_PER_S);
        l->retry_ns = t->now_ns + LINK_RETRY_NS;
        return;
    }
    l->state = LINK_MAPPING;
    l->epoch = msg.epoch = epoch;
    l->deadline_ns = t->now_ns + LINK_MAP_NS;
    tree_send(t, r, &msg, &l->fds.memory[R2W], 1);
    tree_send(t, w, &msg, &l->fds.memory[W2R], 1);
}

void links_make(struct tree *t)
{
    if (!can_link(tree_router(t)))
        return;
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        struct link *l = &t->link[slot];
        struct child *w = tree_worker(t, slot);
        if (l->state == LINK_NONE && can_link(w) && t->now_ns >= l->retry_ns)
            begin(t, w, l);
    }
}

/* Tell one side, which lives, that the link is over. */
static void say_down(struct tree *t, struct child *to, const struct child *w, const struct link *l,
                     enum exit_class exit_class)
{
    struct control_msg msg = {.type = CONTROL_LINK_DOWN,
                              .slot = w->slot,
                              .model = w->model,
                              .epoch = l->epoch,
                              .exit_class = exit_class};

    if (child_is_alive(to))
        tree_send(t, to, &msg, NULL, 0);
}

static void finish(struct tree *t, struct child *w, struct link *l)
{
    struct child *r = tree_router(t);
    struct control_msg msg = {
        .type = CONTROL_LINK_READ,
        .slot = w->slot,
        .model = w->model,
        .epoch = l->epoch,
        .seats = w->seats,
        .vocab = w->vocab,
        .context = w->context,
        .has_text = w->has_text,
        .is_canary = w->backoff.is_tripped,
    };
    int for_router[] = {l->fds.memory[W2R], l->fds.router_wake[0], l->fds.worker_wake[1]};
    int for_worker[] = {l->fds.memory[R2W], l->fds.worker_wake[0], l->fds.router_wake[1]};
    struct err e = {0};

    if (link_fds_seal(&l->fds, &e) != 0) {
        log_error(LOG_LINK, "%s: no link: %s", w->name, e.text);
        say_down(t, r, w, l, EXIT_CLASS_NONE);
        say_down(t, w, w, l, EXIT_CLASS_NONE);
        forget(l);
        l->retry_ns = t->now_ns + LINK_RETRY_NS;
        return;
    }
    tree_send(t, r, &msg, for_router, 3);
    tree_send(t, w, &msg, for_worker, 3);
    link_fds_close_memory(&l->fds);
    l->state = LINK_UP;
    log_event(LOG_LINK, LOG_DEBUG, 0, "%s: linked, epoch %llx%s", w->name,
              (unsigned long long)l->epoch, msg.is_canary ? ", canary" : "");
}

/* An epoch that is no longer ours crossed a LINK_DOWN: nothing to do. */
void links_mapped(struct tree *t, struct child *from, uint64_t epoch)
{
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        struct link *l = &t->link[slot];
        struct child *w = tree_worker(t, slot);
        if (l->state != LINK_MAPPING || l->epoch != epoch)
            continue;
        if (from == tree_router(t))
            l->is_router_mapped = true;
        else if (from == w)
            l->is_worker_mapped = true;
        if (l->is_router_mapped && l->is_worker_mapped)
            finish(t, w, l);
    }
}

void links_worker_gone(struct tree *t, struct child *worker)
{
    struct link *l = &t->link[worker->slot];

    if (l->state == LINK_NONE)
        return;
    say_down(t, tree_router(t), worker, l, worker->last.exit_class);
    forget(l);
}

void links_router_gone(struct tree *t)
{
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        struct link *l = &t->link[slot];
        struct child *w = tree_worker(t, slot);
        if (l->state == LINK_NONE)
            continue;
        say_down(t, w, w, l, tree_router(t)->last.exit_class);
        forget(l);
        w->is_on_trial = false;         /* the next router knows of no suspects */
        if (w->state == CHILD_DRAINING) /* what it had to finish died with the router */
            child_event(w, EV_DRAINED, t->now_ns);
    }
}

int links_drain(struct tree *t, struct child *worker, uint64_t deadline_ns)
{
    struct link *l = &t->link[worker->slot];
    struct control_msg msg = {.type = CONTROL_LINK_DRAIN,
                              .slot = worker->slot,
                              .model = worker->model,
                              .epoch = l->epoch,
                              .deadline_ns = deadline_ns};

    if (l->state != LINK_UP)
        return -ENOTCONN;
    tree_send(t, tree_router(t), &msg, NULL, 0);
    return 0;
}

struct child *links_find(struct tree *t, uint32_t slot, uint64_t epoch)
{
    if (slot >= SHM_WORKERS_MAX || t->link[slot].state == LINK_NONE || t->link[slot].epoch != epoch)
        return NULL;
    return tree_worker(t, slot);
}

void links_tick(struct tree *t)
{
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        struct link *l = &t->link[slot];
        if (l->state != LINK_MAPPING || t->now_ns < l->deadline_ns)
            continue;
        struct child *c = l->is_router_mapped ? tree_worker(t, slot) : tree_router(t);
        l->deadline_ns = t->now_ns + LINK_MAP_NS;
        child_accuse(c, EV_HANG, t->now_ns,
                     "it did not map the link of slot %u within %" PRIu64 " s", slot,
                     LINK_MAP_NS / NS_PER_S);
    }
}

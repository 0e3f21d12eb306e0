#include "supervisor/tree.h"

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/notify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SETTLE_ROUNDS 64 /* then the loop gets its turn; the rest follows in the next one */

void tree_init(struct tree *t)
{
    for (uint32_t i = 0; i < TREE_CHILDREN; i++) {
        struct child *c = &t->child[i];
        *c = (struct child){
            .kind = i == 0 ? PROCESS_ROUTER : PROCESS_WORKER,
            .process = i == 0 ? SHM_PROC_ROUTER : SHM_PROC_WORKER(i - 1),
            .slot = i == 0 ? 0 : i - 1,
            .ops = &process_ops,
            .owner = t,
            .rules = &t->config.supervisor,
            .counters = &t->node->supervisor_counters,
            .pidfd = -1,
            .control = -1,
        };
    }
    snprintf(tree_router(t)->name, sizeof tree_router(t)->name, "router");
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++)
        t->link[slot] = (struct link){.fds = LINK_FDS_NONE};
}

int tree_check_config(const struct config *c, struct err *e)
{
    int64_t workers = 0;

    for (size_t i = 0; i < c->n_models; i++)
        workers += c->models[i].workers;
    if (workers > SHM_WORKERS_MAX)
        return err_set(e, EINVAL, "models: %lld workers together, at most %d; lower `workers`",
                       (long long)workers, SHM_WORKERS_MAX);
    return 0;
}

uint64_t tree_next_epoch(struct tree *t)
{
    return ++t->epoch;
}

const struct config_model *tree_model_config(const struct tree *t, uint32_t model)
{
    for (size_t i = 0; i < t->config.n_models; i++)
        if (strcmp(t->config.models[i].id, t->model[model].name) == 0)
            return &t->config.models[i];
    return NULL;
}

void tree_send(struct tree *t, struct child *c, const struct control_msg *msg, const int *fds,
               int n)
{
    if (c->control < 0)
        return;
    int rc = control_send(c->control, msg, fds, n);
    if (rc == 0 || rc == -EPIPE || rc == -ECONNRESET)
        return; /* gone: its pidfd says so in a moment */
    log_error(LOG_LINK, "%s: %s not sent: %s", c->name, control_type_name(msg->type),
              strerror(-rc));
    c->is_deaf = true;
    t->is_dirty = true;
}

static void publish_self(struct tree *t, enum child_state state)
{
    struct process_record r = {
        .kind = PROCESS_SUPERVISOR,
        .state = state,
        .pid = getpid(),
        .spawns = 1,
        .epoch = t->node->header.boot_id,
        .spawned_ns = t->spawned_ns,
        .ready_ns = t->ready_ns,
        .name = "supervisor",
    };
    seqlock_publish(&t->node->process[SHM_PROC_SUPERVISOR], &r);
}

static void set_phase(struct tree *t, enum tree_phase phase)
{
    t->phase = phase;
    t->is_dirty = true;
    publish_self(t, phase == TREE_RUNNING    ? (t->ready_ns != 0 ? CHILD_READY : CHILD_STARTING)
                    : phase == TREE_DRAINING ? CHILD_DRAINING
                                             : CHILD_STOPPING);
}

static void event_to_all(struct tree *t, enum child_event ev)
{
    for (uint32_t i = 0; i < TREE_CHILDREN; i++)
        child_event(&t->child[i], ev, t->now_ns);
}

static void close_listeners(struct tree *t)
{
    if (t->listen_fd >= 0)
        close(t->listen_fd);
    if (t->metrics_fd >= 0)
        close(t->metrics_fd);
    t->listen_fd = t->metrics_fd = -1;
}

void tree_stop_all(struct tree *t)
{
    set_phase(t, TREE_STOPPING);
    close_listeners(t); /* from here on nobody would answer */
    keeper_stop(t);
    event_to_all(t, EV_STOP);
}

void tree_shut_down(struct tree *t)
{
    const struct config_supervisor *s = &t->config.supervisor;

    if (t->phase != TREE_RUNNING) {
        log_warning(LOG_SYSTEM, "told to stop again: killing what is left");
        set_phase(t, TREE_STOPPING);
        close_listeners(t);
        event_to_all(t, EV_KILL);
        return;
    }
    log_info(LOG_SYSTEM, "told to stop: running requests get %lld s",
             (long long)s->drain_timeout_s);
    notify_stopping((uint64_t)s->drain_timeout_s * NS_PER_S +
                    (uint64_t)s->stop_timeout_ms * NS_PER_MS + CHILD_REAP_NS + 5 * NS_PER_S);
    set_phase(t, TREE_DRAINING);
    child_event(tree_router(t), EV_WANT_DOWN, t->now_ns);
}

bool tree_is_over(const struct tree *t)
{
    if (t->phase != TREE_STOPPING)
        return false;
    for (uint32_t i = 0; i < TREE_CHILDREN; i++)
        if (child_is_alive(&t->child[i]) && !t->child[i].is_quarantined)
            return false;
    return true;
}

/* A router that cannot serve this configuration has said so before anybody was served. */
static void give_up_if_refused(struct tree *t)
{
    const struct child *r = tree_router(t);

    if (t->ready_ns != 0 || t->phase != TREE_RUNNING || r->last.exit_class != EXIT_CLASS_PERMANENT)
        return;
    log_error(LOG_SYSTEM, "the router refuses to serve: %s",
              r->why[0] != '\0' ? r->why : r->obituary);
    t->exit_code = EXIT_PERMANENT;
    tree_stop_all(t);
}

static void check_phase(struct tree *t)
{
    const struct child *r = tree_router(t);

    give_up_if_refused(t);
    if (t->phase == TREE_RUNNING && r->state == CHILD_READY && t->ready_ns == 0) {
        t->ready_ns = t->now_ns;
        set_phase(t, TREE_RUNNING);
        notify_ready();
        log_info(LOG_SYSTEM, "ready");
    }
    if (t->phase == TREE_DRAINING && r->state != CHILD_DRAINING)
        tree_stop_all(t);
}

static void run_due(struct tree *t)
{
    for (uint32_t i = 0; i < TREE_CHILDREN; i++) {
        struct child *c = &t->child[i];
        if (c->is_deaf) {
            c->is_deaf = false;
            child_accuse(c, EV_HANG, t->now_ns, "it does not read its control socket");
        }
        child_run_due(c, t->now_ns);
    }
}

void tree_settle(struct tree *t)
{
    for (int round = 0; round < SETTLE_ROUNDS; round++) {
        t->is_dirty = false;
        check_phase(t);
        run_due(t);
        if (t->phase != TREE_STOPPING) {
            posts_fill(t);
            keeper_settle(t);
            links_make(t);
        }
        if (!t->is_dirty)
            break;
    }
    models_publish(t);
    keeper_publish(t);
}

static void update_status(struct tree *t)
{
    uint32_t wanted = 0, ready = 0;
    char text[sizeof t->status];

    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        const struct child *c = tree_worker(t, slot);
        wanted += c->is_assigned && c->is_wanted;
        ready += c->is_assigned && c->is_wanted && c->state == CHILD_READY;
    }
    snprintf(text, sizeof text, "%srouter %s, %u of %u workers ready",
             t->phase == TREE_RUNNING ? "" : "stopping: ", child_state_name(tree_router(t)->state),
             ready, wanted);
    if (strcmp(text, t->status) == 0)
        return;
    memcpy(t->status, text, sizeof text);
    notify_status(text);
}

void tree_tick(struct tree *t)
{
    bool is_late = t->now_ns - t->last_tick_ns > TREE_TICK_NS + TREE_LATE_NS;
    struct shm_beat *beat = &t->node->beat[SHM_PROC_SUPERVISOR];

    t->last_tick_ns = t->now_ns;
    counter_add(&beat->progress, 1);
    counter_set(&beat->at_ns, t->now_ns);
    if (is_late)
        counter_add(&t->node->supervisor_counters.late_ticks, 1);
    health_tick(t, is_late);
    links_tick(t);
    for (uint32_t i = 0; i < TREE_CHILDREN; i++)
        child_tick(&t->child[i], t->now_ns);
    update_status(t);
    if (t->watchdog_ns != 0 && t->now_ns - t->watched_ns >= t->watchdog_ns) {
        t->watched_ns = t->now_ns;
        notify_watchdog();
    }
}

/* SIGHUP: a new configuration, or the old one when the new one is no good. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/notify.h"
#include "supervisor/tree.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct change {
    int fd;                 /* the new effective configuration, sealed */
    char restart_keys[400]; /* keys that differ and stay as they are */
    uint8_t action[CONFIG_MODELS_MAX];
};

/* A changed number of workers replaces none of them: posts.c adds and retires. */
static void diff_configs(struct config *from, const struct config *to, struct change *change)
{
    int64_t saved[CONFIG_MODELS_MAX];

    for (size_t i = 0; i < from->n_models; i++) {
        saved[i] = from->models[i].workers;
        for (size_t k = 0; k < to->n_models; k++)
            if (strcmp(from->models[i].id, to->models[k].id) == 0)
                from->models[i].workers = to->models[k].workers;
    }
    config_diff(from, to, change->restart_keys, sizeof change->restart_keys, change->action);
    for (size_t i = 0; i < from->n_models; i++)
        from->models[i].workers = saved[i];
}

/* What only a restart changes stays as it is, also for children that start later. */
#define KEEP_LIVE(section, key)
#define KEEP_WORKER(section, key)
#define KEEP_RESTART(section, key) \
    memcpy(&to->section.key, &from->section.key, sizeof to->section.key);
#define KEEP_INSTANCE(key, type, def, min, max, unit, reload, help)   KEEP_##reload(instance, key)
#define KEEP_GATEWAY(key, type, def, min, max, unit, reload, help)    KEEP_##reload(gateway, key)
#define KEEP_SUPERVISOR(key, type, def, min, max, unit, reload, help) KEEP_##reload(supervisor, key)

static void keep_restart_keys(struct config *to, const struct config *from)
{
    CONFIG_INSTANCE(KEEP_INSTANCE)
    CONFIG_GATEWAY(KEEP_GATEWAY)
    CONFIG_SUPERVISOR(KEEP_SUPERVISOR)
}

int tree_write_config(const struct config *c, struct err *e)
{
    struct buf text = {0};

    config_print(c, &text, false);
    int fd = fd_sealed_text("cortex-config", text.data, text.len, e);
    buf_free(&text);
    return fd;
}

static int load(struct tree *t, struct config *next, struct change *change, struct err *e)
{
    int rc = options_load_config(t->options, next, e);

    if (rc != 0)
        return rc;
    rc = tree_check_config(next, e);
    if (rc == 0) {
        diff_configs(&t->config, next, change);
        keep_restart_keys(next, &t->config);
        rc = config_validate(next, e); /* kept and new keys together */
    }
    if (rc == 0) {
        change->fd = tree_write_config(next, e);
        rc = change->fd < 0 ? change->fd : models_apply(t, next, change->action, e);
    }
    if (rc == 0)
        return 0;
    if (change->fd >= 0)
        close(change->fd);
    config_free(next);
    return rc;
}

/* Failed workers get another chance, and so do waiting ones of a model that changed. */
static void retry_workers(struct tree *t)
{
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        struct child *c = tree_worker(t, slot);
        if (!c->is_assigned || !c->is_wanted || child_is_alive(c))
            continue;
        bool is_changed = c->generation != t->model[c->model].generation;
        if (is_changed)
            c->backoff = (struct backoff){0};
        if (c->state == CHILD_FAILED)
            child_event(c, EV_WANT_UP, t->now_ns);
        else if (is_changed && (c->state == CHILD_BACKOFF || c->state == CHILD_OPEN))
            child_event(c, EV_RETRY_DUE, t->now_ns);
    }
}

static void take_effect(struct tree *t, struct config *next, const struct change *change)
{
    struct control_msg msg = {.type = CONTROL_CONFIG};
    struct child *r = tree_router(t);

    config_free(&t->config);
    t->config = *next;
    close(t->config_fd);
    t->config_fd = change->fd;
    models_publish(t); /* before the router hears of them */
    if (child_is_alive(r))
        tree_send(t, r, &msg, &t->config_fd, 1);
    retry_workers(t);
    counter_add(&t->node->supervisor_counters.config_reloads, 1);
    if (change->restart_keys[0] != '\0')
        log_warning(LOG_CONFIG, "reload: took effect, but these keys need a restart: %s",
                    change->restart_keys);
    else
        log_info(LOG_CONFIG, "reload: took effect");
}

void tree_reload(struct tree *t)
{
    struct config next;
    struct change change = {.fd = -1};
    struct err e = {0};

    if (t->phase != TREE_RUNNING) {
        log_warning(LOG_CONFIG, "reload ignored: stopping");
        return;
    }
    notify_reloading();
    if (load(t, &next, &change, &e) == 0) {
        take_effect(t, &next, &change);
    } else {
        counter_add(&t->node->supervisor_counters.config_reload_errors, 1);
        log_error(LOG_CONFIG, "reload refused, the configuration stays as it was: %s", e.text);
    }
    if (t->ready_ns != 0)
        notify_ready();
}

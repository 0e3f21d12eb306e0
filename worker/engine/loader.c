#include "worker/engine/loader.h"

#include "base/check.h"
#include "worker/engine/thread.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static bool is_stopping(struct loader *l)
{
    pthread_mutex_lock(&l->lock);
    bool stops = l->is_stopping;
    pthread_mutex_unlock(&l->lock);
    return stops;
}

static bool show_progress(void *to, uint64_t bytes_done, uint64_t bytes_all)
{
    struct loader *l = to;

    atomic_store_explicit(&l->bytes, bytes_done, memory_order_relaxed);
    atomic_store_explicit(&l->bytes_total, bytes_all, memory_order_relaxed);
    return is_stopping(l);
}

static void close_grant(struct loader *l)
{
    for (int i = 0; i < CONTROL_FDS; i++) {
        if (l->grant_fds[i] >= 0)
            close(l->grant_fds[i]);
        l->grant_fds[i] = -1;
    }
}

/* Sleep until the supervisor answers. */
static int take_grant(struct loader *l, struct err *e)
{
    int rc;

    atomic_store_explicit(&l->is_waiting, true, memory_order_relaxed);
    pthread_mutex_lock(&l->lock);
    while (!l->has_grant && !l->is_stopping)
        pthread_cond_wait(&l->changed, &l->lock);
    if (l->has_grant) {
        l->has_grant = false;
        rc = keeper_take(&l->keeper, &l->grant, l->grant_fds, e);
        close_grant(l);
    } else {
        rc = err_set(e, ECANCELED, "loading was stopped");
    }
    pthread_mutex_unlock(&l->lock);
    atomic_store_explicit(&l->is_waiting, false, memory_order_relaxed);
    return rc;
}

static int fill(struct loader *l, void *block, struct err *e)
{
    struct weights_fill f = {.layout = l->checkpoint.layout,
                             .tensors = &l->checkpoint.tensors,
                             .root = &l->checkpoint.root,
                             .mode = l->checkpoint.io,
                             .touch_threads = l->memory.shape.threads,
                             .dest = block,
                             .progress = show_progress,
                             .to = l};

    return weights_fill(&f, &l->stats, e);
}

/* The block of the weights, filled, read-only. */
static int get_weights(struct loader *l, const void **block, struct err *e)
{
    const struct checkpoint *c = &l->checkpoint;
    int rc = keeper_want(&l->keeper, weights_key(c->layout, &c->tensors),
                         weights_layout_bytes(c->layout), e);

    if (rc == 0)
        rc = take_grant(l, e);
    if (rc == 0 && l->keeper.state == KEEPER_FILLING) {
        rc = keeper_map(&l->keeper, e);
        if (rc == 0)
            rc = fill(l, l->keeper.map, e);
        if (rc == 0)
            rc = keeper_filled(&l->keeper, e);
        if (rc == 0)
            rc = take_grant(l, e);
    }
    if (rc == 0)
        rc = keeper_map(&l->keeper, e);
    *block = l->keeper.map;
    return rc;
}

static int count_cpus(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n < KERN_THREADS_MAX ? n : KERN_THREADS_MAX;
}

static int plan_memory(struct loader *l, int threads, struct err *e)
{
    const struct checkpoint *c = &l->checkpoint;
    struct memory_request r = {.config = &c->config,
                               .settings = l->settings,
                               .weights_bytes = weights_layout_bytes(c->layout),
                               .kv_type = c->kv_type,
                               .workers = l->workers,
                               .threads = threads};

    return memory_plan_make(&l->memory, &r, e);
}

static int load(struct loader *l, struct err *e)
{
    int threads = l->settings->threads != 0 ? (int)l->settings->threads : count_cpus();
    const void *block;

    int rc = checkpoint_open(&l->checkpoint, l->settings, e);
    if (rc == 0)
        rc = plan_memory(l, threads, e);
    if (rc == 0)
        rc = get_weights(l, &block, e);
    if (rc != 0)
        return rc;
    weights_bind(&l->weights, l->checkpoint.layout, block);
    rc = kern_pool_open(&l->pool, threads, NULL);
    if (rc != 0)
        return err_set(e, -rc, "start %d threads: %s", threads, strerror(-rc));
    return forward_new(&l->forward, &l->checkpoint.config, &l->weights, &l->memory.shape,
                       kern_cpu_best(), l->pool, e);
}

static void *run(void *arg)
{
    struct loader *l = arg;
    int state = load(l, &l->error) == 0 ? LOADER_READY : LOADER_FAILED;

    /* release: everything that was made */
    atomic_store_explicit(&l->state, state, memory_order_release);
    thread_wake(l->wake_fd);
    return NULL;
}

int loader_start(struct loader *l, const struct config_model *settings, uint32_t workers,
                 int control, uint64_t epoch, int wake_fd, struct err *e)
{
    *l = (struct loader){.settings = settings,
                         .workers = workers,
                         .wake_fd = wake_fd,
                         .checkpoint = {.root = {.fd = -1, .blobs_fd = -1}},
                         .grant_fds = {-1, -1, -1, -1}};
    keeper_init(&l->keeper, control, epoch);
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    CHECK(pthread_cond_init(&l->changed, NULL) == 0);
    int rc = thread_start(&l->thread, "cortex-load", run, l, e);
    l->is_started = rc == 0;
    return rc;
}

void loader_grant(struct loader *l, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    pthread_mutex_lock(&l->lock);
    close_grant(l);
    l->grant = *msg;
    for (int i = 0; i < CONTROL_FDS; i++) {
        l->grant_fds[i] = fds[i];
        fds[i] = -1;
    }
    l->has_grant = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void loader_stop(struct loader *l)
{
    if (!l->is_started)
        return;
    pthread_mutex_lock(&l->lock);
    l->is_stopping = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    close_grant(l);
    forward_free(&l->forward);
    kern_pool_close(&l->pool);
    weights_unbind(&l->weights);
    keeper_close(&l->keeper);
    checkpoint_close(&l->checkpoint);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    l->is_started = false;
}

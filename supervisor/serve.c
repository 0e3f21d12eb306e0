#include "supervisor/serve.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "shm/eventlog.h"
#include "shm/panic.h"
#include "supervisor/listen.h"
#include "supervisor/notify.h"
#include "supervisor/programs.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DESCRIPTORS_OWN       25 /* of the supervisor itself */
#define DESCRIPTORS_PER_MODEL 2  /* its weights, and others while they are replaced */
#define DESCRIPTORS_PER_CHILD 2
/* Beside: four ends of its link, and its memory while it is made. */
#define DESCRIPTORS_PER_WORKER 6

/* Errors that may go away by themselves: another supervisor that is just ending, a port still
 * taken, memory, an address that the network has not brought up yet. */
static int exit_code_of(int code)
{
    switch (code) {
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EAGAIN:
    case EBUSY:
    case EEXIST:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
        return EXIT_TEMPORARY;
    default:
        return EXIT_PERMANENT;
    }
}

static uint64_t count_descriptors(const struct config *c)
{
    uint64_t n = DESCRIPTORS_OWN + DESCRIPTORS_PER_CHILD;

    for (size_t i = 0; i < c->n_models; i++)
        n += DESCRIPTORS_PER_MODEL +
             (uint64_t)c->models[i].workers * (DESCRIPTORS_PER_CHILD + DESCRIPTORS_PER_WORKER);
    return n;
}

static int raise_descriptors(const struct config *c, struct err *e)
{
    struct rlimit limit;
    uint64_t needed = count_descriptors(c);

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_set(e, errno, "getrlimit: %s", strerror(errno));
    if (limit.rlim_max < needed)
        return err_set(e, EINVAL,
                       "descriptors: the limit is %llu, these workers need %llu; raise `ulimit -n` "
                       "or LimitNOFILE",
                       (unsigned long long)limit.rlim_max, (unsigned long long)needed);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_set(e, errno, "setrlimit: %s", strerror(errno));
    return 0;
}

static int share_segment(struct tree *t, struct err *e)
{
    const char *name = t->config.instance.segment_group;

    if (name[0] == '\0')
        return 0;
    errno = 0;
    const struct group *g = getgrnam(name);
    if (g == NULL)
        return err_set(e, EINVAL, "instance.segment_group: no group \"%s\"", name);
    return node_share(&t->owner, g->gr_gid, e);
}

static int open_segment(struct tree *t, struct err *e)
{
    int rc = node_create(&t->owner, t->config.instance.name, hash_random64(), e);

    if (rc != 0)
        return rc;
    t->node = t->owner.node;
    panic_install(&t->node->panic[SHM_PROC_SUPERVISOR]);
    eventlog_install(&t->node->log[SHM_PROC_SUPERVISOR]);
    t->epoch = (hash_random64() & UINT32_MAX) << 32;
    return share_segment(t, e);
}

/* bound: where it listens, which is shown to everybody. */
static int open_listener(const char *what, const char *address, int *fd, char *bound, size_t size,
                         struct err *e)
{
    if (address[0] == '\0')
        return 0;
    *fd = listen_open(address, bound, size, e);
    if (*fd < 0)
        return *fd;
    log_info(LOG_SYSTEM, "%s on %s", what, bound);
    return 0;
}

static int open_listeners(struct tree *t, struct err *e)
{
    const struct config_gateway *g = &t->config.gateway;
    struct gateway_record r = {0};
    int rc = open_listener("client API", g->listen, &t->listen_fd, r.listen, sizeof r.listen, e);

    if (rc == 0)
        rc = open_listener("metrics", g->metrics_listen, &t->metrics_fd, r.metrics_listen,
                           sizeof r.metrics_listen, e);
    if (rc == 0)
        seqlock_publish(&t->node->gateway, &r);
    return rc;
}

static int find_programs(struct tree *t, struct err *e)
{
    int rc = programs_find("cortex-router", &t->router_path, e);

    return rc != 0 ? rc : programs_find("cortex-worker", &t->worker_path, e);
}

/* What systemd says to the supervisor, and the configuration, are not for the children. */
static int filter_environment(struct tree *t, struct err *e)
{
    static const char *const dropped[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "CORTEX_"};
    size_t n = 0, kept = 0;

    while (environ[n] != NULL)
        n++;
    t->envp = calloc(n + 1, sizeof *t->envp);
    if (t->envp == NULL)
        return err_set(e, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        bool is_dropped = false;
        for (size_t k = 0; k < sizeof dropped / sizeof dropped[0]; k++)
            is_dropped |= strncmp(environ[i], dropped[k], strlen(dropped[k])) == 0;
        if (!is_dropped)
            t->envp[kept++] = environ[i];
    }
    return 0;
}

static int start(struct tree *t, struct err *e)
{
    static const uint8_t replace_none[CONFIG_MODELS_MAX];
    int rc = find_programs(t, e);

    if (rc == 0)
        rc = filter_environment(t, e);
    if (rc == 0)
        rc = raise_descriptors(&t->config, e);
    if (rc == 0)
        rc = open_segment(t, e);
    if (rc == 0)
        rc = open_listeners(t, e);
    if (rc == 0)
        rc = loop_open(t, e);
    if (rc == 0)
        rc = keeper_open(t, e);
    if (rc != 0)
        return rc;
    t->config_fd = tree_write_config(&t->config, e);
    if (t->config_fd < 0)
        return t->config_fd;
    tree_init(t);
    rc = models_apply(t, &t->config, replace_none, e);
    if (rc != 0)
        return rc;
    models_publish(t); /* before the router can look */
    child_event(tree_router(t), EV_WANT_UP, t->now_ns);
    return 0;
}

static void release(struct tree *t)
{
    int *fds[] = {&t->listen_fd, &t->metrics_fd, &t->config_fd};

    keeper_close(t);
    loop_close(t);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    log_set_sink(NULL);
    if (t->node != NULL)
        node_close(&t->owner, 1);
    config_free(&t->config);
    free(t->router_path);
    free(t->worker_path);
    free(t->envp);
    free(t);
}

static struct tree *new_tree(const struct options *options)
{
    struct tree *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->options = options;
    t->config_fd = t->listen_fd = t->metrics_fd = -1;
    t->epoll_fd = t->signal_fd = t->timer_fd = -1;
    t->owner.fd = t->owner.lock_fd = t->keeper.done_fd = -1;
    t->now_ns = t->spawned_ns = clock_now_ns();
    t->watchdog_ns = notify_watchdog_period_ns();
    return t;
}

static int load(struct tree *t, struct err *e)
{
    int rc = options_load_config(t->options, &t->config, e);

    return rc != 0 ? rc : tree_check_config(&t->config, e);
}

static int run(struct tree *t)
{
    const struct config_instance *c = &t->config.instance;
    const char *path = options_config_path(t->options);
    struct err e = {0};

    log_init("supervisor", c->log_format, c->log_level);
    log_info(LOG_SYSTEM, "cortex %s, instance %s, configuration %s", CORTEX_VERSION, c->name,
             path != NULL ? path : "built in");
    int rc = start(t, &e);
    if (rc == 0)
        loop_run(t);
    else
        log_error(LOG_SYSTEM, "%s", e.text);
    int code = rc == 0 ? t->exit_code : exit_code_of(-rc);
    log_info(LOG_SYSTEM, "stopped, exit code %d", code);
    return code;
}

int serve_run(const struct options *options)
{
    struct err e = {0};
    struct tree *t = new_tree(options);
    int code = EXIT_TEMPORARY;

    if (t == NULL) {
        fprintf(stderr, "cortex: out of memory\n");
        return code;
    }
    int rc = load(t, &e);
    if (rc == 0) {
        code = run(t);
    } else {
        fprintf(stderr, "cortex: %s\n", e.text);
        code = exit_code_of(-rc);
    }
    release(t);
    return code;
}

/* The children as processes: what child.c asks of the world. */
#include "base/clock.h"
#include "base/log.h"
#include "shm/panic.h"
#include "supervisor/spawn.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Lives as long as the call that uses it. */
struct argv {
    char slot[12], model[12], epoch[24];
    char *list[10];
};

static void write_argv(struct argv *a, const struct tree *t, const struct child *c)
{
    int n = 0;

    snprintf(a->epoch, sizeof a->epoch, "%llu", (unsigned long long)c->epoch);
    snprintf(a->slot, sizeof a->slot, "%u", c->slot);
    snprintf(a->model, sizeof a->model, "%u", c->model);
    a->list[n++] = c->kind == PROCESS_ROUTER ? "cortex-router" : "cortex-worker";
    a->list[n++] = "--epoch";
    a->list[n++] = a->epoch;
    if (c->kind == PROCESS_WORKER) {
        const struct config_model *m = tree_model_config(t, c->model);
        a->list[n++] = "--slot";
        a->list[n++] = a->slot;
        a->list[n++] = "--model";
        a->list[n++] = a->model;
        if (m != NULL && m->simulate)
            a->list[n++] = "--simulate";
    }
    a->list[n] = NULL;
}

static void publish(const struct child *c, enum child_state state)
{
    struct tree *t = c->owner;
    bool is_here = c->kind == PROCESS_ROUTER || c->is_assigned;
    struct process_record r = {
        .kind = is_here ? c->kind : PROCESS_NONE,
        .state = state,
        .pid = c->pid,
        .spawns = c->spawns,
        .epoch = c->epoch,
        .spawned_ns = c->spawned_ns,
        .ready_ns = c->ready_ns,
        .gone_ns = c->gone_ns,
        .next_start_ns = c->next_start_ns,
        .faults = c->backoff.faults,
        .exit_class = c->last.exit_class,
        .exit_status = c->last.status,
        .model = c->model,
    };
    snprintf(r.name, sizeof r.name, "%s", c->name);
    snprintf(r.reason, sizeof r.reason, "%.*s", (int)sizeof r.reason - 1, c->obituary);
    seqlock_publish(&t->node->process[c->process], &r);
}

void process_publish(struct child *c)
{
    struct tree *t = c->owner;

    publish(c, c->state);
    t->is_dirty = true;
}

static int watch_incarnation(struct tree *t, struct child *c, struct err *e)
{
    uint32_t index = (uint32_t)(c - t->child);
    int rc = loop_watch(t, c->pidfd, LOOP_PIDFD, index, e);

    return rc != 0 ? rc : loop_watch(t, c->control, LOOP_CONTROL, index, e);
}

static int spawn_child(struct child *c, struct err *e)
{
    struct tree *t = c->owner;
    struct argv argv;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_set(e, errno, "control socket: %s", strerror(errno));
    c->epoch = tree_next_epoch(t);
    write_argv(&argv, t, c);
    struct spawn s = {
        .path = c->kind == PROCESS_ROUTER ? t->router_path : t->worker_path,
        .argv = argv.list,
        .envp = t->envp,
        .fds = {pair[1], t->owner.fd, t->config_fd},
        .n_fds = 3,
    };
    if (c->kind == PROCESS_ROUTER) {
        s.fds[s.n_fds++] = t->listen_fd;
        if (t->metrics_fd >= 0)
            s.fds[s.n_fds++] = t->metrics_fd;
    } else {
        c->generation = t->model[c->model].generation;
    }
    panic_clear(&t->node->panic[c->process]); /* nobody lives there now */
    publish(c, CHILD_STARTING);               /* it may look before we do anything else */
    c->beat_progress = counter_get(&t->node->beat[c->process].progress);
    int rc = spawn_process(&s, &c->pid, &c->pidfd, e);
    close(pair[1]);
    c->control = pair[0];
    if (rc == 0) {
        rc = watch_incarnation(t, c, e);
        if (rc != 0) {
            kill(c->pid, SIGKILL);
            waitpid(c->pid, NULL, 0);
        }
    }
    if (rc != 0) {
        close_fd(&c->pidfd);
        close_fd(&c->control);
        c->pid = 0;
    }
    return rc;
}

static void send_signal(struct child *c, int sig)
{
    if (syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0) != 0 && errno != ESRCH)
        log_error(LOG_CHILD, "%s: signal %d to pid %d: %s", c->name, sig, (int)c->pid,
                  strerror(errno));
}

static void stop_child(struct child *c)
{
    struct control_msg msg = {.type = CONTROL_STOP};

    tree_send(c->owner, c, &msg, NULL, 0);
    send_signal(c, SIGTERM); /* for one that does not listen yet */
}

static void kill_child(struct child *c)
{
    send_signal(c, SIGKILL);
}

static int drain_child(struct child *c, uint64_t deadline_ns)
{
    struct control_msg msg = {.type = CONTROL_DRAIN, .deadline_ns = deadline_ns};

    if (c->kind == PROCESS_WORKER)
        return links_drain(c->owner, c, deadline_ns);
    tree_send(c->owner, c, &msg, NULL, 0);
    return 0;
}

static void read_last_words(struct child *c, char *text, size_t size)
{
    struct tree *t = c->owner;

    panic_describe(&t->node->panic[c->process], c->pid, text, size);
}

static void bury_child(struct child *c)
{
    struct tree *t = c->owner;

    loop_unwatch(t, c->pidfd);
    if (c->control >= 0)
        loop_unwatch(t, c->control);
    close_fd(&c->pidfd);
    close_fd(&c->control);
    if (c->kind == PROCESS_ROUTER)
        links_router_gone(t);
    else {
        links_worker_gone(t, c);
        keeper_worker_gone(t, c);
    }
}

const struct child_ops process_ops = {
    .spawn = spawn_child,
    .stop = stop_child,
    .kill = kill_child,
    .drain = drain_child,
    .last_words = read_last_words,
    .buried = bury_child,
    .changed = process_publish,
};

void process_reap(struct tree *t, struct child *c)
{
    int status;

    if (!child_is_alive(c) || waitpid(c->pid, &status, WNOHANG) != c->pid)
        return; /* the event of an earlier incarnation */
    inbox_read_refusal(t, c);
    c->wait_status = status;
    child_event(c, EV_EXITED, t->now_ns);
}

/* The supervisor's one loop: signals, the tick, control sockets, pidfds; and, as epoll's timeout,
 * the nearest time at which a child is due. Every source is level-triggered and read without
 * blocking, so an event that was meant for a descriptor's former owner finds nothing and passes. */
#include "base/clock.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LOOP_EVENTS 64

int loop_watch(struct tree *t, int fd, enum loop_source source, uint32_t index, struct err *e)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | index};

    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
        return err_set(e, errno, "epoll_ctl: %s", strerror(errno));
    return 0;
}

void loop_unwatch(struct tree *t, int fd)
{
    epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int open_signals(struct err *e)
{
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigset_t set;

    sigaction(SIGCHLD, &act, NULL); /* ignored, the kernel would reap before us */
    act.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &act, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_set(e, errno, "sigprocmask: %s", strerror(errno));
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd >= 0 ? fd : err_set(e, errno, "signalfd: %s", strerror(errno));
}

static int open_timer(struct err *e)
{
    struct timespec period = {.tv_nsec = (long)TREE_TICK_NS};
    struct itimerspec spec = {.it_interval = period, .it_value = period};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) != 0) {
        int rc = err_set(e, errno, "timerfd: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    return fd;
}

int loop_open(struct tree *t, struct err *e)
{
    t->signal_fd = t->timer_fd = -1;
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll_fd < 0)
        return err_set(e, errno, "epoll_create: %s", strerror(errno));
    t->signal_fd = open_signals(e);
    if (t->signal_fd < 0)
        return t->signal_fd;
    t->timer_fd = open_timer(e);
    if (t->timer_fd < 0)
        return t->timer_fd;
    int rc = loop_watch(t, t->signal_fd, LOOP_SIGNAL, 0, e);
    return rc != 0 ? rc : loop_watch(t, t->timer_fd, LOOP_TIMER, 0, e);
}

void loop_close(struct tree *t)
{
    int *fds[] = {&t->epoll_fd, &t->signal_fd, &t->timer_fd};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static void read_signals(struct tree *t)
{
    struct signalfd_siginfo si;

    while (read(t->signal_fd, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo == SIGHUP)
            tree_reload(t);
        else
            tree_shut_down(t);
    }
}

static void read_timer(struct tree *t)
{
    uint64_t missed;

    if (read(t->timer_fd, &missed, sizeof missed) == (ssize_t)sizeof missed)
        tree_tick(t);
}

static void dispatch(struct tree *t, uint64_t data)
{
    struct child *c = &t->child[(uint32_t)data];

    switch ((enum loop_source)(data >> 32)) {
    case LOOP_SIGNAL:
        read_signals(t);
        break;
    case LOOP_TIMER:
        read_timer(t);
        break;
    case LOOP_CONTROL:
        inbox_read(t, c);
        break;
    case LOOP_PIDFD:
        process_reap(t, c);
        break;
    case LOOP_KEEPER:
        keeper_freed(t);
        break;
    }
}

static int wait_ms(const struct tree *t)
{
    uint64_t due = UINT64_MAX, now = clock_now_ns();

    if (t->is_dirty)
        return 0;
    for (uint32_t i = 0; i < TREE_CHILDREN; i++) {
        uint64_t at = child_due_ns(&t->child[i]);
        if (at != 0 && at < due)
            due = at;
    }
    if (due <= now)
        return 0;
    uint64_t ms = (due - now + NS_PER_MS - 1) / NS_PER_MS; /* up: never a turn too early */
    return ms < 1000 ? (int)ms : 1000;
}

void loop_run(struct tree *t)
{
    struct epoll_event events[LOOP_EVENTS];

    t->now_ns = t->last_tick_ns = clock_now_ns();
    tree_settle(t);
    while (!tree_is_over(t)) {
        int n = epoll_wait(t->epoll_fd, events, LOOP_EVENTS, wait_ms(t));
        t->now_ns = clock_now_ns();
        for (int i = 0; i < n; i++)
            dispatch(t, events[i].data.u64);
        tree_settle(t);
    }
}

#include "worker/loop.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define POLL_NS \
    NS_PER_MS /* while there is work, the other descriptors are looked at this often \
               */

enum source { SOURCE_CONTROL, SOURCE_SIGNAL, SOURCE_LINK, SOURCE_ENGINE };

static void watch(struct worker *w, int fd, enum source source)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = source};

    CHECK(epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0);
}

static void leave(struct worker *w, int code)
{
    if (w->exit_code < 0)
        w->exit_code = code;
}

/* An internal fault or a peer that cannot be trusted: a fresh process is the cure. */
static void fail(struct worker *w, const struct err *e)
{
    log_error(LOG_LINK, "%s", e->text);
    leave(w, EXIT_FAULT);
}

static void stop(struct worker *w, const char *why)
{
    if (w->is_deaf) {
        log_warning(LOG_CHILD, "%s: not heard, as configured", why);
        return;
    }
    log_event(LOG_CHILD, LOG_DEBUG, 0, "%s: leaving", why);
    leave(w, EXIT_OK);
}

/* --- the link --- */

static void drop_requests(struct worker *w)
{
    for (uint32_t i = 0; i < w->table.n_seats; i++) {
        struct request *r = &w->table.seat[i];
        if (r->id == 0)
            continue;
        w->engine->ops->forget(w->engine, r);
        reply_drop(&w->reply, r);
    }
    intake_reset(&w->intake);
}

/* --- control: what the supervisor says, one function for each message meant for a worker --- */

static void on_link_write(struct worker *w, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    struct err e = {0};

    if (!w->is_ready)
        err_set(&e, EPROTO, "link-write before ready");
    else
        link_write(&w->link, w->heritage->control, msg, fds, &e);
    if (e.code != 0)
        fail(w, &e);
}

static void on_link_read(struct worker *w, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    struct err e = {0};

    if (link_read(&w->link, msg, fds, &e) != 0) {
        fail(w, &e);
        return;
    }
    watch(w, w->link.ring.wake_fd, SOURCE_LINK);
    log_info(LOG_LINK, "link %" PRIu64 " up", msg->epoch);
}

static void on_link_down(struct worker *w, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    (void)fds;
    if (w->link.state == LINK_NONE || w->link.ring.epoch != msg->epoch)
        return; /* it never came to that link */
    uint32_t n = w->table.n_live;
    drop_requests(w);
    link_drop(&w->link); /* closes the pipe end, which so leaves the epoll set */
    log_info(LOG_LINK, "link %" PRIu64 " down, %u requests dropped", msg->epoch, n);
}

static void on_weights_grant(struct worker *w, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    struct err e = {0};

    if (w->engine->ops->grant != NULL) {
        w->engine->ops->grant(w->engine, msg, fds);
        return;
    }
    err_set(&e, EPROTO, "weights-grant: this engine asked for no memory");
    fail(w, &e);
}

/* The router sends nothing new any more; what runs goes on until STOP. */
static void on_drain(struct worker *w, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    (void)msg;
    (void)fds;
    report_phase(&w->report, PHASE_DRAINING, clock_now_ns());
}

static void on_stop(struct worker *w, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    (void)msg;
    (void)fds;
    stop(w, "stop");
}

typedef void control_action(struct worker *w, const struct control_msg *msg, int fds[CONTROL_FDS]);
static control_action *const control_actions[CONTROL_TYPES_N] = {
    [CONTROL_LINK_WRITE] = on_link_write,
    [CONTROL_LINK_READ] = on_link_read,
    [CONTROL_LINK_DOWN] = on_link_down,
    [CONTROL_WEIGHTS_GRANT] = on_weights_grant,
    [CONTROL_DRAIN] = on_drain,
    [CONTROL_STOP] = on_stop,
};

static void act_on_message(struct worker *w, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    control_action *act = control_actions[msg->type];
    struct err e = {0};

    if (act != NULL) {
        act(w, msg, fds);
        return;
    }
    err_set(&e, EPROTO, "control message %s: not for a worker", control_type_name(msg->type));
    fail(w, &e);
}

static void read_control(struct worker *w)
{
    struct control_msg msg;
    int fds[CONTROL_FDS];
    struct err e = {0};

    while (w->exit_code < 0) {
        int rc = control_recv(w->heritage->control, &msg, fds, &e);
        if (rc == -EAGAIN)
            return;
        if (rc == 0) {
            leave(w, EXIT_OK); /* the supervisor is gone: nobody is left to be told anything */
            return;
        }
        if (rc < 0) {
            if (e.code == 0)
                err_set(&e, -rc, "control socket: %s", strerror(-rc));
            fail(w, &e);
            return;
        }
        act_on_message(w, &msg, fds);
        for (int i = 0; i < CONTROL_FDS; i++)
            if (fds[i] >= 0)
                close(fds[i]);
    }
}

static void read_signal(struct worker *w)
{
    struct signalfd_siginfo info;

    if (read(w->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        stop(w, strsignal((int)info.ssi_signo));
}

static void read_wake(struct worker *w)
{
    uint64_t count;

    if (read(w->engine->wake_fd, &count, sizeof count) == (ssize_t)sizeof count)
        w->engine->is_woken = true;
}

/* --- one turn --- */

static void become_ready(struct worker *w)
{
    struct worker_counters *counters = &w->heritage->node->worker_counters[w->heritage->args.slot];
    struct control_msg ready = {.type = CONTROL_READY,
                                .slot = w->heritage->args.slot,
                                .epoch = w->heritage->args.epoch,
                                .seats = w->facts.seats,
                                .vocab = w->facts.vocab,
                                .context = w->facts.context,
                                .has_text = w->facts.has_text,
                                .has_chat = w->facts.has_chat,
                                .has_tools = w->facts.has_tools,
                                .has_reasoning = w->facts.has_reasoning,
                                .has_embedding = w->facts.has_embedding};

    request_table_init(&w->table, w->facts.seats);
    reply_init(&w->reply, &w->link.ring, &w->table, counters);
    w->engine->reply = &w->reply;
    intake_init(&w->intake, w->engine, w->facts.vocab);
    w->is_ready = true;
    report_facts(&w->report, &w->facts, w->engine->ops->device);
    report_phase(&w->report, PHASE_SERVING, clock_now_ns());
    int rc = control_send(w->heritage->control, &ready, NULL, 0);
    if (rc != 0 && rc != -EPIPE) {
        struct err e;
        err_set(&e, -rc, "send ready: %s", strerror(-rc));
        fail(w, &e);
    }
}

static void load_piece(struct worker *w, uint64_t now_ns)
{
    struct engine_load load = {0};
    struct err e = {0};
    int rc = w->engine->ops->load(w->engine, now_ns, &load, &w->facts, &e);

    if (rc < 0) {
        leave(w, heritage_refuse(w->heritage, e.text));
        return;
    }
    report_load(&w->report, &load, now_ns);
    if (rc > 0) {
        log_info(LOG_MODEL, "loaded in %" PRIu64 " ms: %u seats, context of %u tokens",
                 (uint64_t)((now_ns - w->report.opened_ns) / NS_PER_MS), w->facts.seats,
                 w->facts.context);
        become_ready(w);
    }
}

static void flush_replies(struct worker *w, uint64_t now_ns)
{
    struct request *r;

    while ((r = reply_flush(&w->reply)) != NULL)
        w->engine->ops->resume(w->engine, r, now_ns);
}

static void serve_link(struct worker *w, uint64_t now_ns)
{
    struct err e = {0};

    if (w->link.state != LINK_UP)
        return;
    if (intake_take(&w->intake, now_ns, &e) != 0) {
        fail(w, &e);
        return;
    }
    flush_replies(w, now_ns);
    if (!reply_is_blocked(&w->reply) && w->engine->ops->deadline_ns(w->engine) <= now_ns) {
        w->engine->ops->step(w->engine, now_ns);
        counter_add(&w->intake.counters->worker_steps, 1);
    }
    ring_publish(&w->link.ring);
    ring_release(&w->link.ring);
}

/* When the loop must turn again even if nobody calls. */
static uint64_t find_deadline(const struct worker *w, uint64_t now_ns)
{
    uint64_t deadline = now_ns + REPORT_TICK_NS;
    uint64_t due = ENGINE_NEVER;

    if (!w->is_ready)
        due = w->engine->ops->deadline_ns(w->engine);
    else if (w->link.state == LINK_UP && intake_is_parsing(&w->intake))
        due = 0;
    else if (w->link.state == LINK_UP && !reply_is_blocked(&w->reply))
        due = w->engine->ops->deadline_ns(w->engine);
    return due < deadline ? due : deadline;
}

/* Announce the sleep to the router: false when it has put something there meanwhile. */
static bool announce_sleep(struct worker *w)
{
    uint32_t bits = RING_ASLEEP_DATA;

    if (w->link.state != LINK_UP)
        return true;
    if (reply_is_blocked(&w->reply))
        bits |= RING_ASLEEP_SPACE;
    return ring_sleep(&w->link.ring, bits) == 1;
}

static void wait_for_events(struct worker *w, uint64_t timeout_ns)
{
    struct epoll_event ev[4];
    struct timespec timeout = {(time_t)(timeout_ns / NS_PER_S), (long)(timeout_ns % NS_PER_S)};
    bool is_asleep = timeout_ns > 0 && announce_sleep(w);

    if (!is_asleep)
        timeout = (struct timespec){0};
    int n = epoll_pwait2(w->epoll_fd, ev, 4, &timeout, NULL);
    CHECK(n >= 0 || errno == EINTR);
    if (is_asleep && w->link.state == LINK_UP)
        ring_awake(&w->link.ring); /* changes errno */
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u32 == SOURCE_CONTROL)
            read_control(w);
        else if (ev[i].data.u32 == SOURCE_SIGNAL)
            read_signal(w);
        else if (ev[i].data.u32 == SOURCE_ENGINE)
            read_wake(w);
    }
}

static bool is_alive(const struct worker *w, uint64_t now_ns)
{
    const struct engine_ops *ops = w->engine->ops;

    return ops->is_alive == NULL || ops->is_alive(w->engine, now_ns);
}

static void turn(struct worker *w, uint64_t *polled_ns)
{
    uint64_t now_ns = clock_now_ns();

    if (!w->is_ready) {
        load_piece(w, now_ns);
    } else {
        serve_link(w, now_ns);
        report_serving(&w->report, w->table.n_live, w->reply.n_paused, is_alive(w, now_ns),
                       now_ns);
    }
    if (w->exit_code >= 0)
        return;
    now_ns = clock_now_ns(); /* the work took its time */
    uint64_t deadline = find_deadline(w, now_ns);
    /* Sleeps end at least POLL_NS after the last one: tokens of many requests that are due within
     * that time travel together, and a busy engine costs no more system calls than that. */
    uint64_t next_poll = *polled_ns + POLL_NS;
    if (deadline <= now_ns && now_ns < next_poll)
        return;
    if (deadline < next_poll)
        deadline = next_poll;
    wait_for_events(w, deadline > now_ns ? deadline - now_ns : 0);
    *polled_ns = clock_now_ns();
}

static int open_sources(struct worker *w, struct err *e)
{
    sigset_t term;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    CHECK(sigprocmask(SIG_BLOCK, &term, NULL) == 0);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->signal_fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    if (w->epoll_fd < 0 || w->signal_fd < 0)
        return err_set(e, errno, "epoll or signalfd: %s", strerror(errno));
    watch(w, w->heritage->control, SOURCE_CONTROL);
    watch(w, w->signal_fd, SOURCE_SIGNAL);
    if (w->engine->wake_fd >= 0)
        watch(w, w->engine->wake_fd, SOURCE_ENGINE);
    return 0;
}

static void close_worker(struct worker *w)
{
    report_phase(&w->report, PHASE_NONE, clock_now_ns());
    if (w->is_ready) {
        drop_requests(w);
        reply_free(&w->reply);
        request_table_free(&w->table);
    }
    link_drop(&w->link);
    close(w->signal_fd);
    close(w->epoll_fd);
}

int worker_run(struct worker *w, struct heritage *h, struct engine *engine)
{
    struct err e = {0};
    uint64_t now_ns = clock_now_ns();
    uint64_t polled_ns = 0;

    w->heritage = h;
    w->engine = engine;
    w->exit_code = -1;
    link_init(&w->link);
    report_open(&w->report, h->node, h->args.slot, h->model->id, h->args.epoch, now_ns);
    if (open_sources(w, &e) != 0) {
        log_error(LOG_SYSTEM, "%s", e.text);
        return EXIT_TEMPORARY;
    }
    report_phase(&w->report, PHASE_LOADING, now_ns);
    while (w->exit_code < 0)
        turn(w, &polled_ns);
    close_worker(w);
    return w->exit_code;
}

/* A child that speaks the control protocol and nothing else, for tests of the supervisor. Started
 * under the name cortex-router or cortex-worker. Before it says hello it reads its orders from the
 * file $FAKE_DIR/router, $FAKE_DIR/worker-SLOT, or $FAKE_DIR/worker: one `key value` a line, see
 * struct orders. What happens to it goes into $FAKE_DIR/events, one line each:
 * "<monotonic ns> <router or worker-SLOT> <pid> <what> key=value ...".
 *
 * Signals: SIGUSR1 hang (no more progress, deaf); SIGUSR2 the router reports a violation of every
 * link, the worker fails a CHECK; SIGRTMIN the router says PROVED for every link; SIGRTMIN+1 the
 * router says DRAINED for everything that it was asked to drain; SIGRTMIN+2 the router says TRIAL
 * for every link; SIGRTMIN+3 a worker that fills weights slowly goes on.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "shm/control.h"
#include "shm/node.h"
#include "shm/panic.h"
#include "shm/ring.h"
#include "tests/unit/fake_weights.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define ORDERS(X) \
    X(hello)       /* ok, none, epoch, pid, layout, twice */ \
    X(ready)       /* ok, never, early (before hello) */ \
    X(load_ms)     /* time in phase loading, with progress */ \
    X(load_stall)  /* 1 = no progress while loading */ \
    X(seats)       /* number in READY */ \
    X(weights)     /* KEY BYTES BYTE: memory for weights, all bytes that byte, before READY */ \
    X(fill)        /* ok (default), slow: SIGRTMIN+3 lets it end, die: half way; and wrong: epoch, \
                      twice, early (READY), kept (a mapping), unsealed, other (key) */ \
    X(refuse)      /* text: REFUSED, then exit 100 */ \
    X(die)         /* after READY: segv, exit:N, eof, garbage, word, hang, deaf */ \
    X(die_ms)      /* that long after READY */ \
    X(die_at)      /* ready (default), start: before hello, link: when linked */ \
    X(ignore_stop) /* 1 = it takes SIGKILL */ \
    X(map)         /* ok, never */ \
    X(canary)      /* router: prove (default), ignore */ \
    X(drain)       /* router: at-once (default), wait */

#define X(key) char key[128];
static struct orders {
    ORDERS(X)
} orders;
#undef X

struct fake_link {
    uint64_t epoch;
    uint32_t slot;
    struct ring ring;
    int is_open, is_draining;
};

static int is_router;
static uint32_t slot;
static char role[32];
static uint64_t epoch;
static struct shm_node *node;
static int events_fd;
static struct fake_link links[SHM_WORKERS_MAX];
static int is_hanging, is_draining;
static uint64_t ready_at_ns, die_at_ns;
static struct fake_weights weights;

void note(const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    int n = snprintf(text, sizeof text, "%llu %s %d ", (unsigned long long)clock_now_ns(), role,
                     (int)getpid());

    va_start(ap, fmt);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, fmt, ap);
    va_end(ap);
    text[n++] = '\n';
    CHECK(write(events_fd, text, (size_t)n) == n);
}

static int is(const char *value, const char *expected)
{
    return strcmp(value, expected) == 0;
}

static uint64_t ms_to_ns(const char *ms)
{
    return strtoull(ms, NULL, 10) * NS_PER_MS;
}

static void read_orders(const char *dir, const char *name)
{
    char path[512], line[256], key[64], value[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return;
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "%63s %127[^\n]", key, value) != 2)
            continue;
#define X(field) \
    if (is(key, #field)) \
        snprintf(orders.field, sizeof orders.field, "%s", value);
        ORDERS(X)
#undef X
    }
    fclose(f);
}

static void send_msg(struct control_msg m)
{
    (void)control_send(CHILD_FD_CONTROL, &m, NULL, 0); /* the supervisor may be gone */
}

static size_t config_size(int fd)
{
    struct buf text = {0};
    struct err e = {0};
    char path[64];

    /* A copied descriptor shares its offset with everybody: open it anew. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd_read_all(own, &text, 1 << 20, &e) == 0);
    size_t len = text.len;
    close(own);
    buf_free(&text);
    return len;
}

/* Variables that are for the supervisor alone. */
static void note_environment(void)
{
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "CORTEX_GATEWAY__LISTEN"};
    char found[256] = "";

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (getenv(names[i]) != NULL)
            strcat(found, names[i]);
    note("environment %s", found);
}

/* Descriptors we were born with, signals blocked and ignored. */
static void note_heritage(void)
{
    DIR *d = opendir("/proc/self/fd");
    char fds[256] = "", line[256];
    struct dirent *entry;

    while ((entry = readdir(d)) != NULL)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(d)) {
            strcat(fds, fds[0] != '\0' ? "," : "");
            strcat(fds, entry->d_name);
        }
    closedir(d);
    note("fds %s", fds);
    FILE *f = fopen("/proc/self/status", "re");
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0)
            note("%.6s %.16s", line, line + 8);
    fclose(f);
}

static void die(void)
{
    struct control_msg m = {.type = CONTROL_STOP};

    die_at_ns = 0;
    if (is(orders.die, "segv"))
        raise(SIGSEGV);
    else if (strncmp(orders.die, "exit:", 5) == 0)
        _exit(atoi(orders.die + 5));
    else if (is(orders.die, "eof"))
        close(CHILD_FD_CONTROL);
    else if (is(orders.die, "garbage"))
        CHECK(write(CHILD_FD_CONTROL, "garbage", 7) == 7);
    else if (is(orders.die, "word"))
        send_msg(m);
    else if (is(orders.die, "hang"))
        is_hanging = 1;
}

static void say_hello(void)
{
    struct control_msg m = {
        .type = CONTROL_HELLO, .pid = getpid(), .epoch = epoch, .layout_hash = node_layout_hash()};

    if (is(orders.ready, "early"))
        send_msg((struct control_msg){.type = CONTROL_READY, .seats = 1, .vocab = 1, .context = 1});
    if (is(orders.hello, "none"))
        return;
    m.epoch += is(orders.hello, "epoch") ? 1 : 0;
    m.pid += is(orders.hello, "pid");
    m.layout_hash += is(orders.hello, "layout") ? 1 : 0;
    send_msg(m);
    if (is(orders.hello, "twice"))
        send_msg(m);
}

static void say_ready(void)
{
    struct control_msg m = {.type = CONTROL_READY, .seats = 8, .vocab = 1000, .context = 4096};

    ready_at_ns = 0;
    if (orders.seats[0] != '\0')
        m.seats = (uint32_t)atoi(orders.seats);
    if (is(orders.ready, "never"))
        return;
    send_msg(m);
    note("ready");
    if (orders.die[0] != '\0' && orders.die_at[0] == '\0')
        die_at_ns = clock_now_ns() + ms_to_ns(orders.die_ms);
}

/* Loaded, but for the weights. */
static void finish_loading(void)
{
    ready_at_ns = 0;
    if (orders.weights[0] != '\0')
        fake_weights_begin(&weights, orders.weights, orders.fill, epoch);
    else
        say_ready();
}

static void refuse(void)
{
    struct control_msg m = {.type = CONTROL_REFUSED};

    snprintf(m.text, sizeof m.text, "%s", orders.refuse);
    send_msg(m);
    _exit(EXIT_PERMANENT);
}

static struct fake_link *find_link(uint64_t e)
{
    for (int i = 0; i < SHM_WORKERS_MAX; i++)
        if (links[i].is_open && links[i].epoch == e)
            return &links[i];
    return NULL;
}

static void on_link_write(const struct control_msg *m, int fd)
{
    struct err e = {0};
    struct fake_link *l = &links[m->slot];

    note("link-write slot=%u epoch=%llx model=%u", m->slot, (unsigned long long)m->epoch, m->model);
    *l = (struct fake_link){.epoch = m->epoch, .slot = m->slot, .is_open = 1};
    l->ring.wake_fd = l->ring.wake_peer_fd = -1;
    if (is(orders.map, "never"))
        return;
    if (ring_map_own(&l->ring, fd, is_router ? R2W : W2R, m->epoch, &e) != 0)
        note("error %s", e.text);
    else
        send_msg((struct control_msg){.type = CONTROL_LINK_MAPPED, .epoch = m->epoch});
}

static void on_link_read(const struct control_msg *m, const int *fds)
{
    struct err e = {0};
    struct fake_link *l = find_link(m->epoch);

    note("link-read slot=%u epoch=%llx seats=%u vocab=%u context=%u canary=%u", m->slot,
         (unsigned long long)m->epoch, m->seats, m->vocab, m->context, m->is_canary);
    if (l == NULL || ring_map_peer(&l->ring, fds[0], &e) != 0) {
        note("error %s", l == NULL ? "unknown link" : e.text);
        return;
    }
    l->ring.wake_fd = fds[1];
    l->ring.wake_peer_fd = fds[2];
    if (is_router && m->is_canary && !is(orders.canary, "ignore"))
        send_msg((struct control_msg){.type = CONTROL_PROVED, .slot = m->slot, .epoch = m->epoch});
    if (!is_router && is(orders.die_at, "link"))
        die();
}

static void on_link_down(const struct control_msg *m)
{
    struct fake_link *l = find_link(m->epoch);

    note("link-down slot=%u epoch=%llx class=%s known=%d", m->slot, (unsigned long long)m->epoch,
         exit_class_name(m->exit_class), l != NULL);
    if (l == NULL)
        return;
    ring_unmap(&l->ring);
    l->is_open = 0;
}

static void say_drained(void)
{
    for (int i = 0; i < SHM_WORKERS_MAX; i++)
        if (links[i].is_open && links[i].is_draining)
            send_msg((struct control_msg){
                .type = CONTROL_DRAINED, .slot = links[i].slot, .epoch = links[i].epoch});
    if (is_draining)
        send_msg((struct control_msg){.type = CONTROL_DRAINED});
}

static void on_drain(const struct control_msg *m)
{
    struct fake_link *l = find_link(m->epoch);

    note("%s slot=%u epoch=%llx ms=%lld", control_type_name(m->type), m->slot,
         (unsigned long long)m->epoch,
         ((long long)m->deadline_ns - (long long)clock_now_ns()) / (long long)NS_PER_MS);
    if (m->type == CONTROL_DRAIN)
        is_draining = 1;
    else if (l != NULL)
        l->is_draining = 1;
    if (!is(orders.drain, "wait"))
        say_drained();
}

static void on_config(int fd)
{
    note("config bytes=%zu", config_size(fd));
}

static void on_message(const struct control_msg *m, int fds[CONTROL_FDS])
{
    if (m->type == CONTROL_LINK_WRITE)
        on_link_write(m, fds[0]);
    else if (m->type == CONTROL_LINK_READ)
        on_link_read(m, fds);
    else if (m->type == CONTROL_LINK_DOWN)
        on_link_down(m);
    else if (m->type == CONTROL_DRAIN || m->type == CONTROL_LINK_DRAIN)
        on_drain(m);
    else if (m->type == CONTROL_CONFIG)
        on_config(fds[0]);
    else if (m->type == CONTROL_WEIGHTS_GRANT) {
        if (fake_weights_take(&weights, m, fds))
            say_ready();
    } else if (m->type == CONTROL_STOP) {
        note("stop");
        if (!is(orders.ignore_stop, "1"))
            _exit(EXIT_OK);
    }
}

static void read_control(void)
{
    struct control_msg m;
    int fds[CONTROL_FDS];
    struct err e = {0};
    int rc;

    while ((rc = control_recv(CHILD_FD_CONTROL, &m, fds, &e)) == 1) {
        on_message(&m, fds);
        for (int i = 0; i < CONTROL_FDS; i++)
            if (fds[i] >= 0 && !(m.type == CONTROL_LINK_READ && i > 0))
                close(fds[i]);
    }
    if (rc == 0) {
        note("end of file");
        _exit(EXIT_OK);
    }
}

static void on_signal(int fd)
{
    struct signalfd_siginfo si;
    enum control_type word = CONTROL_NONE;

    if (read(fd, &si, sizeof si) != (ssize_t)sizeof si)
        return;
    if (si.ssi_signo == SIGUSR1)
        is_hanging = 1;
    else if (si.ssi_signo == SIGUSR2 && !is_router)
        CHECK(role[0] == 'x');
    else if (si.ssi_signo == SIGUSR2)
        word = CONTROL_VIOLATION;
    else if (si.ssi_signo == (uint32_t)SIGRTMIN)
        word = CONTROL_PROVED;
    else if (si.ssi_signo == (uint32_t)SIGRTMIN + 1)
        say_drained();
    else if (si.ssi_signo == (uint32_t)SIGRTMIN + 2)
        word = CONTROL_TRIAL;
    else if (si.ssi_signo == (uint32_t)SIGRTMIN + 3)
        fake_weights_finish(&weights);
    if (word == CONTROL_NONE)
        return;
    for (int i = 0; i < SHM_WORKERS_MAX; i++)
        if (links[i].is_open)
            send_msg((struct control_msg){.type = (uint16_t)word,
                                          .slot = links[i].slot,
                                          .epoch = links[i].epoch,
                                          .is_trial = 1,
                                          .text = "entry 7: seq 9, expected 7"});
    note("said word=%s", control_type_name(word));
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGRTMIN + 2);
    sigaddset(&set, SIGRTMIN + 3);
    sigaddset(&set, SIGTERM); /* STOP comes with it, and is noted */
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void show_life(void)
{
    struct shm_beat *beat = &node->beat[is_router ? SHM_PROC_ROUTER : SHM_PROC_WORKER(slot)];
    int is_loading = ready_at_ns != 0 || weights.is_open;
    int is_waiting = weights.is_open && weights.keeper.state == KEEPER_WAITING;

    atomic_store_explicit(&beat->phase, is_loading ? PHASE_LOADING : PHASE_SERVING,
                          memory_order_relaxed);
    if (!(is_loading && is(orders.load_stall, "1")) && !is_waiting)
        counter_add(&beat->progress, 1);
}

static void serve(void)
{
    struct pollfd p[] = {{CHILD_FD_CONTROL, POLLIN, 0}, {open_signals(), POLLIN, 0}};

    for (;;) {
        uint64_t now = clock_now_ns();
        if (is_hanging)
            pause();
        if (ready_at_ns != 0 && now >= ready_at_ns)
            finish_loading();
        if (die_at_ns != 0 && now >= die_at_ns)
            die();
        show_life();
        poll(p, 2, ready_at_ns != 0 || die_at_ns != 0 ? 5 : 100);
        if (p[1].revents != 0)
            on_signal(p[1].fd);
        if (p[0].revents != 0 && !is_hanging && !is(orders.die, "deaf"))
            read_control();
    }
}

static void parse_args(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');

    is_router = is(name != NULL ? name + 1 : argv[0], "cortex-router");
    for (int i = 1; i + 1 < argc; i++) {
        if (is(argv[i], "--epoch"))
            epoch = strtoull(argv[i + 1], NULL, 10);
        if (is(argv[i], "--slot"))
            slot = (uint32_t)atoi(argv[i + 1]);
    }
    snprintf(role, sizeof role, is_router ? "router" : "worker-%u", slot);
}

int main(int argc, char **argv)
{
    const char *dir = getenv("FAKE_DIR");
    char path[512];
    struct err e = {0};

    parse_args(argc, argv);
    snprintf(path, sizeof path, "%s/events", dir);
    read_orders(dir, is_router ? "router" : "worker");
    read_orders(dir, role);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    events_fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    close(fd);
    note("started");
    note_heritage();
    note_environment();
    note("heritage bytes=%zu", config_size(CHILD_FD_CONFIG));
    if (node_map_fd(&node, CHILD_FD_SEGMENT, &e) != 0) {
        note("error %s", e.text);
        return EXIT_PERMANENT;
    }
    panic_install(&node->panic[is_router ? SHM_PROC_ROUTER : SHM_PROC_WORKER(slot)]);
    if (is(orders.die_at, "start"))
        die();
    say_hello();
    if (orders.refuse[0] != '\0')
        refuse();
    ready_at_ns = clock_now_ns() + ms_to_ns(orders.load_ms);
    serve();
}

#include "tests/torture/ring_actor.h"

#include "base/check.h"
#include "shm/control.h"
#include "shm/link.h"
#include "tests/torture/torture.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAKE_MS    2000 /* a wake-up that takes longer is lost, when there is work */
#define CONTROL_MS 20000
#define LOOK_EVERY 256 /* turns between two looks at the control socket while there is work */
#define CHILD_SOCK CHILD_FD_CONTROL

/* ---- links, as shm/control.h tells it ---- */

static void start_link(struct actor *a, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    struct err e;

    if (a->ring.own == NULL || a->ring.epoch != msg->epoch)
        torture_fail("link-read of link %" PRIu64 " without link-write", msg->epoch);
    if (ring_map_peer(&a->ring, fds[0], &e) != 0)
        torture_fail("%s", e.text);
    a->ring.wake_fd = fds[1];
    a->ring.wake_peer_fd = fds[2];
    fds[1] = fds[2] = -1;
    a->is_up = true;
    a->assembler.is_open = 0;
    a->out.is_full = false;
    a->linked(a);
}

static void handle_message(struct actor *a, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    struct control_msg mapped = {.type = CONTROL_LINK_MAPPED, .epoch = msg->epoch};
    struct err e;

    switch (msg->type) {
    case CONTROL_LINK_WRITE:
        if (a->ring.own != NULL)
            torture_fail("link-write of link %" PRIu64 " on top of another", msg->epoch);
        if (ring_map_own(&a->ring, fds[0], a->sends, msg->epoch, &e) != 0)
            torture_fail("%s", e.text);
        if (control_send(CHILD_SOCK, &mapped, NULL, 0) != 0)
            _exit(0); /* the test is over */
        break;
    case CONTROL_LINK_READ:
        start_link(a, msg, fds);
        break;
    case CONTROL_LINK_DOWN:
        ring_unmap(&a->ring); /* what is left there is never read */
        a->is_up = false;
        break;
    case CONTROL_STOP:
        _exit(0);
    default:
        torture_fail("unexpected %s", control_type_name(msg->type));
    }
}

static void handle_control(struct actor *a)
{
    struct control_msg msg;
    struct err e;
    int fds[CONTROL_FDS], rc;

    while ((rc = control_recv(CHILD_SOCK, &msg, fds, &e)) == 1) {
        handle_message(a, &msg, fds);
        for (int i = 0; i < CONTROL_FDS; i++)
            if (fds[i] >= 0)
                close(fds[i]);
    }
    if (rc == 0)
        _exit(0);
    if (rc != -EAGAIN)
        torture_fail("control: %s", e.text);
}

/* Shift this side against the other, so that publishing meets going to sleep within nanoseconds. */
static void spin(struct actor *a)
{
    if (a->spin == 0)
        return;
    for (uint64_t n = torture_random(&a->chance) % a->spin; n > 0; n--)
        atomic_signal_fence(memory_order_seq_cst);
}

/* ---- records ---- */

static bool take_records(struct actor *a)
{
    uint64_t most = torture_random(&a->chance) % 64 + 1, n = 0;
    struct ring_entry entry;
    struct ring_record rec;
    int rc = 0;

    for (; n < most && (rc = ring_pop(&a->ring, &entry)) == 1; n++) {
        rc = ring_assemble(&a->ring, &a->assembler, &entry, &rec);
        if (rc < 0)
            break;
        if (rc == 1) {
            a->records++;
            a->take(a, &rec);
        }
    }
    if (rc < 0)
        torture_fail("an honest peer broke the protocol: %s", a->ring.violation);
    ring_release(&a->ring);
    return n > 0;
}

/* true when something was pushed; *is_blocked when a record waits for room. */
static bool send_records(struct actor *a, bool *is_blocked)
{
    uint64_t most = torture_random(&a->chance) % 32 + 1;
    uint64_t tail = a->ring.tail;
    struct outbox *out = &a->out;

    *is_blocked = false;
    for (uint64_t n = 0; n < most && !*is_blocked; n++) {
        if (!out->is_full) {
            out->done = 0;
            out->is_full = a->next(a, out);
            if (!out->is_full)
                break;
        }
        if (ring_send(&a->ring, out->type, out->request, out->data, out->len, &out->done) == 1)
            out->is_full = false;
        else
            *is_blocked = true;
    }
    spin(a);
    ring_publish(&a->ring);
    return a->ring.tail != tail;
}

/* ---- sleep ---- */

static bool has_work(struct actor *a, uint32_t bits)
{
    return atomic_load(&a->ring.peer->tail) != a->ring.head ||
           ((bits & RING_ASLEEP_SPACE) && atomic_load(&a->ring.peer->head) != a->ring.peer_head);
}

/* Sleep as the real processes do. Nothing sweeps: when there is work and no wake-up comes, nor the
 * word that the peer is dead, the wake-up is lost. */
static void sleep_until_woken(struct actor *a, uint32_t bits)
{
    struct pollfd fds[2] = {{a->ring.wake_fd, POLLIN, 0}, {CHILD_SOCK, POLLIN, 0}};

    a->sleeps++;
    for (int waited = 0; poll(fds, 2, WAKE_MS) == 0; waited += WAKE_MS) {
        /* On its way while we looked? Then it comes now. */
        if (has_work(a, bits) && poll(fds, 2, WAKE_MS) == 0)
            torture_fail("lost wake-up: tail %" PRIu64 ", taken %" PRIu64 ", asleep %u",
                         atomic_load(&a->ring.peer->tail), a->ring.head, bits);
        if (waited > CONTROL_MS)
            torture_fail("nothing happens: sent %" PRIu64 ", taken %" PRIu64, a->ring.tail,
                         a->ring.head);
    }
    if (fds[1].revents != 0)
        handle_control(a);
}

static void turn(struct actor *a)
{
    bool is_blocked;
    bool has_taken = take_records(a);
    bool has_sent = send_records(a, &is_blocked);

    if (a->is_over != NULL && a->is_over(a))
        _exit(0);
    if (has_taken || has_sent)
        return;
    uint32_t bits = RING_ASLEEP_DATA | (is_blocked ? RING_ASLEEP_SPACE : 0);
    spin(a);
    if (ring_sleep(&a->ring, bits))
        sleep_until_woken(a, bits);
    if (a->is_up)
        ring_awake(&a->ring);
}

_Noreturn void actor_run(struct actor *a)
{
    struct pollfd control = {CHILD_SOCK, POLLIN, 0};

    a->assembler.len_max = RECORD_MAX;
    for (unsigned turns = 0;; turns++) {
        if (!a->is_up && poll(&control, 1, CONTROL_MS) == 0)
            torture_fail("the parent says nothing");
        if (!a->is_up || turns % LOOK_EVERY == 0)
            handle_control(a);
        if (a->is_up)
            turn(a);
    }
}

/* ---- the parent's side ---- */

struct child child_spawn(void (*run)(void *arg), void *arg)
{
    int ends[2];

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], CHILD_SOCK);
        CHECK(close_range(CHILD_SOCK + 1, ~0u, 0) == 0);
        run(arg);
        _exit(0);
    }
    close(ends[1]);
    return (struct child){pid, ends[0]};
}

/* false when the child is gone. */
static bool await_mapped(struct child *c, uint64_t epoch)
{
    struct control_msg msg;
    int fds[CONTROL_FDS], rc;

    for (;;) {
        struct pollfd p = {c->sock, POLLIN, 0};
        rc = poll(&p, 1, CONTROL_MS);
        if (rc == 0)
            torture_fail("process %d does not map link %" PRIu64, (int)c->pid, epoch);
        if (rc < 0)
            continue; /* the assassin's signal */
        rc = control_recv(c->sock, &msg, fds, NULL);
        if (rc == 0)
            return false;
        if (rc == 1 && msg.type == CONTROL_LINK_MAPPED && msg.epoch == epoch)
            return true; /* an older one belongs to a link that was given up */
    }
}

bool link_make(struct child *router, struct child *worker, uint64_t epoch, uint32_t capacity)
{
    struct control_msg msg = {.type = CONTROL_LINK_WRITE, .epoch = epoch};
    struct link_fds l;
    struct err e;

    if (link_fds_create(&l, epoch, capacity, &e) != 0)
        torture_fail("%s", e.text);
    bool is_made = control_send(router->sock, &msg, &l.memory[R2W], 1) == 0 &&
                   control_send(worker->sock, &msg, &l.memory[W2R], 1) == 0 &&
                   await_mapped(router, epoch) && await_mapped(worker, epoch);
    if (is_made && link_fds_seal(&l, &e) != 0)
        torture_fail("%s", e.text);
    msg.type = CONTROL_LINK_READ;
    is_made = is_made &&
              control_send(router->sock, &msg, (int[]){l.memory[W2R], l.router_wake[0], l.worker_wake[1]},
                           3) == 0 &&
              control_send(worker->sock, &msg, (int[]){l.memory[R2W], l.worker_wake[0], l.router_wake[1]},
                           3) == 0;
    /* Ends of the wake-up pipes stay open until the next link, as the supervisor keeps them. */
    static struct link_fds kept = LINK_FDS_NONE;
    link_fds_close_memory(&l);
    link_fds_close(&kept);
    kept = l;
    return is_made;
}

#include "tests/torture/worker_stage.h"

#include "base/clock.h"
#include "base/fd.h"
#include "shm/node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

void stage_open(struct stage *s, const char *model_keys)
{
    struct err e = {0};

    *s = (struct stage){.epoch = (uint64_t)getpid() << 32, .capacity = 2048, .control = -1};
    s->node_fd = memfd_create("node", MFD_CLOEXEC);
    assert_true(s->node_fd >= 0);
    assert_int_equal(ftruncate(s->node_fd, sizeof *s->node), 0);
    void *map = mmap(NULL, sizeof *s->node, PROT_READ | PROT_WRITE, MAP_SHARED, s->node_fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    s->node = map;
    node_fill(s->node, "stage", 1);
    munmap(map, sizeof *s->node);
    if (node_map_fd(&s->node, s->node_fd, &e) != 0)
        fail_msg("%s", e.text);
    snprintf(s->config, sizeof s->config,
             "[instance]\nlog_level = error\nlog_format = text\n"
             "[model \"sim/stage\"]\nsimulate = yes\n%s",
             model_keys);
}

void stage_close(struct stage *s)
{
    if (s->pid != 0)
        stage_kill(s);
    munmap(s->node, sizeof *s->node);
    close(s->node_fd);
}

static void become_worker(const struct stage *s, int control, int config)
{
    char epoch[24];
    int fds[3] = {control, s->node_fd, config};

    snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)s->epoch);
    for (int i = 0; i < 3; i++)
        fds[i] = fcntl(fds[i], F_DUPFD, 100);
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], CHILD_FD_CONTROL + i) < 0)
            _exit(99);
    close_range(CHILD_FD_CONFIG + 1, ~0u, 0);
    execl(WORKER_BINARY, WORKER_BINARY, "--slot", "3", "--model", "5", "--epoch", epoch,
          "--simulate", (char *)NULL);
    _exit(99);
}

void stage_spawn(struct stage *s)
{
    struct err e = {0};
    int pair[2];

    assert_int_equal(s->pid, 0);
    s->epoch++;
    s->process.spawns++;
    s->process.epoch = s->epoch;
    seqlock_publish(&s->node->process[SHM_PROC_WORKER(3)], &s->process);
    /* Its number there is not its place in the configuration: the name joins the two. */
    seqlock_publish(&s->node->model[5], &(struct model_record){.name = "sim/stage"});
    memset(&s->node->panic[SHM_PROC_WORKER(3)], 0, sizeof s->node->panic[0]);
    int config = fd_sealed_text("config", s->config, strlen(s->config), &e);
    assert_true(config >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        become_worker(s, pair[1], config);
    close(pair[1]);
    close(config);
    s->control = pair[0];
}

int stage_hear(struct stage *s, struct control_msg *msg, int timeout_ms)
{
    struct pollfd p = {s->control, POLLIN, 0};
    int fds[CONTROL_FDS];
    struct err e = {0};

    if (poll(&p, 1, timeout_ms) == 0)
        return 0;
    int rc = control_recv(s->control, msg, fds, &e);
    if (rc < 0)
        fail_msg("control: %s", e.text);
    return rc == 1 ? 1 : -1;
}

void stage_expect(struct stage *s, enum control_type type, struct control_msg *msg)
{
    int rc = stage_hear(s, msg, STAGE_WAIT_MS);

    if (rc != 1 || msg->type != type)
        fail_msg("expected %s, got %s", control_type_name(type),
                 rc == 1   ? control_type_name(msg->type)
                 : rc == 0 ? "nothing"
                           : "end of file");
}

void stage_send(struct stage *s, enum control_type type, uint64_t epoch)
{
    struct control_msg msg = {.type = (uint16_t)type, .slot = 3, .epoch = epoch};

    assert_int_equal(control_send(s->control, &msg, NULL, 0), 0);
}

void stage_ask_to_stop(struct stage *s)
{
    struct control_msg msg = {.type = CONTROL_STOP, .slot = 3};
    int rc = control_send(s->control, &msg, NULL, 0);

    assert_true(rc == 0 || rc == -EPIPE);
}

void stage_link(struct stage *s)
{
    struct control_msg msg = {.type = CONTROL_LINK_WRITE, .slot = 3, .epoch = ++s->epoch};
    struct control_msg mapped;
    struct err e = {0};

    assert_int_equal(link_fds_create(&s->fds, s->epoch, s->capacity, &e), 0);
    assert_int_equal(control_send(s->control, &msg, &s->fds.memory[W2R], 1), 0);
    stage_expect(s, CONTROL_LINK_MAPPED, &mapped);
    assert_int_equal(mapped.epoch, s->epoch);
    assert_int_equal(ring_map_own(&s->ring, s->fds.memory[R2W], R2W, s->epoch, &e), 0);
    assert_int_equal(link_fds_seal(&s->fds, &e), 0);
    assert_int_equal(ring_map_peer(&s->ring, s->fds.memory[W2R], &e), 0);
    s->ring.wake_fd = dup(s->fds.router_wake[0]);
    s->ring.wake_peer_fd = dup(s->fds.worker_wake[1]);
    msg.type = CONTROL_LINK_READ;
    int fds[3] = {s->fds.memory[R2W], s->fds.worker_wake[0], s->fds.router_wake[1]};
    assert_int_equal(control_send(s->control, &msg, fds, 3), 0);
    s->assembler = (struct ring_assembler){.len_max = W2R_RECORD_MAX};
}

void stage_unlink(struct stage *s, int is_told)
{
    if (s->ring.own == NULL)
        return;
    if (is_told)
        stage_send(s, CONTROL_LINK_DOWN, s->ring.epoch);
    ring_unmap(&s->ring);
    link_fds_close(&s->fds);
    buf_free(&s->assembler.buf);
}

void stage_start(struct stage *s)
{
    struct control_msg msg;

    stage_spawn(s);
    stage_expect(s, CONTROL_HELLO, &msg);
    assert_int_equal(msg.pid, s->pid);
    assert_int_equal(msg.epoch, s->epoch);
    assert_int_equal(msg.layout_hash, node_layout_hash());
    stage_expect(s, CONTROL_READY, &s->ready);
    stage_link(s);
}

int stage_reap(struct stage *s)
{
    int status = 0;

    uint64_t deadline_ns = clock_now_ns() + STAGE_WAIT_MS * NS_PER_MS;
    pid_t got;
    while ((got = waitpid(s->pid, &status, WNOHANG)) == 0) {
        /* its socket tells when it is gone; a message of it may come first */
        struct pollfd p = {s->control, POLLRDHUP, 0};
        poll(&p, 1, 10);
        if (clock_now_ns() > deadline_ns) {
            stage_kill(s);
            fail_msg("the worker did not end");
        }
    }
    assert_int_equal(got, s->pid);
    s->pid = 0;
    stage_unlink(s, 0);
    close(s->control);
    s->control = -1;
    return status;
}

void stage_kill(struct stage *s)
{
    kill(s->pid, SIGKILL);
    kill(s->pid, SIGCONT);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
    stage_unlink(s, 0);
    close(s->control);
    s->control = -1;
}

/* Sleep on the link; 0 when nobody called in time, -EPIPE when the worker is gone. */
static int sleep_on_link(struct stage *s, uint32_t bits, int timeout_ms)
{
    struct pollfd p[2] = {{s->ring.wake_fd, POLLIN, 0}, {s->control, POLLRDHUP, 0}};

    if (ring_sleep(&s->ring, bits) == 0)
        return 1;
    int rc = poll(p, 2, timeout_ms);
    ring_awake(&s->ring);
    if (p[1].revents != 0)
        return -EPIPE;
    return rc > 0;
}

int stage_say(struct stage *s, enum ring_type type, uint64_t request, const void *data, size_t len)
{
    size_t done = 0;

    while (ring_send(&s->ring, type, request, data, len, &done) == 0) {
        ring_publish(&s->ring);
        int rc = sleep_on_link(s, RING_ASLEEP_SPACE, STAGE_WAIT_MS);
        if (rc == 0)
            fail_msg("the worker does not read");
        if (rc < 0)
            return -1;
    }
    ring_publish(&s->ring);
    return 0;
}

int stage_submit(struct stage *s, uint64_t id, uint64_t seed, const char *json,
                 const uint32_t *resume, uint32_t n_resume, uint32_t credit)
{
    struct submit_head head = {seed, n_resume, credit, (uint32_t)strlen(json), 0};
    struct buf b = {0};

    buf_add(&b, &head, sizeof head);
    buf_add(&b, resume, n_resume * sizeof *resume);
    buf_add_str(&b, json);
    int rc = stage_say(s, RING_SUBMIT, id, b.data, b.len);
    buf_free(&b);
    return rc;
}

int stage_next(struct stage *s, struct ring_record *rec, int timeout_ms)
{
    static struct ring_entry entry; /* a short record's bytes lie in it */
    int is_gone = 0;

    for (;;) {
        int rc = ring_pop(&s->ring, &entry);
        if (rc == 1)
            rc = ring_assemble(&s->ring, &s->assembler, &entry, rec);
        else if (rc == 0 && is_gone)
            return -EPIPE;
        else if (rc == 0) {
            ring_release(&s->ring);
            rc = sleep_on_link(s, RING_ASLEEP_DATA, timeout_ms);
            if (rc == 0)
                return 0;
            is_gone = rc == -EPIPE;
            continue;
        }
        if (rc != 0)
            return rc;
    }
}

uint64_t stage_progress(const struct stage *s)
{
    return atomic_load(&s->node->beat[SHM_PROC_WORKER(3)].progress);
}

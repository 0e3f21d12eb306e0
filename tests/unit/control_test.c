/* The control socket: messages and descriptors arrive whole, and nothing malformed gets through. */
#include "shm/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];

static int open_sockets(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int close_sockets(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return 0;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* One datagram as a peer that does not use control_send would make it. */
static void send_raw(const void *data, size_t len, const int *fds, size_t n)
{
    char space[CMSG_SPACE(16 * sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n > 0) {
        mh.msg_control = space;
        mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    assert_int_equal(sendmsg(ends[0], &mh, 0), len);
}

static void test_message_and_descriptors(void **state)
{
    static const int counts[] = {0, 1, CONTROL_FDS};
    struct control_msg out = {.type = CONTROL_LINK_READ,
                              .epoch = 77,
                              .slot = 3,
                              .seats = 9,
                              .layout_hash = 5,
                              .deadline_ns = 6,
                              .pid = -1,
                              .text = "why"};
    struct control_msg in;
    struct err e;
    int got[CONTROL_FDS];

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        int pipe_fds[2], sent[CONTROL_FDS];
        assert_int_equal(pipe(pipe_fds), 0);
        for (int k = 0; k < CONTROL_FDS; k++)
            sent[k] = pipe_fds[1];
        assert_int_equal(control_send(ends[0], &out, sent, counts[i]), 0);
        close(pipe_fds[1]);
        assert_int_equal(control_recv(ends[1], &in, got, &e), 1);
        assert_int_equal(in.type, CONTROL_LINK_READ);
        assert_int_equal(in.epoch, 77);
        assert_int_equal(in.slot, 3);
        assert_int_equal(in.seats, 9);
        assert_int_equal(in.pid, -1);
        assert_string_equal(in.text, "why");
        for (int k = 0; k < CONTROL_FDS; k++) {
            char c = '\0';
            if (k >= counts[i]) {
                assert_int_equal(got[k], -1);
                continue;
            }
            assert_int_equal(fcntl(got[k], F_GETFD), FD_CLOEXEC);
            assert_int_equal(write(got[k], "x", 1), 1);
            assert_int_equal(read(pipe_fds[0], &c, 1), 1);
            close(got[k]);
        }
        close(pipe_fds[0]);
    }
}

static void test_every_type_has_a_name(void **state)
{
    struct control_msg out = {0}, in;
    struct err e;
    int fds[CONTROL_FDS];

    (void)state;
    for (uint32_t type = CONTROL_NONE + 1; type < CONTROL_TYPES_N; type++) {
        assert_string_not_equal(control_type_name(type), "?");
        out.type = (uint16_t)type;
        assert_int_equal(control_send(ends[0], &out, NULL, 0), 0);
        assert_int_equal(control_recv(ends[1], &in, fds, &e), 1);
        assert_int_equal(in.type, type);
    }
    assert_string_equal(control_type_name(CONTROL_TYPES_N), "?");
}

static void test_text_is_terminated(void **state)
{
    struct control_msg out = {.type = CONTROL_REFUSED}, in;
    struct err e;
    int fds[CONTROL_FDS];

    (void)state;
    memset(out.text, 'x', sizeof out.text);
    assert_int_equal(control_send(ends[0], &out, NULL, 0), 0);
    assert_int_equal(control_recv(ends[1], &in, fds, &e), 1);
    assert_int_equal(strlen(in.text), sizeof in.text - 1);
}

/* Every way to be malformed, with and without descriptors: refused, and none stays open. */
static void test_malformed(void **state)
{
    const struct control_msg good = {
        .magic = CONTROL_MAGIC, .version = CONTROL_VERSION, .type = CONTROL_READY};
    struct {
        struct control_msg msg;
        char more[8];
    } long_one = {.msg = good};
    struct control_msg bad[4] = {good, good, good, good};

    (void)state;
    bad[0].magic++;
    bad[1].version++;
    bad[2].type = CONTROL_NONE;
    bad[3].type = CONTROL_TYPES_N;
    const struct {
        const void *data;
        size_t len, n_fds;
    } rows[] = {
        {&bad[0], sizeof good, 0},
        {&bad[1], sizeof good, 0},
        {&bad[2], sizeof good, 0},
        {&bad[3], sizeof good, 0},
        {&bad[0], sizeof good, 4},
        {&good, sizeof good - 1, 0},
        {&good, 1, 2},
        {&good, 0, 0},
        {&good, 0, 1},
        {&long_one, sizeof long_one, 0},
        {&long_one, sizeof long_one, 1},
        {&good, sizeof good, 5},
        {&good, sizeof good, 16},
    };
    int fds[16], got[CONTROL_FDS];
    for (int i = 0; i < 16; i++)
        fds[i] = STDERR_FILENO;
    int before = count_fds();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct control_msg in;
        struct err e = {0};
        send_raw(rows[i].data, rows[i].len, fds, rows[i].n_fds);
        assert_int_equal(control_recv(ends[1], &in, got, &e), -EPROTO);
        assert_non_null(strstr(e.text, "control message"));
        assert_int_equal(count_fds(), before);
    }
    /* the socket still works */
    struct control_msg in;
    send_raw(&good, sizeof good, fds, 1);
    assert_int_equal(control_recv(ends[1], &in, got, NULL), 1);
    close(got[0]);
}

static void test_nothing_there_and_end(void **state)
{
    struct control_msg msg = {.type = CONTROL_READY}, in;
    struct err e;
    int fds[CONTROL_FDS];

    (void)state;
    assert_int_equal(control_recv(ends[1], &in, fds, &e), -EAGAIN);
    assert_int_equal(control_send(ends[0], &msg, NULL, 0), 0);
    close(ends[0]);
    ends[0] = -1;
    assert_int_equal(control_recv(ends[1], &in, fds, &e), 1);
    assert_int_equal(control_recv(ends[1], &in, fds, &e), 0);
    assert_int_equal(control_recv(ends[1], &in, fds, &e), 0);
    assert_int_equal(control_send(ends[1], &msg, NULL, 0), -EPIPE);
}

/* A child that dies without having read everything: its last words still arrive. */
static void test_last_words_of_a_dead_peer(void **state)
{
    struct control_msg unread = {.type = CONTROL_CONFIG};
    struct control_msg last = {.type = CONTROL_REFUSED, .text = "no such model"}, in;
    struct err e;
    int fds[CONTROL_FDS];

    (void)state;
    assert_int_equal(control_send(ends[1], &unread, NULL, 0), 0);
    assert_int_equal(control_send(ends[0], &last, NULL, 0), 0);
    close(ends[0]);
    ends[0] = -1;
    assert_int_equal(control_recv(ends[1], &in, fds, &e), 1);
    assert_string_equal(in.text, "no such model");
    assert_int_equal(control_recv(ends[1], &in, fds, &e), 0);
}

static void test_send_never_blocks(void **state)
{
    struct control_msg msg = {.type = CONTROL_CONFIG};
    int rc = 0;

    (void)state;
    for (int i = 0; i < 100000 && rc == 0; i++)
        rc = control_send(ends[0], &msg, NULL, 0);
    assert_int_equal(rc, -EAGAIN);
}

int main(void)
{
#define WITH_SOCKETS(test) cmocka_unit_test_setup_teardown(test, open_sockets, close_sockets)
    const struct CMUnitTest tests[] = {
        WITH_SOCKETS(test_message_and_descriptors), WITH_SOCKETS(test_every_type_has_a_name),
        WITH_SOCKETS(test_text_is_terminated),      WITH_SOCKETS(test_malformed),
        WITH_SOCKETS(test_nothing_there_and_end),   WITH_SOCKETS(test_last_words_of_a_dead_peer),
        WITH_SOCKETS(test_send_never_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The worker's side of the memory of the weights; the test is the supervisor. */
#include "worker/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY   0xfeedfacecafe1234u
#define BYTES (3u << 20)
#define EPOCH 77

static int ends[2]; /* ours, the worker's */
static struct keeper keeper;

static int set_up(void **state)
{
    (void)state;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    keeper_init(&keeper, ends[1], EPOCH);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    keeper_close(&keeper);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static int make_memory(uint64_t bytes, int seals)
{
    int fd = memfd_create("test-weights", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static struct control_msg hear(void)
{
    struct control_msg msg;
    int fds[CONTROL_FDS];
    struct err e = {0};

    assert_int_equal(control_recv(ends[0], &msg, fds, &e), 1);
    assert_int_equal(msg.epoch, EPOCH);
    assert_int_equal(msg.weights_key, KEY);
    return msg;
}

/* Through the socket, as it comes; what keeper_take leaves of the fds is closed. */
static int grant_key(uint64_t key, int fd, bool is_filled, struct err *e)
{
    struct control_msg msg = {.type = CONTROL_WEIGHTS_GRANT,
                              .weights_key = key,
                              .weights_bytes = BYTES,
                              .is_filled = is_filled,
                              .text = "no room: 3 needed, 2 there"};
    int fds[CONTROL_FDS];

    assert_int_equal(control_send(ends[0], &msg, &fd, fd >= 0), 0);
    assert_int_equal(control_recv(ends[1], &msg, fds, e), 1);
    int rc = keeper_take(&keeper, &msg, fds, e);
    for (int i = 0; i < CONTROL_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return rc;
}

static int grant(int fd, bool is_filled, struct err *e)
{
    return grant_key(KEY, fd, is_filled, e);
}

static void want(void)
{
    struct err e = {0};

    assert_int_equal(keeper_want(&keeper, KEY, BYTES, &e), 0);
    assert_int_equal(keeper.state, KEEPER_WAITING);
    struct control_msg msg = hear();
    assert_int_equal(msg.type, CONTROL_WEIGHTS_WANT);
    assert_int_equal(msg.weights_bytes, BYTES);
}

static void filled_by_us_and_mapped_again(void **state)
{
    int fd = make_memory(BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
    struct err e = {0};

    (void)state;
    want();
    assert_int_equal(grant(fd, false, &e), 0);
    assert_int_equal(keeper.state, KEEPER_FILLING);
    assert_int_equal(keeper_map(&keeper, &e), 0);
    memset(keeper.map, 0x5a, BYTES);
    assert_int_equal(keeper_filled(&keeper, &e), 0);
    assert_null(keeper.map);
    assert_int_equal(hear().type, CONTROL_WEIGHTS_FILLED);
    assert_true((fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE) != 0);

    assert_int_equal(grant(fd, true, &e), 0);
    assert_int_equal(keeper.state, KEEPER_FILLED);
    assert_int_equal(keeper_map(&keeper, &e), 0);
    const unsigned char *byte = keeper.map;
    assert_int_equal(byte[0], 0x5a);
    assert_int_equal(byte[BYTES - 1], 0x5a);
    close(fd);
}

/* A thread or a read in flight that was forgotten: nothing is announced. */
static void a_writer_that_was_forgotten(void **state)
{
    int fd = make_memory(BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
    struct err e = {0};

    (void)state;
    want();
    assert_int_equal(grant(fd, false, &e), 0);
    assert_int_equal(keeper_map(&keeper, &e), 0);
    void *forgotten = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_int_equal(keeper_filled(&keeper, &e), -EBUSY);
    assert_non_null(strstr(e.text, "seal"));
    munmap(forgotten, BYTES);
    struct control_msg msg;
    int fds[CONTROL_FDS];
    assert_int_equal(control_recv(ends[0], &msg, fds, &e), -EAGAIN);
    close(fd);
}

static void there_is_no_such_memory(void **state)
{
    struct err e = {0};

    (void)state;
    want();
    assert_int_equal(grant(-1, false, &e), -ENOMEM);
    assert_string_equal(e.text, "no room: 3 needed, 2 there");
    assert_int_equal(keeper.state, KEEPER_IDLE);
    want(); /* with fewer bytes, say */
}

static void an_answer_to_no_question(void **state)
{
    int fd = make_memory(BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
    struct err e = {0};

    (void)state;
    assert_int_equal(grant(fd, false, &e), -EPROTO);
    want();
    assert_int_equal(grant_key(KEY + 1, fd, false, &e), -EPROTO);
    assert_int_equal(keeper.state, KEEPER_WAITING);
    assert_int_equal(grant(fd, false, &e), 0);
    assert_int_equal(grant(fd, true, &e), -EPROTO); /* it is ours to fill, and we did not */
    close(fd);
}

/* Memory that somebody could cut, or still write when it is said to be complete. */
static void unfit_memory(void **state)
{
    static const struct {
        uint64_t bytes;
        int seals;
        bool is_filled;
    } rows[] = {
        {BYTES, 0, false},
        {BYTES, F_SEAL_SHRINK, false},
        {BYTES - 4096, F_SEAL_SHRINK | F_SEAL_GROW, false},
        {BYTES, F_SEAL_SHRINK | F_SEAL_GROW, true},
        {2 * BYTES, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = make_memory(rows[i].bytes, rows[i].seals);
        struct err e = {0};
        want();
        assert_int_equal(grant(fd, rows[i].is_filled, &e), -EPROTO);
        assert_non_null(strstr(e.text, "expected 3145728 bytes"));
        assert_int_equal(keeper.fd, -1);
        keeper_close(&keeper);
        close(fd);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(filled_by_us_and_mapped_again),
        TEST(a_writer_that_was_forgotten),
        TEST(there_is_no_such_memory),
        TEST(an_answer_to_no_question),
        TEST(unfit_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

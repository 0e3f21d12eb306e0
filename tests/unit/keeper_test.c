/* The memory of the weights: who fills it, who gets it, how long it is kept. The workers are ends
 * of sockets. */
#include "supervisor/tree.h"

#include "base/clock.h"
#include "base/log.h"

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
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY     0xabcdef0123456789u
#define BYTES   (1u << 20)
#define WORKERS 6

static struct tree *tree;
static int ends[WORKERS]; /* the workers' */

static int world_spawn(struct child *c, struct err *e)
{
    (void)c;
    (void)e;
    return -EAGAIN;
}

static void world_nothing(struct child *c)
{
    (void)c;
}

static int world_drain(struct child *c, uint64_t deadline_ns)
{
    (void)c;
    (void)deadline_ns;
    return 0;
}

static void world_last_words(struct child *c, char *text, size_t size)
{
    (void)c;
    snprintf(text, size, "%s", "");
}

static void world_buried(struct child *c)
{
    close(c->control);
    c->control = -1;
    keeper_worker_gone(tree, c);
}

static const struct child_ops ops = {
    .spawn = world_spawn,
    .stop = world_nothing,
    .kill = world_nothing,
    .drain = world_drain,
    .last_words = world_last_words,
    .buried = world_buried,
    .changed = world_nothing,
};

/* An incarnation that has said hello. */
static void spawn(uint32_t slot, uint32_t model)
{
    struct child *c = tree_worker(tree, slot);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    c->control = pair[0];
    if (ends[slot] >= 0)
        close(ends[slot]);
    ends[slot] = pair[1];
    c->is_assigned = c->is_wanted = c->has_hello = true;
    c->is_killed = c->is_asked = false;
    c->killed_as = EXIT_CLASS_NONE;
    c->state = CHILD_STARTING;
    c->model = model;
    c->generation = tree->model[model].generation;
    c->pid = 1000 + (pid_t)slot;
    c->epoch = tree_next_epoch(tree);
    snprintf(c->name, sizeof c->name, "worker %u", slot);
}

static int set_up(void **state)
{
    struct err e = {0};

    (void)state;
    tree = calloc(1, sizeof *tree);
    tree->node = aligned_alloc(64, (sizeof *tree->node + 63) / 64 * 64);
    memset(tree->node, 0, sizeof *tree->node);
    tree->now_ns = 1000 * NS_PER_S;
    tree->config.supervisor = (struct config_supervisor){
        .backoff_max_ms = 30000,
        .fault_budget = 100,
        .fault_forgive_s = 300,
        .circuit_open_ms = 60000,
        .stop_timeout_ms = 5000,
    };
    tree->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    tree_init(tree);
    for (uint32_t i = 0; i < TREE_CHILDREN; i++)
        tree->child[i].ops = &ops;
    for (int i = 0; i < WORKERS; i++)
        ends[i] = -1;
    for (int i = 0; i < 2; i++) {
        tree->model[i] = (struct model){.is_configured = true};
        snprintf(tree->model[i].name, sizeof tree->model[i].name, "%c", 'a' + i);
    }
    return keeper_open(tree, &e);
}

/* Wait for what is being given back. */
static void await_freed(void)
{
    struct pollfd p = {tree->keeper.done_fd, POLLIN, 0};

    while (tree->keeper.n_leaving > 0) {
        assert_int_equal(poll(&p, 1, 10000), 1);
        keeper_freed(tree);
    }
}

static int tear_down(void **state)
{
    (void)state;
    keeper_stop(tree);
    await_freed();
    keeper_close(tree);
    for (int i = 0; i < WORKERS; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
        if (tree_worker(tree, (uint32_t)i)->control >= 0)
            close(tree_worker(tree, (uint32_t)i)->control);
    }
    close(tree->epoll_fd);
    free(tree->node);
    free(tree);
    return 0;
}

static void settle(void)
{
    do {
        tree->is_dirty = false;
        keeper_settle(tree);
    } while (tree->is_dirty);
    keeper_publish(tree);
}

static void say(uint32_t slot, enum control_type type, uint64_t key, uint64_t bytes)
{
    struct child *c = tree_worker(tree, slot);
    struct control_msg msg = {
        .type = (uint16_t)type, .epoch = c->epoch, .weights_key = key, .weights_bytes = bytes};

    (type == CONTROL_WEIGHTS_WANT ? keeper_want : keeper_filled)(tree, c, &msg);
    settle();
}

static void want(uint32_t slot)
{
    say(slot, CONTROL_WEIGHTS_WANT, KEY, BYTES);
}

static void dies(uint32_t slot)
{
    struct child *c = tree_worker(tree, slot);

    c->wait_status = SIGKILL;
    child_event(c, EV_EXITED, ++tree->now_ns);
    settle();
    await_freed();
    settle();
}

static void assert_silent(uint32_t slot)
{
    struct control_msg msg;
    int fds[CONTROL_FDS];

    assert_int_equal(control_recv(ends[slot], &msg, fds, NULL), -EAGAIN);
}

/* What the worker was given: the fd. */
static int hear(uint32_t slot, uint64_t key, bool is_filled)
{
    struct control_msg msg;
    int fds[CONTROL_FDS];

    assert_int_equal(control_recv(ends[slot], &msg, fds, NULL), 1);
    assert_int_equal(msg.type, CONTROL_WEIGHTS_GRANT);
    assert_int_equal(msg.weights_key, key);
    assert_int_equal(msg.is_filled, is_filled);
    assert_true(fds[0] >= 0 && fds[1] < 0);
    return fds[0];
}

static void hear_refusal(uint32_t slot, const char *part)
{
    struct control_msg msg;
    int fds[CONTROL_FDS];

    assert_int_equal(control_recv(ends[slot], &msg, fds, NULL), 1);
    assert_int_equal(msg.type, CONTROL_WEIGHTS_GRANT);
    assert_int_equal(fds[0], -1);
    if (strstr(msg.text, part) == NULL)
        fail_msg("no \"%s\" in: %s", part, msg.text);
}

static unsigned char first_byte(int fd)
{
    unsigned char byte = 0xff;

    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    return byte;
}

/* The grant to fill, then all of the worker's part. */
static void fill(uint32_t slot, unsigned char byte)
{
    int fd = hear(slot, KEY, false);

    assert_int_equal(first_byte(fd), 0);
    assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    close(fd);
    say(slot, CONTROL_WEIGHTS_FILLED, KEY, 0);
    fd = hear(slot, KEY, true);
    assert_int_equal(first_byte(fd), byte);
    close(fd);
}

static void hear_filled(uint32_t slot, unsigned char byte)
{
    int fd = hear(slot, KEY, true);

    assert_int_equal(first_byte(fd), byte);
    close(fd);
}

static struct weights_record record(uint32_t i)
{
    struct weights_record r;

    assert_int_equal(seqlock_copy(&tree->node->weights[i], &r), 0);
    return r;
}

static void one_fills_the_others_wait(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < 3; slot++) {
        spawn(slot, 0);
        want(slot);
    }
    assert_silent(1);
    assert_false(keeper_is_waiting(tree, tree_worker(tree, 0)));
    assert_true(keeper_is_unsettled(tree, tree_worker(tree, 0)));
    assert_true(keeper_is_waiting(tree, tree_worker(tree, 1)));
    struct weights_record r = record(0);
    assert_int_equal(r.key, KEY);
    assert_int_equal(r.bytes, BYTES);
    assert_int_equal(r.state, KEPT_FILLING);
    assert_int_equal(r.users, 1);
    assert_int_equal(r.waiting, 2);
    fill(0, 42);
    hear_filled(1, 42);
    hear_filled(2, 42);
    for (uint32_t slot = 0; slot < 3; slot++)
        assert_false(keeper_is_unsettled(tree, tree_worker(tree, slot)));
    r = record(0);
    assert_int_equal(r.state, KEPT_FILLED);
    assert_int_equal(r.users, 3);
    assert_int_equal(r.waiting, 0);
    assert_int_equal(r.filled_ns, tree->now_ns);
    spawn(3, 0); /* a late one */
    want(3);
    hear_filled(3, 42);
}

/* The next one, in the order of asking, gets zeros; contents of a dead filler are nobody's. */
static void the_filler_dies(void **state)
{
    unsigned char byte = 99;

    (void)state;
    for (uint32_t slot = 0; slot < 4; slot++)
        spawn(slot, 0);
    want(1);
    want(3);
    want(0);
    int fd = hear(1, KEY, false);
    assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
    close(fd);
    dies(1);
    assert_silent(0);
    fill(3, 7);
    hear_filled(0, 7);
}

static void only_the_filler_wanted_it(void **state)
{
    (void)state;
    spawn(0, 0);
    want(0);
    close(hear(0, KEY, false));
    dies(0);
    assert_int_equal(record(0).state, KEPT_NONE);
    assert_int_equal(record(0).key, 0);
    spawn(0, 0);
    want(0);
    fill(0, 1);
}

static void those_that_start_again_map_it(void **state)
{
    (void)state;
    spawn(0, 0);
    want(0);
    fill(0, 5);
    for (int i = 0; i < 3; i++) {
        dies(0);
        assert_int_equal(record(0).state, KEPT_FILLED); /* while nobody runs */
        assert_int_equal(record(0).users, 0);
        spawn(0, 0);
        want(0);
        hear_filled(0, 5);
    }
}

/* What a dead worker wrote is still being given back: that memory is not available yet. */
static void memory_comes_back_first(void **state)
{
    uint64_t one = 1;

    (void)state;
    spawn(0, 0);
    tree->keeper.n_leaving++;
    want(0);
    assert_silent(0);
    assert_int_equal(record(0).state, KEPT_WANTED);
    assert_true(keeper_is_waiting(tree, tree_worker(tree, 0)));
    assert_int_equal(write(tree->keeper.done_fd, &one, sizeof one), sizeof one);
    keeper_freed(tree);
    settle();
    fill(0, 1);
}

static void a_removed_model(void **state)
{
    (void)state;
    spawn(0, 0);
    want(0);
    fill(0, 1);
    tree->model[0].is_configured = false;
    settle();
    assert_int_equal(record(0).state, KEPT_FILLED); /* it drains */
    dies(0);
    assert_int_equal(record(0).state, KEPT_NONE);
    tree->model[0].is_configured = true;
    spawn(0, 0);
    want(0);
    fill(0, 2);
}

static void two_models_share(void **state)
{
    (void)state;
    spawn(0, 0);
    spawn(1, 1);
    want(0);
    want(1);
    fill(0, 3);
    hear_filled(1, 3);
    tree->model[0].is_configured = false;
    dies(0);
    struct weights_record r = record(0);
    assert_int_equal(r.state, KEPT_FILLED);
    assert_int_equal(r.model, 1);
    tree->model[1].is_configured = false;
    dies(1);
    assert_int_equal(record(0).state, KEPT_NONE);
}

/* A reload changes what the weights are: the old ones go with the last worker that has them. */
static void a_changed_model(void **state)
{
    (void)state;
    spawn(0, 0);
    want(0);
    fill(0, 1);
    tree->model[0].generation++;
    spawn(1, 0);
    say(1, CONTROL_WEIGHTS_WANT, KEY + 1, BYTES);
    close(hear(1, KEY + 1, false));
    assert_int_equal(record(0).state, KEPT_FILLED);
    assert_int_equal(record(1).state, KEPT_FILLING);
    dies(0);
    assert_int_equal(record(0).state, KEPT_NONE);
    assert_int_equal(record(1).state, KEPT_FILLING);
}

/* It was started before the reload and asks after it: nobody will ask for that again. */
static void a_late_word_of_the_former_configuration(void **state)
{
    (void)state;
    spawn(0, 0);
    tree->model[0].generation++;
    spawn(1, 0);
    want(1);
    fill(1, 1);
    say(0, CONTROL_WEIGHTS_WANT, KEY + 1, BYTES);
    close(hear(0, KEY + 1, false));
    dies(1);
    assert_int_equal(record(0).state, KEPT_FILLED);
    dies(0);
    assert_int_equal(record(0).state, KEPT_FILLED);
    assert_int_equal(record(1).state, KEPT_NONE);
}

/* Room that the old ones leave serves the new ones in the same turn. */
static void the_old_ones_make_room(void **state)
{
    (void)state;
    spawn(0, 0);
    want(0);
    fill(0, 1);
    dies(0);
    spawn(0, 0);
    say(0, CONTROL_WEIGHTS_WANT, KEY + 1, BYTES);
    assert_silent(0); /* while it is given back */
    assert_int_equal(record(0).state, KEPT_NONE);
    await_freed();
    settle();
    close(hear(0, KEY + 1, false));
}

static void unreasonable_wishes(void **state)
{
    (void)state;
    spawn(0, 0);
    say(0, CONTROL_WEIGHTS_WANT, KEY, 0);
    hear_refusal(0, "weights of 0 bytes: expected 1 to 1099511627776");
    say(0, CONTROL_WEIGHTS_WANT, KEY, (1ull << 40) + 1);
    hear_refusal(0, "weights of 1099511627777 bytes");
    say(0, CONTROL_WEIGHTS_WANT, KEY, 1ull << 40); /* a machine with more has bytes to spare */
    hear_refusal(0, "weights need 1099511627776 bytes of memory, ");
    assert_int_equal(tree_worker(tree, 0)->state, CHILD_STARTING);
    want(0); /* it may ask for less */
    fill(0, 1);
    spawn(1, 0);
    say(1, CONTROL_WEIGHTS_WANT, KEY, BYTES + 1);
    hear_refusal(1, "wanted with 1048577 bytes, they have 1048576");
}

static void all_places_are_taken(void **state)
{
    (void)state;
    spawn(0, 0);
    for (uint32_t i = 0; i < SHM_WEIGHTS_MAX; i++)
        tree->keeper.piece[i] =
            (struct keeper_piece){.state = KEPT_FILLING, .key = i, .bytes = 1, .fd = -1};
    want(0);
    hear_refusal(0, "all 128 places are taken");
    memset(tree->keeper.piece, 0, sizeof tree->keeper.piece);
}

/* A violation kills, and takes the memory along. */
static void assert_killed(uint32_t slot, const char *why)
{
    struct child *c = tree_worker(tree, slot);

    assert_int_equal(c->state, CHILD_STOPPING);
    assert_int_equal(c->killed_as, EXIT_CLASS_VIOLATION);
    if (strstr(c->why, why) == NULL)
        fail_msg("no \"%s\" in: %s", why, c->why);
}

static void wrong_words(void **state)
{
    (void)state;
    spawn(0, 0);
    tree_worker(tree, 0)->epoch++;
    struct control_msg stale = {.type = CONTROL_WEIGHTS_WANT, .epoch = 1, .weights_bytes = BYTES};
    keeper_want(tree, tree_worker(tree, 0), &stale);
    assert_killed(0, "weights-want of incarnation 1, expected");

    spawn(1, 0);
    tree_worker(tree, 1)->state = CHILD_READY;
    want(1);
    assert_killed(1, "it sent weights-want after it was ready");

    spawn(2, 0);
    say(2, CONTROL_WEIGHTS_FILLED, KEY, 0);
    assert_killed(2, "which it does not");

    spawn(3, 0);
    want(3);
    want(3);
    assert_killed(3, "asked for weights twice");
    dies(3);

    struct child *router = tree_router(tree);
    router->state = CHILD_READY;
    router->pid = 1;
    keeper_want(tree, router, &stale);
    assert_int_equal(router->killed_as, EXIT_CLASS_VIOLATION);
    assert_string_equal(router->why, "it sent weights-want, which is a worker's word");
}

/* It says that all is written, and the memory can still be written: by a mapping of its own that it
 * kept, or because it did not seal. Those who wait get other memory. */
static void filled_and_not_sealed(void **state)
{
    (void)state;
    spawn(0, 0);
    spawn(1, 0);
    want(0);
    want(1);
    int fd = hear(0, KEY, false);
    void *kept = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(errno, EBUSY);
    memset(kept, 0x77, BYTES);
    say(0, CONTROL_WEIGHTS_FILLED, KEY, 0);
    assert_killed(0, "can still be written");
    assert_silent(0);
    assert_silent(1); /* not before it is gone */
    dies(0);
    fill(1, 1);
    munmap(kept, BYTES);
    close(fd);
}

static void filled_by_another_name(void **state)
{
    (void)state;
    spawn(0, 0);
    want(0);
    int fd = hear(0, KEY, false);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    close(fd);
    say(0, CONTROL_WEIGHTS_FILLED, KEY + 1, 0);
    assert_killed(0, "it filled weights abcdef012345678a, which it does not");
}

/* These crossed our order to stop. */
static void words_of_one_told_to_stop(void **state)
{
    (void)state;
    spawn(0, 0);
    spawn(1, 0);
    child_event(tree_worker(tree, 0), EV_STOP, tree->now_ns);
    want(0);
    assert_silent(0);
    assert_int_equal(tree_worker(tree, 0)->killed_as, EXIT_CLASS_NONE);
    want(1);
    close(hear(1, KEY, false));
    /* And it does not get its turn any more. */
    spawn(2, 0);
    want(2);
    child_event(tree_worker(tree, 2), EV_STOP, tree->now_ns);
    dies(1);
    assert_silent(2);
    dies(2);
    assert_int_equal(record(0).state, KEPT_NONE);
}

/* SIGKILL does not end it: the others do not wait for that. */
static void a_filler_that_cannot_be_ended(void **state)
{
    (void)state;
    spawn(0, 0);
    spawn(1, 0);
    want(0);
    want(1);
    close(hear(0, KEY, false));
    child_accuse(tree_worker(tree, 0), EV_HANG, tree->now_ns, "no progress");
    settle();
    assert_silent(1);
    child_event(tree_worker(tree, 0), EV_TIMEOUT, tree->now_ns);
    assert_true(tree_worker(tree, 0)->is_quarantined);
    settle();
    await_freed();
    settle();
    fill(1, 9);
    dies(0);
    assert_int_equal(record(0).state, KEPT_FILLED);
    assert_int_equal(record(0).users, 1);
}

static void the_node_stops(void **state)
{
    (void)state;
    spawn(0, 0);
    spawn(1, 0);
    want(0);
    fill(0, 1);
    say(1, CONTROL_WEIGHTS_WANT, KEY + 1, BYTES);
    close(hear(1, KEY + 1, false));
    keeper_stop(tree);
    keeper_publish(tree);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(record(i).state, KEPT_NONE);
    await_freed();
    dies(1);
    dies(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_fills_the_others_wait),
        TEST(the_filler_dies),
        TEST(only_the_filler_wanted_it),
        TEST(those_that_start_again_map_it),
        TEST(memory_comes_back_first),
        TEST(a_removed_model),
        TEST(two_models_share),
        TEST(a_changed_model),
        TEST(a_late_word_of_the_former_configuration),
        TEST(the_old_ones_make_room),
        TEST(unreasonable_wishes),
        TEST(all_places_are_taken),
        TEST(wrong_words),
        TEST(filled_and_not_sealed),
        TEST(filled_by_another_name),
        TEST(words_of_one_told_to_stop),
        TEST(a_filler_that_cannot_be_ended),
        TEST(the_node_stops),
    };
    log_init("test", "text", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The node segment: created whole or not at all, one owner per instance, every refusal with its
 * sentence. Real names in /dev/shm, with the pid in them. */
#include "shm/node.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BOOT 0xb007ull

static char instance[32], name[64], temporary[72];

static int choose_names(void **state)
{
    (void)state;
    snprintf(instance, sizeof instance, "test.%d", (int)getpid());
    snprintf(name, sizeof name, "/cortex.%s", instance);
    snprintf(temporary, sizeof temporary, "%s.new", name);
    return 0;
}

static int remove_names(void **state)
{
    (void)state;
    shm_unlink(name);
    shm_unlink(temporary);
    return 0;
}

static int exists(const char *path)
{
    int fd = shm_open(path, O_RDONLY, 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* A child that does not outlive a failed test. */
static pid_t fork_mortal(void)
{
    pid_t pid = fork();

    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

static void test_names(void **state)
{
    static const char *const good[] = {"a", "default", "A-Z_0.9", "x.new2",
                                       "123456789012345678901234"};
    static const char *const bad[] = {
        "", "1234567890123456789012345", "a/b", "../x", "a b", "\xc3\xa9", "x.new", ".new", "a\n"};
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(node_check_name(good[i], &e), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct node_owner o;
        const void *base;
        size_t size;
        assert_int_equal(node_check_name(bad[i], &e), -EINVAL);
        assert_contains(e.text, "instance name");
        assert_int_equal(node_create(&o, bad[i], BOOT, &e), -EINVAL);
        assert_int_equal(node_attach_any(&base, &size, bad[i], &e), -EINVAL);
        assert_int_equal(node_is_alive(bad[i]), 0);
    }
}

static void test_create_and_attach(void **state)
{
    struct node_owner o;
    struct err e;
    const struct shm_node *node;
    struct shm_node *child_node;
    size_t size;
    struct stat st;

    (void)state;
    assert_int_equal(node_create(&o, instance, BOOT, &e), 0);
    assert_string_equal(o.name, name);
    assert_false(exists(temporary));
    assert_int_equal(fstat(o.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, sizeof(struct shm_node));
    assert_true(st.st_blocks * 512 >= (off_t)sizeof(struct shm_node)); /* every page is there */
    assert_int_equal(fcntl(o.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(o.lock_fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(node_is_alive(instance), 1);

    assert_int_equal(node_attach(&node, &size, instance, &e), 0);
    assert_int_equal(size, sizeof *node);
    assert_int_equal(node->header.magic, SHM_MAGIC);
    assert_int_equal(node->header.version, SHM_VERSION);
    assert_int_equal(node->header.boot_id, BOOT);
    assert_int_equal(node->header.owner_pid, getpid());
    assert_int_equal(node->header.layout_hash, node_layout_hash());
    assert_string_equal(node->header.instance, instance);
    assert_string_equal(node->header.program_version, CORTEX_VERSION);

    assert_int_equal(node_map_fd(&child_node, o.fd, &e), 0);
    counter_add(&child_node->router_counters.http_requests, 3);
    assert_int_equal(counter_get(&node->router_counters.http_requests), 3);
    munmap(child_node, sizeof *child_node);
    node_detach(node, size);
    node_close(&o, 1);
    assert_false(exists(name));
    assert_int_equal(node_attach(&node, &size, instance, &e), -ENOENT);
    assert_contains(e.text, "no instance");
}

static void test_alive_is_refused_dead_is_replaced(void **state)
{
    struct node_owner first, second;
    struct err e;
    char pid[32];

    (void)state;
    snprintf(pid, sizeof pid, "supervisor %d", (int)getpid());
    assert_int_equal(node_create(&first, instance, BOOT, &e), 0);
    assert_int_equal(node_create(&second, instance, BOOT + 1, &e), -EEXIST);
    assert_contains(e.text, pid);
    assert_int_equal(second.fd, -1);
    assert_false(exists(temporary));
    assert_int_equal(first.node->header.boot_id, BOOT);
    node_close(&first, 0); /* killed: the name stays for people to look at */
    assert_true(exists(name));
    assert_int_equal(node_is_alive(instance), 0);
    assert_int_equal(node_create(&second, instance, BOOT + 1, &e), 0);
    assert_int_equal(second.node->header.boot_id, BOOT + 1);
    assert_int_equal(node_is_alive(instance), 1);
    node_close(&second, 1);
}

/* A child that outlives the supervisor holds the segment, never the lock. */
static void test_child_does_not_hold_the_lock(void **state)
{
    struct node_owner o;
    struct err e;
    int ends[2];
    char c = 'x';

    (void)state;
    assert_int_equal(node_create(&o, instance, BOOT, &e), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(o.fd, 4);
        dup2(ends[1], 0);
        dup2(ends[1], 1);
        execlp("cat", "cat", (char *)NULL); /* lives until its input ends */
        _exit(127);
    }
    close(ends[1]);
    assert_int_equal(write(ends[0], &c, 1), 1);
    assert_int_equal(read(ends[0], &c, 1), 1); /* it answers, so the exec is over */
    node_close(&o, 0);
    assert_int_equal(node_is_alive(instance), 0);
    close(ends[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_leftover_of_a_killed_creator(void **state)
{
    struct node_owner o;
    struct err e;
    int fd = shm_open(temporary, O_RDWR | O_CREAT | O_EXCL, 0600);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(node_create(&o, instance, BOOT, &e), -EBUSY); /* its creator lives */
    assert_contains(e.text, "just creating");
    assert_true(exists(temporary));
    close(fd); /* killed */
    assert_int_equal(node_create(&o, instance, BOOT, &e), 0);
    assert_false(exists(temporary));
    node_close(&o, 1);
}

/* Many start at once: exactly one gets the instance. */
static void test_creators_race(void **state)
{
    enum { CREATORS = 6, ROUNDS = 20 };

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int go[2], results[2], won = 0;
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        assert_int_equal(pipe2(results, O_CLOEXEC), 0);
        pid_t pids[CREATORS] = {0};
        for (int i = 0; i < CREATORS; i++) {
            pids[i] = fork_mortal();
            if (pids[i] != 0)
                continue;
            struct node_owner o;
            char c = 'n';
            close(go[1]);
            if (read(go[0], &c, 1) == 0) /* end of file: off we go, all together */
                c = node_create(&o, instance, BOOT, NULL) == 0 ? 'y' : 'n';
            if (write(results[1], &c, 1) != 1)
                _exit(1);
            pause(); /* keeps its lock until killed */
        }
        close(go[0]);
        close(go[1]);
        for (int i = 0; i < CREATORS; i++) {
            char c;
            assert_int_equal(read(results[0], &c, 1), 1);
            won += c == 'y';
        }
        assert_int_equal(won, 1);
        assert_int_equal(node_is_alive(instance), 1);
        for (int i = 0; i < CREATORS; i++) {
            kill(pids[i], SIGKILL);
            assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
        }
        close(results[0]);
        close(results[1]);
    }
}

/* Take away every unlocked file under the temporary name, as a creator does that mistakes a fresh
 * one for a leftover. */
static _Noreturn void remove_for_ever(void)
{
    char path[96];
    struct stat ours, named;

    snprintf(path, sizeof path, "/dev/shm%s", temporary);
    for (;;) {
        int fd = shm_open(temporary, O_RDWR, 0);
        if (fd < 0)
            continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 && stat(path, &named) == 0 &&
            ours.st_ino == named.st_ino)
            shm_unlink(temporary);
        close(fd);
    }
}

/* A creator whose file is taken away before it has locked it starts over, or gives up: it never
 * publishes a file that is not under its lock. */
static void test_creator_loses_its_file(void **state)
{
    int made = 0;
    pid_t pid = fork_mortal();

    (void)state;
    if (pid == 0)
        remove_for_ever();
    for (int i = 0; i < 300; i++) {
        struct node_owner o;
        struct err e = {0};
        struct stat ours, named;
        int rc = node_create(&o, instance, BOOT, &e);
        if (rc != 0) {
            assert_int_equal(rc, -EBUSY);
            continue;
        }
        made++;
        int fd = shm_open(name, O_RDONLY, 0);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &named), 0);
        assert_int_equal(fstat(o.fd, &ours), 0);
        assert_int_equal(named.st_ino, ours.st_ino);
        close(fd);
        node_close(&o, 1);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(made > 0);
}

static void test_share_with_group(void **state)
{
    struct node_owner o;
    struct err e;
    struct stat st;

    (void)state;
    assert_int_equal(node_create(&o, instance, BOOT, &e), 0);
    assert_int_equal(node_share(&o, getgid(), &e), 0);
    assert_int_equal(fstat(o.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_gid, getgid());
    node_close(&o, 1);
}

static void test_map_refuses(void **state)
{
    static const struct {
        size_t offset;
        size_t size;
        uint64_t value;
        int rc;
        const char *text;
    } rows[] = {
        {offsetof(struct shm_header, magic), 4, 1, -EINVAL, "magic 0x1"},
        {offsetof(struct shm_header, version), 2, 99, -EPROTO, "version 99"},
        {offsetof(struct shm_header, header_size), 2, 256, -EPROTO, "header of 256"},
        {offsetof(struct shm_header, layout_hash), 8, 7, -EPROTO, "layout 0000000000000007"},
        {offsetof(struct shm_header, total_size), 8, 7, -EPROTO, "its header says 7"},
    };
    struct node_owner o;
    struct err e;
    struct shm_node *node = NULL;

    (void)state;
    assert_int_equal(node_create(&o, instance, BOOT, &e), 0);
    const struct shm_header good = o.node->header;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy((char *)&o.node->header + rows[i].offset, &rows[i].value, rows[i].size);
        assert_int_equal(node_map_fd(&node, o.fd, &e), rows[i].rc);
        assert_contains(e.text, rows[i].text);
        assert_null(node);
        o.node->header = good;
    }
    assert_int_equal(ftruncate(o.fd, sizeof(struct shm_node) + 4096), 0);
    assert_int_equal(node_map_fd(&node, o.fd, &e), -EPROTO);
    assert_contains(e.text, "bytes, its header says");
    assert_int_equal(ftruncate(o.fd, 100), 0);
    assert_int_equal(node_map_fd(&node, o.fd, &e), -EINVAL);
    assert_contains(e.text, "too short");
    node_close(&o, 1);
}

/* Another version's segment: the generic reader takes it, the typed one says why it does not. */
static void test_attach_another_version(void **state)
{
    struct node_owner o;
    struct err e;
    const void *base;
    const struct shm_node *node;
    size_t size;

    (void)state;
    assert_int_equal(node_create(&o, instance, BOOT, &e), 0);
    o.node->header.version = SHM_VERSION + 1;
    o.node->header.layout_hash++;
    assert_int_equal(node_attach_any(&base, &size, instance, &e), 0);
    node_detach(base, size);
    assert_int_equal(node_attach(&node, &size, instance, &e), -EPROTO);
    assert_contains(e.text, "restart all of Cortex");
    o.node->header.magic = 0;
    assert_int_equal(node_attach_any(&base, &size, instance, &e), -EINVAL);
    assert_contains(e.text, name);
    assert_contains(e.text, "not a Cortex segment");
    node_close(&o, 1);
}

/* In a mount namespace with a /dev/shm of 1 MiB; 77 when the system does not allow one. */
static int create_in_small_shm(void)
{
    struct node_owner o;
    struct err e = {0};

    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", "/dev/shm", "tmpfs", 0, "size=1m") != 0)
        return 77;
    int rc = node_create(&o, instance, BOOT, &e);
    if (rc != -ENOSPC || strstr(e.text, "/dev/shm has ") == NULL ||
        strstr(e.text, "needs ") == NULL)
        return 1;
    return exists(name) || exists(temporary) ? 2 : 0;
}

static void test_full_shm(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        _exit(create_in_small_shm());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
#define WITH_NAMES(test) cmocka_unit_test_setup_teardown(test, choose_names, remove_names)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        WITH_NAMES(test_create_and_attach),
        WITH_NAMES(test_alive_is_refused_dead_is_replaced),
        WITH_NAMES(test_child_does_not_hold_the_lock),
        WITH_NAMES(test_leftover_of_a_killed_creator),
        WITH_NAMES(test_creators_race),
        WITH_NAMES(test_creator_loses_its_file),
        WITH_NAMES(test_share_with_group),
        WITH_NAMES(test_map_refuses),
        WITH_NAMES(test_attach_another_version),
        WITH_NAMES(test_full_shm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a child is born with; the shell of the system plays the child. */
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char *const envp[] = {(char *)(uintptr_t) "A=b", NULL};

static int run(const char *script, const int *fds, int n)
{
    char *argv[] = {(char *)(uintptr_t) "name", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script,
                    NULL};
    struct spawn s = {.path = "/bin/sh", .argv = argv, .envp = envp, .n_fds = n};
    struct err e = {0};
    pid_t pid;
    int pidfd, status;

    for (int i = 0; i < n; i++)
        s.fds[i] = fds[i];
    assert_int_equal(spawn_process(&s, &pid, &pidfd, &e), 0);
    struct pollfd p = {pidfd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(pidfd);
    return status;
}

/* The descriptors of the shell are 0 to 2 and ours; ls itself needs one more for the folder. */
static void only_the_listed_descriptors(void **state)
{
    (void)state;
    int a[2], stray = open("/dev/zero", O_RDONLY); /* without close-on-exec */
    char got[64] = {0};

    assert_int_equal(pipe(a), 0);
    assert_true(stray > 2);
    /* Crossed on purpose: 3 <- the later descriptor, 4 <- the earlier one. */
    int fds[] = {a[1], a[0]};
    int status = run("test -p /proc/self/fd/3 && test -p /proc/self/fd/4 && echo yes >&3;"
                     "for f in /proc/$$/fd/*; do echo ${f##*/} >&3; done",
                     fds, 2);
    assert_int_equal(status, 0);
    assert_true(read(a[0], got, sizeof got - 1) > 0);
    /* 10 and above are the shell's own. */
    assert_non_null(strstr(got, "yes\n0\n1\n2\n3\n4\n"));
    char other[16];
    snprintf(other, sizeof other, "\n%d\n", stray);
    if (stray < 10)
        assert_null(strstr(got + strlen("yes\n0\n1\n2\n3\n4"), other));
    close(a[0]);
    close(a[1]);
    close(stray);
}

static void standard_input_is_empty(void **state)
{
    (void)state;
    assert_int_equal(
        run("test \"$(readlink /proc/self/fd/0)\" = /dev/null && ! read line", NULL, 0), 0);
}

static void signals_are_as_new(void **state)
{
    (void)state;
    sigset_t set, old;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    sigaction(SIGUSR2, &ignore, &before);
    /* SIGHUP (1) and SIGINT (2) alone are ignored, nothing is blocked. */
    assert_int_equal(run("grep -q 'SigBlk:.0000000000000000' /proc/self/status &&"
                         "grep -q 'SigIgn:.0000000000000003' /proc/self/status",
                         NULL, 0),
                     0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    sigaction(SIGUSR2, &before, NULL);
}

static void the_environment_is_the_given_one(void **state)
{
    (void)state;
    assert_int_equal(run("test \"$A\" = b && test -z \"$HOME\"", NULL, 0), 0);
}

static void a_missing_program_is_permanent(void **state)
{
    (void)state;
    char *argv[] = {(char *)(uintptr_t) "x", NULL};
    struct spawn s = {.path = "/nonexistent/program", .argv = argv, .envp = envp};
    struct err e = {0};
    pid_t pid;
    int pidfd, status;

    assert_int_equal(spawn_process(&s, &pid, &pidfd, &e), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), EXIT_PERMANENT);
    close(pidfd);
}

static void it_dies_with_its_parent(void **state)
{
    (void)state;
    int life[2]; /* end of file when the last process that has the other end is gone */
    char byte;

    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        char *argv[] = {(char *)(uintptr_t) "x", (char *)(uintptr_t) "-c",
                        (char *)(uintptr_t) "echo >&3; read line <&3", NULL};
        struct spawn s = {
            .path = "/bin/sh", .argv = argv, .envp = envp, .fds = {life[1]}, .n_fds = 1};
        pid_t pid;
        int pidfd;
        if (spawn_process(&s, &pid, &pidfd, NULL) == 0)
            pause();
        _exit(1);
    }
    close(life[1]);
    assert_int_equal(read(life[0], &byte, 1), 1); /* the grandchild runs */
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    struct pollfd p = {life[0], 0, 0};
    assert_int_equal(poll(&p, 1, 10000), 1); /* POLLHUP: nobody has the other end */
    assert_true((p.revents & POLLHUP) != 0);
    close(life[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_listed_descriptors),
        cmocka_unit_test(standard_input_is_empty),
        cmocka_unit_test(signals_are_as_new),
        cmocka_unit_test(the_environment_is_the_given_one),
        cmocka_unit_test(a_missing_program_is_permanent),
        cmocka_unit_test(it_dies_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

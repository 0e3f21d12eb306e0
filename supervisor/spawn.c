#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD_FIRST 3
#define FD_ASIDE (FD_FIRST + SPAWN_FDS_MAX) /* no dup2 overwrites a source */

/* Between fork and exec: async-signal-safe calls only. */

_Noreturn static void fail_child(const char *what, const char *path, int code)
{
    static const char parts[] = "cortex: child: ";
    const char *reason = strerrordesc_np(code);
    int is_permanent = code == ENOENT || code == EACCES || code == ENOEXEC || code == EPERM;

    ssize_t n = write(STDERR_FILENO, parts, sizeof parts - 1);
    n += write(STDERR_FILENO, what, strlen(what));
    n += write(STDERR_FILENO, " ", 1);
    n += write(STDERR_FILENO, path, strlen(path));
    n += write(STDERR_FILENO, ": ", 2);
    n += write(STDERR_FILENO, reason, strlen(reason));
    n += write(STDERR_FILENO, "\n", 1);
    (void)n;
    _exit(is_permanent ? EXIT_PERMANENT : EXIT_TEMPORARY);
}

static int place_fds(const struct spawn *s)
{
    int aside[SPAWN_FDS_MAX];
    int null = open("/dev/null", O_RDWR);

    if (null < 0)
        return errno;
    for (int i = 0; i < s->n_fds; i++) {
        aside[i] = fcntl(s->fds[i], F_DUPFD, FD_ASIDE);
        if (aside[i] < 0)
            return errno;
    }
    if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return errno;
    for (int i = 0; i < s->n_fds; i++)
        if (dup2(aside[i], FD_FIRST + i) < 0)
            return errno;
    return close_range((unsigned)(FD_FIRST + s->n_fds), ~0u, 0) != 0 ? errno : 0;
}

static void reset_signals(void)
{
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &act, NULL);
    act.sa_handler = SIG_IGN;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void become(const struct spawn *s, pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        fail_child("prctl", s->path, errno);
    if (getppid() != parent)
        _exit(EXIT_TEMPORARY); /* it died before the line above */
    int code = place_fds(s);
    if (code != 0)
        fail_child("descriptors of", s->path, code);
    reset_signals();
    execve(s->path, s->argv, s->envp);
    fail_child("exec", s->path, errno);
}

int spawn_process(const struct spawn *s, pid_t *pid, int *pidfd, struct err *e)
{
    pid_t parent = getpid();

    *pidfd = -1;
    *pid = fork();
    if (*pid < 0) {
        *pid = 0;
        return err_set(e, errno, "fork for %s: %s", s->path, strerror(errno));
    }
    if (*pid == 0)
        become(s, parent);
    /* It is ours and not reaped, so the number cannot belong to anybody else. */
    *pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
    if (*pidfd >= 0)
        return 0;
    int rc = err_set(e, errno, "pidfd_open for %s: %s", s->path, strerror(errno));
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = 0;
    return rc;
}

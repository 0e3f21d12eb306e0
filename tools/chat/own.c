#include "tools/chat/own.h"

#include "base/fd.h"
#include "tools/chat/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 50 /* how often we look at the node's segment */
#define LOG_MAX (1u << 20)

extern char **environ;

void own_init(struct own *o)
{
    *o = (struct own){.pidfd = -1, .log_fd = -1};
}

/* ---- starting ---- */

/* Between fork and exec; this process has one thread. */

/* What configures the user's node is not for ours. */
static void set_environment(const char *instance)
{
    static const char *const foreign[] = {"CORTEX_INSTANCE__", "CORTEX_GATEWAY__"};

    for (char **v = environ; *v != NULL;) {
        bool is_foreign = false;
        for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
            is_foreign |= strncmp(*v, foreign[i], strlen(foreign[i])) == 0;
        char *equals = strchr(*v, '=');
        if (!is_foreign || equals == NULL) {
            v++;
            continue;
        }
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)(equals - *v), *v);
        unsetenv(name); /* the next one moves here */
    }
    setenv("CORTEX_INSTANCE__NAME", instance, 1);
    setenv("CORTEX_INSTANCE__LOG_FORMAT", "text", 1);
    setenv("CORTEX_INSTANCE__LOG_LEVEL", "error", 1);
    setenv("CORTEX_GATEWAY__METRICS_LISTEN", "", 1);
}

_Noreturn static void become_node(const struct own *o, const char *program, const char *model,
                                  pid_t parent)
{
    const char *argv[] = {"cortex", "serve", "--model", model, "--listen", "127.0.0.1:0", NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
        _exit(EXIT_TEMPORARY);
    setpgid(0, 0); /* Ctrl-C is for us */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    set_environment(o->instance);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(o->log_fd, STDERR_FILENO) < 0)
        _exit(EXIT_TEMPORARY);
    execv(program, (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "exec %s: %s\n", program, strerror(errno));
    _exit(EXIT_PERMANENT);
}

/* The program beside this one. */
static int find_cortex(char path[PATH_MAX], struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 16);

    if (n < 0)
        return err_set(e, errno, "readlink /proc/self/exe: %s", strerror(errno));
    path[n] = '\0';
    strcpy(strrchr(path, '/'), "/cortex");
    return 0;
}

int own_start(struct own *o, const char *dir, struct err *e)
{
    char program[PATH_MAX], model[PATH_MAX + 2];
    pid_t parent = getpid();
    int rc = find_cortex(program, e);

    if (rc != 0)
        return rc;
    /* With a '=' in it, it would be NAME=DIR. */
    snprintf(model, sizeof model, "%s%s", strchr(dir, '=') != NULL && dir[0] != '/' ? "./" : "",
             dir);
    snprintf(o->instance, sizeof o->instance, "run-%d", (int)parent);
    o->log_fd = memfd_create("cortex-log", MFD_CLOEXEC);
    if (o->log_fd < 0)
        return err_set(e, errno, "memfd_create: %s", strerror(errno));
    o->pid = fork();
    if (o->pid < 0) {
        o->pid = 0;
        return err_set(e, errno, "fork: %s", strerror(errno));
    }
    if (o->pid == 0)
        become_node(o, program, model, parent);
    o->pidfd = (int)syscall(SYS_pidfd_open, o->pid, 0);
    return o->pidfd >= 0 ? 0 : err_set(e, errno, "pidfd_open: %s", strerror(errno));
}

/* ---- waiting ---- */

/* It is gone: why, as far as it said. */
static int describe_death(struct own *o, struct err *e)
{
    struct buf log = {0};
    int status = 0;

    waitpid(o->pid, &status, 0);
    o->pid = 0;
    if (fd_read_all(o->log_fd, &log, LOG_MAX, NULL) != 0)
        buf_clear(&log);
    char *text = buf_text(&log);
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    const char *line = strrchr(text, '\n');
    line = line != NULL ? line + 1 : text;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_PERMANENT && line[0] != '\0')
        err_set(e, ECANCELED, "%s", strncmp(line, "cortex: ", 8) == 0 ? line + 8 : line);
    else
        err_set(e, ECHILD, "the node of our own ended%s%s", line[0] != '\0' ? ": " : "", line);
    buf_free(&log);
    return -e->code;
}

static void show_progress(const struct own *o, const char *model)
{
    struct worker_record w;
    char text[256];

    if (seqlock_copy(&o->node->worker[0], &w) != 0)
        return;
    if (w.phase != PHASE_LOADING || w.load_bytes_total == 0)
        snprintf(text, sizeof text, "loading %.127s", model);
    else
        snprintf(text, sizeof text, "loading %.127s  %.2f of %.2f GB  %.0f %%  %.2f GB/s", model,
                 (double)w.load_bytes / 1e9, (double)w.load_bytes_total / 1e9,
                 100.0 * (double)w.load_bytes / (double)w.load_bytes_total,
                 w.load_ns > 0 ? (double)w.load_bytes / (double)w.load_ns : 0.0);
    screen_progress(text);
}

/* 1 when we see its segment, 0 when it has not made one yet, -errno with the sentence. */
static int attach(struct own *o, struct err *e)
{
    if (o->node != NULL)
        return 1;
    int rc = node_attach(&o->node, &o->size, o->instance, e);
    if (rc == -ENOENT)
        return 0;
    if (rc != 0)
        return rc;
    if (o->node->header.owner_pid == (int32_t)o->pid)
        return 1;
    node_detach(o->node, o->size); /* left by somebody who had our number before us */
    o->node = NULL;
    return 0;
}

/* 1 when the model is ready, 0 when it is not yet, -ECANCELED with the reason. */
static int look(struct own *o, struct err *e)
{
    struct gateway_record gateway;
    struct model_record model;
    struct process_record router;
    int rc = attach(o, e);

    if (rc <= 0)
        return rc;
    if (seqlock_copy(&o->node->gateway, &gateway) != 0 ||
        seqlock_copy(&o->node->model[0], &model) != 0 ||
        seqlock_copy(&o->node->process[SHM_PROC_ROUTER], &router) != 0 || model.name[0] == '\0')
        return 0;
    if (model.state == MODEL_FAILED)
        return err_set(e, ECANCELED, "%.127s: %.239s", model.name, model.reason);
    if (model.state != MODEL_READY || router.state != CHILD_READY) {
        show_progress(o, model.name);
        return 0;
    }
    snprintf(o->model, sizeof o->model, "%.127s", model.name);
    snprintf(o->listen, sizeof o->listen, "%.79s", gateway.listen);
    return 1;
}

int own_wait(struct own *o, int interrupt_fd, struct err *e)
{
    struct pollfd p[] = {{o->pidfd, POLLIN, 0}, {interrupt_fd, POLLIN, 0}};
    int rc;

    while ((rc = look(o, e)) == 0) {
        if (poll(p, 2, LOOK_MS) < 0 && errno != EINTR)
            rc = err_set(e, errno, "poll: %s", strerror(errno));
        else if (p[0].revents != 0)
            rc = describe_death(o, e);
        else if (p[1].revents != 0)
            rc = -EINTR;
        if (rc != 0)
            break;
    }
    screen_progress("");
    return rc > 0 ? 0 : rc;
}

/* ---- ending ---- */

/* 1 when it has ended, 0 when the user is impatient. */
static int await_end(const struct own *o, int interrupt_fd)
{
    struct pollfd p[] = {{o->pidfd, POLLIN, 0}, {interrupt_fd, POLLIN, 0}};

    while (poll(p, 2, -1) < 0)
        ; /* EINTR */
    return p[0].revents != 0;
}

void own_end(struct own *o, int interrupt_fd)
{
    if (o->pid != 0) {
        kill(o->pid, SIGTERM);
        if (o->pidfd >= 0 && !await_end(o, interrupt_fd))
            kill(o->pid, SIGTERM); /* a second one cuts everything short */
        waitpid(o->pid, NULL, 0);
    }
    if (o->node != NULL)
        node_detach(o->node, o->size);
    if (o->pidfd >= 0)
        close(o->pidfd);
    if (o->log_fd >= 0)
        close(o->log_fd);
    own_init(o);
}

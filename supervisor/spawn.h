/* fork and exec of a child with nothing inherited by accident. */
#ifndef SUPERVISOR_SPAWN_H
#define SUPERVISOR_SPAWN_H

#include "base/err.h"

#include <sys/types.h>

#define SPAWN_FDS_MAX 8

struct spawn {
    const char *path;
    char *const *argv;
    char *const *envp;
    int fds[SPAWN_FDS_MAX]; /* become 3, 4, … in the child, all others but stderr are closed */
    int n_fds;
};

/* The child: stdin and stdout are /dev/null, stderr is ours, default signals and an empty mask
 * (SIGINT and SIGHUP of the terminal stay ignored: they are for the supervisor), SIGKILL when this
 * process dies. An exec that fails shows as exit code EXIT_PERMANENT or EXIT_TEMPORARY with a line
 * on stderr. Must be called from the main thread (PDEATHSIG is about the thread).
 * 0, *pid and *pidfd (close-on-exec, the caller's), or -errno with the sentence. */
int spawn_process(const struct spawn *s, pid_t *pid, int *pidfd, struct err *e);

#endif

#include "supervisor/death.h"

#include "base/clock.h"
#include "base/err.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum exit_class death_classify(int status, bool was_asked, enum exit_class killed_as)
{
    if (killed_as != EXIT_CLASS_NONE)
        return killed_as;
    if (was_asked)
        return EXIT_CLASS_CLEAN;
    if (WIFSIGNALED(status)) {
        int sig = WTERMSIG(status);
        return sig == SIGKILL || sig == SIGTERM ? EXIT_CLASS_KILLED : EXIT_CLASS_FAULT;
    }
    switch (WEXITSTATUS(status)) {
    case EXIT_OK:
        return EXIT_CLASS_CLEAN;
    case EXIT_PERMANENT:
        return EXIT_CLASS_PERMANENT;
    case EXIT_TEMPORARY:
        return EXIT_CLASS_TEMPORARY;
    default:
        return EXIT_CLASS_FAULT;
    }
}

const char *death_how(int status, char *buf, size_t size)
{
    if (!WIFSIGNALED(status)) {
        snprintf(buf, size, "exit code %d", WEXITSTATUS(status));
        return buf;
    }
    const char *name = sigabbrev_np(WTERMSIG(status));
    if (name != NULL)
        snprintf(buf, size, "killed by SIG%s%s", name, WCOREDUMP(status) ? " (core dumped)" : "");
    else
        snprintf(buf, size, "killed by signal %d", WTERMSIG(status));
    return buf;
}

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

__attribute__((format(printf, 4, 5))) static void append(char *buf, size_t size, size_t *at,
                                                         const char *fmt, ...)
{
    va_list ap;
    if (*at >= size)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(buf + *at, size - *at, fmt, ap);
    va_end(ap);
    *at += n > 0 ? (size_t)n : 0;
}

void death_describe(const struct death *d, int slot, const char *words, const char *panic,
                    char *buf, size_t size)
{
    char how[64];
    size_t at = 0;

    append(buf, size, &at, "pid %d", (int)d->pid);
    if (slot >= 0)
        append(buf, size, &at, " (slot %d)", slot);
    append(buf, size, &at, ": %s, class %s, after %.3f s", death_how(d->status, how, sizeof how),
           exit_class_name(d->exit_class), seconds(d->up_ns));
    if (d->was_ready)
        append(buf, size, &at, ", ready for %.3f s", seconds(d->ready_ns));
    else
        append(buf, size, &at, ", never ready");
    if (words[0] != '\0')
        append(buf, size, &at, "; %s", words);
    if (panic[0] != '\0')
        append(buf, size, &at, "; %s", panic);
    for (char *p = buf; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

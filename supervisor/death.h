/* What a child died of, as a class and as words. */
#ifndef SUPERVISOR_DEATH_H
#define SUPERVISOR_DEATH_H

#include "shm/states.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct death {
    enum exit_class exit_class;
    int status; /* as waitpid gives it */
    pid_t pid;
    bool was_asked; /* told to stop, or killed after that */
    bool was_ready;
    uint64_t up_ns;    /* from fork to reaping */
    uint64_t ready_ns; /* of these, ready */
};

/* killed_as: why we sent SIGKILL (HUNG, VIOLATION), else EXIT_CLASS_NONE. */
enum exit_class death_classify(int status, bool was_asked, enum exit_class killed_as);

/* "killed by SIGSEGV (core dumped)", "exit code 70". Returns buf. */
const char *death_how(int status, char *buf, size_t size);

/* The whole line but the name and what follows:
 * "pid 42 (slot 0): killed by SIGKILL, class killed, after 3.210 s, ready for 3.100 s; words".
 * slot < 0 = no slot. words (why we killed it, what it refused) and panic may be empty. Control
 * bytes in what the child said come out as '?'. */
void death_describe(const struct death *d, int slot, const char *words, const char *panic,
                    char *buf, size_t size);

#endif

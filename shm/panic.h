/* Last words: CHECK failures and fatal signals leave file, line, condition and a backtrace in the
 * process's panic slot, for the obituary line and cortexctl. */
#ifndef SHM_PANIC_H
#define SHM_PANIC_H

#include "shm/layout.h"

/* Route CHECK and SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT of this process into the slot. Uses an
 * alternate signal stack; after recording, the default action ends the process with that signal. */
void panic_install(struct shm_panic *slot);

/* Supervisor: one line about a filled slot, "" when it is empty. Bounded whatever the content. */
void panic_describe(const struct shm_panic *slot, int32_t pid, char *text, size_t size);
void panic_clear(struct shm_panic *slot);

#endif

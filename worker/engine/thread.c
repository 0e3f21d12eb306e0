#include "worker/engine/thread.h"

#include "base/check.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Raised by what a thread does itself: they must reach the recorder of last words (shm/panic.h). */
static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg,
                 struct err *e)
{
    sigset_t all, before;

    sigfillset(&all);
    for (size_t i = 0; i < sizeof own_faults / sizeof own_faults[0]; i++)
        sigdelset(&all, own_faults[i]);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    int rc = pthread_create(thread, NULL, run, arg);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    if (rc != 0)
        return err_set(e, rc, "thread %s: %s", name, strerror(rc));
    pthread_setname_np(*thread, name);
    return 0;
}

void thread_wake(int event_fd)
{
    uint64_t one = 1;

    /* EAGAIN: it is readable to the brim */
    if (write(event_fd, &one, sizeof one) < 0)
        CHECK(errno == EAGAIN || errno == EINTR);
}

#include "worker/model/weights_touch.h"

#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STEP ((uint64_t)16 << 20)
#define PAGE ((uintptr_t)4096)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct weights_touch {
    char *from;
    uint64_t bytes;
    _Atomic uint64_t next; /* the end of what is taken; added to by every thread */
    int32_t n;             /* started */
    pthread_t threads[];
};

/* Until there is nothing left, or the kernel cannot (Linux before 5.14) or will not: whoever fills
 * the memory touches the rest. */
static void *touch_pages(void *arg)
{
    struct weights_touch *t = arg;

    for (;;) {
        uint64_t at = atomic_fetch_add_explicit(&t->next, STEP, memory_order_relaxed);
        if (at >= t->bytes)
            return NULL;
        uint64_t len = t->bytes - at < STEP ? t->bytes - at : STEP;
        if (madvise(t->from + at, len, MADV_POPULATE_WRITE) != 0)
            return NULL;
    }
}

int weights_touch_start(struct weights_touch **out, void *from, uint64_t bytes, int32_t n,
                        struct err *e)
{
    uintptr_t skip = (PAGE - (uintptr_t)from % PAGE) % PAGE;
    struct weights_touch *t = calloc(1, sizeof *t + (size_t)n * sizeof t->threads[0]);
    sigset_t all, before;
    int rc = 0;

    CHECK(t != NULL);
    CHECK(n >= 1);
    *out = NULL;
    t->from = (char *)from + skip;
    t->bytes = bytes > skip ? (bytes - skip) / PAGE * PAGE : 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (rc == 0 && t->n < n) {
        rc = pthread_create(&t->threads[t->n], NULL, touch_pages, t);
        t->n += rc == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        weights_touch_stop(&t);
        return err_set(e, rc, "weights: start %d threads: %s", n, strerror(rc));
    }
    *out = t;
    return 0;
}

void weights_touch_stop(struct weights_touch **t)
{
    if (*t == NULL)
        return;
    atomic_store_explicit(&(*t)->next, (*t)->bytes, memory_order_relaxed);
    for (int32_t i = 0; i < (*t)->n; i++)
        pthread_join((*t)->threads[i], NULL);
    free(*t);
    *t = NULL;
}

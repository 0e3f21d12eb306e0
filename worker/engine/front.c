#include "worker/engine/front.h"

#include "base/check.h"
#include "worker/engine/thread.h"

static struct sequence *take_next(struct front *f)
{
    struct sequence *s = NULL;

    pthread_mutex_lock(&f->lock);
    while (!f->is_stopping && (s = STAILQ_FIRST(&f->queue)) == NULL)
        pthread_cond_wait(&f->changed, &f->lock);
    if (s != NULL)
        STAILQ_REMOVE_HEAD(&f->queue, queued);
    pthread_mutex_unlock(&f->lock);
    return s;
}

static void *run(void *arg)
{
    struct front *f = arg;
    struct sequence *s;

    while ((s = take_next(f)) != NULL) {
        if (!atomic_load_explicit(&s->is_cancelled, memory_order_relaxed))
            prompt_make(f->language, &s->params, &s->prompt);
        params_free(&s->params);
        /* release: what was made, for the loop's acquire */
        atomic_store_explicit(&s->has_text, true, memory_order_release);
        thread_wake(f->wake_fd);
    }
    return NULL;
}

int front_start(struct front *f, const struct language *language, int wake_fd, struct err *e)
{
    *f = (struct front){.language = language, .wake_fd = wake_fd};
    STAILQ_INIT(&f->queue);
    CHECK(pthread_mutex_init(&f->lock, NULL) == 0);
    CHECK(pthread_cond_init(&f->changed, NULL) == 0);
    int rc = thread_start(&f->thread, "cortex-front", run, f, e);
    f->is_started = rc == 0;
    return rc;
}

void front_give(struct front *f, struct sequence *s)
{
    pthread_mutex_lock(&f->lock);
    STAILQ_INSERT_TAIL(&f->queue, s, queued);
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

void front_stop(struct front *f)
{
    if (!f->is_started)
        return;
    pthread_mutex_lock(&f->lock);
    f->is_stopping = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    f->is_started = false;
}

#include "router/deadline.h"

#include <stddef.h>

void deadline_queue_init(struct deadline_queue *q, uint64_t interval_ns,
                         void (*expire)(void *owner, uint64_t now_ns))
{
    TAILQ_INIT(&q->list);
    q->interval_ns = interval_ns;
    q->expire = expire;
}

void deadline_arm(struct deadline_queue *q, struct deadline *d, void *owner, uint64_t now_ns)
{
    deadline_disarm(q, d);
    d->at_ns = now_ns + q->interval_ns;
    d->owner = owner;
    /* Normally the last; earlier ones may be later when a reload shortened the interval. */
    struct deadline *before = TAILQ_LAST(&q->list, deadline_list);
    while (before != NULL && before->at_ns > d->at_ns)
        before = TAILQ_PREV(before, deadline_list, entry);
    if (before == NULL)
        TAILQ_INSERT_HEAD(&q->list, d, entry);
    else
        TAILQ_INSERT_AFTER(&q->list, before, d, entry);
}

void deadline_disarm(struct deadline_queue *q, struct deadline *d)
{
    if (d->at_ns == 0)
        return;
    TAILQ_REMOVE(&q->list, d, entry);
    d->at_ns = 0;
}

void deadline_queue_run(struct deadline_queue *q, uint64_t now_ns)
{
    struct deadline *d;

    while ((d = TAILQ_FIRST(&q->list)) != NULL && d->at_ns <= now_ns) {
        deadline_disarm(q, d);
        q->expire(d->owner, now_ns);
    }
}

/* Deadlines of equal length in a queue: arming is O(1), the due ones are at the front. One queue
 * per timeout of the configuration; router/main.c expires them all every TICK_MS. */
#ifndef ROUTER_DEADLINE_H
#define ROUTER_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define TICK_MS 50

struct deadline {
    TAILQ_ENTRY(deadline) entry;
    uint64_t at_ns; /* 0 = not armed */
    void *owner;    /* borrowed */
};

TAILQ_HEAD(deadline_list, deadline);

struct deadline_queue {
    struct deadline_list list; /* sorted by at_ns: the interval is the same for all */
    uint64_t interval_ns;
    void (*expire)(void *owner, uint64_t now_ns); /* the deadline is disarmed already */
};

void deadline_queue_init(struct deadline_queue *q, uint64_t interval_ns,
                         void (*expire)(void *owner, uint64_t now_ns));

/* Due one interval after now; an armed one moves. */
void deadline_arm(struct deadline_queue *q, struct deadline *d, void *owner, uint64_t now_ns);
void deadline_disarm(struct deadline_queue *q, struct deadline *d);

static inline bool deadline_is_armed(const struct deadline *d)
{
    return d->at_ns != 0;
}

/* Expire everything due. */
void deadline_queue_run(struct deadline_queue *q, uint64_t now_ns);

#endif

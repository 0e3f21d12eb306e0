/* Both ends of a link in one process, over the real memfds and pipes. */
#ifndef TESTS_UNIT_LINK_PAIR_H
#define TESTS_UNIT_LINK_PAIR_H

#include "base/check.h"
#include "shm/link.h"

#include <unistd.h>

struct link_pair {
    struct link_fds fds;
    struct ring router, worker;
};

static inline void pair_open(struct link_pair *p, uint64_t epoch, uint32_t capacity)
{
    struct err e;

    *p = (struct link_pair){0};
    CHECK(link_fds_create(&p->fds, epoch, capacity, &e) == 0);
    CHECK(ring_map_own(&p->router, p->fds.memory[R2W], R2W, epoch, &e) == 0);
    CHECK(ring_map_own(&p->worker, p->fds.memory[W2R], W2R, epoch, &e) == 0);
    CHECK(link_fds_seal(&p->fds, &e) == 0);
    CHECK(ring_map_peer(&p->router, p->fds.memory[W2R], &e) == 0);
    CHECK(ring_map_peer(&p->worker, p->fds.memory[R2W], &e) == 0);
    p->router.wake_fd = dup(p->fds.router_wake[0]);
    p->router.wake_peer_fd = dup(p->fds.worker_wake[1]);
    p->worker.wake_fd = dup(p->fds.worker_wake[0]);
    p->worker.wake_peer_fd = dup(p->fds.router_wake[1]);
}

static inline void pair_close(struct link_pair *p)
{
    ring_unmap(&p->router);
    ring_unmap(&p->worker);
    link_fds_close(&p->fds);
}

#endif

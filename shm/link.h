/* Everything the supervisor makes for one link: two rings' memory and two wake-up channels. */
#ifndef SHM_LINK_H
#define SHM_LINK_H

#include "shm/ring.h"

/* Who gets what: the router maps memory[R2W] writable, reads memory[W2R], sleeps on router_wake and
 * writes worker_wake; the worker the other way round. All close-on-exec and owned. */
struct link_fds {
    int memory[2]; /* by enum ring_direction */
    int router_wake;
    int worker_wake;
};

/* 0 or -errno with the sentence, then nothing is left open. */
int link_fds_create(struct link_fds *l, uint64_t epoch, uint32_t capacity, struct err *e);

/* Both writers have mapped their direction: nobody else ever maps it writable. */
int link_fds_seal(struct link_fds *l, struct err *e);

/* Close what is open; the processes keep what was sent to them. */
void link_fds_close(struct link_fds *l);

#endif

/* Everything the supervisor makes for one link: two rings' memory and two wake-up channels. */
#ifndef SHM_LINK_H
#define SHM_LINK_H

#include "shm/ring.h"

/* Who gets what: the router maps memory[R2W] writable, reads memory[W2R], sleeps on router_wake[0] and
 * writes worker_wake[1]; the worker the other way round. Pipes, because their ends have file status
 * flags of their own: an eventfd is shared, and a peer that cleared O_NONBLOCK on it could make the
 * other side's write block. The supervisor keeps all ends until the link is down, so that neither
 * side can make the other's read end an endless end of file. All close-on-exec and owned. */
struct link_fds {
    int memory[2]; /* by enum ring_direction */
    int router_wake[2]; /* [0] is read by who sleeps, [1] written by who wakes */
    int worker_wake[2];
};

#define LINK_FDS_NONE {.memory = {-1, -1}, .router_wake = {-1, -1}, .worker_wake = {-1, -1}}

/* 0 or -errno with the sentence, then nothing is left open. */
int link_fds_create(struct link_fds *l, uint64_t epoch, uint32_t capacity, struct err *e);

/* Both writers have mapped their direction: nobody else ever maps it writable. */
int link_fds_seal(struct link_fds *l, struct err *e);

/* Both sides have their copies: only the wake-up ends stay. */
void link_fds_close_memory(struct link_fds *l);

/* Close what is open; the processes keep what was sent to them. */
void link_fds_close(struct link_fds *l);

#endif

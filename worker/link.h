/* The worker's end of a link to a router: mapped in two steps as shm/control.h tells, dropped when
 * the router is gone. Another link follows then, with an epoch of its own. */
#ifndef WORKER_LINK_H
#define WORKER_LINK_H

#include "shm/control.h"
#include "shm/ring.h"

enum link_state {
    LINK_NONE,
    LINK_HALF, /* our direction is mapped and the supervisor told so */
    LINK_UP,
};

struct link {
    struct ring ring;
    enum link_state state;
};

void link_init(struct link *l);

/* The supervisor's messages. 0 or -errno with the sentence: the worker cannot go on then. The fds
 * stay the caller's; those that are kept are taken out of the array. */
int link_write(struct link *l, int control, const struct control_msg *msg, int fds[CONTROL_FDS],
               struct err *e);
int link_read(struct link *l, const struct control_msg *msg, int fds[CONTROL_FDS], struct err *e);

/* Unmap, whatever the state. */
void link_drop(struct link *l);

#endif

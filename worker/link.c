#include "worker/link.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

void link_init(struct link *l)
{
    *l = (struct link){.ring = {.wake_fd = -1, .wake_peer_fd = -1}};
}

static int expect_state(const struct link *l, enum link_state state, const struct control_msg *msg,
                        struct err *e)
{
    if (l->state != state)
        return err_set(e, EPROTO, "%s of link %" PRIu64 ": in state %d, expected %d",
                       control_type_name(msg->type), msg->epoch, (int)l->state, (int)state);
    if (state == LINK_HALF && msg->epoch != l->ring.epoch)
        return err_set(e, EPROTO, "%s: link %" PRIu64 ", expected %" PRIu64,
                       control_type_name(msg->type), msg->epoch, l->ring.epoch);
    return 0;
}

int link_write(struct link *l, int control, const struct control_msg *msg, int fds[CONTROL_FDS],
               struct err *e)
{
    struct control_msg mapped = {
        .type = CONTROL_LINK_MAPPED, .slot = msg->slot, .epoch = msg->epoch};

    int rc = expect_state(l, LINK_NONE, msg, e);
    if (rc == 0)
        rc = ring_map_own(&l->ring, fds[0], W2R, msg->epoch, e);
    if (rc != 0)
        return rc;
    l->state = LINK_HALF;
    rc = control_send(control, &mapped, NULL, 0);
    return rc == 0 ? 0 : err_set(e, -rc, "send mapped: %s", strerror(-rc));
}

int link_read(struct link *l, const struct control_msg *msg, int fds[CONTROL_FDS], struct err *e)
{
    int rc = expect_state(l, LINK_HALF, msg, e);

    if (rc == 0 && (fds[1] < 0 || fds[2] < 0))
        rc = err_set(e, EPROTO, "link-read of link %" PRIu64 ": without its pipe ends", msg->epoch);
    if (rc == 0)
        rc = ring_map_peer(&l->ring, fds[0], e);
    if (rc != 0)
        return rc;
    l->ring.wake_fd = fds[1];
    l->ring.wake_peer_fd = fds[2];
    fds[1] = fds[2] = -1;
    l->state = LINK_UP;
    return 0;
}

void link_drop(struct link *l)
{
    ring_unmap(&l->ring);
    l->state = LINK_NONE;
}

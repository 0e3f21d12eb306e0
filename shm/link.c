#include "shm/link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int link_fds_create(struct link_fds *l, uint64_t epoch, uint32_t capacity, struct err *e)
{
    int rc = 0;

    *l = (struct link_fds)LINK_FDS_NONE;
    for (int dir = R2W; dir <= W2R && rc == 0; dir++) {
        l->memory[dir] = ring_memory_create((enum ring_direction)dir, epoch, capacity, e);
        rc = l->memory[dir] < 0 ? l->memory[dir] : 0;
    }
    if (rc == 0 && (pipe2(l->router_wake, O_CLOEXEC | O_NONBLOCK) != 0 ||
                    pipe2(l->worker_wake, O_CLOEXEC | O_NONBLOCK) != 0))
        rc = err_set(e, errno, "pipe for a link: %s", strerror(errno));
    if (rc != 0)
        link_fds_close(l);
    return rc;
}

int link_fds_seal(struct link_fds *l, struct err *e)
{
    int rc = ring_memory_seal(l->memory[R2W], e);

    return rc != 0 ? rc : ring_memory_seal(l->memory[W2R], e);
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void link_fds_close_memory(struct link_fds *l)
{
    close_one(&l->memory[R2W]);
    close_one(&l->memory[W2R]);
}

void link_fds_close(struct link_fds *l)
{
    link_fds_close_memory(l);
    for (int end = 0; end < 2; end++) {
        close_one(&l->router_wake[end]);
        close_one(&l->worker_wake[end]);
    }
}

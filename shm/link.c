#include "shm/link.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int link_fds_create(struct link_fds *l, uint64_t epoch, uint32_t capacity, struct err *e)
{
    int rc = 0;

    *l = (struct link_fds){.memory = {-1, -1}, .router_wake = -1, .worker_wake = -1};
    for (int dir = R2W; dir <= W2R && rc == 0; dir++) {
        l->memory[dir] = ring_memory_create((enum ring_direction)dir, epoch, capacity, e);
        rc = l->memory[dir] < 0 ? l->memory[dir] : 0;
    }
    if (rc == 0) {
        l->router_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        l->worker_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (l->router_wake < 0 || l->worker_wake < 0)
            rc = err_set(e, errno, "eventfd for a link: %s", strerror(errno));
    }
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

void link_fds_close(struct link_fds *l)
{
    close_one(&l->memory[R2W]);
    close_one(&l->memory[W2R]);
    close_one(&l->router_wake);
    close_one(&l->worker_wake);
}

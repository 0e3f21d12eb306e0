#include "shm/control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *control_type_name(uint32_t type)
{
#define X(constant, text) text,
    static const char *const names[] = { "none", CONTROL_TYPES(X) };
#undef X
    return type < CONTROL_TYPES_N ? names[type] : "?";
}

union control_anc {
    struct cmsghdr align;
    char space[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
};

int control_send(int sock, const struct control_msg *msg, const int *fds, int n)
{
    struct control_msg out = *msg;
    union control_anc anc = {0};
    struct iovec iov = {&out, sizeof out};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    out.magic = CONTROL_MAGIC;
    out.version = CONTROL_VERSION;
    if (n > 0) {
        mh.msg_control = anc.space;
        mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static void take_fds(struct msghdr *mh, int fds[CONTROL_FDS])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), (n < CONTROL_FDS ? n : CONTROL_FDS) * sizeof(int));
    }
}

/* End of file reads like an empty message; only the former has a peer that is gone. */
static int is_closed(int sock)
{
    struct pollfd p = {.fd = sock, .events = POLLRDHUP};

    return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

int control_recv(int sock, struct control_msg *msg, int fds[CONTROL_FDS], struct err *e)
{
    union control_anc anc = {0};
    struct iovec iov = {msg, sizeof *msg};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = anc.space,
                        .msg_controllen = sizeof anc.space};
    ssize_t got;

    for (int i = 0; i < CONTROL_FDS; i++)
        fds[i] = -1;
    /* ECONNRESET: the peer died without reading all; what it had sent before is still to come. */
    do
        got = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && (errno == EINTR || errno == ECONNRESET));
    if (got < 0)
        return -errno;
    take_fds(&mh, fds);
    if (got == 0 && fds[0] < 0 && is_closed(sock))
        return 0;
    if (got == (ssize_t)sizeof *msg && msg->magic == CONTROL_MAGIC &&
        msg->version == CONTROL_VERSION && msg->type > CONTROL_NONE &&
        msg->type < CONTROL_TYPES_N && (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) {
        msg->text[sizeof msg->text - 1] = '\0';
        return 1;
    }
    for (int i = 0; i < CONTROL_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return err_set(e, EPROTO, "control message: %zd bytes, expected %zu of version %d", got,
                   sizeof *msg, CONTROL_VERSION);
}

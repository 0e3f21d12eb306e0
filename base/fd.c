#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_PIECE 65536

int fd_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
        return -errno;
    return 0;
}

int fd_set_cloexec(int fd, int on)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags == -1)
        return -errno;
    flags = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
    return fcntl(fd, F_SETFD, flags) == -1 ? -errno : 0;
}

static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_sealed_text(const char *name, const char *text, size_t len, struct err *e)
{
    int rc;
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd == -1)
        return err_set(e, errno, "memfd_create %s: %s", name, strerror(errno));
    rc = write_all(fd, text, len);
    if (rc != 0) {
        rc = err_set(e, -rc, "write memfd %s (%zu bytes): %s", name, len, strerror(-rc));
        goto fail;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == -1) {
        rc = err_set(e, errno, "seal memfd %s: %s", name, strerror(errno));
        goto fail;
    }
    return fd;

fail:
    close(fd);
    return rc;
}

int fd_read_all(int fd, struct buf *out, size_t max, struct err *e)
{
    struct stat st;
    off_t at = 0; /* the file position is shared with whoever inherited the fd: not used */

    if (fstat(fd, &st) == -1)
        return err_set(e, errno, "fstat fd %d: %s", fd, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, EINVAL, "found no regular file, expected one");
    for (;;) {
        ssize_t n = pread(fd, buf_reserve(out, READ_PIECE), READ_PIECE, at);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return err_set(e, errno, "read: %s", strerror(errno));
        if (n == 0)
            break;
        at += n;
        if ((size_t)at > max)
            return err_set(e, EFBIG, "found more than %zu bytes", max);
        buf_commit(out, (size_t)n);
    }
    buf_text(out);
    return 0;
}

#include "worker/io/root.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_MAX   ((size_t)1 << 30) /* the kernel reads at most a little under 2 GiB at once */
#define BLOBS_LINK "../../blobs/"    /* from the snapshot; a folder deeper, one more ../ */

static int open_beneath(int dir_fd, const char *name, int flags)
{
    struct open_how how = {
        /* O_NONBLOCK: a FIFO must not hold the process before it is seen to be one. */
        .flags = (unsigned)(O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int tries = 0;
    long fd;

    do { /* EAGAIN: something was renamed meanwhile, the kernel could not prove "beneath" */
        fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
    } while (fd == -1 && (errno == EINTR || (errno == EAGAIN && ++tries < 100)));
    return fd == -1 ? -errno : (int)fd;
}

/* A hub cache is known by its shape: the directory above this one is the "snapshots" beside
 * "blobs". */
static int open_blobs(int dir_fd)
{
    struct stat above, snapshots;

    if (fstatat(dir_fd, "..", &above, 0) == -1 ||
        fstatat(dir_fd, "../../snapshots", &snapshots, AT_SYMLINK_NOFOLLOW) == -1)
        return -1;
    if (above.st_dev != snapshots.st_dev || above.st_ino != snapshots.st_ino)
        return -1;
    return openat(dir_fd, "../../blobs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int root_open(struct root *r, const char *path, struct err *e)
{
    *r = (struct root){.fd = -1, .blobs_fd = -1};
    snprintf(r->path, sizeof r->path, "%s", path);
    r->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->fd == -1)
        return err_set(e, errno, "open %s: %s, expected the directory of a model", path,
                       strerror(errno));
    r->blobs_fd = open_blobs(r->fd);
    return 0;
}

void root_close(struct root *r)
{
    if (r->fd != -1)
        close(r->fd);
    if (r->blobs_fd != -1)
        close(r->blobs_fd);
    r->fd = r->blobs_fd = -1;
}

/* Names come from a file too (the index of shards). */
static int check_name(const struct root *r, const char *name, struct err *e)
{
    size_t len = strlen(name);

    if (len == 0 || len > ROOT_NAME_MAX)
        return err_set(e, EINVAL, "open a file in %s: found a name of %zu bytes, expected 1 to %d",
                       r->path, len, ROOT_NAME_MAX);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f)
            return err_set(e, EINVAL,
                           "open a file in %s: found a name with control byte 0x%02x at %zu, "
                           "expected printable text",
                           r->path, c, i);
    }
    return 0;
}

/* What a hub cache's link at that place points to beneath its blobs; NULL: it is no such link. */
static const char *find_hash(const char *name, const char *target)
{
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '/' && strncmp(target, "../", 3) != 0)
            return NULL;
        target += *c == '/' ? 3 : 0;
    }
    if (strncmp(target, BLOBS_LINK, strlen(BLOBS_LINK)) != 0)
        return NULL;
    target += strlen(BLOBS_LINK);
    return *target == '\0' || *target == '.' || strchr(target, '/') != NULL ? NULL : target;
}

/* Follow a hub cache's link. The fd, or -ELOOP with the sentence. */
static int open_blob(const struct root *r, const char *name, int flags, struct err *e)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(r->fd, name, target, sizeof target - 1);

    if (n <= 0) /* not the last component: a folder on the way is a link */
        return err_set(e, ELOOP,
                       "open %s in %s: found a symbolic link on the way, expected folders", name,
                       r->path);
    target[n] = '\0';
    const char *hash = find_hash(name, target);
    if (r->blobs_fd == -1 || hash == NULL)
        return err_set(e, ELOOP,
                       "open %s in %s: found a symbolic link, expected a regular file or a hub "
                       "cache's link into its own " BLOBS_LINK "; copy the file",
                       name, r->path);
    int fd = open_beneath(r->blobs_fd, hash, flags);
    if (fd < 0)
        /* A dangling link is damage; -ENOENT is for a file that the model does not have. */
        return err_set(e, fd == -ENOENT ? ENOLINK : -fd, "open %s in %s, a link to %s: %s", name,
                       r->path, target, strerror(-fd));
    return fd;
}

static int explain_open(const struct root *r, const char *name, int code, struct err *e)
{
    if (code == EXDEV)
        return err_set(e, EXDEV,
                       "open %s in %s: leads out of the model's directory, expected a "
                       "file beneath it",
                       name, r->path);
    if (code == ENOSYS)
        return err_set(e, ENOSYS,
                       "open %s in %s: the kernel has no openat2, expected Linux 5.6 or "
                       "newer",
                       name, r->path);
    return err_set(e, code, "open %s in %s: %s", name, r->path, strerror(code));
}

static int open_name(const struct root *r, const char *name, int flags, struct err *e)
{
    int fd = open_beneath(r->fd, name, flags);

    if (fd == -ELOOP)
        return open_blob(r, name, flags, e);
    return fd < 0 ? explain_open(r, name, -fd, e) : fd;
}

static const char *mode_name(mode_t mode)
{
    return S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a pipe" : "a special file";
}

int root_open_file(const struct root *r, const char *name, struct root_file *f, struct err *e)
{
    struct stat st;

    *f = (struct root_file){.fd = -1};
    int rc = check_name(r, name, e);
    if (rc != 0)
        return rc;
    int fd = open_name(r, name, 0, e);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) == -1) {
        rc = err_set(e, errno, "fstat %s in %s: %s", name, r->path, strerror(errno));
        goto fail;
    }
    if (!S_ISREG(st.st_mode) || st.st_size < 0) {
        rc = err_set(e, EINVAL, "open %s in %s: found %s, expected a regular file", name, r->path,
                     mode_name(st.st_mode));
        goto fail;
    }
    *f = (struct root_file){
        .fd = fd,
        .size = (uint64_t)st.st_size,
        .dev = st.st_dev,
        .ino = st.st_ino,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
    return 0;

fail:
    close(fd);
    return rc;
}

int root_open_direct(const struct root *r, const char *name, const struct root_file *f,
                     struct err *e)
{
    struct stat st;
    int fd = open_name(r, name, O_DIRECT, e);

    if (fd == -EINVAL)
        return err_set(e, EOPNOTSUPP, "open %s in %s: its file system has no O_DIRECT", name,
                       r->path);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) == -1 || st.st_dev != f->dev || st.st_ino != f->ino) {
        close(fd);
        return err_set(e, ESTALE, "open %s in %s: found another file than before", name, r->path);
    }
    return fd;
}

void root_close_file(struct root_file *f)
{
    if (f->fd != -1)
        close(f->fd);
    f->fd = -1;
}

int root_read(const struct root_file *f, const char *name, uint64_t offset, void *to, size_t len,
              struct err *e)
{
    char *at = to;

    if (offset > f->size || len > f->size - offset)
        return err_set(e, EIO, "read %s: found %" PRIu64 " bytes, expected %zu at offset %" PRIu64,
                       name, f->size, len, offset);
    while (len > 0) {
        ssize_t n = pread(f->fd, at, len < READ_MAX ? len : READ_MAX, (off_t)offset);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return err_set(e, errno, "read %s at offset %" PRIu64 ": %s", name, offset,
                           strerror(errno));
        if (n == 0)
            return err_set(e, EIO,
                           "read %s: found its end at offset %" PRIu64 ", expected %" PRIu64
                           " bytes; it shrank while it was read",
                           name, offset, f->size);
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int root_read_all(const struct root *r, const char *name, size_t max, struct buf *out,
                  struct err *e)
{
    struct root_file f;
    int rc = root_open_file(r, name, &f, e);

    if (rc != 0)
        return rc;
    if (f.size > max) {
        rc = err_set(e, EFBIG, "read %s in %s: found %" PRIu64 " bytes, expected at most %zu", name,
                     r->path, f.size, max);
    } else {
        rc = root_read(&f, name, 0, buf_reserve(out, (size_t)f.size + 1), (size_t)f.size, e);
        if (rc == 0) {
            buf_commit(out, (size_t)f.size);
            buf_text(out);
        }
    }
    root_close_file(&f);
    return rc;
}

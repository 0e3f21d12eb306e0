#include "shm/node.h"

#include "base/clock.h"
#include "shm/describe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NODE_ATTEMPTS 100 /* creators that may get in each other's way before we give up */

int node_check_name(const char *instance, struct err *e)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(instance);

    if (len == 0 || len > 24 || strspn(instance, allowed) != len)
        return err_set(e, EINVAL,
                       "instance name \"%.40s\": expected 1 to 24 letters, digits, '.', '_', '-'",
                       instance);
    if (len >= 4 && strcmp(instance + len - 4, ".new") == 0)
        return err_set(e, EINVAL, "instance name \"%s\": names ending in \".new\" are reserved",
                       instance);
    return 0;
}

void node_fill(struct shm_node *node, const char *instance, uint64_t boot_id)
{
    struct shm_header *h = &node->header;

    describe_write(node);
    h->version = SHM_VERSION;
    h->header_size = sizeof *h;
    h->total_size = sizeof *node;
    h->boot_id = boot_id;
    h->layout_hash = node_layout_hash();
    h->owner_pid = getpid();
    h->created_wall_ns = clock_wall_ns();
    snprintf(h->instance, sizeof h->instance, "%s", instance);
    snprintf(h->program_version, sizeof h->program_version, "%s", CORTEX_VERSION);
    h->magic = SHM_MAGIC;
}

uint64_t node_layout_hash(void)
{
    return describe_hash();
}

/* pid in the header of a segment that may hold anything; 0 = none to be had. */
static int32_t read_owner(int fd)
{
    struct shm_header h;

    if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h || h.magic != SHM_MAGIC)
        return 0;
    return h.owner_pid;
}

/* 1 when some process holds the lock of this name (*pid: its owner, 0 = unknown), 0 when none does
 * or there is no such segment, -errno. */
static int is_locked(const char *name, int32_t *pid)
{
    int fd = shm_open(name, O_RDONLY, 0);
    int rc = 0;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(fd, LOCK_SH | LOCK_NB) != 0)
        rc = errno == EWOULDBLOCK ? 1 : -errno;
    if (pid != NULL)
        *pid = read_owner(fd);
    close(fd);
    return rc;
}

/* Is this name (still) that of the open file? Once the file is locked, the answer stays: only the
 * holder of a file's lock renames or unlinks it. */
static int is_named(int fd, const char *name)
{
    char path[96];
    struct stat by_fd, by_name;

    snprintf(path, sizeof path, "/dev/shm%s", name);
    return fstat(fd, &by_fd) == 0 && stat(path, &by_name) == 0 && by_fd.st_dev == by_name.st_dev &&
           by_fd.st_ino == by_name.st_ino;
}

/* Remove what a killed creator left under the temporary name: 0, or -EBUSY when its creator lives.
 */
static int remove_leftover(const char *temporary)
{
    int fd = shm_open(temporary, O_RDWR, 0);
    int rc = 0;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
    else if (is_named(fd, temporary) && shm_unlink(temporary) != 0)
        rc = -errno;
    close(fd);
    return rc;
}

/* Create the temporary name and lock it. From then on no other creator gets past this point before
 * we rename or unlink it. */
static int create_locked(struct node_owner *o, const char *temporary, struct err *e)
{
    for (int attempt = 0; attempt < NODE_ATTEMPTS; attempt++) {
        int rc = remove_leftover(temporary);
        if (rc == -EBUSY)
            return err_set(e, EBUSY, "create /dev/shm%s: another supervisor is just creating it",
                           o->name);
        if (rc != 0)
            return err_set(e, -rc, "remove leftover /dev/shm%s: %s", temporary, strerror(-rc));
        o->fd = shm_open(temporary, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (o->fd < 0 && errno == EEXIST)
            continue;
        if (o->fd < 0)
            return err_set(e, errno, "create /dev/shm%s: %s", temporary, strerror(errno));

        /* A description of its own for the lock: children inherit the other one. */
        o->lock_fd = shm_open(temporary, O_RDWR, 0);
        if (o->lock_fd >= 0 && flock(o->lock_fd, LOCK_EX | LOCK_NB) == 0 &&
            is_named(o->lock_fd, temporary) && is_named(o->fd, temporary))
            return 0;
        /* Somebody took it for a leftover between our creating and our locking it. */
        close(o->fd);
        if (o->lock_fd >= 0)
            close(o->lock_fd);
        o->fd = o->lock_fd = -1;
    }
    return err_set(e, EBUSY, "create /dev/shm%s: lost to other creators %d times", o->name,
                   NODE_ATTEMPTS);
}

/* All pages now: a full /dev/shm would otherwise be a SIGBUS at some later store. */
static int allocate(const struct node_owner *o, struct err *e)
{
    int rc = posix_fallocate(o->fd, 0, (off_t)sizeof(struct shm_node));
    struct statvfs vfs;

    if (rc == ENOSPC && fstatvfs(o->fd, &vfs) == 0)
        return err_set(e, rc,
                       "create /dev/shm%s: needs %zu bytes, /dev/shm has %ju bytes free; make room "
                       "there or enlarge it",
                       o->name, sizeof(struct shm_node),
                       (uintmax_t)vfs.f_bavail * (uintmax_t)vfs.f_frsize);
    if (rc != 0)
        return err_set(e, rc, "create /dev/shm%s (%zu bytes): %s", o->name, sizeof(struct shm_node),
                       strerror(rc));
    return 0;
}

int node_create(struct node_owner *o, const char *instance, uint64_t boot_id, struct err *e)
{
    char temporary[sizeof o->name + 8];
    char from[sizeof temporary + 16], to[sizeof o->name + 16];
    int32_t pid = 0;

    *o = (struct node_owner){.fd = -1, .lock_fd = -1};
    int rc = node_check_name(instance, e);
    if (rc != 0)
        return rc;
    snprintf(o->name, sizeof o->name, "/cortex.%s", instance);
    snprintf(temporary, sizeof temporary, "%s.new", o->name);
    rc = create_locked(o, temporary, e);
    if (rc != 0)
        return rc;

    rc = is_locked(o->name, &pid);
    if (rc > 0)
        rc = err_set(e, EEXIST, "instance \"%s\" is running already, supervisor %" PRId32, instance,
                     pid);
    else if (rc < 0)
        rc = err_set(e, -rc, "look at /dev/shm%s: %s", o->name, strerror(-rc));
    if (rc != 0)
        goto fail;
    rc = allocate(o, e);
    if (rc != 0)
        goto fail;
    void *map = mmap(NULL, sizeof *o->node, PROT_READ | PROT_WRITE, MAP_SHARED, o->fd, 0);
    if (map == MAP_FAILED) {
        rc = err_set(e, errno, "map /dev/shm%s: %s", o->name, strerror(errno));
        goto fail;
    }
    o->node = map;
    node_fill(o->node, instance, boot_id);
    snprintf(from, sizeof from, "/dev/shm%s", temporary);
    snprintf(to, sizeof to, "/dev/shm%s", o->name);
    if (rename(from, to) == 0)
        return 0;
    rc = err_set(e, errno, "rename %s to %s: %s", from, to, strerror(errno));
fail:
    shm_unlink(temporary); /* before the lock goes: until then the name is ours */
    node_close(o, 0);
    return rc;
}

int node_share(struct node_owner *o, gid_t group, struct err *e)
{
    if (fchown(o->fd, (uid_t)-1, group) != 0 || fchmod(o->fd, 0640) != 0)
        return err_set(e, errno, "give /dev/shm%s to group %u: %s", o->name, (unsigned)group,
                       strerror(errno));
    return 0;
}

void node_close(struct node_owner *o, int unlink_name)
{
    if (unlink_name)
        shm_unlink(o->name);
    if (o->node != NULL)
        munmap(o->node, sizeof *o->node);
    if (o->fd >= 0)
        close(o->fd);
    if (o->lock_fd >= 0)
        close(o->lock_fd);
    *o = (struct node_owner){.fd = -1, .lock_fd = -1};
}

/* Is this a segment of exactly this build's layout? */
static int check_header(const struct shm_header *h, size_t size, struct err *e)
{
    if (h->magic != SHM_MAGIC)
        return err_set(e, EINVAL, "segment: magic %#x, expected %#x; not a Cortex segment",
                       h->magic, SHM_MAGIC);
    if (h->version != SHM_VERSION || h->header_size != sizeof *h)
        return err_set(e, EPROTO,
                       "segment: version %u with a header of %u bytes (cortex %.15s), expected "
                       "version %d with %zu; restart all of Cortex with one version",
                       h->version, h->header_size, h->program_version, SHM_VERSION, sizeof *h);
    if (h->layout_hash != node_layout_hash())
        return err_set(e, EPROTO,
                       "segment: layout %016" PRIx64 " (cortex %.15s), expected %016" PRIx64
                       "; restart all of Cortex with one version",
                       h->layout_hash, h->program_version, node_layout_hash());
    if (h->total_size != sizeof(struct shm_node) || size != sizeof(struct shm_node))
        return err_set(e, EPROTO, "segment: %zu bytes, its header says %" PRIu64 ", expected %zu",
                       size, h->total_size, sizeof(struct shm_node));
    return 0;
}

static int map_segment(int fd, int prot, void **map, size_t *size, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return err_set(e, errno, "segment: fstat: %s", strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(struct shm_header))
        return err_set(e, EINVAL, "segment: %jd bytes, too short for its header",
                       (intmax_t)st.st_size);
    void *m = mmap(NULL, (size_t)st.st_size, prot, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED)
        return err_set(e, errno, "segment: map %jd bytes: %s", (intmax_t)st.st_size,
                       strerror(errno));
    *map = m;
    *size = (size_t)st.st_size;
    return 0;
}

int node_map_fd(struct shm_node **node, int fd, struct err *e)
{
    void *map;
    size_t size;
    int rc = map_segment(fd, PROT_READ | PROT_WRITE, &map, &size, e);

    if (rc != 0)
        return rc;
    struct shm_header h;
    memcpy(&h, map, sizeof h);
    rc = check_header(&h, size, e);
    if (rc != 0) {
        munmap(map, size);
        return rc;
    }
    *node = map;
    return 0;
}

int node_attach_any(const void **base, size_t *size, const char *instance, struct err *e)
{
    char name[64];
    void *map;
    struct describe d;
    int rc = node_check_name(instance, e);

    if (rc != 0)
        return rc;
    snprintf(name, sizeof name, "/cortex.%s", instance);
    int fd = shm_open(name, O_RDONLY, 0);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ENOENT, "no instance \"%s\": /dev/shm%s does not exist", instance, name);
    if (fd < 0)
        return err_set(e, errno, "open /dev/shm%s: %s", name, strerror(errno));
    rc = map_segment(fd, PROT_READ, &map, size, e);
    close(fd);
    if (rc == 0) {
        rc = describe_open(&d, map, *size, e);
        if (rc != 0)
            munmap(map, *size);
        else
            *base = map;
    }
    if (rc != 0)
        err_prefix(e, "/dev/shm%s", name);
    return rc;
}

int node_attach(const struct shm_node **node, size_t *size, const char *instance, struct err *e)
{
    const void *base;
    struct shm_header h;
    int rc = node_attach_any(&base, size, instance, e);

    if (rc != 0)
        return rc;
    memcpy(&h, base, sizeof h);
    rc = check_header(&h, *size, e);
    if (rc != 0) {
        node_detach(base, *size);
        return rc;
    }
    *node = base;
    return 0;
}

void node_detach(const void *base, size_t size)
{
    munmap((void *)(uintptr_t)base, size);
}

int node_is_alive(const char *instance)
{
    char name[64];

    if (node_check_name(instance, NULL) != 0)
        return 0;
    snprintf(name, sizeof name, "/cortex.%s", instance);
    return is_locked(name, NULL) == 1;
}

#include "base/check.h"
#include "worker/io/reader_plan.h"

#include <errno.h>
#include <inttypes.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SYSCALL_CACHESTAT 451 /* the same on every architecture; C libraries name it since 2.39 */
#define HUGE_PAGE         ((size_t)2 << 20)
#define RETRIES_MAX       1000 /* EAGAIN and EINTR of one extent, without a byte in between */

/* One read in flight, or a free buffer. */
struct slot {
    struct reader_extent extent;
    size_t done; /* bytes of the extent that are in the buffer */
    unsigned n_retries;
    bool is_direct;
};

struct uring {
    struct reader_cursor *cursor;
    struct reader_stats *stats;
    struct io_uring ring;
    char *buffers; /* depth * piece_bytes, on a huge page boundary */
    size_t map_bytes;
    struct slot *slots;
    uint32_t *unused; /* numbers of free slots */
    uint32_t n_unused, n_flying;
    bool has_probe; /* the page cache can be asked without waiting */
};

/* --- set up --- */

static int open_ring(struct uring *u, uint32_t depth, struct err *e)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int rc = io_uring_queue_init_params(depth, &u->ring, &params);

    if (rc == -EINVAL) { /* Linux before 6.1: the same ring, with more interrupts */
        params = (struct io_uring_params){0};
        rc = io_uring_queue_init_params(depth, &u->ring, &params);
    }
    if (rc != 0)
        return err_set(
            e, -rc,
            "io_uring: %s, expected a kernel that lets this process use it; allow it, or "
            "set io = pread",
            strerror(-rc));
    return 0;
}

static int map_buffers(struct uring *u, struct err *e)
{
    const struct reader_plan *p = u->cursor->plan;
    size_t bytes = p->piece_bytes * p->depth; /* at most 2^30 * 2^8 */
    struct iovec all = {.iov_len = bytes};

    u->map_bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *map =
        mmap(NULL, u->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return err_set(e, errno, "read: mmap of %zu bytes of buffers: %s", u->map_bytes,
                       strerror(errno));
    u->buffers = map;
    madvise(map, u->map_bytes, MADV_HUGEPAGE); /* a wish */
    all.iov_base = map;
    /* Older kernels count registered memory against RLIMIT_MEMLOCK; plain reads work without. */
    u->stats->has_fixed_buffers = io_uring_register_buffers(&u->ring, &all, 1) == 0;
    return 0;
}

static int set_up(struct uring *u, struct err *e)
{
    uint32_t depth = u->cursor->plan->depth;
    int rc = open_ring(u, depth, e);

    if (rc != 0)
        return rc;
    rc = map_buffers(u, e);
    if (rc != 0) {
        io_uring_queue_exit(&u->ring);
        return rc;
    }
    u->slots = calloc(depth, sizeof *u->slots);
    u->unused = calloc(depth, sizeof *u->unused);
    CHECK(u->slots != NULL);
    CHECK(u->unused != NULL);
    for (uint32_t i = 0; i < depth; i++)
        u->unused[u->n_unused++] = i;
    u->has_probe = true;
    return 0;
}

static void tear_down(struct uring *u)
{
    CHECK(u->n_flying == 0); /* the kernel writes into the buffers until then */
    io_uring_queue_exit(&u->ring);
    munmap(u->buffers, u->map_bytes);
    free(u->slots);
    free(u->unused);
}

static char *slot_buffer(const struct uring *u, uint32_t number)
{
    return u->buffers + number * u->cursor->plan->piece_bytes;
}

/* --- reading --- */

/* Is all of it in the page cache? Asked with cachestat: a read that may not wait (RWF_NOWAIT)
 * starts read-ahead where it finds nothing, and so takes the disk from the reads past the cache. */
static bool is_cached(struct uring *u, int fd, const struct reader_extent *x)
{
    struct {
        uint64_t offset, len;
    } range = {x->start, x->len};
    struct {
        uint64_t n_cache, n_dirty, n_writeback, n_evicted, n_recently_evicted;
    } found;

    if (!u->has_probe)
        return false;
    if (syscall(SYSCALL_CACHESTAT, fd, &range, &found, 0) == -1) {
        u->has_probe = false; /* Linux before 6.5, or a file that is not ours to ask about */
        return false;
    }
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return found.n_cache >= (x->len + page - 1) / page;
}

/* What is in the page cache already is copied from there. false: not all of it, read it. */
static bool read_cached(struct uring *u, const struct reader_source *s, uint32_t number)
{
    struct slot *slot = &u->slots[number];
    struct iovec to = {slot_buffer(u, number), slot->extent.len};

    if (s->direct_fd == -1 || !is_cached(u, s->fd, &slot->extent))
        return false;
    ssize_t n = preadv2(s->fd, &to, 1, (off_t)slot->extent.start, RWF_NOWAIT);
    return n >= 0 && (size_t)n == slot->extent.len;
}

/* The rest of a slot's extent. An odd rest cannot go past the page cache. */
static void submit(struct uring *u, uint32_t number)
{
    struct slot *slot = &u->slots[number];
    const struct reader_source *s = &u->cursor->plan->sources[slot->extent.source];
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    char *to = slot_buffer(u, number) + slot->done;
    uint64_t offset = slot->extent.start + slot->done;
    size_t len = slot->extent.len - slot->done;

    CHECK(sqe != NULL); /* as many entries as slots */
    slot->is_direct = s->direct_fd != -1 && slot->done % READER_BLOCK == 0;
    if (slot->is_direct) /* into the buffer's rest; the file's end cuts it */
        len = (len + READER_BLOCK - 1) / READER_BLOCK * READER_BLOCK;
    int fd = slot->is_direct ? s->direct_fd : s->fd;
    if (u->stats->has_fixed_buffers)
        io_uring_prep_read_fixed(sqe, fd, to, (unsigned)len, offset, 0);
    else
        io_uring_prep_read(sqe, fd, to, (unsigned)len, offset);
    io_uring_sqe_set_data64(sqe, number);
    u->n_flying++;
}

static int finish(struct uring *u, uint32_t number, struct err *e)
{
    const struct slot *slot = &u->slots[number];

    u->unused[u->n_unused++] = number;
    return reader_deliver(u->cursor, &slot->extent, slot_buffer(u, number), u->stats, e);
}

/* Reads for every free buffer; extents found in the page cache are delivered at once, but no more
 * of them than buffers before the ring gets its turn. */
static int fill(struct uring *u, struct err *e)
{
    uint32_t turns = u->cursor->plan->depth;
    int rc = 0;

    while (rc == 0 && u->n_unused > 0 && turns-- > 0) {
        uint32_t number = u->unused[u->n_unused - 1];
        struct slot *slot = &u->slots[number];
        *slot = (struct slot){0};
        if (!reader_cursor_next(u->cursor, &slot->extent))
            break;
        u->n_unused--;
        if (read_cached(u, &u->cursor->plan->sources[slot->extent.source], number)) {
            u->stats->bytes_cached += slot->extent.len;
            rc = finish(u, number, e);
        } else {
            submit(u, number);
        }
    }
    return rc;
}

static int refuse_read(const struct uring *u, const struct slot *slot, int res, struct err *e)
{
    const struct reader_source *s = &u->cursor->plan->sources[slot->extent.source];
    uint64_t at = slot->extent.start + slot->done;

    if (res < 0)
        return err_set(e, -res, "read %s at offset %" PRIu64 ": %s", s->name, at, strerror(-res));
    return err_set(e, EIO,
                   "read %s: found its end at offset %" PRIu64 ", expected %" PRIu64
                   " bytes; it shrank while it was read",
                   s->name, at, s->size);
}

static int complete(struct uring *u, uint32_t number, int res, struct err *e)
{
    struct slot *slot = &u->slots[number];
    size_t wanted = slot->extent.len - slot->done;

    if ((res == -EAGAIN || res == -EINTR) && slot->n_retries++ < RETRIES_MAX) {
        submit(u, number);
        return 0;
    }
    if (res <= 0)
        return refuse_read(u, slot, res, e);
    size_t n = (size_t)res < wanted ? (size_t)res : wanted; /* a file that grew gives more */
    *(slot->is_direct ? &u->stats->bytes_direct : &u->stats->bytes_through) += n;
    slot->done += n;
    slot->n_retries = 0;
    if (slot->done < slot->extent.len) {
        submit(u, number);
        return 0;
    }
    return finish(u, number, e);
}

/* At least one completion, and all that are there. After an error (rc) they are only counted. */
static int reap(struct uring *u, int rc, struct err *e)
{
    struct io_uring_cqe *cqe;
    int waited = io_uring_submit_and_wait(&u->ring, 1);

    /* Otherwise reads are in flight into memory that is about to go: there is no way on. */
    CHECK(waited >= 0 || waited == -EINTR || waited == -EAGAIN || waited == -EBUSY);
    while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        uint32_t number = (uint32_t)io_uring_cqe_get_data64(cqe);
        int res = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        u->n_flying--;
        if (rc == 0)
            rc = complete(u, number, res, e);
    }
    return rc;
}

int reader_run_uring(struct reader_cursor *c, struct reader_stats *stats, struct err *e)
{
    struct uring u = {.cursor = c, .stats = stats};
    int rc = set_up(&u, e);

    if (rc != 0)
        return rc;
    for (;;) {
        if (rc == 0)
            rc = fill(&u, e);
        if (u.n_flying > 0)
            rc = reap(&u, rc, e);
        else if (rc != 0 || c->range == c->plan->n_ranges)
            break;
    }
    tear_down(&u);
    return rc;
}

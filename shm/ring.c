#include "shm/ring.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define ENTRY_CRC_BYTES 60
#define SEALS_SIZE      (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS_FINAL     (F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static const char *const direction_names[] = {"r2w", "w2r"};

const char *ring_type_name(uint32_t type)
{
#define X(constant, text, direction) text,
    static const char *const names[] = { "none", RING_TYPES(X) };
#undef X
    return type < RING_TYPES_N ? names[type] : "?";
}

const char *prompt_kind_name(uint32_t kind)
{
#define X(constant, text) text,
    static const char *const names[] = { PROMPT_KINDS(X) };
#undef X
    return kind < PROMPT_KINDS_N ? names[kind] : "?";
}

int ring_type_direction(uint32_t type)
{
#define X(constant, text, direction) direction,
    static const int directions[] = { -1, RING_TYPES(X) };
#undef X
    return type < RING_TYPES_N ? directions[type] : -1;
}

static size_t memory_size(uint32_t capacity)
{
    return sizeof(struct ring_memory) + (size_t)capacity * sizeof(struct ring_entry);
}

int ring_memory_create(enum ring_direction dir, uint64_t epoch, uint32_t capacity, struct err *e)
{
    CHECK(capacity > 0 && capacity <= RING_CAPACITY_MAX && (capacity & (capacity - 1)) == 0);
    size_t size = memory_size(capacity);
    char name[64];

    snprintf(name, sizeof name, "cortex-%s-%" PRIu64, direction_names[dir], epoch);
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(e, errno, "memfd_create %s: %s", name, strerror(errno));

    /* All pages now: a full tmpfs would otherwise be a SIGBUS at the first store. */
    int rc = posix_fallocate(fd, 0, (off_t)size);
    if (rc != 0) {
        close(fd);
        return err_set(e, rc, "allocate %zu bytes for ring %s: %s", size, name, strerror(rc));
    }
    struct ring_memory head = {.magic = RING_MAGIC,
                               .version = RING_VERSION,
                               .epoch = epoch,
                               .capacity = capacity,
                               .direction = dir};
    if (pwrite(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        fcntl(fd, F_ADD_SEALS, SEALS_SIZE) != 0) {
        rc = errno;
        close(fd);
        return err_set(e, rc, "prepare ring %s: %s", name, strerror(rc));
    }
    return fd;
}

int ring_memory_seal(int fd, struct err *e)
{
    if (fcntl(fd, F_ADD_SEALS, SEALS_FINAL) != 0)
        return err_set(e, errno, "seal ring: %s", strerror(errno));
    return 0;
}

/* Map one direction and check that it is what the caller was promised. */
static int map_memory(int fd, enum ring_direction dir, uint64_t epoch, int is_own, void **map,
                      size_t *size, uint32_t *mask, struct err *e)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    int needed = is_own ? SEALS_SIZE : SEALS_SIZE | SEALS_FINAL;

    if (fstat(fd, &st) != 0 || seals < 0)
        return err_set(e, EINVAL, "ring %s: not a memfd", direction_names[dir]);
    if ((seals & needed) != needed)
        return err_set(e, EPERM, "ring %s: seals %#x, expected at least %#x", direction_names[dir],
                       (unsigned)seals, (unsigned)needed);
    if (st.st_size < (off_t)sizeof(struct ring_memory))
        return err_set(e, EINVAL, "ring %s: %jd bytes, too short for its header",
                       direction_names[dir], (intmax_t)st.st_size);
    void *m = mmap(NULL, (size_t)st.st_size, is_own ? PROT_READ | PROT_WRITE : PROT_READ,
                   MAP_SHARED, fd, 0);
    if (m == MAP_FAILED)
        return err_set(e, errno, "map ring %s: %s", direction_names[dir], strerror(errno));

    const struct ring_memory *head = m;
    /* Once: the writer of this memory could change it between the check and the use. */
    uint32_t capacity = *(const volatile uint32_t *)&head->capacity;
    int rc = 0;
    if (head->magic != RING_MAGIC || head->version != RING_VERSION)
        rc = err_set(e, EPROTO, "ring %s: magic %#x version %u, expected %#x version %u",
                     direction_names[dir], head->magic, head->version, RING_MAGIC, RING_VERSION);
    else if (head->epoch != epoch || head->direction != (uint32_t)dir)
        rc = err_set(e, EPROTO, "ring %s: epoch %" PRIu64 " direction %u, expected epoch %" PRIu64,
                     direction_names[dir], head->epoch, head->direction, epoch);
    else if (capacity == 0 || capacity > RING_CAPACITY_MAX || (capacity & (capacity - 1)) != 0 ||
             memory_size(capacity) != (size_t)st.st_size)
        rc = err_set(e, EPROTO, "ring %s: capacity %u in %jd bytes", direction_names[dir], capacity,
                     (intmax_t)st.st_size);
    if (rc != 0) {
        munmap(m, (size_t)st.st_size);
        return rc;
    }
    *map = m;
    *size = (size_t)st.st_size;
    *mask = capacity - 1;
    return 0;
}

int ring_map_own(struct ring *r, int fd, enum ring_direction dir, uint64_t epoch, struct err *e)
{
    struct ring fresh = {.wake_fd = -1, .wake_peer_fd = -1, .epoch = epoch, .sends = dir};
    void *map;
    int rc = map_memory(fd, dir, epoch, 1, &map, &fresh.own_size, &fresh.own_mask, e);

    if (rc != 0)
        return rc;
    fresh.own = map;
    *r = fresh;
    return 0;
}

int ring_map_peer(struct ring *r, int fd, struct err *e)
{
    void *map;
    enum ring_direction dir = r->sends == R2W ? W2R : R2W;

    CHECK(r->own != NULL && r->peer == NULL);
    int rc = map_memory(fd, dir, r->epoch, 0, &map, &r->peer_size, &r->peer_mask, e);
    if (rc != 0)
        return rc;
    r->peer = map;
    return 0;
}

void ring_unmap(struct ring *r)
{
    if (r->own != NULL) {
        munmap(r->own, r->own_size);
        if (r->wake_fd >= 0)
            close(r->wake_fd);
        if (r->wake_peer_fd >= 0)
            close(r->wake_peer_fd);
    }
    if (r->peer != NULL)
        munmap((void *)(uintptr_t)r->peer, r->peer_size);
    *r = (struct ring){.wake_fd = -1, .wake_peer_fd = -1};
}

/* The first broken rule stays: nothing of this peer is believed after it. */
static int violation(struct ring *r, uint64_t entry, const char *what, uint64_t found,
                     uint64_t expected)
{
    if (r->violation[0] == '\0')
        snprintf(r->violation, sizeof r->violation,
                 "%s entry %" PRIu64 ": %s %" PRIu64 ", expected %" PRIu64,
                 direction_names[r->sends == R2W ? W2R : R2W], entry, what, found, expected);
    return -EPROTO;
}

static uint32_t known_room(const struct ring *r)
{
    return r->own_mask + 1 - (uint32_t)(r->tail - r->peer_head);
}

static void refresh_room(struct ring *r)
{
    /* acquire: pairs with the peer's release store in ring_release, so that the slots are ours
     * again. It cannot have consumed what we have not published. */
    uint64_t head = atomic_load_explicit(&r->peer->head, memory_order_acquire);
    uint64_t published = atomic_load_explicit(&r->own->tail, memory_order_relaxed);

    if (head - r->peer_head > published - r->peer_head)
        violation(r, r->head, "head", head, published);
    else
        r->peer_head = head;
}

uint32_t ring_room(struct ring *r)
{
    if (known_room(r) <= (r->own_mask + 1) / 2)
        refresh_room(r);
    return known_room(r);
}

static void push_entry(struct ring *r, struct ring_entry *entry)
{
    uint64_t words[8];

    entry->epoch = (uint32_t)r->epoch;
    entry->seq = (uint32_t)r->tail;
    entry->crc = hash_crc32c(entry, ENTRY_CRC_BYTES);
    memcpy(words, entry, sizeof words);
    _Atomic uint64_t *to = r->own->entry[r->tail & r->own_mask].word;
    for (int i = 0; i < 8; i++)
        atomic_store_explicit(&to[i], words[i], memory_order_relaxed);
    r->tail++;
}

/* Copy n bytes that begin at byte `from` of the pieces. */
static void gather(uint8_t *to, size_t n, const struct iovec *part, size_t from)
{
    while (from >= part->iov_len && n > 0)
        from -= part++->iov_len;
    while (n > 0) {
        size_t here = part->iov_len - from < n ? part->iov_len - from : n;
        if (here > 0)
            memcpy(to, (const char *)part->iov_base + from, here);
        to += here;
        n -= here;
        part++;
        from = 0;
    }
}

int ring_send_parts(struct ring *r, enum ring_type type, uint64_t request,
                    const struct iovec *part, int n_parts, size_t *done)
{
    uint32_t room = ring_room(r);
    size_t len = 0;

    for (int i = 0; i < n_parts; i++)
        len += part[i].iov_len;
    CHECK(ring_type_direction(type) == (int)r->sends);
    CHECK(*done <= len);
    while (room-- > 0) {
        size_t n = len - *done < RING_PAYLOAD ? len - *done : RING_PAYLOAD;
        struct ring_entry entry = {.request = request, .type = (uint8_t)type, .len = (uint16_t)n};

        if (*done == 0)
            entry.flags |= RING_FIRST;
        if (*done + n == len)
            entry.flags |= RING_LAST;
        gather(entry.payload, n, part, *done);
        push_entry(r, &entry);
        *done += n;
        if (*done == len)
            return 1;
    }
    return 0;
}

int ring_send(struct ring *r, enum ring_type type, uint64_t request, const void *data, size_t len,
              size_t *done)
{
    const struct iovec part = {(void *)(uintptr_t)data, len};

    return ring_send_parts(r, type, request, &part, 1, done);
}

int ring_send_whole(struct ring *r, enum ring_type type, uint64_t request, const void *data,
                    size_t len)
{
    size_t done = 0;
    size_t entries = len == 0 ? 1 : (len + RING_PAYLOAD - 1) / RING_PAYLOAD;

    CHECK(entries <= (size_t)r->own_mask + 1);
    if (known_room(r) < entries)
        refresh_room(r);
    if (known_room(r) < entries)
        return -EAGAIN;
    CHECK(ring_send(r, type, request, data, len, &done) == 1);
    return 0;
}

static void wake_peer(struct ring *r, uint32_t bit)
{
    /* seq_cst: after our store of tail or head; pairs with the peer's store of asleep followed by
     * its load of what we just stored. */
    uint32_t asleep = atomic_load_explicit(&r->peer->asleep, memory_order_seq_cst);

    if ((asleep & bit) && r->wake_peer_fd >= 0) {
        ssize_t n = write(r->wake_peer_fd, "", 1);
        (void)n; /* EAGAIN: the pipe is full, so the peer is being woken already */
    }
}

void ring_publish(struct ring *r)
{
    if (atomic_load_explicit(&r->own->tail, memory_order_relaxed) == r->tail)
        return;
    atomic_store_explicit(&r->own->tail, r->tail, memory_order_seq_cst);
    wake_peer(r, RING_ASLEEP_DATA);
}

void ring_release(struct ring *r)
{
    if (atomic_load_explicit(&r->own->head, memory_order_relaxed) == r->head)
        return;
    atomic_store_explicit(&r->own->head, r->head, memory_order_seq_cst);
    wake_peer(r, RING_ASLEEP_SPACE);
}

int ring_pop(struct ring *r, struct ring_entry *out)
{
    if (r->violation[0] != '\0')
        return -EPROTO;
    if (r->head == r->peer_tail) {
        /* acquire: pairs with the peer's store in ring_publish, so that the entries are there */
        uint64_t tail = atomic_load_explicit(&r->peer->tail, memory_order_acquire);
        if (tail - r->head > (uint64_t)r->peer_mask + 1)
            return violation(r, r->head, "tail", tail, r->head);
        r->peer_tail = tail;
        if (tail == r->head)
            return 0;
    }
    uint64_t words[8];
    const _Atomic uint64_t *from = r->peer->entry[r->head & r->peer_mask].word;
    for (int i = 0; i < 8; i++)
        words[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
    memcpy(out, words, sizeof *out);

    uint32_t crc = hash_crc32c(out, ENTRY_CRC_BYTES);
    if (out->crc != crc)
        return violation(r, r->head, "checksum", out->crc, crc);
    if (out->epoch != (uint32_t)r->epoch)
        return violation(r, r->head, "epoch", out->epoch, (uint32_t)r->epoch);
    if (out->seq != (uint32_t)r->head)
        return violation(r, r->head, "sequence", out->seq, (uint32_t)r->head);
    if (ring_type_direction(out->type) != (r->sends == R2W ? W2R : R2W))
        return violation(r, r->head, "type", out->type, RING_TYPES_N);
    if (out->len > RING_PAYLOAD)
        return violation(r, r->head, "length", out->len, RING_PAYLOAD);
    if ((out->flags & ~(RING_FIRST | RING_LAST)) != 0)
        return violation(r, r->head, "flags", out->flags, RING_FIRST | RING_LAST);
    r->head++;
    return 1;
}

int ring_sleep(struct ring *r, uint32_t bits)
{
    atomic_store_explicit(&r->own->asleep, bits, memory_order_seq_cst);
    int has_data = (bits & RING_ASLEEP_DATA) &&
                   atomic_load_explicit(&r->peer->tail, memory_order_seq_cst) != r->head;
    int has_space = (bits & RING_ASLEEP_SPACE) &&
                    atomic_load_explicit(&r->peer->head, memory_order_seq_cst) != r->peer_head;
    if (!has_data && !has_space)
        return 1;
    atomic_store_explicit(&r->own->asleep, 0, memory_order_relaxed);
    return 0;
}

void ring_awake(struct ring *r)
{
    char wakes[256]; /* a peer that writes more than it should is read again */

    atomic_store_explicit(&r->own->asleep, 0, memory_order_relaxed);
    if (r->wake_fd >= 0) {
        ssize_t n = read(r->wake_fd, wakes, sizeof wakes);
        (void)n; /* EAGAIN: woken by something else */
    }
}

int ring_assemble(struct ring *r, struct ring_assembler *a, const struct ring_entry *e,
                  struct ring_record *rec)
{
    int is_first = (e->flags & RING_FIRST) != 0;
    int is_last = (e->flags & RING_LAST) != 0;
    uint64_t at = r->head - 1; /* where e came from */
    size_t have = is_first ? 0 : buf_pending(&a->buf);

    if (is_first == a->is_open)
        return violation(r, at, "first fragment", (uint64_t)is_first, (uint64_t)!a->is_open);
    if (!is_last && e->len != RING_PAYLOAD)
        return violation(r, at, "length of a fragment in the middle", e->len, RING_PAYLOAD);
    if (!is_first && e->len == 0)
        return violation(r, at, "length of a last fragment", 0, RING_PAYLOAD);
    if (have + e->len > a->len_max)
        return violation(r, at, "record length", have + e->len, a->len_max);
    if (is_first && is_last) {
        *rec = (struct ring_record){e->request, (enum ring_type)e->type, e->payload, e->len};
        return 1;
    }
    if (is_first) {
        buf_clear(&a->buf);
        a->request = e->request;
        a->type = e->type;
        a->is_open = 1;
    }
    if (e->request != a->request)
        return violation(r, at, "fragment of request", e->request, a->request);
    if (e->type != a->type)
        return violation(r, at, "fragment of type", e->type, a->type);
    buf_add(&a->buf, e->payload, e->len);
    if (!is_last)
        return 0;
    a->is_open = 0;
    *rec = (struct ring_record){a->request, (enum ring_type)a->type,
                                (const uint8_t *)a->buf.data + a->buf.pos, buf_pending(&a->buf)};
    return 1;
}

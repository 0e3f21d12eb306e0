/* Rings: what goes in comes out, and whatever a peer does to its own memory is noticed. */
#include "shm/ring.h"

#include "base/hash.h"
#include "tests/unit/link_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define EPOCH 0x1234567800000009ull

static int open_pair(void **state)
{
    struct link_pair *p = malloc(sizeof *p);

    pair_open(p, EPOCH, 8);
    *state = p;
    return 0;
}

static int close_pair(void **state)
{
    pair_close(*state);
    free(*state);
    return 0;
}

static void fill_pattern(uint8_t *data, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)hash_mix(seed, i);
}

/* ---- moving data ---- */

static void test_wrap_around(void **state)
{
    struct link_pair *p = *state;
    struct ring_entry e;
    uint64_t sent = 0, got = 0;

    while (got < 1000) {
        uint64_t burst = hash_mix(1, got) % 8 + 1;
        for (uint64_t i = 0; i < burst; i++) {
            if (ring_send_whole(&p->router, RING_CANCEL, sent, &sent, sizeof sent) != 0)
                break;
            sent++;
        }
        ring_publish(&p->router);
        burst = hash_mix(2, got) % 8 + 1;
        for (uint64_t i = 0; i < burst && ring_pop(&p->worker, &e) == 1; i++) {
            assert_int_equal(e.request, got);
            assert_int_equal(e.type, RING_CANCEL);
            assert_int_equal(e.flags, RING_FIRST | RING_LAST);
            assert_int_equal(e.len, sizeof got);
            assert_memory_equal(e.payload, &got, sizeof got);
            got++;
        }
        ring_release(&p->worker);
    }
    assert_true(sent > 8 * 10);
}

static void test_full_ring_takes_nothing_more(void **state)
{
    struct link_pair *p = *state;
    uint8_t data[9 * RING_PAYLOAD] = {0};
    struct ring_entry e;
    size_t done = 0;

    assert_int_equal(ring_room(&p->worker), 8);
    assert_int_equal(ring_send(&p->worker, RING_TOKEN, 1, data, sizeof data, &done), 0);
    assert_int_equal(done, 8 * RING_PAYLOAD);
    assert_int_equal(ring_room(&p->worker), 0);
    assert_int_equal(ring_send_whole(&p->worker, RING_TOKEN, 1, data, 1), -EAGAIN);
    ring_publish(&p->worker);

    /* popped but not released: still the consumer's */
    assert_int_equal(ring_pop(&p->router, &e), 1);
    assert_int_equal(ring_room(&p->worker), 0);
    ring_release(&p->router);
    assert_int_equal(ring_room(&p->worker), 1);
    assert_int_equal(ring_send(&p->worker, RING_TOKEN, 1, data, sizeof data, &done), 1);
    assert_int_equal(done, sizeof data);
}

static void test_nothing_before_publish(void **state)
{
    struct link_pair *p = *state;
    struct ring_entry e;

    assert_int_equal(ring_send_whole(&p->router, RING_CANCEL, 1, NULL, 0), 0);
    assert_int_equal(ring_pop(&p->worker, &e), 0);
    ring_publish(&p->router);
    assert_int_equal(ring_pop(&p->worker, &e), 1);
    assert_int_equal(ring_pop(&p->worker, &e), 0);
}

/* Send one record through the small ring, emptying it whenever it is full. */
static void carry_record(struct link_pair *p, const uint8_t *data, size_t len, uint64_t request)
{
    struct ring_assembler a = {.len_max = 1 << 20};
    struct ring_record rec;
    struct ring_entry e;
    size_t done = 0;
    int is_sent = 0, is_whole = 0;

    while (!is_whole) {
        if (!is_sent)
            is_sent = ring_send(&p->router, RING_SUBMIT, request, data, len, &done);
        ring_publish(&p->router);
        while (ring_pop(&p->worker, &e) == 1) {
            assert_int_equal(is_whole, 0);
            is_whole = ring_assemble(&p->worker, &a, &e, &rec);
            assert_in_range(is_whole, 0, 1);
            if (is_whole) {
                assert_int_equal(rec.request, request);
                assert_int_equal(rec.type, RING_SUBMIT);
                assert_int_equal(rec.len, len);
                if (len > 0)
                    assert_memory_equal(rec.data, data, len);
            }
        }
        assert_string_equal(p->worker.violation, "");
        ring_release(&p->worker);
    }
    buf_free(&a.buf);
}

static void test_fragments(void **state)
{
    static const size_t sizes[] = {0, 1, 39, 40, 41, 80, 320, 321, 100000};
    struct link_pair *p = *state;
    uint8_t *data = malloc(100000);

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fill_pattern(data, sizes[i], i);
        carry_record(p, data, sizes[i], i + 1);
    }
    free(data);
}

/* A whole record that does not fit while less than half of the ring is in use must see the room the
 * peer has made since, or producer and ring_sleep would disagree for ever. */
static void test_whole_record_sees_new_room(void **state)
{
    struct link_pair *p = *state;
    uint8_t data[6 * RING_PAYLOAD] = {0};
    struct ring_entry e;

    for (int i = 0; i < 3; i++)
        assert_int_equal(ring_send_whole(&p->worker, RING_CANCELLED, 1, NULL, 0), 0);
    ring_publish(&p->worker);
    assert_int_equal(ring_send_whole(&p->worker, RING_TOKEN, 1, data, sizeof data), -EAGAIN);
    while (ring_pop(&p->router, &e) == 1)
        ;
    ring_release(&p->router);
    assert_int_equal(ring_sleep(&p->worker, RING_ASLEEP_SPACE), 0);
    assert_int_equal(ring_send_whole(&p->worker, RING_TOKEN, 1, data, sizeof data), 0);
}

/* ---- wake-ups ---- */

static int is_woken(const struct ring *r)
{
    struct pollfd fd = {.fd = r->wake_fd, .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static void test_wake_for_data(void **state)
{
    struct link_pair *p = *state;
    struct ring_entry e;

    assert_int_equal(ring_send_whole(&p->router, RING_CANCEL, 1, NULL, 0), 0);
    ring_publish(&p->router);
    assert_false(is_woken(&p->worker)); /* awake: no system call was made for it */
    assert_int_equal(ring_sleep(&p->worker, RING_ASLEEP_DATA), 0);
    assert_int_equal(ring_pop(&p->worker, &e), 1);
    assert_int_equal(ring_sleep(&p->worker, RING_ASLEEP_DATA), 1);
    ring_publish(&p->router); /* nothing new */
    assert_false(is_woken(&p->worker));
    assert_int_equal(ring_send_whole(&p->router, RING_CANCEL, 2, NULL, 0), 0);
    assert_false(is_woken(&p->worker));
    ring_publish(&p->router);
    assert_true(is_woken(&p->worker));
    ring_awake(&p->worker);
    assert_false(is_woken(&p->worker));
    ring_awake(&p->worker); /* without a wake-up: returns at once */
}

static void test_wake_for_space(void **state)
{
    struct link_pair *p = *state;
    struct ring_entry e;

    for (int i = 0; i < 8; i++)
        assert_int_equal(ring_send_whole(&p->worker, RING_CANCELLED, 1, NULL, 0), 0);
    ring_publish(&p->worker);
    assert_int_equal(ring_sleep(&p->worker, RING_ASLEEP_SPACE), 1);
    assert_int_equal(ring_pop(&p->router, &e), 1);
    assert_false(is_woken(&p->worker));
    ring_release(&p->router);
    assert_true(is_woken(&p->worker));
    ring_awake(&p->worker);
    /* asleep for data only: room is no reason to wake */
    assert_int_equal(ring_room(&p->worker), 1);
    assert_int_equal(ring_sleep(&p->worker, RING_ASLEEP_DATA), 1);
    assert_int_equal(ring_pop(&p->router, &e), 1);
    ring_release(&p->router);
    assert_false(is_woken(&p->worker));
    assert_int_equal(ring_sleep(&p->worker, RING_ASLEEP_DATA | RING_ASLEEP_SPACE), 0);
}

/* ---- a peer that lies ---- */

static struct ring_entry *entry_at(struct ring *r, uint64_t i)
{
    return (struct ring_entry *)(void *)r->own->entry[i & r->own_mask].word;
}

static void seal_entry(struct ring_entry *e)
{
    e->crc = hash_crc32c(e, offsetof(struct ring_entry, crc));
}

static void assert_violation(struct ring *r, const char *text)
{
    struct ring_entry e;

    assert_int_equal(ring_pop(r, &e), -EPROTO);
    if (strstr(r->violation, text) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", r->violation, text);
    assert_int_equal(ring_pop(r, &e), -EPROTO);
}

static void break_checksum(struct ring_entry *e)
{
    e->payload[7] ^= 1;
}
static void break_epoch(struct ring_entry *e)
{
    e->epoch++;
    seal_entry(e);
}
static void break_sequence(struct ring_entry *e)
{
    e->seq++;
    seal_entry(e);
}
static void break_type_none(struct ring_entry *e)
{
    e->type = RING_NONE;
    seal_entry(e);
}
static void break_type_unknown(struct ring_entry *e)
{
    e->type = RING_TYPES_N;
    seal_entry(e);
}
static void break_type_direction(struct ring_entry *e)
{
    e->type = RING_SUBMIT;
    seal_entry(e);
}
static void break_length(struct ring_entry *e)
{
    e->len = RING_PAYLOAD + 1;
    seal_entry(e);
}
static void break_flags(struct ring_entry *e)
{
    e->flags |= 4;
    seal_entry(e);
}

static void test_pop_refuses(void **state)
{
    static const struct {
        void (*break_entry)(struct ring_entry *e);
        const char *text;
    } rows[] = {
        {break_checksum, "w2r entry 1: checksum"},
        {break_epoch, "w2r entry 1: epoch 10, expected 9"},
        {break_sequence, "entry 1: sequence 2, expected 1"},
        {break_type_none, "entry 1: type 0"},
        {break_type_unknown, "entry 1: type 9"},
        {break_type_direction, "entry 1: type 1"},
        {break_length, "entry 1: length 41, expected 40"},
        {break_flags, "entry 1: flags 7"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct link_pair p;
        struct ring_entry e, good;

        pair_open(&p, EPOCH, 8);
        for (int k = 0; k < 3; k++)
            assert_int_equal(ring_send_whole(&p.worker, RING_TOKEN, 5, "abc", 3), 0);
        good = *entry_at(&p.worker, 1);
        rows[i].break_entry(entry_at(&p.worker, 1));
        ring_publish(&p.worker);
        assert_int_equal(ring_pop(&p.router, &e), 1);
        assert_violation(&p.router, rows[i].text);
        /* repaired too late: it stays a violation */
        *entry_at(&p.worker, 1) = good;
        assert_violation(&p.router, rows[i].text);
        pair_close(&p);
    }
}

static void test_lying_tail(void **state)
{
    static const uint64_t lies[] = {12, 2, UINT64_MAX, 1ull << 32};

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct link_pair p;
        struct ring_entry e;

        pair_open(&p, EPOCH, 8);
        for (int k = 0; k < 3; k++)
            assert_int_equal(ring_send_whole(&p.worker, RING_CANCELLED, 5, NULL, 0), 0);
        ring_publish(&p.worker);
        for (int k = 0; k < 3; k++)
            assert_int_equal(ring_pop(&p.router, &e), 1);
        assert_int_equal(ring_pop(&p.router, &e), 0);
        atomic_store(&p.worker.own->tail, lies[i]);
        assert_int_equal(ring_sleep(&p.router, RING_ASLEEP_DATA), 0);
        assert_violation(&p.router, "w2r entry 3: tail");
        pair_close(&p);
    }
}

/* A head that makes no sense gives no room, overwrites nothing, and is reported. */
static void test_lying_head(void **state)
{
    static const uint64_t lies[] = {9, 1, 1ull << 40, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct link_pair p;
        struct ring_entry e, before;

        pair_open(&p, EPOCH, 8);
        for (uint64_t k = 0; k < 8; k++)
            assert_int_equal(ring_send_whole(&p.router, RING_CREDIT, k, &k, 4), 0);
        ring_publish(&p.router);
        assert_int_equal(ring_pop(&p.worker, &e), 1);
        assert_int_equal(ring_pop(&p.worker, &e), 1);
        ring_release(&p.worker);
        assert_int_equal(ring_room(&p.router), 2);
        before = *entry_at(&p.router, 3);
        atomic_store(&p.worker.own->head, lies[i]);
        assert_int_equal(ring_room(&p.router), 2);
        for (uint64_t k = 8; k < 10; k++)
            assert_int_equal(ring_send_whole(&p.router, RING_CREDIT, k, &k, 4), 0);
        assert_int_equal(ring_send_whole(&p.router, RING_CREDIT, 10, NULL, 0), -EAGAIN);
        assert_memory_equal(entry_at(&p.router, 3), &before, sizeof before);
        assert_violation(&p.router, ": head ");
        pair_close(&p);
    }
}

/* What is pushed but not published cannot have been consumed. */
static void test_head_past_published(void **state)
{
    struct link_pair *p = *state;

    for (uint64_t k = 0; k < 8; k++)
        assert_int_equal(ring_send_whole(&p->router, RING_CREDIT, k, &k, 4), 0);
    atomic_store(&p->worker.own->head, 8);
    assert_int_equal(ring_room(&p->router), 0);
    assert_violation(&p->router, "head 8, expected 0");
}

static void test_assemble_refuses(void **state)
{
    struct step {
        uint64_t request;
        enum ring_type type;
        uint8_t flags;
        uint16_t len;
    };
    static const struct {
        struct step step[4]; /* len_max is 100; the last step is the one that breaks a rule */
        int n;
        const char *text;
    } rows[] = {
        {{{1, RING_TOKEN, 0, 40}}, 1, "w2r entry 0: first fragment 0, expected 1"},
        {{{1, RING_TOKEN, RING_LAST, 4}}, 1, "first fragment 0, expected 1"},
        {{{1, RING_TOKEN, RING_FIRST, 40}, {1, RING_TOKEN, RING_FIRST, 40}},
         2,
         "w2r entry 1: first fragment 1, expected 0"},
        {{{1, RING_TOKEN, RING_FIRST, 40}, {1, RING_TOKEN, RING_FIRST | RING_LAST, 4}},
         2,
         "first fragment 1, expected 0"},
        {{{1, RING_TOKEN, RING_FIRST, 39}}, 1, "length of a fragment in the middle 39"},
        {{{1, RING_TOKEN, RING_FIRST, 40}, {1, RING_TOKEN, 0, 0}},
         2,
         "length of a fragment in the middle 0"},
        {{{1, RING_TOKEN, RING_FIRST, 40}, {1, RING_TOKEN, RING_LAST, 0}},
         2,
         "length of a last fragment 0"},
        {{{1, RING_TOKEN, RING_FIRST, 40}, {2, RING_TOKEN, RING_LAST, 4}},
         2,
         "fragment of request 2, expected 1"},
        {{{1, RING_TOKEN, RING_FIRST, 40}, {1, RING_DONE, RING_LAST, 4}}, 2, "fragment of type 6"},
        {{{1, RING_TOKEN, RING_FIRST, 40}, {1, RING_TOKEN, 0, 40}, {1, RING_TOKEN, RING_LAST, 21}},
         3,
         "w2r entry 2: record length 101, expected 100"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct link_pair p;
        struct ring_assembler a = {.len_max = 100};
        struct ring_record rec;
        struct ring_entry e;

        pair_open(&p, EPOCH, 8);
        for (int k = 0; k < rows[i].n; k++) {
            const struct step *s = &rows[i].step[k];
            struct ring_entry *at = entry_at(&p.worker, (uint64_t)k);
            assert_int_equal(ring_send_whole(&p.worker, s->type, s->request, "", 0), 0);
            at->flags = s->flags;
            at->len = s->len;
            seal_entry(at);
        }
        ring_publish(&p.worker);
        for (int k = 0; k < rows[i].n; k++) {
            assert_int_equal(ring_pop(&p.router, &e), 1);
            assert_int_equal(ring_assemble(&p.router, &a, &e, &rec),
                             k == rows[i].n - 1 ? -EPROTO : 0);
        }
        assert_violation(&p.router, rows[i].text);
        buf_free(&a.buf);
        pair_close(&p);
    }
}

static void test_assemble_bounds_single_entry(void **state)
{
    struct link_pair *p = *state;
    struct ring_assembler a = {.len_max = 10};
    struct ring_record rec;
    struct ring_entry e;

    assert_int_equal(ring_send_whole(&p->worker, RING_TOKEN, 1, "0123456789", 10), 0);
    assert_int_equal(ring_send_whole(&p->worker, RING_TOKEN, 1, "0123456789a", 11), 0);
    ring_publish(&p->worker);
    assert_int_equal(ring_pop(&p->router, &e), 1);
    assert_int_equal(ring_assemble(&p->router, &a, &e, &rec), 1);
    assert_ptr_equal(rec.data, e.payload);
    assert_int_equal(ring_pop(&p->router, &e), 1);
    assert_int_equal(ring_assemble(&p->router, &a, &e, &rec), -EPROTO);
    assert_violation(&p->router, "record length 11, expected 10");
}

/* ---- memory ---- */

static void test_seals_keep_others_out(void **state)
{
    struct link_pair *p = *state;
    int fd = p->fds.memory[W2R];
    size_t size = p->worker.own_size;

    assert_ptr_equal(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(errno, EPERM);
    void *reader = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(reader, MAP_FAILED);
    assert_int_equal(mprotect(reader, size, PROT_READ | PROT_WRITE), -1);
    munmap(reader, size);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, (off_t)size + 4096), -1);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    /* the writer's mapping lives on */
    assert_int_equal(ring_send_whole(&p->worker, RING_CANCELLED, 1, NULL, 0), 0);
    ring_publish(&p->worker);
    struct ring_entry e;
    assert_int_equal(ring_pop(&p->router, &e), 1);
}

static void assert_refused(struct ring *r, int fd, enum ring_direction dir, uint64_t epoch, int rc,
                           const char *text)
{
    struct err e = {0};
    struct ring before = *r;

    assert_int_equal(ring_map_own(r, fd, dir, epoch, &e), rc);
    assert_int_equal(e.code, -rc);
    if (strstr(e.text, text) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", e.text, text);
    assert_memory_equal(r, &before, sizeof before);
}

static void test_map_own_refuses(void **state)
{
    struct ring r = {0};
    struct err e;
    int pipe_fds[2];
    struct ring_memory head;
    int fd = ring_memory_create(R2W, EPOCH, 8, &e);

    (void)state;
    assert_true(fd >= 0);
    assert_refused(&r, fd, R2W, EPOCH + 1, -EPROTO, "epoch");
    assert_refused(&r, fd, W2R, EPOCH, -EPROTO, "direction");
    assert_int_equal(pread(fd, &head, sizeof head, 0), sizeof head);
    static const struct {
        size_t offset;
        uint32_t value;
        const char *text;
    } rows[] = {
        {offsetof(struct ring_memory, magic), 1, "magic"},
        {offsetof(struct ring_memory, version), 99, "version 99"},
        {offsetof(struct ring_memory, capacity), 16, "capacity 16"},
        {offsetof(struct ring_memory, capacity), 7, "capacity 7"},
        {offsetof(struct ring_memory, capacity), 0, "capacity 0"},
        {offsetof(struct ring_memory, capacity), 1u << 31, "capacity 2147483648"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(pwrite(fd, &rows[i].value, 4, (off_t)rows[i].offset), 4);
        assert_refused(&r, fd, R2W, EPOCH, -EPROTO, rows[i].text);
        assert_int_equal(pwrite(fd, &head, sizeof head, 0), sizeof head);
    }
    assert_int_equal(ring_map_own(&r, fd, R2W, EPOCH, &e), 0);
    ring_unmap(&r);
    assert_int_equal(ring_memory_seal(fd, &e), 0);
    r = (struct ring){0};
    assert_refused(&r, fd, R2W, EPOCH, -EPERM, "map ring r2w");
    close(fd);

    fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_refused(&r, fd, R2W, EPOCH, -EPERM, "seals");
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    assert_refused(&r, fd, R2W, EPOCH, -EINVAL, "100 bytes, too short");
    close(fd);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_refused(&r, pipe_fds[0], R2W, EPOCH, -EINVAL, "not a memfd");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void test_map_peer_refuses(void **state)
{
    struct link_fds l, other;
    struct ring r;
    struct err e;

    (void)state;
    assert_int_equal(link_fds_create(&l, EPOCH, 8, &e), 0);
    assert_int_equal(link_fds_create(&other, EPOCH + 1, 8, &e), 0);
    assert_int_equal(ring_map_own(&r, l.memory[R2W], R2W, EPOCH, &e), 0);
    /* before the seal its writer could be anybody */
    assert_int_equal(ring_map_peer(&r, l.memory[W2R], &e), -EPERM);
    assert_int_equal(link_fds_seal(&l, &e), 0);
    assert_int_equal(link_fds_seal(&other, &e), 0);
    assert_int_equal(ring_map_peer(&r, other.memory[W2R], &e), -EPROTO);
    assert_non_null(strstr(e.text, "epoch"));
    assert_int_equal(ring_map_peer(&r, l.memory[R2W], &e), -EPROTO);
    assert_non_null(strstr(e.text, "direction"));
    assert_null(r.peer);
    assert_int_equal(ring_map_peer(&r, l.memory[W2R], &e), 0);
    ring_unmap(&r);
    link_fds_close(&l);
    link_fds_close(&other);
}

static void test_unmap_gives_everything_back(void **state)
{
    struct link_pair p;

    (void)state;
    pair_open(&p, EPOCH, 8);
    int wake = p.router.wake_fd, wake_peer = p.router.wake_peer_fd;
    ring_unmap(&p.router);
    assert_int_equal(fcntl(wake, F_GETFD), -1);
    assert_int_equal(fcntl(wake_peer, F_GETFD), -1);
    assert_null(p.router.own);
    assert_null(p.router.peer);
    ring_unmap(&p.router);    /* again: nothing to do */
    struct ring zeroed = {0}; /* its wake_fd 0 is nobody's */
    int stdin_flags = fcntl(0, F_GETFD);
    ring_unmap(&zeroed);
    assert_int_equal(fcntl(0, F_GETFD), stdin_flags);
    pair_close(&p);
    assert_int_equal(fcntl(p.fds.memory[0], F_GETFD), -1);
}

int main(void)
{
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        WITH_PAIR(test_wrap_around),
        WITH_PAIR(test_full_ring_takes_nothing_more),
        WITH_PAIR(test_nothing_before_publish),
        WITH_PAIR(test_fragments),
        WITH_PAIR(test_whole_record_sees_new_room),
        WITH_PAIR(test_wake_for_data),
        WITH_PAIR(test_wake_for_space),
        cmocka_unit_test(test_pop_refuses),
        cmocka_unit_test(test_lying_tail),
        cmocka_unit_test(test_lying_head),
        WITH_PAIR(test_head_past_published),
        cmocka_unit_test(test_assemble_refuses),
        WITH_PAIR(test_assemble_bounds_single_entry),
        WITH_PAIR(test_seals_keep_others_out),
        cmocka_unit_test(test_map_own_refuses),
        cmocka_unit_test(test_map_peer_refuses),
        cmocka_unit_test(test_unmap_gives_everything_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A peer's memory with any content: mapping it, taking what is in it, and sending to it end with
 * entries, nothing, or a violation; never with a crash, a loop, or a record that breaks a rule.
 *
 * First byte: IMAGE_HEADER = the image covers the header too; IMAGE_SEALED = epochs, sequence
 * numbers and checksums of the entries are made right, so that what is checked after them is met.
 * The rest is the image: the header's line or not, the lines of tail, head and asleep (16 bytes of
 * each), the entries. */
#include "shm/link.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <string.h>

#define CAPACITY     8
#define EPOCH        0x1000000007ull
#define LEN_MAX      200
#define IMAGE_HEADER 1
#define IMAGE_SEALED 2

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Copy the next bytes of the input, as many as there are. */
static void take(void *to, size_t n, const uint8_t **bytes, size_t *left)
{
    size_t len = n < *left ? n : *left;

    if (len > 0)
        memcpy(to, *bytes, len);
    *bytes += len;
    *left -= len;
}

static void paint(struct ring_memory *m, const uint8_t *bytes, size_t size)
{
    int flags = size > 0 ? bytes[0] : 0;
    size_t left = size > 0 ? size - 1 : 0;

    bytes++;
    if (flags & IMAGE_HEADER)
        take(m, 32, &bytes, &left);
    take((void *)&m->tail, 16, &bytes, &left);
    take((void *)&m->head, 16, &bytes, &left);
    take((void *)&m->asleep, 16, &bytes, &left);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        struct ring_entry e = {0};
        take(&e, sizeof e, &bytes, &left);
        if (flags & IMAGE_SEALED) {
            e.epoch = (uint32_t)EPOCH;
            e.seq = i;
            e.crc = hash_crc32c(&e, offsetof(struct ring_entry, crc));
        }
        memcpy((void *)(uintptr_t)m->entry[i].word, &e, sizeof e);
    }
}

static void check_record(const struct ring_record *rec)
{
    uint8_t sum = 0;

    CHECK(rec->len <= LEN_MAX && ring_type_direction(rec->type) == W2R);
    for (size_t i = 0; i < rec->len; i++)
        sum = (uint8_t)(sum + rec->data[i]); /* every byte may be read */
    CHECK(sum == 0 || rec->len > 0);
}

static void exercise(struct ring *r)
{
    struct ring_assembler a = {.len_max = LEN_MAX};
    struct ring_record rec;
    struct ring_entry e;
    uint32_t n = 0, sent = 0;
    int rc;

    while ((rc = ring_pop(r, &e)) == 1) {
        CHECK(++n <= CAPACITY); /* the memory does not change under us */
        CHECK(e.len <= RING_PAYLOAD && (rc = ring_assemble(r, &a, &e, &rec)) <= 1);
        if (rc < 0)
            break;
        if (rc == 1)
            check_record(&rec);
    }
    ring_release(r);
    while (ring_send_whole(r, RING_CREDIT, 1, "abcd", 4) == 0)
        CHECK(++sent <= 2 * CAPACITY);
    ring_publish(r);
    ring_room(r);
    ring_sleep(r, RING_ASLEEP_DATA | RING_ASLEEP_SPACE);
    ring_awake(r);
    if (rc < 0 || r->violation[0] != '\0')
        CHECK(ring_pop(r, &e) == -EPROTO && r->violation[0] != '\0');
    buf_free(&a.buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct ring router = {0}, worker = {0};
    struct link_fds l;
    struct err e;

    CHECK(link_fds_create(&l, EPOCH, CAPACITY, &e) == 0);
    CHECK(ring_map_own(&router, l.memory[R2W], R2W, EPOCH, &e) == 0);
    CHECK(ring_map_own(&worker, l.memory[W2R], W2R, EPOCH, &e) == 0);
    CHECK(link_fds_seal(&l, &e) == 0);
    paint(worker.own, bytes, size);
    if (ring_map_peer(&router, l.memory[W2R], &e) == 0)
        exercise(&router);
    else
        CHECK(router.peer == NULL && e.text[0] != '\0');
    ring_unmap(&router);
    ring_unmap(&worker);
    link_fds_close(&l);
    return 0;
}

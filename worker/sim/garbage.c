#include "worker/sim/garbage.h"

#include "base/hash.h"
#include "base/log.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define CRC_BYTES 60

const char *garbage_name(enum garbage_kind kind)
{
#define X(constant, text) text,
    static const char *const names[] = { GARBAGE_KINDS(X) };
#undef X
    return kind < GARBAGE_KINDS_N ? names[kind] : "?";
}

static struct ring_entry token_entry(const struct garbage_place *p)
{
    struct token_head head = {.index = p->index, .token = 0};
    struct ring_entry entry = {.request = p->request,
                               .epoch = (uint32_t)p->ring->epoch,
                               .seq = (uint32_t)p->ring->tail,
                               .type = RING_TOKEN,
                               .flags = RING_FIRST | RING_LAST,
                               .len = sizeof head};

    memcpy(entry.payload, &head, sizeof head);
    return entry;
}

/* What ring_send never writes; flip goes into the finished checksum. */
static void push_raw(struct ring *r, struct ring_entry *entry, uint32_t flip)
{
    uint64_t words[8];

    entry->crc = hash_crc32c(entry, CRC_BYTES) ^ flip;
    memcpy(words, entry, sizeof words);
    for (int i = 0; i < 8; i++)
        atomic_store_explicit(&r->own->entry[r->tail & r->own_mask].word[i], words[i],
                              memory_order_relaxed);
    r->tail++;
}

static void push_record(struct garbage_place *p, uint64_t request, const void *data, size_t len)
{
    (void)ring_send_whole(p->ring, RING_TOKEN, request, data, len);
}

static void write_noise(struct ring *r)
{
    uint64_t seed = hash_random64();

    for (uint64_t i = 0; i < (uint64_t)(r->own_mask + 1) * 8; i++)
        atomic_store_explicit(&r->own->entry[i / 8].word[i % 8], hash_mix(seed, i),
                              memory_order_relaxed);
    atomic_store(&r->own->head, hash_mix(seed, ~0ull));
    atomic_store(&r->own->asleep, (uint32_t)seed);
    r->tail = hash_mix(seed, ~1ull);
}

static void write_entry(struct garbage_place *p, enum garbage_kind kind)
{
    struct ring_entry entry = token_entry(p);

    if (ring_room(p->ring) == 0)
        return;
    if (kind == GARBAGE_EPOCH)
        entry.epoch--;
    else if (kind == GARBAGE_SEQUENCE)
        entry.seq += 5;
    else if (kind == GARBAGE_TYPE)
        entry.type = RING_SUBMIT;
    else if (kind == GARBAGE_LENGTH)
        entry.len = UINT16_MAX;
    else if (kind == GARBAGE_FRAGMENT)
        entry.flags = RING_LAST;
    push_raw(p->ring, &entry, kind == GARBAGE_CRC ? 1u << 7 : 0);
}

static void write_record(struct garbage_place *p, enum garbage_kind kind)
{
    struct {
        struct token_head head;
        struct part_head part;
        char text[W2R_RECORD_MAX];
    } rec = {.head = {.index = p->index, .n_parts = 1}, .part = {.len = 8}};
    size_t len = sizeof rec.head + sizeof rec.part + 8;
    uint64_t request = p->request;

    memset(rec.text, 'x', sizeof rec.text);
    if (kind == GARBAGE_LONG)
        len = sizeof rec;
    else if (kind == GARBAGE_REQUEST)
        request = ~request;
    else if (kind == GARBAGE_INDEX)
        rec.head.index += 3;
    else if (kind == GARBAGE_VOCAB)
        rec.head.token = p->vocab;
    else if (kind == GARBAGE_UTF8)
        memcpy(rec.text, "\xc0\xaf\xed\xa0\x80\xf5\x80\xff", 8);
    else if (kind == GARBAGE_PARTS)
        rec.part.len = 4000;
    else if (kind == GARBAGE_FLAGS)
        rec.head.flags = (uint8_t)~TOKEN_FLAGS;
    else if (kind == GARBAGE_ECHO)
        rec.head.flags = TOKEN_PROMPT;
    else if (kind == GARBAGE_TOPS)
        rec.head.n_tops = TOPS_MAX + 1;
    else if (kind == GARBAGE_NUMBER)
        rec.head.logprob = NAN;
    push_record(p, request, &rec, len);
}

/* Indices are spoiled in the handle too, so that the next publication does not heal them. */
static void write_kind(struct garbage_place *p, enum garbage_kind kind)
{
    struct ring *r = p->ring;
    uint64_t beyond = 2 * ((uint64_t)r->own_mask + 1);

    switch (kind) {
    case GARBAGE_NOISE:
        write_noise(r);
        break;
    case GARBAGE_TAIL:
        r->tail += beyond;
        break;
    case GARBAGE_BACK:
        r->tail -= beyond;
        break;
    case GARBAGE_CRC:
    case GARBAGE_EPOCH:
    case GARBAGE_SEQUENCE:
    case GARBAGE_TYPE:
    case GARBAGE_LENGTH:
    case GARBAGE_FRAGMENT:
        write_entry(p, kind);
        break;
    case GARBAGE_LONG:
    case GARBAGE_REQUEST:
    case GARBAGE_INDEX:
    case GARBAGE_VOCAB:
    case GARBAGE_UTF8:
    case GARBAGE_PARTS:
    case GARBAGE_FLAGS:
    case GARBAGE_ECHO:
    case GARBAGE_TOPS:
    case GARBAGE_NUMBER:
        write_record(p, kind);
        break;
    case GARBAGE_ANY:
    case GARBAGE_KINDS_N:
        break;
    }
}

void garbage_write(struct garbage_place *place, enum garbage_kind kind)
{
    if (kind == GARBAGE_ANY)
        kind = (enum garbage_kind)(1 + hash_random64() % (GARBAGE_KINDS_N - 1));
    log_warning(LOG_LINK, "fault on demand: garbage %s", garbage_name(kind));
    write_kind(place, kind);
    ring_publish(place->ring);
    if (place->ring->wake_peer_fd >= 0) {
        ssize_t n = write(place->ring->wake_peer_fd, "", 1);
        (void)n; /* EAGAIN: it is being woken already */
    }
}

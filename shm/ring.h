/* A link: one pair of single-producer single-consumer rings between the router and one worker.
 *
 * Each direction is one sealed memfd (a `struct ring_memory`) that its writer alone can map
 * writable: the kernel's F_SEAL_FUTURE_WRITE keeps everybody else out.
 *
 *   r2w  written by the router:  its entries, its tail, and its head into w2r
 *   w2r  written by the worker:  its entries, its tail, and its head into r2w
 *
 *   tail      entries ever published here                  (64 bits, free-running, masked on use)
 *   head      entries ever consumed of the other direction (the same)
 *   asleep    what this side sleeps for: RING_ASLEEP_DATA until the other side publishes,
 *             RING_ASLEEP_SPACE until it consumes
 *   entry[]   64-byte entries
 *
 * tail - head of the other side is the fill; entries in [head, tail) belong to the consumer. The
 * release store of tail hands entries over, the acquire load takes them; the release store of head
 * gives them back. Full = the producer waits (and counts it); nothing is overwritten.
 *
 * Wake-ups. Producer: store tail, then load the peer's asleep. Consumer: store asleep, then load the
 * peer's tail. Both pairs are seq_cst, so at least one side sees the other (tests/model/wake.pml);
 * the pipe is written only when the peer sleeps.
 *
 * Epochs. A link is made for one pair of incarnations (router, worker) and has an epoch of its own;
 * nothing is reset in place. When either process dies the supervisor, having reaped it, tells the
 * survivor, which unmaps the link and drops what it holds; entries left there are never read.
 *
 * What a peer wrote is input from a stranger: ring_pop bounds the indices, copies the entry out
 * once, and validates the copy (CRC-32C, epoch, sequence, type, length). Any failed check is a
 * protocol violation: the caller reports the peer and drops the link; it never skips an entry.
 *
 * Records longer than one entry are a run of entries, the first marked RING_FIRST, the last
 * RING_LAST, nothing of another record between them; so no record is limited by a ring's size.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include "base/buf.h"
#include "base/err.h"
#include "shm/protocol.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/uio.h>

#define RING_LINE        128
#define RING_MAGIC       0x676e6972u
#define RING_VERSION     3
#define RING_PAYLOAD     40
#define RING_CAPACITY    4096 /* entries per direction: 256 KiB */
#define RING_CAPACITY_MAX (1u << 20)

#define RING_FIRST 1u
#define RING_LAST  2u

#define RING_ASLEEP_DATA  1u
#define RING_ASLEEP_SPACE 2u

struct ring_entry {
    uint64_t request; /* id, 0 = about the link itself */
    uint32_t epoch;   /* low half of the link's epoch */
    uint32_t seq;     /* low half of the entry's index */
    uint8_t type;     /* enum ring_type */
    uint8_t flags;    /* RING_FIRST, RING_LAST */
    uint16_t len;     /* bytes of payload used */
    uint8_t payload[RING_PAYLOAD];
    uint32_t crc; /* CRC-32C of the 60 bytes before */
};
_Static_assert(sizeof(struct ring_entry) == 64, "ABI: bump RING_VERSION");

struct ring_memory {
    _Alignas(RING_LINE) uint32_t magic; /* written by the supervisor before the seal */
    uint32_t version;
    uint64_t epoch;
    uint32_t capacity; /* a power of two */
    uint32_t direction; /* enum ring_direction */
    _Alignas(RING_LINE) _Atomic uint64_t tail;
    _Alignas(RING_LINE) _Atomic uint64_t head;
    _Alignas(RING_LINE) _Atomic uint32_t asleep;
    struct {
        _Alignas(64) _Atomic uint64_t word[8];
    } entry[];
};

/* One side's handle. */
struct ring {
    struct ring_memory *own;        /* mapped writable */
    const struct ring_memory *peer; /* mapped read-only */
    size_t own_size, peer_size;
    uint64_t epoch;
    uint32_t own_mask, peer_mask; /* copied when mapped; never read from memory again */
    uint64_t tail;      /* entries pushed; own->tail lags until ring_publish */
    uint64_t peer_head; /* last seen */
    uint64_t head;      /* entries popped; own->head lags until ring_release */
    uint64_t peer_tail; /* last seen */
    int wake_fd;        /* pipe end this side sleeps on, or -1; owned */
    int wake_peer_fd;   /* pipe end that wakes the peer, or -1; owned */
    enum ring_direction sends;
    char violation[160]; /* why ring_pop says -EPROTO, from then on; "" = nothing found yet */
};

/* --- supervisor --- */

/* A memfd for one direction: allocated in full, header written, sealed SHRINK|GROW.
 * The fd, or a negative errno with the sentence. */
int ring_memory_create(enum ring_direction dir, uint64_t epoch, uint32_t capacity, struct err *e);

/* After the writer has mapped it: nobody else ever maps it writable. 0 or -errno. */
int ring_memory_seal(int fd, struct err *e);

/* --- router and worker --- */

/* Map the direction this side writes, then the other. Both check size, seals, header, epoch.
 * The fds stay the caller's. On an error the ring is unchanged. 0 or -errno with the sentence. */
int ring_map_own(struct ring *r, int fd, enum ring_direction dir, uint64_t epoch, struct err *e);
int ring_map_peer(struct ring *r, int fd, struct err *e);

/* Unmap, close the pipe ends, leave a zeroed handle. A zeroed handle may be passed. */
void ring_unmap(struct ring *r);

/* Entries that fit now. A peer whose head makes no sense is a violation that ring_pop reports. */
uint32_t ring_room(struct ring *r);

/* Add fragments of one record until it is complete or the ring is full. *done counts payload bytes
 * already pushed, 0 at first; call again with the same arguments after space came. Returns 1 when
 * the last fragment is in, else 0. Nothing is visible to the peer before ring_publish. */
int ring_send(struct ring *r, enum ring_type type, uint64_t request, const void *data, size_t len,
              size_t *done);
/* The same for a record that lies in n pieces. */
int ring_send_parts(struct ring *r, enum ring_type type, uint64_t request,
                    const struct iovec *part, int n, size_t *done);

/* ring_send for a record that must go whole or not at all: 0, or -EAGAIN when it does not fit now.
 * It must fit into an empty ring. */
int ring_send_whole(struct ring *r, enum ring_type type, uint64_t request, const void *data,
                    size_t len);

/* Hand over everything pushed; wakes a sleeping peer. */
void ring_publish(struct ring *r);

/* Take one entry: 1, 0 when there is none, -EPROTO (see violation), which is for good. */
int ring_pop(struct ring *r, struct ring_entry *out);

/* Give back everything popped; wakes a peer that waits for space. */
void ring_release(struct ring *r);

/* Announce sleep for the given bits: 1 = go to sleep, 0 = there is work already (and the
 * announcement is taken back). */
int ring_sleep(struct ring *r, uint32_t bits);

/* Awake again: withdraw the announcement and drain the pipe. */
void ring_awake(struct ring *r);

/* Reassembly of records. One-entry records cost no copy: data points into the entry. */
struct ring_record {
    uint64_t request;
    enum ring_type type;
    const uint8_t *data; /* valid until the next call */
    size_t len;
};
struct ring_assembler {
    struct buf buf; /* owned */
    uint64_t request;
    uint8_t type;
    int is_open;
    size_t len_max; /* longer records are violations */
};

/* 1 and *rec when the entry completes a record, 0 when more is to come, -EPROTO. */
int ring_assemble(struct ring *r, struct ring_assembler *a, const struct ring_entry *e,
                  struct ring_record *rec);

#endif

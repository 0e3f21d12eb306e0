/* A worker that goes mad: everything that it can write into memory the router reads, and that the
 * router must answer with one thing only, a reported violation. */
#ifndef WORKER_SIM_GARBAGE_H
#define WORKER_SIM_GARBAGE_H

#include "shm/ring.h"

/* X(constant, text). Down to length: the ring's own rules; then those of the records in it. */
#define GARBAGE_KINDS(X) \
    X(GARBAGE_ANY, "any")           /* one of the others, by chance */ \
    X(GARBAGE_NOISE, "noise")       /* random bytes in every entry, and random indices */ \
    X(GARBAGE_TAIL, "tail")         /* a tail beyond the capacity */ \
    X(GARBAGE_BACK, "back")         /* a tail that goes back */ \
    X(GARBAGE_CRC, "crc")           /* one flipped bit */ \
    X(GARBAGE_EPOCH, "epoch")       /* an entry of another epoch */ \
    X(GARBAGE_SEQUENCE, "sequence") /* an entry with another's sequence number */ \
    X(GARBAGE_TYPE, "type")         /* a type that only the router may send */ \
    X(GARBAGE_LENGTH, "length")     /* more payload than an entry has */ \
    X(GARBAGE_FRAGMENT, "fragment") /* a fragment of no record */ \
    X(GARBAGE_LONG, "long")         /* a record longer than any may be */ \
    X(GARBAGE_REQUEST, "request")   /* a token of a request that does not exist */ \
    X(GARBAGE_INDEX, "index")       /* a token with another's index */ \
    X(GARBAGE_VOCAB, "vocab")       /* a token outside the vocabulary */ \
    X(GARBAGE_UTF8, "utf8")         /* text that is not UTF-8 */ \
    X(GARBAGE_PARTS, "parts")       /* parts that are longer than their record */ \
    X(GARBAGE_FLAGS, "flags")       /* a flag that does not exist */ \
    X(GARBAGE_ECHO, "echo")         /* a token of the prompt after generated ones */ \
    X(GARBAGE_TOPS, "tops")         /* tops, more than any record may have */ \
    X(GARBAGE_NUMBER, "number")     /* a log-probability that is not a number */

#define X(constant, text) constant,
enum garbage_kind { GARBAGE_KINDS(X) GARBAGE_KINDS_N };
#undef X

const char *garbage_name(enum garbage_kind kind);

/* Where: the ring, and a live request with its next token's index. */
struct garbage_place {
    struct ring *ring; /* borrowed */
    uint64_t request;
    uint32_t index;
    uint32_t vocab;
};

/* Write it, publish it and wake the router, unless the kind needs room and the ring is full. */
void garbage_write(struct garbage_place *place, enum garbage_kind kind);

#endif

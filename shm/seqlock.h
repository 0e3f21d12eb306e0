/* Sequence lock: a record of several words that one process writes and anyone reads.
 *
 *   writer  seq |= 1 (odd), fence, words, seq + 1 (release)
 *   reader  seq (acquire); odd = retry; words; fence; same seq = the copy is whole
 *
 * A writer killed half way leaves seq odd, and its successor's "| 1" keeps it odd until the record
 * is whole again: with "+ 1" the successor would make it even over a torn record. Readers retry a
 * bounded number of times and then report -EAGAIN. The payload is words of _Atomic uint64_t, so a
 * torn read is a retry, never undefined behaviour.
 */
#ifndef SHM_SEQLOCK_H
#define SHM_SEQLOCK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SEQLOCK_ATTEMPTS 64

#define SEQLOCK_SLOT(name, type)                                                                   \
    struct name {                                                                                  \
        _Alignas(64) _Atomic uint32_t seq;                                                         \
        uint32_t reserved;                                                                         \
        _Atomic uint64_t word[sizeof(type) / 8];                                                   \
    };                                                                                             \
    _Static_assert(sizeof(type) % 8 == 0, "records are whole words")

/* Use as seqlock_publish(&node->process[i], &record) with the matching types. */
#define seqlock_publish(slot, record)                                                              \
    seqlock_write(&(slot)->seq, (slot)->word, (record), sizeof *(record))
#define seqlock_copy(slot, record)                                                                 \
    seqlock_read(&(slot)->seq, (slot)->word, (record), sizeof *(record))

void seqlock_write(_Atomic uint32_t *seq, _Atomic uint64_t *word, const void *record, size_t size);

/* 0, or -EAGAIN when no whole copy was to be had (writer busy, or dead in the middle). */
int seqlock_read(const _Atomic uint32_t *seq, const _Atomic uint64_t *word, void *record,
                 size_t size);

#endif

#include "shm/seqlock.h"

#include <errno.h>
#include <string.h>

void seqlock_write(_Atomic uint32_t *seq, _Atomic uint64_t *word, const void *record, size_t size)
{
    uint32_t open = atomic_load_explicit(seq, memory_order_relaxed) | 1u;
    const char *from = record;

    atomic_store_explicit(seq, open, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* odd seq before any word */
    for (size_t i = 0; i < size / 8; i++) {
        uint64_t w;
        memcpy(&w, from + i * 8, 8);
        atomic_store_explicit(&word[i], w, memory_order_relaxed);
    }
    atomic_store_explicit(seq, open + 1, memory_order_release);
}

int seqlock_read(const _Atomic uint32_t *seq, const _Atomic uint64_t *word, void *record,
                 size_t size)
{
    char *to = record;

    for (int attempt = 0; attempt < SEQLOCK_ATTEMPTS; attempt++) {
        uint32_t before = atomic_load_explicit(seq, memory_order_acquire);

        if (before & 1)
            continue;
        for (size_t i = 0; i < size / 8; i++) {
            uint64_t w = atomic_load_explicit(&word[i], memory_order_relaxed);
            memcpy(to + i * 8, &w, 8);
        }
        atomic_thread_fence(memory_order_acquire); /* every word before the re-check */
        if (atomic_load_explicit(seq, memory_order_relaxed) == before)
            return 0;
    }
    return -EAGAIN;
}

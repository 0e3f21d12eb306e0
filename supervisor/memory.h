/* Pieces of memory for weights: made, looked at, given back. Their contents are the workers'. */
#ifndef SUPERVISOR_MEMORY_H
#define SUPERVISOR_MEMORY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMORY_BYTES_MAX (UINT64_C(1) << 40)

/* A memfd of that many zeros whose size is for good; its pages are taken when they are written.
 * others: bytes that other pieces will still take. Refused when the machine has less than both
 * together: -ENOMEM with the numbers. The fd or -errno with the sentence. */
int memory_create(uint64_t bytes, uint64_t others, struct err *e);

/* Bytes of it that are not written yet. */
uint64_t memory_unwritten(int fd, uint64_t bytes);

/* Nobody can write it any more, and nobody could when it was sealed: the kernel does not seal while
 * there is a writable mapping. */
bool memory_is_sealed(int fd);

/* Give a piece back that nobody else may have any more. The kernel frees the pages of its last
 * holder in that holder's time, a second for 7 GB: so a thread of its own becomes the last holder.
 * 1 when that is under way; it writes to done_fd (an eventfd) at its end. 0 when all is done. */
int memory_discard(int fd, int done_fd);

#endif

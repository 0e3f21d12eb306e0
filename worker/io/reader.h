/* Reading the weights: many ranges of a few files, each byte once, in pieces handed to a sink as
 * they arrive. Two configured modes, the same pieces in both: io_uring keeps several reads in
 * flight past the page cache; pread reads one after the other. Neither becomes the other by itself.
 */
#ifndef WORKER_IO_READER_H
#define WORKER_IO_READER_H

#include "base/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define X(constant, name) constant,
enum reader_mode { CONFIG_IO_MODES(X) READER_MODES_N };
#undef X

#define READER_PIECE_MIN 4096
#define READER_PIECE     ((size_t)1 << 20)
#define READER_DEPTH     16
#define READER_DEPTH_MAX 256

struct reader_source {
    const char *name; /* borrowed, for sentences */
    int fd;
    int direct_fd; /* the same file with O_DIRECT (root_open_direct); -1: none */
    uint64_t size;
};

/* Sorted by source and offset, not overlapping, inside their files. */
struct reader_range {
    uint32_t source;
    uint64_t offset, bytes;
};

/* len bytes from offset (counted from the start of the range) of ranges[range], valid during the
 * call. The pieces of a range come in any order and never twice. Not 0: the reading ends with it.
 */
typedef int reader_sink(void *to, uint32_t range, uint64_t offset, const void *data, size_t len,
                        struct err *e);

/* Between pieces, from the same thread. true: stop, with -ECANCELED. */
typedef bool reader_progress(void *to, uint64_t bytes_done, uint64_t bytes_all);

struct reader_plan {
    enum reader_mode mode;
    const struct reader_source *sources;
    const struct reader_range *ranges;
    uint32_t n_sources, n_ranges;
    size_t piece_bytes; /* of a read; a power of two from READER_PIECE_MIN on */
    uint32_t depth;     /* reads in flight, 1 to READER_DEPTH_MAX */
    reader_sink *sink;
    reader_progress *progress; /* may be NULL */
    void *to;
};

/* What was read from where. Reads are whole blocks, so their sum can exceed the ranges. */
struct reader_stats {
    uint64_t bytes;         /* handed to the sink */
    uint64_t bytes_direct;  /* past the page cache */
    uint64_t bytes_cached;  /* were in the page cache already */
    uint64_t bytes_through; /* through the page cache: pread, or a file system without O_DIRECT */
    uint64_t elapsed_ns;
    bool has_fixed_buffers; /* registered with the ring */
};

/* Read all ranges. -ENOSYS or -EPERM when the kernel has no io_uring for us: the sentence says what
 * to configure. Nothing is in flight any more when it returns, whatever it returns. */
int reader_run(const struct reader_plan *plan, struct reader_stats *stats, struct err *e);

#endif

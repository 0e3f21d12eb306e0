/* The extents of a plan, shared by both modes: which blocks to read next, and which pieces of which
 * ranges a block that was read holds. */
#ifndef WORKER_IO_READER_PLAN_H
#define WORKER_IO_READER_PLAN_H

#include "worker/io/reader.h"

#define READER_BLOCK 4096 /* what O_DIRECT may ask for in offset, length and memory */

/* One read: whole blocks, but for the end of the file. */
struct reader_extent {
    uint32_t source, range; /* range: the first that has bytes here */
    uint64_t start;         /* in the file, a multiple of READER_BLOCK */
    size_t len;
};

struct reader_cursor {
    const struct reader_plan *plan;
    uint32_t range;
    uint64_t at; /* in the range: everything before is in an extent */
    uint64_t bytes_all;
};

int reader_cursor_start(struct reader_cursor *c, const struct reader_plan *plan, struct err *e);

/* false when there is none left. */
bool reader_cursor_next(struct reader_cursor *c, struct reader_extent *x);

/* Hand over what the extent, now in data, holds of the ranges; then ask whether to go on. */
int reader_deliver(const struct reader_cursor *c, const struct reader_extent *x, const char *data,
                   struct reader_stats *stats, struct err *e);

/* The mode io_uring. */
int reader_run_uring(struct reader_cursor *c, struct reader_stats *stats, struct err *e);

#endif

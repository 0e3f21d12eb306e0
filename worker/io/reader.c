#include "worker/io/reader.h"

#include "base/clock.h"
#include "base/size.h"
#include "worker/io/reader_plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the plan --- */

static int check_plan(const struct reader_plan *p, struct err *e)
{
    if (p->piece_bytes < READER_PIECE_MIN || (p->piece_bytes & (p->piece_bytes - 1)) != 0 ||
        p->piece_bytes > (size_t)1 << 30)
        return err_set(e, EINVAL,
                       "read: found pieces of %zu bytes, expected a power of two from %d",
                       p->piece_bytes, READER_PIECE_MIN);
    if (p->depth < 1 || p->depth > READER_DEPTH_MAX)
        return err_set(e, EINVAL, "read: found a depth of %" PRIu32 ", expected 1 to %d", p->depth,
                       READER_DEPTH_MAX);
    return 0;
}

int reader_cursor_start(struct reader_cursor *c, const struct reader_plan *plan, struct err *e)
{
    const struct reader_range *before = NULL;
    int rc = check_plan(plan, e);

    *c = (struct reader_cursor){.plan = plan};
    for (uint32_t i = 0; rc == 0 && i < plan->n_ranges; i++) {
        const struct reader_range *r = &plan->ranges[i];
        uint64_t end;
        if (r->source >= plan->n_sources || !size_add(r->offset, r->bytes, &end) ||
            end > plan->sources[r->source].size)
            return err_set(e, EINVAL,
                           "read: found range %" PRIu32 " of %" PRIu64 " bytes at %" PRIu64
                           " of file %" PRIu32 ", expected it inside its file",
                           i, r->bytes, r->offset, r->source);
        if (before != NULL &&
            (before->source > r->source ||
             (before->source == r->source && before->offset + before->bytes > r->offset)))
            return err_set(e, EINVAL,
                           "read: found range %" PRIu32 " before the end of the one in "
                           "front, expected them sorted",
                           i);
        if (!size_add(c->bytes_all, r->bytes, &c->bytes_all))
            return err_set(e, EINVAL, "read: found more than 2^64 bytes");
        before = r;
    }
    return rc;
}

/* As far as one read goes, over the ranges that begin in it; gaps at its end are not read. */
static uint64_t find_end(struct reader_cursor *c, const struct reader_extent *x)
{
    const struct reader_plan *p = c->plan;
    uint64_t limit = x->start + p->piece_bytes, end = x->start;

    while (c->range < p->n_ranges && p->ranges[c->range].source == x->source) {
        const struct reader_range *r = &p->ranges[c->range];
        if (r->offset + c->at >= limit)
            break;
        if (r->offset + r->bytes > limit) {
            c->at = limit - r->offset;
            return limit;
        }
        end = r->offset + r->bytes;
        c->range++;
        c->at = 0;
    }
    return end;
}

bool reader_cursor_next(struct reader_cursor *c, struct reader_extent *x)
{
    const struct reader_plan *p = c->plan;

    while (c->range < p->n_ranges && p->ranges[c->range].bytes == 0)
        c->range++;
    if (c->range == p->n_ranges)
        return false;
    x->source = p->ranges[c->range].source;
    x->range = c->range;
    x->start = (p->ranges[c->range].offset + c->at) / READER_BLOCK * READER_BLOCK;
    uint64_t end = find_end(c, x), size = p->sources[x->source].size;
    uint64_t whole = (end + READER_BLOCK - 1) / READER_BLOCK * READER_BLOCK;
    x->len = (size_t)((whole < size ? whole : size) - x->start);
    return true;
}

/* Extents never overlap: each but the first of a file starts at or behind the limit of the one
 * before, which is a whole number of blocks. */
int reader_deliver(const struct reader_cursor *c, const struct reader_extent *x, const char *data,
                   struct reader_stats *stats, struct err *e)
{
    const struct reader_plan *p = c->plan;
    uint64_t limit = x->start + p->piece_bytes;
    int rc = 0;

    for (uint32_t i = x->range; rc == 0 && i < p->n_ranges; i++) {
        const struct reader_range *r = &p->ranges[i];
        uint64_t from = r->offset > x->start ? r->offset : x->start, to = r->offset + r->bytes;
        if (r->source != x->source || r->offset >= limit)
            break;
        if (to > limit)
            to = limit;
        if (to <= from)
            continue;
        rc = p->sink(p->to, i, from - r->offset, data + (from - x->start), (size_t)(to - from), e);
        stats->bytes += to - from;
    }
    if (rc == 0 && p->progress != NULL && p->progress(p->to, stats->bytes, c->bytes_all))
        rc = err_set(e, ECANCELED, "read: cancelled after %" PRIu64 " of %" PRIu64 " bytes",
                     stats->bytes, c->bytes_all);
    return rc;
}

/* --- pread --- */

static int read_extent(const struct reader_source *s, const struct reader_extent *x, char *to,
                       struct err *e)
{
    size_t done = 0;

    while (done < x->len) {
        ssize_t n = pread(s->fd, to + done, x->len - done, (off_t)(x->start + done));
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return err_set(e, errno, "read %s at offset %" PRIu64 ": %s", s->name, x->start + done,
                           strerror(errno));
        if (n == 0)
            return err_set(e, EIO,
                           "read %s: found its end at offset %" PRIu64 ", expected %" PRIu64
                           " bytes; it shrank while it was read",
                           s->name, x->start + done, s->size);
        done += (size_t)n;
    }
    return 0;
}

static int run_pread(struct reader_cursor *c, struct reader_stats *stats, struct err *e)
{
    struct reader_extent x;
    char *data = aligned_alloc(READER_BLOCK, c->plan->piece_bytes);
    int rc = 0;

    if (data == NULL)
        return err_set(e, ENOMEM, "read: no memory for a buffer of %zu bytes",
                       c->plan->piece_bytes);
    while (rc == 0 && reader_cursor_next(c, &x)) {
        rc = read_extent(&c->plan->sources[x.source], &x, data, e);
        if (rc == 0) {
            stats->bytes_through += x.len;
            rc = reader_deliver(c, &x, data, stats, e);
        }
    }
    free(data);
    return rc;
}

int reader_run(const struct reader_plan *plan, struct reader_stats *stats, struct err *e)
{
    struct reader_cursor c;
    uint64_t start_ns = clock_now_ns();
    int rc;

    *stats = (struct reader_stats){0};
    rc = reader_cursor_start(&c, plan, e);
    if (rc == 0)
        rc = plan->mode == READER_URING ? reader_run_uring(&c, stats, e) : run_pread(&c, stats, e);
    stats->elapsed_ns = clock_now_ns() - start_ns;
    return rc;
}

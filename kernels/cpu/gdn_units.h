/* How DeltaNet work is divided: units of (span, key head), weighed by the span's rows.  The same
 * for conv1d, gdn_gates and gdn_step/gdn_chunk, which is why no barrier is needed between them. */
#ifndef KERNELS_CPU_GDN_UNITS_H
#define KERNELS_CPU_GDN_UNITS_H

#include "kernels/kern.h"
#include "kernels/pool.h"

struct gdn_units {
    const struct kern_span *spans;
    int32_t hk, span, key_head;
    int64_t weight, from, to; /* rows * heads before the unit; this thread's part of the total */
    int64_t end;
};

static inline struct gdn_units gdn_units_begin(const struct kern_thread *th,
                                               const struct kern_span *spans, int32_t count,
                                               int32_t hk)
{
    struct gdn_units u = {.spans = spans, .hk = hk, .key_head = -1};

    for (int32_t i = 0; i < count; i++)
        u.end += (int64_t)spans[i].rows * hk;
    kern_split(th, u.end, &u.from, &u.to);
    return u;
}

/* Moves to the next unit of this thread: those that begin in its part. */
static inline bool gdn_units_next(struct gdn_units *u)
{
    do {
        if (u->key_head >= 0)
            u->weight += u->spans[u->span].rows;
        if (++u->key_head == u->hk) {
            u->key_head = 0;
            u->span++;
        }
    } while (u->weight < u->from);
    return u->weight < u->to;
}

#endif

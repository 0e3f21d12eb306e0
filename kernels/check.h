/* What every implementation refuses, checked before any work: kern_check_NAME(params) is 0 or the
 * negative errno the operation returns. */
#ifndef KERNELS_CHECK_H
#define KERNELS_CHECK_H

#include "kernels/kern.h"

#define X(op, params) int kern_check_##op(const struct params *p);
KERN_OPS(X)
#undef X

/* The parts of a DeltaNet slot, in bytes from its start. */
struct kern_slot_parts {
    size_t s, k, u, g, conv, bytes;
    int32_t dvp; /* dv rounded up to KERN_BLOCK */
    int32_t channels;
};

struct kern_slot_parts kern_slot_parts(const struct kern_gdn_heads *h);

static inline int32_t kern_round16(int32_t n)
{
    return (n + 15) / 16 * 16;
}

/* Value head i (0..hv/hk-1) of key head k. */
static inline int32_t kern_value_head(const struct kern_gdn_heads *h, int32_t k, int32_t i)
{
    return h->is_value_permuted ? k + i * h->hk : k * (h->hv / h->hk) + i;
}

static inline size_t kern_type_bytes(enum kern_type type)
{
    return type == KERN_BF16 ? 2 : 4;
}

#endif

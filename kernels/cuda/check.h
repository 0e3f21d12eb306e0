/* What the CUDA operations refuse before any launch, and the layouts both sides agree on.  Plain C:
 * it is compiled into the library, the reference and the tests. */
#ifndef KERNELS_CUDA_CHECK_H
#define KERNELS_CUDA_CHECK_H

#include "kernels/kern_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

#define X(op, params) int kern_cuda_check_##op(const struct params *p);
KERN_CUDA_OPS(X)
#undef X

/* The parts of a slot, in bytes from its start. */
struct kern_cuda_parts {
    size_t conv, k, u, a, bytes; /* S is at 0 */
    int32_t conv_rows, ring_rows;
    int32_t channels;
};

struct kern_cuda_parts kern_cuda_slot_parts(const struct kern_gdn_heads *h, int32_t keep,
                                            enum kern_type type);

/* What gdn_prepare leaves to gdn_scan for one piece of one value head.  The triangles are 16 x 16
 * blocks (row block w, column block s <= w) in the order of mma's B fragments. */
enum { KERN_CUDA_TRIANGLE = 10, KERN_CUDA_PREPARED_BYTES = 2 * 10 * 512 + 3 * 256 + 64 };

/* Whether gdn_chunk has tensor-core code for this shape. */
bool kern_cuda_has_tensor_path(const struct kern_gdn_heads *h, enum kern_type qkv);

static inline size_t kern_cuda_type_bytes(enum kern_type type)
{
    return type == KERN_BF16 ? 2 : 4;
}

/* Pieces of a span: it is cut at the multiples of KERN_CHUNK of its positions. */
static inline int32_t kern_cuda_pieces(int32_t pos, int32_t rows)
{
    return (pos + rows - 1) / KERN_CHUNK - pos / KERN_CHUNK + 1;
}

#ifdef __cplusplus
}
#endif

#endif

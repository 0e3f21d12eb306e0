// gdn_fold.cu -- the pending tokens of each span into S: S <- a S + k u', oldest first.
//
// A block has 32 V columns of a value head.  Reference: kern_cuda_ref.

#include "kernels/cuda/gdn_decode.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

template <int kDk, bool kExact>
__global__ void __launch_bounds__(kThreads)
    gdn_fold_kernel(const kern_cuda_gdn_fold p, const kern_cuda_parts parts)
{
    kern_cuda_span span = p.spans.device[blockIdx.z];
    int dk = p.heads.dk, dv = p.heads.dv, value = (int)blockIdx.y;
    Slot slot = find_slot(p.slots, parts, span.slot);
    float *state = slot.s + (size_t)value * (size_t)(dk * dv);
    Tile<kDk, kExact> tile;

    if (span.pending == 0)
        return;
    tile.group = (int)threadIdx.x / 8;
    tile.column = (int)blockIdx.x * kTile + (int)threadIdx.x % 8 * 4;
    tile.load(state, dk, dv);
    tile.add_pending(p.heads, parts, slot, span.pos, span.pending, value,
                     key_head_of(p.heads, value));
    tile.store(state, dk, dv);
}

template <int kDk, bool kExact>
int launch_fold(kern_cuda *c, void *stream, const kern_cuda_gdn_fold *p)
{
    kern_cuda_parts parts = kern_cuda_slot_parts(&p->heads, p->slots.keep, p->slots.type);

    return launch(c, stream, "gdn_fold", gdn_fold_kernel<kDk, kExact>,
                  {(p->heads.dv + kTile - 1) / kTile, p->heads.hv, p->spans.count, kThreads, 0}, *p,
                  parts);
}

} // namespace

extern "C" int cuda_gdn_fold(kern_cuda *c, void *stream, const kern_cuda_gdn_fold *p)
{
    int rc = kern_cuda_check_gdn_fold(p);

    if (rc != 0)
        return rc;
    return with_shape(&p->heads, [&](auto dk, auto is_exact) {
        return launch_fold<decltype(dk)::value, decltype(is_exact)::value>(c, stream, p);
    });
}

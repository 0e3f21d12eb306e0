// gdn_join.cu -- the states between the segments of a prefill: S_s = M_s S_{s-1} + N_s, in f32.
//
// A block has 32 V columns of a value head of a span and walks its segments: S_{s-1} in shared
// memory, a lane a column, a warp every fourth row.  Reference: kern_cuda_ref.

#include "kernels/cuda/gdn_tiles.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kColumns = 32;

using Tile = float[KERN_HEAD_MAX][kColumns];

// Row `row` of M times the tile.
DEVICE float multiply_row(const float *row, int dk, const Tile &s)
{
    float sum = 0.0f;

    for (int i = 0; i < dk; i += 4) {
        float4 m = *reinterpret_cast<const float4 *>(row + i);

        sum += m.x * s[i][lane_index()];
        sum += m.y * s[i + 1][lane_index()];
        sum += m.z * s[i + 2][lane_index()];
        sum += m.w * s[i + 3][lane_index()];
    }
    return sum;
}

__global__ void __launch_bounds__(kThreads)
    gdn_join_kernel(const kern_cuda_gdn_chunk p, const kern_cuda_parts parts)
{
    Tile *tile = shared_memory<Tile>(); // two: before and after a segment
    int dk = p.heads.dk, dv = p.heads.dv, value = (int)blockIdx.y;
    int column = (int)blockIdx.x * kColumns + lane_index();
    bool is_there = column < dv;
    Segments segments = find_segments(p, (int)blockIdx.z, value);
    kern_cuda_span span = p.spans.device[blockIdx.z];
    const float *first = find_slot(p.slots, parts, span.slot).s + (int64_t)value * dk * dv;

    for (int k = warp_index(); k < dk; k += kWarps) {
        if (is_there)
            segments.before(0)[(int64_t)k * segments.ld + column] = first[k * dv + column];
        tile[0][k][lane_index()] =
            is_there ? segments.after(0)[(int64_t)k * segments.ld + column] : 0.0f;
    }
    for (int s = 1; s < segments.count - 1; s++) {
        Tile &before = tile[(s - 1) % 2], &after = tile[s % 2];

        __syncthreads(); // what the segment before left
        for (int k = warp_index(); k < dk; k += kWarps) {
            float *row = segments.after(s) + (int64_t)k * segments.ld;
            float sum = (is_there ? row[column] : 0.0f) + multiply_row(row + dv, dk, before);

            after[k][lane_index()] = sum;
            if (is_there)
                row[column] = sum;
        }
    }
}

} // namespace

int launch_gdn_join(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    kern_cuda_parts parts = kern_cuda_slot_parts(&p->heads, p->slots.keep, p->slots.type);

    return launch(c, stream, "gdn_join", gdn_join_kernel,
                  {(p->heads.dv + kColumns - 1) / kColumns, p->heads.hv, p->spans.count, kThreads,
                   2 * sizeof(Tile)},
                  *p, parts);
}

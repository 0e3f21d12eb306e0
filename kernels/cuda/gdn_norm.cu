// gdn_norm.cu -- y = RMSNorm(y) * w * SiLU(z) per row and value head, in place.
//
// A warp has a head.  Reference: kern_cuda_ref.

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

__global__ void __launch_bounds__(kThreads)
    gdn_norm_kernel(const kern_out y, const kern_cuda_gate_norm norm, int64_t heads, int hv, int dv)
{
    int64_t index = (int64_t)blockIdx.x * kWarps + warp_index();
    constexpr int kPerLane = KERN_HEAD_MAX / 32;
    float o[kPerLane], sum = 0.0f;

    if (index >= heads)
        return;
    int64_t at = index / hv * y.ld + index % hv * dv;
    int64_t z_at = index / hv * norm.z.ld + index % hv * dv;
    UNROLL
    for (int i = 0; i < kPerLane; i++) {
        int c = lane_index() + 32 * i;

        o[i] = c < dv ? get(y, at + c) : 0.0f;
        sum += o[i] * o[i];
    }
    float scale = rsqrtf(warp_sum(sum) / (float)dv + norm.eps);
    UNROLL
    for (int i = 0; i < kPerLane; i++) {
        int c = lane_index() + 32 * i;

        if (c < dv)
            put(y, at + c, o[i] * scale * norm.w[c] * silu(get(norm.z, z_at + c)));
    }
}

} // namespace

int launch_gdn_norm(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    int64_t heads = (int64_t)p->spans.rows * p->heads.hv;

    return launch(c, stream, "gdn_norm", gdn_norm_kernel,
                  {(int)((heads + kWarps - 1) / kWarps), 1, 1, kThreads, 0}, p->y, p->norm, heads,
                  (int)p->heads.hv, (int)p->heads.dv);
}

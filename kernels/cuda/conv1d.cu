// conv1d.cu -- y[t][c] = SiLU(sum_i w[i][c] x[t - conv + 1 + i][c]), each channel alone.
//
// A thread owns 16 bytes of channels and walks 64 tokens with the inputs before them in registers,
// eight rows on their way at a time: x is read once and y written once, a warp's rows whole lines.
// The first tile of a span alone touches the slot, so its reads of the old state come before its
// writes of the new one.  Reference: kern_cuda_ref.

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

constexpr int kThreads = 128;
constexpr int kTile = 64; // tokens
constexpr int kAhead = 8; // rows in flight

template <class T, int kVector> struct Raw;
template <> struct Raw<uint16_t, 8> {
    uint4 v;
};
template <> struct Raw<uint16_t, 1> {
    uint16_t v;
};
template <> struct Raw<float, 4> {
    float4 v;
};
template <> struct Raw<float, 1> {
    float v;
};

DEVICE void widen(const Raw<uint16_t, 8> &r, float *x)
{
    const uint32_t pair[4] = {r.v.x, r.v.y, r.v.z, r.v.w};

    UNROLL
    for (int i = 0; i < 4; i++) {
        x[2 * i] = bf16_low(pair[i]);
        x[2 * i + 1] = bf16_high(pair[i]);
    }
}

DEVICE void widen(const Raw<uint16_t, 1> &r, float *x)
{
    x[0] = bf16_float(r.v);
}

DEVICE void widen(const Raw<float, 4> &r, float *x)
{
    x[0] = r.v.x;
    x[1] = r.v.y;
    x[2] = r.v.z;
    x[3] = r.v.w;
}

DEVICE void widen(const Raw<float, 1> &r, float *x)
{
    x[0] = r.v;
}

template <int kVector> DEVICE void store(const kern_out &y, int64_t at, const float *x)
{
    if (y.type == KERN_BF16) {
        uint16_t *to = static_cast<uint16_t *>(y.data) + at;

        if (kVector == 8)
            *reinterpret_cast<uint4 *>(to) =
                uint4{pack_bf16(x[0], x[1 % kVector]), pack_bf16(x[2 % kVector], x[3 % kVector]),
                      pack_bf16(x[4 % kVector], x[5 % kVector]),
                      pack_bf16(x[6 % kVector], x[7 % kVector])};
        else if (kVector == 4)
            *reinterpret_cast<uint2 *>(to) =
                uint2{pack_bf16(x[0], x[1 % kVector]), pack_bf16(x[2 % kVector], x[3 % kVector])};
        else
            *to = (uint16_t)pack_bf16(x[0], 0.0f);
    } else {
        float *to = static_cast<float *>(y.data) + at;

        if (kVector >= 4) {
            UNROLL
            for (int i = 0; i < kVector; i += 4)
                *reinterpret_cast<float4 *>(to + i) = make_float4(
                    x[i], x[(i + 1) % kVector], x[(i + 2) % kVector], x[(i + 3) % kVector]);
        } else
            *to = x[0];
    }
}

// One thread's view: rows of x before the span come from the slot's ring.
template <class T, int kVector> struct Channels {
    using Raw_ = Raw<T, kVector>;
    const kern_cuda_conv1d &p;
    const kern_cuda_parts &parts;
    const kern_cuda_span &span;
    int channel;

    DEVICE_METHOD Raw_ input(int row) const
    {
        return *reinterpret_cast<const Raw_ *>(static_cast<const T *>(p.x.data) +
                                               (int64_t)row * p.x.ld + channel);
    }

    DEVICE_METHOD Raw_ *ring(int slot, int pos) const
    {
        Slot s = find_slot(p.slots, parts, slot);

        return reinterpret_cast<Raw_ *>(reinterpret_cast<T *>(s.conv) +
                                        (int64_t)(pos % parts.conv_rows) * parts.channels +
                                        channel);
    }

    // Token `t` of the span; negative ones were before it.
    DEVICE_METHOD Raw_ token(int t) const
    {
        if (t >= 0)
            return input(span.row + t);
        if (t < 1 - p.heads.conv || span.pos + t < 0)
            return Raw_{};
        return *ring(span.slot, span.pos + t);
    }

    // The inputs that a sequence cut before token `end` needs, into the slot.
    DEVICE_METHOD void keep(int slot, int end, int from) const
    {
        for (int t = from; t < end; t++)
            if (span.pos + t >= 0)
                *ring(slot, span.pos + t) = token(t);
    }
};

template <class T, int kVector, int kWidth>
__global__ void __launch_bounds__(kThreads)
    conv1d_kernel(const kern_cuda_conv1d p, const kern_cuda_parts parts)
{
    int index = find_span(p.spans, (int)blockIdx.x);
    kern_cuda_span span = p.spans.device[index];
    int from = ((int)blockIdx.x - span.chunk) * kTile;
    int to = min(from + kTile, span.rows);
    int channel = ((int)blockIdx.y * kThreads + (int)threadIdx.x) * kVector;
    Channels<T, kVector> x = {p, parts, span, channel};
    float taps[kWidth][kVector], window[kWidth][kVector];

    if (from >= to || channel >= parts.channels)
        return;
    UNROLL
    for (int i = 0; i < kWidth; i++) {
        int tap = i - kWidth + p.heads.conv;

        UNROLL
        for (int v = 0; v < kVector; v++)
            taps[i][v] = tap >= 0 ? p.w[(int64_t)tap * parts.channels + channel + v] : 0.0f;
        if (i < kWidth - 1)
            widen(x.token(from - kWidth + 1 + i), window[i + 1]);
    }
    for (int t0 = from; t0 < to; t0 += kAhead) {
        Raw<T, kVector> ahead[kAhead];

        UNROLL
        for (int i = 0; i < kAhead; i++)
            if (t0 + i < to)
                ahead[i] = x.input(span.row + t0 + i);
        UNROLL
        for (int i = 0; i < kAhead; i++) {
            float sum[kVector];

            if (t0 + i >= to)
                break;
            UNROLL
            for (int k = 0; k < kWidth - 1; k++) {
                UNROLL
                for (int v = 0; v < kVector; v++)
                    window[k][v] = window[k + 1][v];
            }
            widen(ahead[i], window[kWidth - 1]);
            UNROLL
            for (int v = 0; v < kVector; v++) {
                sum[v] = 0.0f;
                UNROLL
                for (int k = 0; k < kWidth; k++)
                    sum[v] += taps[k][v] * window[k][v];
                sum[v] = silu(sum[v]);
            }
            store<kVector>(p.y, (int64_t)(span.row + t0 + i) * p.y.ld + channel, sum);
            int slot = checkpoint_at(p.checkpoints, span, span.pos + t0 + i + 1);
            if (slot >= 0)
                x.keep(slot, t0 + i + 1, t0 + i + 2 - p.heads.conv);
        }
    }
    if (from == 0)
        x.keep(span.slot, span.rows, max(span.rows + 1 - p.heads.conv, 0));
}

template <class T, int kVector>
int launch_width(kern_cuda *c, void *stream, const kern_cuda_conv1d *p, kern_cuda_parts parts)
{
    int groups = (parts.channels + kThreads * kVector - 1) / (kThreads * kVector);
    Shape shape = {count_pieces(p->spans), groups, 1, kThreads, 0};

    if (p->heads.conv == 4)
        return launch(c, stream, "conv1d", conv1d_kernel<T, kVector, 4>, shape, *p, parts);
    return launch(c, stream, "conv1d", conv1d_kernel<T, kVector, KERN_CONV_MAX>, shape, *p, parts);
}

template <class T>
int launch_type(kern_cuda *c, void *stream, const kern_cuda_conv1d *p, kern_cuda_parts parts)
{
    constexpr int kVector = KERN_CUDA_VECTOR / sizeof(T);
    bool is_vector = parts.channels % kVector == 0 && p->x.ld % kVector == 0 &&
                     p->y.ld % kVector == 0 && is_vector_aligned(p->x.data) &&
                     is_vector_aligned(p->y.data);

    if (is_vector)
        return launch_width<T, kVector>(c, stream, p, parts);
    return launch_width<T, 1>(c, stream, p, parts);
}

} // namespace

extern "C" int cuda_conv1d(kern_cuda *c, void *stream, const kern_cuda_conv1d *p)
{
    int rc = kern_cuda_check_conv1d(p);

    if (rc != 0)
        return rc;
    kern_cuda_parts parts = kern_cuda_slot_parts(&p->heads, p->slots.keep, p->slots.type);
    if (p->x.type == KERN_BF16)
        return launch_type<uint16_t>(c, stream, p, parts);
    return launch_type<float>(c, stream, p, parts);
}

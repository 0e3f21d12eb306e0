// gdn_rows.cu -- the recurrence token by token in f32: the first rung of the bench, and gdn_chunk's
// way for shapes without tensor-core code.
//
//   S <- e^g S;  u = beta (v - S'k);  S <- S + k u';  o = S'q
//
// A block has a value head and 128 / kLanes of its V columns for the whole span; a thread holds
// kRows state values of one column, kLanes neighbours share a column.  One launch per layer; the
// tokens are a serial chain.  Reference: kern_cuda_ref.

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

constexpr int kThreads = 128;

struct Token {
    float q[KERN_HEAD_MAX], k[KERN_HEAD_MAX];
    float square[kThreads / 32][2];
    float beta, decay;
};

struct Head {
    int value, key;
};

// q and k of a row, normalised, and its gates; zeros up to kDk.
template <int kDk>
DEVICE void load_token(const kern_cuda_gdn_chunk &p, int64_t row, Head head, Token *to)
{
    int dk = p.heads.dk, i = (int)threadIdx.x;
    int64_t at = row * p.qkv.ld + head.key * dk;
    float q[2], k[2], qq = 0.0f, kk = 0.0f;

    UNROLL
    for (int n = 0; n < 2; n++) {
        int d = i + n * kThreads;

        q[n] = d < dk ? get(p.qkv, at + d) : 0.0f;
        k[n] = d < dk ? get(p.qkv, at + (int64_t)p.heads.hk * dk + d) : 0.0f;
        qq += q[n] * q[n];
        kk += k[n] * k[n];
    }
    qq = warp_sum(qq);
    kk = warp_sum(kk);
    if (lane_index() == 0) {
        to->square[warp_index()][0] = qq;
        to->square[warp_index()][1] = kk;
    }
    if (i == 0) {
        to->beta = gate_beta(p.gates, row, head.value);
        to->decay = expf(gate_g(p.gates, row, head.value));
    }
    __syncthreads();
    qq = kk = 0.0f;
    UNROLL
    for (int w = 0; w < kThreads / 32; w++) {
        qq += to->square[w][0];
        kk += to->square[w][1];
    }
    float q_scale = rsqrtf(qq + 1e-6f) * rsqrtf((float)dk), k_scale = rsqrtf(kk + 1e-6f);
    UNROLL
    for (int n = 0; n < 2; n++) {
        int d = i + n * kThreads;

        if (d < kDk) {
            to->q[d] = q[n] * q_scale;
            to->k[d] = k[n] * k_scale;
        }
    }
    __syncthreads();
}

// A thread's part of a column: rows [first, first + kRows), those past dk are zeros.
template <int kRows> struct Column {
    float s[kRows];
    int column, first, rows; // of them `rows` are in the state

    DEVICE_METHOD void load(const float *state, int dv)
    {
        const float *from = state + first * dv + column;

        UNROLL
        for (int i = 0; i < kRows; i++, from += dv) {
            s[i] = i < rows ? *from : 0.0f;
        }
    }

    DEVICE_METHOD void store(float *state, int dv) const
    {
        float *to = state + first * dv + column;
        int step = unknown(dv); // else kRows offsets would be kept in registers over all tokens

        UNROLL
        for (int i = 0; i < kRows; i++, to += step) {
            if (i < rows)
                *to = s[i];
        }
    }
};

template <int kLanes> DEVICE float column_sum(float x)
{
    if (kLanes == 2)
        x += __shfl_xor_sync(kAllLanes, x, 1);
    return x;
}

template <int kRows, int kLanes>
__global__ void __launch_bounds__(kThreads)
    gdn_rows_kernel(const kern_cuda_gdn_chunk p, const kern_cuda_parts parts)
{
    Token *token = shared_memory<Token>();
    int dk = p.heads.dk, dv = p.heads.dv, part = (int)threadIdx.x % kLanes;
    Head head = {(int)blockIdx.y, key_head_of(p.heads, (int)blockIdx.y)};
    kern_cuda_span span = p.spans.device[blockIdx.z];
    size_t state = (size_t)head.value * (size_t)(dk * dv);
    Column<kRows> c;

    c.column = ((int)blockIdx.x * kThreads + (int)threadIdx.x) / kLanes;
    c.first = part * kRows;
    c.rows = c.column < dv ? min(max(dk - c.first, 0), kRows) : 0;
    c.load(find_slot(p.slots, parts, span.slot).s + state, dv);
    for (int t = 0; t < span.rows; t++) {
        int64_t row = span.row + t;
        float sum = 0.0f, o = 0.0f;

        load_token<kRows * kLanes>(p, row, head, token);
        UNROLL
        for (int i = 0; i < kRows; i++) {
            c.s[i] *= token->decay;
            sum += c.s[i] * token->k[c.first + i];
        }
        int64_t v_at = row * p.qkv.ld + 2 * p.heads.hk * dk + head.value * dv + c.column;
        float v = c.column < dv ? get(p.qkv, v_at) : 0.0f;
        float u = token->beta * (v - column_sum<kLanes>(sum));
        __syncwarp(); // k is read again, not kept in registers meanwhile
        UNROLL
        for (int i = 0; i < kRows; i++) {
            c.s[i] += token->k[c.first + i] * u;
            o += c.s[i] * token->q[c.first + i];
        }
        o = column_sum<kLanes>(o);
        if (c.column < dv && part == 0)
            put(p.y, row * p.y.ld + head.value * dv + c.column, o);
        int slot = checkpoint_at(p.checkpoints, span, span.pos + t + 1);
        if (slot >= 0)
            c.store(find_slot(p.slots, parts, slot).s + state, dv);
        __syncthreads(); // the token is overwritten
    }
    c.store(find_slot(p.slots, parts, span.slot).s + state, dv);
}

template <int kRows, int kLanes>
int launch_rows(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    kern_cuda_parts parts = kern_cuda_slot_parts(&p->heads, p->slots.keep, p->slots.type);
    int columns = kThreads / kLanes;

    return launch(c, stream, "gdn_rows", gdn_rows_kernel<kRows, kLanes>,
                  {(p->heads.dv + columns - 1) / columns, p->heads.hv, p->spans.count, kThreads,
                   sizeof(Token)},
                  *p, parts);
}

} // namespace

extern "C" int cuda_gdn_rows(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    int rc = kern_cuda_check_gdn_rows(p);

    if (rc != 0)
        return rc;
    if (p->heads.dk <= 64)
        rc = launch_rows<64, 1>(c, stream, p);
    else if (p->heads.dk <= 128)
        rc = launch_rows<128, 1>(c, stream, p);
    else
        rc = launch_rows<128, 2>(c, stream, p);
    return rc != 0 || p->norm.z.data == NULL ? rc : launch_gdn_norm(c, stream, p);
}

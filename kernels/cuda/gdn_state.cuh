// gdn_state.cuh -- the transposed state of a warp and what a chunk does to it.
//
// V columns are the rows: S' is [16 x dk] as f32 accumulators.  A C fragment rounded to bf16 is the
// A fragment of the next product, so S', X' and u' go from one to the next in registers.

#ifndef KERNELS_CUDA_GDN_STATE_CUH
#define KERNELS_CUDA_GDN_STATE_CUH

#include "kernels/cuda/gdn_tiles.cuh"

constexpr int kTokens8 = kChunk / 8;   // C fragments across the tokens
constexpr int kTokens16 = kChunk / 16; // k steps over the tokens
constexpr int kColumns = 16;           // of V per warp

template <int kDk> struct Stage {
    uint16_t k[kChunk * kDk], q[kChunk * kDk];
    Prepared prepared;
    uint16_t v[1][kChunk * kColumns]; // as many as warps
};

template <int kDk> static size_t stage_bytes(int warps)
{
    return sizeof(Stage<kDk>) + (size_t)(warps - 1) * kChunk * kColumns * sizeof(uint16_t);
}

// Unit of 8 columns of a row of a warp's V tile; the swap keeps eight rows in different banks.
DEVICE uint16_t *v_unit(uint16_t *tile, int row, int unit)
{
    return tile + row * kColumns + (unit ^ (row >> 2 & 1)) * 8;
}

// S' of the warp: C fragments, rows V columns, columns dk.
template <int kDk> struct State {
    float s[kDk / 8][4];

    // Element e of fragment n: where it is in S.
    DEVICE_METHOD int64_t place(int n, int e, int column, int ld) const
    {
        int g = lane_index() / 4, t = lane_index() % 4;

        return (int64_t)(8 * n + 2 * t + e % 2) * ld + column + g + e / 2 * 8;
    }

    DEVICE_METHOD void load(const float *from, int column, int ld)
    {
        UNROLL
        for (int n = 0; n < kDk / 8; n++) {
            UNROLL
            for (int e = 0; e < 4; e++)
                s[n][e] = from[place(n, e, column, ld)];
        }
    }

    // Column `diagonal` of the identity in the warp's first V column; beyond its range, zeros.
    DEVICE_METHOD void load_identity(int diagonal)
    {
        int g = lane_index() / 4, t = lane_index() % 4;

        UNROLL
        for (int n = 0; n < kDk / 8; n++) {
            UNROLL
            for (int e = 0; e < 4; e++)
                s[n][e] = 8 * n + 2 * t + e % 2 == diagonal + g + e / 2 * 8 ? 1.0f : 0.0f;
        }
    }

    DEVICE_METHOD void store(float *to, int column, int ld) const
    {
        UNROLL
        for (int n = 0; n < kDk / 8; n++) {
            UNROLL
            for (int e = 0; e < 4; e++)
                to[place(n, e, column, ld)] = s[n][e];
        }
    }
};

// C fragments n and n + 1 as the A fragment whose k they are.
DEVICE void to_a(uint32_t a[4], const float c0[4], const float c1[4])
{
    a[0] = pack_bf16(c0[0], c0[1]);
    a[1] = pack_bf16(c0[2], c0[3]);
    a[2] = pack_bf16(c1[0], c1[1]);
    a[3] = pack_bf16(c1[2], c1[3]);
}

// x' = S' K' and, with outputs, o' = S' Q'
template <bool kOutputs, int kDk>
DEVICE void read_state(const State<kDk> &state, Stage<kDk> *in, float x[kTokens8][4],
                       float o[kTokens8][4])
{
    Rows<kDk> k = {in->k}, q = {in->q};

    UNROLL
    for (int n = 0; n < kTokens8; n++) {
        UNROLL
        for (int e = 0; e < 4; e++)
            x[n][e] = o[n][e] = 0.0f;
    }
    UNROLL
    for (int d = 0; d < kDk / 16; d++) {
        uint32_t a[4], b[4];

        to_a(a, state.s[2 * d], state.s[2 * d + 1]);
        UNROLL
        for (int i = 0; i < kTokens16; i++) {
            k.load_b(b, 16 * i, 16 * d);
            mma_bf16(x[2 * i], a, b[0], b[1]);
            mma_bf16(x[2 * i + 1], a, b[2], b[3]);
            if (kOutputs) {
                q.load_b(b, 16 * i, 16 * d);
                mma_bf16(o[2 * i], a, b[0], b[1]);
                mma_bf16(o[2 * i + 1], a, b[2], b[3]);
            }
        }
    }
}

// x' = v' - x' diag(read_k); o' = o' diag(read_q)
template <int kDk>
DEVICE void apply_scales(Stage<kDk> *in, float x[kTokens8][4], float o[kTokens8][4])
{
    int lane = lane_index(), t = lane % 4;
    uint16_t *tile = in->v[warp_index()];

    UNROLL
    for (int i = 0; i < kTokens16; i++) {
        uint32_t v[4]; // tokens 16 i + {0, 8}, V columns {0, 8}

        ldmatrix_transposed(v, v_unit(tile, 16 * i + (lane & 7) + (lane & 16) / 2, lane / 8 & 1));
        UNROLL
        for (int b = 0; b < 2; b++) {
            int n = 2 * i + b, token = 8 * n + 2 * t;
            float2 k = *reinterpret_cast<const float2 *>(&in->prepared.read_k[token]);
            float2 q = *reinterpret_cast<const float2 *>(&in->prepared.read_q[token]);

            x[n][0] = bf16_low(v[2 * b]) - k.x * x[n][0];
            x[n][1] = bf16_high(v[2 * b]) - k.y * x[n][1];
            x[n][2] = bf16_low(v[2 * b + 1]) - k.x * x[n][2];
            x[n][3] = bf16_high(v[2 * b + 1]) - k.y * x[n][3];
            o[n][0] *= q.x;
            o[n][1] *= q.y;
            o[n][2] *= q.x;
            o[n][3] *= q.y;
        }
    }
}

// out' += in' B' for a lower triangle of B fragments.
DEVICE void multiply_triangle(const uint4 (*triangle)[32], const float in[kTokens8][4],
                              float out[kTokens8][4])
{
    UNROLL
    for (int s = 0; s < kTokens16; s++) {
        uint32_t a[4];

        to_a(a, in[2 * s], in[2 * s + 1]);
        UNROLL
        for (int w = s; w < kTokens16; w++) {
            uint4 b = triangle[triangle_block(w, s)][lane_index()];

            mma_bf16(out[2 * w], a, b.x, b.y);
            mma_bf16(out[2 * w + 1], a, b.z, b.w);
        }
    }
}

// S' = decay S' + u' diag(write_k) K
template <int kDk> DEVICE void write_state(State<kDk> &state, Stage<kDk> *in, float u[kTokens8][4])
{
    Rows<kDk> k = {in->k};
    int t = lane_index() % 4;
    float decay = in->prepared.decay;

    UNROLL
    for (int n = 0; n < kDk / 8; n++) {
        UNROLL
        for (int e = 0; e < 4; e++)
            state.s[n][e] *= decay;
    }
    UNROLL
    for (int n = 0; n < kTokens8; n++) {
        float2 scale = *reinterpret_cast<const float2 *>(&in->prepared.write_k[8 * n + 2 * t]);

        u[n][0] *= scale.x;
        u[n][1] *= scale.y;
        u[n][2] *= scale.x;
        u[n][3] *= scale.y;
    }
    UNROLL
    for (int s = 0; s < kTokens16; s++) {
        uint32_t a[4], b[4];

        to_a(a, u[2 * s], u[2 * s + 1]);
        UNROLL
        for (int d = 0; d < kDk / 16; d++) {
            k.load_b_transposed(b, 16 * s, 16 * d);
            mma_bf16(state.s[2 * d], a, b[0], b[1]);
            mma_bf16(state.s[2 * d + 1], a, b[2], b[3]);
        }
    }
}

#endif

// gdn_prepare.cu -- what a chunk of DeltaNet tokens needs that does not depend on the state.
//
//   M = (I + strict_lower(diag(beta) K K'))^-1, without gates; T_ij = M_ij e^{G_i - G_j} beta_j
//   P_ij = q_i.k_j e^{G_i - G_j}, i >= j
//
// A block has one piece of one key head and all its value heads; K K' and Q K' come from tensor
// cores (bf16 inputs are exact, sums are f32) and stay in registers.  M is f32 throughout: the 16 x
// 16 blocks of the diagonal by forward substitution, a lane a column; then block row by block row
// M_ij = -M_ii sum_k L_ik M_kj.  Columns do not depend on each other, so a warp has four columns of
// each block and waits for nobody.  Exponents are differences of G and never above 0; G is kept in
// two floats.  Norms are not applied to K and Q but to what they make.  Reference: kern_cuda_ref.

#include "kernels/cuda/gdn_tiles.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

constexpr int kThreads = 128;
constexpr int kStride = kChunk + 4; // of f32 matrices: 16 bytes further per row, other banks

template <int kDk> struct Shared {
    union { // first K and Q, then L and M
        struct {
            uint16_t k[kChunk * kDk], q[kChunk * kDk];
        };
        struct {
            float l[kChunk][kStride], m[kChunk][kStride];
        };
    };
    float k_norm[kChunk], q_norm[kChunk]; // 1 / |k|, 1 / (|q| sqrt(dk))
    float g[kChunk], g_low[kChunk], beta[kChunk];
};

struct Unit {
    Piece piece;
    int piece_index, value;
};

template <int kDk> DEVICE float inverse_norm(const uint16_t *tile, int row)
{
    Rows<kDk> rows = {const_cast<uint16_t *>(tile)};
    float sum = 0.0f;

    for (int c = 0; c < kDk; c += 8) {
        uint4 x = *reinterpret_cast<const uint4 *>(rows.unit(row, c));
        const uint32_t pair[4] = {x.x, x.y, x.z, x.w};

        UNROLL
        for (int i = 0; i < 4; i++) {
            sum += bf16_low(pair[i]) * bf16_low(pair[i]);
            sum += bf16_high(pair[i]) * bf16_high(pair[i]);
        }
    }
    return rsqrtf(sum + 1e-6f);
}

// Rows [16 warp, + 16) of a product with K', up to the diagonal.
template <int kDk>
DEVICE void multiply(const uint16_t *a_tile, const uint16_t *k_tile, float c[kChunk / 8][4])
{
    Rows<kDk> a = {const_cast<uint16_t *>(a_tile)}, k = {const_cast<uint16_t *>(k_tile)};

    UNROLL
    for (int n = 0; n < kChunk / 8; n++) {
        UNROLL
        for (int i = 0; i < 4; i++)
            c[n][i] = 0.0f;
    }
    for (int d = 0; d < kDk; d += 16) {
        uint32_t fragment[4];

        a.load_a(fragment, 16 * warp_index(), d);
        UNROLL
        for (int s = 0; s < 4; s++) {
            uint32_t b[4];

            if (s > warp_index())
                break;
            k.load_b(b, 16 * s, d);
            mma_bf16(c[2 * s], fragment, b[0], b[1]);
            mma_bf16(c[2 * s + 1], fragment, b[2], b[3]);
        }
    }
}

// Gates of the value head and the scan of their logarithms; tokens past the piece change nothing.
template <int kDk>
DEVICE void load_gates(const kern_cuda_gdn_chunk &p, const Unit &at, Shared<kDk> *sh)
{
    int lane = lane_index();
    double g[2], sum;

    if (warp_index() != 0)
        return;
    UNROLL
    for (int i = 0; i < 2; i++) {
        int t = 2 * lane + i;
        bool is_there = t < at.piece.rows;
        int64_t row = at.piece.row + (is_there ? t : 0);

        sh->beta[t] = is_there ? gate_beta(p.gates, row, at.value) : 0.0f;
        g[i] = is_there ? (double)gate_g(p.gates, row, at.value) : 0.0;
    }
    sum = g[0] + g[1];
    UNROLL
    for (int by = 1; by < 32; by *= 2) {
        double before = __shfl_up_sync(kAllLanes, sum, by);

        sum += lane >= by ? before : 0.0;
    }
    g[0] = sum - g[1];
    g[1] = sum;
    UNROLL
    for (int i = 0; i < 2; i++) {
        sh->g[2 * lane + i] = (float)g[i];
        sh->g_low[2 * lane + i] = (float)(g[i] - (double)(float)g[i]);
    }
}

template <int kDk> DEVICE float decay_between(const Shared<kDk> *sh, int i, int j)
{
    return expf(fminf((sh->g[i] - sh->g[j]) + (sh->g_low[i] - sh->g_low[j]), 0.0f));
}

// L = strict_lower(beta_i k_i.k_j), whole 16 x 16 blocks up to the diagonal.
template <int kDk> DEVICE void store_l(const float kk[kChunk / 8][4], Shared<kDk> *sh)
{
    int g = lane_index() / 4, t = lane_index() % 4;

    UNROLL
    for (int n = 0; n < kChunk / 8; n++) {
        UNROLL
        for (int e = 0; e < 4; e++) {
            int i = 16 * warp_index() + g + e / 2 * 8, j = 8 * n + 2 * t + e % 2;

            if (n / 2 <= warp_index())
                sh->l[i][j] = j < i ? sh->beta[i] * kk[n][e] : 0.0f;
        }
    }
}

// (I + L_ww)^-1 of the warp's block of the diagonal: lane c has column c.
template <int kDk> DEVICE void invert_diagonal(Shared<kDk> *sh)
{
    int from = 16 * warp_index(), column = lane_index() % 16;
    float x[16];

    UNROLL
    for (int i = 0; i < 16; i++) {
        x[i] = i == column ? 1.0f : 0.0f;
        UNROLL
        for (int k = 0; k < i; k++)
            x[i] -= sh->l[from + i][from + k] * x[k];
    }
    if (lane_index() < 16) {
        UNROLL
        for (int i = 0; i < 16; i++)
            sh->m[from + i][from + column] = x[i];
    }
}

// The blocks below the diagonal.  Lane: row lane / 2 of a block, columns 4 warp + 2 (lane % 2) and
// the next of each block column.
template <int kDk> DEVICE void invert_below(Shared<kDk> *sh)
{
    int row = lane_index() / 2, column = 4 * warp_index() + 2 * (lane_index() % 2);

    UNROLL
    for (int i = 1; i < 4; i++) {
        float sum[3][2] = {}, out[3][2] = {};

        UNROLL
        for (int k = 0; k < 16 * i; k += 4) {
            const float4 l = *reinterpret_cast<const float4 *>(&sh->l[16 * i + row][k]);
            const float part[4] = {l.x, l.y, l.z, l.w};

            UNROLL
            for (int e = 0; e < 4; e++) {
                UNROLL
                for (int j = 0; j <= k / 16; j++) {
                    float2 m = *reinterpret_cast<const float2 *>(&sh->m[k + e][16 * j + column]);

                    sum[j][0] += part[e] * m.x;
                    sum[j][1] += part[e] * m.y;
                }
            }
        }
        UNROLL
        for (int j = 0; j < i; j++)
            *reinterpret_cast<float2 *>(&sh->m[16 * i + row][16 * j + column]) =
                make_float2(sum[j][0], sum[j][1]);
        __syncwarp();
        UNROLL
        for (int k = 0; k < 16; k += 4) {
            const float4 d = *reinterpret_cast<const float4 *>(&sh->m[16 * i + row][16 * i + k]);
            const float part[4] = {d.x, d.y, d.z, d.w};

            UNROLL
            for (int e = 0; e < 4; e++) {
                UNROLL
                for (int j = 0; j < i; j++) {
                    float2 m =
                        *reinterpret_cast<const float2 *>(&sh->m[16 * i + k + e][16 * j + column]);

                    out[j][0] -= part[e] * m.x;
                    out[j][1] -= part[e] * m.y;
                }
            }
        }
        __syncwarp();
        UNROLL
        for (int j = 0; j < i; j++)
            *reinterpret_cast<float2 *>(&sh->m[16 * i + row][16 * j + column]) =
                make_float2(out[j][0], out[j][1]);
        __syncwarp();
    }
}

// T and P as fragments.
template <int kDk>
DEVICE void store_triangles(const float qk[kChunk / 8][4], const Shared<kDk> *sh, Prepared *to)
{
    int w = warp_index(), g = lane_index() / 4, t = lane_index() % 4;

    UNROLL
    for (int s = 0; s < 4; s++) {
        uint32_t t_part[4], p_part[4];

        if (s > w)
            break;
        UNROLL
        for (int half = 0; half < 2; half++) {
            UNROLL
            for (int b = 0; b < 2; b++) {
                int i = 16 * w + 8 * half + g, j = 16 * s + 8 * b + 2 * t;
                float d0 = j <= i ? decay_between(sh, i, j) : 0.0f;
                float d1 = j + 1 <= i ? decay_between(sh, i, j + 1) : 0.0f;
                const float *m = &sh->m[i][j];

                t_part[2 * half + b] =
                    pack_bf16(m[0] * d0 * sh->beta[j], m[1] * d1 * sh->beta[j + 1]);
                p_part[2 * half + b] =
                    pack_bf16(qk[2 * s + b][2 * half] * d0, qk[2 * s + b][2 * half + 1] * d1);
            }
        }
        int at = triangle_block(w, s);
        to->t[at][lane_index()] = uint4{t_part[0], t_part[1], t_part[2], t_part[3]};
        to->p[at][lane_index()] = uint4{p_part[0], p_part[1], p_part[2], p_part[3]};
    }
}

template <int kDk> DEVICE void store_scales(const Shared<kDk> *sh, Prepared *to)
{
    int t = (int)threadIdx.x, last = kChunk - 1;

    if (t < kChunk) {
        float decay = expf(sh->g[t]);

        to->read_k[t] = decay * sh->k_norm[t];
        to->read_q[t] = decay * sh->q_norm[t];
        to->write_k[t] = decay_between(sh, last, t) * sh->k_norm[t];
    }
    if (t == 0)
        to->decay = expf(sh->g[last]);
}

// Scales of rows and columns into a product.
template <int kDk>
DEVICE void apply_norms(const float *rows, const float *columns, float c[kChunk / 8][4])
{
    int g = lane_index() / 4, t = lane_index() % 4;

    UNROLL
    for (int n = 0; n < kChunk / 8; n++) {
        UNROLL
        for (int e = 0; e < 4; e++)
            c[n][e] *= rows[16 * warp_index() + g + e / 2 * 8] * columns[8 * n + 2 * t + e % 2];
    }
}

template <int kDk>
__global__ void __launch_bounds__(kThreads) gdn_prepare_kernel(const kern_cuda_gdn_chunk p)
{
    Shared<kDk> *sh = shared_memory<Shared<kDk>>();
    Piece piece = find_piece(p.spans, (int)blockIdx.x);
    int key = (int)blockIdx.y, t = (int)threadIdx.x;
    const uint16_t *from = static_cast<const uint16_t *>(p.qkv.data) + piece.row * p.qkv.ld;
    Rows<kDk> k_rows = {sh->k}, q_rows = {sh->q};
    float kk[kChunk / 8][4], qk[kChunk / 8][4];

    k_rows.fetch(from + (p.heads.hk + key) * kDk, p.qkv.ld, piece.rows, kThreads);
    q_rows.fetch(from + key * kDk, p.qkv.ld, piece.rows, kThreads);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    if (t < kChunk)
        sh->k_norm[t] = inverse_norm<kDk>(sh->k, t);
    else
        sh->q_norm[t - kChunk] = inverse_norm<kDk>(sh->q, t - kChunk) * rsqrtf((float)kDk);
    multiply<kDk>(sh->k, sh->k, kk);
    multiply<kDk>(sh->q, sh->k, qk);
    __syncthreads();
    apply_norms<kDk>(sh->k_norm, sh->k_norm, kk);
    apply_norms<kDk>(sh->q_norm, sh->k_norm, qk);
    for (int i = 0; i < p.heads.hv / p.heads.hk; i++) {
        Unit at = {piece, (int)blockIdx.x, value_head_of(p.heads, key, i)};
        Prepared *to = prepared_at(p, at.piece_index, at.value);

        load_gates(p, at, sh);
        __syncthreads();
        store_l(kk, sh);
        __syncwarp(); // the block of the diagonal is the warp's own
        invert_diagonal(sh);
        __syncthreads();
        invert_below(sh);
        __syncthreads();
        store_triangles(qk, sh, to);
        store_scales(sh, to);
        __syncthreads(); // gates and M are overwritten
    }
}

} // namespace

int launch_gdn_prepare(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    Shape shape = {count_pieces(p->spans), p->heads.hk, 1, kThreads, 0};

    if (p->heads.dk == 64) {
        shape.shared_bytes = sizeof(Shared<64>);
        return launch(c, stream, "gdn_prepare", gdn_prepare_kernel<64>, shape, *p);
    }
    if (p->heads.dk == 128) {
        shape.shared_bytes = sizeof(Shared<128>);
        return launch(c, stream, "gdn_prepare", gdn_prepare_kernel<128>, shape, *p);
    }
    shape.shared_bytes = sizeof(Shared<256>);
    return launch(c, stream, "gdn_prepare", gdn_prepare_kernel<256>, shape, *p);
}

// gdn_step.cu -- one decode step of a DeltaNet layer in one launch: convolution, SiLU, L2 norms,
// gates, recurrence, gated norm.
//
//   p = S'k;  r = S'q;  u = beta (v - a p);  o = a r + (k.q) u;  S <- a S + k u'      (a = e^g)
//
// so S is read once, and the output does not wait for the write.  A block has a part of the V
// columns of one value head of one sequence and goes over them 32 at a time: 16 groups of 8 lanes,
// a lane 4 columns of every 16th row, dk / 4 state values in registers.  Slots are found by index;
// nothing is gathered.  Where a batch is small the parts of a head are blocks of a cluster, which
// add up their squares for the norm through each other's shared memory (sm_90 and later).
//
// A span may bring several tokens (drafts): S stays in registers from one to the next.  With keep,
// what a token adds (k, u, a) goes to the rings instead of S; the pending ones are put in first.
// Reference: kern_cuda_ref.

#include "kernels/cuda/gdn_decode.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

constexpr int kWarps = kThreads / 32;

// Of one token, shared by the block.
struct Token {
    float q[KERN_HEAD_MAX], k[KERN_HEAD_MAX];
    float v[KERN_HEAD_MAX], o[KERN_HEAD_MAX]; // of the block's part
    float beta, decay, kq, square;
};

struct Shared {
    float sum[kWarps][2][kTile]; // S'k and S'q of a tile by warp
    float u[kTile];
    Token token[1]; // as many as the largest span may bring
};

struct Unit {
    kern_cuda_span span;
    Slot slot;
    int value, key; // heads
    int from, to;   // V columns of this block
    bool is_first;  // of the blocks that share the key head
};

// The convolution of a channel at a token of the span, SiLU applied.
DEVICE float convolve(const kern_cuda_gdn_step &p, const kern_cuda_parts &parts, const Unit &at,
                      int t, int channel)
{
    float sum = 0.0f;

    for (int i = 0; i < p.heads.conv; i++) {
        int token = t - p.heads.conv + 1 + i, pos = at.span.pos + token;
        float x = 0.0f;

        if (token >= 0)
            x = get(p.x, (int64_t)(at.span.row + token) * p.x.ld + channel);
        else if (pos >= 0)
            x = get(kern_in{p.x.type, at.slot.conv, 0},
                    (int64_t)(pos % parts.conv_rows) * parts.channels + channel);
        sum += p.w[(int64_t)i * parts.channels + channel] * x;
    }
    return silu(sum);
}

// The input of a token into the ring: a row that no token of this step looks at.
DEVICE void keep_input(const kern_cuda_gdn_step &p, const kern_cuda_parts &parts, const Unit &at,
                       int t, int channel)
{
    int64_t from = (int64_t)(at.span.row + t) * p.x.ld + channel;
    int64_t to = (int64_t)((at.span.pos + t) % parts.conv_rows) * parts.channels + channel;

    if (p.x.type == KERN_BF16)
        reinterpret_cast<uint16_t *>(at.slot.conv)[to] =
            static_cast<const uint16_t *>(p.x.data)[from];
    else
        reinterpret_cast<float *>(at.slot.conv)[to] = static_cast<const float *>(p.x.data)[from];
}

DEVICE void load_inputs(const kern_cuda_gdn_step &p, const kern_cuda_parts &parts, const Unit &at,
                        int dk_padded, Shared *sh)
{
    int dk = p.heads.dk, q_at = at.key * dk, k_at = (p.heads.hk + at.key) * dk;
    int v_at = 2 * p.heads.hk * dk + at.value * p.heads.dv;

    for (int t = 0; t < at.span.rows; t++) {
        Token *token = &sh->token[t];

        for (int d = (int)threadIdx.x; d < dk_padded; d += kThreads) {
            token->q[d] = d < dk ? convolve(p, parts, at, t, q_at + d) : 0.0f;
            token->k[d] = d < dk ? convolve(p, parts, at, t, k_at + d) : 0.0f;
            if (at.is_first && d < dk) {
                keep_input(p, parts, at, t, q_at + d);
                keep_input(p, parts, at, t, k_at + d);
            }
        }
        for (int c = at.from + (int)threadIdx.x; c < at.to; c += kThreads) {
            token->v[c - at.from] = convolve(p, parts, at, t, v_at + c);
            keep_input(p, parts, at, t, v_at + c);
        }
        if (threadIdx.x == 0) {
            int64_t row = at.span.row + t;

            token->beta = gate_beta(p.gates, row, at.value);
            token->decay = expf(gate_g(p.gates, row, at.value));
        }
    }
}

// L2 norms and k.q: a warp has a token.
DEVICE void normalise(const kern_cuda_gdn_step &p, int rows, int dk_padded, Shared *sh)
{
    for (int t = warp_index(); t < rows; t += kWarps) {
        Token *token = &sh->token[t];
        float qq = 0.0f, kk = 0.0f, kq = 0.0f;

        for (int d = lane_index(); d < dk_padded; d += 32) {
            float q = token->q[d], k = token->k[d];

            qq += q * q;
            kk += k * k;
        }
        float q_scale = rsqrtf(warp_sum(qq) + 1e-6f) * rsqrtf((float)p.heads.dk);
        float k_scale = rsqrtf(warp_sum(kk) + 1e-6f);
        for (int d = lane_index(); d < dk_padded; d += 32) {
            float q = token->q[d] * q_scale, k = token->k[d] * k_scale;

            token->q[d] = q;
            token->k[d] = k;
            kq += k * q;
        }
        kq = warp_sum(kq);
        if (lane_index() == 0)
            token->kq = kq;
    }
}

// S'k and S'q of a tile: over the lane's rows, the warp's groups, the warps.
template <int kDk, bool kExact>
DEVICE void project(const Tile<kDk, kExact> &tile, const Token *token, float sum[kWarps][2][kTile])
{
    float p[4] = {}, r[4] = {};

    UNROLL
    for (int i = 0; i < tile.kRows; i++) {
        float k = token->k[tile.row(i)], q = token->q[tile.row(i)];

        UNROLL
        for (int c = 0; c < 4; c++) {
            p[c] += tile.s[i][c] * k;
            r[c] += tile.s[i][c] * q;
        }
    }
    UNROLL
    for (int c = 0; c < 4; c++) {
        p[c] += __shfl_xor_sync(kAllLanes, p[c], 8);
        r[c] += __shfl_xor_sync(kAllLanes, r[c], 8);
        p[c] += __shfl_xor_sync(kAllLanes, p[c], 16);
        r[c] += __shfl_xor_sync(kAllLanes, r[c], 16);
        if (lane_index() < 8) {
            sum[warp_index()][0][4 * lane_index() + c] = p[c];
            sum[warp_index()][1][4 * lane_index() + c] = r[c];
        }
    }
}

// One tile through all tokens of the span.
template <int kDk, bool kExact>
DEVICE void run_tile(const kern_cuda_gdn_step &p, const kern_cuda_parts &parts, const Unit &at,
                     int column, Tile<kDk, kExact> &tile, Shared *sh)
{
    int dk = p.heads.dk, dv = p.heads.dv, i = (int)threadIdx.x;
    float *state = at.slot.s + (size_t)at.value * (size_t)(dk * dv);
    bool is_kept = p.slots.keep > 0;

    if (at.span.pending > 0) {
        tile.add_pending(p.heads, parts, at.slot, at.span.pos, at.span.pending, at.value, at.key);
        tile.store(state, dk, dv);
    }
    for (int t = 0; t < at.span.rows; t++) {
        Token *token = &sh->token[t];

        project(tile, token, sh->sum);
        __syncthreads();
        if (i < kTile) {
            int c = column + i;
            float sk = 0.0f, sq = 0.0f, u = 0.0f;

            UNROLL
            for (int w = 0; w < kWarps; w++) {
                sk += sh->sum[w][0][i];
                sq += sh->sum[w][1][i];
            }
            if (kExact || c < at.to) {
                u = token->beta * (token->v[c - at.from] - token->decay * sk);
                token->o[c - at.from] = token->decay * sq + token->kq * u;
                if (is_kept) {
                    int64_t ring = (at.span.pos + t) % parts.ring_rows;

                    at.slot.u[(ring * p.heads.hv + at.value) * dv + c] = u;
                }
            }
            sh->u[i] = u;
        }
        __syncthreads();
        float u[4];
        UNROLL
        for (int c = 0; c < 4; c++)
            u[c] = sh->u[tile.column - column + c];
        tile.add(token->decay, token->k, u, kDk);
    }
    if (!is_kept)
        tile.store(state, dk, dv);
}

DEVICE void keep_tokens(const kern_cuda_gdn_step &p, const kern_cuda_parts &parts, const Unit &at,
                        const Shared *sh)
{
    for (int t = 0; t < at.span.rows; t++) {
        int64_t ring = (at.span.pos + t) % parts.ring_rows;

        if (threadIdx.x == 0 && at.from == 0)
            at.slot.a[ring * p.heads.hv + at.value] = sh->token[t].decay;
        for (int d = (int)threadIdx.x; at.is_first && d < p.heads.dk; d += kThreads)
            at.slot.k[(ring * p.heads.hk + at.key) * p.heads.dk + d] = sh->token[t].k[d];
    }
}

// The gated norm of what all blocks of the cluster have of the head.
DEVICE void put_outputs(const kern_cuda_gdn_step &p, const Unit &at, Shared *sh)
{
    const kern_cuda_gate_norm &norm = p.norm;
    bool is_normed = norm.z.data != NULL;

    for (int t = warp_index(); t < at.span.rows; t += kWarps) {
        float square = 0.0f;

        for (int c = lane_index(); c < at.to - at.from; c += 32)
            square += sh->token[t].o[c] * sh->token[t].o[c];
        square = warp_sum(square);
        if (lane_index() == 0)
            sh->token[t].square = square;
    }
    cluster_sync();
    for (int t = warp_index(); t < at.span.rows; t += kWarps) {
        int64_t row = at.span.row + t;
        float square = 0.0f;

        for (unsigned r = 0; r < cluster_blocks(); r++)
            square += cluster_read(&sh->token[t].square, r);
        float scale = rsqrtf(square / (float)p.heads.dv + norm.eps);
        for (int c = at.from + lane_index(); c < at.to; c += 32) {
            int64_t column = (int64_t)at.value * p.heads.dv + c;
            float o = sh->token[t].o[c - at.from];

            if (is_normed)
                o *= scale * norm.w[c] * silu(get(norm.z, row * norm.z.ld + column));
            put(p.y, row * p.y.ld + column, o);
        }
    }
    cluster_sync(); // nobody leaves while another still reads here
}

template <int kDk, bool kExact>
__global__ void __launch_bounds__(kThreads, kDk > 128 || !kExact ? 3 : 5)
    gdn_step_kernel(const kern_cuda_gdn_step p, const kern_cuda_parts parts, int part_columns)
{
    Shared *sh = shared_memory<Shared>();
    int dk = p.heads.dk, dv = p.heads.dv, value = (int)blockIdx.y;
    Tile<kDk, kExact> tile;
    Unit at;

    at.span = p.spans.device[blockIdx.z];
    at.slot = find_slot(p.slots, parts, at.span.slot);
    at.value = value;
    at.key = key_head_of(p.heads, value);
    at.from = (int)blockIdx.x * part_columns;
    at.to = min(at.from + part_columns, dv);
    at.is_first = blockIdx.x == 0 && value_head_of(p.heads, at.key, 0) == value;
    tile.group = (int)threadIdx.x / 8;
    tile.column = at.from + (int)threadIdx.x % 8 * 4;
    const float *state = at.slot.s + (size_t)value * (size_t)(dk * dv);
    tile.load(state, dk, dv); // on its way during all that follows
    load_inputs(p, parts, at, kDk, sh);
    __syncthreads();
    normalise(p, at.span.rows, kDk, sh);
    __syncthreads();
    if (p.slots.keep > 0)
        keep_tokens(p, parts, at, sh);
    for (int column = at.from; column < at.to; column += kTile) {
        if (column > at.from) {
            tile.column = column + (int)threadIdx.x % 8 * 4;
            tile.load(state, dk, dv);
        }
        run_tile(p, parts, at, column, tile, sh);
    }
    __syncthreads();
    put_outputs(p, at, sh);
}

// Blocks per head: as many as there are multiprocessors for, where blocks can form clusters.
int choose_parts(const kern_cuda *c, const kern_gdn_heads *h, int spans)
{
    int parts = 1, tiles = (h->dv + kTile - 1) / kTile;

    while (c->device.major >= 9 && parts < 8 && tiles % (2 * parts) == 0 &&
           (int64_t)spans * h->hv * 2 * parts <= 2 * (int64_t)c->device.sms)
        parts *= 2;
    return parts;
}

template <int kDk, bool kExact>
int launch_step(kern_cuda *c, void *stream, const kern_cuda_gdn_step *p)
{
    kern_cuda_parts parts = kern_cuda_slot_parts(&p->heads, p->slots.keep, p->slots.type);
    int tiles = (p->heads.dv + kTile - 1) / kTile, blocks;
    int tokens = p->slots.keep > 1 ? p->slots.keep : 1;
    size_t shared = sizeof(Shared) + (size_t)(tokens - 1) * sizeof(Token);

    blocks = choose_parts(c, &p->heads, p->spans.count);
    int part_columns = (tiles + blocks - 1) / blocks * kTile;
    return launch(c, stream, "gdn_step", gdn_step_kernel<kDk, kExact>,
                  {blocks, p->heads.hv, p->spans.count, kThreads, shared, blocks}, *p, parts,
                  part_columns);
}

} // namespace

extern "C" int cuda_gdn_step(kern_cuda *c, void *stream, const kern_cuda_gdn_step *p)
{
    int rc = kern_cuda_check_gdn_step(p);

    if (rc != 0)
        return rc;
    return with_shape(&p->heads, [&](auto dk, auto is_exact) {
        return launch_step<decltype(dk)::value, decltype(is_exact)::value>(c, stream, p);
    });
}

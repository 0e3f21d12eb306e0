// gdn_scan.cu -- the serial part of a DeltaNet prefill: chunk after chunk of one head, from what
// gdn_prepare left.
//
//   X = v - diag(read_k) K S;  u = T X;  o = diag(read_q) Q S + P u
//   S <- decay S + K' diag(write_k) u
//
// All of it transposed, V on the rows: a warp has 16 V columns, S' as the f32 accumulators of
// [16 x dk], never rounded.  A C fragment rounded to bf16 is the A fragment of the next product, so
// S', X' and u' go from one to the next in registers, and between two fetches no warp waits for
// another.  K, Q, V, T and P of the next chunks are on their way by cp.async meanwhile.
// A block has 2 or 4 warps of one head; blocks = heads x dv / (16 warps) x sequences.
// Reference: kern_cuda_ref.

#include "kernels/cuda/gdn_tiles.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

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

// What the block works on; in shared memory, the registers are the state's.
struct Unit {
    kern_cuda_span span;
    int value, key; // heads
    int column;     // first V column
    int warps, stages;
    size_t stage_bytes;
    int pieces;
};

constexpr size_t kUnitBytes = 128;

static_assert(sizeof(Unit) <= kUnitBytes, "it lies before the stages");

template <int kDk> DEVICE Stage<kDk> *stage_at(unsigned char *shared, const Unit &at, int local)
{
    return reinterpret_cast<Stage<kDk> *>(shared + kUnitBytes +
                                          (unsigned)(local % at.stages) * at.stage_bytes);
}

DEVICE int warp_column(const Unit &at)
{
    return at.column + warp_index() * kColumns;
}

template <int kDk>
DEVICE void fetch(const kern_cuda_gdn_chunk &p, const Unit &at, int local, Stage<kDk> *to)
{
    Piece piece = piece_of(at.span, local);
    const kern_gdn_heads &h = p.heads;
    const uint16_t *row = static_cast<const uint16_t *>(p.qkv.data) + piece.row * p.qkv.ld;
    const Prepared *prepared = static_cast<const Prepared *>(p.work) +
                               ((int64_t)(at.span.chunk + local) * h.hv + at.value);
    const uint16_t *v = row + 2 * h.hk * kDk + at.value * h.dv;
    int units = at.warps * 2;

    Rows<kDk>{to->k}.fetch(row + (h.hk + at.key) * kDk, p.qkv.ld, piece.rows, 32 * at.warps);
    Rows<kDk>{to->q}.fetch(row + at.key * kDk, p.qkv.ld, piece.rows, 32 * at.warps);
    for (int i = (int)threadIdx.x; i < (int)(sizeof(Prepared) / 16); i += 32 * at.warps)
        cp_async_16(reinterpret_cast<uint4 *>(&to->prepared) + i,
                    reinterpret_cast<const uint4 *>(prepared) + i, true);
    for (int i = (int)threadIdx.x; i < kChunk * units; i += 32 * at.warps) {
        int t = i / units, unit = i % units, column = at.column + unit * 8;
        bool is_there = t < piece.rows && column < h.dv;

        cp_async_16(v_unit(to->v[unit / 2], t, unit % 2),
                    v + (is_there ? t * p.qkv.ld + column : 0), is_there);
    }
}

// S' of the warp: C fragments, rows V columns, columns dk.
template <int kDk> struct State {
    float s[kDk / 8][4];

    // Element e of fragment n: where it is in S.
    DEVICE_METHOD int64_t place(int n, int e, int column, int dv) const
    {
        int g = lane_index() / 4, t = lane_index() % 4;

        return (int64_t)(8 * n + 2 * t + e % 2) * dv + column + g + e / 2 * 8;
    }

    DEVICE_METHOD void load(const float *from, int column, int dv)
    {
        UNROLL
        for (int n = 0; n < kDk / 8; n++) {
            UNROLL
            for (int e = 0; e < 4; e++)
                s[n][e] = from[place(n, e, column, dv)];
        }
    }

    DEVICE_METHOD void store(float *to, int column, int dv) const
    {
        UNROLL
        for (int n = 0; n < kDk / 8; n++) {
            UNROLL
            for (int e = 0; e < 4; e++)
                to[place(n, e, column, dv)] = s[n][e];
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

// x' = S' K' and o' = S' Q'
template <int kDk>
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
            q.load_b(b, 16 * i, 16 * d);
            mma_bf16(o[2 * i], a, b[0], b[1]);
            mma_bf16(o[2 * i + 1], a, b[2], b[3]);
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

// o' of the warp to rows of y.
DEVICE void store_outputs(const kern_out &y, int64_t row, int rows, int64_t column,
                          const float o[kTokens8][4])
{
    int g = lane_index() / 4, t = lane_index() % 4;

    UNROLL
    for (int n = 0; n < kTokens8; n++) {
        if (y.type == KERN_BF16) {
            uint32_t low = transpose_8x8(pack_bf16(o[n][0], o[n][1]));
            uint32_t high = transpose_8x8(pack_bf16(o[n][2], o[n][3]));
            int token = 8 * n + g;
            uint16_t *to = static_cast<uint16_t *>(y.data) + (row + token) * y.ld + column + 2 * t;

            if (token < rows) {
                to[0] = (uint16_t)low;
                to[1] = (uint16_t)(low >> 16);
                to[8] = (uint16_t)high;
                to[9] = (uint16_t)(high >> 16);
            }
        } else {
            UNROLL
            for (int e = 0; e < 4; e++) {
                int token = 8 * n + 2 * t + e % 2;

                if (token < rows)
                    static_cast<float *>(y.data)[(row + token) * y.ld + column + g + e / 2 * 8] =
                        o[n][e];
            }
        }
    }
}

template <int kDk>
DEVICE void run_piece(const kern_cuda_gdn_chunk &p, const Unit &at, int local, State<kDk> &state,
                      Stage<kDk> *in)
{
    Piece piece = piece_of(at.span, local);
    float x[kTokens8][4], o[kTokens8][4], u[kTokens8][4] = {};

    read_state(state, in, x, o);
    apply_scales(in, x, o);
    multiply_triangle(in->prepared.t, x, u);
    multiply_triangle(in->prepared.p, u, o);
    store_outputs(p.y, piece.row, piece.rows, (int64_t)at.value * p.heads.dv + warp_column(at), o);
    write_state(state, in, u);
}

DEVICE void wait_for_stage(int stages)
{
    if (stages == 1)
        cp_async_wait<0>();
    else if (stages == 2)
        cp_async_wait<1>();
    else
        cp_async_wait<2>();
}

// The warp's part of the state of the head in a slot.
DEVICE float *state_of(const kern_cuda_gdn_chunk &p, const kern_cuda_parts &parts, const Unit &at,
                       int slot)
{
    return find_slot(p.slots, parts, slot).s + (int64_t)at.value * p.heads.dk * p.heads.dv;
}

DEVICE void find_unit(const kern_cuda_gdn_chunk &p, int warps, int stages, size_t stage_bytes,
                      Unit *at)
{
    kern_cuda_span span = p.spans.device[blockIdx.z];

    at->span = span;
    at->value = (int)blockIdx.y;
    at->key = key_head_of(p.heads, at->value);
    at->column = (int)blockIdx.x * warps * kColumns;
    at->warps = warps;
    at->stages = stages;
    at->stage_bytes = stage_bytes;
    at->pieces = (span.pos + span.rows - 1) / kChunk - span.pos / kChunk + 1;
}

template <int kDk>
__global__ void __launch_bounds__(128, 1)
    gdn_scan_kernel(const kern_cuda_gdn_chunk p, const kern_cuda_parts parts, int warps, int stages,
                    size_t stage_bytes)
{
    unsigned char *shared = shared_memory<unsigned char>();
    const Unit &at = *reinterpret_cast<Unit *>(shared);
    State<kDk> state;

    if (threadIdx.x == 0)
        find_unit(p, warps, stages, stage_bytes, reinterpret_cast<Unit *>(shared));
    __syncthreads();
    bool is_idle = warp_column(at) >= p.heads.dv; // it only fetches
    for (int i = 0; i < stages; i++) {
        if (i < at.pieces)
            fetch(p, at, i, stage_at<kDk>(shared, at, i));
        cp_async_commit();
    }
    if (!is_idle)
        state.load(state_of(p, parts, at, at.span.slot), warp_column(at), p.heads.dv);
    for (int local = 0; local < at.pieces; local++) {
        Stage<kDk> *stage = stage_at<kDk>(shared, at, local);

        wait_for_stage(at.stages);
        __syncthreads(); // what the others fetched
        if (!is_idle) {
            run_piece(p, at, local, state, stage);
            Piece piece = piece_of(at.span, local);
            int slot = checkpoint_at(p.checkpoints, at.span, piece.pos + piece.rows);
            if (slot >= 0)
                state.store(state_of(p, parts, at, slot), warp_column(at), p.heads.dv);
        }
        __syncthreads(); // everyone is done with the stage
        if (local + at.stages < at.pieces)
            fetch(p, at, local + at.stages, stage);
        cp_async_commit();
    }
    if (!is_idle)
        state.store(state_of(p, parts, at, at.span.slot), warp_column(at), p.heads.dv);
}

// Two warps a block while blocks are few, so that they spread over the chip; as many stages as fit.
template <int kDk> int launch_scan(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    kern_cuda_parts parts = kern_cuda_slot_parts(&p->heads, p->slots.keep, p->slots.type);
    int64_t pairs = (int64_t)p->spans.count * p->heads.hv * ((p->heads.dv + 31) / 32);
    int warps = pairs <= c->device.sms ? 2 : 4, stages = 3;
    size_t bytes = stage_bytes<kDk>(warps);

    while (stages > 1 && kUnitBytes + (size_t)stages * bytes > c->device.shared_bytes)
        stages--;
    int columns = warps * kColumns;
    return launch(c, stream, "gdn_scan", gdn_scan_kernel<kDk>,
                  {(p->heads.dv + columns - 1) / columns, p->heads.hv, p->spans.count, 32 * warps,
                   kUnitBytes + (size_t)stages * bytes},
                  *p, parts, warps, stages, bytes);
}

} // namespace

int launch_gdn_prepare(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p);

extern "C" int cuda_gdn_chunk(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    int rc = kern_cuda_check_gdn_chunk(p);

    if (rc != 0)
        return rc;
    if (!kern_cuda_has_tensor_path(&p->heads, p->qkv.type))
        return cuda_gdn_rows(c, stream, p);
    rc = launch_gdn_prepare(c, stream, p);
    if (rc != 0)
        return rc;
    if (p->heads.dk == 64)
        rc = launch_scan<64>(c, stream, p);
    else if (p->heads.dk == 128)
        rc = launch_scan<128>(c, stream, p);
    else
        rc = launch_scan<256>(c, stream, p);
    return rc != 0 || p->norm.z.data == NULL ? rc : launch_gdn_norm(c, stream, p);
}

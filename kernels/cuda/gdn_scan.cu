// gdn_scan.cu -- the serial part of a DeltaNet prefill: chunk after chunk of one head, from what
// gdn_prepare left.
//
//   X = v - diag(read_k) K S;  u = T X;  o = diag(read_q) Q S + P u
//   S <- decay S + K' diag(write_k) u
//
// All of it transposed (gdn_state.cuh): a warp has 16 V columns and keeps S' in registers, never
// rounded; between two fetches no warp waits for another.  K, Q, V, T and P of the next chunks are
// on their way by cp.async meanwhile.  A block has 2 or 4 warps of one head.
//
// Segments: where heads are few, a span is cut into n of them that run at the same time.  What a
// segment makes of S is linear: M S + N.  A first pass (SUMMARY) runs all but the last from zeros
// for N and from the identity, with v = 0, for M, as dk further columns; the first of them starts
// from the true S and needs no M.  gdn_join then walks the segments, and a second pass (WHOLE) runs
// each from the state it should begin with.  Reference: kern_cuda_ref.

#include "kernels/cuda/gdn_state.cuh"
#include "kernels/cuda/host.cuh"

namespace
{

enum Pass { WHOLE, SUMMARY };

struct Launch {
    int warps, stages;
    size_t stage_bytes;
};

// What the block works on; in shared memory, the registers are the state's.
struct Unit {
    kern_cuda_span span;
    Launch launch;
    int value, key; // heads
    int column;     // first V column
    int segment;
    int first, end; // pieces of the span that are the segment's
    float *state;   // [dk][dv] of the head in the slot
    Segments segments;
};

constexpr size_t kUnitBytes = 256;

static_assert(sizeof(Unit) <= kUnitBytes, "it lies before the stages");

template <int kDk> DEVICE Stage<kDk> *stage_at(unsigned char *shared, const Unit &at, int local)
{
    return reinterpret_cast<Stage<kDk> *>(
        shared + kUnitBytes + (unsigned)(local % at.launch.stages) * at.launch.stage_bytes);
}

DEVICE int warp_column(const Unit &at)
{
    return at.column + warp_index() * kColumns;
}

template <Pass kPass, int kDk>
DEVICE void fetch(const kern_cuda_gdn_chunk &p, const Unit &at, int local, Stage<kDk> *to)
{
    Piece piece = piece_of(at.span, local);
    const kern_gdn_heads &h = p.heads;
    const uint16_t *row = static_cast<const uint16_t *>(p.qkv.data) + piece.row * p.qkv.ld;
    const Prepared *prepared = prepared_at(p, at.span.chunk + local, at.value);
    const uint16_t *v = row + 2 * h.hk * kDk + at.value * h.dv;
    int units = at.launch.warps * 2;

    Rows<kDk>{to->k}.fetch(row + (h.hk + at.key) * kDk, p.qkv.ld, piece.rows, 32 * at.launch.warps);
    if (kPass == WHOLE)
        Rows<kDk>{to->q}.fetch(row + at.key * kDk, p.qkv.ld, piece.rows, 32 * at.launch.warps);
    for (int i = (int)threadIdx.x; i < (int)(sizeof(Prepared) / 16); i += 32 * at.launch.warps)
        cp_async_16(reinterpret_cast<uint4 *>(&to->prepared) + i,
                    reinterpret_cast<const uint4 *>(prepared) + i, true);
    for (int i = (int)threadIdx.x; i < kChunk * units; i += 32 * at.launch.warps) {
        int t = i / units, unit = i % units, column = at.column + unit * 8;
        bool is_there = t < piece.rows && column < h.dv;

        cp_async_16(v_unit(to->v[unit / 2], t, unit % 2),
                    v + (is_there ? t * p.qkv.ld + column : 0), is_there);
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
                *reinterpret_cast<uint32_t *>(to) = low;
                *reinterpret_cast<uint32_t *>(to + 8) = high;
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

template <Pass kPass, int kDk>
DEVICE void run_piece(const kern_cuda_gdn_chunk &p, const Unit &at, int local, State<kDk> &state,
                      Stage<kDk> *in)
{
    Piece piece = piece_of(at.span, local);
    float x[kTokens8][4], o[kTokens8][4], u[kTokens8][4] = {};

    read_state<kPass == WHOLE>(state, in, x, o);
    apply_scales(in, x, o);
    multiply_triangle(in->prepared.t, x, u);
    if (kPass == WHOLE) {
        multiply_triangle(in->prepared.p, u, o);
        store_outputs(p.y, piece.row, piece.rows, (int64_t)at.value * p.heads.dv + warp_column(at),
                      o);
    }
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

DEVICE float *state_of(const kern_cuda_gdn_chunk &p, const kern_cuda_parts &parts, int slot,
                       int value)
{
    return find_slot(p.slots, parts, slot).s + (int64_t)value * p.heads.dk * p.heads.dv;
}

// Where segment `segment` begins: pieces are dealt out evenly.
DEVICE int first_piece(int pieces, int segments, int segment)
{
    return (int)((int64_t)pieces * segment / segments);
}

template <Pass kPass>
DEVICE void find_unit(const kern_cuda_gdn_chunk &p, const kern_cuda_parts &parts, Launch launch,
                      Unit *at)
{
    int n = kPass == SUMMARY ? p.segments - 1 : p.segments; // that run in this pass
    int index = (int)blockIdx.z / n, s = (int)blockIdx.z % n, value = (int)blockIdx.y;
    kern_cuda_span span = p.spans.device[index];
    Segments segments = find_segments(p, index, value);
    int pieces = (span.pos + span.rows - 1) / kChunk - span.pos / kChunk + 1;

    at->span = span;
    at->launch = launch;
    at->value = value;
    at->key = key_head_of(p.heads, value);
    at->column = (int)blockIdx.x * launch.warps * kColumns;
    at->segment = s;
    at->first = first_piece(pieces, p.segments, s);
    at->end = first_piece(pieces, p.segments, s + 1);
    at->state = state_of(p, parts, span.slot, value);
    at->segments = segments;
}

// The state the segment begins with.
template <Pass kPass, int kDk>
DEVICE void load_state(const kern_cuda_gdn_chunk &p, const Unit &at, State<kDk> &state)
{
    int column = warp_column(at), dv = p.heads.dv;

    if (kPass == WHOLE && p.segments > 1)
        state.load(at.segments.before(at.segment), column, at.segments.ld);
    else if (at.segment == 0)
        state.load(at.state, column, dv);
    else
        state.load_identity(column - dv); // zeros left of dv
}

template <Pass kPass, int kDk>
DEVICE void store_state(const kern_cuda_gdn_chunk &p, const Unit &at, const State<kDk> &state)
{
    if (kPass == SUMMARY)
        state.store(at.segments.after(at.segment), warp_column(at), at.segments.ld);
    else if (at.segment == p.segments - 1)
        state.store(at.state, warp_column(at), p.heads.dv);
}

template <Pass kPass, int kDk>
__global__ void __launch_bounds__(128, 1)
    gdn_scan_kernel(const kern_cuda_gdn_chunk p, const kern_cuda_parts parts, Launch launch)
{
    unsigned char *shared = shared_memory<unsigned char>();
    const Unit &at = *reinterpret_cast<Unit *>(shared);
    State<kDk> state;

    if (threadIdx.x == 0)
        find_unit<kPass>(p, parts, launch, reinterpret_cast<Unit *>(shared));
    __syncthreads();
    int columns = p.heads.dv + (kPass == SUMMARY && at.segment > 0 ? kDk : 0);
    bool is_idle = warp_column(at) >= columns; // it only fetches
    for (int i = 0; i < launch.stages; i++) {
        if (at.first + i < at.end)
            fetch<kPass>(p, at, at.first + i, stage_at<kDk>(shared, at, at.first + i));
        cp_async_commit();
    }
    if (!is_idle)
        load_state<kPass>(p, at, state);
    for (int local = at.first; local < at.end; local++) {
        Stage<kDk> *stage = stage_at<kDk>(shared, at, local);

        wait_for_stage(launch.stages);
        __syncthreads(); // what the others fetched
        if (!is_idle) {
            run_piece<kPass>(p, at, local, state, stage);
            Piece piece = piece_of(at.span, local);
            int slot = checkpoint_at(p.checkpoints, at.span, piece.pos + piece.rows);
            if (kPass == WHOLE && slot >= 0)
                state.store(state_of(p, parts, slot, at.value), warp_column(at), p.heads.dv);
        }
        __syncthreads(); // everyone is done with the stage
        if (local + launch.stages < at.end)
            fetch<kPass>(p, at, local + launch.stages, stage);
        cp_async_commit();
    }
    if (!is_idle)
        store_state<kPass>(p, at, state);
}

// Two warps a block while blocks are few, so that they spread over the chip.  Three stages while a
// block has a multiprocessor for itself, else two, so that two blocks fit; fewer where they do not.
template <Pass kPass, int kDk>
int launch_pass(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    kern_cuda_parts parts = kern_cuda_slot_parts(&p->heads, p->slots.keep, p->slots.type);
    int columns = p->heads.dv + (kPass == SUMMARY ? kDk : 0);
    int units = p->spans.count * (kPass == SUMMARY ? p->segments - 1 : p->segments);
    auto blocks = [&](int warps) { return (columns + warps * kColumns - 1) / (warps * kColumns); };
    int64_t heads = (int64_t)units * p->heads.hv;
    int warps = heads * blocks(2) <= c->device.sms ? 2 : 4;
    int stages = heads * blocks(warps) <= c->device.sms ? 3 : 2;
    size_t bytes = stage_bytes<kDk>(warps);

    while (stages > 1 && kUnitBytes + stages * bytes > c->device.shared_bytes)
        stages--;
    return launch(c, stream, "gdn_scan", gdn_scan_kernel<kPass, kDk>,
                  {blocks(warps), p->heads.hv, units, 32 * warps, kUnitBytes + stages * bytes}, *p,
                  parts, Launch{warps, stages, bytes});
}

template <int kDk> int launch_scan(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *p)
{
    if (p->segments > 1) {
        int rc = launch_pass<SUMMARY, kDk>(c, stream, p);

        if (rc == 0)
            rc = launch_gdn_join(c, stream, p);
        if (rc != 0)
            return rc;
    }
    return launch_pass<WHOLE, kDk>(c, stream, p);
}

} // namespace

extern "C" int cuda_gdn_chunk(kern_cuda *c, void *stream, const kern_cuda_gdn_chunk *given)
{
    int rc = kern_cuda_check_gdn_chunk(given);

    if (rc != 0)
        return rc;
    if (!kern_cuda_has_tensor_path(&given->heads, given->qkv.type))
        return cuda_gdn_rows(c, stream, given);
    kern_cuda_gdn_chunk p = *given;
    p.segments = max(p.segments, 1);
    rc = launch_gdn_prepare(c, stream, &p);
    if (rc != 0)
        return rc;
    if (p.heads.dk == 64)
        rc = launch_scan<64>(c, stream, &p);
    else if (p.heads.dk == 128)
        rc = launch_scan<128>(c, stream, &p);
    else
        rc = launch_scan<256>(c, stream, &p);
    return rc != 0 || p.norm.z.data == NULL ? rc : launch_gdn_norm(c, stream, &p);
}

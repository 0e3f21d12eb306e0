// gdn_tiles.cuh -- what gdn_prepare and gdn_scan share: bf16 tiles in shared memory, the fragments
// of mma.m16n8k16 in them, and what the one leaves to the other.
//
// Fragments, with g = lane / 4 and t = lane % 4 (PTX ISA): of a 16 x 16 A, rows g and g + 8,
// columns 2t, 2t + 1 and those + 8; of a 16 x 8 B, rows 2t, 2t + 1 and those + 8, column g; of a 16
// x 8 C, rows g and g + 8, columns 2t, 2t + 1.  So a C, rounded to bf16, is an A whose k is C's n,
// and a C of a row-major X is the B of X transposed: nothing has to move between lanes.

#ifndef KERNELS_CUDA_GDN_TILES_CUH
#define KERNELS_CUDA_GDN_TILES_CUH

#include "kernels/cuda/device.cuh"

// Of one piece and value head.  Triangles of 16 x 16 blocks, row block w, column block s <= w:
// block w (w + 1) / 2 + s, a lane's B fragments of the two halves (rows g, rows 8 + g).
struct Prepared {
    uint4 t[KERN_CUDA_TRIANGLE][32]; // T_ij = M_ij e^{G_i - G_j} beta_j: u = T (v - read_k S'k)
    uint4 p[KERN_CUDA_TRIANGLE][32]; // P_ij = (q_i.k_j) e^{G_i - G_j}: o = read_q S'q + P u
    float read_k[kChunk];            // e^{G_j} / |k_j|
    float read_q[kChunk];            // e^{G_i} / (|q_i| sqrt(dk))
    float write_k[kChunk];           // e^{G_last - G_j} / |k_j|
    float decay;                     // e^{G_last}
    float unused[15];
};

static_assert(sizeof(Prepared) == KERN_CUDA_PREPARED_BYTES, "kernels/cuda/check.h has the size");

// What the segments of one span and value head make of the state: matrices of [dk][dv + dk] floats.
// Of 0 to count - 2 each is N | M of a segment, and after gdn_join in its first dv columns the
// state that the segment leaves; the last one has the state before all of them.
struct Segments {
    float *data;
    int count, ld;
    int64_t size;

    DEVICE_METHOD float *after(int segment) const
    {
        return data + segment * size;
    }

    DEVICE_METHOD float *before(int segment) const
    {
        return data + (segment == 0 ? count - 1 : segment - 1) * size;
    }
};

DEVICE Segments find_segments(const kern_cuda_gdn_chunk &p, int span, int value)
{
    int ld = p.heads.dv + p.heads.dk;
    int64_t size = (int64_t)p.heads.dk * ld, unit = (int64_t)span * p.heads.hv + value;

    return {static_cast<float *>(p.work) + unit * p.segments * size, p.segments, ld, size};
}

// Behind the segments, where there are any.
DEVICE Prepared *prepared_at(const kern_cuda_gdn_chunk &p, int piece, int value)
{
    unsigned char *at = static_cast<unsigned char *>(p.work);

    if (p.segments > 1)
        at = reinterpret_cast<unsigned char *>(find_segments(p, p.spans.count, 0).data);
    return reinterpret_cast<Prepared *>(at) + ((int64_t)piece * p.heads.hv + value);
}

DEVICE int triangle_block(int row, int column)
{
    return row * (row + 1) / 2 + column;
}

// A tile of 64 rows of kColumns bf16.  The 16-byte units of a row are permuted by the row's number,
// so that eight rows' units of one column lie in different banks.
template <int kColumns> struct Rows {
    uint16_t *data;

    DEVICE_METHOD uint16_t *unit(int row, int column) const
    {
        return data + row * kColumns + ((column / 8) ^ (row & 7)) * 8;
    }

    // `rows` rows from memory, the others zeros; every thread of the block takes part.
    DEVICE_METHOD void fetch(const uint16_t *from, int64_t ld, int rows, int threads) const
    {
        constexpr int kUnits = kColumns / 8;

        for (int i = (int)threadIdx.x; i < kChunk * kUnits; i += threads) {
            int row = i / kUnits, column = i % kUnits * 8;
            bool is_there = row < rows;

            cp_async_16(unit(row, column), from + (is_there ? row * ld + column : 0), is_there);
        }
    }

    // A fragment: rows [row, row + 16), columns [column, column + 16).
    DEVICE_METHOD void load_a(uint32_t a[4], int row, int column) const
    {
        int lane = lane_index();

        ldmatrix(a, unit(row + (lane & 7) + (lane & 8), column + (lane & 16) / 2));
    }

    // B of the transposed tile: k are columns [column, column + 16), n rows [row, row + 16);
    // b[0], b[1] of the first eight rows, b[2], b[3] of the others.
    DEVICE_METHOD void load_b(uint32_t b[4], int row, int column) const
    {
        int lane = lane_index();

        ldmatrix(b, unit(row + (lane & 7) + (lane & 16) / 2, column + (lane & 8)));
    }

    // B of the tile itself: k are rows [row, row + 16), n columns [column, column + 16).
    DEVICE_METHOD void load_b_transposed(uint32_t b[4], int row, int column) const
    {
        int lane = lane_index();

        ldmatrix_transposed(b, unit(row + (lane & 7) + (lane & 8), column + (lane & 16) / 2));
    }
};

#endif

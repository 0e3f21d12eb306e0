// gdn_decode.cuh -- 32 V columns of the state in the registers of a block: gdn_step and gdn_fold.
//
// 16 groups of 8 lanes; a lane has 4 columns of every 16th row.

#ifndef KERNELS_CUDA_GDN_DECODE_CUH
#define KERNELS_CUDA_GDN_DECODE_CUH

#include <type_traits>

#include "kernels/cuda/device.cuh"

constexpr int kThreads = 128;
constexpr int kTile = 32;   // V columns at a time
constexpr int kGroups = 16; // of rows

// kExact: dk is kDk and dv a multiple of the tile, so that rows are read in vectors.
template <int kDk, bool kExact> struct Tile {
    static constexpr int kRows = kDk / kGroups;
    float s[kRows][4];
    int group, column; // the lane's first row and first column

    DEVICE_METHOD int row(int i) const
    {
        return group + kGroups * i;
    }

    DEVICE_METHOD void load(const float *state, int dk, int dv)
    {
        UNROLL
        for (int i = 0; i < kRows; i++) {
            const float *from = state + row(i) * dv + column;

            if (kExact) {
                float4 x = *reinterpret_cast<const float4 *>(from);

                s[i][0] = x.x;
                s[i][1] = x.y;
                s[i][2] = x.z;
                s[i][3] = x.w;
            } else {
                UNROLL
                for (int c = 0; c < 4; c++)
                    s[i][c] = row(i) < dk && column + c < dv ? from[c] : 0.0f;
            }
        }
    }

    DEVICE_METHOD void store(float *state, int dk, int dv) const
    {
        UNROLL
        for (int i = 0; i < kRows; i++) {
            float *to = state + row(i) * dv + column;

            if (kExact) {
                *reinterpret_cast<float4 *>(to) = make_float4(s[i][0], s[i][1], s[i][2], s[i][3]);
            } else {
                UNROLL
                for (int c = 0; c < 4; c++)
                    if (row(i) < dk && column + c < dv)
                        to[c] = s[i][c];
            }
        }
    }

    // S <- a S + k u', rounded in one way wherever it is inlined: a token put in later gives the
    // bits of one put in at once.
    DEVICE_METHOD void add(float decay, const float *k, const float *u, int dk)
    {
        UNROLL
        for (int i = 0; i < kRows; i++) {
            float x = kExact || row(i) < dk ? k[row(i)] : 0.0f;

            UNROLL
            for (int c = 0; c < 4; c++)
                s[i][c] = fmaf(x, u[c], decay * s[i][c]);
        }
    }

    // Tokens [pos - pending, pos) from the rings.
    DEVICE_METHOD void add_pending(const kern_gdn_heads &h, const kern_cuda_parts &parts,
                                   const Slot &slot, int pos, int pending, int value, int key)
    {
        for (int t = pos - pending; t < pos; t++) {
            int64_t ring = t % parts.ring_rows;
            float u[4];

            UNROLL
            for (int c = 0; c < 4; c++)
                u[c] = kExact || column + c < h.dv
                           ? slot.u[(ring * h.hv + value) * h.dv + column + c]
                           : 0.0f;
            add(slot.a[ring * h.hv + value], slot.k + (ring * h.hk + key) * h.dk, u, h.dk);
        }
    }
};

// Calls call(dk, is_exact) with compile-time values for the shape.
template <class Call> static int with_shape(const kern_gdn_heads *h, Call call)
{
    bool is_exact = h->dv % kTile == 0;

    if (h->dk <= 64)
        return is_exact && h->dk == 64 ? call(std::integral_constant<int, 64>(), std::true_type())
                                       : call(std::integral_constant<int, 64>(), std::false_type());
    if (h->dk <= 128)
        return is_exact && h->dk == 128
                   ? call(std::integral_constant<int, 128>(), std::true_type())
                   : call(std::integral_constant<int, 128>(), std::false_type());
    return is_exact && h->dk == 256 ? call(std::integral_constant<int, 256>(), std::true_type())
                                    : call(std::integral_constant<int, 256>(), std::false_type());
}

#endif

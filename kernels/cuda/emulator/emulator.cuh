// emulator.cuh -- the kernels' own source as C++ on the CPU: what device.cuh takes from CUDA and
// PTX.
//
// Every thread of a block (of all blocks of a cluster) is a fiber that runs until it waits at a
// barrier or exchanges something with its warp.  The order in which they run is a setting: results
// that depend on it are a race.  Shared memory starts as NaN, and what cp.async fetches arrives
// only when its group is waited for; until then it is NaN, too.

#ifndef KERNELS_CUDA_EMULATOR_EMULATOR_CUH
#define KERNELS_CUDA_EMULATOR_EMULATOR_CUH

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#define __global__
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define DEVICE static inline
#define DEVICE_METHOD
#define UNROLL

struct uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

static inline float2 make_float2(float x, float y)
{
    return {x, y};
}

static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

namespace emulator
{

struct Index {
    unsigned x, y, z;
};

struct Grid {
    Index blocks;
    unsigned threads, shared_bytes, cluster; // blocks along x that share their memory
};

enum Order { ASCENDING, SHUFFLED };

// Of all later runs.
void set_order(Order order, uint64_t seed);

// Runs every block of the grid; ends the process with a sentence when the threads of a block wait
// for each other in vain.
void run(const Grid &grid, const std::function<void()> &kernel);

// Of the running thread.
const Index &thread();
const Index &block();
unsigned cluster_rank();
unsigned cluster_blocks();
unsigned char *shared(unsigned rank);
void wait_block();
void wait_cluster();

// Hands `bytes` of every lane of the warp to all: returns 32 records, 64 bytes apart.
const unsigned char *exchange(const void *mine, size_t bytes);

void copy_later(void *to, const void *from, size_t bytes, bool is_there);
void copies_commit();
void copies_wait(int groups_left);

} // namespace emulator

#define threadIdx (emulator::thread())
#define blockIdx  (emulator::block())

static inline void __syncthreads()
{
    emulator::wait_block();
}

static inline void __syncwarp()
{
    emulator::exchange(nullptr, 0);
}

template <class T> static inline T exchange_lane(T value, unsigned from)
{
    T got;

    memcpy(&got, emulator::exchange(&value, sizeof value) + 64 * (from & 31), sizeof got);
    return got;
}

template <class T> static inline T __shfl_sync(unsigned, T value, unsigned from)
{
    return exchange_lane(value, from);
}

template <class T> static inline T __shfl_xor_sync(unsigned, T value, unsigned mask)
{
    return exchange_lane(value, (threadIdx.x & 31) ^ mask);
}

template <class T> static inline T __shfl_up_sync(unsigned, T value, unsigned by)
{
    unsigned lane = threadIdx.x & 31;
    T got = exchange_lane(value, lane - by);

    return lane >= by ? got : value;
}

static inline void keep_order()
{
}

static inline int unknown(int x)
{
    return x;
}

static inline int min(int a, int b)
{
    return a < b ? a : b;
}

static inline int max(int a, int b)
{
    return a > b ? a : b;
}

static inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}

static inline float __uint_as_float(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t __float_as_uint(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline uint32_t round_bf16(float x)
{
    uint32_t bits = __float_as_uint(x);

    if (x != x)
        return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline uint32_t pack_bf16(float low, float high)
{
    return round_bf16(low) | round_bf16(high) << 16;
}

template <class T> static inline T *shared_memory()
{
    return reinterpret_cast<T *>(emulator::shared(emulator::cluster_rank()));
}

static inline unsigned cluster_rank()
{
    return emulator::cluster_rank();
}

static inline unsigned cluster_blocks()
{
    return emulator::cluster_blocks();
}

static inline void cluster_sync()
{
    emulator::wait_cluster();
}

static inline float cluster_read(const float *mine, unsigned rank)
{
    size_t at = (size_t)((const unsigned char *)mine - emulator::shared(emulator::cluster_rank()));
    float x;

    memcpy(&x, emulator::shared(rank) + at, sizeof x);
    return x;
}

static inline void cp_async_16(void *to, const void *from, bool is_there)
{
    emulator::copy_later(to, from, 16, is_there);
}

static inline void cp_async_commit()
{
    emulator::copies_commit();
}

template <int kGroups> static inline void cp_async_wait()
{
    emulator::copies_wait(kGroups);
}

// The fragment layouts below are those of the PTX ISA, "Matrix fragments for mma.m16n8k16" and
// "ldmatrix"; g is lane / 4 and t is lane % 4.
template <bool kTransposed> static inline void load_matrices(uint32_t r[4], const void *row)
{
    const unsigned char *rows = emulator::exchange(&row, sizeof row);
    unsigned lane = threadIdx.x & 31, g = lane / 4, t = lane % 4;

    for (unsigned i = 0; i < 4; i++) {
        uint16_t half[2];

        for (unsigned e = 0; e < 2; e++) {
            const uint16_t *from;
            unsigned of = kTransposed ? 2 * t + e : g;

            memcpy(&from, rows + 64 * (8 * i + of), sizeof from);
            half[e] = from[kTransposed ? g : 2 * t + e];
        }
        r[i] = half[0] | (uint32_t)half[1] << 16;
    }
}

static inline void ldmatrix(uint32_t r[4], const void *row)
{
    load_matrices<false>(r, row);
}

static inline void ldmatrix_transposed(uint32_t r[4], const void *row)
{
    load_matrices<true>(r, row);
}

// c[16 x 8] += a[16 x 16] b[16 x 8]
static inline void mma_bf16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    const unsigned char *all = emulator::exchange(mine, sizeof mine);
    unsigned lane = threadIdx.x & 31, g = lane / 4, t = lane % 4;

    for (unsigned i = 0; i < 4; i++) {
        unsigned upper = i / 2, n = 2 * t + i % 2;
        float sum = c[i];

        for (unsigned k = 0; k < 16; k++) {
            uint32_t x, y;

            memcpy(&x, all + 64 * (4 * g + k % 8 / 2) + 4 * (upper + 2 * (k / 8)), 4);
            memcpy(&y, all + 64 * (4 * n + k % 8 / 2) + 4 * (4 + k / 8), 4);
            sum += __uint_as_float(k % 2 ? x & 0xffff0000u : x << 16) *
                   __uint_as_float(k % 2 ? y & 0xffff0000u : y << 16);
        }
        c[i] = sum;
    }
}

// An 8 x 8 matrix of 16-bit elements, each lane a pair of row g: movmatrix.trans.
static inline uint32_t transpose_8x8(uint32_t x)
{
    const unsigned char *all = emulator::exchange(&x, sizeof x);
    unsigned lane = threadIdx.x & 31, g = lane / 4, t = lane % 4;
    uint32_t got = 0;

    for (unsigned e = 0; e < 2; e++) {
        uint32_t pair;

        memcpy(&pair, all + 64 * (4 * (2 * t + e) + g / 2), 4);
        got |= (g % 2 ? pair >> 16 : pair & 0xffff) << 16 * e;
    }
    return got;
}

#endif

// device.cuh -- what the kernels are written with: CUDA and a little PTX, or the emulator of both.

#ifndef KERNELS_CUDA_DEVICE_CUH
#define KERNELS_CUDA_DEVICE_CUH

#include <math.h>
#include <stdint.h>

#include "kernels/cuda/check.h"
#include "kernels/kern_cuda.h"

#ifndef __CUDACC__
#include "kernels/cuda/emulator/emulator.cuh"
#else
#define DEVICE        static __device__ __forceinline__
#define DEVICE_METHOD __device__ __forceinline__
#define UNROLL        _Pragma("unroll")

template <class T> DEVICE T *shared_memory()
{
    extern __shared__ __align__(128) unsigned char shared_bytes[];

    return reinterpret_cast<T *>(shared_bytes);
}

// No access to memory moves across.
DEVICE void keep_order()
{
    asm volatile("" ::: "memory");
}

// x, of which the compiler knows nothing more.
DEVICE int unknown(int x)
{
    asm volatile("" : "+r"(x));
    return x;
}

DEVICE uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

DEVICE uint32_t pack_bf16(float low, float high)
{
    uint32_t both;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

DEVICE unsigned cluster_rank()
{
    unsigned rank = 0;

#if __CUDA_ARCH__ >= 900
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
    return rank;
}

DEVICE unsigned cluster_blocks()
{
    unsigned blocks = 1;

#if __CUDA_ARCH__ >= 900
    asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));
#endif
    return blocks;
}

// All threads of the cluster; of the block, where there are no clusters.
DEVICE void cluster_sync()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.aligned;\n"
                 "barrier.cluster.wait.aligned;" ::
                     : "memory");
#else
    __syncthreads();
#endif
}

// What the block of that rank has where this one has *mine.
DEVICE float cluster_read(const float *mine, unsigned rank)
{
#if __CUDA_ARCH__ >= 900
    float x;

    asm volatile("{\n"
                 ".reg .b32 at;\n"
                 "mapa.shared::cluster.u32 at, %1, %2;\n"
                 "ld.shared::cluster.f32 %0, [at];\n"
                 "}"
                 : "=f"(x)
                 : "r"(shared_address(mine)), "r"(rank)
                 : "memory");
    return x;
#else
    (void)rank;
    return *mine;
#endif
}

// Zeros when nothing is there.
DEVICE void cp_async_16(void *to, const void *from, bool is_there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(from), "r"(is_there ? 16 : 0)
                 : "memory");
}

DEVICE void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int kGroups> DEVICE void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

// Four 8 x 8 matrices; lane i brings the address of row i % 8 of matrix i / 8.
DEVICE void ldmatrix(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

DEVICE void ldmatrix_transposed(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// c[16 x 8] += a[16 x 16] b[16 x 8]
DEVICE void mma_bf16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// An 8 x 8 matrix of 16-bit elements, each lane a pair of row lane / 4.
DEVICE uint32_t transpose_8x8(uint32_t x)
{
    uint32_t y;

    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
    return y;
}
#endif

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kChunk = KERN_CHUNK;

DEVICE int lane_index()
{
    return (int)(threadIdx.x & 31);
}

DEVICE int warp_index()
{
    return (int)(threadIdx.x >> 5);
}

DEVICE float warp_sum(float x)
{
    UNROLL
    for (int i = 16; i > 0; i /= 2)
        x += __shfl_xor_sync(kAllLanes, x, i);
    return x;
}

DEVICE float bf16_low(uint32_t pair)
{
    return __uint_as_float(pair << 16);
}

DEVICE float bf16_high(uint32_t pair)
{
    return __uint_as_float(pair & 0xffff0000u);
}

DEVICE float bf16_float(uint16_t x)
{
    return __uint_as_float((uint32_t)x << 16);
}

// Element i of rows of either type; the branch is the same for all threads.
DEVICE float get(const kern_in &x, int64_t i)
{
    if (x.type == KERN_BF16)
        return bf16_float(static_cast<const uint16_t *>(x.data)[i]);
    return static_cast<const float *>(x.data)[i];
}

DEVICE float get(const kern_out &y, int64_t i)
{
    if (y.type == KERN_BF16)
        return bf16_float(static_cast<const uint16_t *>(y.data)[i]);
    return static_cast<const float *>(y.data)[i];
}

DEVICE void put(const kern_out &y, int64_t i, float value)
{
    if (y.type == KERN_BF16)
        static_cast<uint16_t *>(y.data)[i] = (uint16_t)pack_bf16(value, 0.0f);
    else
        static_cast<float *>(y.data)[i] = value;
}

DEVICE float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

DEVICE float silu(float x)
{
    return x * sigmoid(x);
}

DEVICE float gate_beta(const kern_cuda_gates &p, int64_t row, int head)
{
    return sigmoid(get(p.b, row * p.b.ld + head));
}

// The logarithm of the decay.
DEVICE float gate_g(const kern_cuda_gates &p, int64_t row, int head)
{
    float a = get(p.a, row * p.a.ld + head) + p.dt_bias[head];
    float rate = p.is_a_exp ? -p.a_log[head] : expf(p.a_log[head]);
    float softplus = a > 20.0f ? a : log1pf(expf(a));

    return fmaxf(-rate * softplus, KERN_GATE_MIN);
}

DEVICE int key_head_of(const kern_gdn_heads &h, int value_head)
{
    return h.is_value_permuted ? value_head % h.hk : value_head / (h.hv / h.hk);
}

DEVICE int value_head_of(const kern_gdn_heads &h, int key_head, int i)
{
    return h.is_value_permuted ? key_head + i * h.hk : key_head * (h.hv / h.hk) + i;
}

// A slot as the kernels see it.
struct Slot {
    float *s;
    unsigned char *conv;
    float *k, *u, *a;
};

DEVICE Slot find_slot(const kern_cuda_slots &slots, const kern_cuda_parts &parts, int index)
{
    unsigned char *at = static_cast<unsigned char *>(slots.base) + (size_t)index * slots.stride;

    return {reinterpret_cast<float *>(at), at + parts.conv, reinterpret_cast<float *>(at + parts.k),
            reinterpret_cast<float *>(at + parts.u), reinterpret_cast<float *>(at + parts.a)};
}

// The part of a span in one chunk of positions.
struct Piece {
    kern_cuda_span span;
    int row, pos, rows;
};

DEVICE int find_span(const kern_cuda_spans &spans, int chunk)
{
    int low = 0, high = spans.count;

    while (high - low > 1) {
        int middle = (low + high) / 2;

        if (spans.device[middle].chunk <= chunk)
            low = middle;
        else
            high = middle;
    }
    return low;
}

DEVICE Piece piece_of(const kern_cuda_span &span, int local)
{
    int pos = local == 0 ? span.pos : (span.pos / kChunk + local) * kChunk;
    int left = kChunk - pos % kChunk, done = pos - span.pos;

    return {span, span.row + done, pos, min(left, span.rows - done)};
}

DEVICE Piece find_piece(const kern_cuda_spans &spans, int chunk)
{
    kern_cuda_span span = spans.device[find_span(spans, chunk)];

    return piece_of(span, chunk - span.chunk);
}

// The slot for the checkpoint at position `pos` of the span, or -1: not one, or not asked for.
DEVICE int checkpoint_at(const kern_cuda_list &list, const kern_cuda_span &span, int pos)
{
    if (span.checkpoint < 0 || pos % KERN_CUDA_CHECKPOINT != 0)
        return -1;
    return list
        .device[span.checkpoint + pos / KERN_CUDA_CHECKPOINT - span.pos / KERN_CUDA_CHECKPOINT - 1];
}

#endif

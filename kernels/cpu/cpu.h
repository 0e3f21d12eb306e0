/* One implementation, compiled once per instruction set: KERN_ISA is the prefix of its symbols. */
#ifndef KERNELS_CPU_CPU_H
#define KERNELS_CPU_CPU_H

#include <errno.h>
#include <math.h>

#include "kernels/check.h"
#include "kernels/cpu/vec.h"
#include "kernels/kern.h"
#include "kernels/pack.h"
#include "kernels/pool.h"

#define KERN_JOIN2(a, b) a##_##b
#define KERN_JOIN(a, b)  KERN_JOIN2(a, b)
#define FN(name)         KERN_JOIN(KERN_ISA, name)

#define X(op, params) int FN(op)(struct kern_thread * th, const struct params *p);
KERN_OPS(X)
#undef X

#define CPU_BEGIN(op) \
    do { \
        int rc_ = kern_check_##op(p); \
        if (rc_ != 0) \
            return rc_; \
    } while (0)

/* n lanes of y at (row, col). */
INLINE void put_vec(const struct kern_out *y, int64_t row, int64_t col, vec v, int64_t n)
{
    int64_t i = row * y->ld + col;

    if (y->type == KERN_BF16)
        vec_to_bf16((uint16_t *)y->data + i, v, n);
    else
        vec_store_n((float *)y->data + i, v, n);
}

/* Sum of squares of n floats. */
INLINE float square_sum(const float *x, int32_t n)
{
    vec sum = vec_zero();

    for (int32_t i = 0; i < n; i += VEC) {
        vec v = vec_load_n(x + i, n - i);

        sum = vec_fma(v, v, sum);
    }
    return vec_sum(sum);
}

/* c[m][n] = (c when is_added, else 0) + a[m][k] b[k][n], each element one chain over ascending k.
 * n is rounded up to 16; b is f32, or bf16 widened.  Strides in elements. */
struct mm {
    const float *a;
    int64_t a_row;
    const void *b;
    int64_t b_k;
    float *c;
    int64_t c_row;
    int32_t m, n, k;
    enum kern_type b_type;
    bool is_added;
};

void FN(mm)(const struct mm *p);

/* Sixteen rows of two matrices (or two blocks of one; w1 NULL: one block) times `tokens` rows of x:
 * out[which][token][row].  At most TILE_TOKENS. */
#if defined(__AVX512F__)
enum { TILE_TOKENS = 12 };
#elif defined(__AVX2__)
enum { TILE_TOKENS = 4 };
#else
enum { TILE_TOKENS = 2 };
#endif

struct tile {
    enum kern_layout layout;
    int32_t cols, tokens;
    const void *w0, *w1;
    const void *x; /* first token */
    int64_t ld;
};

struct tile_out {
    _Alignas(KERN_ALIGN) float y[2][TILE_TOKENS][KERN_BLOCK];
};

void FN(tile)(const struct tile *t, struct tile_out *out);

#endif

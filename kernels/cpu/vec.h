/* Vectors of the width this file is compiled for.  Everything that rounds is written out: products
 * are fused where vec_fma says so and nowhere else (-ffp-contract=off), so that a value does not
 * depend on how a loop was unrolled. */
#ifndef KERNELS_CPU_VEC_H
#define KERNELS_CPU_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
enum { VEC = 16 };
#elif defined(__AVX2__)
enum { VEC = 8 };
#else
enum { VEC = 4 };
#endif

typedef float vec __attribute__((vector_size(VEC * 4)));
typedef int32_t veci __attribute__((vector_size(VEC * 4)));

#define INLINE static inline __attribute__((always_inline))
/* A loop over registers: unrolled, or the array it indexes lies in memory. */
#if defined(__clang__)
#define EACH(i, n) _Pragma("clang loop unroll(full)") for (int i = 0; i < (n); i++)
#else
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)
#endif

INLINE vec vec_set(float x)
{
#if defined(__AVX512F__)
    return (vec)_mm512_set1_ps(x);
#elif defined(__AVX2__)
    return (vec)_mm256_set1_ps(x);
#else
    return (vec){x, x, x, x};
#endif
}

INLINE veci vec_set_bits(int32_t x)
{
#if defined(__AVX512F__)
    return (veci)_mm512_set1_epi32(x);
#elif defined(__AVX2__)
    return (veci)_mm256_set1_epi32(x);
#else
    return (veci){x, x, x, x};
#endif
}

/* Pairs of bf16 as floats: the first and the second of each.  By name where compilers would
 * otherwise shift in a general register and move the result over. */
INLINE vec vec_first(veci pairs)
{
#if defined(__AVX512F__)
    return (vec)_mm512_slli_epi32((__m512i)pairs, 16);
#elif defined(__AVX2__)
    return (vec)_mm256_slli_epi32((__m256i)pairs, 16);
#else
    return (vec)(pairs << 16);
#endif
}

INLINE vec vec_second(veci pairs)
{
#if defined(__AVX512F__)
    return (vec)_mm512_and_ps((__m512)pairs, (__m512)_mm512_set1_epi32((int32_t)0xffff0000));
#elif defined(__AVX2__)
    return (vec)_mm256_and_ps((__m256)pairs, (__m256)_mm256_set1_epi32((int32_t)0xffff0000));
#else
    return (vec)(pairs & (int32_t)0xffff0000);
#endif
}

INLINE vec vec_zero(void)
{
    return (vec){0};
}

INLINE vec vec_load(const float *p)
{
    vec v;

    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void vec_store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

/* The first n lanes, zeros after them. */
INLINE vec vec_load_n(const float *p, int64_t n)
{
    vec v = vec_zero();

    if (n >= VEC)
        return vec_load(p);
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

INLINE void vec_store_n(float *p, vec v, int64_t n)
{
    memcpy(p, &v, (size_t)(n < VEC ? n : VEC) * sizeof *p);
}

/* a * b + c */
INLINE vec vec_fma(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

INLINE vec vec_pick(veci mask, vec a, vec b)
{
    return (vec)(((veci)a & mask) | ((veci)b & ~mask));
}

INLINE vec vec_max(vec a, vec b)
{
    return vec_pick(a > b, a, b);
}

/* In one order: lane i with lane i + half, and again. */
INLINE float vec_sum(vec v)
{
    float x[VEC];

    memcpy(x, &v, sizeof v);
    for (int half = VEC / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}

INLINE float vec_largest(vec v)
{
    float x[VEC];

    memcpy(x, &v, sizeof v);
    for (int i = 1; i < VEC; i++)
        x[0] = x[i] > x[0] ? x[i] : x[0];
    return x[0];
}

INLINE vec vec_from_bf16(const uint16_t *p)
{
    typedef uint16_t half __attribute__((vector_size(VEC * 2)));
    half h;

    memcpy(&h, p, sizeof h);
    return (vec)(__builtin_convertvector(h, veci) << 16);
}

/* Nearest, ties to even, a NaN stays one: as kern_f32_to_bf16. */
INLINE void vec_to_bf16(uint16_t *p, vec v, int64_t n)
{
    typedef uint16_t half __attribute__((vector_size(VEC * 2)));
    veci bits = (veci)v, high = (bits >> 16) & 0xffff;
    veci rounded = ((bits + 0x7fff + (high & 1)) >> 16) & 0xffff;
    half h = __builtin_convertvector(
        (veci)vec_pick((veci)(v != v), (vec)(high | 0x40), (vec)rounded), half);

    memcpy(p, &h, (size_t)(n < VEC ? n : VEC) * sizeof *p);
}

/* e^x within 2 ulp; 0 below -87.3, infinity above 88.72. */
INLINE vec vec_exp(vec x)
{
    const vec magic = vec_set(12582912.0f); /* 1.5 * 2^23: rounds to an integer in the low bits */
    vec low = vec_set(-87.33654f), high = vec_set(88.72284f);
    vec t =
        vec_fma(vec_pick(x > low, vec_pick(x < high, x, high), low), vec_set(1.44269504f), magic);
    vec n = t - magic;
    vec r = vec_fma(n, vec_set(-0.693359375f), vec_pick(x > low, vec_pick(x < high, x, high), low));
    vec p = vec_set(1.9875691500e-4f);

    r = vec_fma(n, vec_set(2.12194440e-4f), r);
    p = vec_fma(p, r, vec_set(1.3981999507e-3f));
    p = vec_fma(p, r, vec_set(8.3334519073e-3f));
    p = vec_fma(p, r, vec_set(4.1665795894e-2f));
    p = vec_fma(p, r, vec_set(1.6666665459e-1f));
    p = vec_fma(p, r, vec_set(5.0000001201e-1f));
    p = vec_fma(p, r * r, r) + 1.0f;
    p = (vec)((veci)p + (((veci)t - (veci)magic) << 23));
    p = vec_pick(x > high, vec_set(__builtin_inff()), p);
    return vec_pick(x < low, vec_zero(), p);
}

INLINE vec vec_sigmoid(vec x)
{
    return 1.0f / (1.0f + vec_exp(-x));
}

INLINE vec vec_silu(vec x)
{
    return x / (1.0f + vec_exp(-x));
}

#endif

/* Sixteen interleaved weight rows times up to TILE_TOKENS rows of activations. */
#include "kernels/cpu/cpu.h"

enum {
    LANES = KERN_BLOCK / VEC, /* vectors per block */
#if defined(__AVX512F__)
    PAIRED = 2, /* blocks whose accumulators fit the registers together */
#else
    PAIRED = 1,
#endif
    AHEAD_BYTES = 4096,
};

INLINE void fetch_ahead(const char *w)
{
    __builtin_prefetch(w + AHEAD_BYTES, 0, 3);
}

INLINE const char *x_row(const struct tile *t, int i)
{
    return (const char *)t->x + i * t->ld * (t->layout == KERN_LAYOUT_B16 ? 2 : 4);
}

#if defined(__AVX512BF16__)
/* Tokens in groups of three share a pointer, so that the addresses fit the registers. */
enum { GROUP = 3, GROUPS = TILE_TOKENS / GROUP };

INLINE __m512bh b16_load(const char *w)
{
    return (__m512bh)_mm512_load_si512(w);
}

INLINE vec b16_dot(vec acc, __m512bh w, int32_t pair)
{
    return (vec)_mm512_dpbf16_ps((__m512)acc, w, (__m512bh)_mm512_set1_epi32(pair));
}

INLINE int32_t b16_pair(const char *x)
{
    int32_t pair;

    memcpy(&pair, x, sizeof pair);
    return pair;
}

INLINE void b16_tile(const struct tile *t, const int tokens, const int blocks, const bool ahead,
                     struct tile_out *out)
{
    const char *w0 = t->w0, *w1 = blocks > 1 ? t->w1 : t->w0, *x[GROUPS];
    int64_t ld = t->ld * 2;
    vec acc[2][TILE_TOKENS];

    EACH (g, GROUPS)
        x[g] = x_row(t, g * GROUP);
    EACH (i, tokens)
        acc[0][i] = acc[1][i] = vec_zero();
    for (int32_t k = 0; k < t->cols / 2; k++) {
        __m512bh a = b16_load(w0 + k * 64), b = a;

        if (blocks > 1)
            b = b16_load(w1 + k * 64);
        if (ahead) {
            fetch_ahead(w0 + k * 64);
            if (blocks > 1)
                fetch_ahead(w1 + k * 64);
        }
        EACH (i, tokens) {
            int32_t pair = b16_pair(x[i / GROUP] + i % GROUP * ld + k * 4);

            acc[0][i] = b16_dot(acc[0][i], a, pair);
            if (blocks > 1)
                acc[1][i] = b16_dot(acc[1][i], b, pair);
        }
    }
    if (t->cols % 2 != 0) /* the last pair ends with a zero in w; x may end with anything */
        EACH (i, tokens) {
            int64_t k = t->cols / 2;
            uint16_t last;

            memcpy(&last, x_row(t, i) + k * 4, sizeof last);
            acc[0][i] = b16_dot(acc[0][i], b16_load(w0 + k * 64), last);
            if (blocks > 1)
                acc[1][i] = b16_dot(acc[1][i], b16_load(w1 + k * 64), last);
        }
    EACH (i, tokens) {
        vec_store(out->y[0][i], acc[0][i]);
        if (blocks > 1)
            vec_store(out->y[1][i], acc[1][i]);
    }
}
#else
/* Columns 2k and 2k + 1 of a token; past the last one a zero. */
INLINE veci x_pair(const struct tile *t, int i, int32_t k, const bool has_odd)
{
    int32_t pair = 0;

    memcpy(&pair, x_row(t, i) + (int64_t)k * 4, has_odd ? 4 : 2);
    return vec_set_bits(pair);
}

/* Widened to f32: the even column, then the odd one. */
INLINE void b16_columns(const struct tile *t, const int tokens, const int blocks, int32_t k,
                        const bool has_odd, vec acc[2][TILE_TOKENS][LANES])
{
    EACH (b, blocks) {
        const float *w = (const float *)(b == 0 ? t->w0 : t->w1) + (int64_t)k * KERN_BLOCK;
        vec first[LANES], second[LANES];

        EACH (l, LANES) {
            veci pairs = (veci)vec_load(w + l * VEC);

            first[l] = vec_first(pairs);
            second[l] = vec_second(pairs);
        }
        EACH (i, tokens) {
            veci x = x_pair(t, i, k, has_odd);

            EACH (l, LANES)
                acc[b][i][l] = vec_fma(first[l], vec_first(x), acc[b][i][l]);
            EACH (l, LANES)
                acc[b][i][l] = vec_fma(second[l], vec_second(x), acc[b][i][l]);
        }
    }
}

INLINE void b16_tile(const struct tile *t, const int tokens, const int blocks, const bool ahead,
                     struct tile_out *out)
{
    vec acc[2][TILE_TOKENS][LANES];

    EACH (b, blocks)
        EACH (i, tokens)
            EACH (l, LANES)
                acc[b][i][l] = vec_zero();
    for (int32_t k = 0; k < t->cols / 2; k++) {
        if (ahead)
            fetch_ahead((const char *)t->w0 + (int64_t)k * 64);
        b16_columns(t, tokens, blocks, k, true, acc);
    }
    if (t->cols % 2 != 0)
        b16_columns(t, tokens, blocks, t->cols / 2, false, acc);
    EACH (b, blocks)
        EACH (i, tokens)
            EACH (l, LANES)
                vec_store(&out->y[b][i][l * VEC], acc[b][i][l]);
}
#endif

INLINE void f32_tile(const struct tile *t, const int tokens, const int blocks, const bool ahead,
                     struct tile_out *out)
{
    vec acc[2][TILE_TOKENS][LANES];

    EACH (b, blocks)
        EACH (i, tokens)
            EACH (l, LANES)
                acc[b][i][l] = vec_zero();
    for (int64_t k = 0; k < t->cols; k++) {
        if (ahead)
            fetch_ahead((const char *)t->w0 + k * 64);
        EACH (b, blocks)
            EACH (i, tokens) {
                const float *w = (const float *)(b == 0 ? t->w0 : t->w1) + k * KERN_BLOCK;
                vec x = vec_set(((const float *)x_row(t, i))[k]);

                EACH (l, LANES)
                    acc[b][i][l] = vec_fma(vec_load(w + l * VEC), x, acc[b][i][l]);
            }
    }
    EACH (b, blocks)
        EACH (i, tokens)
            EACH (l, LANES)
                vec_store(&out->y[b][i][l * VEC], acc[b][i][l]);
}

INLINE void run_tile(const struct tile *t, const int tokens, const int blocks, struct tile_out *out)
{
    if (t->layout == KERN_LAYOUT_F32)
        f32_tile(t, tokens, blocks, tokens < TILE_TOKENS, out);
    else
        b16_tile(t, tokens, blocks, tokens < TILE_TOKENS, out);
}

#define CASES_BELOW_2(CASE)  CASE(1)
#define CASES_BELOW_4(CASE)  CASES_BELOW_2(CASE) CASE(2) CASE(3)
#define CASES_BELOW_12(CASE) CASES_BELOW_4(CASE) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) \
    CASE(9) CASE(10) CASE(11)

INLINE void run_case(const struct tile *t, const int tokens, const int blocks,
                     struct tile_out *out)
{
    if (blocks == PAIRED)
        run_tile(t, tokens, PAIRED, out);
    else
        run_tile(t, tokens, 1, out);
}

static void run_blocks(const struct tile *t, const int blocks, struct tile_out *out)
{
    switch (t->tokens) {
#define CASE(n) \
    case n: \
        run_case(t, n, blocks, out); \
        break;
#if defined(__AVX512F__)
        CASES_BELOW_12(CASE)
#elif defined(__AVX2__)
        CASES_BELOW_4(CASE)
#else
        CASES_BELOW_2(CASE)
#endif
#undef CASE
    default:
        run_case(t, TILE_TOKENS, blocks, out);
        break;
    }
}

void FN(tile)(const struct tile *t, struct tile_out *out)
{
    struct tile second = *t;

    if (t->w1 == NULL || PAIRED == 2) {
        run_blocks(t, t->w1 == NULL ? 1 : PAIRED, out);
        return;
    }
    run_blocks(t, 1, out);
    second.w0 = t->w1;
    struct tile_out other;
    run_blocks(&second, 1, &other);
    memcpy(out->y[1], other.y[0], sizeof out->y[1]);
}

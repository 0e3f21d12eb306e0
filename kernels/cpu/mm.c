/* The small matrix product under DeltaNet, attention and f32 weights. */
#include "kernels/cpu/cpu.h"

/* Rows of a tile and columns in vectors; accumulators, a row of b and a broadcast fit the
 * registers. */
#if defined(__AVX512F__)
enum { ROWS = 6, WIDE = 4, THIN_ROWS = 2, THIN_WIDE = 8 };
#elif defined(__AVX2__)
enum { ROWS = 6, WIDE = 2, THIN_ROWS = 2, THIN_WIDE = 4 };
#else
enum { ROWS = 2, WIDE = 4, THIN_ROWS = 1, THIN_WIDE = 8 };
#endif
enum { NARROW = KERN_BLOCK / VEC };

INLINE vec load_b(const struct mm *p, bool is_bf16, int64_t i)
{
    if (is_bf16)
        return vec_from_bf16((const uint16_t *)p->b + i);
    return vec_load((const float *)p->b + i);
}

INLINE void run_tile(const struct mm *p, const int rows, const int wide, const bool is_bf16,
                     int32_t row, int32_t col)
{
    const float *a = p->a + row * p->a_row;
    float *c = p->c + row * p->c_row + col;
    vec acc[ROWS][THIN_WIDE];

    EACH (r, rows)
        EACH (w, wide)
            acc[r][w] = p->is_added ? vec_load(c + r * p->c_row + w * VEC) : vec_zero();
    for (int64_t k = 0; k < p->k; k++) {
        vec b[THIN_WIDE];

        EACH (w, wide)
            b[w] = load_b(p, is_bf16, k * p->b_k + col + w * VEC);
        EACH (r, rows) {
            vec x = vec_set(a[r * p->a_row + k]);

            EACH (w, wide)
                acc[r][w] = vec_fma(x, b[w], acc[r][w]);
        }
    }
    EACH (r, rows)
        EACH (w, wide)
            vec_store(c + r * p->c_row + w * VEC, acc[r][w]);
}

INLINE void run_rows(const struct mm *p, const int wide, const bool is_bf16, int32_t col)
{
    int32_t row = 0;

    for (; row + ROWS <= p->m; row += ROWS)
        run_tile(p, ROWS, wide, is_bf16, row, col);
    switch (p->m - row) {
    case 1:
        run_tile(p, 1, wide, is_bf16, row, col);
        break;
#if defined(__AVX2__) || defined(__AVX512F__)
    case 2:
        run_tile(p, 2, wide, is_bf16, row, col);
        break;
    case 3:
        run_tile(p, 3, wide, is_bf16, row, col);
        break;
    case 4:
        run_tile(p, 4, wide, is_bf16, row, col);
        break;
    case 5:
        run_tile(p, 5, wide, is_bf16, row, col);
        break;
#endif
    default:
        break;
    }
}

/* Few rows: wide tiles, so that b is read once and in order. */
INLINE int32_t run_thin(const struct mm *p, const bool is_bf16)
{
    int32_t col = 0;

    for (; col + THIN_WIDE * VEC <= p->n; col += THIN_WIDE * VEC)
        if (p->m == THIN_ROWS)
            run_tile(p, THIN_ROWS, THIN_WIDE, is_bf16, 0, col);
        else
            run_tile(p, 1, THIN_WIDE, is_bf16, 0, col);
    return col;
}

INLINE void run(const struct mm *p, const bool is_bf16)
{
    int32_t col = p->m <= THIN_ROWS ? run_thin(p, is_bf16) : 0;

    for (; col + WIDE * VEC <= p->n; col += WIDE * VEC)
        run_rows(p, WIDE, is_bf16, col);
    for (; col < p->n; col += KERN_BLOCK)
        run_rows(p, NARROW, is_bf16, col);
}

void FN(mm)(const struct mm *p)
{
    if (p->b_type == KERN_BF16)
        run(p, true);
    else
        run(p, false);
}

#include "kernels/pack.h"

#include <errno.h>
#include <string.h>

enum { COLS_MAX = 1 << 24 };
static const int64_t ROWS_MAX = INT32_MAX - KERN_BLOCK;

float kern_bf16_to_f32(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

uint16_t kern_f32_to_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float kern_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    uint32_t bits;
    float x;

    if (exponent == 31) {
        bits = sign | 0x7f800000 | mantissa << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else {
        x = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &x, sizeof bits);
        bits |= sign;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int64_t padded_cols(enum kern_layout layout, int64_t cols)
{
    return layout == KERN_LAYOUT_B16 ? (cols + 1) / 2 * 2 : cols;
}

static size_t element_bytes(enum kern_layout layout)
{
    return layout == KERN_LAYOUT_B16 ? 2 : 4;
}

size_t kern_matrix_bytes(enum kern_layout layout, int64_t rows, int64_t cols)
{
    if (layout != KERN_LAYOUT_F32 && layout != KERN_LAYOUT_B16)
        return 0;
    if (rows < 1 || rows > ROWS_MAX || cols < 1 || cols > COLS_MAX)
        return 0;
    int64_t blocks = (rows + KERN_BLOCK - 1) / KERN_BLOCK;
    return (size_t)(blocks * KERN_BLOCK * padded_cols(layout, cols)) * element_bytes(layout);
}

static float source_at(const struct kern_pack *p, int64_t row, int64_t col)
{
    int64_t i = (row - p->first) * p->ld + col;
    float x;
    uint16_t h;

    /* Rows of a file may start at any byte. */
    if (p->source == KERN_SOURCE_F32) {
        memcpy(&x, (const char *)p->from + 4 * i, sizeof x);
        return x;
    }
    memcpy(&h, (const char *)p->from + 2 * i, sizeof h);
    return p->source == KERN_SOURCE_F16 ? kern_f16_to_f32(h) : kern_bf16_to_f32(h);
}

/* bf16 stays bf16, bit for bit: the common case, and the one that must keep up with the disk. */
static void pack_row_bf16(const struct kern_pack *p, int64_t row, uint16_t *to)
{
    const char *from = (const char *)p->from + 2 * (row - p->first) * p->ld;
    int64_t pairs = p->cols / 2;

    for (int64_t k = 0; k < pairs; k++)
        memcpy(to + k * 2 * KERN_BLOCK, from + 4 * k, 4);
    if (p->cols % 2 != 0) {
        memcpy(to + pairs * 2 * KERN_BLOCK, from + 4 * pairs, 2);
        to[pairs * 2 * KERN_BLOCK + 1] = 0;
    }
}

static void pack_row(const struct kern_pack *p, int64_t row)
{
    int64_t cols = padded_cols(p->layout, p->cols), lane = row % KERN_BLOCK;
    int64_t block = (row - lane) * cols;
    bool is_real = row < p->rows_all;

    if (p->layout == KERN_LAYOUT_F32) {
        float *to = (float *)p->dest + block + lane;

        for (int64_t k = 0; k < cols; k++)
            to[k * KERN_BLOCK] = is_real ? source_at(p, row, k) : 0.0f;
        return;
    }
    uint16_t *to = (uint16_t *)p->dest + block + 2 * lane;
    if (is_real && p->source == KERN_SOURCE_BF16) {
        pack_row_bf16(p, row, to);
        return;
    }
    for (int64_t k = 0; k < cols; k++)
        to[k / 2 * 2 * KERN_BLOCK + k % 2] =
            is_real && k < p->cols ? kern_f32_to_bf16(source_at(p, row, k)) : 0;
}

int kern_pack(const struct kern_pack *p)
{
    if (p == NULL || p->from == NULL || p->dest == NULL)
        return -EINVAL;
    if (p->layout == KERN_LAYOUT_I8 || p->layout == KERN_LAYOUT_I4)
        return -ENOTSUP;
    if (kern_matrix_bytes(p->layout, p->rows_all, p->cols) == 0 || p->ld < p->cols)
        return -EINVAL;
    if (p->source != KERN_SOURCE_F32 && p->source != KERN_SOURCE_F16 &&
        p->source != KERN_SOURCE_BF16)
        return -EINVAL;
    if (p->first < 0 || p->rows < 1 || p->first > p->rows_all - p->rows ||
        (uintptr_t)p->dest % KERN_ALIGN != 0)
        return -EINVAL;
    int64_t to = p->first + p->rows;
    if (to == p->rows_all) /* the last range fills the last block up */
        to = (to + KERN_BLOCK - 1) / KERN_BLOCK * KERN_BLOCK;
    for (int64_t row = p->first; row < to; row++)
        pack_row(p, row);
    return 0;
}

int kern_unpack_row(const struct kern_matrix *m, int64_t row, float *out)
{
    if (m == NULL || out == NULL || m->data == NULL || row < 0 || row >= m->rows)
        return -EINVAL;
    if (kern_matrix_bytes(m->layout, m->rows, m->cols) == 0)
        return -ENOTSUP;
    int64_t cols = padded_cols(m->layout, m->cols), lane = row % KERN_BLOCK;
    int64_t block = (row - lane) * cols;

    for (int64_t k = 0; k < m->cols; k++)
        if (m->layout == KERN_LAYOUT_F32)
            out[k] = ((const float *)m->data)[block + k * KERN_BLOCK + lane];
        else
            out[k] = kern_bf16_to_f32(
                ((const uint16_t *)m->data)[block + k / 2 * 2 * KERN_BLOCK + 2 * lane + k % 2]);
    return 0;
}

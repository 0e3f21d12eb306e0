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

/* With masks for branches, so that it is done for several at once, and without subnormal operands,
 * which some processors are slow with. */
static uint32_t f16_bits(uint16_t h)
{
    int32_t bits = (h & 0x7fff) << 13;
    int32_t is_small = -(bits < 1 << 23), is_last = -(bits >= 31 << 23);
    int32_t small_bits = bits | 0x38800000; /* 2^-14 + mantissa 2^-24 */
    float small;

    memcpy(&small, &small_bits, sizeof small);
    small -= 0x1p-14f;
    memcpy(&small_bits, &small, sizeof small_bits);
    bits = (bits + (112 << 23)) | (is_last & 0x7f800000);
    return (uint32_t)(h & 0x8000) << 16 | (uint32_t)((small_bits & is_small) | (bits & ~is_small));
}

float kern_f16_to_f32(uint16_t h)
{
    uint32_t bits = f16_bits(h);
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Units of four bytes in a row. */
static int64_t block_units(enum kern_layout layout, int64_t cols)
{
    return layout == KERN_LAYOUT_B16 ? (cols + 1) / 2 : cols;
}

size_t kern_matrix_bytes(enum kern_layout layout, int64_t rows, int64_t cols)
{
    if (layout != KERN_LAYOUT_F32 && layout != KERN_LAYOUT_B16)
        return 0;
    if (rows < 1 || rows > ROWS_MAX || cols < 1 || cols > COLS_MAX)
        return 0;
    int64_t blocks = (rows + KERN_BLOCK - 1) / KERN_BLOCK;
    return (size_t)(blocks * KERN_BLOCK * block_units(layout, cols)) * sizeof(uint32_t);
}

/* ---- rows as units of four bytes: a float, or a pair of bf16 ---- */
static size_t source_bytes(enum kern_source source)
{
    return source == KERN_SOURCE_F32 ? 4 : 2;
}

static uint16_t bf16_of(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return kern_f32_to_bf16(x);
}

static uint32_t pair_of(uint16_t first, uint16_t second)
{
    return first | (uint32_t)second << 16;
}

/* A row of a file may start at any byte. */
static uint16_t u16_at(const char *from, int64_t i)
{
    uint16_t h;

    memcpy(&h, from + 2 * i, sizeof h);
    return h;
}

static uint32_t u32_at(const char *from, int64_t i)
{
    uint32_t x;

    memcpy(&x, from + 4 * i, sizeof x);
    return x;
}

static void load_floats(enum kern_source source, const char *from, int64_t n, uint32_t *to)
{
    if (source == KERN_SOURCE_F32) {
        memcpy(to, from, (size_t)n * sizeof *to);
    } else if (source == KERN_SOURCE_F16) {
        for (int64_t i = 0; i < n; i++)
            to[i] = f16_bits(u16_at(from, i));
    } else {
        for (int64_t i = 0; i < n; i++)
            to[i] = (uint32_t)u16_at(from, i) << 16;
    }
}

static void load_pairs(enum kern_source source, const char *from, int64_t n, uint32_t *to)
{
    if (source == KERN_SOURCE_F32) {
        for (int64_t i = 0; i < n; i++)
            to[i] = pair_of(bf16_of(u32_at(from, 2 * i)), bf16_of(u32_at(from, 2 * i + 1)));
    } else if (source == KERN_SOURCE_F16) {
        for (int64_t i = 0; i < n; i++)
            to[i] = pair_of(bf16_of(f16_bits(u16_at(from, 2 * i))),
                            bf16_of(f16_bits(u16_at(from, 2 * i + 1))));
    } else {
        memcpy(to, from, (size_t)n * sizeof *to);
    }
}

/* Units [first, first + n) of a row; a row behind the last is zeros, and so is the second half of
 * the last pair of an odd row. */
static void load_units(const struct kern_pack *p, int64_t row, int64_t first, int64_t n,
                       uint32_t *to)
{
    int64_t per_unit = p->layout == KERN_LAYOUT_B16 ? 2 : 1, col = first * per_unit;
    const char *from =
        (const char *)p->from + ((row - p->first) * p->ld + col) * (int64_t)source_bytes(p->source);

    if (row >= p->rows_all) {
        memset(to, 0, (size_t)n * sizeof *to);
    } else if (p->layout == KERN_LAYOUT_F32) {
        load_floats(p->source, from, n, to);
    } else {
        int64_t whole = (p->cols - col) / 2 < n ? (p->cols - col) / 2 : n;

        load_pairs(p->source, from, whole, to);
        if (whole < n) {
            load_floats(p->source, from + 2 * whole * (int64_t)source_bytes(p->source), 1,
                        to + whole);
            to[whole] = bf16_of(to[whole]);
        }
    }
}

/* ---- blocks ---- */
enum { UNITS = 128 }; /* of a row at once: sixteen rows of them fit the first cache */

typedef uint32_t quad __attribute__((vector_size(16)));

static quad load_quad(const uint32_t *from)
{
    quad q;

    memcpy(&q, from, sizeof q);
    return q;
}

#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (quad){__VA_ARGS__})
#endif

/* Four units of four rows. */
static void transpose_quads(const uint32_t (*from)[UNITS], uint32_t *to)
{
    quad a = load_quad(from[0]), b = load_quad(from[1]);
    quad c = load_quad(from[2]), d = load_quad(from[3]);
    quad ab = SHUFFLE(a, b, 0, 4, 1, 5), cd = SHUFFLE(c, d, 0, 4, 1, 5);
    quad ab2 = SHUFFLE(a, b, 2, 6, 3, 7), cd2 = SHUFFLE(c, d, 2, 6, 3, 7);
    quad out[4] = {SHUFFLE(ab, cd, 0, 1, 4, 5), SHUFFLE(ab, cd, 2, 3, 6, 7),
                   SHUFFLE(ab2, cd2, 0, 1, 4, 5), SHUFFLE(ab2, cd2, 2, 3, 6, 7)};

    for (int i = 0; i < 4; i++)
        memcpy(to + i * KERN_BLOCK, &out[i], sizeof out[i]);
}

/* Rows [row, row + KERN_BLOCK), the first a multiple of KERN_BLOCK. */
static void pack_block(const struct kern_pack *p, int64_t row)
{
    int64_t units = block_units(p->layout, p->cols);
    uint32_t rows[KERN_BLOCK][UNITS], *to = (uint32_t *)p->dest + row * units;

    for (int64_t first = 0; first < units; first += UNITS, to += UNITS * KERN_BLOCK) {
        int64_t n = units - first < UNITS ? units - first : UNITS, u = 0;

        for (int i = 0; i < KERN_BLOCK; i++)
            load_units(p, row + i, first, n, rows[i]);
        for (; u + 4 <= n; u += 4)
            for (int i = 0; i < KERN_BLOCK; i += 4)
                transpose_quads((const uint32_t(*)[UNITS]) & rows[i][u], to + u * KERN_BLOCK + i);
        for (; u < n; u++)
            for (int i = 0; i < KERN_BLOCK; i++)
                to[u * KERN_BLOCK + i] = rows[i][u];
    }
}

/* One row of a block whose other rows come at another time. */
static void pack_row(const struct kern_pack *p, int64_t row)
{
    int64_t units = block_units(p->layout, p->cols), lane = row % KERN_BLOCK;
    uint32_t some[UNITS], *to = (uint32_t *)p->dest + (row - lane) * units + lane;

    for (int64_t first = 0; first < units; first += UNITS) {
        int64_t n = units - first < UNITS ? units - first : UNITS;

        load_units(p, row, first, n, some);
        for (int64_t u = 0; u < n; u++)
            to[(first + u) * KERN_BLOCK] = some[u];
    }
}

void kern_to_floats(enum kern_source source, const void *from, int64_t n, float *to)
{
    uint32_t some[UNITS];

    for (int64_t first = 0; first < n; first += UNITS) {
        int64_t count = n - first < UNITS ? n - first : UNITS;

        load_floats(source, (const char *)from + first * (int64_t)source_bytes(source), count,
                    some);
        memcpy(to + first, some, (size_t)count * sizeof *some);
    }
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
    for (int64_t row = p->first; row < to;) {
        if (row % KERN_BLOCK == 0 && to - row >= KERN_BLOCK) {
            pack_block(p, row);
            row += KERN_BLOCK;
        } else {
            pack_row(p, row++);
        }
    }
    return 0;
}

int kern_unpack_row(const struct kern_matrix *m, int64_t row, float *out)
{
    if (m == NULL || out == NULL || m->data == NULL || row < 0 || row >= m->rows)
        return -EINVAL;
    if (kern_matrix_bytes(m->layout, m->rows, m->cols) == 0)
        return -ENOTSUP;
    int64_t lane = row % KERN_BLOCK, block = (row - lane) * block_units(m->layout, m->cols);

    for (int64_t k = 0; k < m->cols; k++)
        if (m->layout == KERN_LAYOUT_F32)
            out[k] = ((const float *)m->data)[block + k * KERN_BLOCK + lane];
        else
            out[k] = kern_bf16_to_f32(
                ((const uint16_t *)m->data)[2 * (block + k / 2 * KERN_BLOCK + lane) + k % 2]);
    return 0;
}

/* ---- values ---- */

/* The smallest magnitude, as bits, that the layout cannot hold as a finite number. */
static uint32_t limit_bits(enum kern_source source, enum kern_layout layout)
{
    if (source == KERN_SOURCE_F16)
        return 0x7c00;
    if (source == KERN_SOURCE_BF16)
        return 0x7f80;
    return layout == KERN_LAYOUT_B16 ? 0x7f7f8000 : 0x7f800000; /* halfway to 2^128 rounds up */
}

static uint32_t magnitude_at(enum kern_source source, const char *from, int64_t i)
{
    return source == KERN_SOURCE_F32 ? u32_at(from, i) & 0x7fffffff : u16_at(from, i) & 0x7fff;
}

/* Without a branch in the loops, so that they run at the memory's speed. */
static uint32_t largest_magnitude(enum kern_source source, const char *from, int64_t n)
{
    int32_t most32 = 0; /* signed: that is what every vector unit compares */
    int16_t most16 = 0;

    for (int64_t i = 0; source == KERN_SOURCE_F32 && i < n; i++) {
        int32_t x = (int32_t)(u32_at(from, i) & 0x7fffffff);

        most32 = x > most32 ? x : most32;
    }
    for (int64_t i = 0; source != KERN_SOURCE_F32 && i < n; i++) {
        int16_t h = (int16_t)(u16_at(from, i) & 0x7fff);

        most16 = h > most16 ? h : most16;
    }
    return (uint32_t)(source == KERN_SOURCE_F32 ? most32 : most16);
}

int64_t kern_find_unfit(enum kern_source source, enum kern_layout layout, const void *from,
                        int64_t n)
{
    uint32_t limit = limit_bits(source, layout);
    int64_t i = 0;

    if (largest_magnitude(source, from, n) < limit)
        return -1;
    while (magnitude_at(source, from, i) < limit)
        i++;
    return i;
}

/* Weights from files into the internal layouts, and their sizes. */
#ifndef KERNELS_PACK_H
#define KERNELS_PACK_H

#include "kernels/kern.h"

enum kern_source { KERN_SOURCE_F32, KERN_SOURCE_F16, KERN_SOURCE_BF16 };

/* Bytes of a packed matrix, or 0: no such layout yet, or a size out of range. */
size_t kern_matrix_bytes(enum kern_layout layout, int64_t rows, int64_t cols);

/* Rows [first, first + rows) of a matrix of `rows_all` rows and `cols` columns, from row-major
 * source rows `ld` elements apart, into dest (kern_matrix_bytes of the whole, aligned).  Ranges
 * that begin on multiples of KERN_BLOCK may be packed by different threads. */
struct kern_pack {
    enum kern_layout layout;
    enum kern_source source;
    const void *from; /* row `first` */
    int64_t ld;
    int64_t first, rows, rows_all, cols;
    void *dest;
};

int kern_pack(const struct kern_pack *p);

/* n elements as floats, from any byte: vectors, which need no layout. */
void kern_to_floats(enum kern_source source, const void *from, int64_t n, float *to);

/* The first of n elements that the layout does not hold as a finite number: NaN, an infinity, a
 * float that rounds to one. -1: none. */
int64_t kern_find_unfit(enum kern_source source, enum kern_layout layout, const void *from,
                        int64_t n);

/* One row of a packed matrix as floats: tests, tables, tools. */
int kern_unpack_row(const struct kern_matrix *m, int64_t row, float *out);

float kern_f16_to_f32(uint16_t h);
uint16_t kern_f32_to_bf16(float x); /* nearest, ties to even; a NaN stays one */
float kern_bf16_to_f32(uint16_t h);

#endif

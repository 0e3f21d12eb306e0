/* What the kernel tests share: seeded values, aligned memory, the implementations of this machine,
 * comparison with a stated bound. */
#ifndef TESTS_KERNELS_KERNELS_UTIL_H
#define TESTS_KERNELS_KERNELS_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above, which it needs */
#include <cmocka.h>

#include "kernels/kern.h"
#include "kernels/pack.h"
#include "kernels/pool.h"

/* Zeroed, aligned, released by release_all. */
void *take_bytes(size_t bytes);
float *take_floats(size_t count);
void release_all(void);

void seed(uint64_t value);
double uniform(double low, double high);
double gauss(void);
float *random_floats(size_t count, double scale); /* gauss * scale, from take_floats */

/* n floats as bf16 or f32 rows. */
struct kern_in make_in(enum kern_type type, const float *x, int64_t rows, int64_t ld);
struct kern_matrix make_matrix(enum kern_layout layout, const float *w, int32_t rows, int32_t cols);

/* Every implementation this machine runs, the reference not among them; NULL ends. */
const struct kern_ops *const *implementations(void);

/* Runs job on `threads` threads. */
int run_team(int threads, kern_job *job, void *arg);

/* Calls one operation on a team: RUN(ops, linear, &params, threads). */
#define RUN(ops, op, params, threads) \
    run_op((kern_job *)(void (*)(void))(ops)->op, (const void *)(params), (threads))
int run_op(kern_job *op, const void *params, int threads);

/* |a - b| <= bound * (1 + |b|) everywhere, and no NaN. */
void check_close(const char *what, const float *a, const float *b, size_t count, double bound);
void check_same(const char *what, const void *a, const void *b, size_t bytes);
double largest_difference(const float *a, const float *b, size_t count);

/* A named array of tests/golden/kernels.bin, as floats. */
const float *golden(const char *name, size_t *count);

#endif

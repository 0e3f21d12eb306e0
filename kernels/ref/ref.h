/* The reference: every operation in plain loops, summed in double precision, rounded where the
 * operation says that it stores.  It defines the results; the others are compared with it. */
#ifndef KERNELS_REF_REF_H
#define KERNELS_REF_REF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/kern.h"
#include "kernels/pack.h"
#include "kernels/pool.h"

#define X(op, params) int ref_##op(struct kern_thread *th, const struct params *p);
KERN_OPS(X)
#undef X

/* Refuse, or leave the work to rank 0. */
#define REF_BEGIN(op) \
    do { \
        int rc_ = kern_check_##op(p); \
        if (rc_ != 0 || th->rank != 0) \
            return rc_; \
    } while (0)

static inline double ref_get(const struct kern_in *x, int64_t row, int64_t col)
{
    int64_t i = row * x->ld + col;

    if (x->type == KERN_BF16)
        return (double)kern_bf16_to_f32(((const uint16_t *)x->data)[i]);
    return (double)((const float *)x->data)[i];
}

static inline void ref_put(const struct kern_out *y, int64_t row, int64_t col, double value)
{
    int64_t i = row * y->ld + col;

    if (y->type == KERN_BF16)
        ((uint16_t *)y->data)[i] = kern_f32_to_bf16((float)value);
    else
        ((float *)y->data)[i] = (float)value;
}

static inline double ref_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static inline double ref_silu(double x)
{
    return x * ref_sigmoid(x);
}

/* Element `out` of W x[row]. */
double ref_dot(const struct kern_matrix *w, int32_t out, const struct kern_in *x, int64_t row);

#endif

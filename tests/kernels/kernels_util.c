#include "tests/kernels/kernels_util.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAKEN_MAX = 4096, GOLDEN_MAX = 1 << 22 };

static void *taken[TAKEN_MAX];
static size_t taken_count;
static uint64_t state = 1;

void *take_bytes(size_t bytes)
{
    size_t size = (bytes + 63) / 64 * 64 + 64;
    void *p = aligned_alloc(64, size);

    assert_non_null(p);
    assert_true(taken_count < TAKEN_MAX);
    memset(p, 0, size);
    taken[taken_count++] = p;
    return p;
}

float *take_floats(size_t count)
{
    return take_bytes(count * sizeof(float));
}

void release_all(void)
{
    while (taken_count > 0)
        free(taken[--taken_count]);
}

void seed(uint64_t value)
{
    state = value * 0x9E3779B97F4A7C15u + 1;
}

double uniform(double low, double high)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return low + (high - low) * (double)(state >> 11) * 0x1p-53;
}

double gauss(void)
{
    double sum = 0;

    for (int i = 0; i < 12; i++)
        sum += uniform(0, 1);
    return sum - 6;
}

float *random_floats(size_t count, double scale)
{
    float *x = take_floats(count);

    for (size_t i = 0; i < count; i++)
        x[i] = (float)(gauss() * scale);
    return x;
}

struct kern_in make_in(enum kern_type type, const float *x, int64_t rows, int64_t ld)
{
    if (type == KERN_F32)
        return (struct kern_in){type, x, ld};
    uint16_t *y = take_bytes((size_t)(rows * ld) * sizeof *y);
    for (int64_t i = 0; i < rows * ld; i++)
        y[i] = kern_f32_to_bf16(x[i]);
    return (struct kern_in){type, y, ld};
}

struct kern_matrix make_matrix(enum kern_layout layout, const float *w, int32_t rows, int32_t cols)
{
    void *data = take_bytes(kern_matrix_bytes(layout, rows, cols));
    struct kern_pack p = {.layout = layout,
                          .source = KERN_SOURCE_F32,
                          .from = w,
                          .ld = cols,
                          .rows = rows,
                          .rows_all = rows,
                          .cols = cols,
                          .dest = data};

    assert_int_equal(kern_pack(&p), 0);
    return (struct kern_matrix){layout, rows, cols, data};
}

const struct kern_ops *const *implementations(void)
{
    static const struct kern_ops *list[KERN_ISAS + 1];
    size_t n = 0;

    for (enum kern_isa isa = KERN_PLAIN; isa < KERN_ISAS; isa++)
        if (kern_cpu(isa) != NULL)
            list[n++] = kern_cpu(isa);
    return list;
}

int run_team(int threads, kern_job *job, void *arg)
{
    struct kern_pool *pool;

    assert_int_equal(kern_pool_open(&pool, threads, NULL), 0);
    int rc = kern_pool_run(pool, job, arg);
    kern_pool_close(&pool);
    return rc;
}

struct call {
    kern_job *op;
    const void *params;
};

static int call_op(struct kern_thread *th, void *arg)
{
    const struct call *c = arg;

    /* every operation takes a pointer to its params, const; the union of both types is called */
    return c->op(th, (void *)(uintptr_t)c->params);
}

int run_op(kern_job *op, const void *params, int threads)
{
    struct call c = {op, params};

    return run_team(threads, call_op, &c);
}

double largest_difference(const float *a, const float *b, size_t count)
{
    double most = 0;

    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]) / (1 + fabs((double)b[i]));

        if (!(d <= most))
            most = isnan(d) ? INFINITY : d;
    }
    return most;
}

void check_close(const char *what, const float *a, const float *b, size_t count, double bound)
{
    double d = largest_difference(a, b, count);

    if (getenv("KERN_TEST_PRINT") != NULL)
        print_message("%-40s %.2e of %.2e\n", what, d, bound);
    if (!(d <= bound))
        fail_msg("%s: difference %.3e, bound %.3e", what, d, bound);
}

void check_same(const char *what, const void *a, const void *b, size_t bytes)
{
    if (memcmp(a, b, bytes) != 0)
        fail_msg("%s: the bits differ", what);
}

static const char *read_golden(size_t *bytes)
{
    static char *data;
    static size_t size;

    if (data == NULL) {
        FILE *f = fopen(KERNELS_GOLDEN, "rb");

        assert_non_null(f);
        data = malloc(GOLDEN_MAX);
        assert_non_null(data);
        size = fread(data, 1, GOLDEN_MAX, f);
        fclose(f);
    }
    *bytes = size;
    return data;
}

/* The file is a sequence of: name char[24], count uint32, reserved uint32, count floats. */
const float *golden(const char *name, size_t *count)
{
    size_t bytes;
    const char *data = read_golden(&bytes);

    for (size_t at = 0; at + 32 <= bytes;) {
        uint32_t n;

        memcpy(&n, data + at + 24, sizeof n);
        if (strncmp(data + at, name, 24) == 0) {
            float *x = take_floats(n);

            memcpy(x, data + at + 32, n * sizeof *x);
            if (count != NULL)
                *count = n;
            return x;
        }
        at += 32 + n * sizeof(float);
    }
    fail_msg("%s: not in %s", name, KERNELS_GOLDEN);
    return NULL;
}

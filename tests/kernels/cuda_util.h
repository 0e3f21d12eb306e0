/* What the checks of the CUDA operations share: memory on both sides, a batch of sequences,
 * numbers. Needs nothing but the C library and kernels/, so that it builds wherever there is a
 * compiler. */
#ifndef TESTS_KERNELS_CUDA_UTIL_H
#define TESTS_KERNELS_CUDA_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cuda/check.h"
#include "kernels/kern_cuda.h"

/* The implementation under test. */
struct device {
    const struct kern_cuda_api *api;
    struct kern_cuda *c;
    void *stream;
};

extern struct device device;

/* Ends the program with the sentence unless rc is 0. */
void must(int rc, const char *what);

/* The same bytes on the host (for the reference) and on the device. */
struct buffer {
    char *host, *device;
    size_t bytes;
};

struct buffer take_buffer(size_t bytes); /* zeros */
void send(const struct buffer *b);       /* host to device */
void *fetch(const struct buffer *b);     /* the device's bytes, released by release_all */
void release_all(void);
uint64_t fetched_hash(void); /* of everything fetched so far */

void seed(uint64_t value);
double uniform(double low, double high);
double gauss(void);

/* n values, in the type. */
struct buffer random_buffer(enum kern_type type, size_t n, double scale);
double value_at(enum kern_type type, const void *data, size_t i);
void set_value(enum kern_type type, void *data, size_t i, double value);

/* ||a - b|| / ||b||; infinite when a has a NaN. */
double relative_error(enum kern_type type, const void *a, const void *b, size_t n);

/* One line per check; what failed is counted. */
void report(const char *name, double error, double bound);
void report_true(const char *name, bool is_true);
int failures(void);

/* What the inputs are like.  KEYS_ALIKE: keys nearly one, beta 1, g 0.  OPEN: g 0.  SHUT: g far
 * below 0 now and then.  LARGE: activations of 1e4. */
enum kind { PLAIN, KEYS_ALIKE, REPEATED, OPEN, SHUT, LARGE, KINDS };
extern const char *const kind_names[KINDS];

enum { SPANS_MAX = 8, LD_EXTRA = 8 };

/* A DeltaNet layer and a batch for it, all inputs at once. */
struct layer {
    struct kern_gdn_heads heads;
    enum kern_type type; /* of x, qkv, a, b, z */
    int32_t rows, channels, width;
    int32_t ld, ld_y; /* of channels, of y */
    struct buffer x, w, qkv, a, b, a_log, dt_bias, z, norm_w;
};

struct layer make_layer(struct kern_gdn_heads heads, enum kern_type type, int32_t rows,
                        enum kind kind);

struct slots {
    struct buffer memory;
    struct kern_cuda_slots shape; /* base is set by slots_of */
};

struct slots make_slots(const struct layer *l, int32_t count, int32_t keep);
struct kern_cuda_slots slots_of(const struct slots *s, bool is_device);

struct batch {
    struct kern_cuda_span spans[SPANS_MAX];
    int32_t count;
};

/* Sends the spans, numbered. */
struct kern_cuda_spans send_spans(struct batch *b, int32_t rows);

struct kern_cuda_gates gates_of(const struct layer *l, bool is_device);
struct kern_cuda_gate_norm norm_of(const struct layer *l, bool is_device, bool is_normed);
struct kern_in in_of(const struct layer *l, const struct buffer *b, int32_t ld, bool is_device);

#endif

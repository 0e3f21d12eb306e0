/* The operations on a GPU: what kern.h is for the CPU, with device pointers and a stream.
 *
 * libcortex-kernels-cuda.so exports one symbol, `kern_cuda_api`, found with dlopen and dlsym.
 * Nothing else of CUDA is needed to build or to start Cortex; without a driver the library loads
 * and open says what is missing.
 *
 * Pointers.  Everything an operation reads or writes is memory of the device, but for the params
 * themselves and the host copies of lists (struct kern_cuda_spans, kern_cuda_list), which the
 * arguments are checked against and the launch is sized by.  The kernels read the device's copy:
 * in a captured graph its contents may change within what the host's copy allowed.
 *
 * Streams.  An operation launches on the stream and returns; operations on one stream are ordered.
 * A stream is used by one thread at a time.
 *
 * Errors.  0 or a negative errno, arguments checked before any launch: -EINVAL (null, negative,
 * misaligned, out of range), -ENOTSUP (a size or type without code), -ENOSPC (work too small).
 * -EIO: CUDA refused; `why` has the sentence, and after a sticky error nothing works any more.
 */
#ifndef KERNELS_KERN_CUDA_H
#define KERNELS_KERN_CUDA_H

#include "kernels/kern.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    KERN_CUDA_ABI = 1,
    KERN_CUDA_KEEP_MAX = 8,      /* most tokens a step may bring and take back */
    KERN_CUDA_CHECKPOINT = 1024, /* tokens between two checkpoints of a long prompt */
    KERN_CUDA_SEGMENTS_MAX = 16,
    KERN_CUDA_WHY = 256,   /* bytes of a sentence */
    KERN_CUDA_VECTOR = 16, /* alignment of rows that are read in vectors */
};

/* Consecutive rows of a batch that belong to one sequence.  Spans of one call share neither rows
 * nor slots. */
struct kern_cuda_span {
    int32_t row, rows;  /* first row in the batch, number of rows, at least 1 */
    int32_t pos;        /* position of the first row in its sequence */
    int32_t slot;       /* slot of the sequence */
    int32_t pending;    /* kept tokens before pos that the state does not hold yet, or 0 */
    int32_t chunk;      /* its first piece among those of the batch: kern_cuda_number_chunks */
    int32_t checkpoint; /* its first entry in the list of checkpoints, or -1 */
};

struct kern_cuda_spans {
    const struct kern_cuda_span *host, *device; /* the same `count` spans */
    int32_t count, rows;
};

struct kern_cuda_list {
    const int32_t *host, *device;
    int32_t count;
};

/* One slot per sequence and layer, all zeros for an empty sequence.
 *
 *   S     f32  [hv][dk][dv]              the state, after position pos - pending
 *   conv  type [conv - 1 + steps][channels]  inputs of the convolution
 *   K     f32  [2 keep][hk][dk]          keys of kept tokens, normalised
 *   U     f32  [2 keep][hv][dv]          their updates u
 *   A     f32  [2 keep][hv]              their decays e^g
 *
 * steps is keep, at least 1; each part starts on KERN_ALIGN.  The rings are addressed by position
 * (p modulo the number of rows): a step writes rows that nobody reads in the same launch, and
 * taking tokens back needs no copy.
 *
 * With keep 0 a step brings one token and S is current after it.  With keep > 0 it brings up to
 * keep tokens and leaves S before them; the next step of the sequence, or gdn_fold, is told in
 * `pending` how many of them stay and puts those into S, with the bits of a sequence that never
 * had the others.  gdn_chunk needs pending 0. */
struct kern_cuda_slots {
    void *base;
    size_t stride; /* bytes between slots, at least slot_bytes, a multiple of KERN_ALIGN */
    int32_t count;
    int32_t keep;        /* 0..KERN_CUDA_KEEP_MAX */
    enum kern_type type; /* of the convolution's inputs */
};

/* Causal depthwise convolution and SiLU over channels [Q hk*dk | K hk*dk | V hv*dv]. */
struct kern_cuda_conv1d {
    struct kern_gdn_heads heads;
    struct kern_cuda_slots slots;
    struct kern_cuda_spans spans;
    struct kern_cuda_list checkpoints; /* slots; host NULL: none */
    struct kern_in x;                  /* [rows, channels] of slots.type */
    const float *w;                    /* [conv][channels], the newest input's tap last */
    struct kern_out y;                 /* [rows, channels] not x */
};

/* What makes beta and g: beta = sigmoid(b); g = -exp(A_log) softplus(a + dt_bias), not below
 * KERN_GATE_MIN. */
struct kern_cuda_gates {
    struct kern_in a, b;  /* [rows, hv] */
    const float *a_log;   /* [hv] A_log, or -exp(A_log) when is_a_exp */
    const float *dt_bias; /* [hv] */
    bool is_a_exp;
};

/* y = RMSNorm(o) * w * SiLU(z) per head; without z y = o. */
struct kern_cuda_gate_norm {
    struct kern_in z; /* [rows, hv*dv]; data NULL: none */
    const float *w;   /* [dv] */
    float eps;
};

/* Decode, one launch: convolution, SiLU, L2 norms, gates, recurrence, gated norm.  A span brings
 * up to `steps` rows. */
struct kern_cuda_gdn_step {
    struct kern_gdn_heads heads;
    struct kern_cuda_slots slots;
    struct kern_cuda_spans spans;
    struct kern_in x; /* [rows, channels] inputs of the convolution, of slots.type */
    const float *w;   /* [conv][channels] */
    struct kern_cuda_gates gates;
    struct kern_cuda_gate_norm norm;
    struct kern_out y; /* [rows, hv*dv] */
};

/* Puts the pending tokens of each span into S.  Uses pos, slot and pending only. */
struct kern_cuda_gdn_fold {
    struct kern_gdn_heads heads;
    struct kern_cuda_slots slots;
    struct kern_cuda_spans spans;
};

/* Prefill, S current before and after.  A span with a checkpoint writes S to the listed slots, one
 * for each multiple of KERN_CUDA_CHECKPOINT in (pos, pos + rows]; conv1d with the same list writes
 * their convolution.  gdn_chunk: tensor cores on bf16 operands where dk is 64, 128 or 256, dv a
 * multiple of 16 and qkv bf16; else gdn_rows.  gdn_rows: token by token in f32, any shape,
 * without segments. */
struct kern_cuda_gdn_chunk {
    struct kern_gdn_heads heads;
    struct kern_cuda_slots slots;
    struct kern_cuda_spans spans;
    struct kern_cuda_list checkpoints;
    struct kern_in qkv; /* [rows, channels] output of conv1d */
    struct kern_cuda_gates gates;
    struct kern_cuda_gate_norm norm;
    struct kern_out y; /* [rows, hv*dv] */
    int32_t segments;  /* pieces of a span that run at the same time, where heads are few; 0: one.
                          With more than one the bits depend on where the span begins and ends */
    void *work;        /* kern_cuda_gdn_work_bytes of it; gdn_rows needs none */
    size_t work_bytes;
};

#define KERN_CUDA_OPS(X) \
    X(conv1d, kern_cuda_conv1d) \
    X(gdn_step, kern_cuda_gdn_step) \
    X(gdn_fold, kern_cuda_gdn_fold) \
    X(gdn_chunk, kern_cuda_gdn_chunk) \
    X(gdn_rows, kern_cuda_gdn_chunk)

struct kern_cuda; /* a device opened by one thread */

struct kern_cuda_ops {
#define X(op, params) int (*op)(struct kern_cuda *, void *stream, const struct params *);
    KERN_CUDA_OPS(X)
#undef X
};

/* sizeof of every params struct in the order of the list: what another language checks itself by */
struct kern_cuda_sizes {
#define X(op, params) size_t op;
    KERN_CUDA_OPS(X)
#undef X
};

struct kern_cuda_device {
    char name[64];
    int32_t major, minor; /* compute capability */
    int32_t sms;          /* multiprocessors */
    size_t memory_bytes, shared_bytes;
};

struct kern_cuda_api {
    uint32_t abi; /* KERN_CUDA_ABI */
    uint32_t bytes;
    const char *targets; /* "sm_80 sm_90a ..." */
    struct kern_cuda_sizes sizes;

    /* -ENODEV: no driver or no such device; -ENOTSUP: a device without code here. */
    int (*open)(struct kern_cuda **out, int ordinal, char why[KERN_CUDA_WHY]);
    void (*close)(struct kern_cuda **c);
    const struct kern_cuda_device *(*device)(const struct kern_cuda *c);
    const char *(*why)(const struct kern_cuda *c); /* of the last -EIO or -ENOMEM */

    int (*alloc)(struct kern_cuda *c, void **out, size_t bytes);
    void (*release)(struct kern_cuda *c, void *p);
    int (*stream_open)(struct kern_cuda *c, void **out);
    void (*stream_close)(struct kern_cuda *c, void *stream);
    int (*upload)(struct kern_cuda *c, void *stream, void *to, const void *from, size_t bytes);
    int (*download)(struct kern_cuda *c, void *stream, void *to, const void *from, size_t bytes);
    int (*clear)(struct kern_cuda *c, void *stream, void *to, int byte, size_t bytes);
    int (*sync)(struct kern_cuda *c, void *stream); /* what failed since shows here */

    struct kern_cuda_ops ops;
};

/* The symbol of the library. */
extern const struct kern_cuda_api kern_cuda_api;

/* Host arithmetic, the same in the library and in the worker (kernels/cuda/check.c). */

/* Sizes; 0 when the shape is refused by the operations. */
size_t kern_cuda_slot_bytes(const struct kern_gdn_heads *heads, int32_t keep, enum kern_type type);
size_t kern_cuda_gdn_work_bytes(const struct kern_gdn_heads *heads, int32_t chunks, int32_t spans,
                                int32_t segments);

/* Segments that should pay on a device of so many multiprocessors: a warp for each quarter of them,
 * at least 8 chunks to a segment, and 1 where that makes two, which cost as much as they bring. */
int32_t kern_cuda_gdn_segments(const struct kern_gdn_heads *heads, int32_t chunks, int32_t spans,
                               int32_t sms);

/* Numbers the pieces of the spans (`chunk`); returns how many there are. */
int32_t kern_cuda_number_chunks(struct kern_cuda_span *spans, int32_t count);

/* The definition, in double precision on host memory; `c` and `stream` are not used. */
const struct kern_cuda_ops *kern_cuda_ref(void);

#ifdef __cplusplus
}
#endif

#endif

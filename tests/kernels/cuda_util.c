#include "tests/kernels/cuda_util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"

enum { TAKEN_MAX = 4096 };

struct device device;

const char *const kind_names[KINDS] = {"plain", "keys alike", "repeated", "open", "shut", "large"};

static void *host_taken[TAKEN_MAX], *device_taken[TAKEN_MAX];
static size_t host_count, device_count;
static uint64_t state = 1;
static int failed;
static uint64_t hash = 14695981039346656037u; /* FNV-1a, by words */

void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %d %s\n", what, rc, device.c != NULL ? device.api->why(device.c) : "");
    exit(1);
}

static char *take_host(size_t bytes)
{
    char *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);

    must(p == NULL || host_count == TAKEN_MAX, "memory of the host");
    memset(p, 0, bytes);
    host_taken[host_count++] = p;
    return p;
}

struct buffer take_buffer(size_t bytes)
{
    struct buffer b = {.host = take_host(bytes), .bytes = bytes};
    void *p;

    must(device_count == TAKEN_MAX, "memory of the device");
    must(device.api->alloc(device.c, &p, bytes), "alloc");
    must(device.api->clear(device.c, device.stream, p, 0, bytes), "clear");
    device_taken[device_count++] = p;
    b.device = p;
    return b;
}

void send(const struct buffer *b)
{
    must(device.api->upload(device.c, device.stream, b->device, b->host, b->bytes), "upload");
}

void *fetch(const struct buffer *b)
{
    char *copy = take_host(b->bytes);

    must(device.api->download(device.c, device.stream, copy, b->device, b->bytes), "download");
    must(device.api->sync(device.c, device.stream), "sync");
    for (size_t i = 0; i + sizeof hash <= b->bytes; i += sizeof hash) {
        uint64_t word;

        memcpy(&word, copy + i, sizeof word);
        hash = (hash ^ word) * 1099511628211u;
    }
    return copy;
}

uint64_t fetched_hash(void)
{
    return hash;
}

void release_all(void)
{
    must(device.api->sync(device.c, device.stream), "sync");
    while (host_count > 0)
        free(host_taken[--host_count]);
    while (device_count > 0)
        device.api->release(device.c, device_taken[--device_count]);
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

double value_at(enum kern_type type, const void *data, size_t i)
{
    return type == KERN_BF16 ? (double)kern_bf16_to_f32(((const uint16_t *)data)[i])
                             : (double)((const float *)data)[i];
}

void set_value(enum kern_type type, void *data, size_t i, double value)
{
    if (type == KERN_BF16)
        ((uint16_t *)data)[i] = kern_f32_to_bf16((float)value);
    else
        ((float *)data)[i] = (float)value;
}

struct buffer random_buffer(enum kern_type type, size_t n, double scale)
{
    struct buffer b = take_buffer(n * kern_cuda_type_bytes(type));

    for (size_t i = 0; i < n; i++)
        set_value(type, b.host, i, gauss() * scale);
    send(&b);
    return b;
}

double relative_error(enum kern_type type, const void *a, const void *b, size_t n)
{
    double difference = 0, size = 0;

    for (size_t i = 0; i < n; i++) {
        double x = value_at(type, a, i), y = value_at(type, b, i);

        difference += (x - y) * (x - y);
        size += y * y;
    }
    if (!(difference >= 0))
        return INFINITY;
    return difference == 0 ? 0 : sqrt(difference / size);
}

void report(const char *name, double error, double bound)
{
    bool is_good = error <= bound;

    failed += !is_good;
    printf("%-62s %9.2e of %7.1e  %s\n", name, error, bound, is_good ? "ok" : "FAILED");
    fflush(stdout);
}

void report_true(const char *name, bool is_true)
{
    failed += !is_true;
    printf("%-62s %23s %s\n", name, "", is_true ? "ok" : "FAILED");
    fflush(stdout);
}

int failures(void)
{
    return failed;
}

/* Keys and queries nearly one, or all rows the first. */
static void bend_inputs(struct layer *l, struct buffer *rows, enum kind kind)
{
    int32_t keys = 2 * l->heads.hk * l->heads.dk;

    for (int32_t t = 0; t < l->rows; t++)
        for (int32_t c = 0; c < l->channels; c++) {
            size_t i = (size_t)t * (size_t)l->ld + (size_t)c;

            if (kind == REPEATED && t > 0)
                set_value(l->type, rows->host, i, value_at(l->type, rows->host, (size_t)c));
            if (kind == KEYS_ALIKE && c < keys)
                set_value(l->type, rows->host, i, 1 + 0.02 * value_at(l->type, rows->host, i));
        }
    send(rows);
}

static void bend_gates(struct layer *l, enum kind kind)
{
    for (int32_t i = 0; i < l->rows * l->heads.hv; i++) {
        if (kind == KEYS_ALIKE || kind == REPEATED)
            set_value(l->type, l->b.host, (size_t)i, 30); /* beta -> 1 */
        if (kind == KEYS_ALIKE || kind == REPEATED || kind == OPEN)
            set_value(l->type, l->a.host, (size_t)i, -40); /* g -> 0 */
        if (kind == SHUT && i % 3 == 0)
            set_value(l->type, l->a.host, (size_t)i, 1e6); /* g -> -inf, now and then */
    }
    send(&l->a);
    send(&l->b);
}

struct layer make_layer(struct kern_gdn_heads heads, enum kern_type type, int32_t rows,
                        enum kind kind)
{
    struct layer l = {.heads = heads, .type = type, .rows = rows};
    size_t t = (size_t)rows, hv = (size_t)heads.hv;

    l.channels = 2 * heads.hk * heads.dk + heads.hv * heads.dv;
    l.width = heads.hv * heads.dv;
    l.ld = l.channels + LD_EXTRA;
    l.ld_y = l.width + LD_EXTRA;
    l.x = random_buffer(type, t * (size_t)l.ld, kind == LARGE ? 1e4 : 1);
    l.qkv = random_buffer(type, t * (size_t)l.ld, kind == LARGE ? 1e4 : 1);
    l.w = random_buffer(KERN_F32, (size_t)(heads.conv * l.channels), 0.5);
    l.a = random_buffer(type, t * hv, 1);
    l.b = random_buffer(type, t * hv, 1);
    l.a_log = random_buffer(KERN_F32, hv, 1);
    l.dt_bias = random_buffer(KERN_F32, hv, 1);
    l.z = random_buffer(type, t * (size_t)l.width, 1);
    l.norm_w = random_buffer(KERN_F32, (size_t)heads.dv, 1);
    bend_inputs(&l, &l.x, kind);
    bend_inputs(&l, &l.qkv, kind);
    bend_gates(&l, kind);
    return l;
}

struct slots make_slots(const struct layer *l, int32_t count, int32_t keep)
{
    struct slots s = {.shape = {.count = count, .keep = keep, .type = l->type}};

    s.shape.stride = kern_cuda_slot_bytes(&l->heads, keep, l->type) + KERN_ALIGN;
    must(s.shape.stride == KERN_ALIGN, "size of a slot");
    s.memory = take_buffer(s.shape.stride * (size_t)count);
    return s;
}

struct kern_cuda_slots slots_of(const struct slots *s, bool is_device)
{
    struct kern_cuda_slots shape = s->shape;

    shape.base = is_device ? s->memory.device : s->memory.host;
    return shape;
}

struct kern_cuda_spans send_spans(struct batch *b, int32_t rows)
{
    struct buffer list = take_buffer((size_t)b->count * sizeof b->spans[0]);

    kern_cuda_number_chunks(b->spans, b->count);
    memcpy(list.host, b->spans, list.bytes);
    send(&list);
    return (struct kern_cuda_spans){(const void *)list.host, (const void *)list.device, b->count,
                                    rows};
}

static const void *side(const struct buffer *b, bool is_device)
{
    return is_device ? b->device : b->host;
}

struct kern_in in_of(const struct layer *l, const struct buffer *b, int32_t ld, bool is_device)
{
    return (struct kern_in){l->type, side(b, is_device), ld};
}

struct kern_cuda_gates gates_of(const struct layer *l, bool is_device)
{
    return (struct kern_cuda_gates){
        in_of(l, &l->a, l->heads.hv, is_device), in_of(l, &l->b, l->heads.hv, is_device),
        side(&l->a_log, is_device), side(&l->dt_bias, is_device), false};
}

struct kern_cuda_gate_norm norm_of(const struct layer *l, bool is_device, bool is_normed)
{
    if (!is_normed)
        return (struct kern_cuda_gate_norm){0};
    return (struct kern_cuda_gate_norm){in_of(l, &l->z, l->width, is_device),
                                        side(&l->norm_w, is_device), 1e-6f};
}

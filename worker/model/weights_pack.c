#include "worker/model/weights_pack.h"

#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Rows [first, first + rows) of a source, all of one run; its place among the source's bytes. */
struct band {
    uint32_t source, run;
    uint64_t first;
    uint32_t rows;
    uint64_t offset, bytes;
};

/* A band of which some bytes have come. */
struct waiting {
    struct band band;
    uint64_t have;
    char *data; /* [longest band] owned */
};

struct weights_pack {
    const struct weights_layout *layout;
    const struct safetensors *tensors;
    char *block;
    uint64_t longest;        /* bytes of the longest band of all */
    struct waiting *waiting; /* [cap] the first n are in use, the others keep their buffers */
    uint32_t n, cap, most;
};

static const struct weights_part *part_of(const struct weights_pack *p, const struct band *b)
{
    return &p->layout->parts[p->layout->runs[b->run].part];
}

static uint64_t element_bytes(const struct weights_source *s)
{
    return s->tensor->dtype == TENSOR_F32 ? 4 : 2;
}

/* --- bands --- */

static uint32_t find_run(const struct weights_layout *l, const struct weights_source *s,
                         uint64_t row)
{
    uint32_t from = s->first_run, to = s->first_run + s->n_runs;

    while (to - from > 1) {
        uint32_t mid = from + (to - from) / 2;
        if (l->runs[mid].first <= row)
            from = mid;
        else
            to = mid;
    }
    return from;
}

/* The band with this byte of the source. */
static struct band find_band(const struct weights_pack *p, uint32_t source, uint64_t offset)
{
    const struct weights_source *s = &p->layout->sources[source];
    uint64_t row_bytes = s->cols * element_bytes(s), row = offset / row_bytes;
    struct band b = {.source = source, .run = find_run(p->layout, s, row)};
    const struct weights_run *run = &p->layout->runs[b.run];
    uint64_t end = run->first + run->rows;

    b.first = run->first;
    if (part_of(p, &b)->form == FORM_MATRIX) {
        /* Blocks are counted from the part's first row, so the first band may be a short one. */
        uint64_t block = (run->to + (row - run->first)) / KERN_BLOCK * KERN_BLOCK;
        uint64_t block_end = run->first + (block + KERN_BLOCK - run->to);
        if (block > run->to)
            b.first = run->first + (block - run->to);
        if (block_end < end)
            end = block_end;
    }
    b.rows = (uint32_t)(end - b.first);
    b.offset = b.first * row_bytes;
    b.bytes = b.rows * row_bytes;
    return b;
}

static int check_values(const struct weights_pack *p, const struct band *b, const char *data,
                        struct err *e)
{
    const struct weights_source *s = &p->layout->sources[b->source];
    enum kern_source type = weights_source_type(s->tensor);
    enum kern_layout layout = part_of(p, b)->layout;
    int64_t at = kern_find_unfit(type, layout, data, (int64_t)(b->rows * s->cols));
    float value;

    if (at < 0)
        return 0;
    kern_to_floats(type, data + (uint64_t)at * element_bytes(s), 1, &value);
    return err_set(e, EINVAL,
                   "%s in %s: found %g as element %" PRIu64 ", expected a finite number of %s",
                   s->tensor->name, p->tensors->files[s->tensor->file].name, (double)value,
                   b->first * s->cols + (uint64_t)at, layout == KERN_LAYOUT_B16 ? "bf16" : "f32");
}

static void pack_columns(const struct weights_source *s, const char *data, uint32_t rows, float *to)
{
    for (uint32_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < s->cols; c++)
            kern_to_floats(weights_source_type(s->tensor),
                           data + (r * s->cols + c) * element_bytes(s), 1, to + c * rows + r);
}

static void pack_rows(const struct weights_pack *p, const struct band *b, const char *data)
{
    const struct weights_source *s = &p->layout->sources[b->source];
    const struct weights_run *run = &p->layout->runs[b->run];
    const struct weights_part *part = part_of(p, b);
    struct kern_pack k = {.layout = part->layout,
                          .source = weights_source_type(s->tensor),
                          .from = data,
                          .ld = (int64_t)s->cols,
                          .first = (int64_t)(run->to + (b->first - run->first)),
                          .rows = b->rows,
                          .rows_all = part->rows,
                          .cols = part->cols,
                          .dest = p->block + part->offset};

    CHECK(kern_pack(&k) == 0);
}

/* All of a band's bytes are at data. */
static int pack_band(const struct weights_pack *p, const struct band *b, const char *data,
                     struct err *e)
{
    const struct weights_source *s = &p->layout->sources[b->source];
    const struct weights_part *part = part_of(p, b);
    float *to = (float *)(void *)(p->block + part->offset);
    int rc = check_values(p, b, data, e);

    if (rc != 0)
        return rc;
    switch (part->form) {
    case FORM_MATRIX:
        pack_rows(p, b, data);
        break;
    case FORM_VECTOR:
        kern_to_floats(weights_source_type(s->tensor), data, (int64_t)(b->rows * s->cols), to);
        break;
    case FORM_COLUMNS:
        pack_columns(s, data, b->rows, to);
        break;
    }
    return 0;
}

/* --- bands in parts --- */

static struct waiting *find_waiting(struct weights_pack *p, const struct band *b)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->waiting[i].band.source == b->source && p->waiting[i].band.offset == b->offset)
            return &p->waiting[i];
    return NULL;
}

static struct waiting *add_waiting(struct weights_pack *p, const struct band *b)
{
    if (p->n == p->cap) {
        uint32_t cap = p->cap == 0 ? 2 * READER_DEPTH : p->cap * 2;
        p->waiting = reallocarray(p->waiting, cap, sizeof *p->waiting);
        CHECK(p->waiting != NULL);
        memset(p->waiting + p->cap, 0, (cap - p->cap) * sizeof *p->waiting);
        p->cap = cap;
    }
    struct waiting *w = &p->waiting[p->n];
    if (w->data == NULL)
        w->data = malloc(p->longest);
    if (w->data == NULL)
        return NULL;
    w->band = *b;
    w->have = 0;
    p->n++;
    if (p->n > p->most)
        p->most = p->n;
    return w;
}

static void drop_waiting(struct weights_pack *p, struct waiting *w)
{
    struct waiting gone = *w;

    *w = p->waiting[--p->n];
    p->waiting[p->n] = gone; /* with its buffer */
}

/* len bytes of the band, from `offset` of the source on. */
static int keep_bytes(struct weights_pack *p, const struct band *b, uint64_t offset,
                      const char *data, size_t len, struct err *e)
{
    struct waiting *w = find_waiting(p, b);
    int rc = 0;

    if (w == NULL)
        w = add_waiting(p, b);
    if (w == NULL)
        return err_set(e, ENOMEM, "weights: no memory for a buffer of %" PRIu64 " bytes",
                       p->longest);
    memcpy(w->data + (offset - b->offset), data, len);
    w->have += len;
    CHECK(w->have <= b->bytes); /* no piece comes twice */
    if (w->have == b->bytes) {
        rc = pack_band(p, b, w->data, e);
        drop_waiting(p, w);
    }
    return rc;
}

int weights_pack_piece(void *to, uint32_t range, uint64_t offset, const void *data, size_t len,
                       struct err *e)
{
    struct weights_pack *p = to;
    const char *from = data;
    uint64_t end = offset + len;
    int rc = 0;

    CHECK(range < p->layout->n_sources);
    CHECK(end <= p->layout->sources[range].tensor->bytes);
    while (rc == 0 && offset < end) {
        struct band b = find_band(p, range, offset);
        uint64_t n = b.offset + b.bytes < end ? b.offset + b.bytes - offset : end - offset;
        if (n == b.bytes)
            rc = pack_band(p, &b, from, e);
        else
            rc = keep_bytes(p, &b, offset, from, (size_t)n, e);
        offset += n;
        from += n;
    }
    return rc;
}

/* --- the whole --- */

static uint64_t find_longest(const struct weights_pack *p)
{
    uint64_t longest = 0;

    for (uint32_t i = 0; i < p->layout->n_sources; i++) {
        const struct weights_source *s = &p->layout->sources[i];
        const struct weights_part *part = &p->layout->parts[p->layout->runs[s->first_run].part];
        uint64_t bytes =
            part->form == FORM_MATRIX ? KERN_BLOCK * s->cols * element_bytes(s) : s->tensor->bytes;
        longest = bytes > longest ? bytes : longest;
    }
    return longest;
}

struct weights_pack *weights_pack_new(const struct weights_layout *l, const struct safetensors *s,
                                      void *block)
{
    struct weights_pack *p = calloc(1, sizeof *p);

    CHECK(p != NULL);
    CHECK((uintptr_t)block % KERN_ALIGN == 0);
    *p = (struct weights_pack){.layout = l, .tensors = s, .block = block};
    p->longest = find_longest(p);
    return p;
}

uint32_t weights_pack_waiting(const struct weights_pack *p)
{
    return p->n;
}

uint32_t weights_pack_buffers(const struct weights_pack *p)
{
    return p->most;
}

void weights_pack_free(struct weights_pack **p)
{
    if (*p == NULL)
        return;
    for (uint32_t i = 0; i < (*p)->cap; i++)
        free((*p)->waiting[i].data);
    free((*p)->waiting);
    free(*p);
    *p = NULL;
}

/* Attention over pages: tiles of (row, query head) pairs that share a key head.
 *
 * A row's keys are taken in splits of KERN_SPLIT, each in blocks of BLOCK counted from position 0,
 * with a running maximum, sum and context per split; the splits are merged in ascending order.
 * That is one order per row, whatever tile the row is in and whichever threads take its splits. */
#include "kernels/cpu/cpu.h"

enum { TILE_ROWS = 24, BLOCK = 64 };

/* Pairs of one span and key head: pair i is query head i % group of row i / group. */
struct tile_rows {
    const struct kern_attention *p;
    const struct kern_span *span;
    int32_t kv_head, group, first, count; /* pairs [first, first + count) */
    int32_t dim, hdp;
    float *q;     /* [count][hdp] */
    float *score; /* [count][BLOCK] */
    float *part;  /* [count][hdp + 16]: context, then maximum and sum of one split */
    float *total; /* [count][hdp + 16] of all splits so far */
};

static int32_t row_of(const struct tile_rows *t, int32_t i)
{
    return (t->first + i) / t->group;
}

static int32_t head_of(const struct tile_rows *t, int32_t i)
{
    return t->kv_head * t->group + (t->first + i) % t->group;
}

/* Keys that pair i may see. */
static int32_t keys_of(const struct tile_rows *t, int32_t i)
{
    return t->span->pos + row_of(t, i) + 1;
}

static float *state_of(const struct tile_rows *t, float *states, int32_t i)
{
    return states + i * (t->hdp + KERN_BLOCK);
}

static void load_queries(const struct tile_rows *t)
{
    for (int32_t i = 0; i < t->count; i++) {
        int64_t row = t->span->row + row_of(t, i);

        memcpy(t->q + i * t->hdp, t->p->q + (row * t->p->q_heads + head_of(t, i)) * t->dim,
               (size_t)t->dim * sizeof(float));
    }
}

static void clear_states(const struct tile_rows *t, float *states)
{
    for (int32_t i = 0; i < t->count; i++) {
        float *s = state_of(t, states, i);

        memset(s, 0, (size_t)t->hdp * sizeof *s);
        s[t->hdp] = -INFINITY;
        s[t->hdp + 1] = 0;
    }
}

/* K (or V) of the tile's key head in the page that holds key `pos`. */
static const void *page_part(const struct tile_rows *t, int32_t pos, bool is_v)
{
    const struct kern_kv *kv = &t->p->kv;
    int64_t at = (int64_t)t->kv_head * t->dim * kv->page_tokens;

    if (is_v)
        at = ((int64_t)kv->heads * t->dim + (int64_t)t->kv_head * t->hdp) * kv->page_tokens;
    return (const char *)kv->base + (size_t)t->span->pages[pos / kv->page_tokens] * kv->stride +
           (size_t)at * kern_type_bytes(kv->type);
}

/* q.k of the keys [base, base + count). */
static void score_block(const struct tile_rows *t, int32_t base, int32_t count)
{
    const struct kern_kv *kv = &t->p->kv;

    for (int32_t j = 0; j < count; j += kv->page_tokens) {
        int32_t n = count - j < kv->page_tokens ? count - j : kv->page_tokens;

        FN(mm)
        (&(struct mm){.a = t->q,
                      .a_row = t->hdp,
                      .b = page_part(t, base + j, false),
                      .b_k = kv->page_tokens,
                      .b_type = kv->type,
                      .c = t->score + j,
                      .c_row = BLOCK,
                      .m = t->count,
                      .n = n,
                      .k = t->dim});
    }
}

/* Scores of a pair's first n keys of the block to weights, zero after them; its context, maximum
 * and sum rescaled. */
static void weigh_row(const struct tile_rows *t, int32_t i, int32_t n)
{
    float *x = t->score + i * BLOCK, *state = state_of(t, t->part, i);
    vec scale = vec_set(t->p->scale), most = vec_set(state[t->hdp]), sum = vec_zero();

    if (n <= 0) {
        memset(x, 0, BLOCK * sizeof *x);
        return;
    }
    for (int32_t j = 0; j < BLOCK; j += VEC)
        vec_store(x + j, vec_load(x + j) * scale);
    for (int32_t j = n; j < BLOCK; j++)
        x[j] = -INFINITY;
    for (int32_t j = 0; j < BLOCK; j += VEC)
        most = vec_max(vec_load(x + j), most);
    float largest = vec_largest(most);
    for (int32_t j = 0; j < BLOCK; j += VEC) {
        vec w = vec_exp(vec_load(x + j) - largest);

        vec_store(x + j, w);
        sum += w;
    }
    vec keep = vec_set(vec_exp(vec_set(state[t->hdp] - largest))[0]);
    for (int32_t d = 0; d < t->hdp; d += VEC)
        vec_store(state + d, vec_load(state + d) * keep);
    state[t->hdp] = largest;
    state[t->hdp + 1] = state[t->hdp + 1] * keep[0] + vec_sum(sum);
}

/* context += weights V */
static void add_values(const struct tile_rows *t, int32_t base, int32_t count)
{
    const struct kern_kv *kv = &t->p->kv;

    for (int32_t j = 0; j < count; j += kv->page_tokens) {
        int32_t n = count - j < kv->page_tokens ? count - j : kv->page_tokens;

        FN(mm)
        (&(struct mm){.a = t->score + j,
                      .a_row = BLOCK,
                      .b = page_part(t, base + j, true),
                      .b_k = t->hdp,
                      .b_type = kv->type,
                      .c = t->part,
                      .c_row = t->hdp + KERN_BLOCK,
                      .m = t->count,
                      .n = t->hdp,
                      .k = n,
                      .is_added = true});
    }
}

/* Keys [from, to) of one split into t->part. */
static void run_split(const struct tile_rows *t, int32_t from, int32_t to)
{
    clear_states(t, t->part);
    for (int32_t base = from; base < to; base += BLOCK) {
        int32_t count = to - base < BLOCK ? to - base : BLOCK;

        score_block(t, base, count);
        for (int32_t i = 0; i < t->count; i++) {
            int32_t n = keys_of(t, i) - base;

            weigh_row(t, i, n < count ? n : count);
        }
        add_values(t, base, count);
    }
}

/* One split's state of a pair into its total. */
static void merge(const struct tile_rows *t, float *total, const float *part)
{
    float largest = total[t->hdp] > part[t->hdp] ? total[t->hdp] : part[t->hdp];

    if (part[t->hdp + 1] == 0)
        return;
    vec a = vec_set(vec_exp(vec_set(total[t->hdp] - largest))[0]);
    vec b = vec_set(vec_exp(vec_set(part[t->hdp] - largest))[0]);
    for (int32_t d = 0; d < t->hdp; d += VEC)
        vec_store(total + d, vec_fma(vec_load(part + d), b, vec_load(total + d) * a));
    total[t->hdp + 1] = total[t->hdp + 1] * a[0] + part[t->hdp + 1] * b[0];
    total[t->hdp] = largest;
}

static void put_pair(const struct tile_rows *t, int32_t i, const float *total)
{
    const struct kern_attention *p = t->p;
    int64_t row = t->span->row + row_of(t, i);
    int32_t h = head_of(t, i);
    const float *gate = p->gate + row * p->ld_gate + (int64_t)h * p->gate_stride;
    vec by = vec_set(1.0f / total[t->hdp + 1]);

    for (int32_t d = 0; d < t->dim; d += VEC) {
        vec y = vec_load(total + d) * by + 0.0f; /* a zero has one sign */

        if (p->gate != NULL)
            y *= vec_sigmoid(vec_load_n(gate + d, t->dim - d));
        put_vec(&p->y, row, (int64_t)h * t->dim + d, y, t->dim - d);
    }
}

static struct tile_rows make_tile(const struct kern_thread *th, const struct kern_attention *p,
                                  const struct kern_span *span, int32_t kv_head)
{
    struct tile_rows t = {.p = p,
                          .span = span,
                          .kv_head = kv_head,
                          .group = p->q_heads / p->kv.heads,
                          .dim = p->kv.head_dim,
                          .hdp = kern_round16(p->kv.head_dim)};

    t.q = th->scratch;
    t.score = t.q + TILE_ROWS * t.hdp;
    t.part = t.score + TILE_ROWS * BLOCK;
    t.total = t.part + TILE_ROWS * (t.hdp + KERN_BLOCK);
    return t;
}

static void set_tile(struct tile_rows *t, int32_t first)
{
    int32_t pairs = t->span->rows * t->group;

    t->first = first;
    t->count = pairs - first < TILE_ROWS ? pairs - first : TILE_ROWS;
    load_queries(t);
}

/* One tile, all its splits. */
static void run_tile(struct tile_rows *t, int32_t first)
{
    set_tile(t, first);
    int32_t keys = keys_of(t, t->count - 1);
    clear_states(t, t->total);
    for (int32_t from = 0; from < keys; from += KERN_SPLIT) {
        run_split(t, from, keys - from < KERN_SPLIT ? keys : from + KERN_SPLIT);
        for (int32_t i = 0; i < t->count; i++)
            merge(t, state_of(t, t->total, i), state_of(t, t->part, i));
    }
    for (int32_t i = 0; i < t->count; i++)
        put_pair(t, i, state_of(t, t->total, i));
}

/* A span of one row with several splits: its splits are separate units. */
static bool is_divided(const struct kern_span *span)
{
    return span->rows == 1 && span->pos >= KERN_SPLIT;
}

static int32_t splits_of(const struct kern_span *span)
{
    return span->pos / KERN_SPLIT + 1;
}

/* Units of a span per key head. */
static int64_t units_of(const struct kern_span *span, int32_t group)
{
    if (is_divided(span))
        return splits_of(span);
    return ((int64_t)span->rows * group + TILE_ROWS - 1) / TILE_ROWS;
}

/* States of a divided span in the work buffer: [split][q_heads][hdp + 16]. */
static float *split_states(const struct tile_rows *t, float *work, int32_t split)
{
    return work + ((int64_t)split * t->p->q_heads + t->kv_head * t->group) * (t->hdp + KERN_BLOCK);
}

static void run_divided(struct tile_rows *t, float *work, int32_t split)
{
    int32_t keys = t->span->pos + 1, from = split * KERN_SPLIT;
    int32_t to = keys - from < KERN_SPLIT ? keys : from + KERN_SPLIT;

    for (int32_t first = 0; first < t->group; first += TILE_ROWS) {
        set_tile(t, first);
        run_split(t, from, to);
        memcpy(state_of(t, split_states(t, work, split), first), t->part,
               (size_t)(t->count * (t->hdp + KERN_BLOCK)) * sizeof(float));
    }
}

static void finish_divided(struct tile_rows *t, float *work)
{
    for (int32_t first = 0; first < t->group; first++) {
        t->first = first;
        t->count = 1;
        clear_states(t, t->total);
        for (int32_t s = 0; s < splits_of(t->span); s++)
            merge(t, t->total, state_of(t, split_states(t, work, s), first));
        put_pair(t, 0, t->total);
    }
}

/* Where unit u of the whole call is. */
struct place {
    int32_t span, kv_head;
    int64_t unit;
    float *work;
};

static int64_t count_units(const struct kern_attention *p)
{
    int64_t n = 0;

    for (int32_t i = 0; i < p->span_count; i++)
        n += units_of(&p->spans[i], p->q_heads / p->kv.heads) * p->kv.heads;
    return n;
}

static size_t work_floats(const struct kern_attention *p, const struct kern_span *span)
{
    return kern_attention_work_bytes(&p->kv, p->q_heads, 1, span->pos + 1) / sizeof(float);
}

static struct place find_unit(const struct kern_attention *p, int64_t u)
{
    struct place at = {.work = p->work};

    for (;; at.span++) {
        const struct kern_span *span = &p->spans[at.span];
        int64_t units = units_of(span, p->q_heads / p->kv.heads);

        if (u < units * p->kv.heads) {
            at.kv_head = (int32_t)(u / units);
            at.unit = u % units;
            return at;
        }
        u -= units * p->kv.heads;
        if (is_divided(span))
            at.work += work_floats(p, span);
    }
}

static void run_unit(const struct kern_thread *th, const struct kern_attention *p, int64_t u)
{
    struct place at = find_unit(p, u);
    const struct kern_span *span = &p->spans[at.span];
    struct tile_rows t = make_tile(th, p, span, at.kv_head);

    if (is_divided(span))
        run_divided(&t, at.work, (int32_t)at.unit);
    else
        run_tile(&t, (int32_t)at.unit * TILE_ROWS);
}

static void finish(const struct kern_thread *th, const struct kern_attention *p)
{
    float *work = p->work;
    int64_t done = 0;

    for (int32_t i = 0; i < p->span_count; i++) {
        if (!is_divided(&p->spans[i]))
            continue;
        for (int32_t h = 0; h < p->kv.heads; h++, done++) {
            struct tile_rows t = make_tile(th, p, &p->spans[i], h);

            if (done % th->size == th->rank)
                finish_divided(&t, work);
        }
        work += work_floats(p, &p->spans[i]);
    }
}

int FN(attention)(struct kern_thread *th, const struct kern_attention *p)
{
    CPU_BEGIN(attention);
    struct kern_share s = kern_share_begin(th, count_units(p), 1);
    bool waits = false;

    do
        for (int64_t u = s.from; u < s.to; u++)
            run_unit(th, p, u);
    while (kern_share_next(th, &s));
    for (int32_t i = 0; i < p->span_count; i++)
        waits |= is_divided(&p->spans[i]);
    if (waits) {
        kern_barrier(th);
        finish(th, p);
    }
    return 0;
}

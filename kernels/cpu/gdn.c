/* Gated DeltaNet's recurrence: pieces of a chunk, one key head with its value heads at a time.
 *
 * Token i of a chunk, S at its start, G summed log gates since then, w_ij = e^{G_i - G_j}:
 *   u_i = beta_i (v_i - e^{G_i} S'k_i) - sum_{j<i} beta_i w_ij (k_i.k_j) u_j
 *   o_i = e^{G_i} S'q_i + sum_{j<=i} w_ij (q_i.k_j) u_j
 * The sums over j are the forward substitution of (I + A) U = ..., row by row in ascending j; the
 * products k.k, q.k, S'k, S'q are chains over ascending d.  Nothing depends on where the piece
 * begins or ends, so one token at a time gives the bits of a whole chunk.  After token 63
 *   S <- e^{G_63} S + sum_j (e^{G_63 - G_j} k_j) u_j'.
 * G is kept in double: its differences must survive a gate of -200 in the same chunk. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gdn_units.h"

enum { C = KERN_CHUNK, SOLVE_ROWS = 6 };

/* A piece: tokens [n, n + m) of the chunk, rows [row, row + m) of the batch. */
struct piece {
    const struct kern_gdn *p;
    int32_t row, n, m;
    int32_t ld; /* dk rounded up to 16 */
    int32_t dvp;
    float *kt;  /* [dk][C] keys of the chunk, in the slot */
    float *kq;  /* [2m][ld] k rows, then q rows */
    float *dot; /* [2m][C] kq . k */
    float *sx;  /* [2m][dvp] S' kq; the q half becomes o */
    float *l;   /* [m][C] -beta w (k.k) */
    float *w;   /* [m][C] w (q.k) */
    float *kd;  /* [dk][C] keys for the fold */
};

struct head {
    int32_t index;
    float *s, *u;
    double *g;
};

static void normalise_row(const float *x, int32_t n, float scale, float *y)
{
    vec by = vec_set(scale / sqrtf(square_sum(x, n) + 1e-6f));

    for (int32_t i = 0; i < n; i += VEC)
        vec_store(y + i, vec_load_n(x + i, n - i) * by);
}

static void prepare_keys(const struct piece *c, int32_t key_head)
{
    const struct kern_gdn_heads *h = &c->p->heads;
    float q_scale = 1.0f / sqrtf((float)h->dk);

    for (int32_t t = 0; t < c->m; t++) {
        const float *qkv = c->p->qkv + (c->row + t) * c->p->ld_qkv;
        float *k = c->kq + t * c->ld, *q = c->kq + (c->m + t) * c->ld;

        normalise_row(qkv + key_head * h->dk, h->dk, q_scale, q);
        normalise_row(qkv + (h->hk + key_head) * h->dk, h->dk, 1.0f, k);
        for (int32_t d = 0; d < h->dk; d++)
            c->kt[d * C + c->n + t] = k[d];
    }
    FN(mm)
    (&(struct mm){.a = c->kq,
                  .a_row = c->ld,
                  .b = c->kt,
                  .b_k = C,
                  .c = c->dot,
                  .c_row = C,
                  .m = 2 * c->m,
                  .n = kern_round16(c->n + c->m),
                  .k = h->dk});
}

/* e^{g_i - g_j} of the first `count` tokens. */
static void decays(const double *g, int32_t i, int32_t count, float *w)
{
    float diff[C];

    for (int32_t j = 0; j < C; j++)
        diff[j] = j < count ? (float)(g[i] - g[j]) : 0.0f;
    for (int32_t j = 0; j < count; j += VEC)
        vec_store(w + j, vec_exp(vec_load(diff + j)));
}

/* Row t of L and W, and the first terms of u and o. */
static void prepare_row(const struct piece *c, const struct head *hd, int32_t t)
{
    const struct kern_gdn_heads *h = &c->p->heads;
    int32_t i = c->n + t, row = c->row + t;
    const float *v = c->p->qkv + row * c->p->ld_qkv + 2 * h->hk * h->dk + hd->index * h->dv;
    vec beta = vec_set(c->p->beta[(int64_t)row * h->hv + hd->index]);
    float g = c->p->g[(int64_t)row * h->hv + hd->index];
    float w[C];

    hd->g[i] = (double)(g < KERN_GATE_MIN ? KERN_GATE_MIN : g) + (i > 0 ? hd->g[i - 1] : 0.0);
    vec decay = vec_set(vec_exp(vec_set((float)hd->g[i]))[0]);
    decays(hd->g, i, i + 1, w);
    for (int32_t j = 0; j <= i; j += VEC) {
        vec wj = vec_load(w + j);

        vec_store(c->l + t * C + j, -(beta * (wj * vec_load(c->dot + t * C + j))));
        vec_store(c->w + t * C + j, wj * vec_load(c->dot + (c->m + t) * C + j));
    }
    float *u = hd->u + i * c->dvp, *p = c->sx + t * c->dvp, *o = c->sx + (c->m + t) * c->dvp;
    for (int32_t d = 0; d < c->dvp; d += VEC) {
        vec vd = d < h->dv ? vec_load_n(v + d, h->dv - d) : vec_zero();

        vec_store(u + d, beta * (vd - decay * vec_load(p + d)));
        vec_store(o + d, decay * vec_load(o + d));
    }
}

/* y += a x over a row of n. */
INLINE void add_row(float *y, float a, const float *x, int32_t n)
{
    vec by = vec_set(a);

    for (int32_t d = 0; d < n; d += VEC)
        vec_store(y + d, vec_fma(by, vec_load(x + d), vec_load(y + d)));
}

/* Rows [t, t + count): everything of the tokens before them, then the triangle among them. */
static void solve_rows(const struct piece *c, const struct head *hd, int32_t t, int32_t count)
{
    int32_t i = c->n + t;
    struct mm before = {.a = c->l + t * C,
                        .a_row = C,
                        .b = hd->u,
                        .b_k = c->dvp,
                        .c = hd->u + i * c->dvp,
                        .c_row = c->dvp,
                        .m = count,
                        .n = c->dvp,
                        .k = i,
                        .is_added = true};

    FN(mm)(&before);
    for (int32_t r = 1; r < count; r++)
        for (int32_t j = 0; j < r; j++)
            add_row(hd->u + (i + r) * c->dvp, c->l[(t + r) * C + i + j], hd->u + (i + j) * c->dvp,
                    c->dvp);
    before.a = c->w + t * C;
    before.c = c->sx + (c->m + t) * c->dvp;
    before.k = i + 1;
    FN(mm)(&before);
    for (int32_t r = 1; r < count; r++)
        for (int32_t j = 1; j <= r; j++)
            add_row(c->sx + (c->m + t + r) * c->dvp, c->w[(t + r) * C + i + j],
                    hd->u + (i + j) * c->dvp, c->dvp);
}

static void put_normed(const struct piece *c, const struct head *hd, int32_t t)
{
    const struct kern_gdn *p = c->p;
    int32_t dv = p->heads.dv;
    const float *o = c->sx + (c->m + t) * c->dvp;
    const float *z = p->z + (c->row + t) * p->ld_z + hd->index * dv;
    vec scale = vec_set(1.0f / sqrtf(square_sum(o, dv) / (float)dv + p->eps));

    for (int32_t d = 0; d < dv; d += VEC) {
        vec y = vec_load(o + d) * scale * vec_load_n(p->norm_w + d, dv - d);

        put_vec(&p->y, c->row + t, hd->index * dv + d, y * vec_silu(vec_load_n(z + d, dv - d)),
                dv - d);
    }
}

static void fold(const struct piece *c, const struct head *hd)
{
    int32_t dk = c->p->heads.dk;
    vec decay = vec_set(vec_exp(vec_set((float)hd->g[C - 1]))[0]);
    float w[C];

    decays(hd->g, C - 1, C, w);
    for (int32_t d = 0; d < dk; d++) {
        for (int32_t j = 0; j < C; j += VEC)
            vec_store(c->kd + d * C + j, vec_load(c->kt + d * C + j) * vec_load(w + j));
        for (int32_t e = 0; e < c->dvp; e += VEC)
            vec_store(hd->s + d * c->dvp + e, decay * vec_load(hd->s + d * c->dvp + e));
    }
    FN(mm)
    (&(struct mm){.a = c->kd,
                  .a_row = C,
                  .b = hd->u,
                  .b_k = c->dvp,
                  .c = hd->s,
                  .c_row = c->dvp,
                  .m = dk,
                  .n = c->dvp,
                  .k = C,
                  .is_added = true});
}

static void run_head(const struct piece *c, const struct head *hd)
{
    FN(mm)
    (&(struct mm){.a = c->kq,
                  .a_row = c->ld,
                  .b = hd->s,
                  .b_k = c->dvp,
                  .c = c->sx,
                  .c_row = c->dvp,
                  .m = 2 * c->m,
                  .n = c->dvp,
                  .k = c->p->heads.dk});
    for (int32_t t = 0; t < c->m; t++)
        prepare_row(c, hd, t);
    for (int32_t t = 0; t < c->m; t += SOLVE_ROWS)
        solve_rows(c, hd, t, c->m - t < SOLVE_ROWS ? c->m - t : SOLVE_ROWS);
    for (int32_t t = 0; t < c->m; t++)
        put_normed(c, hd, t);
    if (c->n + c->m == C)
        fold(c, hd);
}

static float *take(float **at, int64_t count)
{
    float *p = *at;

    *at += (count + 15) / 16 * 16;
    return p;
}

static struct piece make_piece(const struct kern_thread *th, const struct kern_gdn *p)
{
    struct piece c = {.p = p, .ld = kern_round16(p->heads.dk), .dvp = kern_round16(p->heads.dv)};
    float *at = th->scratch;

    c.kq = take(&at, 2 * C * c.ld);
    c.dot = take(&at, 2 * C * C);
    c.sx = take(&at, 2 * C * c.dvp);
    c.l = take(&at, C * C);
    c.w = take(&at, C * C);
    c.kd = take(&at, p->heads.dk * C);
    return c;
}

_Static_assert((2 * C * KERN_HEAD_MAX * 2 + 4 * C * C + KERN_HEAD_MAX * C) * 4 <=
                   KERN_SCRATCH_BYTES,
               "the largest piece fits the scratch of a thread");

static void run_unit(struct piece *c, const struct kern_span *span, int32_t key_head)
{
    const struct kern_gdn_heads *h = &c->p->heads;
    struct kern_slot_parts parts = kern_slot_parts(h);
    char *slot = (char *)c->p->slots.base + (size_t)span->slot * c->p->slots.stride;

    c->kt = (float *)(slot + parts.k) + key_head * h->dk * C;
    for (int32_t done = 0; done < span->rows; done += c->m) {
        c->row = span->row + done;
        c->n = (span->pos + done) % C;
        c->m = span->rows - done < C - c->n ? span->rows - done : C - c->n;
        prepare_keys(c, key_head);
        for (int32_t i = 0; i < h->hv / h->hk; i++) {
            int32_t j = kern_value_head(h, key_head, i);

            run_head(c, &(struct head){j, (float *)(slot + parts.s) + (int64_t)j * h->dk * c->dvp,
                                       (float *)(slot + parts.u) + (int64_t)j * C * c->dvp,
                                       (double *)(slot + parts.g) + j * C});
        }
    }
}

static int run_units(struct kern_thread *th, const struct kern_gdn *p)
{
    struct gdn_units u = gdn_units_begin(th, p->spans, p->span_count, p->heads.hk);
    struct piece c = make_piece(th, p);

    while (gdn_units_next(&u))
        run_unit(&c, &p->spans[u.span], u.key_head);
    return 0;
}

int FN(gdn_chunk)(struct kern_thread *th, const struct kern_gdn *p)
{
    CPU_BEGIN(gdn_chunk);
    return run_units(th, p);
}

int FN(gdn_step)(struct kern_thread *th, const struct kern_gdn *p)
{
    CPU_BEGIN(gdn_step);
    return run_units(th, p);
}

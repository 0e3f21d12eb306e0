#include "worker/engine/compute.h"

#include "base/check.h"
#include "base/clock.h"
#include "worker/engine/thread.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define LONE_NS       (200 * NS_PER_MS) /* of a step without decodes: cancels wait so long */
#define ROWS_MIN      16                /* of a prompt in a step, whatever they cost */
#define MEASURED_ROWS 16                /* fewer say little about the cost of a row */
#define HANG_FACTOR   20
#define HANG_NS_MIN   (250 * NS_PER_MS)
#define NO_TOKEN      UINT32_MAX

/* Until something was measured: a row multiplies with every weight at some 100 Gflop/s, a step
 * reads them all at some 10 GB/s. */
#define GUESS_BYTES_PER_NS_ROW  100
#define GUESS_BYTES_PER_NS_STEP 10

/* --- one step --- */

struct drawing {
    struct compute *c;
    const struct step *step;
    const struct forward_logits *logits;
};

static void tell_tops(const struct drawing *d, int32_t i, const float *row, struct result *r,
                      struct result_top *tops)
{
    const struct sequence *q = d->step->reasons[i].sequence;
    int32_t tokens[TOPS_MAX];
    float logprobs[TOPS_MAX];
    uint32_t n = q->n_top < d->c->setup.vocab ? q->n_top : d->c->setup.vocab;

    CHECK(kern_top_logprobs(row, (int32_t)d->c->setup.vocab, (double)d->logits->lse[i], (int32_t)n,
                            tokens, logprobs) == 0);
    for (uint32_t k = 0; k < n; k++)
        tops[k] = (struct result_top){(uint32_t)tokens[k], logprobs[k]};
    r->n_tops = n;
}

static bool is_eos(const struct compute *c, uint32_t token)
{
    const struct generation *g = c->setup.generation;

    for (uint32_t i = 0; i < g->n_eos; i++)
        if (g->eos[i] == token)
            return true;
    return false;
}

/* The token of a new position. An answer of a chat that would end before it began is drawn once
 * more without the tokens that end it. */
static int draw_new(const struct drawing *d, int32_t i, const float *row, struct sampler_work *work,
                    uint32_t *token)
{
    const struct compute *c = d->c;
    const struct pick *reason = &d->step->reasons[i];
    struct sequence *q = reason->sequence;
    const struct generation *g = c->setup.generation;
    uint32_t place = reason->position - q->n_prompt;
    struct sampler_choice choice = {0};
    int rc = 0;

    if (constraint_is_active(&q->constraint)) {
        if (!constraint_mask(&q->constraint, g, work->mask))
            return -ERANGE;
        choice.mask = work->mask;
    }
    if (thinking_is_over(&q->thinking))
        *token = q->thinking.end;
    else if (q->sampler.is_greedy && choice.mask == NULL)
        *token = (uint32_t)d->logits->best[i];
    else
        rc = sampler_draw(&q->sampler, place, row, c->setup.vocab, choice, work, token);
    if (rc == 0 && place == 0 && q->kind == PROMPT_CHAT && is_eos(c, *token)) {
        choice.banned = g->eos;
        choice.n_banned = g->n_eos;
        rc = sampler_draw(&q->sampler, place, row, c->setup.vocab, choice, work, token);
    }
    return rc;
}

/* Result i of the step: which token it is and how likely it was. */
static void draw(const struct drawing *d, int32_t i, struct sampler_work *work)
{
    const struct pick *reason = &d->step->reasons[i];
    struct sequence *q = reason->sequence;
    const float *row = d->logits->logits + i * d->logits->ld;
    uint32_t slot = d->c->slots[i];
    struct result *r = &q->results[slot];

    *r = (struct result){.token = NO_TOKEN, .is_prompt = reason->position < q->n_prompt};
    if (!isfinite(d->logits->lse[i]))
        return;
    if (reason->position < q->n_tokens)
        r->token = q->tokens[reason->position];
    else if (draw_new(d, i, row, work, &r->token) != 0) {
        r->token = NO_TOKEN;
        return;
    }
    r->logprob = (float)((double)row[r->token] - (double)d->logits->lse[i]);
    if (q->n_top > 0)
        tell_tops(d, i, row, r, &q->tops[(size_t)slot * q->n_top]);
}

static int draw_share(struct kern_thread *th, void *arg)
{
    const struct drawing *d = arg;

    for (int32_t i = th->rank; i < d->step->pick_count; i += th->size)
        draw(d, i, &d->c->work[th->rank]);
    return 0;
}

/* Where in their rings the results go. */
static void place_results(struct compute *c, const struct step *step)
{
    uint32_t nth = 0;

    for (int32_t i = 0; i < step->pick_count; i++) {
        const struct sequence *q = step->reasons[i].sequence;
        nth = i > 0 && step->reasons[i - 1].sequence == q ? nth + 1 : 0;
        c->slots[i] =
            (atomic_load_explicit(&q->results_tail, memory_order_relaxed) + nth) % SEQUENCE_RING;
    }
}

/* Gone from here: the loop may free it from now on. */
static void let_go(struct compute *c, struct sequence *q, enum sequence_end end)
{
    scheduler_remove(&c->scheduler, q);
    /* release, both: results and error before the end, everything before the return */
    atomic_store_explicit(&q->end, (int)end, memory_order_release);
    atomic_store_explicit(&q->is_returned, true, memory_order_release);
}

/* There was none to be drawn. */
static enum sequence_end explain_no_token(struct sequence *q, uint32_t position)
{
    bool has_form = constraint_is_active(&q->constraint);

    if (has_form && constraint_is_complete(&q->constraint))
        return END_EOS; /* of a model without a token for that */
    if (has_form)
        err_set(&q->error, ERANGE, "no token of the vocabulary goes on with the form at token %u",
                position);
    else
        err_set(&q->error, ERANGE, "the model gave no number for token %u", position);
    return END_FAILED;
}

/* Result i joins its sequence. False: that was its last, and the sequence is gone. */
static bool settle(struct compute *c, const struct step *step, int32_t i)
{
    const struct pick *reason = &step->reasons[i];
    struct sequence *q = reason->sequence;
    const struct result *r = &q->results[c->slots[i]];

    if (r->token == NO_TOKEN) {
        let_go(c, q, explain_no_token(q, reason->position));
        return false;
    }
    if (reason->position == q->n_tokens) {
        if (is_eos(c, r->token)) {
            let_go(c, q, END_EOS);
            return false;
        }
        q->tokens[q->n_tokens++] = r->token;
        sampler_see(&q->sampler, r->token, true);
        thinking_see(&q->thinking, r->token);
        constraint_see(&q->constraint, &q->thinking, r->token);
        if (q->constraint.has_failed) {
            err_set(&q->error, EINVAL, "token %u does not keep the form", reason->position);
            let_go(c, q, END_FAILED);
            return false;
        }
    }
    q->n_out = reason->position + 1;
    /* release: the result and its tops before the index */
    atomic_fetch_add_explicit(&q->results_tail, 1, memory_order_release);
    if (q->n_out < q->n_limit)
        return true;
    let_go(c, q, END_LENGTH);
    return false;
}

static void settle_all(struct compute *c, const struct step *step)
{
    const struct sequence *gone = NULL; /* compared only: the loop may have freed it */

    for (int32_t i = 0; i < step->pick_count; i++)
        if (step->reasons[i].sequence != gone && !settle(c, step, i))
            gone = step->reasons[i].sequence;
}

/* --- embeddings: rows are summed up as they come --- */

/* The last row that counts is in. */
static void finish_vector(struct compute *c, struct sequence *q)
{
    const struct pooling *p = c->setup.pooling;
    uint32_t n_rows = q->n_prompt - pooling_first(p, q->n_prompt);

    if (pooling_finish(p, q->sum, n_rows, q->n_vector, q->vector) != 0) {
        err_set(&q->error, ERANGE, "the model gave no number for an element of the vector");
        let_go(c, q, END_FAILED);
        return;
    }
    let_go(c, q, END_LENGTH);
}

static void pool_all(struct compute *c, const struct step *step, const struct forward_logits *out)
{
    for (int32_t i = 0; i < step->pick_count; i++) {
        struct sequence *q = step->reasons[i].sequence;
        pooling_add(q->sum, out->hidden + i * out->hidden_ld, c->setup.hidden);
        q->n_out = step->reasons[i].position + 1;
        if (step->reasons[i].position == q->n_prompt)
            finish_vector(c, q); /* and the loop may free it: this was its last row */
    }
}

/* --- how long steps take --- */

static uint64_t expect_ns(const struct compute *c, int32_t rows)
{
    return c->setup.weights_bytes / GUESS_BYTES_PER_NS_STEP + (uint64_t)rows * c->row_ns;
}

static int32_t choose_budget(const struct compute *c)
{
    uint64_t ns = scheduler_has_decodes(&c->scheduler) ? c->setup.stall_ns : LONE_NS;
    uint64_t rows = ns / (c->row_ns + 1);

    if (rows < ROWS_MIN)
        return ROWS_MIN;
    return rows < (uint64_t)c->setup.limits.rows ? (int32_t)rows : c->setup.limits.rows;
}

static void learn(struct compute *c, const struct step *step, uint64_t took_ns)
{
    int32_t rows = step->rows - step->decode_rows;

    if (rows < MEASURED_ROWS)
        return;
    uint64_t row_ns = took_ns / (uint64_t)rows;
    c->row_ns = (3 * c->row_ns + row_ns) / 4;
}

static void publish_due(struct compute *c, uint64_t due_ns)
{
    atomic_store_explicit(&c->step_due_ns, due_ns, memory_order_relaxed); /* read by itself */
}

static void run_step(struct compute *c, const struct step *step)
{
    struct forward_batch batch = {.ids = step->ids,
                                  .rows = step->rows,
                                  .spans = step->spans,
                                  .span_count = step->span_count,
                                  .picks = step->picks,
                                  .pick_count = step->pick_count};
    struct forward_logits logits;
    uint64_t begun_ns = clock_now_ns();
    uint64_t limit_ns = HANG_FACTOR * expect_ns(c, step->rows);

    publish_due(c, begun_ns + (limit_ns > HANG_NS_MIN ? limit_ns : HANG_NS_MIN));
    CHECK(forward_run(c->setup.forward, &batch, &logits) == 0);
    scheduler_commit(&c->scheduler);
    if (c->setup.pooling != NULL) {
        pool_all(c, step, &logits);
    } else if (step->pick_count > 0) {
        struct drawing d = {c, step, &logits};
        place_results(c, step);
        CHECK(kern_pool_run(c->setup.pool, draw_share, &d) == 0);
        settle_all(c, step);
    }
    learn(c, step, clock_now_ns() - begun_ns);
    publish_due(c, 0);
    if (step->pick_count > 0)
        thread_wake(c->setup.wake_fd);
}

/* What the prefix cache has, in figures that are read by themselves. */
static void publish_prefix(struct compute *c)
{
    const struct prefix *p = &c->scheduler.holdings.prefix;
    uint64_t bytes = (uint64_t)p->n_unused * c->setup.bytes.page +
                     (uint64_t)p->n_checkpoints * c->setup.bytes.slot;

    atomic_store_explicit(&c->prefix_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&c->prefix_evictions, p->n_evicted, memory_order_relaxed);
}

/* --- the thread --- */

/* Take what came; false when the thread is to end. */
static bool take_inbox(struct compute *c, uint64_t *n_kicks)
{
    struct sequence *q;

    pthread_mutex_lock(&c->lock);
    *n_kicks = c->n_kicks;
    while ((q = STAILQ_FIRST(&c->inbox)) != NULL) {
        STAILQ_REMOVE_HEAD(&c->inbox, queued);
        scheduler_add(&c->scheduler, q);
    }
    bool is_stopping = c->is_stopping;
    pthread_mutex_unlock(&c->lock);
    return !is_stopping;
}

static bool drop_cancelled(struct compute *c, struct sequence_order *order)
{
    struct sequence *q, *next;
    bool has_dropped = false;

    for (q = TAILQ_FIRST(order); q != NULL; q = next) {
        next = TAILQ_NEXT(q, scheduled);
        if (!atomic_load_explicit(&q->is_cancelled, memory_order_relaxed))
            continue;
        let_go(c, q, END_NONE);
        has_dropped = true;
    }
    return has_dropped;
}

static void wait_for_kick(struct compute *c, uint64_t n_kicks)
{
    pthread_mutex_lock(&c->lock);
    while (c->n_kicks == n_kicks && !c->is_stopping)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

static void *run(void *arg)
{
    struct compute *c = arg;
    uint64_t n_kicks;

    while (take_inbox(c, &n_kicks)) {
        bool has_dropped = drop_cancelled(c, &c->scheduler.running);
        has_dropped |= drop_cancelled(c, &c->scheduler.waiting);
        if (has_dropped)
            thread_wake(c->setup.wake_fd);
        uint64_t n_admitted = c->scheduler.n_admitted;
        const struct step *step = scheduler_build(&c->scheduler, choose_budget(c));
        publish_prefix(c);
        if (c->scheduler.n_admitted != n_admitted)
            thread_wake(c->setup.wake_fd);
        if (step != NULL)
            run_step(c, step);
        else
            wait_for_kick(c, n_kicks);
    }
    return NULL;
}

/* --- from the loop --- */

static void clear_slot(void *to, int32_t slot)
{
    forward_clear_slot(to, slot);
}

static void copy_slot(void *to, int32_t slot, int32_t from)
{
    forward_copy_slot(to, slot, from);
}

static void copy_page(void *to, int32_t page, int32_t from)
{
    forward_copy_page(to, page, from);
}

static void take_memory(struct compute *c)
{
    size_t vocab = c->setup.vocab;

    c->slots = calloc((size_t)c->setup.limits.picks, sizeof *c->slots);
    CHECK(c->slots != NULL);
    if (c->setup.pooling != NULL)
        return; /* nothing is drawn */
    c->work = calloc((size_t)c->setup.threads, sizeof *c->work);
    CHECK(c->work != NULL);
    for (int i = 0; i < c->setup.threads; i++) {
        c->work[i].logits = malloc(vocab * sizeof *c->work[i].logits);
        c->work[i].candidates = malloc(vocab * sizeof *c->work[i].candidates);
        c->work[i].mask = calloc(GRAMMAR_MASK_WORDS(vocab), sizeof *c->work[i].mask);
        CHECK(c->work[i].logits != NULL && c->work[i].candidates != NULL &&
              c->work[i].mask != NULL);
    }
}

static void free_memory(struct compute *c)
{
    for (int i = 0; c->work != NULL && i < c->setup.threads; i++) {
        free(c->work[i].logits);
        free(c->work[i].candidates);
        free(c->work[i].mask);
    }
    free(c->work);
    free(c->slots);
    scheduler_free(&c->scheduler);
}

int compute_start(struct compute *c, const struct compute_setup *setup, struct err *e)
{
    *c = (struct compute){.setup = *setup,
                          .row_ns = setup->weights_bytes / GUESS_BYTES_PER_NS_ROW + 1};
    STAILQ_INIT(&c->inbox);
    CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    CHECK(pthread_cond_init(&c->changed, NULL) == 0);
    struct holding_memory memory = {clear_slot, copy_slot, copy_page, setup->forward};
    scheduler_init(&c->scheduler, &setup->limits, &memory);
    take_memory(c);
    int rc = thread_start(&c->thread, "cortex-compute", run, c, e);
    c->is_started = rc == 0;
    return rc;
}

void compute_give(struct compute *c, struct sequence *q)
{
    pthread_mutex_lock(&c->lock);
    STAILQ_INSERT_TAIL(&c->inbox, q, queued);
    c->n_kicks++;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void compute_kick(struct compute *c)
{
    pthread_mutex_lock(&c->lock);
    c->n_kicks++;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

bool compute_is_alive(const struct compute *c, uint64_t now_ns)
{
    uint64_t due_ns = atomic_load_explicit(&c->step_due_ns, memory_order_relaxed);

    return due_ns == 0 || now_ns < due_ns;
}

void compute_stop(struct compute *c)
{
    if (!c->is_started)
        return;
    pthread_mutex_lock(&c->lock);
    c->is_stopping = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free_memory(c);
    c->is_started = false;
}

#include "worker/engine/scheduler.h"

#include "base/check.h"

#include <stdlib.h>

#define SHARE_ROWS KERN_CHUNK /* a reader's share of a step is not smaller */

static void *take(int32_t n, size_t size)
{
    void *p = calloc(n > 0 ? (size_t)n : 1, size);

    CHECK(p != NULL);
    return p;
}

void scheduler_init(struct scheduler *s, const struct scheduler_limits *limits,
                    const struct holding_memory *memory)
{
    const struct scheduler_limits *l = limits;

    CHECK(l->rows > 0 && l->spans > 0 && l->picks > 0);
    *s = (struct scheduler){.limits = *l};
    TAILQ_INIT(&s->waiting);
    TAILQ_INIT(&s->running);
    holdings_init(&s->holdings, &l->prefix, memory);
    s->step = (struct step){.ids = take(l->rows, sizeof *s->step.ids),
                            .spans = take(l->spans, sizeof *s->step.spans),
                            .owners = take(l->spans, sizeof *s->step.owners),
                            .picks = take(l->picks, sizeof *s->step.picks),
                            .reasons = take(l->picks, sizeof *s->step.reasons)};
}

void scheduler_free(struct scheduler *s)
{
    holdings_free(&s->holdings);
    free(s->step.ids);
    free(s->step.spans);
    free(s->step.owners);
    free(s->step.picks);
    free(s->step.reasons);
    *s = (struct scheduler){0};
}

/* --- who gives way --- */

static struct sequence *find_youngest(struct scheduler *s)
{
    struct sequence *youngest = NULL, *q;

    TAILQ_FOREACH (q, &s->running, scheduled)
        if (youngest == NULL || q->age > youngest->age)
            youngest = q;
    return youngest;
}

static bool is_in_step(const struct scheduler *s, const struct sequence *q)
{
    for (int32_t i = 0; i < s->step.span_count; i++)
        if (s->step.owners[i] == q)
            return true;
    return false;
}

static void preempt(struct scheduler *s, struct sequence *q)
{
    holding_end(&s->holdings, q);
    TAILQ_REMOVE(&s->running, q, scheduled);
    TAILQ_INSERT_HEAD(&s->waiting, q, scheduled);
    q->is_running = false;
    s->n_running--;
    s->n_preempted++;
}

/* Pages for the first `tokens` of q. False: not in this step; the youngest has to give way for it,
 * and when that is q itself, or is part of this step already, nobody does. */
static bool reserve_pages(struct scheduler *s, struct sequence *q, uint32_t tokens)
{
    while (holding_extend(&s->holdings, q, tokens) > 0) {
        struct sequence *youngest = find_youngest(s);
        if (youngest == q || is_in_step(s, youngest))
            return false;
        preempt(s, youngest);
    }
    return true;
}

/* --- who is there --- */

void scheduler_add(struct scheduler *s, struct sequence *q)
{
    q->age = s->next_age++;
    q->is_running = false;
    q->n_done = 0;
    TAILQ_INSERT_TAIL(&s->waiting, q, scheduled);
}

void scheduler_remove(struct scheduler *s, struct sequence *q)
{
    holding_end(&s->holdings, q);
    TAILQ_REMOVE(q->is_running ? &s->running : &s->waiting, q, scheduled);
    s->n_running -= q->is_running;
    q->is_running = false;
}

static bool admit_next(struct scheduler *s)
{
    struct sequence *q = TAILQ_FIRST(&s->waiting);

    if (q == NULL || s->n_running >= (uint32_t)s->limits.spans ||
        !holding_begin(&s->holdings, q, s->n_running == 0))
        return false;
    TAILQ_REMOVE(&s->waiting, q, scheduled);
    TAILQ_INSERT_TAIL(&s->running, q, scheduled);
    q->is_running = true;
    s->n_running++;
    s->n_admitted++;
    /* release: what was found in the prefix cache, for the loop's acquire */
    atomic_store_explicit(&q->is_admitted, true, memory_order_release);
    return true;
}

static uint32_t rows_needed(const struct sequence *q)
{
    return q->n_tokens - q->n_done;
}

static bool decodes(const struct sequence *q)
{
    return rows_needed(q) == 1 && q->n_done > 0;
}

bool scheduler_has_decodes(const struct scheduler *s)
{
    const struct sequence *q;

    TAILQ_FOREACH (q, &s->running, scheduled)
        if (decodes(q))
            return true;
    return false;
}

/* --- the step --- */

/* Results that the rows [n_done, n_done + n) of q bring: echoed tokens, and the next one. */
static uint32_t results_of(const struct sequence *q, uint32_t n)
{
    uint32_t first = q->n_done + 1, last = q->n_done + n; /* positions they predict */

    if (first < q->n_out)
        first = q->n_out;
    if (last >= sequence_results_end(q))
        last = sequence_results_end(q) - 1;
    return last >= first ? last - first + 1 : 0;
}

/* How many rows of q may be computed now, of at most n: the loop takes results at its own pace. */
static uint32_t allow_rows(const struct scheduler *s, const struct sequence *q, uint32_t n)
{
    uint32_t untaken = sequence_untaken(q), count;
    uint32_t room = (uint32_t)(s->limits.picks - s->step.pick_count);

    if (decodes(q) && untaken >= SEQUENCE_AHEAD)
        return 0;
    if (q->sum == NULL && room > SEQUENCE_RING - untaken) /* rows of an embedding are not taken */
        room = SEQUENCE_RING - untaken;
    while ((count = results_of(q, n)) > room)
        n -= count - room; /* each result has a row of its own */
    return n;
}

static void add_picks(struct scheduler *s, struct sequence *q, uint32_t n, int32_t row)
{
    struct step *t = &s->step;
    uint32_t count = results_of(q, n);
    uint32_t end = sequence_results_end(q);
    uint32_t last = q->n_done + n < end ? q->n_done + n : end - 1;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = last + 1 - count + i;
        t->picks[t->pick_count] = row + (int32_t)(position - 1 - q->n_done);
        t->reasons[t->pick_count++] = (struct pick){q, position};
    }
}

static void add_span(struct scheduler *s, struct sequence *q, uint32_t n)
{
    struct step *t = &s->step;

    for (uint32_t i = 0; i < n; i++)
        t->ids[t->rows + (int32_t)i] = (int32_t)q->tokens[q->n_done + i];
    t->spans[t->span_count] = (struct kern_span){.row = t->rows,
                                                 .rows = (int32_t)n,
                                                 .pos = (int32_t)q->n_done,
                                                 .slot = q->slot,
                                                 .page_count = q->n_pages,
                                                 .pages = q->pages};
    t->owners[t->span_count++] = q;
    add_picks(s, q, n, t->rows);
    t->rows += (int32_t)n;
}

static bool is_full(const struct scheduler *s)
{
    const struct step *t = &s->step;

    return t->rows >= s->limits.rows || t->span_count >= s->limits.spans ||
           t->pick_count >= s->limits.picks;
}

static void move_to_end(struct scheduler *s, struct sequence *q)
{
    TAILQ_REMOVE(&s->running, q, scheduled);
    TAILQ_INSERT_TAIL(&s->running, q, scheduled);
}

/* Visit each running sequence once, also when some move to the end or give way meanwhile. */
static void add_decodes(struct scheduler *s)
{
    for (uint32_t left = s->n_running; left > 0 && !is_full(s); left--) {
        struct sequence *q = TAILQ_FIRST(&s->running);
        if (q == NULL)
            return;
        move_to_end(s, q);
        if (!decodes(q) || is_in_step(s, q) || allow_rows(s, q, 1) == 0 ||
            !reserve_pages(s, q, q->n_done + 1))
            continue;
        add_span(s, q, 1);
    }
    s->step.decode_rows = s->step.rows;
}

/* A cut that is not the end lies on a chunk's boundary where that costs no more than half. */
static uint32_t align_cut(const struct sequence *q, uint32_t n)
{
    uint32_t end = (q->n_done + n) / KERN_CHUNK * KERN_CHUNK;

    return n < rows_needed(q) && end > q->n_done + n / 2 ? end - q->n_done : n;
}

static void add_reader(struct scheduler *s, struct sequence *q, uint32_t share)
{
    uint32_t n = rows_needed(q) < share ? rows_needed(q) : share;
    uint32_t space = (uint32_t)(s->limits.rows - s->step.rows);

    n = align_cut(q, n < space ? n : space);
    n = holding_cut(&s->holdings, q, allow_rows(s, q, n));
    if (n > 0 && reserve_pages(s, q, q->n_done + n))
        add_span(s, q, n);
}

static uint32_t count_readers(const struct scheduler *s)
{
    const struct sequence *q;
    uint32_t n = 0;

    TAILQ_FOREACH (q, &s->running, scheduled)
        n += !decodes(q) && rows_needed(q) > 0;
    return n;
}

static void add_readers(struct scheduler *s, int32_t budget)
{
    uint32_t readers = count_readers(s);
    uint32_t share = readers > 0 ? (uint32_t)budget / readers : 0;
    int32_t end = s->step.rows + budget;

    if (share < SHARE_ROWS)
        share = SHARE_ROWS;
    for (uint32_t left = s->n_running; left > 0 && s->step.rows < end && !is_full(s); left--) {
        struct sequence *q = TAILQ_FIRST(&s->running);
        if (q == NULL)
            return;
        move_to_end(s, q);
        uint32_t rest = (uint32_t)(end - s->step.rows);
        if (!decodes(q) && rows_needed(q) > 0 && !is_in_step(s, q))
            add_reader(s, q, share < rest ? share : rest);
    }
}

const struct step *scheduler_build(struct scheduler *s, int32_t budget)
{
    s->step.rows = s->step.span_count = s->step.pick_count = s->step.decode_rows = 0;
    while (admit_next(s))
        ;
    add_decodes(s);
    if (!is_full(s) && budget > 0)
        add_readers(s, budget);
    return s->step.rows > 0 ? &s->step : NULL;
}

void scheduler_commit(struct scheduler *s)
{
    for (int32_t i = 0; i < s->step.span_count; i++)
        holding_advance(&s->holdings, s->step.owners[i], (uint32_t)s->step.spans[i].rows);
}

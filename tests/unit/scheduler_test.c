/* The scheduler with a made-up model: random sequences that begin alike, few pages, a loop that
 * takes results when it likes. Whatever happens, rows are read in order, behind pages and a state
 * that hold what the tokens before say, no page is written by two or behind another's back, every
 * result comes once and in order, and all come to their end. */
#include "worker/engine/scheduler.h"

#include "base/hash.h"
#include "worker/engine/marks.h"

#include <setjmp.h>
#include <stdarg.h>

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGES = 256, PAGE_TOKENS_MAX = 32, SLOTS = 80, OPENER = 99 };

struct world {
    struct scheduler scheduler;
    uint64_t seed, draws;
    struct sequence *live[64];
    uint32_t heard[64]; /* position of the next result the loop expects */
    uint32_t n_live, n_ended, n_embedded;
    int32_t page_users[PAGES], slot_owner[SLOTS];
    /* what the made-up model keeps: of each position a digest of all tokens up to it, of each slot
     * that of all it has read */
    uint64_t page[PAGES][PAGE_TOKENS_MAX], slot[SLOTS];
    uint64_t n_read, n_reused; /* tokens */
};

static uint32_t draw(struct world *w, uint32_t below)
{
    return (uint32_t)(hash_mix(w->seed, w->draws++) % below);
}

static void clear_slot(void *to, int32_t slot)
{
    ((struct world *)to)->slot[slot] = 0;
}

static void copy_slot(void *to, int32_t slot, int32_t from)
{
    struct world *w = to;

    assert_int_not_equal(slot, from);
    w->slot[slot] = w->slot[from];
}

static void copy_page(void *to, int32_t page, int32_t from)
{
    struct world *w = to;

    assert_int_not_equal(page, from);
    memcpy(w->page[page], w->page[from], sizeof w->page[page]);
}

static void open_world(struct world *w, const struct scheduler_limits *limits)
{
    struct holding_memory memory = {clear_slot, copy_slot, copy_page, w};

    scheduler_init(&w->scheduler, limits, &memory);
}

/* Token i of text `which`: a few texts, all the same for a while, then for a while in pairs. */
static uint32_t text(uint32_t which, uint32_t i)
{
    which = i < 20 ? 0 : i < 70 ? which / 2 : which;
    return i % 23 == 3 ? OPENER : (uint32_t)(hash_mix(which, i) % 99);
}

static struct sequence *make_prompt(struct world *w, uint32_t n_prompt)
{
    struct sequence *q = sequence_new();
    uint32_t which = draw(w, 6), end = draw(w, 2) == 0 ? n_prompt : draw(w, n_prompt + 1);

    for (uint32_t i = 0; i < n_prompt; i++)
        token_ids_add(&q->prompt.ids, i < end ? text(which, i) : draw(w, 99));
    q->prompt.opener = draw(w, 2) == 0 ? OPENER : PROMPT_NO_OPENER;
    return q;
}

static struct sequence *make(struct world *w, uint32_t n_prompt, uint32_t n_max, bool has_echo,
                             uint32_t n_resume)
{
    struct sequence *q = make_prompt(w, n_prompt);

    q->has_echo = q->has_logprobs = has_echo;
    q->n_resume = n_resume;
    q->resume = calloc(n_resume + 1, sizeof *q->resume);
    for (uint32_t i = 0; i < n_resume; i++)
        q->resume[i] = has_echo && i < n_prompt ? q->prompt.ids.id[i] : draw(w, 100);
    q->sampler.kern.repetition = 1;
    sequence_begin(q, n_max, 100, w->scheduler.limits.prefix.page_tokens);
    return q;
}

/* Of the last row alone, or of all. */
static struct sequence *make_embedding(struct world *w, uint32_t n_prompt, bool is_last)
{
    struct sequence *q = make_prompt(w, n_prompt);

    sequence_begin_embedding(q, is_last ? n_prompt : 1, 1, 1,
                             w->scheduler.limits.prefix.page_tokens);
    return q;
}

static void check_owners(struct world *w, const struct step *t)
{
    const struct prefix *p = &w->scheduler.holdings.prefix;
    const struct prefix_limits *l = &w->scheduler.limits.prefix;
    int32_t n_used = 0, n_slots = 0;

    memset(w->page_users, 0, sizeof w->page_users);
    for (int32_t i = 0; i < l->slots; i++)
        w->slot_owner[i] = -1;
    for (uint32_t i = 0; i < w->n_live; i++) {
        const struct sequence *q = w->live[i];
        for (int32_t k = 0; k < q->n_pages; k++) {
            assert_in_range(q->pages[k], 0, l->pages - 1);
            n_used += w->page_users[q->pages[k]]++ == 0;
            if (k >= q->n_shared) /* it writes there */
                w->page_users[q->pages[k]] += 1000;
        }
        if (q->slot >= 0) {
            assert_int_equal(w->slot_owner[q->slot], -1);
            assert_int_equal(p->checkpoints[q->slot].page, PREFIX_NONE);
            w->slot_owner[q->slot] = (int32_t)i;
            n_slots++;
        }
        assert_true(q->is_running == (q->slot >= 0) || l->slots == 0);
    }
    for (int32_t i = 0; i < l->pages; i++) {
        assert_true(w->page_users[i] < 1000 || w->page_users[i] == 1001);
        if (p->nodes[i].n_tokens > 0)
            assert_int_equal(p->nodes[i].users, w->page_users[i] % 1000);
    }
    assert_int_equal(n_used + p->n_free_pages + p->n_unused, l->pages);
    assert_int_equal(n_slots + p->n_free_slots + p->n_checkpoints, l->slots);
    assert_true(t == NULL || t->rows <= w->scheduler.limits.rows);
}

/* Row r of a span: what is kept of the tokens before is what they say, and it is read. */
static void read_row(struct world *w, const struct kern_span *s, const struct sequence *q)
{
    const struct prefix_limits *l = &w->scheduler.limits.prefix;
    uint64_t digest = 1;

    for (int32_t i = 0; i < s->pos + s->rows; i++) {
        if (i == s->pos && l->slots > 0)
            assert_true(w->slot[s->slot] == (i > 0 ? digest : 0));
        digest = hash_mix(digest, q->tokens[i]);
        if (l->pages == 0)
            continue;
        uint64_t *at = &w->page[s->pages[i / l->page_tokens]][i % l->page_tokens];
        if (i < s->pos)
            assert_true(*at == digest);
        else
            *at = digest;
    }
    if (l->slots > 0)
        w->slot[s->slot] = digest;
    w->n_read += (uint64_t)s->rows;
}

static void check_step(struct world *w, const struct step *t)
{
    const struct scheduler_limits *l = &w->scheduler.limits;
    int32_t row = 0, pick = 0;

    assert_true(t->span_count <= l->spans && t->pick_count <= l->picks);
    for (int32_t i = 0; i < t->span_count; i++) {
        const struct kern_span *s = &t->spans[i];
        const struct sequence *q = t->owners[i];
        assert_int_equal(s->row, row);
        assert_true(s->rows > 0);
        assert_int_equal(s->pos, q->n_done);
        assert_true(q->n_done + (uint32_t)s->rows <= q->n_tokens);
        assert_true(s->page_count * l->prefix.page_tokens >= s->pos + s->rows ||
                    l->prefix.pages == 0);
        for (int32_t k = 0; k < s->rows; k++)
            assert_int_equal(t->ids[row + k], q->tokens[s->pos + k]);
        uint32_t expected = q->n_out;
        for (; pick < t->pick_count && t->reasons[pick].sequence == q; pick++) {
            assert_int_equal(t->reasons[pick].position, expected++);
            assert_int_equal(t->picks[pick] - row + s->pos + 1, t->reasons[pick].position);
            assert_true(t->reasons[pick].position < sequence_results_end(q));
        }
        for (int32_t k = 0; k < i; k++)
            assert_ptr_not_equal(t->owners[k], q);
        read_row(w, s, q);
        row += s->rows;
    }
    assert_int_equal(row, t->rows);
    assert_int_equal(pick, t->pick_count);
}

/* As compute.c does, with a token that is a function of the position. */
static void settle(struct world *w, const struct step *t)
{
    scheduler_commit(&w->scheduler);
    for (int32_t i = 0; i < t->pick_count; i++) {
        struct sequence *q = t->reasons[i].sequence;
        uint32_t position = t->reasons[i].position;
        if (q->sum != NULL) { /* every row once, in order */
            q->sum[0] += 1;
            q->n_out = position + 1;
            continue;
        }
        uint32_t tail = atomic_load(&q->results_tail);
        if (position == q->n_tokens)
            q->tokens[q->n_tokens++] = position % 100;
        q->results[tail % SEQUENCE_RING] = (struct result){.token = q->tokens[position]};
        q->n_out = position + 1;
        atomic_store(&q->results_tail, tail + 1);
        assert_true(sequence_untaken(q) <= SEQUENCE_RING);
    }
}

static void end_those_at_their_end(struct world *w)
{
    for (uint32_t i = 0; i < w->n_live; i++) {
        struct sequence *q = w->live[i];
        bool is_over = q->n_out >= sequence_results_end(q);
        if (!is_over && draw(w, 400) != 0) /* a few are cancelled */
            continue;
        w->n_reused += q->n_cached;
        if (is_over && q->sum != NULL) {
            assert_true(q->sum[0] == 1 || q->sum[0] == q->n_prompt);
            w->n_embedded++;
        }
        scheduler_remove(&w->scheduler, q);
        sequence_free(q);
        w->live[i] = w->live[--w->n_live];
        w->heard[i] = w->heard[w->n_live];
        w->n_ended++;
        i--;
    }
}

static void take_some(struct world *w)
{
    for (uint32_t i = 0; i < w->n_live; i++) {
        struct sequence *q = w->live[i];
        uint32_t n = sequence_untaken(q);
        uint32_t taken = n > 0 ? draw(w, n + 1) : 0;
        for (uint32_t k = 0; k < taken; k++) {
            uint32_t head = atomic_load(&q->results_head);
            assert_null(q->sum);
            assert_int_equal(q->results[head % SEQUENCE_RING].token, q->tokens[w->heard[i]++]);
            atomic_store(&q->results_head, head + 1);
        }
    }
}

static void arrive(struct world *w, uint32_t context)
{
    if (w->n_live == 64 || draw(w, 3) != 0)
        return;
    uint32_t n_prompt = 1 + draw(w, draw(w, 4) == 0 ? context - 1 : 40);
    uint32_t n_max = draw(w, context - n_prompt + 1);
    bool has_echo = draw(w, 5) == 0;
    uint32_t n_resume = draw(w, 4) == 0 ? draw(w, n_max + (has_echo ? n_prompt : 0) + 1) : 0;
    if (n_prompt + n_max == 0 || n_max + has_echo == 0)
        return;
    struct sequence *q = draw(w, 5) == 0 ? make_embedding(w, n_prompt, draw(w, 2) == 0)
                                         : make(w, n_prompt, n_max, has_echo, n_resume);
    if (q->n_out >= sequence_results_end(q)) { /* the loop would not hand it on */
        sequence_free(q);
        return;
    }
    scheduler_add(&w->scheduler, q);
    w->heard[w->n_live] = q->n_out;
    w->live[w->n_live++] = q;
}

static void run_world(uint64_t seed, const struct scheduler_limits *limits, uint32_t context)
{
    static struct world w;
    const struct prefix_limits *l = &limits->prefix;
    uint32_t n_idle = 0;

    w = (struct world){.seed = seed};
    open_world(&w, limits);
    for (uint32_t turn = 0; turn < 3000 || w.n_live > 0; turn++) {
        if (turn < 3000)
            arrive(&w, context);
        const struct step *t = scheduler_build(&w.scheduler, 1 + (int32_t)draw(&w, 64));
        check_owners(&w, t);
        if (t != NULL) {
            check_step(&w, t);
            settle(&w, t);
        }
        n_idle = t == NULL ? n_idle + 1 : 0;
        assert_true(n_idle < 100); /* the loop takes something within that */
        take_some(&w);
        end_those_at_their_end(&w);
        assert_true(turn < 1000000);
    }
    assert_true(w.n_ended > 50 && w.n_embedded > 5);
    assert_true(l->pages == 0 || l->pages > 64 || w.scheduler.n_preempted > 0);
    assert_true((w.n_reused > 0) == (l->is_keeping && l->pages > 0));
    scheduler_free(&w.scheduler);
}

static void all_come_to_their_end(void **state)
{
    static const struct scheduler_limits limits[] = {
        {.rows = 64, .spans = 8, .picks = 8, .prefix = {10, 16, 4, true}},
        {.rows = 32, .spans = 32, .picks = 3, .prefix = {40, 16, 32, true}},
        {.rows = 128, .spans = 16, .picks = 16, .prefix = {20, 16, 0, true}},
        {.rows = 128, .spans = 16, .picks = 16, .prefix = {0, 16, 5, true}},
        {.rows = 64, .spans = 64, .picks = 64, .prefix = {256, 32, 64, true}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (uint64_t seed = 1; seed <= 6; seed++) {
            struct scheduler_limits l = limits[i];
            l.prefix.is_keeping = seed > 2;
            run_world(seed, &l, 160);
        }
}

static void decodes_are_never_held_up(void **state)
{
    static struct world w;
    struct scheduler_limits limits = {
        .rows = 64, .spans = 8, .picks = 8, .prefix = {100, 16, 8, true}};
    struct sequence *writer, *reader;

    (void)state;
    open_world(&w, &limits);
    scheduler_add(&w.scheduler, writer = make(&w, 1, 100, false, 0));
    const struct step *t = scheduler_build(&w.scheduler, 64);
    settle(&w, t);
    scheduler_add(&w.scheduler, reader = make(&w, 500, 10, false, 0));
    for (int i = 0; i < 10; i++) {
        assert_true(scheduler_has_decodes(&w.scheduler));
        t = scheduler_build(&w.scheduler, 16);
        assert_int_equal(t->span_count, 2);
        assert_ptr_equal(t->owners[0], writer);
        assert_int_equal(t->decode_rows, 1);
        assert_int_equal(t->spans[1].rows, 16);
        settle(&w, t);
        atomic_store(&writer->results_head, atomic_load(&writer->results_tail));
    }
    /* one whose client reads nothing goes no further than it may */
    for (int i = 0; i < 20; i++)
        if ((t = scheduler_build(&w.scheduler, 16)) != NULL)
            settle(&w, t);
    assert_int_equal(sequence_untaken(writer), SEQUENCE_AHEAD);
    scheduler_remove(&w.scheduler, writer);
    scheduler_remove(&w.scheduler, reader);
    sequence_free(writer);
    sequence_free(reader);
    scheduler_free(&w.scheduler);
}

static void the_youngest_gives_way(void **state)
{
    static struct world w;
    struct scheduler_limits limits = {
        .rows = 64, .spans = 8, .picks = 8, .prefix = {4, 16, 8, true}};
    struct sequence *q[2];
    const struct step *t;

    (void)state;
    open_world(&w, &limits);
    for (int i = 0; i < 2; i++)
        scheduler_add(&w.scheduler, q[i] = make(&w, 20, 40, false, 0));
    while (q[0]->n_out < q[0]->n_limit) {
        assert_non_null(t = scheduler_build(&w.scheduler, 64));
        settle(&w, t);
        for (int i = 0; i < 2; i++)
            atomic_store(&q[i]->results_head, atomic_load(&q[i]->results_tail));
    }
    assert_int_equal(w.scheduler.n_preempted, 1);
    assert_false(q[1]->is_running);
    assert_int_equal(q[1]->n_done, 0);
    uint32_t n_tokens = q[1]->n_tokens;
    assert_true(n_tokens > 20);
    scheduler_remove(&w.scheduler, q[0]);
    while (q[1]->n_out < q[1]->n_limit) {
        assert_non_null(t = scheduler_build(&w.scheduler, 64));
        settle(&w, t);
        atomic_store(&q[1]->results_head, atomic_load(&q[1]->results_tail));
    }
    assert_int_equal(w.scheduler.n_preempted, 1);
    scheduler_remove(&w.scheduler, q[1]);
    sequence_free(q[0]);
    sequence_free(q[1]);
    scheduler_free(&w.scheduler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_come_to_their_end),
        cmocka_unit_test(decodes_are_never_held_up),
        cmocka_unit_test(the_youngest_gives_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

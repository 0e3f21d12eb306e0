/* Hit = miss: through the whole compute thread, answers are bit for bit the same with the prefix
 * cache and without, one after the other and together, with much memory and with little. */
#include "base/hash.h"
#include "tests/unit/golden_util.h"
#include "worker/engine/compute.h"
#include "worker/model/forward_parts.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { REQUESTS = 24, ANSWER = 20, CONTEXT = 512, OPENER = 7, TOGETHER = 5 };

struct said {
    uint32_t token[ANSWER];
    float logprob[ANSWER];
};

struct bench {
    struct golden *g;
    struct kern_pool *pool;
    struct forward *forward;
    struct generation generation; /* nothing ends an answer */
    struct compute compute;
    int wake_fd;
};

static void open_bench(struct bench *b, struct golden *g, int32_t pages, int32_t slots,
                       bool is_keeping)
{
    struct forward_shape shape = golden_shape;
    struct err e = {0};

    *b = (struct bench){.g = g, .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    shape.rows = 100;
    shape.pages = pages;
    shape.slots = slots;
    shape.context = CONTEXT;
    shape.threads = 1; /* forward_bits_test has more */
    shape.kv_type = KERN_BF16;
    assert_int_equal(kern_pool_open(&b->pool, shape.threads, NULL), 0);
    model_must(forward_new(&b->forward, &g->model.config, &g->model.weights, &shape,
                           kern_cpu_best(), b->pool, &e),
               &e);
    struct compute_setup setup = {
        .forward = b->forward,
        .pool = b->pool,
        .threads = shape.threads,
        .generation = &b->generation,
        .vocab = (uint32_t)g->vocab,
        .limits = {.rows = shape.rows,
                   .spans = shape.spans,
                   .picks = shape.spans,
                   .prefix = {pages, shape.page_tokens, b->forward->n_linear > 0 ? slots : 0,
                              is_keeping}},
        .stall_ns = 50000000,
        .wake_fd = b->wake_fd};
    model_must(compute_start(&b->compute, &setup, &e), &e);
}

static void close_bench(struct bench *b)
{
    compute_stop(&b->compute);
    forward_free(&b->forward);
    kern_pool_close(&b->pool);
    close(b->wake_fd);
}

/* Token i of conversation `which`: all begin alike, then in pairs, then each for itself. */
static uint32_t text(uint32_t which, uint32_t i, uint32_t vocab)
{
    which = i < 90 ? 0 : i < 200 ? which / 2 : which;
    return i % 40 == 5 ? OPENER : (uint32_t)(hash_mix(which + 100, i) % vocab);
}

static uint32_t prompt_length(uint32_t i)
{
    return i % 6 == 3 ? 250 : 20 + i * 89 % 330;
}

/* Request i; its first n_resume tokens are known already. */
static struct sequence *ask(const struct bench *b, uint32_t i, const struct said *known,
                            uint32_t n_resume)
{
    struct sequence *q = sequence_new();

    for (uint32_t k = 0; k < prompt_length(i); k++)
        token_ids_add(&q->prompt.ids, text(i % 5, k, (uint32_t)b->g->vocab));
    q->prompt.opener = i % 3 != 0 ? OPENER : PROMPT_NO_OPENER;
    q->resume = calloc(n_resume + 1, sizeof *q->resume);
    memcpy(q->resume, known->token, n_resume * sizeof *q->resume);
    q->n_resume = n_resume;
    q->sampler.kern =
        (struct kern_sampler){.temperature = 1, .top_p = 1, .repetition = 1, .seed = i};
    q->sampler.is_greedy = i % 2 == 0;
    q->thinking.n_left = THINKING_UNLIMITED;
    sequence_begin(q, ANSWER, (uint32_t)b->g->vocab, GOLDEN_PAGE_TOKENS);
    return q;
}

/* What it has said so far, until it is back. */
static bool take_results(struct sequence *q, struct said *to)
{
    /* acquire: results before the return are seen */
    bool is_returned = atomic_load_explicit(&q->is_returned, memory_order_acquire);
    uint32_t head = atomic_load_explicit(&q->results_head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&q->results_tail, memory_order_acquire);

    for (; head != tail; head++) {
        const struct result *r = &q->results[head % SEQUENCE_RING];
        uint32_t place = q->n_resume + head;
        assert_true(place < ANSWER);
        to->token[place] = r->token;
        to->logprob[place] = r->logprob;
    }
    atomic_store_explicit(&q->results_head, head, memory_order_release);
    return is_returned;
}

/* Requests [from, to) together. Returns how many of their tokens were reused. */
static uint32_t run(struct bench *b, uint32_t from, uint32_t to, const struct said *known,
                    struct said *found)
{
    struct sequence *q[REQUESTS];
    struct pollfd ready = {.fd = b->wake_fd, .events = POLLIN};
    uint32_t n_back = 0, n_cached = 0;
    bool is_back[REQUESTS] = {false};
    uint64_t n;

    for (uint32_t i = from; i < to; i++) {
        q[i] = ask(b, i, &known[i], known != found && i % 7 == 2 ? 9 : 0);
        memcpy(found[i].token, known[i].token, sizeof found[i].token);
        memcpy(found[i].logprob, known[i].logprob, q[i]->n_resume * sizeof(float));
        compute_give(&b->compute, q[i]);
    }
    while (n_back < to - from) {
        for (uint32_t i = from; i < to; i++)
            if (!is_back[i] && take_results(q[i], &found[i])) {
                is_back[i] = true;
                n_back++;
            }
        compute_kick(&b->compute);
        if (n_back < to - from && poll(&ready, 1, 10000) == 0)
            fail_msg("%s: nothing for 10 s", b->g->name);
        (void)!read(b->wake_fd, &n, sizeof n);
    }
    for (uint32_t i = from; i < to; i++) {
        assert_int_equal(atomic_load(&q[i]->end), END_LENGTH);
        n_cached += q[i]->n_cached;
        sequence_free(q[i]);
    }
    return n_cached;
}

static void expect_same(const struct bench *b, const char *how, const struct said *found,
                        const struct said *known)
{
    for (uint32_t i = 0; i < REQUESTS; i++)
        if (memcmp(&found[i], &known[i], sizeof found[i]) != 0)
            fail_msg("%s, %s: request %u has another answer", b->g->name, how, i);
}

/* All requests, `together` at a time. */
static uint32_t run_all(struct bench *b, uint32_t together, const struct said *known,
                        struct said *found)
{
    uint32_t n_cached = 0;

    for (uint32_t i = 0; i < REQUESTS; i += together)
        n_cached += run(b, i, i + together < REQUESTS ? i + together : REQUESTS, known, found);
    return n_cached;
}

static void compare(struct golden *g, const char *how, int32_t pages, int32_t slots,
                    uint32_t together, const struct said *known)
{
    static struct said found[REQUESTS];
    struct bench b;

    open_bench(&b, g, pages, slots, true);
    for (int round = 0; round < 2; round++) { /* the second finds the first */
        memset(found, 0, sizeof found);
        uint32_t n_cached = run_all(&b, together, known, found);
        expect_same(&b, how, found, known);
        if (getenv("PREFIX_TEST_PRINT") != NULL)
            printf("%s, %s, round %d: %u tokens reused\n", g->name, how, round, n_cached);
        assert_true(n_cached > 0);
        if (round == 1 && pages > 256 && slots > 100) /* all but what has no state just behind it */
            assert_true(n_cached > REQUESTS * 120);
    }
    close_bench(&b);
}

static void compare_with_cold(struct golden *g)
{
    static struct said known[REQUESTS];
    struct bench b;

    memset(known, 0, sizeof known);
    open_bench(&b, g, 64, 8, false);
    assert_int_equal(run_all(&b, 1, known, known), 0);
    close_bench(&b);
    compare(g, "one by one", 600, 200, 1, known);
    compare(g, "together", 600, 200, TOGETHER, known);
    compare(g, "all at once", 600, 200, REQUESTS, known);
    compare(g, "few pages", 40, 200, TOGETHER, known);
    compare(g, "few states", 600, 9, TOGETHER, known);
    compare(g, "two states", 600, 2, 1, known);
}

static void hit_is_miss(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_AUTO, compare_with_cold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hit_is_miss)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

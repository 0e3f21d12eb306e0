/* Sampling: the generator against published vectors, every filter against its definition, and the
 * frequencies of draws. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/sample.h"
#include "tests/kernels/kernels_util.h"

static const struct kern_sampler off = {.repetition = 1, .temperature = 1, .top_p = 1};

/* From the known-answer file of Random123, philox4x32 with 10 rounds. */
static void philox_gives_the_published_words(void **unused)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t out[4];

        kern_philox(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
    assert_true(kern_uniform(1, 2) >= 0 && kern_uniform(1, 2) < 1);
    assert_true(kern_uniform(1, 2) == kern_uniform(1, 2));
    assert_true(kern_uniform(1, 2) != kern_uniform(2, 1));
}

enum { VOCAB = 100 };

/* How often each token comes in n draws, and the set of tokens that came. */
static void count_draws(struct kern_sampler s, const float *logits, int n, int *counts)
{
    struct kern_candidate work[VOCAB];

    memset(counts, 0, VOCAB * sizeof *counts);
    for (int i = 0; i < n; i++) {
        float x[VOCAB];
        int32_t token = -1;

        memcpy(x, logits, sizeof x);
        s.position = (uint64_t)i;
        assert_int_equal(kern_sample(&s, x, VOCAB, work, &token), 0);
        assert_in_range(token, 0, VOCAB - 1);
        counts[token]++;
    }
}

/* Token t has probability close to 0.5^(t+1): the logits fall by ln 2. */
static void halving(float *logits)
{
    for (int i = 0; i < VOCAB; i++)
        logits[i] = 3 - (float)i * 0.693147181f;
}

static void draws_follow_the_distribution(void **unused)
{
    enum { N = 20000 };
    float logits[VOCAB];
    int counts[VOCAB];
    struct kern_sampler hot = off;

    (void)unused;
    halving(logits);
    count_draws(off, logits, N, counts);
    for (int t = 0; t < 5; t++) {
        double expected = N * pow(0.5, t + 1);

        assert_true(fabs(counts[t] - expected) < 5 * sqrt(expected));
    }
    hot.temperature = 0.5f; /* powers of 1/4: three quarters for the first */
    count_draws(hot, logits, N, counts);
    assert_true(fabs(counts[0] - 0.75 * N) < 5 * sqrt(N));
}

static int largest_drawn(struct kern_sampler s, const float *logits)
{
    int counts[VOCAB], last = -1;

    count_draws(s, logits, 3000, counts);
    for (int t = 0; t < VOCAB; t++)
        if (counts[t] > 0) {
            assert_int_equal(last, t - 1); /* nothing is missing in between */
            last = t;
        }
    return last;
}

static void filters_keep_what_they_say(void **unused)
{
    float logits[VOCAB];
    struct kern_sampler s = off;

    (void)unused;
    halving(logits);
    s.top_k = 3;
    assert_int_equal(largest_drawn(s, logits), 2);
    s.top_k = 1;
    assert_int_equal(largest_drawn(s, logits), 0);
    s = off;
    s.top_p = 0.7f; /* .5 + .25 is the first sum that reaches it */
    assert_int_equal(largest_drawn(s, logits), 1);
    s.top_p = 0.76f;
    assert_int_equal(largest_drawn(s, logits), 2);
    s.top_k = 3; /* of the first three .5/.875 + .25/.875 = .857 */
    s.top_p = 0.85f;
    assert_int_equal(largest_drawn(s, logits), 1);
    s.top_p = 0.87f;
    assert_int_equal(largest_drawn(s, logits), 2);
    s = off;
    s.min_p = 0.2f; /* 1, .5, .25 */
    assert_int_equal(largest_drawn(s, logits), 2);
    s.top_k = 5;
    assert_int_equal(largest_drawn(s, logits), 2);
    s = off;
    s.top_p = 1e-6f; /* never empty */
    assert_int_equal(largest_drawn(s, logits), 0);
    s = off;
    s.top_k = 1000; /* more than there are */
    assert_true(largest_drawn(s, logits) >= 5);
}

static int32_t greedy(struct kern_sampler s, const float *logits)
{
    struct kern_candidate work[VOCAB];
    float x[VOCAB];
    int32_t token = -1;

    s.temperature = 0;
    memcpy(x, logits, sizeof x);
    assert_int_equal(kern_sample(&s, x, VOCAB, work, &token), 0);
    return token;
}

static void penalties_bias_and_mask_move_logits(void **unused)
{
    static const struct kern_token_count seen[] = {{0, 1, 0}, {1, 2, 2}};
    static const struct kern_token_bias bias[] = {{7, 100}};
    uint32_t mask[4] = {0xfffffff0, 0xffffffff, 0xffffffff, 0xf};
    float logits[VOCAB];
    struct kern_sampler s = off;

    (void)unused;
    halving(logits);
    assert_int_equal(greedy(s, logits), 0);
    s.seen = seen;
    s.seen_count = 2;
    assert_int_equal(greedy(s, logits), 0);
    s.repetition = 1.5f; /* 3 and 2.31 become 2 and 1.54: token 2 has 1.61 */
    assert_int_equal(greedy(s, logits), 0);
    s.repetition = 2;
    assert_int_equal(greedy(s, logits), 2);
    s.repetition = 1;
    s.presence = 5; /* counts only what the answer holds: token 1 */
    assert_int_equal(greedy(s, logits), 0);
    logits[1] = 10;
    assert_int_equal(greedy(s, logits), 1); /* 10 - 5 */
    s.frequency = 1.5f;
    assert_int_equal(greedy(s, logits), 0); /* 10 - 5 - 3 */
    s = off;
    s.mask = mask;
    assert_int_equal(greedy(s, logits), 4);
    s.bias = bias;
    s.bias_count = 1;
    assert_int_equal(greedy(s, logits), 7);
    logits[2] = -3;
    struct kern_sampler r = off;
    static const struct kern_token_count negative[] = {{2, 1, 0}};
    for (int i = 0; i < VOCAB; i++)
        logits[i] = i == 2 ? -1 : i == 3 ? -1.5f : -9;
    r.seen = negative;
    r.seen_count = 1;
    r.repetition = 2; /* a negative logit is multiplied: -2 */
    assert_int_equal(greedy(r, logits), 3);
}

static void nothing_to_choose_is_said(void **unused)
{
    static const struct kern_token_bias outside[] = {{VOCAB, 1}};
    struct kern_candidate work[VOCAB];
    uint32_t none[4] = {0};
    float logits[VOCAB] = {0};
    int32_t token;
    struct kern_sampler s = off;

    (void)unused;
    s.mask = none;
    assert_int_equal(kern_sample(&s, logits, VOCAB, work, &token), -ERANGE);
    for (int i = 0; i < VOCAB; i++)
        logits[i] = NAN;
    assert_int_equal(kern_sample(&off, logits, VOCAB, work, &token), -ERANGE);
    logits[5] = 1; /* the only number */
    assert_int_equal(kern_sample(&off, logits, VOCAB, work, &token), 0);
    assert_int_equal(token, 5);
    logits[6] = INFINITY;
    assert_int_equal(kern_sample(&off, logits, VOCAB, work, &token), 0);
    assert_int_equal(token, 6);
    s = off;
    s.bias = outside;
    s.bias_count = 1;
    assert_int_equal(kern_sample(&s, logits, VOCAB, work, &token), -EINVAL);
    struct kern_sampler bad[] = {off, off, off, off, off, off};
    bad[0].temperature = -1;
    bad[1].top_p = 0;
    bad[2].top_p = NAN;
    bad[3].min_p = 1.5f;
    bad[4].top_k = -1;
    bad[5].repetition = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(kern_sample(&bad[i], logits, VOCAB, work, &token), -EINVAL);
    assert_int_equal(kern_sample(&off, NULL, VOCAB, work, &token), -EINVAL);
}

static const float *order_by; /* of by_weight */

static int by_weight(const void *a, const void *b)
{
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;

    if (order_by[i] != order_by[k])
        return order_by[i] > order_by[k] ? -1 : 1;
    return i < k ? -1 : 1;
}

/* The definition, word for word: sort all, keep k, keep p of these, keep those above min_p, draw. */
static int32_t draw_by_definition(const struct kern_sampler *s, const float *logits, int32_t vocab)
{
    int32_t order[VOCAB], n = s->top_k > 0 && s->top_k < vocab ? s->top_k : vocab;
    double weight[VOCAB], total = 0, reached = 0;
    int32_t kept = 0;

    for (int32_t i = 0; i < vocab; i++)
        order[i] = i;
    order_by = logits;
    qsort(order, (size_t)vocab, sizeof *order, by_weight);
    for (int32_t i = 0; i < n; i++) {
        weight[i] = exp(((double)logits[order[i]] - (double)logits[order[0]]) /
                        (double)s->temperature);
        total += weight[i];
    }
    while (kept < n && (kept == 0 || reached < (double)s->top_p * total || s->top_p == 1))
        reached += weight[kept++];
    while (kept > 1 && weight[kept - 1] < (double)s->min_p)
        kept--;
    total = 0;
    for (int32_t i = 0; i < kept; i++)
        total += weight[i];
    double left = kern_uniform(s->seed, s->position) * total;
    for (int32_t i = 0; i < kept; i++)
        if ((left -= weight[i]) < 0)
            return order[i];
    return order[kept - 1];
}

static void all_ways_are_the_definition(void **unused)
{
    static const int32_t top_k[] = {0, 1, 2, 5, 40, 63, 64, 65, 99};
    static const float top_p[] = {1, 0.95f, 0.5f}, min_p[] = {0, 0.05f};
    struct kern_candidate work[VOCAB];
    float logits[VOCAB], copy[VOCAB];
    int32_t token;

    (void)unused;
    for (uint64_t n = 0; n < 20000; n++) {
        struct kern_sampler s = off;
        s.top_k = top_k[n % 9];
        s.top_p = top_p[n / 9 % 3];
        s.min_p = min_p[n / 27 % 2];
        s.temperature = n % 2 == 0 ? 1 : 0.3f;
        s.position = n;
        for (int i = 0; i < VOCAB; i++) /* with equal ones among them */
            logits[i] = floorf((float)kern_uniform(n, (uint64_t)i) * 60) / 10;
        memcpy(copy, logits, sizeof copy);
        if (s.top_k == 0 && s.top_p == 1)
            continue; /* drawn in the order of the tokens: nothing needs sorting */
        assert_int_equal(kern_sample(&s, copy, VOCAB, work, &token), 0);
        assert_int_equal(token, draw_by_definition(&s, logits, VOCAB));
    }
}

static void top_logprobs_are_sorted(void **unused)
{
    static const float logits[] = {1, 5, 3, 5, -2, 4};
    int32_t tokens[6];
    float p[6];

    (void)unused;
    assert_int_equal(kern_top_logprobs(logits, 6, 6.0, 4, tokens, p), 0);
    static const int32_t want[] = {1, 3, 5, 2};
    assert_memory_equal(tokens, want, sizeof want);
    assert_true(p[0] == -1 && p[3] == -3);
    assert_int_equal(kern_top_logprobs(logits, 6, 6.0, 6, tokens, p), 0);
    assert_int_equal(tokens[5], 4);
    assert_int_equal(kern_top_logprobs(logits, 6, 6.0, 0, NULL, NULL), 0);
    assert_int_equal(kern_top_logprobs(logits, 6, 6.0, 7, tokens, p), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_words),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(filters_keep_what_they_say),
        cmocka_unit_test(penalties_bias_and_mask_move_logits),
        cmocka_unit_test(nothing_to_choose_is_said),
        cmocka_unit_test(all_ways_are_the_definition),
        cmocka_unit_test(top_logprobs_are_sorted),
    };

    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}

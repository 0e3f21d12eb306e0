#include "kernels/sample.h"

#include <errno.h>
#include <math.h>

void kern_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53 * c[0], b = (uint64_t)0xCD9E8D57 * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};

        for (int i = 0; i < 4; i++)
            c[i] = next[i];
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    for (int i = 0; i < 4; i++)
        out[i] = c[i];
}

double kern_uniform(uint64_t seed, uint64_t position)
{
    uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, out[4];

    kern_philox(counter, key, out);
    return (double)(((uint64_t)out[1] << 32 | out[0]) >> 11) * 0x1p-53;
}

static int check_sampler(const struct kern_sampler *s, int32_t vocab)
{
    if (!(s->temperature >= 0) || !(s->top_p > 0 && s->top_p <= 1) ||
        !(s->min_p >= 0 && s->min_p <= 1) || s->top_k < 0)
        return -EINVAL;
    if (!(s->repetition > 0) || !isfinite(s->frequency) || !isfinite(s->presence) ||
        !isfinite(s->temperature) || !isfinite(s->repetition))
        return -EINVAL;
    if (s->seen_count < 0 || (s->seen_count > 0 && s->seen == NULL) || s->bias_count < 0 ||
        (s->bias_count > 0 && s->bias == NULL))
        return -EINVAL;
    for (int32_t i = 0; i < s->seen_count; i++)
        if (s->seen[i].token < 0 || s->seen[i].token >= vocab || s->seen[i].count_all < 0 ||
            s->seen[i].count_answer < 0)
            return -EINVAL;
    for (int32_t i = 0; i < s->bias_count; i++)
        if (s->bias[i].token < 0 || s->bias[i].token >= vocab)
            return -EINVAL;
    return 0;
}

static void apply_penalties(const struct kern_sampler *s, float *logits)
{
    for (int32_t i = 0; i < s->seen_count; i++) {
        const struct kern_token_count *t = &s->seen[i];
        float *x = &logits[t->token];

        if (t->count_all > 0)
            *x = *x > 0 ? *x / s->repetition : *x * s->repetition;
        if (t->count_answer > 0)
            *x -= s->presence + s->frequency * (float)t->count_answer;
    }
    for (int32_t i = 0; i < s->bias_count; i++)
        logits[s->bias[i].token] += s->bias[i].bias;
}

static void apply_mask(const uint32_t *mask, float *logits, int32_t vocab)
{
    for (int32_t i = 0; i < vocab; i++)
        if ((mask[i / 32] >> (i % 32) & 1) == 0)
            logits[i] = -INFINITY;
}

/* First of the largest; -1 when there is none. */
static int32_t find_largest(const float *logits, int32_t vocab)
{
    int32_t best = -1;

    for (int32_t i = 0; i < vocab; i++)
        if (logits[i] > (best < 0 ? -INFINITY : logits[best]))
            best = i;
    return best;
}

/* Heap with the heaviest on top, the lower token first among equals. */
static int is_before(const struct kern_candidate *a, const struct kern_candidate *b)
{
    return a->weight > b->weight || (a->weight == b->weight && a->token < b->token);
}

static void sink(struct kern_candidate *heap, int32_t count, int32_t at)
{
    struct kern_candidate moved = heap[at];

    for (int32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &moved))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* Of e^{(x - max) / temperature}, as an exponent.  What lies below is left out: 2^24 such tokens
 * together would be drawn once in 10^10 tokens. */
#define EXPONENT_MIN (-40.0)

/* Candidates above min_p of the largest, with their weights e^{(x - max) / temperature}. */
static int32_t collect(const struct kern_sampler *s, const float *logits, int32_t vocab,
                       float largest, float min_p, struct kern_candidate *work)
{
    double temperature = (double)s->temperature;
    double least = EXPONENT_MIN * temperature + (double)largest;
    float bound = (float)least - fabsf((float)least) * 1e-6f; /* below: no double is needed */
    int32_t count = 0;

    for (int32_t i = 0; i < vocab; i++) {
        if (!(logits[i] > bound))
            continue;
        double x = ((double)logits[i] - (double)largest) / temperature;
        double weight = x > EXPONENT_MIN ? exp(x) : 0;

        if (weight > 0 && weight >= (double)min_p)
            work[count++] = (struct kern_candidate){.weight = weight, .token = i};
    }
    return count;
}

#define FEW 64

/* The n <= FEW largest logits, the heaviest last, as keep_heaviest leaves them: one comparison for
 * each other logit. */
static int32_t collect_few(const struct kern_sampler *s, const float *logits, int32_t vocab,
                           float largest, struct kern_candidate *work)
{
    int32_t tokens[FEW], n = 0;
    float least = -INFINITY;

    for (int32_t i = 0; i < vocab; i++) {
        if (!(logits[i] > least))
            continue;
        int32_t at = n < s->top_k ? n++ : n - 1;
        for (; at > 0 && logits[i] > logits[tokens[at - 1]]; at--)
            tokens[at] = tokens[at - 1];
        tokens[at] = i;
        if (n == s->top_k)
            least = logits[tokens[n - 1]];
    }
    int32_t count = 0;
    for (int32_t k = n; k-- > 0;) {
        double x = ((double)logits[tokens[k]] - (double)largest) / (double)s->temperature;
        if (x > EXPONENT_MIN)
            work[count++] = (struct kern_candidate){.weight = exp(x), .token = tokens[k]};
    }
    return count;
}

static double sum_weights(const struct kern_candidate *c, int32_t count)
{
    double sum = 0;

    for (int32_t i = 0; i < count; i++)
        sum += c[i].weight;
    return sum;
}

/* Of sorted candidates [start, count), the heaviest last: where those start whose weights before
 * the last stay below top_p of their sum. */
static int32_t keep_top_p(const struct kern_sampler *s, const struct kern_candidate *work,
                          int32_t start, int32_t count, double total)
{
    double limit = (double)s->top_p * total;
    int32_t first = count - 1;

    for (double sum = work[first].weight; first > start && sum < limit; sum += work[first].weight)
        first--;
    return first;
}

/* The heaviest `top_k` whose weights before the last stay below top_p of their sum, moved, heaviest
 * first, to the end of work; returns where they start. */
static int32_t keep_heaviest(const struct kern_sampler *s, struct kern_candidate *work,
                             int32_t count)
{
    int32_t want = s->top_k > 0 && s->top_k < count ? s->top_k : count, start = count;
    double total = want == count ? sum_weights(work, count) : 0, reached = 0;

    for (int32_t i = count / 2; i-- > 0;)
        sink(work, count, i);
    for (int32_t heap = count; heap > count - want; heap--) {
        struct kern_candidate top = work[0];

        if (want == count && s->top_p < 1 && reached >= (double)s->top_p * total)
            break;
        work[0] = work[heap - 1];
        sink(work, heap - 1, 0);
        work[heap - 1] = top;
        start = heap - 1;
        reached += top.weight;
    }
    if (want == count || s->top_p == 1)
        return start;
    return keep_top_p(s, work, start, count, reached); /* only now is the sum of the top k known */
}

static int32_t draw(const struct kern_candidate *c, int32_t first, int32_t end, double uniform)
{
    double left = uniform * sum_weights(c + first, end - first);

    for (int32_t i = end - 1; i > first; i--) {
        left -= c[i].weight;
        if (left < 0)
            return c[i].token;
    }
    return c[first].token;
}

/* One of the sorted candidates [first, end) that min_p lets through. */
static int32_t draw_above(const struct kern_sampler *s, const struct kern_candidate *work,
                          int32_t first, int32_t end)
{
    while (first < end - 1 && work[first].weight < (double)s->min_p)
        first++;
    return draw(work, first, end, kern_uniform(s->seed, s->position));
}

int kern_sample(const struct kern_sampler *s, float *logits, int32_t vocab,
                struct kern_candidate *work, int32_t *token)
{
    if (s == NULL || logits == NULL || work == NULL || token == NULL || vocab < 1 ||
        check_sampler(s, vocab) != 0)
        return -EINVAL;
    apply_penalties(s, logits);
    if (s->mask != NULL)
        apply_mask(s->mask, logits, vocab);
    int32_t best = find_largest(logits, vocab);
    if (best < 0)
        return -ERANGE;
    *token = best;
    if (s->temperature == 0 || logits[best] == INFINITY)
        return 0;

    int32_t first = 0, end;
    if (s->top_k > 0 && s->top_k <= FEW) {
        end = collect_few(s, logits, vocab, logits[best], work);
        if (s->top_p < 1)
            first = keep_top_p(s, work, 0, end, sum_weights(work, end));
        *token = draw_above(s, work, first, end);
        return 0;
    }
    /* min-p compares with the largest weight, which top-k and top-p always keep, and is 1 here: it
     * can go last as it must and still be taken first when nothing else filters. */
    int is_filtered = s->top_k > 0 || s->top_p < 1;
    end = collect(s, logits, vocab, logits[best], is_filtered ? 0 : s->min_p, work);
    if (!is_filtered) {
        *token = draw(work, 0, end, kern_uniform(s->seed, s->position));
        return 0;
    }
    *token = draw_above(s, work, keep_heaviest(s, work, end), end);
    return 0;
}

/* An insertion into the sorted few: each other logit costs one comparison. */
int kern_top_logprobs(const float *logits, int32_t vocab, double lse, int32_t n, int32_t *tokens,
                      float *logprobs)
{
    if (logits == NULL || vocab < 1 || n < 0 || n > vocab ||
        (n > 0 && (tokens == NULL || logprobs == NULL)))
        return -EINVAL;
    int32_t kept = 0;
    for (int32_t i = 0; i < vocab; i++) {
        int32_t at = kept;

        if (kept == n && (n == 0 || !(logits[i] > logits[tokens[n - 1]])))
            continue;
        if (kept < n)
            kept++;
        else
            at = n - 1;
        for (; at > 0 && logits[i] > logits[tokens[at - 1]]; at--)
            tokens[at] = tokens[at - 1];
        tokens[at] = i;
    }
    for (int32_t i = 0; i < kept; i++)
        logprobs[i] = (float)((double)logits[tokens[i]] - lse);
    return 0;
}

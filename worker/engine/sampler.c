#include "worker/engine/sampler.h"

#include "base/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double choose(const struct sampling_value *v, double fallback)
{
    return v->is_set ? v->number : fallback;
}

/* {"15": -100, ...}: token ids as names, as the OpenAI API has them. */
static int read_bias(struct sampler *s, const struct json_object *o, uint32_t vocab, struct err *e)
{
    size_t n = json_length(o);

    if (n > SAMPLER_BIAS_MAX)
        return err_set(e, EINVAL, "logit_bias: found %zu tokens, at most %d are allowed", n,
                       SAMPLER_BIAS_MAX);
    s->bias = calloc(n + 1, sizeof *s->bias);
    CHECK(s->bias != NULL);
    for (struct json_iterator it = json_members(o); json_next(&it);) {
        char *end;
        errno = 0;
        unsigned long token = strtoul(it.key, &end, 10);
        if (it.key[0] < '0' || it.key[0] > '9' || *end != '\0' || errno != 0 || token >= vocab)
            return err_set(e, EINVAL, "logit_bias: found \"%.32s\", expected a token id below %u",
                           it.key, vocab);
        if (json_type_of(it.value) != JSON_NUMBER || fabs(json_number(it.value)) > 100)
            return err_set(e, EINVAL, "logit_bias of token %lu: expected a number from -100 to 100",
                           token);
        s->bias[s->kern.bias_count++] =
            (struct kern_token_bias){.token = (int32_t)token, .bias = (float)json_number(it.value)};
    }
    s->kern.bias = s->bias;
    return 0;
}

static bool has_penalty(const struct sampler *s)
{
    return s->kern.repetition != 1 || s->kern.frequency != 0 || s->kern.presence != 0;
}

int sampler_init(struct sampler *s, const struct sampling *p, const struct generation *g,
                 uint32_t vocab, uint64_t seed, struct err *e)
{
    bool is_argmax = g->has_is_sampled && !g->is_sampled;
    double top_k = choose(&p->top_k, g->top_k);
    double top_p = choose(&p->top_p, g->top_p);

    *s = (struct sampler){.kern = {.seed = seed}};
    s->kern.temperature = (float)choose(&p->temperature, is_argmax ? 0 : g->temperature);
    s->kern.top_k = top_k < 0 || top_k >= vocab ? 0 : (int32_t)top_k;
    s->kern.top_p = (float)top_p;
    s->kern.min_p = (float)choose(&p->min_p, g->min_p);
    s->kern.repetition = (float)choose(&p->repetition_penalty, g->repetition_penalty);
    s->kern.frequency = (float)choose(&p->frequency_penalty, 0);
    s->kern.presence = (float)choose(&p->presence_penalty, 0);
    if (s->kern.top_p <= 0) { /* nothing but the most likely token */
        s->kern.top_p = 1;
        s->kern.top_k = 1;
    }
    if (p->logit_bias.is_set && read_bias(s, p->logit_bias.value, vocab, e) != 0) {
        sampler_free(s);
        return -e->code;
    }
    if (s->kern.top_k == 1)
        s->kern.temperature = 0;
    s->is_greedy = s->kern.temperature == 0 && s->kern.bias_count == 0 && !has_penalty(s);
    return 0;
}

void sampler_reserve(struct sampler *s, uint32_t vocab, uint32_t n_tokens)
{
    uint32_t n = n_tokens < vocab ? n_tokens : vocab;
    uint32_t slots = 16;

    if (!has_penalty(s))
        return;
    while (slots < 2 * n)
        slots *= 2;
    s->seen = calloc(n + 1, sizeof *s->seen);
    s->index = calloc(slots, sizeof *s->index);
    CHECK(s->seen != NULL && s->index != NULL);
    s->index_mask = slots - 1;
    s->kern.seen = s->seen;
}

void sampler_free(struct sampler *s)
{
    free(s->bias);
    free(s->seen);
    free(s->index);
    *s = (struct sampler){0};
}

void sampler_see(struct sampler *s, uint32_t token, bool is_answer)
{
    if (s->seen == NULL)
        return;
    uint32_t slot = token * 0x9E3779B1u & s->index_mask;
    while (s->index[slot] != 0 && s->seen[s->index[slot] - 1].token != (int32_t)token)
        slot = (slot + 1) & s->index_mask;
    if (s->index[slot] == 0) {
        s->seen[s->kern.seen_count].token = (int32_t)token;
        s->index[slot] = (uint32_t)++s->kern.seen_count;
    }
    struct kern_token_count *count = &s->seen[s->index[slot] - 1];
    count->count_all++;
    count->count_answer += is_answer;
}

int sampler_draw(const struct sampler *s, uint64_t position, const float *logits, uint32_t vocab,
                 struct sampler_choice choice, struct sampler_work *work, uint32_t *token)
{
    struct kern_sampler k = s->kern;
    int32_t drawn = 0;

    k.position = position;
    k.mask = choice.mask;
    memcpy(work->logits, logits, vocab * sizeof *logits);
    for (uint32_t i = 0; i < choice.n_banned; i++)
        if (choice.banned[i] < vocab)
            work->logits[choice.banned[i]] = -INFINITY;
    int rc = kern_sample(&k, work->logits, (int32_t)vocab, work->candidates, &drawn);
    *token = (uint32_t)drawn;
    return rc;
}

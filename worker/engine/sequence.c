#include "worker/engine/sequence.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct sequence *sequence_new(void)
{
    struct sequence *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    s->slot = PREFIX_NONE;
    s->prompt.opener = PROMPT_NO_OPENER;
    return s;
}

static void *take(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size);

    CHECK(p != NULL);
    return p;
}

/* Ids of the prompt, then of the journal; the sampler has seen them all. */
static void fill_tokens(struct sequence *s)
{
    uint32_t from = s->has_echo ? s->n_prompt : 0; /* the echo is in the prompt already */

    for (uint32_t i = 0; i < s->n_prompt; i++) {
        s->tokens[i] = s->prompt.ids.id[i];
        sampler_see(&s->sampler, s->tokens[i], false);
    }
    s->n_tokens = s->n_prompt;
    for (uint32_t i = from; i < s->n_resume && s->n_tokens < s->n_limit; i++) {
        s->tokens[s->n_tokens++] = s->resume[i];
        sampler_see(&s->sampler, s->resume[i], true);
        thinking_see(&s->thinking, s->resume[i]);
        constraint_see(&s->constraint, &s->thinking, s->resume[i]);
    }
}

static void take_pages(struct sequence *s, int32_t page_tokens)
{
    if (page_tokens == 0)
        return;
    s->n_pages_max = ((int32_t)s->n_limit + page_tokens - 1) / page_tokens;
    s->pages = take((size_t)s->n_pages_max, sizeof *s->pages);
}

void sequence_begin(struct sequence *s, uint32_t n_max, uint32_t vocab, int32_t page_tokens)
{
    s->n_prompt = (uint32_t)s->prompt.ids.n;
    s->n_limit = s->n_prompt + n_max;
    s->tokens = take(s->n_limit, sizeof *s->tokens);
    sampler_reserve(&s->sampler, vocab, s->n_limit);
    fill_tokens(s);
    s->n_out = sequence_base(s) + s->n_resume;
    if (s->n_out < s->n_prompt && !s->has_logprobs) /* the loop echoes them without the model */
        s->n_out = s->n_prompt;
    if (s->n_out == 0) /* no row predicts the first token */
        s->n_out = 1;
    take_pages(s, page_tokens);
    s->results = take(SEQUENCE_RING, sizeof *s->results);
    if (s->n_top > 0)
        s->tops = take((size_t)SEQUENCE_RING * s->n_top, sizeof *s->tops);
}

void sequence_begin_embedding(struct sequence *s, uint32_t n_first, uint32_t n_vector,
                              uint32_t hidden, int32_t page_tokens)
{
    s->n_prompt = s->n_tokens = s->n_limit = (uint32_t)s->prompt.ids.n;
    s->tokens = take(s->n_limit, sizeof *s->tokens);
    memcpy(s->tokens, s->prompt.ids.id, s->n_prompt * sizeof *s->tokens);
    s->n_out = n_first;
    take_pages(s, page_tokens);
    s->sum = take(hidden, sizeof *s->sum);
    s->vector = take(n_vector, sizeof *s->vector);
    s->n_vector = n_vector;
}

void sequence_free(struct sequence *s)
{
    params_free(&s->params);
    token_ids_free(&s->prompt.ids);
    buf_free(&s->prompt.text);
    grammar_unref(&s->prompt.grammar);
    sampler_free(&s->sampler);
    constraint_free(&s->constraint);
    free(s->resume);
    free(s->tokens);
    free(s->pages);
    free(s->sum);
    free(s->vector);
    free(s->results);
    free(s->tops);
    free(s);
}

/* From a prompt that has come back as ids to the first token: replay, what fits, ACCEPT. */
#include "worker/engine/llm_parts.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>

/* What the journal has, said once more to nobody. */
static int replay(struct llm *m, struct sequence *s, struct err *e)
{
    struct request *r = s->request;
    enum finish_reason reason;
    struct token token;

    for (uint32_t i = 0; i < s->n_resume; i++) {
        bool is_prompt = s->has_echo && i < s->n_prompt;
        if (!llm_is_recited(s) && !is_prompt && answer_is_over(&r->answer, &reason))
            return err_set(e, EINVAL, "resumed after %u tokens, but the answer has %u", s->n_resume,
                           i);
        if (llm_is_recited(s))
            speaker_recite(&m->speaker, s, i, &token);
        else
            speaker_say(&m->speaker, s,
                        &(struct result){.token = s->resume[i], .is_prompt = is_prompt}, NULL,
                        &token);
        if (token.id != s->resume[i])
            return err_set(e, EINVAL, "resumed token %u: found %u, expected %u", i, s->resume[i],
                           token.id);
        reply_replay(m->engine.reply, r, &token);
    }
    return 0;
}

static void accept(struct llm *m, struct sequence *s, uint32_t n_prompt, uint32_t n_cached)
{
    s->is_accepted = true;
    reply_accept(
        m->engine.reply, s->request,
        &(struct accept_body){.prompt_tokens = n_prompt,
                              .cached_tokens = n_cached,
                              .flags = s->prompt.is_unconstrained ? ACCEPT_UNCONSTRAINED : 0});
}

static void count_hit(struct worker_counters *c, const struct sequence *s)
{
    counter_add(&c->prefix_hits, s->n_cached > 0);
    counter_add(&c->prefix_hit_tokens, s->n_cached);
#define X(constant, counter, text) counter_add(&c->counter, s->miss == (constant));
    PREFIX_MISSES(X)
#undef X
}

static void log_hit(const struct sequence *s)
{
    static const char *const misses[] = {
        [PREFIX_WHOLE] = "known",
#define X(constant, counter, text) [constant] = text,
        PREFIX_MISSES(X)
#undef X
    };

    log_event(LOG_REQUEST, LOG_DEBUG, s->request->id, "%u of %u prompt tokens cached, %s=%u",
              s->n_cached, s->n_prompt, misses[s->miss], s->n_matched);
}

/* Compute has found out how much of it is in the prefix cache. */
bool llm_is_admitted(struct llm *m, struct sequence *s)
{
    /* acquire: pairs with the scheduler's release */
    if (!atomic_load_explicit(&s->is_admitted, memory_order_acquire))
        return false;
    count_hit(m->engine.reply->counters, s);
    log_hit(s);
    accept(m, s, s->n_prompt, s->n_cached);
    return true;
}

/* How many tokens may be generated, or a refusal. */
static enum fail_code check_context(const struct llm *m, const struct sequence *s, uint32_t *n_max,
                                    struct err *e)
{
    uint64_t n = s->prompt.ids.n, context = m->loader.memory.context;
    uint32_t wanted = s->kind == PROMPT_EMBED ? 0 : s->request->params.max_tokens;

    if (n == 0) {
        err_set(e, EINVAL, "the prompt has no tokens: this model needs at least one");
        return FAIL_INVALID_REQUEST;
    }
    if (n > context || (n == context && wanted > 0)) {
        err_set(e, E2BIG, "prompt is too long: %" PRIu64 " tokens > %" PRIu64 " maximum", n,
                wanted > 0 ? context - 1 : context);
        return FAIL_CONTEXT_LENGTH;
    }
    *n_max = wanted < context - n ? wanted : (uint32_t)(context - n);
    return FAIL_CODES_N;
}

/* All that is to be recited is there. False: refused. */
bool llm_catch_up(struct llm *m, struct sequence *s)
{
    struct err e = {0};

    if (s->n_resume > speaker_places(s))
        err_set(&e, EINVAL, "resumed behind the end of the text");
    else
        replay(m, s, &e);
    if (e.code != 0)
        llm_refuse(m, s, FAIL_INTERNAL, e.text);
    return e.code == 0;
}

static void begin_recital(struct llm *m, struct sequence *s)
{
    struct request *r = s->request;

    request_begin_answer(r, ANSWER_UNLIMITED);
    if (llm_catch_up(m, s))
        accept(m, s, s->kind == PROMPT_COUNT ? (uint32_t)s->prompt.ids.n : 0, 0);
}

static int32_t page_tokens(const struct llm *m)
{
    const struct forward_shape *shape = &m->loader.memory.shape;

    return shape->pages > 0 ? shape->page_tokens : 0;
}

static void give_to_compute(struct llm *m, struct sequence *s)
{
    s->is_with_compute = true;
    compute_give(&m->compute, s);
}

/* What the journal has of the vector is said again once it is computed again. */
static void begin_embedding(struct llm *m, struct sequence *s)
{
    struct request *r = s->request;
    const struct checkpoint *c = &m->loader.checkpoint;
    uint32_t hidden = c->config.hidden_size, n_max;
    struct err e = {0};
    enum fail_code code = check_context(m, s, &n_max, &e);

    if (code != FAIL_CODES_N) {
        llm_refuse(m, s, code, e.text);
        return;
    }
    request_begin_answer(r, ANSWER_UNLIMITED);
    sequence_begin_embedding(s, pooling_first(&c->pooling, (uint32_t)s->prompt.ids.n) + 1,
                             r->params.dimensions > 0 ? r->params.dimensions : hidden, hidden,
                             page_tokens(m));
    give_to_compute(m, s);
}

/* Without </think> in the vocabulary the model does not reason: the prompt was refused else. */
static struct thinking limit_thinking(const struct llm *m, const struct sequence *s)
{
    const struct language *l = &m->loader.checkpoint.language;
    bool may_end = s->kind == PROMPT_CHAT && l->think_end != TOKENIZER_NOT_FOUND;

    return (struct thinking){
        .start = l->think_start,
        .end = l->think_end,
        .n_left = may_end ? s->request->params.thinking_tokens : THINKING_UNLIMITED,
        .is_open = s->prompt.starts_reasoning,
    };
}

static void begin_answer(struct llm *m, struct sequence *s)
{
    struct request *r = s->request;
    struct err e = {0};
    uint32_t n_max = 0;
    enum fail_code code = check_context(m, s, &n_max, &e);

    if (code != FAIL_CODES_N) {
        llm_refuse(m, s, code, e.text);
        return;
    }
    request_begin_answer(r, n_max);
    s->thinking = limit_thinking(m, s);
    constraint_begin(&s->constraint, &m->loader.checkpoint.language, s->prompt.grammar,
                     &s->thinking);
    sequence_begin(s, n_max, m->loader.checkpoint.config.vocab_size, page_tokens(m));
    if (s->constraint.has_failed) {
        llm_refuse(m, s, FAIL_INTERNAL, "the resumed tokens do not keep the form");
        return;
    }
    if (s->has_echo)
        answer_echo(&r->answer, s->n_prompt);
    speaker_begin(&m->speaker, s);
    if (replay(m, s, &e) != 0) {
        llm_refuse(m, s, FAIL_INTERNAL, e.text);
        return;
    }
    if (s->n_out >= s->n_limit) {
        /* nothing to compute: no new token, and no log-probability of an old one */
        accept(m, s, s->n_prompt, 0);
        return;
    }
    give_to_compute(m, s);
}

void llm_take_prompt(struct llm *m, struct sequence *s)
{
    s->is_with_front = false;
    if (s->prompt.error.code != 0)
        llm_refuse(m, s, s->prompt.code, s->prompt.error.text);
    else if (s->kind == PROMPT_EMBED)
        begin_embedding(m, s);
    else if (llm_is_recited(s))
        begin_recital(m, s);
    else
        begin_answer(m, s);
}

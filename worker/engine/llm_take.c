/* What compute has found goes to the router, a token at a time. */
#include "worker/engine/llm_parts.h"

#include <math.h>

/* The vector's text, as soon as there is one. */
static bool take_vector(struct llm *m, struct sequence *s)
{
    if (s->prompt.text.len > 0)
        return true;
    /* acquire: pairs with let_go of compute */
    int end = atomic_load_explicit(&s->end, memory_order_acquire);
    if (end == END_FAILED)
        llm_refuse(m, s, FAIL_INTERNAL, s->error.text);
    if (end != END_LENGTH)
        return false;
    speaker_write_vector(s);
    return llm_catch_up(m, s);
}

static bool take_recital(struct llm *m, struct sequence *s, uint64_t now_ns)
{
    struct request *r = s->request;
    struct token token;

    if (s->kind == PROMPT_EMBED && !take_vector(m, s))
        return false;
    if (r->answer.n_tokens == speaker_places(s)) {
        llm_finish(m, s, FINISH_STOP, now_ns);
        return false;
    }
    if (!reply_may_go(m->engine.reply, r))
        return false;
    speaker_recite(&m->speaker, s, r->answer.n_tokens, &token);
    reply_token(m->engine.reply, r, &token, now_ns);
    return true;
}

static void say(struct llm *m, struct sequence *s, const struct result *result,
                const struct result_top *tops, uint64_t now_ns)
{
    struct token token;

    speaker_say(&m->speaker, s, result, tops, &token);
    reply_token(m->engine.reply, s->request, &token, now_ns);
}

/* The echo of a token that compute says nothing of: all without log-probabilities, else the first.
 */
static bool is_own_echo(const struct sequence *s, uint32_t place)
{
    return s->has_echo && place < s->n_prompt && (place == 0 || !s->has_logprobs);
}

/* What compute has said last, when all its results are taken. */
static void take_end(struct llm *m, struct sequence *s, uint64_t now_ns)
{
    /* acquire: pairs with let_go of compute; results before it are visible, so look again */
    int end = atomic_load_explicit(&s->end, memory_order_acquire);

    if (end == END_NONE || atomic_load_explicit(&s->results_head, memory_order_relaxed) !=
                               atomic_load_explicit(&s->results_tail, memory_order_acquire))
        return;
    if (end == END_FAILED)
        llm_refuse(m, s, FAIL_INTERNAL, s->error.text);
    else
        llm_finish(m, s, end == END_EOS ? FINISH_STOP : FINISH_LENGTH, now_ns);
}

/* One token of s, if there is one and it may go. */
static bool take_token(struct llm *m, struct sequence *s, uint64_t now_ns)
{
    struct request *r = s->request;
    uint32_t place = r->answer.n_tokens;
    uint32_t head = atomic_load_explicit(&s->results_head, memory_order_relaxed);
    uint32_t slot = head & (SEQUENCE_RING - 1);
    bool is_echo = s->has_echo && place < s->n_prompt;
    enum finish_reason reason;

    if (!is_echo && answer_is_over(&r->answer, &reason)) {
        llm_finish(m, s, reason, now_ns);
        return false;
    }
    if (is_own_echo(s, place)) {
        if (!reply_may_go(m->engine.reply, r))
            return false;
        say(m, s,
            &(struct result){.token = s->prompt.ids.id[place],
                             .is_prompt = true,
                             .logprob = place == 0 ? NAN : 0},
            NULL, now_ns);
        return true;
    }
    /* acquire: pairs with settle of compute */
    if (head == atomic_load_explicit(&s->results_tail, memory_order_acquire)) {
        take_end(m, s, now_ns);
        return false;
    }
    if (!reply_may_go(m->engine.reply, r))
        return false;
    say(m, s, &s->results[slot], s->tops != NULL ? &s->tops[(size_t)slot * s->n_top] : NULL,
        now_ns);
    /* release: the slot may be written again */
    atomic_store_explicit(&s->results_head, head + 1, memory_order_release);
    return true;
}

#define TURN_TOKENS 256 /* of one sequence, before the next one's turn */

/* False when the turn ended although there may be more. */
bool llm_take_turn(struct llm *m, struct sequence *s, bool *has_taken, uint64_t now_ns)
{
    for (int i = 0; i < TURN_TOKENS; i++) {
        bool goes_on = llm_is_recited(s) ? take_recital(m, s, now_ns) : take_token(m, s, now_ns);
        if (!goes_on)
            return true;
        *has_taken |= s->is_with_compute;
    }
    return false;
}

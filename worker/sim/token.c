#include "worker/sim/token.h"

#include "base/check.h"

#include <math.h>

/* Said, not generated: an echoed token, a piece of a text or of ids. */
static void say_piece(const struct sim_seat *seat, uint32_t index, struct token *t)
{
    enum prompt_kind kind = seat->request->params.kind;

    t->text = sim_prompt_piece(&seat->prompt, index, &t->len);
    t->is_prompt = kind == PROMPT_COMPLETION;
    if (kind == PROMPT_COMPLETION || kind == PROMPT_TOKENIZE)
        t->id = sim_prompt_token(&seat->prompt, index);
}

static void say_script(const struct sim_seat *seat, uint32_t index, struct token *t)
{
    const struct script_piece *p = &seat->answer->piece[index];

    *t = (struct token){
        .id = index % SIM_VOCAB, .channel = p->channel, .text = p->text, .len = p->len};
}

static void add_top(struct sim_token *t, uint32_t id, float logprob, bool is_first)
{
    uint8_t i = t->token.n_tops++;
    struct token_top *top = &t->top[i];

    *top = (struct token_top){id, logprob, t->top_text[i], 0};
    if (i > 0 && id != t->token.id) {
        top->len = sim_token_text(id, is_first, t->top_text[i]);
        return;
    }
    top->text = t->token.text;
    top->len = t->token.len;
}

static void add_tops(struct sim_token *t, uint32_t index, int32_t n)
{
    bool is_certain = t->token.is_prompt && index == 0;

    t->token.tops = t->top;
    t->token.logprob = is_certain ? NAN : sim_logprob(t->token.id, index);
    if (n < 0)
        return;
    add_top(t, t->token.id, t->token.logprob, false);
    for (int32_t rank = 0; rank < n && !is_certain; rank++) {
        float logprob;
        uint32_t id = sim_likeliest(t->token.id, index, (uint32_t)rank, &logprob);
        add_top(t, id, logprob, index == 0);
    }
}

void sim_token_make(const struct sim_seat *seat, uint32_t index, struct sim_token *t)
{
    const struct request *r = seat->request;
    uint32_t generated = index - seat->n_said; /* of those that are */

    CHECK(index < seat->n_tokens);
    t->token = (struct token){.channel = CHANNEL_CONTENT};
    if (index < seat->n_said) {
        say_piece(seat, index, &t->token);
    } else if (seat->answer != NULL) {
        say_script(seat, generated, &t->token);
    } else {
        t->token.id = sim_token(r->seed, generated);
        t->token.text = t->text;
        t->token.len = sim_token_text(t->token.id, generated == 0, t->text);
    }
    if (r->params.kind <= PROMPT_COMPLETION)
        add_tops(t, index, r->params.logprobs);
}

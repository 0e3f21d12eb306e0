#include "worker/engine/constraint.h"

#include "worker/engine/prompt.h"

void constraint_begin(struct constraint *c, const struct language *language,
                      struct grammar *grammar, const struct thinking *thinking)
{
    *c = (struct constraint){.language = language,
                             .state = grammar != NULL ? grammar_state_new(grammar) : NULL,
                             .is_first = true,
                             .was_thinking = thinking->is_open};
}

void constraint_free(struct constraint *c)
{
    grammar_state_free(&c->state);
    buf_free(&c->text);
}

static bool is_line_ends(const struct language *l, uint32_t token)
{
    uint32_t n;
    const uint32_t *ids = forms_line_ends(l->forms, &n);

    for (uint32_t i = 0; i < n; i++)
        if (ids[i] == token)
            return true;
    return false;
}

static void see_content(struct constraint *c, uint32_t token)
{
    bool is_skipped = c->is_fresh && is_line_ends(c->language, token);

    c->is_fresh = false;
    if (is_skipped)
        return;
    buf_clear(&c->text);
    tokenizer_bytes(c->language->tokenizer, token, &c->text);
    c->has_failed |= !grammar_state_advance(c->state, buf_text(&c->text), c->text.len);
}

void constraint_see(struct constraint *c, const struct thinking *thinking, uint32_t token)
{
    if (c->state == NULL)
        return;
    if (c->was_thinking && !thinking->is_open)
        c->is_fresh = true;
    else if (!thinking->is_open)
        see_content(c, token);
    c->was_thinking = thinking->is_open;
    c->is_first = false;
}

static void allow(uint32_t *bits, uint32_t token)
{
    bits[token / 32] |= UINT32_C(1) << token % 32;
}

bool constraint_mask(struct constraint *c, const struct generation *g, uint32_t *bits)
{
    const struct language *l = c->language;
    uint32_t n_line_ends;
    const uint32_t *line_ends = forms_line_ends(l->forms, &n_line_ends);

    grammar_state_mask(c->state, bits);
    for (uint32_t i = 0; constraint_is_complete(c) && i < g->n_eos; i++)
        allow(bits, g->eos[i]);
    for (uint32_t i = 0; c->is_fresh && i < n_line_ends; i++)
        allow(bits, line_ends[i]);
    if (c->is_first && l->think_start != TOKENIZER_NOT_FOUND && l->think_end != TOKENIZER_NOT_FOUND)
        allow(bits, l->think_start);
    for (size_t i = 0; i < GRAMMAR_MASK_WORDS(l->vocab); i++)
        if (bits[i] != 0)
            return true;
    return false;
}

bool constraint_is_complete(const struct constraint *c)
{
    return grammar_state_is_complete(c->state);
}

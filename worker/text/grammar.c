#include "worker/text/grammar_compiled.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>

int grammar_make(const struct grammar_vocab *v, const struct nfa *n, uint32_t root,
                 const struct grammar_limits *limits, struct grammar **out, struct err *e)
{
    struct auto_budget budget = {.states_max = limits->states_max, .steps = limits->steps_max};
    struct grammar *g = calloc(1, sizeof *g);

    CHECK(g != NULL);
    *out = NULL;
    atomic_init(&g->refs, 1);
    g->vocab = v;
    g->root = root;
    automaton_copy(&g->automaton, &v->base);
    int rc = automaton_add(&g->automaton, n, &budget, e);
    if (rc == 0 && !automaton_finish(&g->automaton, root, v->token_max))
        rc = err_set(e, EINVAL, "no value is of this schema that has an end");
    if (rc != 0) {
        grammar_unref(&g);
        return rc;
    }
    g->parts = part_table_new(g->automaton.n_states - v->base.n_states, limits->mask_bytes);
    *out = g;
    return 0;
}

struct grammar *grammar_ref(struct grammar *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    return g;
}

void grammar_unref(struct grammar **grammar)
{
    struct grammar *g = *grammar;

    *grammar = NULL;
    /* acq_rel: who frees has seen what all others did with it. */
    if (g == NULL || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) > 1)
        return;
    part_table_free(&g->parts);
    automaton_free(&g->automaton);
    free(g);
}

size_t grammar_memory(const struct grammar *g)
{
    return sizeof *g + automaton_memory(&g->automaton) +
           (g->automaton.n_states - g->vocab->base.n_states) * sizeof *g->parts->by_state +
           part_table_memory(g->parts);
}

const struct mask_part *grammar_part(struct grammar *g, uint32_t state, struct mask_part **own)
{
    const struct grammar_vocab *v = g->vocab;
    uint32_t n_base = v->base.n_states, twin = g->automaton.states[state].twin;
    bool is_base = twin < n_base;

    return part_table_find(is_base ? v->parts : g->parts, v, &g->automaton, twin,
                           is_base ? twin : twin - n_base, own);
}

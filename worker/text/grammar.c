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
    g->parts_max = limits->mask_bytes;
    automaton_copy(&g->automaton, &v->base);
    int rc = automaton_add(&g->automaton, n, &budget, e);
    if (rc == 0 && !automaton_finish(&g->automaton, root))
        rc = err_set(e, EINVAL, "no value is of this schema that has an end");
    if (rc != 0) {
        grammar_unref(&g);
        return rc;
    }
    g->parts = calloc(g->automaton.n_states - v->base.n_states + 1, sizeof *g->parts);
    CHECK(g->parts != NULL);
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
    for (uint32_t i = 0; g->parts != NULL && i < g->automaton.n_states - g->vocab->base.n_states;
         i++)
        mask_part_free(atomic_load_explicit(&g->parts[i], memory_order_relaxed));
    free(g->parts);
    automaton_free(&g->automaton);
    free(g);
}

size_t grammar_memory(const struct grammar *g)
{
    return sizeof *g + automaton_memory(&g->automaton) +
           (g->automaton.n_states - g->vocab->base.n_states) * sizeof *g->parts +
           atomic_load_explicit(&g->parts_bytes, memory_order_relaxed);
}

/* Of several threads that make the same part, the first one's stays. */
const struct mask_part *grammar_part(struct grammar *g, uint32_t state, bool *is_lent)
{
    const struct grammar_vocab *v = g->vocab;
    bool is_base = state < v->base.n_states;
    _Atomic(struct mask_part *) *slot =
        is_base ? &v->parts[state] : &g->parts[state - v->base.n_states];
    /* acquire: pairs with the exchange below, by which the part was published. */
    struct mask_part *part = atomic_load_explicit(slot, memory_order_acquire);

    *is_lent = true;
    if (part != NULL)
        return part;
    struct mask_part *made = mask_part_new(v, &g->automaton, state);
    _Atomic size_t *bytes = is_base ? (_Atomic size_t *)&v->parts_bytes : &g->parts_bytes;
    size_t before = atomic_fetch_add_explicit(bytes, made->bytes, memory_order_relaxed);
    if (!is_base && before + made->bytes > g->parts_max) {
        atomic_fetch_sub_explicit(bytes, made->bytes, memory_order_relaxed);
        *is_lent = false;
        return made;
    }
    if (atomic_compare_exchange_strong_explicit(slot, &part, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    atomic_fetch_sub_explicit(bytes, made->bytes, memory_order_relaxed);
    mask_part_free(made);
    return part;
}

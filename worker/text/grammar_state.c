/* How far one answer has come. */
#include "worker/text/grammar_compiled.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define COLLECT_MIN 1024 /* nodes and edges */

struct grammar_state {
    struct grammar *grammar; /* a reference */
    struct machine machine;
    struct machine_set set; /* the only one in the machine, at its beginning */
    uint32_t n_needed;      /* nodes and edges after the last collection */
};

struct grammar_state *grammar_state_new(struct grammar *g)
{
    struct grammar_state *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    s->grammar = grammar_ref(g);
    machine_init(&s->machine, &g->automaton);
    grammar_state_reset(s);
    return s;
}

void grammar_state_free(struct grammar_state **state)
{
    struct grammar_state *s = *state;

    if (s == NULL)
        return;
    machine_free(&s->machine);
    grammar_unref(&s->grammar);
    free(s);
    *state = NULL;
}

void grammar_state_reset(struct grammar_state *s)
{
    const struct grammar *g = s->grammar;

    machine_clear(&s->machine);
    s->set = machine_begin(&s->machine, g->automaton.rules[g->root].start);
    s->n_needed = 0;
}

static void collect(struct grammar_state *s)
{
    struct machine *m = &s->machine;

    if (m->n_nodes + m->n_edges < 2 * s->n_needed + COLLECT_MIN)
        return;
    machine_collect(m, &s->set);
    s->n_needed = m->n_nodes + m->n_edges;
}

bool grammar_state_advance(struct grammar_state *s, const char *bytes, size_t len)
{
    struct machine *m = &s->machine;
    const struct machine_mark mark = machine_mark(m);
    struct machine_set set = s->set;

    for (size_t i = 0; i < len; i++) {
        set = machine_step(m, &set, (uint8_t)bytes[i]);
        if (!set.is_alive) {
            machine_cut(m, mark);
            return false;
        }
        if (m->n_configs > mark.n_configs + MACHINE_CONFIGS_MAX) {
            memmove(m->configs + mark.n_configs, m->configs + set.first,
                    set.n * sizeof *m->configs);
            set.first = mark.n_configs;
            m->n_configs = set.first + set.n;
        }
    }
    memmove(m->configs, m->configs + set.first, set.n * sizeof *m->configs);
    set.first = 0;
    m->n_configs = set.n;
    s->set = set;
    collect(s);
    return true;
}

bool grammar_state_is_complete(const struct grammar_state *s)
{
    return s->set.has_emptied;
}

void grammar_state_mask(struct grammar_state *s, uint32_t *bits)
{
    const struct grammar_vocab *v = s->grammar->vocab;

    if (s->set.n == 0)
        mask_begin(v, NULL, bits);
    for (uint32_t i = 0; i < s->set.n; i++) {
        const struct machine_config c = s->machine.configs[s->set.first + i];
        struct mask_part *own;
        const struct mask_part *p = grammar_part(s->grammar, c.state, &own);
        if (i == 0)
            mask_begin(v, p, bits);
        if (i > 0 || p->bits == NULL)
            mask_add_part(v, p, bits);
        mask_add_rest(v, p, &s->machine, c.node, bits);
        mask_part_free(own);
    }
}

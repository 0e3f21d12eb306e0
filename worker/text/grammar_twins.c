/* States that no text of some length tells apart, by refining a partition: after so many rounds
 * those of a class agree for as many bytes. A round looks only at states that lead to one whose
 * class the round before has changed, so a long count, of which each round tells one more state
 * apart, costs little more than a short one. */
#include "worker/text/grammar_automaton.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define WORK_PER_EDGE_MAX 16 /* on average; automata beyond it go without twins */

struct partition {
    const struct automaton *a;
    uint32_t *first, *origins; /* moves backwards, by state: n_states + 1 */
    uint32_t *class, *next;    /* by state: now, and after the round */
    uint32_t *size, *n_listed; /* by class; n_listed: in the round's states */
    bool *is_kept;             /* by class: some of the round's states stay in it */
    uint32_t *states, *changed, *stamp;
    uint32_t *slots; /* 1 + state, one of each new class; 0: free */
    uint32_t n_classes, n_states, n_changed, n_slots, round;
};

static void *make_array(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);

    CHECK(p != NULL);
    return p;
}

static void turn_moves(struct partition *p)
{
    const struct automaton *a = p->a;
    uint32_t *at = make_array(a->n_states + 1, sizeof *at);

    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t s = 0; s < a->n_states; s++) {
            const struct auto_state *state = &a->states[s];
            for (uint32_t i = 0; i < state->n_ranges + (uint32_t)state->n_calls; i++) {
                uint32_t to = i < state->n_ranges ? a->ranges[state->ranges + i].to
                                                  : a->calls[state->calls + i - state->n_ranges].to;
                if (pass == 0)
                    p->first[to + 1]++;
                else
                    p->origins[at[to]++] = s;
            }
        }
        for (uint32_t s = 0; s < a->n_states && pass == 0; s++)
            at[s + 1] = p->first[s + 1] += p->first[s];
    }
    free(at);
}

/* --- what is compared: at first a state by itself, then the classes that it leads to --- */

static uint64_t hash_state(const struct partition *p, uint32_t s)
{
    const struct auto_state *x = &p->a->states[s];
    const struct auto_range *r = p->a->ranges + x->ranges;
    const struct auto_call *c = p->a->calls + x->calls;
    bool is_first = p->round == 0;
    uint64_t hash = is_first ? x->is_end : p->class[s];

    for (uint32_t i = 0; i < x->n_ranges; i++)
        hash = hash_mix(hash, is_first ? r[i].low * 256u + r[i].high : p->class[r[i].to]);
    for (uint32_t i = 0; i < x->n_calls; i++)
        hash = hash_mix(hash, is_first ? 65536 + (uint64_t)c[i].rule : p->class[c[i].to]);
    return hash;
}

static bool is_alike(const struct partition *p, const struct auto_state *x,
                     const struct auto_state *y)
{
    const struct auto_call *c = p->a->calls + x->calls, *d = p->a->calls + y->calls;

    if (x->is_end != y->is_end || x->n_calls != y->n_calls || !automaton_same_ranges(p->a, x, y))
        return false;
    for (uint32_t i = 0; i < x->n_calls; i++)
        if (c[i].rule != d[i].rule)
            return false;
    return true;
}

static bool is_same(const struct partition *p, uint32_t s, uint32_t t)
{
    const struct auto_state *x = &p->a->states[s], *y = &p->a->states[t];

    if (p->round == 0)
        return is_alike(p, x, y);
    if (p->class[s] != p->class[t])
        return false;
    for (uint32_t i = 0; i < x->n_ranges; i++)
        if (p->class[p->a->ranges[x->ranges + i].to] != p->class[p->a->ranges[y->ranges + i].to])
            return false;
    for (uint32_t i = 0; i < x->n_calls; i++)
        if (p->class[p->a->calls[x->calls + i].to] != p->class[p->a->calls[y->calls + i].to])
            return false;
    return true;
}

/* --- a round --- */

static void begin_round(struct partition *p)
{
    p->n_slots = 64;
    while (p->n_slots < p->n_states * 2)
        p->n_slots *= 2;
    memset(p->slots, 0, p->n_slots * sizeof *p->slots);
    for (uint32_t i = 0; i < p->n_states; i++)
        p->n_listed[p->class[p->states[i]]]++;
}

/* The class of the states like s: one of them stays when no other state does. */
static uint32_t new_class(struct partition *p, uint32_t s)
{
    uint32_t old = p->class[s];

    if (p->n_listed[old] < p->size[old] || p->is_kept[old])
        return p->n_classes++;
    p->is_kept[old] = true;
    return old;
}

static void split(struct partition *p)
{
    for (uint32_t i = 0; i < p->n_states; i++) {
        uint32_t s = p->states[i];
        uint32_t at = (uint32_t)hash_state(p, s) & (p->n_slots - 1);
        while (p->slots[at] != 0 && !is_same(p, p->slots[at] - 1, s))
            at = (at + 1) & (p->n_slots - 1);
        if (p->slots[at] == 0) {
            p->slots[at] = s + 1;
            p->next[s] = new_class(p, s);
        } else {
            p->next[s] = p->next[p->slots[at] - 1];
        }
    }
}

static void end_round(struct partition *p)
{
    p->n_changed = 0;
    for (uint32_t i = 0; i < p->n_states; i++) {
        uint32_t s = p->states[i], old = p->class[s];
        p->n_listed[old] = 0;
        p->is_kept[old] = false;
        if (p->next[s] == old)
            continue;
        p->size[old]--;
        p->size[p->next[s]]++;
        p->class[s] = p->next[s];
        p->changed[p->n_changed++] = s;
    }
    p->round++;
}

static void list_origins(struct partition *p)
{
    p->n_states = 0;
    for (uint32_t i = 0; i < p->n_changed; i++) {
        uint32_t to = p->changed[i];
        for (uint32_t k = p->first[to]; k < p->first[to + 1]; k++) {
            uint32_t s = p->origins[k];
            if (p->stamp[s] == p->round)
                continue;
            p->stamp[s] = p->round;
            p->states[p->n_states++] = s;
        }
    }
}

/* false: it is too much work. */
static bool refine(struct partition *p, uint32_t token_max)
{
    uint64_t work = 0, n_edges = p->a->n_ranges + (uint64_t)p->a->n_calls;

    p->n_classes = 1;
    p->size[0] = p->n_states = p->a->n_states;
    for (uint32_t s = 0; s < p->n_states; s++)
        p->states[s] = s;
    while (p->round <= token_max && p->n_states > 0) {
        for (uint32_t i = 0; i < p->n_states; i++)
            work += p->a->states[p->states[i]].n_ranges + p->a->states[p->states[i]].n_calls;
        if (work > n_edges * WORK_PER_EDGE_MAX)
            return false;
        begin_round(p);
        split(p);
        end_round(p);
        list_origins(p);
    }
    return true;
}

void automaton_find_twins(struct automaton *a, uint32_t token_max)
{
    uint32_t n = a->n_states, n_edges = a->n_ranges + a->n_calls;
    uint32_t *memory = make_array((size_t)n * 14 + n_edges + 66, sizeof *memory);
    struct partition p = {.a = a, .is_kept = make_array(n, sizeof *p.is_kept)};
    uint32_t **arrays[] = {&p.class,  &p.next,    &p.size, &p.n_listed,
                           &p.states, &p.changed, &p.stamp};

    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = memory + i * n;
    p.slots = memory + (size_t)7 * n; /* up to 4 n and 64 */
    p.first = p.slots + (size_t)4 * n + 64;
    p.origins = p.first + n + 1;
    turn_moves(&p);
    bool is_done = refine(&p, token_max);
    uint32_t *twin = p.next; /* by class */
    memset(twin, 0xff, n * sizeof *twin);
    for (uint32_t s = 0; s < n; s++) {
        uint32_t *first = &twin[is_done ? p.class[s] : s];
        *first = *first == GRAMMAR_NONE ? s : *first;
        a->states[s].twin = *first;
    }
    free(p.is_kept);
    free(memory);
}

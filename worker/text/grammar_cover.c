#include "worker/text/grammar_cover.h"

#include <string.h>

#define COVER_STATES_MAX 16

struct state_list {
    uint32_t state[COVER_STATES_MAX];
    uint32_t n;
    bool is_full;
};

static void list_state(struct state_list *l, uint32_t state)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (l->state[i] == state)
            return;
    if (l->n == COVER_STATES_MAX)
        l->is_full = true;
    else
        l->state[l->n++] = state;
}

static bool takes_nonascii(const struct automaton *a, const struct auto_state *s)
{
    for (uint32_t i = 0; i < s->n_calls; i++)
        if (a->calls[s->calls + i].rule == RULE_NONASCII)
            return true;
    return false;
}

/* All ASCII of the set stands in ranges of the state. */
static bool takes_ascii(const struct automaton *a, uint32_t state, const struct byte_set *set)
{
    struct byte_set own = {{0}};

    automaton_add_ranges(a, &a->states[state], &own);
    return (set->bits[0] & ~own.bits[0]) == 0 && (set->bits[1] & ~own.bits[1]) == 0;
}

/* The kinds all of whose characters the state takes. */
static unsigned whole_kinds(const struct automaton *a, uint32_t state)
{
    unsigned kinds = takes_nonascii(a, &a->states[state]) ? 1u << CHAR_NONASCII : 0;

    for (unsigned k = 0; k < CHAR_KINDS; k++)
        if (k != CHAR_NONASCII && takes_ascii(a, state, &char_kind_bytes[k]))
            kinds |= 1u << k;
    return kinds;
}

static struct byte_set bytes_of(unsigned kinds)
{
    struct byte_set set = {{0}};

    for (; kinds != 0; kinds &= kinds - 1)
        for (size_t w = 0; w < 4; w++)
            set.bits[w] |= char_kind_bytes[__builtin_ctz(kinds)].bits[w];
    return set;
}

/* Where one character of the set leads. */
static void list_next(const struct automaton *a, uint32_t state, const struct byte_set *set,
                      struct state_list *out)
{
    const struct auto_state *s = &a->states[state];

    for (uint32_t i = 0; i < s->n_ranges; i++) {
        const struct auto_range *r = &a->ranges[s->ranges + i];
        struct byte_set own = {{0}};
        byte_set_add(&own, r->low, r->high);
        if (((own.bits[0] & set->bits[0]) | (own.bits[1] & set->bits[1])) != 0)
            list_state(out, r->to);
    }
    if (byte_set_has(set, 0x80))
        for (uint32_t i = 0; i < s->n_calls; i++)
            if (a->calls[s->calls + i].rule == RULE_NONASCII)
                list_state(out, a->calls[s->calls + i].to);
}

static bool share(const struct byte_set *a, const struct byte_set *b)
{
    for (size_t w = 0; w < 4; w++)
        if ((a->bits[w] & b->bits[w]) != 0)
            return true;
    return false;
}

/* No way on with the kinds but the one that list_next follows. */
static bool has_one_way(const struct automaton *a, uint32_t state, const struct byte_set *kinds)
{
    const struct auto_state *s = &a->states[state];

    if (s->is_end)
        return false;
    for (uint32_t i = 0; i < s->n_ranges; i++)
        if (a->ranges[s->ranges + i].high >= 0x80)
            return false;
    for (uint32_t i = 0; i < s->n_calls; i++) {
        const struct auto_call *c = &a->calls[s->calls + i];
        if (c->rule != RULE_NONASCII && share(&a->rules[c->rule].first, kinds))
            return false;
    }
    return true;
}

/* What coverage_find follows: the states after so many characters, and what they went on with. */
struct cover_walk {
    const struct automaton *a;
    struct byte_set kinds; /* all their bytes */
    struct byte_set taken; /* by any state so far */
    bool is_one_way;
};

static bool takes_none(const struct cover_walk *w, const struct state_list *l)
{
    struct byte_set bytes = {{0}};

    for (uint32_t i = 0; i < l->n; i++)
        automaton_add_bytes(w->a, l->state[i], &bytes);
    return w->is_one_way && !share(&bytes, &w->kinds);
}

static void look_at(struct cover_walk *w, const struct state_list *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        w->is_one_way = w->is_one_way && has_one_way(w->a, l->state[i], &w->kinds);
        automaton_add_bytes(w->a, l->state[i], &w->taken);
    }
}

static bool take_whole(const struct cover_walk *w, const struct state_list *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (!takes_ascii(w->a, l->state[i], &w->kinds) ||
            (byte_set_has(&w->kinds, 0x80) && !takes_nonascii(w->a, &w->a->states[l->state[i]])))
            return false;
    return true;
}

static unsigned find_dead_kinds(const struct cover_walk *w)
{
    unsigned dead = 0;

    for (unsigned k = 0; w->is_one_way && k < CHAR_KINDS; k++)
        if (!share(&char_kind_bytes[k], &w->taken))
            dead |= 1u << k;
    return dead;
}

/* Of the kinds, those that lead where the first of them does: not the quote that ends a string. */
static unsigned main_kinds(const struct automaton *a, uint32_t state, unsigned kinds)
{
    struct state_list main = {.n = 0};

    if (kinds == 0)
        return 0;
    list_next(a, state, &char_kind_bytes[__builtin_ctz(kinds)], &main);
    for (unsigned left = kinds; left != 0; left &= left - 1) {
        unsigned k = (unsigned)__builtin_ctz(left);
        struct state_list next = {.n = 0};
        list_next(a, state, &char_kind_bytes[k], &next);
        if (next.n != main.n || memcmp(next.state, main.state, main.n * sizeof *main.state) != 0)
            kinds &= ~(1u << k);
    }
    return kinds;
}

static struct coverage cover_kinds(const struct automaton *a, uint32_t state, unsigned kinds)
{
    struct coverage c = {.kinds = kinds};
    struct state_list at = {.state = {state}, .n = 1};
    struct cover_walk w = {.a = a, .kinds = bytes_of(kinds), .is_one_way = true};

    if (c.kinds == 0)
        return c;
    for (; c.chars < GROUP_CHARS_MAX; c.chars++) {
        struct state_list next = {.n = 0};
        look_at(&w, &at);
        if (!take_whole(&w, &at)) {
            c.is_over = takes_none(&w, &at);
            break;
        }
        for (uint32_t i = 0; i < at.n; i++)
            list_next(a, at.state[i], &w.kinds, &next);
        if (next.is_full)
            break;
        if (next.n == at.n && memcmp(next.state, at.state, at.n * sizeof *at.state) == 0) {
            c.chars = GROUP_CHARS_MAX;
            break;
        }
        at = next;
    }
    if (c.is_over || c.chars == GROUP_CHARS_MAX) {
        look_at(&w, &at);
        c.dead_kinds = find_dead_kinds(&w);
    }
    return c;
}

struct coverage coverage_find(const struct automaton *a, uint32_t state)
{
    unsigned kinds = whole_kinds(a, state), fewer = main_kinds(a, state, kinds);
    struct coverage all = cover_kinds(a, state, kinds);

    if (fewer == kinds || all.chars == GROUP_CHARS_MAX)
        return all;
    struct coverage main = cover_kinds(a, state, fewer);
    return main.chars > all.chars ? main : all;
}

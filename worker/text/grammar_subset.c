/* From the rules as they were built to deterministic ones, by subsets of states. */
#include "worker/text/grammar_automaton.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct subset {
    uint32_t first, n; /* in members */
    uint64_t hash;
};

struct move {
    uint32_t to, rule;
    uint8_t low, high;
};

struct subsets {
    struct automaton *a;
    const struct nfa *n;
    struct auto_budget *budget;
    uint32_t end;  /* of the rule, in n */
    uint32_t base; /* state of a that subset 0 is */
    uint32_t *members;
    struct subset *all;
    uint32_t *slots; /* 1 + subset, 0: free */
    uint32_t *stamp; /* by state of n: the last closure it was in */
    uint32_t *alone; /* by state of n: 1 + the state of its closure alone, if that is of the rule */
    uint32_t *todo;
    struct move *moves; /* of the subset in work; calls behind them, from the end of the array */
    struct move *calls;
    uint32_t n_members, cap_members, n_all, cap_all, n_slots, closure, n_todo, cap_todo;
    uint32_t n_moves, cap_moves, n_calls, cap_calls;
    bool is_over; /* the budget */
};

static bool spend(struct subsets *s, uint64_t steps)
{
    if (s->is_over || s->budget->steps < steps) {
        s->is_over = true;
        return false;
    }
    s->budget->steps -= steps;
    return true;
}

static void enter(struct subsets *s, uint32_t state)
{
    if (s->stamp[state] == s->closure)
        return;
    s->stamp[state] = s->closure;
    s->todo = grammar_grow(s->todo, s->n_todo, &s->cap_todo, sizeof *s->todo);
    s->todo[s->n_todo++] = state;
}

static bool matters(const struct subsets *s, uint32_t state)
{
    if (state == s->end)
        return true;
    for (uint32_t i = s->n->states[state]; i != GRAMMAR_NONE; i = s->n->edges[i].next)
        if (s->n->edges[i].move != NFA_EMPTY)
            return true;
    return false;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void begin_closure(struct subsets *s)
{
    s->closure++;
    s->n_todo = 0;
}

/* Behind the other members: what is in the closure of todo and matters, sorted. */
static uint32_t close_todo(struct subsets *s)
{
    uint32_t first = s->n_members;

    for (uint32_t i = 0; i < s->n_todo; i++) {
        uint32_t state = s->todo[i];
        for (uint32_t k = s->n->states[state]; k != GRAMMAR_NONE; k = s->n->edges[k].next)
            if (s->n->edges[k].move == NFA_EMPTY)
                enter(s, s->n->edges[k].to);
        if (matters(s, state)) {
            s->members =
                grammar_grow(s->members, s->n_members, &s->cap_members, sizeof *s->members);
            s->members[s->n_members++] = state;
        }
    }
    spend(s, s->n_todo);
    if (s->n_members - first > 1)
        qsort(s->members + first, s->n_members - first, sizeof *s->members, compare_u32);
    return first;
}

static void grow_slots(struct subsets *s)
{
    uint32_t n = s->n_slots == 0 ? 64 : s->n_slots * 2;

    free(s->slots);
    s->slots = calloc(n, sizeof *s->slots);
    CHECK(s->slots != NULL);
    s->n_slots = n;
    for (uint32_t i = 0; i < s->n_all; i++) {
        uint32_t at = (uint32_t)s->all[i].hash & (n - 1);
        while (s->slots[at] != 0)
            at = (at + 1) & (n - 1);
        s->slots[at] = i + 1;
    }
}

static uint32_t add_subset(struct subsets *s, struct subset sub)
{
    struct automaton *a = s->a;

    if (a->n_states >= s->budget->states_max) {
        s->is_over = true;
        return s->base;
    }
    s->all = grammar_grow(s->all, s->n_all, &s->cap_all, sizeof *s->all);
    s->all[s->n_all++] = sub;
    a->states = grammar_grow(a->states, a->n_states, &a->cap_states, sizeof *a->states);
    a->states[a->n_states] = (struct auto_state){.row = GRAMMAR_NONE};
    return a->n_states++;
}

static uint32_t find_closure(struct subsets *s)
{
    uint32_t first = close_todo(s), n = s->n_members - first;
    uint64_t hash = hash_xxh3(s->members + first, n * sizeof *s->members);

    if (s->n_all * 2 >= s->n_slots)
        grow_slots(s);
    uint32_t at = (uint32_t)hash & (s->n_slots - 1);
    for (; s->slots[at] != 0; at = (at + 1) & (s->n_slots - 1)) {
        const struct subset *old = &s->all[s->slots[at] - 1];
        if (old->hash == hash && old->n == n &&
            memcmp(s->members + old->first, s->members + first, n * sizeof *s->members) == 0) {
            s->n_members = first;
            return s->base + s->slots[at] - 1;
        }
    }
    uint32_t state = add_subset(s, (struct subset){.first = first, .n = n, .hash = hash});
    s->slots[at] = s->n_all;
    return state;
}

/* The state of the closure of todo. */
static uint32_t find_subset(struct subsets *s)
{
    if (s->n_todo != 1)
        return find_closure(s);
    uint32_t *alone = &s->alone[s->todo[0]];
    if (*alone <= s->base) /* of no rule so far, or of one before */
        *alone = 1 + find_closure(s);
    return *alone - 1;
}

/* --- the moves of a subset --- */

static void collect_moves(struct subsets *s, const struct subset *sub)
{
    s->n_moves = s->n_calls = 0;
    for (uint32_t i = 0; i < sub->n; i++) {
        uint32_t k = s->n->states[s->members[sub->first + i]];
        for (; k != GRAMMAR_NONE; k = s->n->edges[k].next) {
            const struct nfa_edge *edge = &s->n->edges[k];
            struct move m = {
                .to = edge->to, .rule = edge->rule, .low = edge->low, .high = edge->high};
            if (edge->move == NFA_BYTES) {
                s->moves = grammar_grow(s->moves, s->n_moves, &s->cap_moves, sizeof m);
                s->moves[s->n_moves++] = m;
            } else if (edge->move == NFA_CALL) {
                s->calls = grammar_grow(s->calls, s->n_calls, &s->cap_calls, sizeof m);
                s->calls[s->n_calls++] = m;
            }
        }
    }
}

static void add_range(struct automaton *a, uint32_t state, uint32_t to, uint8_t low, uint8_t high)
{
    struct auto_state *s = &a->states[state];

    if (s->n_ranges > 0) {
        struct auto_range *last = &a->ranges[a->n_ranges - 1];
        if (last->to == to && last->high + 1 == low) {
            last->high = high;
            return;
        }
    }
    a->ranges = grammar_grow(a->ranges, a->n_ranges, &a->cap_ranges, sizeof *a->ranges);
    a->ranges[a->n_ranges++] = (struct auto_range){.to = to, .low = low, .high = high};
    s->n_ranges++;
}

static int compare_low(const void *a, const void *b)
{
    return ((const struct move *)a)->low - ((const struct move *)b)->low;
}

static void mark_byte(uint64_t *marks, unsigned byte)
{
    marks[byte / 64] |= (uint64_t)1 << byte % 64;
}

/* There is one. */
static unsigned next_mark(const uint64_t *marks, unsigned from)
{
    unsigned w = from / 64;
    uint64_t left = marks[w] & ~(uint64_t)0 << from % 64;

    while (left == 0)
        left = marks[++w];
    return w * 64 + (unsigned)__builtin_ctzll(left);
}

/* Between two bytes at which any move begins or ends all bytes go the same way. */
static void add_ranges(struct subsets *s, uint32_t state)
{
    uint64_t begins[5] = {0};
    uint32_t first = 0;

    s->a->states[state].ranges = s->a->n_ranges;
    for (uint32_t i = 0; i < s->n_moves; i++) {
        mark_byte(begins, s->moves[i].low);
        mark_byte(begins, s->moves[i].high + 1u);
    }
    if (s->n_moves > 1)
        qsort(s->moves, s->n_moves, sizeof *s->moves, compare_low);
    mark_byte(begins, 256);
    for (unsigned low = 0; low < 256 && !s->is_over;) {
        unsigned next = next_mark(begins, low + 1);
        begin_closure(s);
        while (first < s->n_moves && s->moves[first].high < low)
            first++;
        uint32_t i = first;
        for (; i < s->n_moves && s->moves[i].low <= low; i++)
            if (s->moves[i].high >= low)
                enter(s, s->moves[i].to);
        spend(s, i - first + 1);
        if (s->n_todo > 0) {
            uint32_t to = find_subset(s);
            add_range(s->a, state, to, (uint8_t)low, (uint8_t)(next - 1));
        }
        low = next;
    }
}

static int compare_rule(const void *a, const void *b)
{
    return compare_u32(&((const struct move *)a)->rule, &((const struct move *)b)->rule);
}

static void add_calls(struct subsets *s, uint32_t state)
{
    struct automaton *a = s->a;

    if (s->n_calls > 1)
        qsort(s->calls, s->n_calls, sizeof *s->calls, compare_rule);
    a->states[state].calls = a->n_calls;
    for (uint32_t i = 0; i < s->n_calls && !s->is_over;) {
        uint32_t rule = s->calls[i].rule;
        begin_closure(s);
        for (; i < s->n_calls && s->calls[i].rule == rule; i++)
            enter(s, s->calls[i].to);
        uint32_t to = find_subset(s);
        if (a->states[state].n_calls == UINT16_MAX) {
            s->is_over = true;
            return;
        }
        a->calls = grammar_grow(a->calls, a->n_calls, &a->cap_calls, sizeof *a->calls);
        a->calls[a->n_calls++] = (struct auto_call){.rule = rule, .to = to};
        a->states[state].n_calls++;
    }
}

static void add_rule(struct subsets *s, uint32_t rule)
{
    s->end = s->n->rules[rule].to;
    s->base = s->a->n_states;
    s->n_all = s->n_members = 0;
    memset(s->slots, 0, s->n_slots * sizeof *s->slots);
    begin_closure(s);
    enter(s, s->n->rules[rule].from);
    s->a->rules = grammar_grow(s->a->rules, s->a->n_rules, &s->a->cap_rules, sizeof *s->a->rules);
    s->a->rules[s->a->n_rules++] = (struct auto_rule){.start = find_subset(s)};
    for (uint32_t i = 0; i < s->n_all && !s->is_over; i++) {
        const struct subset sub = s->all[i];
        uint32_t state = s->base + i;
        for (uint32_t k = 0; k < sub.n; k++)
            s->a->states[state].is_end |= s->members[sub.first + k] == s->end;
        collect_moves(s, &sub);
        add_ranges(s, state);
        add_calls(s, state);
        spend(s, 16);
    }
}

int automaton_add(struct automaton *a, const struct nfa *n, struct auto_budget *budget,
                  struct err *e)
{
    struct subsets s = {.a = a, .n = n, .budget = budget};

    s.is_over = n->is_full;
    s.stamp = calloc(n->n_states + 1, sizeof *s.stamp);
    s.alone = calloc(n->n_states + 1, sizeof *s.alone);
    CHECK(s.stamp != NULL);
    CHECK(s.alone != NULL);
    s.members = grammar_grow(NULL, 0, &s.cap_members, sizeof *s.members);
    grow_slots(&s);
    for (uint32_t r = a->n_rules; r < n->n_rules && !s.is_over; r++)
        add_rule(&s, r);
    free(s.members);
    free(s.all);
    free(s.slots);
    free(s.stamp);
    free(s.alone);
    free(s.todo);
    free(s.moves);
    free(s.calls);
    if (!s.is_over)
        return 0;
    bool is_work = a->n_states < budget->states_max && !n->is_full;
    return err_set(e, E2BIG, "the schema is too large as an automaton: more %s; make it simpler",
                   is_work ? "work than one may take" : "states than one may have");
}

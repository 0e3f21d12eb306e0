#include "worker/text/grammar_automaton.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define ROW_FROM_RANGES 4 /* fewer are searched faster than a row is fetched */

void automaton_free(struct automaton *a)
{
    free(a->states);
    free(a->ranges);
    free(a->calls);
    free(a->rows);
    free(a->rules);
    *a = (struct automaton){0};
}

size_t automaton_memory(const struct automaton *a)
{
    return a->cap_states * sizeof *a->states + a->cap_ranges * sizeof *a->ranges +
           a->cap_calls * sizeof *a->calls + a->cap_rows * sizeof *a->rows +
           a->cap_rules * sizeof *a->rules;
}

static void *copy_array(const void *from, uint32_t n, size_t size)
{
    void *to = malloc(n * size + 1);

    CHECK(to != NULL);
    if (n > 0)
        memcpy(to, from, n * size);
    return to;
}

void automaton_copy(struct automaton *to, const struct automaton *from)
{
    *to = *from;
    to->states = copy_array(from->states, from->n_states, sizeof *from->states);
    to->ranges = copy_array(from->ranges, from->n_ranges, sizeof *from->ranges);
    to->calls = copy_array(from->calls, from->n_calls, sizeof *from->calls);
    to->rows = copy_array(from->rows, from->n_rows, sizeof *from->rows);
    to->rules = copy_array(from->rules, from->n_rules, sizeof *from->rules);
    to->cap_states = from->n_states;
    to->cap_ranges = from->n_ranges;
    to->cap_calls = from->n_calls;
    to->cap_rows = from->n_rows;
    to->cap_rules = from->n_rules;
}

/* --- what can come to an end --- */

/* Moves backwards: for each state where it is reached from. */
struct backward {
    uint32_t *first; /* by state, n_states + 1 */
    struct origin {
        uint32_t state;
        uint32_t rule; /* the call in between, or GRAMMAR_NONE */
    } * origins;
    uint32_t *first_call;      /* by rule, n_rules + 1 */
    struct auto_call *callers; /* .rule: the state that calls, .to */
    bool *is_live;
    uint32_t *todo;
    uint32_t n_todo;
};

static void *make_array(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);

    CHECK(p != NULL);
    return p;
}

static void count_moves(const struct automaton *a, struct backward *b)
{
    for (uint32_t s = 0; s < a->n_states; s++) {
        const struct auto_state *state = &a->states[s];
        for (uint32_t i = 0; i < state->n_ranges; i++)
            b->first[a->ranges[state->ranges + i].to + 1]++;
        for (uint32_t i = 0; i < state->n_calls; i++) {
            b->first[a->calls[state->calls + i].to + 1]++;
            b->first_call[a->calls[state->calls + i].rule + 1]++;
        }
    }
    for (uint32_t s = 0; s < a->n_states; s++)
        b->first[s + 1] += b->first[s];
    for (uint32_t r = 0; r < a->n_rules; r++)
        b->first_call[r + 1] += b->first_call[r];
}

static void turn_moves(const struct automaton *a, struct backward *b)
{
    uint32_t *at = copy_array(b->first, a->n_states + 1, sizeof *at);
    uint32_t *at_call = copy_array(b->first_call, a->n_rules + 1, sizeof *at_call);

    for (uint32_t s = 0; s < a->n_states; s++) {
        const struct auto_state *state = &a->states[s];
        for (uint32_t i = 0; i < state->n_ranges; i++)
            b->origins[at[a->ranges[state->ranges + i].to]++] =
                (struct origin){.state = s, .rule = GRAMMAR_NONE};
        for (uint32_t i = 0; i < state->n_calls; i++) {
            const struct auto_call *call = &a->calls[state->calls + i];
            b->origins[at[call->to]++] = (struct origin){.state = s, .rule = call->rule};
            b->callers[at_call[call->rule]++] = (struct auto_call){.rule = s, .to = call->to};
        }
    }
    free(at);
    free(at_call);
}

static void mark_live(struct backward *b, uint32_t state)
{
    if (b->is_live[state])
        return;
    b->is_live[state] = true;
    b->todo[b->n_todo++] = state;
}

static void follow_back(const struct automaton *a, struct backward *b, const uint32_t *rule_of)
{
    while (b->n_todo > 0) {
        uint32_t s = b->todo[--b->n_todo];
        for (uint32_t i = b->first[s]; i < b->first[s + 1]; i++) {
            const struct origin *o = &b->origins[i];
            if (o->rule == GRAMMAR_NONE || b->is_live[a->rules[o->rule].start])
                mark_live(b, o->state);
        }
        if (rule_of[s] == GRAMMAR_NONE)
            continue;
        for (uint32_t i = b->first_call[rule_of[s]]; i < b->first_call[rule_of[s] + 1]; i++)
            if (b->is_live[b->callers[i].to])
                mark_live(b, b->callers[i].rule);
    }
}

static void find_live(const struct automaton *a, struct backward *b)
{
    uint32_t *rule_of = make_array(a->n_states, sizeof *rule_of); /* that starts there */

    b->first = make_array(a->n_states + 1, sizeof *b->first);
    b->first_call = make_array(a->n_rules + 1, sizeof *b->first_call);
    count_moves(a, b);
    b->origins = make_array(b->first[a->n_states], sizeof *b->origins);
    b->callers = make_array(b->first_call[a->n_rules], sizeof *b->callers);
    b->is_live = make_array(a->n_states, sizeof *b->is_live);
    b->todo = make_array(a->n_states, sizeof *b->todo);
    turn_moves(a, b);
    memset(rule_of, 0xff, a->n_states * sizeof *rule_of);
    for (uint32_t r = 0; r < a->n_rules; r++)
        rule_of[a->rules[r].start] = r;
    for (uint32_t s = 0; s < a->n_states; s++)
        if (a->states[s].is_end)
            mark_live(b, s);
    follow_back(a, b, rule_of);
    free(rule_of);
}

static void free_backward(struct backward *b)
{
    free(b->first);
    free(b->first_call);
    free(b->origins);
    free(b->callers);
    free(b->is_live);
    free(b->todo);
}

static void leave_out(struct automaton *a, const struct backward *b, struct auto_state *s)
{
    uint16_t n = 0;

    for (uint32_t i = 0; i < s->n_ranges; i++) {
        struct auto_range *r = &a->ranges[s->ranges + i];
        if (b->is_live[r->to])
            a->ranges[s->ranges + n++] = *r;
    }
    s->n_ranges = n;
    n = 0;
    for (uint32_t i = 0; i < s->n_calls; i++) {
        struct auto_call *c = &a->calls[s->calls + i];
        if (b->is_live[c->to] && b->is_live[a->rules[c->rule].start])
            a->calls[s->calls + n++] = *c;
    }
    s->n_calls = n;
}

/* --- rows --- */

bool automaton_same_ranges(const struct automaton *a, const struct auto_state *x,
                           const struct auto_state *y)
{
    const struct auto_range *r = a->ranges + x->ranges, *s = a->ranges + y->ranges;

    if (x->n_ranges != y->n_ranges)
        return false;
    for (uint32_t i = 0; i < x->n_ranges; i++)
        if (r[i].low != s[i].low || r[i].high != s[i].high)
            return false;
    return true;
}

static uint32_t make_row(struct automaton *a, const struct auto_state *s)
{
    a->rows = grammar_grow(a->rows, a->n_rows, &a->cap_rows, sizeof *a->rows);
    uint16_t *row = a->rows[a->n_rows];
    memset(row, 0xff, sizeof *a->rows);
    for (uint16_t i = 0; i < s->n_ranges; i++)
        for (unsigned b = a->ranges[s->ranges + i].low; b <= a->ranges[s->ranges + i].high; b++)
            row[b] = i;
    return a->n_rows++;
}

static uint64_t hash_ranges(const struct automaton *a, const struct auto_state *s)
{
    uint64_t hash = s->n_ranges;

    for (uint32_t i = 0; i < s->n_ranges; i++)
        hash = hash_mix(hash, a->ranges[s->ranges + i].low * 256u + a->ranges[s->ranges + i].high);
    return hash;
}

static void add_rows(struct automaton *a)
{
    uint32_t n_slots = 64;
    while (n_slots < a->n_states * 2)
        n_slots *= 2;
    uint32_t *slots = make_array(n_slots, sizeof *slots); /* 1 + state with a row of its own */

    for (uint32_t i = 0; i < a->n_states; i++) {
        struct auto_state *s = &a->states[i];
        if (s->n_ranges < ROW_FROM_RANGES)
            continue;
        uint32_t at = (uint32_t)hash_ranges(a, s) & (n_slots - 1);
        while (slots[at] != 0 && !automaton_same_ranges(a, &a->states[slots[at] - 1], s))
            at = (at + 1) & (n_slots - 1);
        if (slots[at] == 0) {
            slots[at] = i + 1;
            s->row = s->row == GRAMMAR_NONE ? make_row(a, s) : s->row;
        }
        s->row = a->states[slots[at] - 1].row;
    }
    free(slots);
}

/* --- how rules begin --- */

void automaton_add_ranges(const struct automaton *a, const struct auto_state *s,
                          struct byte_set *set)
{
    for (uint32_t i = 0; i < s->n_ranges; i++)
        byte_set_add(set, a->ranges[s->ranges + i].low, a->ranges[s->ranges + i].high);
}

void automaton_add_bytes(const struct automaton *a, uint32_t state, struct byte_set *set)
{
    const struct auto_state *s = &a->states[state];

    automaton_add_ranges(a, s, set);
    for (uint32_t i = 0; i < s->n_calls; i++)
        for (size_t w = 0; w < 4; w++)
            set->bits[w] |= a->rules[a->calls[s->calls + i].rule].first.bits[w];
}

/* Inner rules are mostly made after outer ones, so from behind few rounds do. */
static void find_first(struct automaton *a)
{
    bool has_changed = true;

    while (has_changed) {
        has_changed = false;
        for (uint32_t r = a->n_rules; r-- > 0;) {
            struct byte_set before = a->rules[r].first;
            automaton_add_bytes(a, a->rules[r].start, &a->rules[r].first);
            has_changed |= memcmp(&before, &a->rules[r].first, sizeof before) != 0;
        }
    }
}

bool automaton_finish(struct automaton *a, uint32_t root, uint32_t token_max)
{
    struct backward b = {0};

    find_live(a, &b);
    bool is_live = b.is_live[a->rules[root].start];
    for (uint32_t s = 0; s < a->n_states; s++)
        leave_out(a, &b, &a->states[s]);
    free_backward(&b);
    add_rows(a);
    find_first(a);
    automaton_find_twins(a, token_max);
    return is_live;
}

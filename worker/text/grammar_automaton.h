/* The rules of a grammar, each a deterministic automaton over bytes that may call rules: the tables
 * that are walked. Only what can still come to an end is left in them. */
#ifndef WORKER_TEXT_GRAMMAR_AUTOMATON_H
#define WORKER_TEXT_GRAMMAR_AUTOMATON_H

#include "base/err.h"
#include "worker/text/grammar_nfa.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct byte_set {
    uint64_t bits[4];
};
static inline bool byte_set_has(const struct byte_set *s, uint8_t b)
{
    return (s->bits[b / 64] >> b % 64 & 1) != 0;
}
static inline void byte_set_add(struct byte_set *s, unsigned low, unsigned high)
{
    for (unsigned w = low / 64; w <= high / 64; w++) {
        uint64_t bits = ~(uint64_t)0;
        if (w == low / 64)
            bits &= ~(uint64_t)0 << low % 64;
        if (w == high / 64)
            bits &= ~(uint64_t)0 >> (63 - high % 64);
        s->bits[w] |= bits;
    }
}

struct auto_range {
    uint32_t to;
    uint8_t low, high;
};

/* By byte: which of a state's ranges it is in, UINT16_MAX: none. */
typedef uint16_t auto_row[256];

struct auto_call {
    uint32_t rule;
    uint32_t to; /* behind the call */
};

struct auto_state {
    uint32_t ranges; /* the first, ascending by bytes */
    uint32_t calls;
    uint32_t row;  /* when there are many ranges; else GRAMMAR_NONE */
    uint32_t twin; /* the first state that no token tells from this one: both have the same mask */
    uint16_t n_ranges, n_calls;
    bool is_end; /* the rule may end here */
};

struct auto_rule {
    uint32_t start;
    struct byte_set first; /* bytes it can begin with */
};

struct automaton {
    struct auto_state *states; /* all owned */
    struct auto_range *ranges;
    struct auto_call *calls;
    auto_row *rows; /* states with the same ranges share one */
    struct auto_rule *rules;
    uint32_t n_states, n_ranges, n_calls, n_rows, n_rules;
    uint32_t cap_states, cap_ranges, cap_calls, cap_rows, cap_rules;
};

struct auto_budget {
    uint32_t states_max;
    uint64_t steps; /* left */
};

/* All rules of n from the first one that a does not have yet: -E2BIG beyond the budget. */
int automaton_add(struct automaton *a, const struct nfa *n, struct auto_budget *budget,
                  struct err *e);
/* Leave out what cannot come to an end, and learn how rules begin and which states are twins, with
 * tokens of at most token_max bytes. false: the rule `root` itself cannot come to an end. */
bool automaton_finish(struct automaton *a, uint32_t root, uint32_t token_max);
void automaton_find_twins(struct automaton *a, uint32_t token_max);
void automaton_copy(struct automaton *to, const struct automaton *from);
void automaton_free(struct automaton *a);
size_t automaton_memory(const struct automaton *a);

/* They go on with the same bytes in the same ranges, wherever to. */
bool automaton_same_ranges(const struct automaton *a, const struct auto_state *x,
                           const struct auto_state *y);
/* Bytes a state goes on with by itself, and with calls included. */
void automaton_add_ranges(const struct automaton *a, const struct auto_state *s,
                          struct byte_set *set);
void automaton_add_bytes(const struct automaton *a, uint32_t state, struct byte_set *set);

static inline uint32_t automaton_next(const struct automaton *a, const struct auto_state *s,
                                      uint8_t byte)
{
    const struct auto_range *r = a->ranges + s->ranges;

    if (s->row != GRAMMAR_NONE) {
        uint16_t i = a->rows[s->row][byte];
        return i == UINT16_MAX ? GRAMMAR_NONE : r[i].to;
    }
    for (uint32_t i = 0; i < s->n_ranges; i++)
        if (byte >= r[i].low && byte <= r[i].high)
            return r[i].to;
    return GRAMMAR_NONE;
}

#endif

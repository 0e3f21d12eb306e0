#include "worker/text/grammar_nfa.h"

#include "base/check.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define EDGES_PER_STATE_MAX 16 /* on average */

void *grammar_grow(void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    CHECK(*cap < UINT32_MAX / 2);
    *cap = *cap < 16 ? 16 : *cap * 2;
    array = realloc(array, *cap * size);
    CHECK(array != NULL);
    return array;
}

void nfa_init(struct nfa *n, uint32_t states_max)
{
    *n = (struct nfa){.states_max = states_max};
    for (uint32_t i = 0; i < RULE_BUILTINS; i++)
        nfa_rule(n);
}

void nfa_free(struct nfa *n)
{
    free(n->states);
    free(n->edges);
    free(n->rules);
    *n = (struct nfa){0};
}

uint32_t nfa_state(struct nfa *n)
{
    if (n->n_states == n->states_max) {
        n->is_full = true;
        return n->n_states - 1;
    }
    n->states = grammar_grow(n->states, n->n_states, &n->cap_states, sizeof *n->states);
    n->states[n->n_states] = GRAMMAR_NONE;
    return n->n_states++;
}

uint32_t nfa_rule(struct nfa *n)
{
    n->rules = grammar_grow(n->rules, n->n_rules, &n->cap_rules, sizeof *n->rules);
    n->rules[n->n_rules].from = nfa_state(n);
    n->rules[n->n_rules].to = nfa_state(n);
    return n->n_rules++;
}

static void add_edge(struct nfa *n, uint32_t from, struct nfa_edge edge)
{
    if (n->is_full || n->n_edges / EDGES_PER_STATE_MAX >= n->states_max) {
        n->is_full = true;
        return;
    }
    edge.next = n->states[from];
    n->edges = grammar_grow(n->edges, n->n_edges, &n->cap_edges, sizeof *n->edges);
    n->edges[n->n_edges] = edge;
    n->states[from] = n->n_edges++;
}

void nfa_empty(struct nfa *n, uint32_t from, uint32_t to)
{
    add_edge(n, from, (struct nfa_edge){.to = to, .move = NFA_EMPTY});
}

void nfa_bytes(struct nfa *n, uint32_t from, uint32_t to, uint8_t low, uint8_t high)
{
    add_edge(n, from, (struct nfa_edge){.to = to, .move = NFA_BYTES, .low = low, .high = high});
}

void nfa_byte(struct nfa *n, uint32_t from, uint32_t to, char c)
{
    nfa_bytes(n, from, to, (uint8_t)c, (uint8_t)c);
}

void nfa_call(struct nfa *n, uint32_t from, uint32_t to, uint32_t rule)
{
    add_edge(n, from, (struct nfa_edge){.to = to, .move = NFA_CALL, .rule = rule});
}

void nfa_literal(struct nfa *n, uint32_t from, uint32_t to, const char *text, size_t len)
{
    if (len == 0)
        nfa_empty(n, from, to);
    for (size_t i = 0; i < len; i++) {
        uint32_t next = i + 1 == len ? to : nfa_state(n);
        nfa_byte(n, from, next, text[i]);
        from = next;
    }
}

void nfa_any_of(struct nfa *n, uint32_t from, uint32_t to, const char *bytes)
{
    for (; *bytes != '\0'; bytes++)
        nfa_byte(n, from, to, *bytes);
}

/* --- UTF-8 --- */

/* Sequences of the same length that differ in their last `n_free` bytes only, and there in all
 * ways, but for the byte before those, which is in a range. */
static void add_sequences(struct nfa *n, uint32_t from, uint32_t to, uint32_t low, uint32_t high)
{
    char a[4], b[4];
    size_t len = utf8_encode(low, a);

    CHECK(utf8_encode(high, b) == len);
    for (size_t i = 0; i < len; i++) {
        uint32_t next = i + 1 == len ? to : nfa_state(n);
        nfa_bytes(n, from, next, (uint8_t)a[i], (uint8_t)b[i]);
        from = next;
    }
}

/* Cut [low, high], of one length, into ranges for add_sequences: at 6, 12, 18 bits. */
static void split_range(struct nfa *n, uint32_t from, uint32_t to, uint32_t low, uint32_t high)
{
    for (unsigned bits = 6; bits <= 18 && low >= 0x80; bits += 6) {
        uint32_t mask = ((uint32_t)1 << bits) - 1;
        if ((low & ~mask) == (high & ~mask))
            break;
        if ((low & mask) != 0) {
            split_range(n, from, to, low, low | mask);
            split_range(n, from, to, (low | mask) + 1, high);
            return;
        }
        if ((high & mask) != mask) {
            split_range(n, from, to, low, (high & ~mask) - 1);
            split_range(n, from, to, high & ~mask, high);
            return;
        }
    }
    add_sequences(n, from, to, low, high);
}

void nfa_utf8(struct nfa *n, uint32_t from, uint32_t to, uint32_t low, uint32_t high)
{
    static const uint32_t parts[][2] = {
        {0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, 0x10ffff}};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint32_t a = low > parts[i][0] ? low : parts[i][0];
        uint32_t b = high < parts[i][1] ? high : parts[i][1];
        if (a <= b)
            split_range(n, from, to, a, b);
    }
}

/* --- JSON --- */

void nfa_space(struct nfa *n, uint32_t from, uint32_t to)
{
    nfa_empty(n, from, to);
    nfa_call(n, from, to, RULE_SPACE);
}

void nfa_colon(struct nfa *n, uint32_t from, uint32_t to)
{
    uint32_t colon = nfa_state(n);

    nfa_byte(n, from, colon, ':');
    nfa_empty(n, colon, to);
    nfa_byte(n, colon, to, ' ');
}

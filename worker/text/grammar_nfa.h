/* Rules while they are built: automata over bytes with empty moves and calls of rules. Everything
 * adds moves between two states, so alternatives are several additions between the same two. */
#ifndef WORKER_TEXT_GRAMMAR_NFA_H
#define WORKER_TEXT_GRAMMAR_NFA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRAMMAR_NONE UINT32_MAX

/* Rules that every grammar has, in this order. None matches nothing. */
enum grammar_builtin {
    RULE_NONASCII, /* one character beyond ASCII, as UTF-8 */
    RULE_UNICODE,  /* what follows a backslash: uXXXX of one character, two for a pair */
    RULE_SPACE,    /* the white space that may stand where some may */
    RULE_STRING,
    RULE_INTEGER,
    RULE_NUMBER,
    RULE_VALUE,
    RULE_OBJECT,
    RULE_BUILTINS
};

enum nfa_move { NFA_EMPTY, NFA_BYTES, NFA_CALL };

struct nfa_edge {
    uint32_t to;
    uint32_t next; /* of the same state, or GRAMMAR_NONE */
    uint32_t rule;
    uint8_t move, low, high;
};

struct nfa_rule {
    uint32_t from, to;
};

struct nfa {
    uint32_t *states; /* owned: the first edge of each */
    struct nfa_edge *edges;
    struct nfa_rule *rules;
    uint32_t n_states, n_edges, n_rules;
    uint32_t cap_states, cap_edges, cap_rules;
    uint32_t states_max;
    bool is_full; /* something has not been added: the result is of no use */
};

/* With the built-in rules, still empty. */
void nfa_init(struct nfa *n, uint32_t states_max);
void nfa_free(struct nfa *n);

uint32_t nfa_state(struct nfa *n);
uint32_t nfa_rule(struct nfa *n);
void nfa_empty(struct nfa *n, uint32_t from, uint32_t to);
void nfa_bytes(struct nfa *n, uint32_t from, uint32_t to, uint8_t low, uint8_t high);
void nfa_byte(struct nfa *n, uint32_t from, uint32_t to, char c);
void nfa_call(struct nfa *n, uint32_t from, uint32_t to, uint32_t rule);
void nfa_literal(struct nfa *n, uint32_t from, uint32_t to, const char *text, size_t len);
/* Any one of the bytes. */
void nfa_any_of(struct nfa *n, uint32_t from, uint32_t to, const char *bytes);
/* The UTF-8 of a character in [low, high], surrogates left out. */
void nfa_utf8(struct nfa *n, uint32_t from, uint32_t to, uint32_t low, uint32_t high);
/* Nothing or white space. */
void nfa_space(struct nfa *n, uint32_t from, uint32_t to);
/* ':' and what may follow it. */
void nfa_colon(struct nfa *n, uint32_t from, uint32_t to);

/* The built-in rules themselves. */
void nfa_add_builtins(struct nfa *n);

/* Room for one more in a growing array. */
void *grammar_grow(void *array, uint32_t n, uint32_t *cap, size_t size);

#endif

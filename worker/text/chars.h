/* Languages of strings as deterministic automata over characters: what patterns, lengths and
 * excluded names of a schema come to before they become bytes. */
#ifndef WORKER_TEXT_CHARS_H
#define WORKER_TEXT_CHARS_H

#include "base/err.h"
#include "worker/text/grammar_nfa.h"

#include <stdbool.h>
#include <stdint.h>

#define CHAR_MAX_CODE 0x10ffff

struct chars_range {
    uint32_t low, high, to;
};
struct chars_state {
    uint32_t first, n; /* ranges, ascending */
    bool is_end;
};

/* State 0 is the beginning. */
struct chars {
    struct chars_state *states; /* owned */
    struct chars_range *ranges; /* owned */
    uint32_t n_states, n_ranges, cap_states, cap_ranges;
};

void chars_free(struct chars *c);
/* States are added in order, each with its ranges before the next one. */
uint32_t chars_add_state(struct chars *c, bool is_end);
void chars_add_range(struct chars *c, uint32_t low, uint32_t high, uint32_t to);

/* min to max characters; max UINT32_MAX: no end. */
void chars_length(struct chars *c, uint32_t min, uint32_t max);

/* What both take. *steps counts down; -E2BIG. */
int chars_product(const struct chars *a, const struct chars *b, uint32_t states_max,
                  uint64_t *steps, struct chars *out);

enum chars_writing {
    CHARS_JSON, /* the inside of a JSON string */
    CHARS_RAW,  /* as they are, but for newlines, which are left out */
};
void chars_emit(const struct chars *c, struct nfa *n, uint32_t from, uint32_t to,
                enum chars_writing writing);

/* A regular expression in the way of ECMA-262, which may match anywhere in the string. Lookaround,
 * back references, \b and \p are refused. -EINVAL, -E2BIG. */
int schema_pattern_read(const char *text, size_t len, uint32_t states_max, uint64_t *steps,
                        struct chars *out, struct err *e);

#endif

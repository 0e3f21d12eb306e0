#include "worker/text/chars.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void chars_free(struct chars *c)
{
    free(c->states);
    free(c->ranges);
    *c = (struct chars){0};
}

uint32_t chars_add_state(struct chars *c, bool is_end)
{
    c->states = grammar_grow(c->states, c->n_states, &c->cap_states, sizeof *c->states);
    c->states[c->n_states] = (struct chars_state){.first = c->n_ranges, .is_end = is_end};
    return c->n_states++;
}

void chars_add_range(struct chars *c, uint32_t low, uint32_t high, uint32_t to)
{
    struct chars_state *s = &c->states[c->n_states - 1];

    if (s->n > 0) {
        struct chars_range *last = &c->ranges[c->n_ranges - 1];
        CHECK(last->high < low);
        if (last->to == to && last->high + 1 == low) {
            last->high = high;
            return;
        }
    }
    c->ranges = grammar_grow(c->ranges, c->n_ranges, &c->cap_ranges, sizeof *c->ranges);
    c->ranges[c->n_ranges++] = (struct chars_range){.low = low, .high = high, .to = to};
    s->n++;
}

void chars_length(struct chars *c, uint32_t min, uint32_t max)
{
    uint32_t last = max == UINT32_MAX ? min : max;

    for (uint32_t i = 0; i <= last; i++) {
        chars_add_state(c, i >= min);
        if (i < last)
            chars_add_range(c, 0, CHAR_MAX_CODE, i + 1);
        else if (max == UINT32_MAX)
            chars_add_range(c, 0, CHAR_MAX_CODE, i);
    }
}

/* --- product --- */

struct pairs {
    uint64_t *pair;  /* by state of the product */
    uint32_t *slots; /* 1 + state */
    uint32_t n, cap, n_slots;
};

static uint32_t find_slot(const struct pairs *p, uint64_t pair)
{
    uint64_t hash = pair * 0x9e3779b97f4a7c15u;
    uint32_t at = (uint32_t)(hash >> 32) & (p->n_slots - 1);

    while (p->slots[at] != 0 && p->pair[p->slots[at] - 1] != pair)
        at = (at + 1) & (p->n_slots - 1);
    return at;
}

static uint32_t find_pair(struct pairs *p, uint32_t a, uint32_t b)
{
    uint64_t pair = (uint64_t)a << 32 | b;

    if (p->n * 2 >= p->n_slots) {
        free(p->slots);
        p->n_slots = p->n_slots == 0 ? 64 : p->n_slots * 2;
        p->slots = calloc(p->n_slots, sizeof *p->slots);
        CHECK(p->slots != NULL);
        for (uint32_t i = 0; i < p->n; i++)
            p->slots[find_slot(p, p->pair[i])] = i + 1;
    }
    uint32_t at = find_slot(p, pair);
    if (p->slots[at] == 0) {
        p->pair = grammar_grow(p->pair, p->n, &p->cap, sizeof *p->pair);
        p->pair[p->n++] = pair;
        p->slots[at] = p->n;
    }
    return p->slots[at] - 1;
}

static void add_common(const struct chars *a, const struct chars *b, struct pairs *p, uint32_t i,
                       struct chars *out)
{
    const struct chars_state *x = &a->states[p->pair[i] >> 32];
    const struct chars_state *y = &b->states[(uint32_t)p->pair[i]];
    uint32_t k = 0, m = 0;

    chars_add_state(out, x->is_end && y->is_end);
    while (k < x->n && m < y->n) {
        const struct chars_range *r = &a->ranges[x->first + k], *s = &b->ranges[y->first + m];
        uint32_t low = r->low > s->low ? r->low : s->low;
        uint32_t high = r->high < s->high ? r->high : s->high;
        if (low <= high)
            chars_add_range(out, low, high, find_pair(p, r->to, s->to));
        if (r->high < s->high)
            k++;
        else
            m++;
    }
}

int chars_product(const struct chars *a, const struct chars *b, uint32_t states_max,
                  uint64_t *steps, struct chars *out)
{
    struct pairs p = {0};
    int rc = 0;

    *out = (struct chars){0};
    find_pair(&p, 0, 0);
    for (uint32_t i = 0; i < p.n && rc == 0; i++) {
        uint64_t cost = 8u + a->states[p.pair[i] >> 32].n + b->states[(uint32_t)p.pair[i]].n;
        if (p.n > states_max || *steps < cost)
            rc = -E2BIG;
        *steps -= rc == 0 ? cost : 0;
        add_common(a, b, &p, i, out);
    }
    free(p.pair);
    free(p.slots);
    if (rc != 0)
        chars_free(out);
    return rc;
}

/* --- to bytes --- */

struct emission {
    struct nfa *n;
    uint32_t from, escape; /* escape: behind a backslash, GRAMMAR_NONE: not needed so far */
    enum chars_writing writing;
};

static uint32_t make_escape(struct emission *m)
{
    if (m->escape == GRAMMAR_NONE) {
        m->escape = nfa_state(m->n);
        nfa_byte(m->n, m->from, m->escape, '\\');
    }
    return m->escape;
}

static void emit_escaped(struct emission *m, uint32_t c, uint32_t to)
{
    static const char names[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                 ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    uint32_t escape = make_escape(m);
    char text[8];

    if (names[c] != '\0') {
        nfa_byte(m->n, escape, to, names[c]);
        return;
    }
    snprintf(text, sizeof text, "u%04x", c);
    nfa_literal(m->n, escape, to, text, 5);
}

static void emit_ascii(struct emission *m, uint32_t low, uint32_t high, uint32_t to)
{
    for (uint32_t c = low; c <= high && c < 0x80;) {
        bool is_special = c < 0x20 || c == '"' || c == '\\';
        if (m->writing == CHARS_JSON && is_special) {
            emit_escaped(m, c++, to);
            continue;
        }
        if (c == '\n') {
            c++;
            continue;
        }
        uint32_t end = c;
        while (end < high && end + 1 < 0x80 && end + 1 != '\n' &&
               (m->writing == CHARS_RAW || (end + 1 != '"' && end + 1 != '\\')))
            end++;
        nfa_bytes(m->n, m->from, to, (uint8_t)c, (uint8_t)end);
        c = end + 1;
    }
}

static void emit_range(struct emission *m, uint32_t low, uint32_t high, uint32_t to)
{
    if (low == 0 && high == CHAR_MAX_CODE && m->writing == CHARS_JSON) {
        uint32_t escape = make_escape(m);
        nfa_any_of(m->n, escape, to, "\"\\/bfnrt");
        nfa_call(m->n, escape, to, RULE_UNICODE);
        emit_ascii(m, 0x20, '"' - 1, to);
        emit_ascii(m, '"' + 1, '\\' - 1, to);
        emit_ascii(m, '\\' + 1, 0x7f, to);
    } else {
        emit_ascii(m, low, high, to);
    }
    if (low <= 0x80 && high == CHAR_MAX_CODE)
        nfa_call(m->n, m->from, to, RULE_NONASCII);
    else if (high >= 0x80)
        nfa_utf8(m->n, m->from, to, low > 0x80 ? low : 0x80, high);
}

void chars_emit(const struct chars *c, struct nfa *n, uint32_t from, uint32_t to,
                enum chars_writing writing)
{
    uint32_t *state = calloc((size_t)c->n_states + 1, sizeof *state);

    CHECK(state != NULL);
    for (uint32_t i = 0; i < c->n_states; i++)
        state[i] = nfa_state(n);
    nfa_empty(n, from, state[0]);
    for (uint32_t i = 0; i < c->n_states && !n->is_full; i++) {
        struct emission m = {.n = n, .from = state[i], .escape = GRAMMAR_NONE, .writing = writing};
        for (uint32_t k = 0; k < c->states[i].n; k++) {
            const struct chars_range *r = &c->ranges[c->states[i].first + k];
            emit_range(&m, r->low, r->high, state[r->to]);
        }
        if (c->states[i].is_end)
            nfa_empty(n, state[i], to);
    }
    free(state);
}

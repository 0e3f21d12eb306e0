/* Regular expressions of schemas: parsed into moves between places, then made deterministic. */
#include "worker/text/chars.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_DEEP_MAX 64
#define REPEAT_MAX      2000
#define PLACES_MAX      20000

enum place_move { MOVE_EMPTY, MOVE_CHARS, MOVE_BEGIN, MOVE_END };

struct place_edge {
    uint32_t from, to, low, high;
    enum place_move move;
};

struct range_set {
    struct {
        uint32_t low, high;
    } * range; /* owned */
    uint32_t n, cap;
};

struct pattern {
    const char *text, *at, *end;
    uint32_t n_places;
    struct place_edge *edges; /* owned; sorted by from when reading is done */
    uint32_t n_edges, cap_edges;
    unsigned depth;
    struct err *e;
    int rc; /* the first refusal: everything returns from then on */
};

static void refuse(struct pattern *p, int code, const char *what)
{
    if (p->rc == 0)
        p->rc = err_set(p->e, code, "pattern, byte %zu: %s", (size_t)(p->at - p->text), what);
}

static uint32_t add_place(struct pattern *p)
{
    if (p->n_places >= PLACES_MAX)
        refuse(p, E2BIG, "it is too large");
    else
        p->n_places++;
    return p->n_places - 1;
}

static void add_edge(struct pattern *p, struct place_edge edge)
{
    if (p->n_edges >= PLACES_MAX * 16) {
        refuse(p, E2BIG, "it is too large");
        return;
    }
    p->edges = grammar_grow(p->edges, p->n_edges, &p->cap_edges, sizeof *p->edges);
    p->edges[p->n_edges++] = edge;
}

static void join(struct pattern *p, uint32_t from, uint32_t to)
{
    add_edge(p, (struct place_edge){.from = from, .to = to, .move = MOVE_EMPTY});
}

/* --- sets of characters --- */

static void set_add(struct range_set *s, uint32_t low, uint32_t high)
{
    s->range = grammar_grow(s->range, s->n, &s->cap, sizeof *s->range);
    s->range[s->n].low = low;
    s->range[s->n++].high = high;
}

static int compare_ranges(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b; /* low comes first */

    return x < y ? -1 : x > y;
}

static void set_turn(struct range_set *s)
{
    struct range_set rest = {0};
    uint32_t next = 0;

    if (s->n > 0)
        qsort(s->range, s->n, sizeof *s->range, compare_ranges);
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->range[i].low > next)
            set_add(&rest, next, s->range[i].low - 1);
        if (s->range[i].high + 1 > next)
            next = s->range[i].high + 1;
    }
    if (next <= CHAR_MAX_CODE)
        set_add(&rest, next, CHAR_MAX_CODE);
    free(s->range);
    *s = rest;
}

/* \d \w \s and their opposites. */
static bool add_named_set(struct range_set *s, char name)
{
    static const uint32_t spaces[][2] = {
        {9, 13},          {0x20, 0x20},     {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
        {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    struct range_set own = {0};

    switch (name) {
    case 'd':
    case 'D':
        set_add(&own, '0', '9');
        break;
    case 'w':
    case 'W':
        set_add(&own, '0', '9');
        set_add(&own, 'A', 'Z');
        set_add(&own, '_', '_');
        set_add(&own, 'a', 'z');
        break;
    case 's':
    case 'S':
        for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
            set_add(&own, spaces[i][0], spaces[i][1]);
        break;
    default:
        return false;
    }
    if (name < 'a')
        set_turn(&own);
    for (uint32_t i = 0; i < own.n; i++)
        set_add(s, own.range[i].low, own.range[i].high);
    free(own.range);
    return true;
}

static bool accept(struct pattern *p, char c)
{
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static uint32_t read_hex(struct pattern *p, int digits)
{
    uint32_t value = 0;

    for (; digits > 0; digits--, p->at++) {
        char c = p->at < p->end ? *p->at : '\0';
        if (c >= '0' && c <= '9')
            value = value * 16 + (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value * 16 + (uint32_t)((c | 0x20) - 'a' + 10);
        else {
            refuse(p, EINVAL, "expected a hexadecimal digit");
            return 0;
        }
    }
    return value;
}

static uint32_t read_unicode(struct pattern *p)
{
    if (!accept(p, '{')) {
        uint32_t c = read_hex(p, 4);
        if (c >= 0xd800 && c < 0xdc00 && p->end - p->at > 6 && p->at[0] == '\\' &&
            p->at[1] == 'u') {
            p->at += 2;
            uint32_t low = read_hex(p, 4);
            if (low < 0xdc00 || low > 0xdfff)
                refuse(p, EINVAL, "half of a surrogate pair");
            return 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
        }
        return c;
    }
    int n = 0;
    while (p->at + n < p->end && p->at[n] != '}' && n < 7)
        n++;
    uint32_t c = n > 6 ? CHAR_MAX_CODE + 1 : read_hex(p, n);
    if (n == 0 || c > CHAR_MAX_CODE || !accept(p, '}'))
        refuse(p, EINVAL, "expected \\u{...} of a character");
    return c;
}

/* Behind the backslash: an escape that is one character. */
static uint32_t read_escaped(struct pattern *p)
{
    static const char from[] = "tnrvf0", to[] = "\t\n\r\v\f";
    char c = p->at < p->end ? *p->at++ : '\0';
    const char *known = c != '\0' ? strchr(from, c) : NULL;

    if (known != NULL)
        return (uint32_t)to[known - from];
    if (c == 'x')
        return read_hex(p, 2);
    if (c == 'u')
        return read_unicode(p);
    if (c == 'c' && p->at < p->end)
        return (uint32_t)*p->at++ & 0x1f;
    if (c == '\0' || (c & 0x80) != 0 || (c >= '0' && c <= '9') ||
        ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) {
        p->at--;
        refuse(p, EINVAL, "this escape is not supported (back references, \\b and \\p are not)");
    }
    return (uint8_t)c;
}

static uint32_t read_char(struct pattern *p)
{
    size_t n;
    uint32_t c = utf8_decode(p->at, &n);

    p->at += n;
    return c;
}

/* A member of a class: a character, or a set and then UINT32_MAX. */
static uint32_t read_member(struct pattern *p, struct range_set *set)
{
    if (!accept(p, '\\'))
        return read_char(p);
    if (p->at < p->end && add_named_set(set, *p->at)) {
        p->at++;
        return UINT32_MAX;
    }
    if (accept(p, 'b'))
        return '\b';
    if (accept(p, '-'))
        return '-';
    return read_escaped(p);
}

static void read_class(struct pattern *p, struct range_set *set)
{
    bool is_rest = accept(p, '^');

    while (p->rc == 0 && p->at < p->end && *p->at != ']') {
        uint32_t low = read_member(p, set), high = low;
        bool is_range = p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']';
        if (is_range) {
            p->at++;
            high = read_member(p, set);
        }
        if (is_range && (low == UINT32_MAX || high == UINT32_MAX || low > high))
            refuse(p, EINVAL, "a range of a class that is none");
        else if (low != UINT32_MAX)
            set_add(set, low, high);
    }
    if (!accept(p, ']'))
        refuse(p, EINVAL, "expected ']'");
    if (is_rest)
        set_turn(set);
}

/* --- expressions --- */

static void read_alternatives(struct pattern *p, uint32_t from, uint32_t to);

static void add_set(struct pattern *p, const struct range_set *set, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < set->n; i++)
        add_edge(p, (struct place_edge){.from = from,
                                        .to = to,
                                        .low = set->range[i].low,
                                        .high = set->range[i].high,
                                        .move = MOVE_CHARS});
}

static void read_group(struct pattern *p, uint32_t from, uint32_t to)
{
    if (accept(p, '?')) {
        if (accept(p, '<') && p->at < p->end && *p->at != '=' && *p->at != '!') {
            while (p->at < p->end && *p->at != '>')
                p->at++;
            if (!accept(p, '>'))
                refuse(p, EINVAL, "expected '>'");
        } else if (!accept(p, ':')) {
            refuse(p, EINVAL, "lookahead, lookbehind and flags are not supported");
        }
    }
    if (++p->depth > GROUPS_DEEP_MAX)
        refuse(p, E2BIG, "groups are too deep");
    if (p->rc == 0)
        read_alternatives(p, from, to);
    p->depth--;
    if (!accept(p, ')'))
        refuse(p, EINVAL, "expected ')'");
}

/* true: an assertion, which cannot be repeated. */
static bool read_atom(struct pattern *p, uint32_t from, uint32_t to)
{
    struct range_set set = {0};
    char c = *p->at;

    if (c == '^' || c == '$') {
        p->at++;
        add_edge(p, (struct place_edge){
                        .from = from, .to = to, .move = c == '^' ? MOVE_BEGIN : MOVE_END});
        return true;
    }
    if (accept(p, '(')) {
        read_group(p, from, to);
        return false;
    }
    if (c == '*' || c == '+' || c == '?' || c == '{') {
        refuse(p, EINVAL, "nothing to repeat");
    } else if (accept(p, '.')) {
        set_add(&set, '\n', '\n');
        set_add(&set, '\r', '\r');
        set_add(&set, 0x2028, 0x2029);
        set_turn(&set);
    } else if (accept(p, '[')) {
        read_class(p, &set);
    } else {
        uint32_t one = read_member(p, &set);
        if (c == '\\' && one == '\b')
            refuse(p, EINVAL, "\\b is not supported");
        if (one != UINT32_MAX)
            set_add(&set, one, one);
    }
    add_set(p, &set, from, to);
    free(set.range);
    return false;
}

static bool read_count(struct pattern *p, uint32_t *count)
{
    const char *begin = p->at;

    for (*count = 0; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        if (*count <= REPEAT_MAX)
            *count = *count * 10 + (uint32_t)(*p->at - '0');
    return p->at > begin;
}

/* How often, UINT32_MAX: no end. Lazy quantifiers match the same strings. */
static void read_quantifier(struct pattern *p, uint32_t *min, uint32_t *max)
{
    *min = *max = 1;
    if (accept(p, '*')) {
        *min = 0;
        *max = UINT32_MAX;
    } else if (accept(p, '+')) {
        *max = UINT32_MAX;
    } else if (accept(p, '?')) {
        *min = 0;
    } else if (accept(p, '{')) {
        if (!read_count(p, min))
            refuse(p, EINVAL, "expected a number");
        *max = *min;
        if (accept(p, ',') && !read_count(p, max))
            *max = UINT32_MAX;
        if (!accept(p, '}'))
            refuse(p, EINVAL, "expected '}'");
        if (*min > REPEAT_MAX || (*max > REPEAT_MAX && *max != UINT32_MAX))
            refuse(p, E2BIG, "more than 2000 repetitions");
        if (*min > *max)
            refuse(p, EINVAL, "a quantifier with its numbers in the wrong order");
    } else {
        return;
    }
    accept(p, '?');
}

/* An atom between begin and end has just been read; it is read again for each time more that it
 * may come. */
static void repeat_atom(struct pattern *p, const char *atom, struct place_edge once, uint32_t from,
                        uint32_t to)
{
    uint32_t min, max;

    read_quantifier(p, &min, &max);
    const char *behind = p->at;
    uint32_t copies = max == UINT32_MAX ? min + 1 : max;
    for (uint32_t i = 0; i < copies && p->rc == 0; i++) {
        if (i > 0) {
            once.from = add_place(p);
            once.to = add_place(p);
            p->at = atom;
            read_atom(p, once.from, once.to);
        }
        join(p, from, once.from);
        if (i >= min)
            join(p, from, to);
        if (max == UINT32_MAX && i == min)
            join(p, once.to, once.from);
        from = once.to;
    }
    join(p, from, to);
    p->at = behind;
}

static void read_sequence(struct pattern *p, uint32_t from, uint32_t to)
{
    while (p->rc == 0 && p->at < p->end && *p->at != '|' && *p->at != ')') {
        const char *atom = p->at;
        struct place_edge once = {.from = add_place(p), .to = add_place(p)};
        uint32_t next = add_place(p);
        bool is_assertion = read_atom(p, once.from, once.to);
        if (is_assertion && p->at < p->end && strchr("*+?{", *p->at) != NULL)
            refuse(p, EINVAL, "an assertion is repeated");
        if (p->rc == 0)
            repeat_atom(p, atom, once, from, next);
        from = next;
    }
    join(p, from, to);
}

static void read_alternatives(struct pattern *p, uint32_t from, uint32_t to)
{
    do {
        uint32_t begin = add_place(p);
        join(p, from, begin);
        read_sequence(p, begin, to);
    } while (p->rc == 0 && accept(p, '|'));
}

/* --- deterministic --- */

struct place_set {
    uint32_t first, n;
    uint64_t hash;
};

struct making {
    const struct pattern *p;
    uint32_t *first_edge; /* by place, n_places + 1 */
    uint32_t *members, *stamp;
    struct place_set *sets;
    uint32_t *slots;
    uint32_t n_members, cap_members, n_sets, cap_sets, n_slots, closure;
    uint32_t begin, final, states_max;
    uint64_t *steps;
    bool is_over;
};

static void enter(struct making *m, uint32_t place)
{
    if (m->stamp[place] == m->closure)
        return;
    m->stamp[place] = m->closure;
    m->members = grammar_grow(m->members, m->n_members, &m->cap_members, sizeof *m->members);
    m->members[m->n_members++] = place;
}

/* Follow what takes no character from members[first] on. */
static void close_set(struct making *m, uint32_t first, bool is_begin, bool is_end)
{
    for (uint32_t i = first; i < m->n_members; i++) {
        uint32_t place = m->members[i];
        for (uint32_t k = m->first_edge[place]; k < m->first_edge[place + 1]; k++) {
            const struct place_edge *edge = &m->p->edges[k];
            if (edge->move == MOVE_EMPTY || (edge->move == MOVE_BEGIN && is_begin) ||
                (edge->move == MOVE_END && is_end))
                enter(m, edge->to);
        }
        uint64_t cost = 1 + m->first_edge[place + 1] - m->first_edge[place];
        m->is_over |= *m->steps < cost;
        *m->steps -= m->is_over ? 0 : cost;
        if (m->is_over)
            return;
    }
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void grow_slots(struct making *m)
{
    free(m->slots);
    m->n_slots = m->n_slots == 0 ? 64 : m->n_slots * 2;
    m->slots = calloc(m->n_slots, sizeof *m->slots);
    CHECK(m->slots != NULL);
    for (uint32_t i = 0; i < m->n_sets; i++) {
        uint32_t at = (uint32_t)m->sets[i].hash & (m->n_slots - 1);
        while (m->slots[at] != 0)
            at = (at + 1) & (m->n_slots - 1);
        m->slots[at] = i + 1;
    }
}

/* The number of the set that lies behind the others in members. */
static uint32_t find_set(struct making *m, uint32_t first)
{
    uint32_t n = m->n_members - first;

    qsort(m->members + first, n, sizeof *m->members, compare_u32);
    uint64_t hash = hash_xxh3(m->members + first, n * sizeof *m->members);
    if (m->n_sets * 2 >= m->n_slots)
        grow_slots(m);
    uint32_t at = (uint32_t)hash & (m->n_slots - 1);
    for (; m->slots[at] != 0; at = (at + 1) & (m->n_slots - 1)) {
        const struct place_set *old = &m->sets[m->slots[at] - 1];
        if (old->hash == hash && old->n == n &&
            memcmp(m->members + old->first, m->members + first, n * sizeof *m->members) == 0) {
            m->n_members = first;
            return m->slots[at] - 1;
        }
    }
    m->is_over |= m->n_sets >= m->states_max;
    m->sets = grammar_grow(m->sets, m->n_sets, &m->cap_sets, sizeof *m->sets);
    m->sets[m->n_sets] = (struct place_set){.first = first, .n = n, .hash = hash};
    m->slots[at] = ++m->n_sets;
    return m->n_sets - 1;
}

static bool ends_here(struct making *m, const struct place_set *set, bool is_begin)
{
    uint32_t first = m->n_members;
    bool ends = false;

    m->closure++;
    for (uint32_t i = 0; i < set->n; i++)
        enter(m, m->members[set->first + i]);
    close_set(m, first, is_begin, true);
    for (uint32_t i = first; i < m->n_members; i++)
        ends |= m->members[i] == m->final;
    m->n_members = first;
    return ends;
}

/* Where the characters begin at which anything changes. */
static uint32_t find_cuts(struct making *m, const struct place_set *set, uint32_t **cuts)
{
    uint32_t n = 0, cap = 0, kept = 0;

    *cuts = grammar_grow(NULL, 0, &cap, sizeof **cuts);
    (*cuts)[n++] = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t place = m->members[set->first + i];
        for (uint32_t k = m->first_edge[place]; k < m->first_edge[place + 1]; k++) {
            const struct place_edge *edge = &m->p->edges[k];
            if (edge->move != MOVE_CHARS)
                continue;
            *cuts = grammar_grow(*cuts, n, &cap, sizeof **cuts);
            (*cuts)[n++] = edge->low;
            *cuts = grammar_grow(*cuts, n, &cap, sizeof **cuts);
            (*cuts)[n++] = edge->high + 1;
        }
    }
    qsort(*cuts, n, sizeof **cuts, compare_u32);
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || (*cuts)[i] != (*cuts)[kept - 1])
            (*cuts)[kept++] = (*cuts)[i];
    return kept;
}

static void add_moves(struct making *m, const struct place_set *set, struct chars *out)
{
    uint32_t *cuts, n_cuts = find_cuts(m, set, &cuts);

    for (uint32_t c = 0; c < n_cuts && cuts[c] <= CHAR_MAX_CODE && !m->is_over; c++) {
        uint32_t high =
            c + 1 < n_cuts && cuts[c + 1] <= CHAR_MAX_CODE ? cuts[c + 1] - 1 : CHAR_MAX_CODE;
        uint32_t first = m->n_members;
        m->closure++;
        for (uint32_t i = 0; i < set->n; i++) {
            uint32_t place = m->members[set->first + i];
            for (uint32_t k = m->first_edge[place]; k < m->first_edge[place + 1]; k++) {
                const struct place_edge *edge = &m->p->edges[k];
                if (edge->move == MOVE_CHARS && edge->low <= cuts[c] && edge->high >= cuts[c])
                    enter(m, edge->to);
            }
        }
        close_set(m, first, false, false);
        if (m->n_members > first)
            chars_add_range(out, cuts[c], high, find_set(m, first));
    }
    free(cuts);
}

static int compare_from(const void *a, const void *b)
{
    return compare_u32(&((const struct place_edge *)a)->from,
                       &((const struct place_edge *)b)->from);
}

static void sort_edges(struct pattern *p, struct making *m)
{
    if (p->n_edges > 0)
        qsort(p->edges, p->n_edges, sizeof *p->edges, compare_from);
    m->first_edge = calloc((size_t)p->n_places + 2, sizeof *m->first_edge);
    m->stamp = calloc((size_t)p->n_places + 1, sizeof *m->stamp);
    CHECK(m->first_edge != NULL);
    CHECK(m->stamp != NULL);
    for (uint32_t i = 0; i < p->n_edges; i++)
        m->first_edge[p->edges[i].from + 1]++;
    for (uint32_t i = 0; i <= p->n_places; i++)
        m->first_edge[i + 1] += m->first_edge[i];
}

static int make_chars(struct pattern *p, struct making *m, struct chars *out)
{
    sort_edges(p, m);
    m->closure = 1;
    enter(m, m->begin);
    close_set(m, 0, true, false);
    find_set(m, 0);
    for (uint32_t i = 0; i < m->n_sets && !m->is_over; i++) {
        const struct place_set set = m->sets[i];
        chars_add_state(out, ends_here(m, &set, i == 0));
        add_moves(m, &set, out);
    }
    free(m->first_edge);
    free(m->stamp);
    free(m->members);
    free(m->sets);
    free(m->slots);
    if (!m->is_over)
        return 0;
    chars_free(out);
    return err_set(p->e, E2BIG, "pattern: it is too large as an automaton");
}

int schema_pattern_read(const char *text, size_t len, uint32_t states_max, uint64_t *steps,
                        struct chars *out, struct err *e)
{
    struct pattern p = {.text = text, .at = text, .end = text + len, .e = e};
    struct making m = {.p = &p, .states_max = states_max, .steps = steps};
    const struct place_edge any = {.high = CHAR_MAX_CODE, .move = MOVE_CHARS};

    *out = (struct chars){0};
    m.begin = add_place(&p);
    uint32_t later = add_place(&p), body = add_place(&p);
    m.final = add_place(&p);
    join(&p, m.begin, body);
    for (int i = 0; i < 3; i++) { /* it may begin later, and end earlier */
        struct place_edge edge = any;
        edge.from = i == 0 ? m.begin : i == 1 ? later : m.final;
        edge.to = i == 2 ? m.final : later;
        add_edge(&p, edge);
    }
    join(&p, later, body);
    read_alternatives(&p, body, m.final);
    if (p.rc == 0 && p.at < p.end)
        refuse(&p, EINVAL, "an unexpected ')'");
    int rc = p.rc == 0 ? make_chars(&p, &m, out) : p.rc;
    free(p.edges);
    return rc;
}

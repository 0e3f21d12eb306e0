#include "worker/text/grammar_mask.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define SPAN_IDS_MIN 256 /* fewer remainders are copied */
#define PART_IDS_MAX 512 /* more are kept as a mask */
#define WORK_MAX \
    20000000 /* configurations; only automata made to be ambiguous need more, \
                and then tokens that were not reached are not allowed */

/* --- walking a trie --- */

struct escape {
    uint32_t id, len; /* of what is left */
};

struct walker {
    const struct trie *trie;
    struct machine *machine;
    uint32_t *bits;
    uint32_t work;
    struct mask_part *part; /* being made: where escapes go; else NULL */
    struct escape *escapes;
    uint32_t n_escapes, cap_escapes;
};

static void set_bits(uint32_t *bits, const uint32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        bits[ids[i] / 32] |= 1u << ids[i] % 32;
}

static void add_words(uint32_t *restrict bits, const uint32_t *restrict more, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        bits[i] |= more[i];
}

/* The bottom has been emptied with bytes left: those below the node go on in whatever called. */
static void add_escapes(struct walker *w, uint32_t node, uint32_t depth, const uint32_t *at)
{
    const struct trie_node *nodes = w->trie->nodes;
    uint32_t begin = node + 1, end = nodes[node].skip;

    if (nodes[end].first - nodes[begin].first >= SPAN_IDS_MIN) {
        struct mask_part *p = w->part;
        p->spans = grammar_grow(p->spans, p->n_spans, &p->cap_spans, sizeof *p->spans);
        p->spans[p->n_spans++] = (struct trie_span){.begin = begin, .end = end};
        return;
    }
    for (uint32_t i = nodes[begin].first; i < nodes[end].first; i++) {
        uint32_t id = w->trie->ids[i];
        w->escapes = grammar_grow(w->escapes, w->n_escapes, &w->cap_escapes, sizeof *w->escapes);
        w->escapes[w->n_escapes++] =
            (struct escape){.id = id, .len = at[id + 1] - at[id] - depth - 1};
    }
}

static bool calls_with(const struct automaton *a, const struct auto_state *s, uint8_t byte)
{
    for (uint32_t i = 0; i < s->n_calls; i++)
        if (byte_set_has(&a->rules[a->calls[s->calls + i].rule].first, byte))
            return true;
    return false;
}

static void walk(struct walker *w, uint32_t begin, uint32_t end, const struct machine_set *set,
                 uint32_t depth, const uint32_t *at);

/* A node that the set is to take, and what lies below it. */
static void visit(struct walker *w, uint32_t i, const struct machine_set *set, uint32_t depth,
                  const uint32_t *at)
{
    const struct trie_node *node = &w->trie->nodes[i];
    struct machine *m = w->machine;
    struct machine_mark mark = machine_mark(m);
    struct machine_set to = machine_step(m, set, (uint8_t)node->byte);

    w->work += to.n + 1;
    if (to.is_alive)
        set_bits(w->bits, w->trie->ids + node->first, node[1].first - node->first);
    if (to.has_emptied && w->part != NULL)
        add_escapes(w, i, depth, at);
    if (to.n > 0 && i + 1 < node->skip)
        walk(w, i + 1, node->skip, &to, depth + 1, at);
    machine_cut(m, mark);
}

static void visit_from(struct walker *w, uint32_t i, struct machine_config c, uint32_t depth,
                       const uint32_t *at)
{
    struct machine *m = w->machine;
    struct machine_mark mark = machine_mark(m);
    struct machine_set set = machine_put(m, c);

    visit(w, i, &set, depth, at);
    machine_cut(m, mark);
}

/* As walk, from one state: where it takes a byte without a call and without an end, which is what
 * most bytes are, the machine is not needed. */
static void walk_one(struct walker *w, uint32_t begin, uint32_t end, struct machine_config c,
                     uint32_t depth, const uint32_t *at)
{
    const struct trie_node *nodes = w->trie->nodes;
    const struct automaton *a = w->machine->automaton;
    const struct auto_state *s = &a->states[c.state];

    for (uint32_t i = begin, next; i < end && w->work < WORK_MAX; i = next) {
        uint8_t byte = (uint8_t)nodes[i].byte;
        next = nodes[i].skip;
        w->work++;
        if (calls_with(a, s, byte)) {
            visit_from(w, i, c, depth, at);
            continue;
        }
        uint32_t to = automaton_next(a, s, byte);
        if (to == GRAMMAR_NONE)
            continue;
        if (a->states[to].is_end) {
            visit_from(w, i, c, depth, at);
            continue;
        }
        set_bits(w->bits, w->trie->ids + nodes[i].first, nodes[i + 1].first - nodes[i].first);
        if (i + 1 < next)
            walk_one(w, i + 1, next, (struct machine_config){.state = to, .node = c.node},
                     depth + 1, at);
    }
}

/* The nodes from begin to end and what lies below them. */
static void walk(struct walker *w, uint32_t begin, uint32_t end, const struct machine_set *set,
                 uint32_t depth, const uint32_t *at)
{
    const struct trie_node *nodes = w->trie->nodes;
    const struct machine *m = w->machine;
    struct byte_set bytes = {{0}};

    if (set->n == 1) {
        walk_one(w, begin, end, m->configs[set->first], depth, at);
        return;
    }
    for (uint32_t i = 0; i < set->n; i++)
        automaton_add_bytes(m->automaton, m->configs[set->first + i].state, &bytes);
    for (uint32_t i = begin; i < end && w->work < WORK_MAX; i = nodes[i].skip)
        if (byte_set_has(&bytes, (uint8_t)nodes[i].byte))
            visit(w, i, set, depth, at);
}

/* --- whole groups --- */

/* From a state on: `chars` characters of the kinds, all of them, are taken; and with is_over, none
 * is behind those. Nor are characters of dead kinds after any number of them. */
struct coverage {
    unsigned kinds, dead_kinds;
    uint32_t chars;
    bool is_over;
};

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

/* What find_coverage follows: the states after so many characters, and what they went on with. */
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

static struct coverage find_coverage(const struct automaton *a, uint32_t state)
{
    unsigned kinds = whole_kinds(a, state), fewer = main_kinds(a, state, kinds);
    struct coverage all = cover_kinds(a, state, kinds);

    if (fewer == kinds || all.chars == GROUP_CHARS_MAX)
        return all;
    struct coverage main = cover_kinds(a, state, fewer);
    return main.chars > all.chars ? main : all;
}

/* true when nothing of the group is left to be walked. */
static bool cover_group(const struct grammar_vocab *v, const struct token_group *g,
                        const struct coverage *c, uint32_t *bits)
{
    if (g->kinds == 0 || c->kinds == 0)
        return false;
    if ((g->kinds & c->dead_kinds) != 0)
        return (g->kinds & ~(c->kinds | c->dead_kinds)) == 0;
    if ((g->kinds & ~c->kinds) != 0 || c->chars == 0)
        return false;
    uint32_t len = c->chars < g->len_max ? c->chars : g->len_max;
    if (g->bits[len] != NULL)
        add_words(bits, g->bits[len], v->words);
    else
        set_bits(bits, g->by_len, g->n_by_len[len]);
    return len == g->len_max || c->is_over;
}

/* --- parts --- */

static void walk_groups(struct walker *w, const struct grammar_vocab *v, uint32_t state)
{
    const struct automaton *a = w->machine->automaton;
    struct machine_set set = machine_begin(w->machine, state);
    struct coverage c = find_coverage(a, state);
    struct byte_set bytes = {{0}};
    uint8_t first[256];
    unsigned n_first = 0;

    automaton_add_bytes(a, state, &bytes);
    for (unsigned b = 0; b < 256; b++)
        if (byte_set_has(&bytes, (uint8_t)b))
            first[n_first++] = (uint8_t)b;
    for (uint32_t i = 0; i < v->n_groups; i++) {
        const struct token_group *g = &v->groups[i];
        if (cover_group(v, g, &c, w->bits))
            continue;
        for (unsigned k = 0; k < n_first; k++)
            if (g->begin[first[k]] < g->begin[first[k] + 1])
                walk(w, g->begin[first[k]], g->begin[first[k] + 1], &set, 0, v->at);
    }
}

static void keep_bits(struct mask_part *p, const struct grammar_vocab *v, uint32_t *bits)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < v->words && n <= PART_IDS_MAX; i++)
        for (uint32_t left = bits[i]; left != 0; left &= left - 1)
            n++;
    if (n > PART_IDS_MAX) {
        p->bits = bits;
        p->bytes += v->words * sizeof *bits;
        return;
    }
    p->ids = malloc((n + 1) * sizeof *p->ids);
    CHECK(p->ids != NULL);
    for (uint32_t i = 0; i < v->words; i++)
        for (uint32_t left = bits[i]; left != 0; left &= left - 1)
            p->ids[p->n_ids++] = i * 32 + (uint32_t)__builtin_ctz(left);
    p->bytes += n * sizeof *p->ids;
    free(bits);
}

static void keep_escapes(struct walker *w, const struct grammar_vocab *v)
{
    struct trie_text *texts = calloc((size_t)w->n_escapes + 1, sizeof *texts);

    CHECK(texts != NULL);
    for (uint32_t i = 0; i < w->n_escapes; i++) {
        const struct escape *x = &w->escapes[i];
        texts[i] = (struct trie_text){
            .text = v->text + v->at[x->id + 1] - x->len, .len = x->len, .id = x->id};
    }
    trie_build(&w->part->rest, texts, w->n_escapes);
    w->part->bytes += trie_memory(&w->part->rest) + w->part->cap_spans * sizeof *w->part->spans;
    free(texts);
}

static void hash_array(struct mask_part *p, const void *array, size_t bytes)
{
    p->hash = hash_mix(p->hash, bytes == 0 ? 0 : hash_xxh3(array, bytes));
}

static void hash_part(struct mask_part *p, const struct grammar_vocab *v)
{
    hash_array(p, p->bits, p->bits != NULL ? v->words * sizeof *p->bits : 0);
    hash_array(p, p->ids, p->n_ids * sizeof *p->ids);
    hash_array(p, p->rest.nodes, p->rest.n * sizeof *p->rest.nodes);
    hash_array(p, p->rest.ids, p->rest.n_ids * sizeof *p->rest.ids);
    hash_array(p, p->spans, p->n_spans * sizeof *p->spans);
}

struct mask_part *mask_part_new(const struct grammar_vocab *v, const struct automaton *a,
                                uint32_t state)
{
    struct mask_part *p = calloc(1, sizeof *p);
    uint32_t *bits = calloc((size_t)v->words + 1, sizeof *bits);
    struct machine m;

    CHECK(p != NULL);
    CHECK(bits != NULL);
    machine_init(&m, a);
    struct walker w = {.trie = &v->trie, .machine = &m, .bits = bits, .part = p};
    walk_groups(&w, v, state);
    p->bytes = sizeof *p;
    keep_bits(p, v, bits);
    keep_escapes(&w, v);
    hash_part(p, v);
    free(w.escapes);
    machine_free(&m);
    return p;
}

static bool same_array(const void *a, const void *b, size_t bytes)
{
    return bytes == 0 || memcmp(a, b, bytes) == 0;
}

bool mask_part_equal(const struct grammar_vocab *v, const struct mask_part *a,
                     const struct mask_part *b)
{
    return a->hash == b->hash && (a->bits == NULL) == (b->bits == NULL) && a->n_ids == b->n_ids &&
           a->rest.n == b->rest.n && a->rest.n_ids == b->rest.n_ids && a->n_spans == b->n_spans &&
           same_array(a->bits, b->bits, a->bits != NULL ? v->words * sizeof *a->bits : 0) &&
           same_array(a->ids, b->ids, a->n_ids * sizeof *a->ids) &&
           same_array(a->rest.nodes, b->rest.nodes, a->rest.n * sizeof *a->rest.nodes) &&
           same_array(a->rest.ids, b->rest.ids, a->rest.n_ids * sizeof *a->rest.ids) &&
           same_array(a->spans, b->spans, a->n_spans * sizeof *a->spans);
}

void mask_part_free(struct mask_part *p)
{
    if (p == NULL)
        return;
    free(p->bits);
    free(p->ids);
    trie_free(&p->rest);
    free(p->spans);
    free(p);
}

void mask_begin(const struct grammar_vocab *v, const struct mask_part *p, uint32_t *bits)
{
    if (p != NULL && p->bits != NULL)
        memcpy(bits, p->bits, v->words * sizeof *bits);
    else
        memset(bits, 0, v->words * sizeof *bits);
}

void mask_add_part(const struct grammar_vocab *v, const struct mask_part *p, uint32_t *bits)
{
    if (p->bits != NULL)
        add_words(bits, p->bits, v->words);
    set_bits(bits, p->ids, p->n_ids);
}

void mask_add_rest(const struct grammar_vocab *v, const struct mask_part *p, struct machine *m,
                   uint32_t node, uint32_t *bits)
{
    if (node == MACHINE_BOTTOM || (p->rest.n == 0 && p->n_spans == 0))
        return;
    struct machine_mark mark = machine_mark(m);
    struct machine_set set = machine_return(m, node);
    struct walker w = {.trie = &p->rest, .machine = m, .bits = bits};
    walk(&w, 0, p->rest.n, &set, 0, NULL);
    w.trie = &v->trie;
    for (uint32_t i = 0; i < p->n_spans; i++)
        walk(&w, p->spans[i].begin, p->spans[i].end, &set, 0, NULL);
    machine_cut(m, mark);
}

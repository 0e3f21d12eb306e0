#include "worker/text/grammar_mask.h"

#include "base/check.h"
#include "base/hash.h"
#include "worker/text/grammar_cover.h"

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

/* --- parts --- */

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

static void walk_groups(struct walker *w, const struct grammar_vocab *v, uint32_t state)
{
    const struct automaton *a = w->machine->automaton;
    struct machine_set set = machine_begin(w->machine, state);
    struct coverage c = coverage_find(a, state);
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

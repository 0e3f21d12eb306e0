#include "worker/text/grammar_vocab.h"

#include "base/check.h"
#include "base/utf8.h"
#include "worker/text/grammar_parts.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN_BYTES_MAX  512  /* longer ones are let through by no grammar */
#define GROUP_TOKENS_MIN 16   /* fewer go to the group of all others */
#define GROUP_BITS_MIN   1024 /* more have masks by length */
#define KIND_SETS        (1u << CHAR_KINDS)
#define IDS_MAX          (1u << 24)

/* --- tries --- */

static int compare_texts(const void *a, const void *b)
{
    const struct trie_text *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

    if (order != 0)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static uint32_t common_len(const struct trie_text *a, const struct trie_text *b)
{
    uint32_t n = 0;

    while (n < a->len && n < b->len && a->text[n] == b->text[n])
        n++;
    return n;
}

static uint32_t count_nodes(const struct trie_text *texts, uint32_t n)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++)
        count += texts[i].len - (i > 0 ? common_len(&texts[i - 1], &texts[i]) : 0);
    return count;
}

/* Append sorted texts, none empty, as trees of their own. */
static void append_texts(struct trie *t, const struct trie_text *texts, uint32_t n)
{
    uint32_t *path = calloc(TOKEN_BYTES_MAX + 1, sizeof *path);
    uint32_t depth = 0;

    CHECK(path != NULL);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t common = i > 0 ? common_len(&texts[i - 1], &texts[i]) : 0;
        CHECK(texts[i].len <= TOKEN_BYTES_MAX);
        for (; depth > common; depth--)
            t->nodes[path[depth - 1]].skip = t->n;
        for (; depth < texts[i].len; depth++) {
            path[depth] = t->n;
            t->nodes[t->n++] = (struct trie_node){.byte = (uint8_t)texts[i].text[depth],
                                                  .first = t->n_ids & (IDS_MAX - 1)};
        }
        t->ids[t->n_ids++] = texts[i].id;
    }
    for (; depth > 0; depth--)
        t->nodes[path[depth - 1]].skip = t->n;
    t->nodes[t->n] = (struct trie_node){.skip = t->n, .first = t->n_ids & (IDS_MAX - 1)};
    free(path);
}

static void reserve(struct trie *t, uint32_t n_nodes, uint32_t n_ids)
{
    t->nodes = calloc((size_t)n_nodes + 1, sizeof *t->nodes);
    t->ids = calloc((size_t)n_ids + 1, sizeof *t->ids);
    CHECK(t->nodes != NULL);
    CHECK(t->ids != NULL);
}

void trie_build(struct trie *t, struct trie_text *texts, uint32_t n)
{
    *t = (struct trie){0};
    qsort(texts, n, sizeof *texts, compare_texts);
    reserve(t, count_nodes(texts, n), n);
    append_texts(t, texts, n);
}

void trie_free(struct trie *t)
{
    free(t->nodes);
    free(t->ids);
    *t = (struct trie){0};
}

size_t trie_memory(const struct trie *t)
{
    return t->n * sizeof *t->nodes + t->n_ids * sizeof *t->ids;
}

/* --- groups --- */

#define BIT(c) ((uint64_t)1 << (c) % 64)
const struct byte_set char_kind_bytes[CHAR_KINDS] = {
    [CHAR_LOWER] = {{0, 0x3ffffff * BIT('a')}},
    [CHAR_UPPER] = {{0, 0x3ffffff * BIT('A')}},
    [CHAR_DIGIT] = {{0x3ff * BIT('0')}},
    [CHAR_JOINER] = {{BIT('-'), BIT('_')}},
    [CHAR_BLANK] = {{BIT(' ')}},
    [CHAR_OTHER] = {{~(0xffffffff | BIT(' ') | BIT('"') | BIT('-') | 0x3ff * BIT('0')),
                     ~(0x3ffffff * (BIT('A') | BIT('a')) | BIT('\\') | BIT('_'))}},
    [CHAR_NONASCII] = {{0, 0, ~(uint64_t)0, ~(uint64_t)0}},
    [CHAR_QUOTE] = {{BIT('"')}},
    [CHAR_BACKSLASH] = {{0, BIT('\\')}},
    [CHAR_CONTROL] = {{0xffffffff}},
};

enum char_kind char_kind_of(uint8_t b)
{
    unsigned k = 0;

    while (!byte_set_has(&char_kind_bytes[k], b))
        k++;
    return (enum char_kind)k;
}

static uint32_t count_chars(const char *text, uint32_t len)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* The kinds of the characters of a token, 0 when it belongs to the group of all others. */
static uint16_t find_kinds(const char *text, uint32_t len)
{
    unsigned kinds = 0;

    if (!utf8_valid(text, len) || count_chars(text, len) > GROUP_CHARS_MAX)
        return 0;
    for (uint32_t i = 0; i < len; i++)
        kinds |= 1u << char_kind_of((uint8_t)text[i]);
    return (uint16_t)kinds;
}

struct sorting {
    struct trie_text *texts; /* by kinds, then by bytes */
    uint16_t *kinds;         /* by id */
    uint32_t count[KIND_SETS + 1], first[KIND_SETS + 1];
};

static void sort_tokens(const struct grammar_vocab *v, struct sorting *s)
{
    s->texts = calloc((size_t)v->n + 1, sizeof *s->texts);
    s->kinds = calloc((size_t)v->n + 1, sizeof *s->kinds);
    CHECK(s->texts != NULL);
    CHECK(s->kinds != NULL);
    for (uint32_t id = 0; id < v->n; id++) {
        uint32_t len = v->at[id + 1] - v->at[id];
        s->kinds[id] = find_kinds(v->text + v->at[id], len);
        s->count[s->kinds[id]] += len > 0;
    }
    for (unsigned k = 1; k < KIND_SETS; k++)
        if (s->count[k] < GROUP_TOKENS_MIN) {
            s->count[0] += s->count[k];
            s->count[k] = 0;
        }
    for (unsigned k = 0; k < KIND_SETS; k++)
        s->first[k + 1] = s->first[k] + s->count[k];
    uint32_t at[KIND_SETS];
    memcpy(at, s->first, sizeof at);
    for (uint32_t id = 0; id < v->n; id++) {
        uint32_t len = v->at[id + 1] - v->at[id];
        unsigned k = s->count[s->kinds[id]] > 0 ? s->kinds[id] : 0;
        if (len > 0)
            s->texts[at[k]++] =
                (struct trie_text){.text = v->text + v->at[id], .len = len, .id = id};
    }
    for (unsigned k = 0; k < KIND_SETS; k++)
        qsort(s->texts + s->first[k], s->count[k], sizeof *s->texts, compare_texts);
}

static void index_bytes(const struct trie *t, uint32_t begin, struct token_group *g)
{
    unsigned byte = 0;

    for (uint32_t i = begin; i < t->n; i = t->nodes[i].skip)
        for (; byte <= t->nodes[i].byte; byte++)
            g->begin[byte] = i;
    for (; byte <= 256; byte++)
        g->begin[byte] = t->n;
}

static void sort_by_len(const struct trie_text *texts, uint32_t n, struct token_group *g)
{
    uint32_t at[GROUP_CHARS_MAX + 2] = {0};

    for (uint32_t i = 0; i < n; i++) {
        uint32_t len = count_chars(texts[i].text, texts[i].len);
        g->n_by_len[len]++;
        g->len_max = len > g->len_max ? len : g->len_max;
    }
    for (uint32_t len = 1; len <= GROUP_CHARS_MAX; len++) {
        at[len] = g->n_by_len[len - 1];
        g->n_by_len[len] += g->n_by_len[len - 1];
    }
    g->by_len = calloc((size_t)n + 1, sizeof *g->by_len);
    CHECK(g->by_len != NULL);
    for (uint32_t i = 0; i < n; i++)
        g->by_len[at[count_chars(texts[i].text, texts[i].len)]++] = texts[i].id;
}

static void make_bits(const struct grammar_vocab *v, struct token_group *g)
{
    uint32_t done = 0;

    for (uint32_t len = 1; len <= g->len_max; len++) {
        if (g->n_by_len[len] < GROUP_BITS_MIN)
            continue;
        g->bits[len] = calloc(v->words + 1, sizeof *g->bits[len]);
        CHECK(g->bits[len] != NULL);
        if (g->bits[len - 1] != NULL)
            memcpy(g->bits[len], g->bits[len - 1], v->words * sizeof *g->bits[len]);
        for (; done < g->n_by_len[len]; done++)
            g->bits[len][g->by_len[done] / 32] |= 1u << g->by_len[done] % 32;
    }
}

static void make_groups(struct grammar_vocab *v)
{
    struct sorting s = {0};

    sort_tokens(v, &s);
    uint32_t n_ids = s.first[KIND_SETS], n_nodes = 0;
    for (unsigned k = 0; k < KIND_SETS; k++) {
        n_nodes += count_nodes(s.texts + s.first[k], s.count[k]);
        v->n_groups += s.count[k] > 0;
    }
    reserve(&v->trie, n_nodes, n_ids);
    v->groups = calloc((size_t)v->n_groups + 1, sizeof *v->groups);
    CHECK(v->groups != NULL);
    struct token_group *g = v->groups;
    for (unsigned k = 0; k < KIND_SETS; k++) {
        if (s.count[k] == 0)
            continue;
        uint32_t begin = v->trie.n;
        append_texts(&v->trie, s.texts + s.first[k], s.count[k]);
        index_bytes(&v->trie, begin, g);
        g->kinds = (uint16_t)k;
        if (k > 0) {
            sort_by_len(s.texts + s.first[k], s.count[k], g);
            make_bits(v, g);
        }
        g++;
    }
    free(s.texts);
    free(s.kinds);
}

/* --- the vocabulary --- */

static void read_tokens(struct grammar_vocab *v, grammar_bytes_fn *bytes, void *ctx)
{
    struct buf text = {0};

    v->at = calloc((size_t)v->n + 1, sizeof *v->at);
    CHECK(v->at != NULL);
    for (uint32_t id = 0; id < v->n; id++) {
        size_t before = text.len;
        bytes(ctx, id, &text);
        if (text.len - before > TOKEN_BYTES_MAX)
            text.len = before;
        CHECK(text.len < UINT32_MAX);
        v->at[id + 1] = (uint32_t)text.len;
        if (text.len - before > v->token_max)
            v->token_max = (uint32_t)(text.len - before);
    }
    buf_add_char(&text, '\0'); /* so that there is something */
    v->text = text.data;
}

static void make_base(struct grammar_vocab *v)
{
    struct auto_budget budget = {.states_max = 10000, .steps = 10000000};
    struct nfa n;

    nfa_init(&n, 10000);
    nfa_add_builtins(&n);
    CHECK(automaton_add(&v->base, &n, &budget, NULL) == 0);
    CHECK(automaton_finish(&v->base, RULE_VALUE, v->token_max));
    nfa_free(&n);
    v->parts = part_table_new(v->base.n_states, SIZE_MAX);
    for (uint32_t i = 0; i < v->base.n_states; i++)
        part_table_find(v->parts, v, &v->base, i, i, NULL);
}

struct grammar_vocab *grammar_vocab_new(uint32_t n, grammar_bytes_fn *bytes, void *ctx)
{
    struct grammar_vocab *v = calloc(1, sizeof *v);

    CHECK(v != NULL);
    CHECK(n < IDS_MAX);
    v->n = n;
    v->words = (uint32_t)GRAMMAR_MASK_WORDS(n);
    read_tokens(v, bytes, ctx);
    make_groups(v);
    make_base(v);
    return v;
}

void grammar_vocab_free(struct grammar_vocab **vocab)
{
    struct grammar_vocab *v = *vocab;

    if (v == NULL)
        return;
    part_table_free(&v->parts);
    automaton_free(&v->base);
    for (uint32_t i = 0; i < v->n_groups; i++) {
        free(v->groups[i].by_len);
        for (uint32_t len = 0; len <= GROUP_CHARS_MAX; len++)
            free(v->groups[i].bits[len]);
    }
    free(v->groups);
    trie_free(&v->trie);
    free(v->text);
    free(v->at);
    free(v);
    *vocab = NULL;
}

uint32_t grammar_vocab_size(const struct grammar_vocab *v)
{
    return v->n;
}

size_t grammar_vocab_memory(const struct grammar_vocab *v)
{
    size_t bytes = v->at[v->n] + v->n * sizeof *v->at + trie_memory(&v->trie) +
                   automaton_memory(&v->base) + v->n_groups * sizeof *v->groups;

    for (uint32_t i = 0; i < v->n_groups; i++) {
        bytes += v->groups[i].n_by_len[GROUP_CHARS_MAX] * sizeof(uint32_t);
        for (uint32_t len = 0; len <= GROUP_CHARS_MAX; len++)
            if (v->groups[i].bits[len] != NULL)
                bytes += v->words * sizeof(uint32_t);
    }
    return bytes + part_table_memory(v->parts);
}

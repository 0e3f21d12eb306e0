#include "worker/text/tokenizer_added.h"

#include "base/check.h"
#include "base/utf8.h"
#include "worker/text/tokenizer_json.h"
#include "worker/text/unicode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A node's child by a byte. Nodes are numbered from 1; node 0 is no node. */
struct added_edge {
    uint32_t from; /* 0: free */
    uint32_t byte;
    uint32_t to;
};

/* --- the tree --- */

static struct added_edge *find_edge(const struct added_tree *t, uint32_t from, unsigned char byte)
{
    uint32_t i = (from * 0x9e3779b1u ^ byte * 0x85ebca6bu) & (t->n_slots - 1);

    while (t->edges[i].from != 0 && (t->edges[i].from != from || t->edges[i].byte != byte))
        i = (i + 1) & (t->n_slots - 1);
    return &t->edges[i];
}

/* At most n_bytes of patterns are to be entered. */
static void init_tree(struct added_tree *t, size_t n_bytes)
{
    *t = (struct added_tree){.n_slots = 16, .n_nodes = 1};
    while (t->n_slots < 2 * n_bytes)
        t->n_slots *= 2;
    t->edges = calloc(t->n_slots, sizeof *t->edges);
    t->token = malloc((n_bytes + 2) * sizeof *t->token);
    CHECK(t->edges != NULL);
    CHECK(t->token != NULL);
}

static void free_tree(struct added_tree *t)
{
    free(t->edges);
    free(t->token);
    *t = (struct added_tree){0};
}

static uint32_t add_node(struct added_tree *t)
{
    t->token[t->n_nodes] = VOCAB_NONE;
    return t->n_nodes++;
}

/* 0, or -EEXIST when the pattern has been entered before. */
static int enter_pattern(struct added_tree *t, const char *p, size_t len, uint32_t token)
{
    uint32_t *root = &t->root[(unsigned char)p[0]];

    if (*root == 0)
        *root = add_node(t);
    uint32_t node = *root;
    for (size_t i = 1; i < len; i++) {
        struct added_edge *edge = find_edge(t, node, (unsigned char)p[i]);
        if (edge->from == 0)
            *edge = (struct added_edge){node, (unsigned char)p[i], add_node(t)};
        node = edge->to;
    }
    if (t->token[node] != VOCAB_NONE)
        return -EEXIST;
    t->token[node] = token;
    return 0;
}

/* --- walking --- */

static bool is_cut(const struct added_walk *k, const struct added_token *t, size_t begin,
                   size_t end)
{
    return t->special && k->text->n_cuts > 0 && text_is_cut(k->text, begin, end);
}

/* The longest token that begins at a place: its index, or VOCAB_NONE. */
static uint32_t find_longest(const struct added_walk *k, size_t begin, size_t *end)
{
    const struct added_tree *t = k->tree;
    const struct text *text = k->text;
    uint32_t node = t->root[(unsigned char)text->p[begin]], found = VOCAB_NONE;

    for (size_t at = begin + 1; node != 0; at++) {
        uint32_t token = t->token[node];
        if (token != VOCAB_NONE && !is_cut(k, &k->added->tokens[token], begin, at)) {
            found = token;
            *end = at;
        }
        if (at == text->len)
            break;
        node = find_edge(t, node, (unsigned char)text->p[at])->to;
    }
    return found;
}

/* The next match at k->at or later, and k->at behind it. */
static const struct added_token *find_match(struct added_walk *k, size_t *begin, size_t *end)
{
    const struct text *text = k->text;

    for (size_t at = k->at; at < text->len; at++) {
        if (k->tree->root[(unsigned char)text->p[at]] == 0)
            continue;
        uint32_t token = find_longest(k, at, end);
        if (token == VOCAB_NONE)
            continue;
        *begin = at;
        k->at = *end;
        return &k->added->tokens[token];
    }
    k->at = text->len;
    return NULL;
}

/* The character that ends at a place, and where it begins. */
static uint32_t character_before(const struct text *text, size_t end, size_t *begin)
{
    size_t n;

    *begin = end - 1;
    while (((unsigned char)text->p[*begin] & 0xc0) == 0x80)
        --*begin;
    return utf8_decode(text->p + *begin, &n);
}

static bool is_alone(const struct text *text, size_t begin, size_t end)
{
    size_t n;

    return (begin == 0 || !unicode_is_word(character_before(text, begin, &n))) &&
           (end == text->len || !unicode_is_word(utf8_decode(text->p + end, &n)));
}

static size_t space_before(const struct text *text, size_t at)
{
    size_t begin;

    while (at > 0 && unicode_is_space(character_before(text, at, &begin)))
        at = begin;
    return at;
}

static size_t space_behind(const struct text *text, size_t at)
{
    size_t n;

    while (at < text->len && unicode_is_space(utf8_decode(text->p + at, &n)))
        at += n;
    return at;
}

void added_begin(struct added_walk *k, const struct added *a, const struct added_tree *tree,
                 const struct text *text)
{
    *k = (struct added_walk){.added = a, .tree = tree, .text = text, .pending = VOCAB_NONE};
    if (tree->n_nodes <= 1)
        k->at = text->len; /* nothing to look for */
}

/* What the library does: space that a token takes on its right may belong to the next one, too;
 * then `taken` goes back. A token of which nothing is left when the one before has had its space is
 * not given out. */
bool added_next(struct added_walk *k, struct added_piece *piece)
{
    const struct text *text = k->text;
    const struct added_token *t;
    size_t begin, end;

    if (k->pending != VOCAB_NONE) {
        *piece = (struct added_piece){.id = k->pending};
        k->pending = VOCAB_NONE;
        return true;
    }
    while ((t = find_match(k, &begin, &end)) != NULL) {
        if (t->single_word && !is_alone(text, begin, end))
            continue;
        if (t->lstrip)
            begin = space_before(text, begin);
        if (t->lstrip && begin < k->taken)
            begin = k->taken;
        if (t->rstrip)
            end = space_behind(text, end);
        if (begin >= end) {
            k->taken = end;
            continue;
        }
        bool has_text = k->taken < begin;
        *piece = has_text ? (struct added_piece){VOCAB_NONE, k->taken, begin}
                          : (struct added_piece){.id = t->id};
        k->pending = has_text ? t->id : VOCAB_NONE;
        k->taken = end;
        return true;
    }
    *piece = (struct added_piece){VOCAB_NONE, k->taken, text->len};
    k->taken = text->len;
    return piece->begin < piece->end;
}

/* --- reading --- */

static int read_token(struct added_token *t, const struct json_object *o, const char **content,
                      size_t *len, struct err *e)
{
    int rc =
        tokenizer_check_members(o, "id content single_word lstrip rstrip normalized special", e);

    if (rc == 0)
        rc = tokenizer_read_count(o, "id", VOCAB_IDS_MAX - 1, &t->id, e);
    if (rc == 0)
        rc = tokenizer_read_string(o, "content", content, len, e);
#define X(flag) \
    if (rc == 0) \
        rc = tokenizer_read_bool(o, #flag, &t->flag, e);
    ADDED_FLAGS(X)
#undef X
    if (rc == 0 && *len > ADDED_TEXT_MAX)
        rc = err_set(e, E2BIG, "content: found %zu bytes, expected at most %d", *len,
                     ADDED_TEXT_MAX);
    return rc;
}

/* The library gives a token the id of the same text in the vocabulary, or the next one behind all
 * that there are; the file must say the same. */
static int check_id(const struct added_token *t, uint32_t in_model, uint32_t next, struct err *e)
{
    uint32_t expected = in_model != VOCAB_NONE ? in_model : next;

    if (t->id != expected)
        return err_set(e, EINVAL, "id: found %" PRIu32 ", expected %" PRIu32 ", %s", t->id,
                       expected,
                       in_model != VOCAB_NONE ? "which its content has in the vocabulary"
                                              : "the next behind those before it");
    return 0;
}

/* What is looked for: the content, normalised like the text if so. */
static int add_pattern(struct added *a, struct added_token *t, const char *content, size_t len,
                       const struct normalizer *normalizer, struct normalizer_work *work,
                       struct err *e)
{
    struct text in = {.p = content, .len = len, .n_first = len}, out = in;
    int rc = t->normalized ? normalizer_run(normalizer, work, &in, &out, e) : 0;

    /* To the library it would be everywhere, and cut the text at each character. */
    if (rc == 0 && out.len == 0)
        rc = err_set(e, EINVAL, "content: found nothing after normalisation");
    if (rc == 0 && out.len > ADDED_BYTES_MAX - a->patterns.len)
        rc = err_set(e, E2BIG, "content: found more than %d bytes of contents", ADDED_BYTES_MAX);
    if (rc != 0)
        return rc;
    t->pattern_at = a->patterns.len;
    t->pattern_len = out.len;
    buf_add(&a->patterns, out.p, out.len);
    return 0;
}

static int add_token(struct added *a, const struct json_object *o, const struct vocab *model,
                     const struct normalizer *normalizer, struct normalizer_work *work,
                     struct err *e)
{
    struct added_token t = {0};
    const char *content;
    size_t len, n;
    int rc = read_token(&t, o, &content, &len, e);

    if (rc != 0 || len == 0) /* the library skips what is empty, too */
        return rc;
    uint32_t in_model = vocab_find(model, content, len);
    rc = check_id(&t, in_model, a->n_ids > model->n ? a->n_ids : model->n, e);
    if (rc == 0 && in_model == VOCAB_NONE && vocab_text(model, t.id, &n) != NULL)
        rc = err_set(e, EINVAL, "id: found %" PRIu32 ", which is another text in the vocabulary",
                     t.id);
    if (rc == 0)
        rc = add_pattern(a, &t, content, len, normalizer, work, e);
    if (rc == 0 && vocab_enter(&a->texts, a->n, content, len) != 0)
        rc = err_set(e, EINVAL, "content: found a second time");
    if (rc != 0)
        return rc;
    if (in_model == VOCAB_NONE)
        a->n_ids = t.id + 1;
    a->tokens[a->n++] = t;
    return 0;
}

static int grow_trees(struct added *a, struct err *e)
{
    size_t bytes[2] = {0};

    for (uint32_t i = 0; i < a->n; i++)
        bytes[a->tokens[i].normalized] += a->tokens[i].pattern_len;
    init_tree(&a->raw, bytes[0]);
    init_tree(&a->normalized, bytes[1]);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct added_token *t = &a->tokens[i];
        struct added_tree *tree = t->normalized ? &a->normalized : &a->raw;
        const char *pattern = a->patterns.data + t->pattern_at;
        char quoted[TOKENIZER_QUOTED_MAX];
        tree->has_special |= t->special;
        if (enter_pattern(tree, pattern, t->pattern_len, i) != 0)
            return err_set(e, EINVAL, "found two tokens that are %s after normalisation",
                           tokenizer_quote(quoted, pattern, t->pattern_len));
    }
    return 0;
}

int added_read(struct added *a, const struct json_object *array, const struct vocab *model,
               const struct normalizer *normalizer, struct normalizer_work *work, struct err *e)
{
    size_t n = array != NULL ? json_length(array) : 0;
    int rc = 0;

    *a = (struct added){0};
    if (array != NULL && (json_type_of(array) != JSON_ARRAY || n > ADDED_MAX))
        return err_set(e, EINVAL, "expected an array of at most %d tokens", ADDED_MAX);
    a->tokens = calloc(n + 1, sizeof *a->tokens);
    CHECK(a->tokens != NULL);
    vocab_init(&a->texts, (uint32_t)n, (uint32_t)n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = add_token(a, json_at(array, i), model, normalizer, work, e);
        if (rc != 0)
            err_prefix(e, "[%zu]", i);
    }
    if (rc == 0)
        rc = grow_trees(a, e);
    if (a->n_ids < model->n_ids)
        a->n_ids = model->n_ids;
    if (rc != 0)
        added_free(a);
    return rc;
}

void added_free(struct added *a)
{
    free_tree(&a->raw);
    free_tree(&a->normalized);
    vocab_free(&a->texts);
    buf_free(&a->patterns);
    free(a->tokens);
    *a = (struct added){0};
}

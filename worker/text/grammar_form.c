/* Larger forms: an expression of literals, texts and schemas becomes one rule. */
#include "worker/text/grammar_form.h"

#include "base/check.h"
#include "worker/text/grammar_compiled.h"
#include "worker/text/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TERMINATOR_MAX 128
#define LEAVES_MAX     100000 /* of the expression when it is written out */

enum form_kind {
    FORM_LITERAL,
    FORM_SCHEMA,
    FORM_BARE,
    FORM_OBJECT,
    FORM_TEXT,
    FORM_SEQUENCE,
    FORM_CHOICE,
    FORM_REPEAT
};

struct form_node {
    enum form_kind kind;
    uint32_t text, len; /* in texts: the literal, the terminator */
    uint32_t place;     /* in texts */
    uint32_t first, n;  /* in children */
    uint32_t min, max;  /* of FORM_REPEAT; max 0: no end */
    bool may_end;
    const struct json_object *schema, *root; /* borrowed */
};

struct grammar_form {
    struct form_node *nodes; /* all owned */
    grammar_node *children;
    struct buf texts;
    uint32_t n_nodes, cap_nodes, n_children, cap_children;
};

struct grammar_form *grammar_form_new(void)
{
    struct grammar_form *f = calloc(1, sizeof *f);

    CHECK(f != NULL);
    return f;
}

void grammar_form_free(struct grammar_form **form)
{
    if (*form == NULL)
        return;
    free((*form)->nodes);
    free((*form)->children);
    buf_free(&(*form)->texts);
    free(*form);
    *form = NULL;
}

/* --- the expression --- */

static grammar_node add_node(struct grammar_form *f, struct form_node node)
{
    f->nodes = grammar_grow(f->nodes, f->n_nodes, &f->cap_nodes, sizeof *f->nodes);
    f->nodes[f->n_nodes] = node;
    return f->n_nodes++;
}

static uint32_t keep_text(struct grammar_form *f, const char *text, size_t len)
{
    size_t at = f->texts.len;

    CHECK(at + len < UINT32_MAX);
    buf_add(&f->texts, text, len);
    buf_add_char(&f->texts, '\0');
    return (uint32_t)at;
}

grammar_node grammar_form_literal(struct grammar_form *f, const char *text, size_t len)
{
    uint32_t at = keep_text(f, text, len);

    return add_node(f, (struct form_node){.kind = FORM_LITERAL, .text = at, .len = (uint32_t)len});
}

grammar_node grammar_form_inner(struct grammar_form *f, const struct json_object *schema,
                                const struct json_object *root, const char *place)
{
    uint32_t at = keep_text(f, place, strlen(place));

    return add_node(
        f, (struct form_node){.kind = FORM_SCHEMA, .place = at, .schema = schema, .root = root});
}

grammar_node grammar_form_schema(struct grammar_form *f, const struct json_object *schema,
                                 const char *place)
{
    return grammar_form_inner(f, schema, schema, place);
}

grammar_node grammar_form_object(struct grammar_form *f)
{
    return add_node(f, (struct form_node){.kind = FORM_OBJECT});
}

static uint32_t keep_terminator(struct grammar_form *f, const char *text)
{
    size_t len = strlen(text);

    CHECK(len > 0);
    CHECK(len <= TERMINATOR_MAX);
    for (size_t i = 0; i < len; i++)
        CHECK((unsigned char)text[i] < 0x80);
    return keep_text(f, text, len);
}

grammar_node grammar_form_bare(struct grammar_form *f, const struct json_object *schema,
                               const struct json_object *root, const char *place,
                               const char *terminator)
{
    uint32_t at = keep_terminator(f, terminator);

    return add_node(f, (struct form_node){.kind = FORM_BARE,
                                          .text = at,
                                          .len = (uint32_t)strlen(terminator),
                                          .place = keep_text(f, place, strlen(place)),
                                          .schema = schema,
                                          .root = root});
}

grammar_node grammar_form_text(struct grammar_form *f, const char *terminator, bool may_end)
{
    uint32_t at = keep_terminator(f, terminator);

    return add_node(f, (struct form_node){.kind = FORM_TEXT,
                                          .text = at,
                                          .len = (uint32_t)strlen(terminator),
                                          .may_end = may_end});
}

static grammar_node add_parent(struct grammar_form *f, enum form_kind kind,
                               const grammar_node *nodes, size_t n)
{
    struct form_node node = {.kind = kind, .first = f->n_children, .n = (uint32_t)n};

    for (size_t i = 0; i < n; i++) {
        CHECK(nodes[i] < f->n_nodes);
        f->children =
            grammar_grow(f->children, f->n_children, &f->cap_children, sizeof *f->children);
        f->children[f->n_children++] = nodes[i];
    }
    return add_node(f, node);
}

grammar_node grammar_form_sequence(struct grammar_form *f, const grammar_node *nodes, size_t n)
{
    return add_parent(f, FORM_SEQUENCE, nodes, n);
}

grammar_node grammar_form_choice(struct grammar_form *f, const grammar_node *nodes, size_t n)
{
    return add_parent(f, FORM_CHOICE, nodes, n);
}

grammar_node grammar_form_repeat(struct grammar_form *f, grammar_node node, uint32_t min,
                                 uint32_t max)
{
    CHECK(max == 0 || min <= max);
    grammar_node parent = add_parent(f, FORM_REPEAT, &node, 1);

    f->nodes[parent].min = min;
    f->nodes[parent].max = max;
    return parent;
}

/* --- the rule --- */

struct writing {
    const struct grammar_form *f;
    struct nfa *n;
    uint32_t end; /* of the whole answer */
    uint32_t leaves;
    const struct grammar_limits *limits;
    struct err *e;
};

/* How much of the terminator the text ends with, when it has ended with `known` of it and c comes.
 */
static uint32_t match_more(const char *t, uint32_t known, char c)
{
    for (uint32_t n = known + 1; n > 0; n--)
        if (t[n - 1] == c && memcmp(t, t + known + 1 - n, n - 1) == 0)
            return n;
    return 0;
}

/* One state for each part of the terminator that has come; so the first one there is ends it. */
static void add_text(const struct writing *w, const struct form_node *node, uint32_t from,
                     uint32_t to)
{
    const char *t = w->f->texts.data + node->text;
    uint32_t state[TERMINATOR_MAX + 1];

    for (uint32_t i = 0; i < node->len; i++)
        state[i] = nfa_state(w->n);
    state[node->len] = to;
    nfa_empty(w->n, from, state[0]);
    for (uint32_t i = 0; i < node->len; i++) {
        for (unsigned low = 0, high; low < 0x80; low = high + 1) {
            uint32_t next = match_more(t, i, (char)low);
            for (high = low; high + 1 < 0x80 && match_more(t, i, (char)(high + 1)) == next;)
                high++;
            nfa_bytes(w->n, state[i], state[next], (uint8_t)low, (uint8_t)high);
        }
        nfa_call(w->n, state[i], state[0], RULE_NONASCII);
        if (node->may_end)
            nfa_empty(w->n, state[i], w->end);
    }
}

static int add_schema(const struct writing *w, const struct form_node *node, uint32_t from,
                      uint32_t to)
{
    const struct schema_source source = {.schema = node->schema,
                                         .root = node->root,
                                         .place = w->f->texts.data + node->place,
                                         .limits = w->limits};

    if (node->schema == NULL) {
        nfa_call(w->n, from, to, RULE_VALUE);
        return 0;
    }
    if (node->kind == FORM_SCHEMA)
        return schema_compile(w->n, from, to, &source, w->e);
    uint32_t behind = nfa_state(w->n);
    int rc = schema_compile_bare(w->n, from, behind, &source, w->e);
    if (rc < 0)
        return rc;
    if (rc == 1)
        add_text(w, node, from, to);
    else
        nfa_literal(w->n, behind, to, w->f->texts.data + node->text, node->len);
    return 0;
}

static int add_form(struct writing *w, grammar_node index, uint32_t from, uint32_t to);

static int add_sequence(struct writing *w, const struct form_node *node, uint32_t from, uint32_t to)
{
    int rc = 0;

    if (node->n == 0)
        nfa_empty(w->n, from, to);
    for (uint32_t i = 0; i < node->n && rc == 0; i++) {
        uint32_t next = i + 1 == node->n ? to : nfa_state(w->n);
        rc = add_form(w, w->f->children[node->first + i], from, next);
        from = next;
    }
    return rc;
}

static int add_repeat(struct writing *w, const struct form_node *node, uint32_t from, uint32_t to)
{
    uint32_t copies = node->max > 0 ? node->max : node->min + 1;
    int rc = 0;

    for (uint32_t i = 0; i < copies && rc == 0; i++) {
        uint32_t begin = nfa_state(w->n), end = nfa_state(w->n);
        nfa_empty(w->n, from, begin);
        if (i >= node->min)
            nfa_empty(w->n, from, to);
        rc = add_form(w, w->f->children[node->first], begin, end);
        if (node->max == 0 && i == node->min)
            nfa_empty(w->n, end, begin);
        from = end;
    }
    nfa_empty(w->n, from, to);
    return rc;
}

static int add_form(struct writing *w, grammar_node index, uint32_t from, uint32_t to)
{
    const struct form_node *node = &w->f->nodes[index];
    int rc = 0;

    if (w->leaves++ == LEAVES_MAX || w->n->is_full)
        return err_set(w->e, E2BIG, "the form is too large as an automaton");
    switch (node->kind) {
    case FORM_LITERAL:
        nfa_literal(w->n, from, to, w->f->texts.data + node->text, node->len);
        break;
    case FORM_SCHEMA:
    case FORM_BARE:
        rc = add_schema(w, node, from, to);
        break;
    case FORM_OBJECT:
        nfa_call(w->n, from, to, RULE_OBJECT);
        break;
    case FORM_TEXT:
        add_text(w, node, from, to);
        break;
    case FORM_SEQUENCE:
        rc = add_sequence(w, node, from, to);
        break;
    case FORM_CHOICE:
        for (uint32_t i = 0; i < node->n && rc == 0; i++)
            rc = add_form(w, w->f->children[node->first + i], from, to);
        break;
    case FORM_REPEAT:
        rc = add_repeat(w, node, from, to);
        break;
    }
    return rc;
}

int grammar_compile_form(const struct grammar_vocab *v, const struct grammar_form *f,
                         grammar_node root, const struct grammar_limits *limits,
                         struct grammar **out, struct err *e)
{
    const struct grammar_limits l = limits != NULL ? *limits : GRAMMAR_LIMITS_DEFAULT;
    struct nfa n;

    CHECK(root < f->n_nodes);
    *out = NULL;
    nfa_init(&n, l.states_max * 4);
    uint32_t rule = nfa_rule(&n);
    struct writing w = {.f = f, .n = &n, .end = n.rules[rule].to, .limits = &l, .e = e};
    int rc = add_form(&w, root, n.rules[rule].from, n.rules[rule].to);
    if (rc == 0)
        rc = grammar_make(v, &n, rule, &l, out, e);
    nfa_free(&n);
    return rc;
}

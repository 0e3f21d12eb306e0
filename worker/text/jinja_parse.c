/* Statements: what stands between {% and %}. */
#include "worker/text/jinja_parse.h"

#include "worker/text/jinja.h"
#include "worker/text/jinja_unicode.h"

#include <string.h>

/* --- tokens --- */

bool jparse_at(const struct jparse *p, enum jtok_type type)
{
    return p->tok->type == type;
}

bool jparse_at_name(const struct jparse *p, const char *name)
{
    return p->tok->type == JTOK_NAME && jstr_is(p->tok->u.s, name);
}

const struct jtok *jparse_next(struct jparse *p)
{
    const struct jtok *t = p->tok;

    p->r->line = t->line;
    if (t->type != JTOK_END)
        p->tok++;
    return t;
}

bool jparse_skip(struct jparse *p, enum jtok_type type)
{
    if (!jparse_at(p, type))
        return false;
    jparse_next(p);
    return true;
}

bool jparse_skip_name(struct jparse *p, const char *name)
{
    if (!jparse_at_name(p, name))
        return false;
    jparse_next(p);
    return true;
}

_Noreturn void jparse_fail(struct jparse *p, const char *expected)
{
    const struct jtok *t = p->tok;

    p->r->line = t->line;
    if (t->type == JTOK_NAME)
        jrun_fail(p->r, "found '%.*s', expected %s", t->u.s->len < 100 ? (int)t->u.s->len : 100,
                  t->u.s->p, expected);
    jrun_fail(p->r, "found %s, expected %s", jtok_name(t), expected);
}

const struct jtok *jparse_expect(struct jparse *p, enum jtok_type type)
{
    if (!jparse_at(p, type))
        jparse_fail(p, jtok_name(&(struct jtok){.type = (uint8_t)type}));
    return jparse_next(p);
}

void jparse_expect_name(struct jparse *p, const char *name)
{
    if (!jparse_skip_name(p, name))
        jparse_fail(p, name);
}

/* --- nodes --- */

struct jnode *jparse_node(struct jparse *p, enum jnode_kind kind, uint32_t line)
{
    struct jnode *node = jrun_alloc(p->r, sizeof *node);

    node->kind = (uint8_t)kind;
    node->line = line;
    return node;
}

uint32_t jparse_name(struct jparse *p, const struct jstr *s)
{
    struct jtree *t = p->tree;
    const struct jval *known = jdict_get_str(p->r, t->name_index, s);

    if (known != NULL)
        return (uint32_t)known->u.i;
    if (t->n_names == t->cap_names)
        t->names = jrun_grow_array(p->r, t->names, t->n_names, &t->cap_names, sizeof *t->names);
    t->names[t->n_names] = s;
    jdict_set(p->r, t->name_index, jval_string(s), jval_int((int64_t)t->n_names));
    return (uint32_t)t->n_names++;
}

/* --- bodies --- */

static struct jnode *parse_statement(struct jparse *p);

static bool at_any(const struct jparse *p, const char *const *ends)
{
    for (; ends != NULL && *ends != NULL; ends++)
        if (jparse_at_name(p, *ends))
            return true;
    return false;
}

static struct jnode *parse_data(struct jparse *p)
{
    struct jnode *node = jparse_node(p, JNODE_DATA, p->tok->line);

    node->str = jparse_next(p)->u.s;
    return node;
}

static struct jnode *parse_variable(struct jparse *p)
{
    struct jnode *node = jparse_node(p, JNODE_PRINT, jparse_next(p)->line);
    struct jnode *arg = jparse_node(p, JNODE_ARG, node->line);

    arg->a = jparse_tuple(p, true, NULL);
    node->args = arg;
    jparse_expect(p, JTOK_VARIABLE_END);
    return node;
}

/* Nodes up to "{% end", where end is one of ends, and which is then the current token. Without ends
 * up to the end of the template. */
static struct jnode *parse_nodes(struct jparse *p, const char *const *ends)
{
    struct jnode *first = NULL, **end = &first;

    while (!jparse_at(p, JTOK_END)) {
        if (jparse_at(p, JTOK_DATA)) {
            end = jparse_append(end, parse_data(p));
        } else if (jparse_at(p, JTOK_VARIABLE_BEGIN)) {
            end = jparse_append(end, parse_variable(p));
        } else {
            jparse_expect(p, JTOK_BLOCK_BEGIN);
            if (at_any(p, ends))
                return first;
            end = jparse_append(end, parse_statement(p));
            jparse_expect(p, JTOK_BLOCK_END);
        }
    }
    if (ends != NULL)
        jparse_fail(p, ends[0]);
    return first;
}

static struct jnode *parse_body(struct jparse *p, const char *const *ends)
{
    if (p->depth >= JINJA_DEPTH_MAX)
        jrun_exhaust(p->r, "tags are nested more than %u deep", JINJA_DEPTH_MAX);
    p->depth++;
    jparse_skip(p, JTOK_COLON);
    jparse_expect(p, JTOK_BLOCK_END);
    struct jnode *body = parse_nodes(p, ends);
    p->depth--;
    return body;
}

/* The body up to {% end %}, that tag's name included. */
static struct jnode *parse_whole_body(struct jparse *p, const char *end)
{
    struct jnode *body = parse_body(p, (const char *const[]){end, NULL});

    jparse_next(p);
    return body;
}

/* --- statements --- */

static struct jnode *parse_if(struct jparse *p, struct jnode *node)
{
    static const char *const ends[] = {"endif", "elif", "else", NULL};
    struct jnode **end = &node->args;

    do {
        struct jnode *branch = jparse_node(p, JNODE_BRANCH, p->tok->line);
        branch->a = jparse_tuple(p, false, NULL);
        branch->body = parse_body(p, ends);
        end = jparse_append(end, branch);
    } while (jparse_skip_name(p, "elif"));
    if (jparse_skip_name(p, "else"))
        node->otherwise = parse_whole_body(p, "endif");
    else
        jparse_expect_name(p, "endif");
    return node;
}

static struct jnode *parse_for(struct jparse *p, struct jnode *node)
{
    static const char *const ends[] = {"endfor", "else", NULL};

    node->a = jparse_target(p, false, "in");
    jparse_expect_name(p, "in");
    node->b = jparse_tuple(p, false, "recursive");
    if (jparse_skip_name(p, "if"))
        node->c = jparse_expression(p);
    if (jparse_at_name(p, "recursive"))
        jrun_fail(p->r, "recursive loops are not supported; write a macro that calls itself");
    node->body = parse_body(p, ends);
    if (jparse_skip_name(p, "else"))
        node->otherwise = parse_whole_body(p, "endfor");
    else
        jparse_expect_name(p, "endfor");
    return node;
}

static struct jnode *parse_set(struct jparse *p, struct jnode *node)
{
    node->a = jparse_target(p, true, NULL);
    if (jparse_skip(p, JTOK_ASSIGN)) {
        node->b = jparse_tuple(p, true, NULL);
        return node;
    }
    node->kind = JNODE_SET_BLOCK;
    node->b = jparse_filters(p, NULL, false);
    node->body = parse_whole_body(p, "endset");
    return node;
}

static struct jnode *parse_macro(struct jparse *p, struct jnode *node)
{
    const struct jtok *t = jparse_expect(p, JTOK_NAME);

    node->str = t->u.s;
    node->name = jparse_name(p, t->u.s);
    node->args = jparse_signature(p);
    node->body = parse_whole_body(p, "endmacro");
    return node;
}

static struct jnode *parse_call_block(struct jparse *p, struct jnode *node)
{
    if (jparse_at(p, JTOK_LPAREN))
        node->args = jparse_signature(p);
    node->a = jparse_expression(p);
    if (node->a->kind != JNODE_CALL)
        jparse_fail(p, "a call");
    node->body = parse_whole_body(p, "endcall");
    return node;
}

static struct jnode *parse_filter_block(struct jparse *p, struct jnode *node)
{
    node->b = jparse_filters(p, NULL, true);
    node->body = parse_whole_body(p, "endfilter");
    return node;
}

static struct jnode *parse_with(struct jparse *p, struct jnode *node)
{
    struct jnode **end = &node->args;

    while (!jparse_at(p, JTOK_BLOCK_END)) {
        if (node->args != NULL)
            jparse_expect(p, JTOK_COMMA);
        struct jnode *arg = jparse_node(p, JNODE_ARG, p->tok->line);
        arg->a = jparse_target(p, false, NULL);
        jparse_expect(p, JTOK_ASSIGN);
        arg->b = jparse_expression(p);
        end = jparse_append(end, arg);
    }
    node->body = parse_whole_body(p, "endwith");
    return node;
}

static struct jnode *parse_print(struct jparse *p, struct jnode *node)
{
    struct jnode **end = &node->args;

    while (!jparse_at(p, JTOK_BLOCK_END)) {
        if (node->args != NULL)
            jparse_expect(p, JTOK_COMMA);
        struct jnode *arg = jparse_node(p, JNODE_ARG, p->tok->line);
        arg->a = jparse_expression(p);
        end = jparse_append(end, arg);
    }
    return node;
}

static struct jnode *parse_generation(struct jparse *p, struct jnode *node)
{
    node->body = parse_whole_body(p, "endgeneration");
    return node;
}

static struct jnode *parse_nothing(struct jparse *p, struct jnode *node)
{
    (void)p;
    return node;
}

static const struct {
    const char *name;
    enum jnode_kind kind;
    struct jnode *(*parse)(struct jparse *p, struct jnode *node);
} tags[] = {
    {"if", JNODE_IF, parse_if},
    {"for", JNODE_FOR, parse_for},
    {"set", JNODE_SET, parse_set},
    {"macro", JNODE_MACRO, parse_macro},
    {"call", JNODE_CALL_BLOCK, parse_call_block},
    {"filter", JNODE_FILTER_BLOCK, parse_filter_block},
    {"with", JNODE_WITH, parse_with},
    {"print", JNODE_PRINT, parse_print},
    {"generation", JNODE_GENERATION, parse_generation},
    {"break", JNODE_BREAK, parse_nothing},
    {"continue", JNODE_CONTINUE, parse_nothing},
};

static struct jnode *parse_statement(struct jparse *p)
{
    const struct jtok *t = p->tok;

    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        if (jparse_skip_name(p, tags[i].name))
            return tags[i].parse(p, jparse_node(p, tags[i].kind, t->line));
    jparse_fail(p, "if, for, set, macro, call, filter, with, print, generation, break, continue or "
                   "the end of an open tag");
}

void jparse_template(struct jparse *p)
{
#define X(name) jparse_name(p, jstr_of(p->r, #name));
    JNAMES(X)
#undef X
    p->tree->body = parse_nodes(p, NULL);
}

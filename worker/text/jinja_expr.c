/* Expressions, from the weakest binding to the strongest. */
#include "worker/text/jinja.h"
#include "worker/text/jinja_call.h"
#include "worker/text/jinja_parse.h"

#include <string.h>

#define ARGS_MAX 500 /* of a call, and parameters of a macro */

static struct jnode *parse_condition(struct jparse *p);
static struct jnode *parse_unary(struct jparse *p, bool with_filters);
static struct jnode *parse_primary(struct jparse *p, bool with_namespace);

struct jnode *jparse_expression(struct jparse *p)
{
    return parse_condition(p);
}

static struct jnode *new_arg(struct jparse *p, struct jnode *a, uint8_t op)
{
    struct jnode *arg = jparse_node(p, JNODE_ARG, a->line);

    arg->a = a;
    arg->op = op;
    return arg;
}

/* --- or, and, not --- */

typedef struct jnode *parse_fn(struct jparse *p);

static struct jnode *parse_logic(struct jparse *p, const char *word, enum jnode_kind kind,
                                 parse_fn *parse)
{
    uint32_t line = p->tok->line;
    struct jnode *first = parse(p);

    if (!jparse_at_name(p, word))
        return first;
    struct jnode *node = jparse_node(p, kind, line);
    struct jnode **end = jparse_append(&node->args, new_arg(p, first, 0));
    while (jparse_skip_name(p, word))
        end = jparse_append(end, new_arg(p, parse(p), 0));
    return node;
}

static struct jnode *parse_math(struct jparse *p, const enum jtok_type *ops, size_t n_ops,
                                parse_fn *parse)
{
    uint32_t line = p->tok->line;
    struct jnode *first = parse(p), *node = NULL, **end = NULL;

    for (;;) {
        size_t i = 0;
        while (i < n_ops && p->tok->type != ops[i])
            i++;
        if (i == n_ops)
            return node != NULL ? node : first;
        if (node == NULL) {
            node = jparse_node(p, JNODE_MATH, line);
            node->a = first;
            end = &node->args;
        }
        uint8_t op = jparse_next(p)->type;
        end = jparse_append(end, new_arg(p, parse(p), op));
    }
}

static struct jnode *parse_operand(struct jparse *p)
{
    return parse_unary(p, true);
}

static struct jnode *parse_power(struct jparse *p)
{
    return parse_math(p, (const enum jtok_type[]){JTOK_POW}, 1, parse_operand);
}

static struct jnode *parse_product(struct jparse *p)
{
    return parse_math(p, (const enum jtok_type[]){JTOK_MUL, JTOK_DIV, JTOK_FLOORDIV, JTOK_MOD}, 4,
                      parse_power);
}

static struct jnode *parse_concat(struct jparse *p)
{
    uint32_t line = p->tok->line;
    struct jnode *first = parse_product(p);

    if (!jparse_at(p, JTOK_TILDE))
        return first;
    struct jnode *node = jparse_node(p, JNODE_CONCAT, line);
    struct jnode **end = jparse_append(&node->args, new_arg(p, first, 0));
    while (jparse_skip(p, JTOK_TILDE))
        end = jparse_append(end, new_arg(p, parse_product(p), 0));
    return node;
}

static struct jnode *parse_sum(struct jparse *p)
{
    return parse_math(p, (const enum jtok_type[]){JTOK_ADD, JTOK_SUB}, 2, parse_concat);
}

/* The comparison that begins here, or JTOK_END. "in" and "not in" pass as JCOMPARE_IN and
 * JCOMPARE_NOT_IN. */
static uint8_t take_comparison(struct jparse *p)
{
    static const enum jtok_type ops[] = {JTOK_EQ, JTOK_NE, JTOK_LT, JTOK_LE, JTOK_GT, JTOK_GE};

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (jparse_skip(p, ops[i]))
            return (uint8_t)ops[i];
    if (jparse_skip_name(p, "in"))
        return JCOMPARE_IN;
    if (jparse_at_name(p, "not") && p->tok[1].type == JTOK_NAME && jstr_is(p->tok[1].u.s, "in")) {
        p->tok += 2;
        return JCOMPARE_NOT_IN;
    }
    return JTOK_END;
}

static struct jnode *parse_comparison(struct jparse *p)
{
    uint32_t line = p->tok->line;
    struct jnode *first = parse_sum(p), *node = NULL, **end = NULL;
    uint8_t op;

    while ((op = take_comparison(p)) != JTOK_END) {
        if (node == NULL) {
            node = jparse_node(p, JNODE_COMPARE, line);
            node->a = first;
            end = &node->args;
        }
        end = jparse_append(end, new_arg(p, parse_sum(p), op));
    }
    return node != NULL ? node : first;
}

static struct jnode *parse_not(struct jparse *p)
{
    if (!jparse_at_name(p, "not"))
        return parse_comparison(p);
    struct jnode *node = jparse_node(p, JNODE_NOT, jparse_next(p)->line);
    jrun_enter(p->r);
    node->a = parse_not(p);
    jrun_leave(p->r);
    return node;
}

static struct jnode *parse_and(struct jparse *p)
{
    return parse_logic(p, "and", JNODE_AND, parse_not);
}

static struct jnode *parse_or(struct jparse *p)
{
    return parse_logic(p, "or", JNODE_OR, parse_and);
}

static struct jnode *parse_condition(struct jparse *p)
{
    uint32_t line = p->tok->line;

    jrun_enter(p->r);
    struct jnode *value = parse_or(p);
    while (jparse_skip_name(p, "if")) {
        struct jnode *node = jparse_node(p, JNODE_COND, line);
        node->b = value;
        node->a = parse_or(p);
        if (jparse_skip_name(p, "else"))
            node->c = parse_condition(p);
        value = node;
        line = p->tok->line;
    }
    jrun_leave(p->r);
    return value;
}

/* --- names, literals, brackets --- */

static struct jnode *parse_constant(struct jparse *p, const struct jtok *t)
{
    struct jnode *node = jparse_node(p, JNODE_CONST, t->line);

    if (jstr_is(t->u.s, "true") || jstr_is(t->u.s, "True"))
        node->value = jval_bool(true);
    else if (jstr_is(t->u.s, "false") || jstr_is(t->u.s, "False"))
        node->value = jval_bool(false);
    else if (jstr_is(t->u.s, "none") || jstr_is(t->u.s, "None"))
        node->value = jval_none();
    else
        return NULL;
    return node;
}

static struct jnode *parse_name(struct jparse *p, bool with_namespace)
{
    const struct jtok *t = jparse_next(p);
    struct jnode *node = parse_constant(p, t);

    if (node != NULL)
        return node;
    if (with_namespace && jparse_skip(p, JTOK_DOT)) {
        node = jparse_node(p, JNODE_NSREF, t->line);
        node->str = jparse_expect(p, JTOK_NAME)->u.s;
    } else {
        node = jparse_node(p, JNODE_NAME, t->line);
        node->str = t->u.s;
    }
    node->name = jparse_name(p, t->u.s);
    return node;
}

/* Adjacent strings are one. */
static struct jnode *parse_string(struct jparse *p)
{
    struct jnode *node = jparse_node(p, JNODE_CONST, p->tok->line);
    const struct jstr *s = jparse_next(p)->u.s;

    if (jparse_at(p, JTOK_STRING)) {
        size_t begin = jstr_begin(p->r);
        jrun_put(p->r, s->p, s->len);
        while (jparse_at(p, JTOK_STRING)) {
            s = jparse_next(p)->u.s;
            jrun_put(p->r, s->p, s->len);
        }
        s = jstr_end(p->r, begin);
    }
    node->value = jval_string(s);
    return node;
}

static struct jnode *parse_list(struct jparse *p)
{
    struct jnode *node = jparse_node(p, JNODE_LIST, jparse_next(p)->line), **end = &node->args;

    while (!jparse_at(p, JTOK_RBRACKET)) {
        if (node->args != NULL)
            jparse_expect(p, JTOK_COMMA);
        if (jparse_at(p, JTOK_RBRACKET))
            break;
        end = jparse_append(end, new_arg(p, jparse_expression(p), 0));
    }
    jparse_expect(p, JTOK_RBRACKET);
    return node;
}

static struct jnode *parse_dict(struct jparse *p)
{
    struct jnode *node = jparse_node(p, JNODE_DICT, jparse_next(p)->line), **end = &node->args;

    while (!jparse_at(p, JTOK_RBRACE)) {
        if (node->args != NULL)
            jparse_expect(p, JTOK_COMMA);
        if (jparse_at(p, JTOK_RBRACE))
            break;
        end = jparse_append(end, new_arg(p, jparse_expression(p), 0));
        jparse_expect(p, JTOK_COLON);
        end = jparse_append(end, new_arg(p, jparse_expression(p), 0));
    }
    jparse_expect(p, JTOK_RBRACE);
    return node;
}

static bool at_tuple_end(const struct jparse *p, const char *end)
{
    return jparse_at(p, JTOK_VARIABLE_END) || jparse_at(p, JTOK_BLOCK_END) ||
           jparse_at(p, JTOK_RPAREN) || (end != NULL && jparse_at_name(p, end));
}

/* What the elements of a tuple are. */
enum element { ELEMENT_ANY, ELEMENT_NO_COND, ELEMENT_TARGET, ELEMENT_NS_TARGET };

static struct jnode *parse_element(struct jparse *p, enum element what)
{
    switch (what) {
    case ELEMENT_ANY:
        return jparse_expression(p);
    case ELEMENT_NO_COND:
        return parse_or(p);
    case ELEMENT_TARGET:
    case ELEMENT_NS_TARGET:
        return parse_primary(p, what == ELEMENT_NS_TARGET);
    }
    return NULL;
}

static struct jnode *parse_elements(struct jparse *p, enum element what, const char *end_name,
                                    bool may_be_empty)
{
    struct jnode *node = jparse_node(p, JNODE_TUPLE, p->tok->line), **end = &node->args;
    bool is_tuple = false;

    while (!at_tuple_end(p, end_name)) {
        end = jparse_append(end, new_arg(p, parse_element(p, what), 0));
        if (!jparse_skip(p, JTOK_COMMA))
            break;
        is_tuple = true;
    }
    if (is_tuple)
        return node;
    if (node->args != NULL)
        return node->args->a;
    if (!may_be_empty)
        jparse_fail(p, "an expression");
    return node;
}

struct jnode *jparse_tuple(struct jparse *p, bool with_cond, const char *end)
{
    return parse_elements(p, with_cond ? ELEMENT_ANY : ELEMENT_NO_COND, end, false);
}

static struct jnode *parse_primary(struct jparse *p, bool with_namespace)
{
    struct jnode *node;

    switch (p->tok->type) {
    case JTOK_NAME:
        return parse_name(p, with_namespace);
    case JTOK_STRING:
        return parse_string(p);
    case JTOK_INT:
        node = jparse_node(p, JNODE_CONST, p->tok->line);
        node->value = jval_int(jparse_next(p)->u.i);
        return node;
    case JTOK_FLOAT:
        node = jparse_node(p, JNODE_CONST, p->tok->line);
        node->value = jval_float(jparse_next(p)->u.d);
        return node;
    case JTOK_LPAREN:
        jparse_next(p);
        node = parse_elements(p, ELEMENT_ANY, NULL, true);
        jparse_expect(p, JTOK_RPAREN);
        return node;
    case JTOK_LBRACKET:
        return parse_list(p);
    case JTOK_LBRACE:
        return parse_dict(p);
    default:
        jparse_fail(p, "an expression");
    }
}

/* --- targets and parameters --- */

static void check_target(struct jparse *p, const struct jnode *node)
{
    if (node->kind == JNODE_TUPLE) {
        for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next)
            check_target(p, arg->a);
        return;
    }
    p->r->line = node->line;
    if (node->kind != JNODE_NAME && node->kind != JNODE_NSREF)
        jrun_fail(p->r, "this cannot be assigned to; expected a name or names");
}

struct jnode *jparse_target(struct jparse *p, bool with_namespace, const char *end)
{
    struct jnode *node =
        parse_elements(p, with_namespace ? ELEMENT_NS_TARGET : ELEMENT_TARGET, end, false);

    check_target(p, node);
    return node;
}

struct jnode *jparse_signature(struct jparse *p)
{
    struct jnode *first = NULL, **end = &first;
    bool has_defaults = false;
    int n = 0;

    jparse_expect(p, JTOK_LPAREN);
    while (!jparse_at(p, JTOK_RPAREN)) {
        if (first != NULL)
            jparse_expect(p, JTOK_COMMA);
        const struct jtok *t = jparse_expect(p, JTOK_NAME);
        if (parse_constant(p, t) != NULL)
            jrun_fail(p->r, "a parameter cannot be called %.*s", (int)t->u.s->len, t->u.s->p);
        if (n++ == ARGS_MAX)
            jrun_exhaust(p->r, "a macro has more than %d parameters", ARGS_MAX);
        struct jnode *arg = jparse_node(p, JNODE_ARG, t->line);
        arg->str = t->u.s;
        arg->name = jparse_name(p, t->u.s);
        for (const struct jnode *other = first; other != NULL; other = other->next)
            if (other->name == arg->name)
                jrun_fail(p->r, "two parameters have the same name");
        if (jparse_skip(p, JTOK_ASSIGN)) {
            arg->a = jparse_expression(p);
            has_defaults = true;
        } else if (has_defaults) {
            jrun_fail(p->r, "a parameter without a default follows one with a default");
        }
        end = jparse_append(end, arg);
    }
    jparse_expect(p, JTOK_RPAREN);
    return first;
}

/* --- calls, subscripts, filters, tests --- */

static struct jnode *parse_arg(struct jparse *p, enum jarg *state)
{
    enum jarg kind = jparse_skip(p, JTOK_MUL)   ? JARG_STAR
                     : jparse_skip(p, JTOK_POW) ? JARG_STAR_STAR
                                                : JARG_POSITION;
    const struct jstr *keyword = NULL;

    if (kind == JARG_POSITION && jparse_at(p, JTOK_NAME) && p->tok[1].type == JTOK_ASSIGN) {
        kind = JARG_KEYWORD;
        keyword = p->tok->u.s;
        p->tok += 2;
    }
    bool is_in_order = *state == JARG_POSITION ||
                       (*state == JARG_KEYWORD && kind != JARG_POSITION) ||
                       (*state == JARG_STAR && (kind == JARG_KEYWORD || kind == JARG_STAR_STAR));
    if (!is_in_order)
        jrun_fail(p->r, "the arguments of a call are out of order");
    if (*state != JARG_STAR || kind == JARG_STAR_STAR)
        *state = kind;
    struct jnode *arg = new_arg(p, jparse_expression(p), (uint8_t)kind);
    arg->str = keyword;
    return arg;
}

static void parse_args(struct jparse *p, struct jnode *call)
{
    struct jnode **end = &call->args;
    enum jarg state = JARG_POSITION;

    jparse_expect(p, JTOK_LPAREN);
    while (!jparse_at(p, JTOK_RPAREN)) {
        if (call->args != NULL)
            jparse_expect(p, JTOK_COMMA);
        if (call->args != NULL && jparse_at(p, JTOK_RPAREN))
            break;
        struct jnode *arg = parse_arg(p, &state);
        if (call->n_args == ARGS_MAX)
            jrun_exhaust(p->r, "a call has more than %d arguments", ARGS_MAX);
        for (const struct jnode *other = call->args; other != NULL; other = other->next)
            if (arg->str != NULL && other->str != NULL && jstr_equal(arg->str, other->str))
                jrun_fail(p->r, "a keyword argument is given twice");
        end = jparse_append(end, arg);
        call->n_args++;
    }
    jparse_expect(p, JTOK_RPAREN);
}

static struct jnode *parse_call(struct jparse *p, struct jnode *callee)
{
    struct jnode *node = jparse_node(p, JNODE_CALL, p->tok->line);

    node->a = callee;
    parse_args(p, node);
    return node;
}

static struct jnode *parse_attribute(struct jparse *p, struct jnode *of)
{
    struct jnode *node = jparse_node(p, JNODE_ATTR, jparse_next(p)->line);

    node->a = of;
    if (jparse_at(p, JTOK_INT)) { /* a.0 is a[0] */
        node->kind = JNODE_ITEM;
        node->b = parse_primary(p, false);
    } else {
        node->str = jparse_expect(p, JTOK_NAME)->u.s;
    }
    return node;
}

static struct jnode *parse_bound(struct jparse *p)
{
    bool is_absent =
        jparse_at(p, JTOK_COLON) || jparse_at(p, JTOK_RBRACKET) || jparse_at(p, JTOK_COMMA);

    return is_absent ? NULL : jparse_expression(p);
}

static struct jnode *parse_subscript(struct jparse *p, struct jnode *of)
{
    struct jnode *node = jparse_node(p, JNODE_ITEM, jparse_next(p)->line);

    node->a = of;
    node->b = parse_bound(p);
    if (jparse_skip(p, JTOK_COLON)) {
        node->kind = JNODE_SLICE;
        node->c = parse_bound(p);
        if (jparse_skip(p, JTOK_COLON))
            node->d = parse_bound(p);
    } else if (node->b == NULL) { /* a[] is a[()] */
        if (!jparse_at(p, JTOK_RBRACKET))
            jparse_fail(p, "an index");
        node->b = jparse_node(p, JNODE_TUPLE, node->line);
    }
    if (node->kind == JNODE_ITEM && jparse_at(p, JTOK_COMMA)) {
        struct jnode *tuple = jparse_node(p, JNODE_TUPLE, node->line);
        struct jnode **end = jparse_append(&tuple->args, new_arg(p, node->b, 0));
        while (jparse_skip(p, JTOK_COMMA))
            end = jparse_append(end, new_arg(p, jparse_expression(p), 0));
        node->b = tuple;
    }
    jparse_expect(p, JTOK_RBRACKET);
    return node;
}

static struct jnode *parse_postfix(struct jparse *p, struct jnode *node)
{
    for (;;) {
        if (jparse_at(p, JTOK_DOT))
            node = parse_attribute(p, node);
        else if (jparse_at(p, JTOK_LBRACKET))
            node = parse_subscript(p, node);
        else if (jparse_at(p, JTOK_LPAREN))
            node = parse_call(p, node);
        else
            return node;
    }
}

/* "a.b.c" */
static const struct jstr *parse_dotted(struct jparse *p)
{
    const struct jstr *name = jparse_expect(p, JTOK_NAME)->u.s;

    while (jparse_skip(p, JTOK_DOT)) {
        const struct jstr *part = jparse_expect(p, JTOK_NAME)->u.s;
        size_t begin = jstr_begin(p->r);
        jrun_put(p->r, name->p, name->len);
        jrun_put(p->r, ".", 1);
        jrun_put(p->r, part->p, part->len);
        name = jstr_end(p->r, begin);
    }
    return name;
}

struct jnode *jparse_filters(struct jparse *p, struct jnode *node, bool is_first)
{
    while (is_first || jparse_skip(p, JTOK_PIPE)) {
        struct jnode *filter = jparse_node(p, JNODE_FILTER, p->tok->line);
        filter->a = node;
        filter->str = parse_dotted(p);
        filter->fn = jcall_find_filter(filter->str);
        if (jparse_at(p, JTOK_LPAREN))
            parse_args(p, filter);
        node = filter;
        is_first = false;
    }
    return node;
}

static bool at_test_argument(const struct jparse *p)
{
    switch (p->tok->type) {
    case JTOK_NAME:
        return !jparse_at_name(p, "else") && !jparse_at_name(p, "or") && !jparse_at_name(p, "and");
    case JTOK_STRING:
    case JTOK_INT:
    case JTOK_FLOAT:
    case JTOK_LBRACKET:
    case JTOK_LBRACE:
        return true;
    default:
        return false;
    }
}

static struct jnode *parse_test(struct jparse *p, struct jnode *of)
{
    struct jnode *node = jparse_node(p, JNODE_TEST, jparse_next(p)->line);
    bool is_negated = jparse_skip_name(p, "not");

    node->a = of;
    node->str = parse_dotted(p);
    node->fn = jcall_find_test(node->str);
    if (jparse_at(p, JTOK_LPAREN)) {
        parse_args(p, node);
    } else if (at_test_argument(p)) {
        if (jparse_at_name(p, "is"))
            jrun_fail(p->r, "tests cannot be chained with is");
        node->args = new_arg(p, parse_postfix(p, parse_primary(p, false)), JARG_POSITION);
        node->n_args = 1;
    }
    if (!is_negated)
        return node;
    struct jnode *negated = jparse_node(p, JNODE_NOT, node->line);
    negated->a = node;
    return negated;
}

static struct jnode *parse_filters_and_tests(struct jparse *p, struct jnode *node)
{
    for (;;) {
        if (jparse_at(p, JTOK_PIPE))
            node = jparse_filters(p, node, false);
        else if (jparse_at_name(p, "is"))
            node = parse_test(p, node);
        else if (jparse_at(p, JTOK_LPAREN))
            node = parse_call(p, node);
        else
            return node;
    }
}

static struct jnode *parse_unary(struct jparse *p, bool with_filters)
{
    struct jnode *node;

    jrun_enter(p->r);
    if (jparse_at(p, JTOK_SUB) || jparse_at(p, JTOK_ADD)) {
        node = jparse_node(p, JNODE_SIGN, p->tok->line);
        node->op = jparse_next(p)->type;
        node->a = parse_unary(p, false);
    } else {
        node = parse_primary(p, false);
    }
    node = parse_postfix(p, node);
    if (with_filters)
        node = parse_filters_and_tests(p, node);
    jrun_leave(p->r);
    return node;
}

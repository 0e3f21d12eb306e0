/* From tokens to a tree. The grammar, its precedences and its oddities are jinja2's. */
#ifndef WORKER_TEXT_JINJA_PARSE_H
#define WORKER_TEXT_JINJA_PARSE_H

#include "worker/text/jinja_ast.h"

struct jparse {
    struct jrun *r;
    const struct jtok *tok; /* the current one */
    struct jtree *tree;
    uint32_t depth; /* of nested tags */
};

/* Statements up to the end of the template. */
void jparse_template(struct jparse *p);

/* --- jinja_expr.c --- */

struct jnode *jparse_expression(struct jparse *p);
/* One expression or a tuple without brackets, up to a token that cannot belong to it; or, if given,
 * up to the name `end`. */
struct jnode *jparse_tuple(struct jparse *p, bool with_cond, const char *end);
/* What can be assigned to: names, tuples of names, and with_namespace also ns.attribute. */
struct jnode *jparse_target(struct jparse *p, bool with_namespace, const char *end);
/* "(a, b=1)": parameters of a macro, as JNODE_ARG with a name and a default in a. */
struct jnode *jparse_signature(struct jparse *p);
/* "|filter(args)|filter" upon node; is_first: the first one comes without its '|'. */
struct jnode *jparse_filters(struct jparse *p, struct jnode *node, bool is_first);

/* --- for both --- */

struct jnode *jparse_node(struct jparse *p, enum jnode_kind kind, uint32_t line);
/* The index of a variable's name. */
uint32_t jparse_name(struct jparse *p, const struct jstr *s);
bool jparse_at(const struct jparse *p, enum jtok_type type);
bool jparse_at_name(const struct jparse *p, const char *name);
bool jparse_skip(struct jparse *p, enum jtok_type type);
bool jparse_skip_name(struct jparse *p, const char *name);
const struct jtok *jparse_next(struct jparse *p);
const struct jtok *jparse_expect(struct jparse *p, enum jtok_type type);
void jparse_expect_name(struct jparse *p, const char *name);
_Noreturn void jparse_fail(struct jparse *p, const char *expected);
/* Append node to the list that *end is the end of. */
static inline struct jnode **jparse_append(struct jnode **end, struct jnode *node)
{
    *end = node;
    return &node->next;
}

#endif

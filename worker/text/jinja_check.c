#include "worker/text/jinja_check.h"

typedef void visit_fn(struct jnode *node, void *arg);

static void visit_list(struct jnode *node, visit_fn *visit, void *arg)
{
    for (; node != NULL; node = node->next)
        visit(node, arg);
}

static void visit_one(struct jnode *node, visit_fn *visit, void *arg)
{
    if (node != NULL)
        visit(node, arg);
}

/* Every child, in jinja2's order of fields, which decides about what a macro uses. Not for nodes
 * with targets. */
static void visit_children(struct jnode *node, visit_fn *visit, void *arg)
{
    if (node->kind == JNODE_FILTER_BLOCK) {
        visit_list(node->body, visit, arg);
        visit(node->b, arg);
        return;
    }
    visit_one(node->a, visit, arg);
    visit_one(node->b, visit, arg);
    visit_one(node->c, visit, arg);
    visit_one(node->d, visit, arg);
    visit_list(node->args, visit, arg);
    visit_list(node->body, visit, arg);
    visit_list(node->otherwise, visit, arg);
}

/* --- what macros use --- */

struct uses {
    struct jrun *r;
    unsigned found, hidden;
};

static unsigned use_of(uint32_t name)
{
    return name == JNAME_caller    ? JUSES_CALLER
           : name == JNAME_kwargs  ? JUSES_KWARGS
           : name == JNAME_varargs ? JUSES_VARARGS
                                   : 0;
}

static void hide_target(struct jnode *target, struct uses *u)
{
    if (target->kind == JNODE_NAME)
        u->hidden |= use_of(target->name);
    for (struct jnode *arg = target->args; arg != NULL; arg = arg->next)
        if (arg->a != NULL)
            hide_target(arg->a, u);
}

static void find_uses(struct jnode *node, void *arg);

/* Targets first, then what is not a target. */
static void find_uses_behind_targets(struct jnode *node, struct uses *u)
{
    if (node->kind == JNODE_WITH) {
        for (struct jnode *with = node->args; with != NULL; with = with->next)
            hide_target(with->a, u);
        for (struct jnode *with = node->args; with != NULL; with = with->next)
            find_uses(with->b, u);
    } else {
        hide_target(node->a, u);
        visit_one(node->b, find_uses, u);
    }
    visit_list(node->body, find_uses, u);
    visit_list(node->otherwise, find_uses, u);
    visit_one(node->c, find_uses, u);
}

static void find_uses(struct jnode *node, void *arg)
{
    struct uses *u = arg;

    jrun_enter(u->r);
    switch (node->kind) {
    case JNODE_NAME:
        u->found |= use_of(node->name) & ~u->hidden;
        break;
    case JNODE_FOR:
    case JNODE_SET:
    case JNODE_SET_BLOCK:
    case JNODE_WITH:
        find_uses_behind_targets(node, u);
        break;
    case JNODE_MACRO:
    case JNODE_CALL_BLOCK:
        visit_one(node->a, find_uses, u);
        for (struct jnode *param = node->args; param != NULL; param = param->next)
            u->hidden |= use_of(param->name);
        visit_list(node->args, find_uses, u);
        visit_list(node->body, find_uses, u);
        break;
    default:
        visit_children(node, find_uses, u);
    }
    jrun_leave(u->r);
}

static void set_uses(struct jrun *r, struct jnode *macro)
{
    struct uses u = {.r = r};

    visit_list(macro->body, find_uses, &u);
    for (const struct jnode *param = macro->args; param != NULL; param = param->next) {
        unsigned use = use_of(param->name);
        if (use == JUSES_CALLER && (u.found & use) != 0 && param->a == NULL)
            jrun_fail(r, "a parameter called caller needs a default");
        if (use != JUSES_CALLER)
            u.found &= ~use;
    }
    macro->uses = (uint8_t)u.found;
}

/* --- the rules --- */

struct check {
    struct jrun *r;
    bool is_soft;    /* inside of an if: what does not exist matters when it is used */
    bool is_in_loop; /* break and continue have something to leave */
    bool is_in_for;  /* loop is taken */
};

static void check_node(struct jnode *node, void *arg);

static void check_targets(struct check *c, const struct jnode *target)
{
    if (target->kind == JNODE_NAME && target->name == JNAME_loop && c->is_in_for) {
        c->r->line = target->line;
        jrun_fail(c->r, "loop cannot be assigned to in a for loop");
    }
    for (const struct jnode *arg = target->args; arg != NULL; arg = arg->next)
        if (arg->a != NULL)
            check_targets(c, arg->a);
}

static void check_for(struct check *c, struct jnode *node)
{
    struct check inner = {.r = c->r, .is_in_loop = true, .is_in_for = true};
    struct check otherwise = {.r = c->r, .is_in_loop = c->is_in_loop, .is_in_for = true};

    check_targets(&inner, node->a);
    check_node(node->b, c);
    visit_one(node->c, check_node, &inner);
    visit_list(node->body, check_node, &inner);
    visit_list(node->otherwise, check_node, &otherwise);
}

/* A block that captures or has its own scope; a function of its own cannot be left by break. */
static void check_block(struct check *c, struct jnode *node, bool is_function)
{
    struct check inner = {
        .r = c->r, .is_in_loop = c->is_in_loop && !is_function, .is_in_for = c->is_in_for};

    if (node->kind == JNODE_CALL_BLOCK)
        check_node(node->a, c);
    if (node->kind == JNODE_WITH) {
        for (struct jnode *with = node->args; with != NULL; with = with->next)
            check_node(with->b, c);
    } else {
        visit_list(node->args, check_node, &inner);
    }
    visit_one(node->b, check_node, &inner);
    visit_list(node->body, check_node, &inner);
}

static void check_existence(struct check *c, const struct jnode *node)
{
    if (node->fn == NULL && !c->is_soft)
        jrun_fail(c->r, "there is no %s '%.*s'", node->kind == JNODE_FILTER ? "filter" : "test",
                  node->str->len < 100 ? (int)node->str->len : 100, node->str->p);
}

static void check_softly(struct check *c, struct jnode *node)
{
    struct check soft = *c;

    soft.is_soft = true;
    visit_children(node, check_node, &soft);
}

static void check_node(struct jnode *node, void *arg)
{
    struct check *c = arg;

    jrun_enter(c->r);
    c->r->line = node->line;
    switch (node->kind) {
    case JNODE_FILTER:
    case JNODE_TEST:
        check_existence(c, node);
        visit_children(node, check_node, c);
        break;
    case JNODE_IF:
    case JNODE_COND:
        check_softly(c, node);
        break;
    case JNODE_FOR:
        check_for(c, node);
        break;
    case JNODE_SET_BLOCK:
        check_targets(c, node->a);
        check_block(c, node, false);
        break;
    case JNODE_FILTER_BLOCK:
    case JNODE_WITH:
        check_block(c, node, false);
        break;
    case JNODE_MACRO:
    case JNODE_CALL_BLOCK:
        set_uses(c->r, node);
        check_block(c, node, true);
        break;
    case JNODE_GENERATION:
        check_block(c, node, true);
        break;
    case JNODE_BREAK:
    case JNODE_CONTINUE:
        if (!c->is_in_loop)
            jrun_fail(c->r, "%s outside of a loop",
                      node->kind == JNODE_BREAK ? "break" : "continue");
        break;
    case JNODE_SET:
        check_targets(c, node->a);
        check_node(node->b, c);
        break;
    default:
        visit_children(node, check_node, c);
    }
    jrun_leave(c->r);
}

void jcheck_tree(struct jrun *r, struct jtree *tree)
{
    struct check c = {.r = r};

    visit_list(tree->body, check_node, &c);
}

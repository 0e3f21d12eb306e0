/* Statements. */
#include "worker/text/jinja_eval.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_text.h"

static struct jval make_macro(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jmacro *m = jrun_alloc(r, sizeof *m);

    *m = (struct jmacro){node, s};
    for (; s != NULL && !s->is_captured; s = s->parent)
        s->is_captured = true;
    return (struct jval){.type = JVAL_MACRO, .u.macro = m};
}

/* --- loops --- */

/* Variables of one iteration are gone in the next. */
static struct jscope *renew_scope(struct jrun *r, struct jscope *s, struct jscope *parent)
{
    if (s == NULL || s->is_captured)
        return jscope_new(r, parent);
    s->n = 0;
    return s;
}

bool jeval_pull(struct jrun *r, struct jloop *loop, struct jval *out)
{
    while (jiter_next(r, &loop->it, out)) {
        if (loop->node->c == NULL)
            return true;
        loop->filtering = renew_scope(r, loop->filtering, loop->scope);
        jscope_assign(r, loop->filtering, loop->node->a, *out);
        if (jval_is_true(jeval(r, loop->filtering, loop->node->c)))
            return true;
    }
    return false;
}

static enum jflow exec_for(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jloop *loop = jrun_alloc(r, sizeof *loop);
    struct jscope *inner = NULL;
    struct jval item;
    bool is_complete = false; /* once to its end: jinja2 takes else also when none was */

    *loop = (struct jloop){.node = node, .scope = s, .index0 = -1, .length = -1};
    jiter_start(r, &loop->it, jeval(r, s, node->b));
    while (jiter_loop_next(r, loop, &item)) {
        inner = renew_scope(r, inner, s);
        jscope_set(r, inner, JNAME_loop, (struct jval){.type = JVAL_LOOP, .u.loop = loop});
        jscope_assign(r, inner, node->a, item);
        enum jflow flow = jexec_body(r, inner, node->body);
        if (flow == JFLOW_BREAK)
            break;
        is_complete = is_complete || flow == JFLOW_ON;
    }
    if (is_complete || node->otherwise == NULL)
        return JFLOW_ON;
    return jexec_body(r, jscope_new(r, s), node->otherwise);
}

/* --- blocks --- */

/* What the body writes, as a string, or the flow that left it. */
static enum jflow capture(struct jrun *r, struct jscope *s, const struct jnode *body,
                          struct jval *out)
{
    size_t begin = jstr_begin(r);
    enum jflow flow = jexec_body(r, s, body);

    *out = jval_string(jstr_end(r, begin));
    return flow;
}

static enum jflow exec_set_block(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jscope *inner = jscope_new(r, s);
    enum jflow flow = capture(r, inner, node->body, &inner->content);

    if (flow == JFLOW_ON)
        jscope_assign(r, s, node->a, node->b != NULL ? jeval(r, inner, node->b) : inner->content);
    return flow;
}

static enum jflow exec_filter_block(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jscope *inner = jscope_new(r, s);
    enum jflow flow = capture(r, inner, node->body, &inner->content);

    if (flow == JFLOW_ON)
        jtext_put_str(r, jeval(r, inner, node->b));
    return flow;
}

static enum jflow exec_with(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jscope *inner = jscope_new(r, s);

    for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next)
        jscope_assign(r, inner, arg->a, jeval(r, s, arg->b));
    return jexec_body(r, inner, node->body);
}

static enum jflow exec_if(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    for (const struct jnode *branch = node->args; branch != NULL; branch = branch->next)
        if (jval_is_true(jeval(r, s, branch->a)))
            return jexec_body(r, s, branch->body);
    return jexec_body(r, s, node->otherwise);
}

static enum jflow exec_statement(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    switch (node->kind) {
    case JNODE_DATA:
        jrun_put(r, node->str->p, node->str->len);
        return JFLOW_ON;
    case JNODE_PRINT:
        for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next)
            jtext_put_str(r, jeval(r, s, arg->a));
        return JFLOW_ON;
    case JNODE_IF:
        return exec_if(r, s, node);
    case JNODE_FOR:
        return exec_for(r, s, node);
    case JNODE_SET:
        jscope_assign(r, s, node->a, jeval(r, s, node->b));
        return JFLOW_ON;
    case JNODE_SET_BLOCK:
        return exec_set_block(r, s, node);
    case JNODE_MACRO:
        jscope_set(r, s, node->name, make_macro(r, s, node));
        return JFLOW_ON;
    case JNODE_CALL_BLOCK:
        jtext_put_str(r, jeval_call(r, s, node->a, make_macro(r, s, node)));
        return JFLOW_ON;
    case JNODE_FILTER_BLOCK:
        return exec_filter_block(r, s, node);
    case JNODE_WITH:
        return exec_with(r, s, node);
    case JNODE_GENERATION:
        return jexec_body(r, jscope_new(r, s), node->body);
    case JNODE_BREAK:
        return JFLOW_BREAK;
    default:
        return JFLOW_CONTINUE;
    }
}

enum jflow jexec_body(struct jrun *r, struct jscope *s, const struct jnode *body)
{
    enum jflow flow = JFLOW_ON;

    jrun_enter(r);
    for (; body != NULL && flow == JFLOW_ON; body = body->next) {
        jrun_step(r, 1);
        r->line = body->line;
        flow = exec_statement(r, s, body);
    }
    jrun_leave(r);
    return flow;
}

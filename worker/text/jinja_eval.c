/* Expressions. */
#include "worker/text/jinja_eval.h"

#include "worker/text/jinja.h"
#include "worker/text/jinja_attr.h"
#include "worker/text/jinja_iter.h"
#include "worker/text/jinja_ops.h"
#include "worker/text/jinja_text.h"

/* --- scopes --- */

struct jscope *jscope_new(struct jrun *r, struct jscope *parent)
{
    struct jscope *s = jrun_alloc(r, sizeof *s);

    s->parent = parent;
    return s;
}

static struct jvariable *find_own(struct jrun *r, const struct jscope *s, uint32_t name)
{
    jrun_step(r, s->n / 16);
    for (size_t i = 0; i < s->n; i++)
        if (s->var[i].name == name)
            return &s->var[i];
    return NULL;
}

void jscope_set(struct jrun *r, struct jscope *s, uint32_t name, struct jval v)
{
    if (s->parent == NULL) {
        s->global[name] = v;
        return;
    }
    struct jvariable *own = find_own(r, s, name);
    if (own == NULL) {
        if (s->n == s->cap)
            s->var = jrun_grow_array(r, s->var, s->n, &s->cap, sizeof *s->var);
        own = &s->var[s->n++];
        own->name = name;
    }
    own->value = v;
}

static struct jval find_variable(struct jrun *r, const struct jscope *s, uint32_t name)
{
    for (; s->parent != NULL; s = s->parent) {
        const struct jvariable *own = find_own(r, s, name);
        if (own != NULL)
            return own->value;
    }
    return s->global[name];
}

static void assign_tuple(struct jrun *r, struct jscope *s, const struct jnode *target,
                         struct jval v)
{
    struct jiter it;
    struct jval item;
    const struct jnode *arg = target->args;

    jiter_start(r, &it, v);
    while (jiter_next(r, &it, &item)) {
        if (arg == NULL)
            jrun_fail(r, "there are more values to unpack than names");
        jscope_assign(r, s, arg->a, item);
        arg = arg->next;
    }
    if (arg != NULL)
        jrun_fail(r, "there are fewer values to unpack than names");
}

void jscope_assign(struct jrun *r, struct jscope *s, const struct jnode *target, struct jval v)
{
    struct jval space;

    switch (target->kind) {
    case JNODE_NAME:
        jscope_set(r, s, target->name, v);
        return;
    case JNODE_TUPLE:
        assign_tuple(r, s, target, v);
        return;
    default:
        space = find_variable(r, s, target->name);
        if (space.type != JVAL_NAMESPACE)
            jrun_fail(r, "attributes can be set of namespaces only");
        if (target->str->p[0] == '_')
            jrun_fail(r, "a namespace takes no attribute that begins with an underscore");
        jdict_set(r, space.u.dict, jval_string(target->str), v);
    }
}

/* --- calls --- */

struct call {
    struct jval *v;
    struct jkeyword *kw;
    struct jargs args;
    size_t cap, cap_kw;
};

static void add_position(struct jrun *r, struct call *c, struct jval v)
{
    if (c->args.n == c->cap)
        c->v = jrun_grow_array(r, c->v, c->args.n, &c->cap, sizeof *c->v);
    c->v[c->args.n++] = v;
}

static void add_keyword(struct jrun *r, struct call *c, const struct jstr *name, struct jval v)
{
    for (size_t i = 0; i < c->args.n_kw; i++)
        if (jstr_equal(c->kw[i].name, name))
            jrun_fail(r, "an argument is given twice by the same name");
    jrun_step(r, c->args.n_kw / 16);
    if (c->args.n_kw == c->cap_kw)
        c->kw = jrun_grow_array(r, c->kw, c->args.n_kw, &c->cap_kw, sizeof *c->kw);
    c->kw[c->args.n_kw++] = (struct jkeyword){name, v};
}

static void add_all(struct jrun *r, struct call *c, struct jval from)
{
    struct jiter it;
    struct jval item;

    jiter_start(r, &it, from);
    while (jiter_next(r, &it, &item))
        add_position(r, c, item);
}

static void add_all_keywords(struct jrun *r, struct call *c, struct jval from)
{
    if (from.type != JVAL_DICT)
        jrun_fail(r, "** wants a dict, found a %s", jval_type_name(from));
    for (size_t i = 0; i < from.u.dict->n; i++) {
        struct jval key = from.u.dict->pair[i].key;
        if (key.type != JVAL_STRING)
            jrun_fail(r, "** wants str keys, found a %s", jval_type_name(key));
        add_keyword(r, c, key.u.s, from.u.dict->pair[i].value);
    }
}

static void collect_args(struct jrun *r, struct jscope *s, const struct jnode *node, struct call *c)
{
    *c = (struct call){.cap = node->n_args};
    if (node->n_args > 0)
        c->v = jrun_alloc_array(r, node->n_args, sizeof *c->v);
    for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next) {
        struct jval v = jeval(r, s, arg->a);
        if (arg->op == JARG_POSITION)
            add_position(r, c, v);
        else if (arg->op == JARG_KEYWORD)
            add_keyword(r, c, arg->str, v);
        else if (arg->op == JARG_STAR)
            add_all(r, c, v);
        else
            add_all_keywords(r, c, v);
    }
}

static const struct jargs *close_args(struct call *c)
{
    c->args.v = c->v;
    c->args.kw = c->kw;
    return &c->args;
}

struct jval jeval_call(struct jrun *r, struct jscope *s, const struct jnode *node,
                       struct jval caller)
{
    struct call c;
    struct jval callee = jeval(r, s, node->a);

    collect_args(r, s, node, &c);
    if (caller.type != JVAL_MISSING)
        add_keyword(r, &c, jstr_of(r, "caller"), caller);
    r->line = node->line;
    return jcall_value(r, callee, close_args(&c));
}

/* A filter or a test. */
static struct jval eval_row(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct call c;
    struct jval self = node->a != NULL ? jeval(r, s, node->a) : s->content;

    collect_args(r, s, node, &c);
    r->line = node->line;
    if (node->fn == NULL)
        jrun_fail(r, "there is no %s '%.*s'", node->kind == JNODE_FILTER ? "filter" : "test",
                  node->str->len < 100 ? (int)node->str->len : 100, node->str->p);
    return jcall_invoke(r, node->fn, self, close_args(&c));
}

/* --- macros --- */

static void set_parameters(struct jrun *r, struct jscope *s, const struct jnode *macro,
                           const struct jargs *args, bool *is_used)
{
    size_t i = 0;

    for (const struct jnode *param = macro->args; param != NULL; param = param->next, i++) {
        struct jval v = i < args->n ? args->v[i] : jval_missing();
        for (size_t k = 0; i >= args->n && k < args->n_kw; k++)
            if (!is_used[k] && jstr_equal(args->kw[k].name, param->str)) {
                is_used[k] = true;
                v = args->kw[k].value;
            }
        if (v.type == JVAL_MISSING && param->a == NULL)
            v = jval_absent(JVAL_NO_ARG, JVAL_NONE, param->str);
        jscope_set(r, s, param->name, v);
    }
}

/* In order, so that a default sees the parameters before it. */
static void set_defaults(struct jrun *r, struct jscope *s, const struct jnode *macro)
{
    for (const struct jnode *param = macro->args; param != NULL; param = param->next)
        if (find_variable(r, s, param->name).type == JVAL_MISSING)
            jscope_set(r, s, param->name, jeval(r, s, param->a));
}

static void set_caller(struct jrun *r, struct jscope *s, const struct jnode *macro,
                       const struct jargs *args, bool *is_used)
{
    for (const struct jnode *param = macro->args; param != NULL; param = param->next)
        if (param->name == JNAME_caller)
            return;
    struct jval caller = jval_absent(JVAL_NO_NAME, JVAL_NONE, jstr_of(r, "caller"));
    for (size_t k = 0; k < args->n_kw; k++)
        if (!is_used[k] && jstr_is(args->kw[k].name, "caller")) {
            is_used[k] = true;
            if (args->kw[k].value.type != JVAL_NONE)
                caller = args->kw[k].value;
        }
    jscope_set(r, s, JNAME_caller, caller);
}

static void set_kwargs(struct jrun *r, struct jscope *s, const struct jargs *args,
                       const bool *is_used)
{
    struct jdict *d = jdict_new(r);

    for (size_t k = 0; k < args->n_kw; k++)
        if (!is_used[k])
            jdict_set(r, d, jval_string(args->kw[k].name), args->kw[k].value);
    jscope_set(r, s, JNAME_kwargs, jval_dict(d));
}

static void set_varargs(struct jrun *r, struct jscope *s, const struct jargs *args, size_t from)
{
    struct jlist *l = jlist_new(r, 0);

    for (size_t i = from; i < args->n; i++)
        jlist_add(r, l, args->v[i]);
    jscope_set(r, s, JNAME_varargs, jval_tuple(l));
}

static void bind_macro(struct jrun *r, struct jscope *s, const struct jnode *macro,
                       const struct jargs *args)
{
    bool *is_used = jrun_alloc(r, args->n_kw);
    size_t n = 0;

    for (const struct jnode *param = macro->args; param != NULL; param = param->next)
        n++;
    jrun_step(r, (n + 1) * args->n_kw / 16);
    set_parameters(r, s, macro, args, is_used);
    if ((macro->uses & JUSES_CALLER) != 0)
        set_caller(r, s, macro, args, is_used);
    if ((macro->uses & JUSES_KWARGS) != 0)
        set_kwargs(r, s, args, is_used);
    else
        for (size_t k = 0; k < args->n_kw; k++)
            if (!is_used[k])
                jrun_fail(r, "the macro takes no argument '%.*s'",
                          args->kw[k].name->len < 100 ? (int)args->kw[k].name->len : 100,
                          args->kw[k].name->p);
    if ((macro->uses & JUSES_VARARGS) != 0)
        set_varargs(r, s, args, n);
    else if (args->n > n)
        jrun_fail(r, "the macro takes %zu arguments at most, found %zu", n, args->n);
    set_defaults(r, s, macro);
}

struct jval jeval_macro(struct jrun *r, const struct jmacro *m, const struct jargs *args)
{
    struct jscope *s = jscope_new(r, m->scope);
    uint32_t line = r->line;

    jrun_step(r, 1);
    if (r->calls >= JINJA_DEPTH_MAX)
        jrun_exhaust(r, "macros call each other more than %u deep", JINJA_DEPTH_MAX);
    r->calls++;
    bind_macro(r, s, m->node, args);
    size_t begin = jstr_begin(r);
    jexec_body(r, s, m->node->body);
    r->calls--;
    r->line = line;
    return jval_string(jstr_end(r, begin));
}

/* --- expressions --- */

static struct jval eval_name(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jval v = find_variable(r, s, node->name);

    return v.type == JVAL_MISSING ? jval_absent(JVAL_NO_NAME, JVAL_NONE, node->str) : v;
}

static struct jval eval_list(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jlist *l = jlist_new(r, 0);

    for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next)
        jlist_add(r, l, jeval(r, s, arg->a));
    return node->kind == JNODE_TUPLE ? jval_tuple(l) : jval_list(l);
}

static struct jval eval_dict(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jdict *d = jdict_new(r);

    for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next->next) {
        struct jval key = jeval(r, s, arg->a);
        jdict_set(r, d, key, jeval(r, s, arg->next->a));
    }
    return jval_dict(d);
}

static struct jval eval_slice(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jval of = jeval(r, s, node->a);
    struct jval from = node->b != NULL ? jeval(r, s, node->b) : jval_missing();
    struct jval to = node->c != NULL ? jeval(r, s, node->c) : jval_missing();
    struct jval step = node->d != NULL ? jeval(r, s, node->d) : jval_missing();

    r->line = node->line;
    return jops_slice(r, of, from, to, step);
}

/* The first operand that decides, or the last one. */
static struct jval eval_logic(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jval v = jval_none();

    for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next) {
        v = jeval(r, s, arg->a);
        if (jval_is_true(v) == (node->kind == JNODE_OR))
            break;
    }
    return v;
}

static struct jval eval_math(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jval v = jeval(r, s, node->a);

    for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next) {
        struct jval right = jeval(r, s, arg->a);
        r->line = arg->line;
        v = jops_math(r, arg->op, v, right);
    }
    return v;
}

static struct jval eval_concat(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    size_t begin = jstr_begin(r);

    for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next)
        jtext_put_str(r, jeval(r, s, arg->a));
    return jval_string(jstr_end(r, begin));
}

static struct jval eval_comparison(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jval left = jeval(r, s, node->a);

    for (const struct jnode *arg = node->args; arg != NULL; arg = arg->next) {
        struct jval right = jeval(r, s, arg->a);
        r->line = arg->line;
        if (!jops_compare(r, arg->op, left, right))
            return jval_bool(false);
        left = right;
    }
    return jval_bool(true);
}

static struct jval eval_condition(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    if (jval_is_true(jeval(r, s, node->a)))
        return jeval(r, s, node->b);
    return node->c != NULL ? jeval(r, s, node->c) : jval_absent(JVAL_NO_ELSE, JVAL_NONE, NULL);
}

static struct jval eval_operation(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    struct jval a;

    switch (node->kind) {
    case JNODE_TUPLE:
    case JNODE_LIST:
        return eval_list(r, s, node);
    case JNODE_DICT:
        return eval_dict(r, s, node);
    case JNODE_ATTR:
        a = jeval(r, s, node->a);
        r->line = node->line;
        return jattr_get(r, a, node->str);
    case JNODE_ITEM:
        a = jeval(r, s, node->a);
        struct jval key = jeval(r, s, node->b);
        r->line = node->line;
        return jattr_item(r, a, key);
    case JNODE_SLICE:
        return eval_slice(r, s, node);
    case JNODE_CALL:
        return jeval_call(r, s, node, jval_missing());
    case JNODE_FILTER:
    case JNODE_TEST:
        return eval_row(r, s, node);
    case JNODE_NOT:
        return jval_bool(!jval_is_true(jeval(r, s, node->a)));
    case JNODE_SIGN:
        return jops_sign(r, node->op, jeval(r, s, node->a));
    case JNODE_AND:
    case JNODE_OR:
        return eval_logic(r, s, node);
    case JNODE_MATH:
        return eval_math(r, s, node);
    case JNODE_CONCAT:
        return eval_concat(r, s, node);
    case JNODE_COMPARE:
        return eval_comparison(r, s, node);
    default:
        return eval_condition(r, s, node);
    }
}

struct jval jeval(struct jrun *r, struct jscope *s, const struct jnode *node)
{
    if (node->kind == JNODE_CONST)
        return node->value;
    if (node->kind == JNODE_NAME)
        return eval_name(r, s, node);
    jrun_step(r, 1);
    jrun_enter(r);
    r->line = node->line;
    struct jval v = eval_operation(r, s, node);
    jrun_leave(r);
    return v;
}

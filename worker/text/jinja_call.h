/* What a template can call: functions, filters, tests, methods and macros. Each of ours is a row of
 * a table, with the names of its parameters, so that arguments are bound and refused in one place.
 */
#ifndef WORKER_TEXT_JINJA_CALL_H
#define WORKER_TEXT_JINJA_CALL_H

#include "worker/text/jinja_ast.h"

#define JCALL_PARAMS_MAX 5

struct jkeyword {
    const struct jstr *name;
    struct jval value;
};

struct jargs {
    const struct jval *v;
    size_t n;
    const struct jkeyword *kw;
    size_t n_kw;
};

struct jcall {
    struct jval self;                  /* what is filtered, tested, or whose method it is */
    struct jval arg[JCALL_PARAMS_MAX]; /* by parameter; JVAL_MISSING where none was given */
    const struct jargs *all;
};

typedef struct jval jcall_fn(struct jrun *r, const struct jcall *c);

struct jcallable {
    const char *name;
    jcall_fn *call;                       /* NULL: known to Python, not supported here */
    uint8_t n_needed;                     /* parameters without a default */
    bool is_variadic;                     /* takes what comes, from c->all */
    bool has_keywords;                    /* parameters may be given by name */
    const char *params[JCALL_PARAMS_MAX]; /* in order; NULL behind the last */
};

struct jbound {
    const struct jcallable *fn;
    struct jval self;
};

struct jscope;

struct jmacro {
    const struct jnode *node; /* JNODE_MACRO, JNODE_CALL_BLOCK */
    struct jscope *scope;     /* where it was defined */
};

/* Bind and call. */
struct jval jcall_invoke(struct jrun *r, const struct jcallable *fn, struct jval self,
                         const struct jargs *args);
/* Call a value of the template. */
struct jval jcall_value(struct jrun *r, struct jval callee, const struct jargs *args);
bool jcall_is_callable(struct jval v);
const struct jval *jcall_keyword(const struct jargs *args, const char *name);
void jcall_put_macro(struct jrun *r, const struct jmacro *m);

/* NULL when there is none. */
const struct jcallable *jcall_find(const struct jcallable *table, size_t n,
                                   const struct jstr *name);
const struct jcallable *jcall_find_filter(const struct jstr *name);
const struct jcallable *jcall_find_test(const struct jstr *name);
/* The function of that name, or JVAL_MISSING. */
struct jval jcall_global(const struct jstr *name);

/* Arguments as C values, or fail; a missing one is its default. */
int64_t jcall_int(struct jrun *r, const struct jcall *c, unsigned i, int64_t missing);
bool jcall_bool(const struct jcall *c, unsigned i, bool missing);
const struct jstr *jcall_str(struct jrun *r, const struct jcall *c, unsigned i);
static inline bool jcall_has(const struct jcall *c, unsigned i)
{
    return c->arg[i].type != JVAL_MISSING;
}
/* Not given, or none. */
static inline bool jcall_is_none(const struct jcall *c, unsigned i)
{
    return c->arg[i].type == JVAL_MISSING || c->arg[i].type == JVAL_NONE;
}

/* jinja_eval.c */
struct jval jeval_macro(struct jrun *r, const struct jmacro *m, const struct jargs *args);

#endif

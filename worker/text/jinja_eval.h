/* Running a tree. */
#ifndef WORKER_TEXT_JINJA_EVAL_H
#define WORKER_TEXT_JINJA_EVAL_H

#include "worker/text/jinja_call.h"

struct jvariable {
    uint32_t name;
    struct jval value;
};

/* Where names are found. A tag that has a scope of its own sees the variables around it and sets
 * its own. */
struct jscope {
    struct jscope *parent; /* NULL: the template's own scope, with global[name] */
    struct jval *global;   /* JVAL_MISSING where nothing is set */
    struct jvariable *var;
    size_t n, cap;
    bool is_captured;    /* a macro refers to it: it stays when its tag is over */
    struct jval content; /* what {% filter %} and {% set %} filter */
};

struct jscope *jscope_new(struct jrun *r, struct jscope *parent);
void jscope_set(struct jrun *r, struct jscope *s, uint32_t name, struct jval v);
void jscope_assign(struct jrun *r, struct jscope *s, const struct jnode *target, struct jval v);

struct jval jeval(struct jrun *r, struct jscope *s, const struct jnode *node);
/* A call that hands a block over as `caller`, unless that is JVAL_MISSING. */
struct jval jeval_call(struct jrun *r, struct jscope *s, const struct jnode *node,
                       struct jval caller);

/* jinja_exec.c: write what the body writes. */
enum jflow { JFLOW_ON, JFLOW_BREAK, JFLOW_CONTINUE };
enum jflow jexec_body(struct jrun *r, struct jscope *s, const struct jnode *body);

#endif

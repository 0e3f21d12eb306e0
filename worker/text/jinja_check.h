/* What must hold of a tree before it runs. */
#ifndef WORKER_TEXT_JINJA_CHECK_H
#define WORKER_TEXT_JINJA_CHECK_H

#include "worker/text/jinja_ast.h"

/* Fail for a filter or test that does not exist (inside of {% if %} and inline if that is found out
 * only when it is used, as with jinja2), break and continue outside of loops, and assignments to a
 * loop's `loop`. Fill in jnode.uses of macros. */
void jcheck_tree(struct jrun *r, struct jtree *tree);

#endif

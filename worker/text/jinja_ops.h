/* Python's operators on values. */
#ifndef WORKER_TEXT_JINJA_OPS_H
#define WORKER_TEXT_JINJA_OPS_H

#include "worker/text/jinja_ast.h"

/* a op b; op is the token of + - * / // % **. */
struct jval jops_math(struct jrun *r, uint8_t op, struct jval a, struct jval b);
struct jval jops_sign(struct jrun *r, uint8_t op, struct jval v);
/* a op b; op is the token of a comparison, JCOMPARE_IN or JCOMPARE_NOT_IN. */
bool jops_compare(struct jrun *r, uint8_t op, struct jval a, struct jval b);
/* a[from:to:step]; none or JVAL_MISSING where nothing is given. */
struct jval jops_slice(struct jrun *r, struct jval a, struct jval from, struct jval to,
                       struct jval step);

/* "format" % values. */
struct jval jops_format(struct jrun *r, struct jval format, struct jval values);

#endif

/* Attributes, elements and methods of values, in the order in which the sandbox looks for them. */
#ifndef WORKER_TEXT_JINJA_ATTR_H
#define WORKER_TEXT_JINJA_ATTR_H

#include "worker/text/jinja_call.h"

/* v.name: an attribute first, then an element. */
struct jval jattr_get(struct jrun *r, struct jval v, const struct jstr *name);
/* v[key]: an element first, then an attribute. */
struct jval jattr_item(struct jrun *r, struct jval v, struct jval key);
/* An attribute alone; undefined without one. */
struct jval jattr_only(struct jrun *r, struct jval v, const struct jstr *name);

/* Follow "a.b.0" from v, the way filters name attributes; or one index. default_value replaces what
 * is undefined on the way, unless it is JVAL_MISSING. */
struct jval jattr_path(struct jrun *r, struct jval v, struct jval path, struct jval default_value);

/* Methods by type: jinja_str.c, jinja_methods.c. NULL when there is none. */
const struct jcallable *jstr_method(const struct jstr *name);
const struct jcallable *jval_method(struct jval v, const struct jstr *name);

#endif

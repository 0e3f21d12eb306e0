/* Values as text: Python's str() and repr(), and json.dumps(). All append to r->text. */
#ifndef WORKER_TEXT_JINJA_TEXT_H
#define WORKER_TEXT_JINJA_TEXT_H

#include "worker/text/jinja_value.h"

void jtext_put_str(struct jrun *r, struct jval v);
void jtext_put_repr(struct jrun *r, struct jval v);
void jtext_put_float(struct jrun *r, double d);
/* The text with <, >, &, ' and " as entities, unless it is Markup. */
void jtext_put_escaped(struct jrun *r, struct jval v);

/* str(v): v itself when it is a string. Markup stays Markup. */
const struct jstr *jtext_of(struct jrun *r, struct jval v);
/* escape(v), which is Markup. */
struct jval jtext_escape(struct jrun *r, struct jval v);

struct jtext_json {
    bool is_ascii;             /* escape what is not ASCII */
    bool is_sorted;            /* by key */
    const struct jstr *indent; /* of one level; NULL: all on one line */
    const struct jstr *between_items, *behind_key;
};

void jtext_put_json(struct jrun *r, struct jval v, const struct jtext_json *form);

#endif

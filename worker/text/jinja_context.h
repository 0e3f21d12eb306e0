/* The JSON of a conversation as values. Strings stay where the tree has them. */
#ifndef WORKER_TEXT_JINJA_CONTEXT_H
#define WORKER_TEXT_JINJA_CONTEXT_H

#include "worker/text/jinja.h"
#include "worker/text/jinja_value.h"

struct jval jcontext_value(struct jrun *r, const struct jinja_var *var);

#endif

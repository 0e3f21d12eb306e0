/* Strings and numbers as a template writes them. */
#ifndef WORKER_TEXT_JINJA_LITERAL_H
#define WORKER_TEXT_JINJA_LITERAL_H

#include "worker/text/jinja_value.h"

/* The string that is written so between quotes. */
const struct jstr *jliteral_string(struct jrun *r, const char *p, size_t len);

/* The number that p, which begins with a digit, begins with: an int or a float. Its length. */
size_t jliteral_number(struct jrun *r, const char *p, size_t len, bool may_be_float,
                       struct jval *v);

#endif

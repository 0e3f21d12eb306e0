/* Two tables of filters; jcall_find_filter looks in both. */
#ifndef WORKER_TEXT_JINJA_FILTERS_H
#define WORKER_TEXT_JINJA_FILTERS_H

#include "worker/text/jinja_call.h"

const struct jcallable *jfilter_of_text(const struct jstr *name);     /* jinja_filters_text.c */
const struct jcallable *jfilter_of_sequence(const struct jstr *name); /* jinja_filters.c */

#endif

/* The prompts of a request by their member's name: a string, an array of token ids, or an array of
 * such. */
#ifndef ROUTER_API_PROMPTS_H
#define ROUTER_API_PROMPTS_H

#include "router/api/generate.h"

/* How many there are; 0: refused, *e says why. */
uint32_t prompts_count(const struct json_object *body, const char *name, struct param_error *e);

/* One prompt by itself, or one of several; borrowed. */
struct json_object *prompts_find(const struct json_object *body, const char *name, uint32_t i);

/* The prompt at g->cursor, as form.prepare: the validator bounds what one can hold. */
int prompts_check(struct generation *g, const char *name, struct param_error *e);

#endif

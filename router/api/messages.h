/* The messages of a chat, as chat, /tokenize and /apply-template take them. */
#ifndef ROUTER_API_MESSAGES_H
#define ROUTER_API_MESSAGES_H

#include "router/api/params.h"

/* Check a slice of body.messages, from *cursor (0 at first): 1 = all of it is right, 0 = there is
 * more, negative = refused, *e says why. */
int messages_check(const struct json_object *body, size_t *cursor, struct param_error *e);

#endif

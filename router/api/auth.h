/* Who may do what: API keys (configuration [key], SHA-256 digests, constant time). */
#ifndef ROUTER_API_AUTH_H
#define ROUTER_API_AUTH_H

#include "router/http/server.h"

/* http_app.authorize: with no [key] configured everybody is let in; else the credential's digest
 * must be one of the configured ones. Every digest is compared, whichever matches. */
bool auth_authorize(struct exchange *x, const char *credential, size_t len);

/* May the caller use the model? */
bool auth_may_use(const struct exchange *x, const char *model);

#endif

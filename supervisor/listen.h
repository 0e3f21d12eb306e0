/* Listening sockets: opened by the supervisor, inherited by every router, so that a router's death
 * never refuses a connection. */
#ifndef SUPERVISOR_LISTEN_H
#define SUPERVISOR_LISTEN_H

#include "base/err.h"

#include <stddef.h>

#define LISTEN_BACKLOG 4096

/* Non-blocking, close-on-exec, SO_REUSEADDR. "host:port", "[v6]:port"; an empty host is every
 * address of both families. bound (may be NULL) gets the numeric address, with the port the kernel
 * chose for port 0. The fd, or -errno with the sentence: EADDRINUSE, EADDRNOTAVAIL and EAGAIN (name
 * service) may go away by themselves, everything else is configuration. */
int listen_open(const char *address, char *bound, size_t bound_size, struct err *e);

#endif

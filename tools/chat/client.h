/* One HTTP request at a time to a node, its answer as it comes; libcurl is behind it. */
#ifndef TOOLS_CHAT_CLIENT_H
#define TOOLS_CHAT_CLIENT_H

#include "base/err.h"

#include <stddef.h>

struct client;

struct client_options {
    const char *url;     /* "http://host:port", no path */
    const char *key;     /* NULL = none */
    const char *ca_path; /* PEM of who vouches for the node; NULL = the system's */
    int interrupt_fd;    /* readable: somebody wants the answer to end */
};

/* 0 or -errno with the sentence. What the options point to is copied. */
int client_open(struct client **out, const struct client_options *o, struct err *e);
void client_close(struct client **c);

/* Bytes of the answer's body; none, once more, at its end. Not 0 ends it. */
typedef int client_bytes_fn(void *ctx, long status, const char *bytes, size_t len, struct err *e);

/* POST a JSON body. 0 when the answer came to its end, whatever its status (ctx was told);
 * -EINTR when interrupt_fd became readable (it is not read); what the callback returned; or with
 * the sentence -ECONNREFUSED when nobody answers, -ECONNRESET when the answer broke off, -EINVAL
 * for an address that is none. */
int client_post(struct client *c, const char *path, const char *body, size_t len,
                client_bytes_fn *fn, void *ctx, struct err *e);

#endif

/* Server-sent events, as they come: bytes in, the data of whole events out. Comments and the other
 * fields are nothing to us. */
#ifndef TOOLS_CHAT_SSE_H
#define TOOLS_CHAT_SSE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

#define SSE_EVENT_MAX (4u << 20)

struct sse {
    struct buf line, data; /* owned: a line not ended, an event not ended */
    bool has_data, after_cr;
};

/* 0, or -errno with the sentence, which ends the feeding. */
typedef int sse_event_fn(void *ctx, const char *data, size_t len, struct err *e);

/* 0, the callback's error, or -EPROTO for an event that is too long. */
int sse_feed(struct sse *s, const char *bytes, size_t len, sse_event_fn *fn, void *ctx,
             struct err *e);
void sse_free(struct sse *s);

#endif

/* What an answer consists of, in its order: texts, thoughts and tool calls, put together from the
 * parts that a worker sends. */
#ifndef ROUTER_API_BLOCKS_H
#define ROUTER_API_BLOCKS_H

#include "base/buf.h"
#include "router/route/record.h"

struct block {
    enum channel channel;         /* CHANNEL_CONTENT, CHANNEL_REASONING or CHANNEL_CALL */
    char name[CALL_NAME_MAX + 1]; /* of the tool that is called */
    struct buf text;              /* owned; of a call its arguments */
};

struct blocks {
    struct block *at; /* owned */
    uint32_t n, cap;
    uint32_t n_calls;
};

/* The block that the part begins or continues; NULL for arguments without a call. */
struct block *blocks_add(struct blocks *b, const struct part *part);
void blocks_free(struct blocks *b);

/* Append all text of a channel. */
void blocks_join(const struct blocks *b, enum channel channel, struct buf *out);

#endif

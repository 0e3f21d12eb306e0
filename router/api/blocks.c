#include "router/api/blocks.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static struct block *last(struct blocks *b)
{
    return b->n > 0 ? &b->at[b->n - 1] : NULL;
}

static struct block *open_block(struct blocks *b, enum channel channel)
{
    if (b->n == b->cap) {
        b->cap = b->cap != 0 ? 2 * b->cap : 4;
        b->at = realloc(b->at, b->cap * sizeof *b->at);
        CHECK(b->at != NULL);
    }
    b->at[b->n] = (struct block){.channel = channel};
    return &b->at[b->n++];
}

struct block *blocks_add(struct blocks *b, const struct part *part)
{
    struct block *block = last(b);

    if (part->channel == CHANNEL_CALL) {
        block = open_block(b, CHANNEL_CALL);
        b->n_calls++;
        memcpy(block->name, part->text, part->len);
        return block;
    }
    if (part->channel == CHANNEL_ARGUMENTS) {
        if (block == NULL || block->channel != CHANNEL_CALL)
            return NULL;
    } else if (block == NULL || block->channel != part->channel) {
        block = open_block(b, part->channel);
    }
    buf_add(&block->text, part->text, part->len);
    return block;
}

void blocks_free(struct blocks *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        buf_free(&b->at[i].text);
    free(b->at);
    *b = (struct blocks){0};
}

void blocks_join(const struct blocks *b, enum channel channel, struct buf *out)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (b->at[i].channel == channel)
            buf_add(out, buf_text(&b->at[i].text), buf_pending(&b->at[i].text));
}

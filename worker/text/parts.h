/* Text in channels, in the form of a record's parts (shm/protocol.h). */
#ifndef WORKER_TEXT_PARTS_H
#define WORKER_TEXT_PARTS_H

#include "base/buf.h"
#include "shm/protocol.h"

#include <stdbool.h>

struct parts {
    struct buf buf; /* owned: n part heads, each with its text */
    uint32_t n;
    size_t last;     /* where the last one begins */
    size_t text_len; /* of all texts */
};

/* Text of the same channel as the one before joins it; each CHANNEL_CALL is a part of its own. */
void parts_add(struct parts *p, enum channel channel, const char *text, size_t len);
void parts_clear(struct parts *p);
void parts_free(struct parts *p);

struct part_view {
    enum channel channel;
    const char *text; /* borrowed */
    size_t len;
};

/* Walk them: *at is 0 for the first. False behind the last. */
bool parts_next(const struct parts *p, size_t *at, struct part_view *part);

#endif

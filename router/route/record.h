/* The records of a worker, cut up and checked as far as that takes no request: lengths, counts,
 * flags, values out of lists, UTF-8, numbers. Pure functions of the bytes of a stranger. */
#ifndef ROUTER_ROUTE_RECORD_H
#define ROUTER_ROUTE_RECORD_H

#include "shm/protocol.h"
#include "shm/ring.h"

#include <stddef.h>
#include <stdint.h>

struct part {
    enum channel channel;
    const char *text; /* borrowed, UTF-8 */
    size_t len;
};

/* What could have stood in a token's place. */
struct top {
    uint32_t token;
    float logprob;    /* -infinity = impossible; NaN = none, of the first echoed token */
    const char *text; /* borrowed; bytes, not always UTF-8 */
    size_t len;
};

/* NULL, or what is wrong with the record. The counts are in the heads; what comes out points into
 * the record. */
const char *record_read_accept(const struct ring_record *rec, struct accept_body *body);
const char *record_read_token(const struct ring_record *rec, struct token_head *head,
                              struct part parts[PARTS_MAX], struct top tops[TOPS_MAX]);
const char *record_read_done(const struct ring_record *rec, struct done_head *head,
                             struct part parts[PARTS_MAX]);
const char *record_read_fail(const struct ring_record *rec, struct fail_head *head,
                             char text[FAIL_TEXT_MAX + 1]);

#endif

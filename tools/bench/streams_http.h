/* The client's half of HTTP/1.1 and of server-sent events: just enough to read what one POST
 * brings, strictly, in pieces of any size. */
#ifndef BENCH_STREAMS_HTTP_H
#define BENCH_STREAMS_HTTP_H

#include "base/buf.h"
#include "tools/bench/streams_stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum response_state {
    IN_HEAD,
    IN_LENGTH, /* body of known length */
    IN_SIZE,   /* chunked: hexadecimal size */
    IN_SIZE_LF,
    IN_CHUNK,
    IN_CHUNK_CR,
    IN_CHUNK_LF,
    IN_LAST_CR, /* the empty line after the chunk of size 0; no trailers */
    IN_LAST_LF,
    RESPONSE_OVER,
};

struct response {
    enum response_state state;
    int status;
    bool is_event_stream;
    bool is_last; /* "Connection: close" */
    bool has_digit;
    uint64_t left; /* of the body or of the chunk */
    struct buf head;
};

void response_init(struct response *r);
void response_free(struct response *r);

/* The next piece of the body. Consumes from *data; *piece_len 0 means that all of it was consumed
 * or that the response is over (state says which). FAULT_HTTP when it is malformed. */
enum fault response_next(struct response *r, const char **data, size_t *len, const char **piece,
                         size_t *piece_len);

enum sse_kind { SSE_NOTHING, SSE_EVENT, SSE_COMMENT };

struct sse {
    struct buf line; /* what has come of one that is not complete */
    bool is_after_data;
    bool has_taken; /* line holds a complete line, handed out by the last call */
};

void sse_free(struct sse *s);

/* The next event (*text is its data) or comment. Consumes from *data; SSE_NOTHING: all of it.
 * Events of anything but one data line are FAULT_SSE. */
enum fault sse_next(struct sse *s, const char **data, size_t *len, enum sse_kind *kind,
                    const char **text, size_t *text_len);

#endif

/* Strict decoder of the chunked transfer coding (RFC 9112 §7.1), incremental and in place:
 * hexadecimal sizes of at most 15 digits, CRLF only, chunk extensions at most 256 bytes a chunk,
 * trailers checked like fields, dropped, at most 8 KiB. */
#ifndef ROUTER_HTTP_CHUNKED_H
#define ROUTER_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#define CHUNKED_EXTENSION_MAX 256
#define CHUNKED_TRAILER_MAX   8192

struct chunked {
    int state;
    uint32_t digits, extension, trailer, line;
    uint64_t left; /* of the current chunk */
    const char *why; /* one sentence after CHUNKED_REFUSED, static */
};

enum chunked_result {
    CHUNKED_MORE, /* everything given was consumed */
    CHUNKED_DATA, /* *data, *data_len point into the input */
    CHUNKED_END,  /* the last trailer line was consumed; what follows is the next request */
    CHUNKED_REFUSED,
};

void chunked_init(struct chunked *c);

/* Consume from input; *used bytes are done with. Call again with the rest until it says MORE. */
enum chunked_result chunked_next(struct chunked *c, const char *input, size_t len, size_t *used,
                                 const char **data, size_t *data_len);

#endif

/* The signature of a thinking block of /v1/messages: to clients an opaque string that they send
 * back with the block. It names the answer and says what was thought there, so that the tokens can
 * be found again; it proves nothing, and thinking is taken back with any other one, too.
 *
 *   byte 0   version, 1
 *   byte 1   number of the block in the answer, little-endian
 *   byte 3   the first 16 bytes of the text's SHA-256
 *   byte 19  the answer's id
 *
 * in base64url without padding. */
#ifndef ROUTER_API_SIGNATURE_H
#define ROUTER_API_SIGNATURE_H

#include "base/buf.h"

/* Append it. text: len bytes. */
void signature_write(const char *id, uint16_t block, const char *text, size_t len, struct buf *out);

#endif

/* Base64 as RFC 4648 has it: the alphabet with + and /, padded, nothing else between. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

void base64_encode(const void *data, size_t len, struct buf *out);

/* Appends the bytes. -EINVAL for anything base64_encode would not have written; then out holds some
 * of it. */
int base64_decode(const char *text, size_t len, struct buf *out);

#endif

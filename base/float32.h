/* Numbers of 32 bits as text. */
#ifndef BASE_FLOAT32_H
#define BASE_FLOAT32_H

#include "base/buf.h"

/* Append a finite x as a JSON number of as few digits as read back the same float32, whether the
 * reader goes through double or not. */
void float32_write(float x, struct buf *out);

#endif

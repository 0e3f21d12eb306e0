/* Strict UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates, at most U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* Length of the well-formed sequence at s (1 to 4), or 0 when there is none within len bytes. */
size_t utf8_sequence(const char *s, size_t len);

/* 1 when all len bytes are well-formed. */
int utf8_valid(const char *s, size_t len);

#endif

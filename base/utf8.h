/* Strict UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates, at most U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed sequence at s (1 to 4), or 0 when there is none within len bytes. */
size_t utf8_sequence(const char *s, size_t len);

/* 1 when all len bytes are well-formed. */
int utf8_valid(const char *s, size_t len);

/* The character at s, which has its whole sequence there; *n is its length in bytes. */
static inline uint32_t utf8_decode(const char *s, size_t *n)
{
    const unsigned char *p = (const unsigned char *)s;

    if (p[0] < 0x80) {
        *n = 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *n = 2;
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    }
    if (p[0] < 0xf0) {
        *n = 3;
        return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    }
    *n = 4;
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

/* The 1 to 4 bytes of a character. */
size_t utf8_encode(uint32_t c, char to[4]);

#endif

#include "base/base64.h"

#include <errno.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, struct buf *out)
{
    const unsigned char *from = data;
    size_t n = (len + 2) / 3 * 4;
    char *to = buf_reserve(out, n);

    for (size_t i = 0; i < len; i += 3) {
        size_t rest = len - i;
        uint32_t bits = (uint32_t)from[i] << 16 | (rest > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                        (rest > 2 ? (uint32_t)from[i + 2] : 0);
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 63];
        *to++ = rest > 1 ? alphabet[bits >> 6 & 63] : '=';
        *to++ = rest > 2 ? alphabet[bits & 63] : '=';
    }
    buf_commit(out, n);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t len, struct buf *out)
{
    size_t padding = 0;

    if (len % 4 != 0)
        return -EINVAL;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    size_t n = len / 4 * 3 - padding;
    char *to = buf_reserve(out, len / 4 * 3);
    for (size_t i = 0; i < len; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = i + k < len - padding ? value_of(text[i + k]) : 0;
            if (value < 0)
                return -EINVAL;
            bits = bits << 6 | (uint32_t)value;
        }
        if (i + 4 == len && (bits & ((1u << 8 * padding) - 1)) != 0)
            return -EINVAL; /* bits behind the last byte */
        *to++ = (char)(bits >> 16);
        *to++ = (char)(bits >> 8);
        *to++ = (char)bits;
    }
    buf_commit(out, n);
    return 0;
}

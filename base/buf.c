#include "base/buf.h"

#include "base/check.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->cap - b->len >= n && b->data != NULL)
        return b->data + b->len;
    if (b->pos > 0) {
        memmove(b->data, b->data + b->pos, b->len - b->pos);
        b->len -= b->pos;
        b->pos = 0;
    }
    if (b->cap - b->len < n || b->data == NULL) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap - b->len < n)
            cap *= 2;
        b->data = realloc(b->data, cap);
        CHECK(b->data != NULL);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), data, n);
    b->len += n;
}

void buf_add_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    *buf_reserve(b, 1) = c;
    b->len++;
}

void buf_add_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof digits;
    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    buf_add(b, digits + i, sizeof digits - i);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    char *at = buf_reserve(b, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
    CHECK(n <= buf_pending(b));
    b->pos += n;
    if (b->pos == b->len)
        b->pos = b->len = 0;
}

char *buf_text(struct buf *b)
{
    *buf_reserve(b, 1) = '\0';
    return b->data + b->pos;
}

void buf_clear(struct buf *b)
{
    b->pos = b->len = 0;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_add_json_string(struct buf *b, const char *s, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0; /* s[plain, i) needs no escape and has not been copied yet */
    size_t i = 0;

    buf_add_char(b, '"');
    while (i < len) {
        unsigned char c = (unsigned char)s[i];
        size_t seq = c < 0x80 ? 1 : utf8_sequence(s + i, len - i);
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && seq > 0) {
            i += seq;
            continue;
        }
        buf_add(b, s + plain, i - plain);
        if (seq == 0) {
            buf_add(b, "\xef\xbf\xbd", 3);
        } else if (c == '"' || c == '\\') {
            char esc[2] = {'\\', (char)c};
            buf_add(b, esc, 2);
        } else if (c == '\n') {
            buf_add(b, "\\n", 2);
        } else {
            char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            buf_add(b, esc, 6);
        }
        plain = ++i;
    }
    if (len > plain)
        buf_add(b, s + plain, len - plain);
    buf_add_char(b, '"');
}

void buf_add_printable(struct buf *b, const char *s, size_t len, const char *kept)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(s + i, len - i);
        unsigned char c = (unsigned char)s[i];
        bool is_c1 = n == 2 && c == 0xc2 && (unsigned char)s[i + 1] < 0xa0;
        bool is_control = c < 0x20 ? c == 0 || strchr(kept, c) == NULL : c == 0x7f || is_c1;
        if (n == 0 || is_control)
            buf_add_char(b, '?');
        else
            buf_add(b, s + i, n);
        i += n == 0 ? 1 : n;
    }
}

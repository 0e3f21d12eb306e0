/* A growing byte buffer with a read position: socket output, JSON text, request bodies.
 * Memory failure aborts: every buffer here is bounded by a configured limit checked by its owner. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* owned */
    size_t pos; /* first unread byte */
    size_t len; /* end of the written bytes */
    size_t cap;
};

static inline size_t buf_pending(const struct buf *b)
{
    return b->len - b->pos;
}

/* Room for n more bytes after len; returns where they go. Follow with buf_commit. */
char *buf_reserve(struct buf *b, size_t n);
static inline void buf_commit(struct buf *b, size_t n)
{
    b->len += n;
}

void buf_add(struct buf *b, const void *data, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Take n bytes from the front. An emptied buffer starts again at 0. */
void buf_consume(struct buf *b, size_t n);

/* NUL after the last byte (not counted in len); the text, valid until the next change. */
char *buf_text(struct buf *b);

/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);

/* Give the memory back and leave an empty buffer. */
void buf_free(struct buf *b);

/* A JSON string literal with its quotes. len bytes of UTF-8; what is not UTF-8 comes out as
 * U+FFFD, control bytes as \u00xx. */
void buf_add_json_string(struct buf *b, const char *s, size_t len);

/* Text that may come from anybody, for a terminal: control bytes but for those in `kept`, and what
 * is not UTF-8, come out as '?'. */
void buf_add_printable(struct buf *b, const char *s, size_t len, const char *kept);

#endif

/* A text on its way through the tokenizer, and where the input's cuts are in it. */
#ifndef WORKER_TEXT_TOKENIZER_TEXT_H
#define WORKER_TEXT_TOKENIZER_TEXT_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* How much longer a text may become on its way: 0, or -E2BIG. No text needs as much; a file can ask
 * for more than there is memory. */
#define TEXT_GROWTH_MAX 64
#define TEXT_GROWTH_ADD ((size_t)1 << 20)
int text_check_growth(size_t from, size_t to, struct err *e);

/* A cut: a place, or, where something was replaced that it lay in, all of the replacement. */
struct text_cut {
    size_t low, high;
};

struct text {
    const char *p; /* borrowed; well-formed UTF-8 */
    size_t len;
    size_t n_first;              /* bytes in front that come from the input's first character */
    const struct text_cut *cuts; /* borrowed; both bounds ascend */
    size_t n_cuts;
    size_t cut_base; /* what to take from a cut's bounds to have a place in p */
};

/* What n_first is in bytes begin to end of a text. */
size_t text_first_of(size_t n_first, size_t begin, size_t end);

/* Bytes begin to end of it, with the cuts that may lie inside of something there. */
struct text text_slice(const struct text *t, size_t begin, size_t end);

/* A cut lies inside of bytes begin to end, not at their edges. */
bool text_is_cut(const struct text *t, size_t begin, size_t end);

/* A text while it is written from another one: the cuts move as the stretches they lie in go by. */
struct text_writer {
    struct buf *out;         /* borrowed, empty at first */
    const struct text *from; /* borrowed */
    struct text_cut *cuts;   /* borrowed: room for from->n_cuts */
    size_t n_low, n_high;    /* bounds that have been moved */
    size_t n_first;          /* of what is written */
};

/* Bytes begin to end of from, as they are. */
void text_copy(struct text_writer *w, size_t begin, size_t end);
/* Something else for them; an insertion where begin == end. It comes from where the last of them
 * comes from, or, when it is an insertion, the byte before, or the first. */
void text_put(struct text_writer *w, size_t begin, size_t end, const char *p, size_t len);
/* Nothing more comes. */
struct text text_finish(struct text_writer *w);

/* What is not UTF-8, a U+FFFD for each maximal part that begins a sequence, or for one byte. */
void text_write_clean(struct text_writer *w);

#endif

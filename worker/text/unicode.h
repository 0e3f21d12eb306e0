/* Characters as the `tokenizers` library sees them, whatever version of Unicode utf8proc and PCRE2
 * have here: where they differ, tables from the library itself decide. Texts are well-formed UTF-8.
 */
#ifndef WORKER_TEXT_UNICODE_H
#define WORKER_TEXT_UNICODE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool unicode_is_space(uint32_t c); /* White_Space */
bool unicode_is_word(uint32_t c);  /* \w of Rust's regex */
bool unicode_is_mark(uint32_t c);
/* The 1 or 2 characters of c in lower case. */
size_t unicode_lower(uint32_t c, uint32_t to[2]);

/* Ranges of punctuation as the inside of a class of a pattern: \x{21}-\x{2f}... */
void unicode_add_punctuation(struct buf *pattern);

/* A form of normalisation; in the order of the bits of unicode_data.c. */
enum unicode_form_name { UNICODE_NFC, UNICODE_NFD, UNICODE_NFKC, UNICODE_NFKD };

/* The next stretch, from *begin on, that normalisation may change: what is outside of such
 * stretches stays, and each can be normalised by itself. false when there is none. */
bool unicode_next_unsettled(enum unicode_form_name form, const char *text, size_t len,
                            size_t *begin, size_t *end);
/* Append the normalised stretch. scratch: what is in it does not matter. */
void unicode_normalize(enum unicode_form_name form, const char *text, size_t len,
                       struct buf *scratch, struct buf *out);

/* true when the text has characters that the library knows and Unicode 14.0 does not: then out
 * holds the text with an older character of the same category and length in the place of each. */
bool unicode_add_proxies(const char *text, size_t len, struct buf *out);

#endif

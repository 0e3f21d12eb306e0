/* Characters as Python's str sees them. Strings here are well-formed UTF-8. */
#ifndef WORKER_TEXT_JINJA_UNICODE_H
#define WORKER_TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool juni_is_space(uint32_t c);
bool juni_is_printable(uint32_t c);
bool juni_is_alpha(uint32_t c);
bool juni_is_decimal(uint32_t c);
bool juni_is_digit(uint32_t c);
bool juni_is_numeric(uint32_t c);
bool juni_is_alnum(uint32_t c);
bool juni_is_upper(uint32_t c);
bool juni_is_lower(uint32_t c);
bool juni_is_title(uint32_t c);
bool juni_is_cased(uint32_t c);
bool juni_is_ignorable(uint32_t c); /* between a letter and the end of its word */

/* The 1 to 3 characters that c becomes. */
size_t juni_upper_of(uint32_t c, uint32_t to[3]);
size_t juni_title_of(uint32_t c, uint32_t to[3]);
size_t juni_lower_of(uint32_t c, uint32_t to[3]); /* a final sigma is the caller's affair */

/* The character that ends just before s, and its length. */
uint32_t juni_decode_before(const char *s, size_t *n);
/* Characters in len bytes. */
size_t juni_count(const char *s, size_t len);
/* Bytes that the first n characters take; s has at least n. */
size_t juni_offset(const char *s, size_t len, size_t n);

#endif

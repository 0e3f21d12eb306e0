/* JSON text that arrives character by character: what of it may be passed on as it comes.
 *
 * A character is one whole UTF-8 sequence. What is passed on is the text itself, but for strings:
 * they are decoded and escaped anew, so that nothing ever ends inside an escape, a control
 * character that stands bare is escaped, a backslash that escapes nothing is one, and half a
 * surrogate pair is U+FFFD. */
#ifndef WORKER_TEXT_JSON_SCAN_H
#define WORKER_TEXT_JSON_SCAN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_SCAN_DEPTH_MAX 64

/* --- the characters of a string literal, behind its opening quote --- */

struct json_chars {
    uint8_t n;
    char escape[12]; /* the beginning of one, or of a surrogate pair */
};

/* Append to out what the character says. True when it was the closing quote. */
bool json_chars_push(struct json_chars *c, const char *s, size_t n, struct buf *out);

/* What text is inside a string literal. */
void json_escape(struct buf *out, const char *text, size_t len);

/* --- one value --- */

enum json_kind {
    JSON_KIND_NONE, /* not begun */
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_BOOL,
    JSON_KIND_NULL,
};

struct json_scan {
    uint8_t at; /* enum scan_at of json_scan.c */
    uint8_t number, word, word_at;
    uint8_t depth;
    uint8_t kind;       /* enum json_kind of the whole */
    bool has_fraction;  /* the last number is not written as an integer */
    bool takes_python;  /* True, False and None are words, too: templates write them */
    uint64_t is_object; /* bit i: what is open at depth i */
    struct json_chars chars;
};

enum json_scan_result { JSON_SCAN_MORE, JSON_SCAN_DONE, JSON_SCAN_BROKEN };

/* Append to out what may be passed on. DONE: the value is complete with this character; white space
 * may follow. BROKEN: it cannot stand here; nothing has changed. A number that is the whole value
 * never says DONE by itself. */
enum json_scan_result json_scan_push(struct json_scan *j, const char *s, size_t n, struct buf *out);

/* Whether the value may end here. */
bool json_scan_is_whole(const struct json_scan *j);

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

#endif

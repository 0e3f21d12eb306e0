/* The sets of characters of regex_translate.c: \s and its like, \p{...}, [...]. */
#ifndef WORKER_TEXT_REGEX_CLASS_H
#define WORKER_TEXT_REGEX_CLASS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Members of a class that are \w to Oniguruma. */
#define REGEX_WORD \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}" \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

#define REGEX_DEPTH_MAX 64 /* of groups and classes */

/* A pattern while it is read. */
struct regex_reader {
    const char *begin, *at, *end;
    const char *script_prefix;
    struct buf *out;
    struct err *e;
    unsigned depth;
    bool folds_case;
    bool dot_takes_newline;
    bool asks_for_categories;
    uint32_t last_literal; /* the one just before, 0: none */
};

/* regex_translate.c */
int regex_refuse(const struct regex_reader *r, const char *at, const char *what);
bool regex_accept(struct regex_reader *r, const char *text);
void regex_add_literal(struct buf *out, uint32_t c);
int regex_hex_digit(char c);
/* Behind a backslash, at < end: an escape that is one character. */
int regex_read_escaped(struct regex_reader *r, const char *at, uint32_t *c);

/* Behind a backslash, at < end: a set, written to r->out. 1, 0 when it is none, or an error. */
int regex_read_set(struct regex_reader *r, const char *at);
/* Behind '[': the class, written to r->out as what matches one character. */
int regex_read_class(struct regex_reader *r, const char *at);

#endif

/* From the regular expressions of the `tokenizers` library, which are Oniguruma's with Ruby's
 * syntax, to PCRE2's with the same matches. What the two read differently is written out: \s, \w,
 * \d, \b, \h, \v, nested and intersected classes, {n,m}+, {n}?, (?m), inline options; what has no
 * counterpart here is refused with its place. Groups capture nothing. */
#ifndef WORKER_TEXT_REGEX_TRANSLATE_H
#define WORKER_TEXT_REGEX_TRANSLATE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define REGEX_PATTERN_MAX 16384 /* bytes */

struct regex_translation {
    struct buf pattern;       /* owned */
    bool asks_for_categories; /* matches depend on categories or scripts of characters */
};

/* script_prefix: what PCRE2 wants before the name of a script, "sc:" or "". 0, -EINVAL, -E2BIG; on
 * failure nothing is owned. */
int regex_translate(const char *from, size_t len, const char *script_prefix,
                    struct regex_translation *out, struct err *e);

#endif

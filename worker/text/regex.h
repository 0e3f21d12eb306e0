/* Regular expressions of the `tokenizers` library, by PCRE2: the one place that sees pcre2.h. */
#ifndef WORKER_TEXT_REGEX_H
#define WORKER_TEXT_REGEX_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct regex;

/* 0; -EINVAL, -E2BIG with "byte N: found, expected". */
int regex_new(const char *pattern, size_t len, struct regex **out, struct err *e);
void regex_free(struct regex **r);

/* Matches depend on the category of characters: see unicode_add_proxies. */
bool regex_asks_for_categories(const struct regex *r);

/* What matching needs; one for each thread. */
struct regex_work;
struct regex_work *regex_work_new(void);
void regex_work_free(struct regex_work **w);

/* All matches from here on may take this much of PCRE2's match limit together, as far as it counts:
 * beyond that a search ends with -E2BIG, whatever the pattern and the text. */
#define REGEX_BUDGET 100000000
void regex_work_begin(struct regex_work *w);

/* The first match that begins at from or later, in well-formed UTF-8: 1, 0 when there is none,
 * -E2BIG. */
int regex_find(const struct regex *r, struct regex_work *w, const char *text, size_t len,
               size_t from, size_t *begin, size_t *end, struct err *e);

#endif

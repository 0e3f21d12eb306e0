/* {"String": ...} or {"Regex": ...}: what is replaced, or split at. */
#ifndef WORKER_TEXT_TOKENIZER_PATTERN_H
#define WORKER_TEXT_TOKENIZER_PATTERN_H

#include "base/json.h"
#include "worker/text/regex.h"

struct pattern {
    struct regex *regex; /* owned; NULL: the literal */
    char *literal;       /* owned, not empty */
    size_t len;
};

int pattern_read(struct pattern *p, const struct json_object *step, struct err *e);
int pattern_from_regex(struct pattern *p, const char *text, size_t len, struct err *e);
void pattern_from_literal(struct pattern *p, const char *text, size_t len);
void pattern_free(struct pattern *p);

/* All matches in a text, one after another, as the library finds them: an empty one does not follow
 * at the end of another. */
struct pattern_walk {
    const struct pattern *pattern;
    struct regex_work *work;
    const char *text; /* borrowed: of the caller or in proxies */
    size_t len;
    size_t at;
    size_t last_end; /* SIZE_MAX: no match yet */
};

/* The text and proxies, a buffer of the caller, stay until the walk is over. */
void pattern_begin(struct pattern_walk *k, const struct pattern *p, struct regex_work *work,
                   const char *text, size_t len, struct buf *proxies);
/* 1 with the match, 0 when there is no more, -E2BIG. */
int pattern_next(struct pattern_walk *k, size_t *begin, size_t *end, struct err *e);

#endif

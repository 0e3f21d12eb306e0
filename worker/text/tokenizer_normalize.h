/* The normalizer of tokenizer.json: steps from text to text. */
#ifndef WORKER_TEXT_TOKENIZER_NORMALIZE_H
#define WORKER_TEXT_TOKENIZER_NORMALIZE_H

#include "base/buf.h"
#include "base/json.h"
#include "worker/text/regex.h"
#include "worker/text/tokenizer_pattern.h"
#include "worker/text/tokenizer_text.h"

#define NORMALIZER_STEPS_MAX 32

struct normalizer_step;
struct normalizer {
    struct normalizer_step *steps; /* owned */
    uint32_t n;
};

/* o may be NULL: none. On failure there is nothing to free. */
int normalizer_read(struct normalizer *n, const struct json_object *o, struct err *e);
void normalizer_free(struct normalizer *n);

/* Two texts that the steps go back and forth between; one of this for each thread. */
struct normalizer_work {
    struct regex_work *regex; /* borrowed */
    struct buf scratch, points;
    struct normalizer_side {
        struct buf text;
        struct text_cut *cuts;
        size_t cap;
    } sides[2];
};
void normalizer_work_free(struct normalizer_work *w);

/* The normalised text, with the cuts where they are in it. It borrows from in and from w. 0, or
 * -E2BIG. */
int normalizer_run(const struct normalizer *n, struct normalizer_work *w, const struct text *in,
                   struct text *out, struct err *e);

#endif

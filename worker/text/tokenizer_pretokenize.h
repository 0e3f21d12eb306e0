/* The pre_tokenizer of tokenizer.json: stages that cut a text into words. */
#ifndef WORKER_TEXT_TOKENIZER_PRETOKENIZE_H
#define WORKER_TEXT_TOKENIZER_PRETOKENIZE_H

#include "base/buf.h"
#include "base/json.h"
#include "worker/text/regex.h"

#include <stdbool.h>

#define PRETOKENIZER_STAGES_MAX 32

struct pretokenizer_stage;
struct pretokenizer {
    struct pretokenizer_stage *stages; /* owned */
    uint32_t n;
    bool ends_in_bytes; /* words are bytes, each to be looked up as its character */
};

/* o may be NULL: the whole text is one word. On failure there is nothing to free. */
int pretokenizer_read(struct pretokenizer *p, const struct json_object *o, struct err *e);
void pretokenizer_free(struct pretokenizer *p);

/* What cutting needs; one for each thread. */
struct pretokenizer_work {
    struct regex_work *regex; /* borrowed */
    struct {
        struct buf text, proxies;
    } stages[PRETOKENIZER_STAGES_MAX];
};
void pretokenizer_work_free(struct pretokenizer_work *w);

/* Called with each word, in order; none is empty. Not 0 ends the run with it. */
typedef int pretokenizer_fn(void *ctx, const char *word, size_t len, struct err *e);

/* n_first: bytes in front that come from the input's first character. 0, -E2BIG, or what fn said.
 */
int pretokenizer_run(const struct pretokenizer *p, struct pretokenizer_work *w, const char *text,
                     size_t len, size_t n_first, pretokenizer_fn *fn, void *ctx, struct err *e);

#endif

/* The post_processor of tokenizer.json: what is added before and behind the ids of a text. */
#ifndef WORKER_TEXT_TOKENIZER_POST_H
#define WORKER_TEXT_TOKENIZER_POST_H

#include "base/json.h"
#include "worker/text/tokenizer.h"

struct post {
    struct token_ids before, behind; /* owned */
};

/* o may be NULL. Each id is below n_ids. On failure there is nothing to free. */
int post_read(struct post *p, const struct json_object *o, uint32_t n_ids, struct err *e);
void post_free(struct post *p);

#endif

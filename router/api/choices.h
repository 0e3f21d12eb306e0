/* The frame around the choices of OpenAI's chat and text completions: chunks of a stream, the
 * whole, usage. What a choice says is the dialect's. */
#ifndef ROUTER_API_CHOICES_H
#define ROUTER_API_CHOICES_H

#include "router/api/generate.h"

struct choices_form {
    struct form form;   /* first: open to whole are those below */
    const char *object; /* of a whole response */
    const char *chunk;  /* of an event */
    const char *delta;  /* what a choice of an event begins with, after its index */

    void (*start)(struct choice *c);                    /* first event of a choice; NULL: none */
    void (*choice)(struct choice *c, struct buf *body); /* its members in a whole response */
};

void choices_open(struct generation *g);
void choices_close(struct generation *g);
void choices_fail(struct generation *g, enum api_error error, const char *text);
void choices_whole(struct generation *g, struct buf *body);

/* One event of the stream: begins with c->head; append the delta or the text; end closes it with
 * log-probabilities in the dialect's words, and the reason, NULL when there is more. */
struct buf *choices_event(struct choice *c);
typedef void logprobs_taker(struct logprobs *l, struct buf *out);
void choices_event_end(struct choice *c, struct buf *out, const char *reason, logprobs_taker *take);

#endif

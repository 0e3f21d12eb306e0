/* What a client asked for, as one or more answers: what chat, completions and the texts share. A
 * dialect supplies the words (struct form); generate.c everything until the requests are on their
 * way, deliver.c everything after: order, keep-alives, usage, the end.
 *
 * A request of the route layer is one answer to one prompt, with a journal of its own; a generation
 * has one for each of the n answers to each of its prompts (struct choice), and ends when all have
 * ended, or the first one failed, or the client is gone.
 *
 * Headers of a stream go out when the workers have accepted all requests, with the first token, or
 * HOLD_MS after the request was found valid, whichever is first: what a worker refuses at once (a
 * prompt that is too long) is still an HTTP status, and a client never waits silently for a queue
 * or a cold load.
 */
#ifndef ROUTER_API_GENERATE_H
#define ROUTER_API_GENERATE_H

#include "router/api/logprobs.h"
#include "router/api/params.h"
#include "router/router.h"

#define HOLD_MS 50

struct choice;
struct generation;

struct form {
    enum dialect dialect;
    enum prompt_kind kind;
    const char *id_prefix; /* "chatcmpl-" */
    const char *object;    /* of a whole response; NULL for the texts, which are no such object */
    const char *chunk;     /* of an event */
    const char *delta;     /* what a choice of an event begins with, after its index */

    /* Prompts in the body, or 0: refused, *e says why. NULL: always one. */
    uint32_t (*count)(const struct json_object *body, struct param_error *e);
    /* Check a slice of the prompts, from *cursor (0 at first): 1 = all of it is right, 0 = there is
     * more, negative = refused, *e says why. */
    int (*check)(const struct json_object *body, size_t *cursor, struct param_error *e);
    /* Value i of a prompt of the canonical request and its name there; NULL behind the last. */
    struct json_object *(*value)(const struct json_object *body, uint32_t prompt, uint32_t i,
                                 const char **name);

    void (*start)(struct choice *c); /* first event of a stream; NULL: there is none */
    /* A token's tops, in front of its parts. */
    void (*tops)(struct choice *c, const struct top *tops, size_t n_tops);
    void (*part)(struct choice *c, const struct part *part); /* one event, with what tops left */
    void (*finish)(struct choice *c);                        /* the event with the reason */
    void (*choice)(struct choice *c, struct buf *body);      /* its members in a whole response */
    void (*text)(struct choice *c, struct buf *body);        /* of the texts: the whole body */
};

struct choice {
    struct generation *generation; /* borrowed: what it is part of */
    struct request *request;       /* the route layer's; ours until done, failed or cancelled */
    uint32_t index;
    uint32_t reasoning_tokens;
    bool is_accepted;
    enum finish_reason reason;     /* once it is done */
    struct buf head;               /* owned: what every event of it begins with */
    struct buf content, reasoning; /* owned: a response that is not streamed */
    struct logprobs *logprobs;     /* owned; NULL unless asked for */
};

struct usage {
    uint64_t prompt_tokens, cached_tokens; /* of each prompt once */
    uint64_t completion_tokens, reasoning_tokens;
    uint64_t queue_ns, prefill_ns, decode_ns; /* the longest of the choices */
};

struct generation {
    struct router *router;        /* borrowed */
    struct exchange *x;           /* borrowed */
    const struct form *form;      /* borrowed, static */
    struct json_object *body;     /* owned until encoded */
    struct params params;
    size_t cursor;                /* how far the prompts are checked */
    struct canonical *canonical;  /* owned: of the prompt being written */
    uint32_t prompt, value;       /* which; and which of its values */
    struct json_writer *writer;   /* owned while a value is written */
    struct event *preparing;      /* owned while checking and encoding take several turns */
    char id[48];
    uint64_t created; /* seconds */
    bool is_checked, is_head_sent;
    struct usage usage;
    struct deadline hold_due;
    uint32_t n_prompts, n_choices, n_accepted, n_done;
    struct choice choice[]; /* n_choices: those of the first prompt, those of the second, … */
};

/* Check, admit, encode, start. Long prompts are checked and encoded over several turns of the
 * loop. */
enum handler_result generate(struct exchange *x, const struct form *form);

/* hold_due expired. */
void generation_hold_due(void *owner, uint64_t now_ns);

/* One event of the stream: begins with c->head; append the delta or the text; end closes it. */
struct buf *generation_event(struct choice *c);
/* Its end: log-probabilities in the dialect's words, and the reason, NULL when there is more. */
typedef void logprobs_taker(struct logprobs *l, struct buf *out);
void generation_event_end(struct choice *c, struct buf *out, const char *reason,
                          logprobs_taker *take);

/* --- between generate.c and deliver.c --- */
extern const struct request_ops generation_request_ops; /* owner: the choice */
extern const struct exchange_ops generation_exchange_ops;
void generation_free(struct generation *g);

#endif

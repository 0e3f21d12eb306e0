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

#include "router/api/blocks.h"
#include "router/api/logprobs.h"
#include "router/api/params.h"
#include "router/router.h"

#define HOLD_MS     50
#define CHOICES_MAX 1024 /* of all prompts together */

struct choice;
struct generation;

/* What a dialect says of requests and answers; which members of it may be NULL is said here. */
struct form {
    enum dialect dialect;
    enum prompt_kind kind;
    const char *id_prefix;   /* "chatcmpl-" */
    const char *call_prefix; /* of a tool call's id; NULL: messages and answers have none */
    bool keeps_blocks;     /* of a stream, too: its events need what was said before */

    /* --- the request --- */

    /* Prompts in the body, or 0: refused, *e says why. NULL: always one. */
    uint32_t (*count)(const struct json_object *body, struct param_error *e);
    /* One slice of checking the body, from g->cursor (0 at first), and of filling g->members: 1 =
     * all of it is right, 0 = there is more, negative = refused, *e says why. */
    int (*prepare)(struct generation *g, struct param_error *e);
    /* Value i of a prompt of the canonical request and its name there; NULL behind the last. NULL:
     * the members of g->members, whatever the prompt. */
    struct json_object *(*value)(const struct generation *g, uint32_t prompt, uint32_t i,
                                 const char **name);

    /* --- a stream; NULL where the dialect never streams --- */

    void (*open)(struct generation *g); /* the first events, of all choices */
    void (*part)(struct choice *c, const struct part *part); /* one event, with what tops left */
    void (*finish)(struct choice *c);                        /* a choice is over: c->reason */
    void (*close)(struct generation *g);                     /* the last events */
    void (*fail)(struct generation *g, enum api_error error, const char *text); /* instead */
    void (*silent)(struct generation *g); /* anything, after almost a second without a word */

    /* --- both --- */

    /* A token's tops, in front of its parts. NULL: none are asked for. */
    void (*tops)(struct choice *c, const struct top *tops, size_t n_tops);
    /* A choice is over, before finish. False: what it said cannot be. NULL: nothing to do then. */
    bool (*done)(struct choice *c);
    void (*whole)(struct generation *g, struct buf *body); /* the response that is no stream */
    void (*forget)(struct generation *g);                  /* frees g->own; NULL: there is none */
};

struct choice {
    struct generation *generation; /* borrowed: what it is part of */
    struct request *request;       /* the route layer's; ours until done, failed or cancelled */
    uint32_t index;
    uint32_t reasoning_tokens;
    uint32_t n_calls; /* so far */
    bool is_accepted;
    enum finish_reason reason;     /* once it is done */
    uint8_t stop;                  /* 1 + index of the stop string that ended it, or 0 */
    struct buf head;               /* owned: what every event of it begins with */
    struct buf pieces;             /* owned: what texts.c and embeddings.c keep of it */
    struct blocks blocks;          /* owned: a response that is not streamed, or keeps_blocks */
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
    void *own;                    /* the dialect's */
    struct json_object *body;     /* owned until encoded */
    struct json_object *members;  /* owned until encoded: of the canonical request */
    struct params params;
    size_t cursor;                /* how far the body is checked */
    size_t n_recalled;            /* messages that were looked for among former answers */
    struct canonical *canonical;  /* owned: of the prompt being written */
    uint32_t prompt, value;       /* which; and which of its values */
    struct json_writer *writer;   /* owned while a value is written */
    struct event *preparing;      /* owned while checking and encoding take several turns */
    char id[48];
    uint64_t created; /* seconds */
    bool is_checked, is_head_sent;
    bool keeps_blocks; /* the form does, or the answer may come back */
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

/* The id of a choice's tool call number n: the same in every incarnation of its worker. */
#define CALL_ID_SIZE 40
void generation_call_id(const struct choice *c, uint32_t n, char id[CALL_ID_SIZE]);

/* It ends with this error, in a stream's words or as the response: one choice failed, or somebody
 * wants no answer any more. Frees it. */
void generation_fail(struct generation *g, enum api_error error, const char *text);

/* A comment of a stream, which every client skips: form.silent of most dialects. */
void generation_comment(struct generation *g);

/* --- between generate.c and deliver.c --- */
extern const struct request_ops generation_request_ops; /* owner: the choice */
extern const struct exchange_ops generation_exchange_ops;
/* Whose answers may be recalled: those of the same key and model. */
uint64_t generation_owner(const struct generation *g);
void generation_drop_body(struct generation *g);
void generation_free(struct generation *g);

#endif

/* One client's generation: what chat and completions share. A dialect supplies the words
 * (struct form), this file the order, keep-alives, usage, ids, and the end.
 *
 * Headers of a stream go out when the worker accepts the request, or HOLD_MS after the request was
 * found valid, whichever is first: what the worker refuses at once (a prompt that is too long) is
 * still an HTTP status, and a client never waits silently for a queue or a cold load.
 */
#ifndef ROUTER_API_GENERATE_H
#define ROUTER_API_GENERATE_H

#include "router/api/params.h"
#include "router/router.h"

#define HOLD_MS 50

struct generation;

struct form {
    enum dialect dialect;
    const char *id_prefix; /* "chatcmpl-" */
    /* Check a slice of the prompt, from *cursor (0 at first): 1 = all of it is right, 0 = there is
     * more, negative = refused, *e says why. */
    int (*check)(const struct json_object *body, size_t *cursor, struct param_error *e);
    /* Append the beginning of the canonical request, up to the prompt, and return that: it is
     * written in slices. */
    struct json_object *(*prompt)(struct generation *g, struct buf *canonical);
    void (*start)(struct generation *g);             /* first event of a stream, if any */
    void (*part)(struct generation *g, const struct part *part); /* one event */
    void (*finish)(struct generation *g, enum finish_reason reason); /* the event with the reason */
    void (*whole)(struct generation *g, enum finish_reason reason, struct buf *body);
};

struct generation {
    struct router *router;       /* borrowed */
    struct exchange *x;          /* borrowed */
    const struct form *form;     /* borrowed, static */
    struct request *request;     /* the route layer's; ours until done, failed or cancelled */
    struct json_object *body;    /* owned until encoded */
    struct params params;
    size_t cursor;               /* how far the prompt is checked */
    struct json_writer *writer;  /* owned while encoding */
    struct event *preparing;     /* owned while checking and encoding take several turns */
    char id[48];
    uint64_t created; /* seconds */
    struct buf head;  /* what every event of this stream begins with */
    struct buf content, reasoning; /* a response that is not streamed */
    bool is_head_sent;
    uint32_t reasoning_tokens;
    struct deadline hold_due;
};

/* Check, admit, encode, start. A long prompt is checked and encoded over several turns of the
 * loop. */
enum handler_result generate(struct exchange *x, const struct form *form);

/* hold_due expired. */
void generation_hold_due(void *owner, uint64_t now_ns);

/* One event of the stream: begins with g->head; append to the buffer; end closes it. */
struct buf *generation_event(struct generation *g);
void generation_event_end(struct generation *g, struct buf *out);

#endif

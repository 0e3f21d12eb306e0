/* OpenAI's Responses: what its files share.
 *
 *   responses_request.c   the body checked; its items, and those it continues, a conversation
 *   responses_items.c     one item
 *   responses_tools.c     tools and the choice among them
 *   responses_object.c    the response object and its items, as text
 *   responses_custom.c    inputs of custom tools
 *   responses.c           the events, the end
 *   responses_routes.c    GET, DELETE, cancel of a response
 *   responses_store.c     responses that are kept
 */
#ifndef ROUTER_API_RESPONSES_H
#define ROUTER_API_RESPONSES_H

#include "router/api/conversation.h"
#include "router/api/generate.h"
#include "router/api/responses_store.h"

#define RESPONSES_AT_SIZE 64

/* Arrays of items in a kept turn's text, being read a slice at a time. */
struct turn_reading {
    struct json_reader *reader;
    size_t at;
};

/* A custom tool's input on its way out of {"input":"…"}, the arguments that a model says. */
struct custom_input {
    size_t at; /* how far the arguments are read */
    enum { CUSTOM_BEFORE, CUSTOM_INSIDE, CUSTOM_BEHIND, CUSTOM_OTHER } where;
    struct buf text; /* owned: so far */
};

/* One request: generation.own. */
struct responses_call {
    LIST_ENTRY(responses_call) running; /* of the store's list */
    struct generation *generation;      /* borrowed */
    struct responses_store *store;      /* borrowed */
    uint64_t owner;
    bool is_kept; /* "store" */

    /* --- the request, while it is prepared --- */
    struct conversation conversation;
    uint32_t phase;
    bool is_prepared;
    struct turn *previous; /* shared: what is continued */
    struct turn **turns;   /* owned: from the first one to previous, borrowed */
    size_t n_turns;
    size_t text; /* which: of turn text / 2 the input, then the output */
    struct turn_reading reading;
    struct json_object *items;             /* owned: of the turn being taken; NULL: to be read */
    size_t item;                           /* which of them, or of the input */
    size_t n_taken;                        /* of all of them */
    struct turn *referred;                 /* shared: whose output and input are below, once read */
    struct json_object *referred_items[2]; /* owned */
    struct json_object *lead;              /* owned: texts of the system message in front */
    bool is_lead_over;
    struct json_object *assistant; /* in the conversation: the message that items still join */
    bool has_content, has_calls;   /* of it */
    struct buf reasoning;          /* owned: of the assistant's message that follows */
    bool has_summary;              /* of the reasoning */
    struct json_object *customs;   /* owned: names of the custom tools */
    struct json_object *keeping;   /* owned: the item that is written */
    struct json_writer *writer;    /* owned */

    /* --- the response --- */
    struct buf input;   /* owned: the items as they are kept */
    struct buf item_at; /* owned: size_t each, where they are in it */
    struct buf echo;    /* owned: members of the response that repeat the request's */
    uint32_t sequence;
    uint64_t said_ns;           /* the last event */
    uint32_t n_items;           /* begun: as many as the answer's blocks */
    bool is_open;               /* the last one of them has no end yet */
    struct custom_input custom; /* of the last one */
    struct buf event;           /* owned: being written */
};

static inline struct responses_call *responses_of(const struct generation *g)
{
    return g->own;
}

/* Who a response belongs to: the client's key, whatever its place in the configuration. */
uint64_t responses_owner(const struct exchange *x);

/* --- the request --- */

/* form.prepare */
int responses_prepare(struct generation *g, struct param_error *e);
/* form.forget */
void responses_forget(struct generation *g);
/* One more item of the conversation. at: where it is, for the errors. */
int responses_take_item(struct responses_call *r, const struct json_object *item, const char *at,
                        struct param_error *e);
/* One more text of the system message in front. */
void responses_add_lead(struct responses_call *r, const struct json_object *text);
/* The last item was that: what waits for a message gets one. */
void responses_end_items(struct responses_call *r);
int responses_refuse(struct param_error *e, const char *at, const struct json_object *found,
                     const char *expected);
/* It is one of the words (NULL ends them), or not there. */
int responses_check_word(const struct json_object *v, const char *at, const char *const *words,
                         struct param_error *e);
/* Tools and tool_choice, of the body. */
int responses_take_tools(struct responses_call *r, struct param_error *e);

/* --- the response as text --- */

enum response_status {
    RESPONSE_IN_PROGRESS,
    RESPONSE_COMPLETED,
    RESPONSE_INCOMPLETE,
    RESPONSE_FAILED,
    RESPONSE_CANCELLED
};

/* The members of the response that repeat the request's, from a body that is checked. */
void responses_write_echo(struct responses_call *r);
/* Around the array of its output; failure: the error object of one that failed. */
void responses_write_before(const struct responses_call *r, enum response_status status,
                            const char *failure, struct buf *out);
void responses_write_after(const struct responses_call *r, enum response_status status,
                           struct buf *out);
void responses_write_output(struct responses_call *r, enum response_status status, struct buf *out);
/* Item i, or the one part of its content, as it begins, or with what it says. */
void responses_write_part(struct responses_call *r, struct block *b, bool is_full, struct buf *out);
void responses_write_item(struct responses_call *r, uint32_t i, const char *status, bool is_full,
                          struct buf *out);

/* Ids hold the response's own, so that an item is found again by its id alone: output item i is
 * "msg_RESPONSE_i", item i of the input "msg_RESPONSE_ii". */
#define RESPONSES_ITEM_ID_MAX 72
void responses_item_id(const struct generation *g, const char *prefix, const char *infix, size_t i,
                       char id[RESPONSES_ITEM_ID_MAX]);
void responses_output_id(const struct responses_call *r, uint32_t i,
                         char id[RESPONSES_ITEM_ID_MAX]);
/* The id of the response that an item's id speaks of, and which of its input or output it is.
 * False: it is none of ours. */
bool responses_split_id(const char *item, char response[RESPONSE_ID_MAX], bool *is_input,
                        size_t *index);

/* What a block of the answer is as an item. Reasoning is content, or all of it the summary when one
 * was asked for: that is what clients that ask show and send back. */
enum item_kind { ITEM_MESSAGE, ITEM_REASONING, ITEM_SUMMARY, ITEM_FUNCTION, ITEM_CUSTOM };
struct item_words {
    const char *type, *prefix; /* the item's, and what its id begins with */
    const char *head;          /* of the item, up to the list of its parts, or of a call */
    const char *part;          /* of its one part, up to the text; NULL: it has none */
    const char *stem, *text;   /* of the events of its text; what done calls the whole of it */
    const char *part_stem;     /* of the events of its part */
    const char *index, *more;  /* further members of events: of both kinds; of its text */
};
extern const struct item_words item_words[];
enum item_kind responses_kind(const struct responses_call *r, const struct block *b);
/* Read on in the arguments of a custom tool's call: what is decided of its input. */
void custom_input_read(struct custom_input *c, const char *arguments, size_t len);
/* After the last of them: arguments of another form are the input as they are. */
void custom_input_end(struct custom_input *c, const char *arguments, size_t len);

/* The response is over: into the store, where that is wanted. */
void responses_keep(struct responses_call *r, enum response_status status);

#endif

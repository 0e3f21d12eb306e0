/* Anthropic's request as a conversation (router/api/conversation.h): what /v1/messages and
 * /v1/messages/count_tokens share. The body has passed params_read.
 *
 * The system prompt is a turn before the others. Of a user's turn the results of tools become
 * messages of their own, before what else is in it. Thinking that comes back is reasoning,
 * whatever its signature. Work is done in steps, since a body may hold 100,000 blocks: a level for
 * each list of blocks within another. */
#ifndef ROUTER_API_MESSAGES_REQUEST_H
#define ROUTER_API_MESSAGES_REQUEST_H

#include "base/buf.h"
#include "router/api/conversation.h"

/* Where blocks stand: what may stand there is in the table of messages_blocks.c. */
enum place { PLACE_SYSTEM, PLACE_USER, PLACE_ASSISTANT, PLACE_RESULT, PLACE_DOCUMENT };

#define LEVELS_MAX 3 /* a turn, a tool's result, a document in it */

struct block_level {
    enum place place;
    const struct json_object *list; /* borrowed */
    size_t next;
    const char *name; /* of the list in what it belongs to */
};

struct messages_request {
    struct conversation v;
    const struct json_object *body; /* borrowed */
    enum dialect dialect;
    bool has_begun;
    bool hides_thinking; /* thinking.display: omitted */
    size_t tool, turn;   /* the next ones */

    /* of the open turn */
    struct block_level levels[LEVELS_MAX];
    uint32_t n_levels;
    struct json_object *message;  /* borrowed: of an assistant */
    struct json_object *texts;    /* owned */
    struct json_object *thoughts; /* owned */
    bool has_results;

    /* of the open result of a tool */
    struct json_object *result;       /* borrowed */
    struct json_object *result_texts; /* owned */
};

/* members: of the canonical request. Both are borrowed. */
void messages_request_init(struct messages_request *r, const struct json_object *body,
                           struct json_object *members, enum dialect dialect);
/* About budget blocks more. 1 = members are complete, 0 = there is more, negative = refused. */
int messages_request_step(struct messages_request *r, size_t budget, struct param_error *e);
void messages_request_free(struct messages_request *r);

/* --- between messages_request.c and messages_blocks.c --- */

/* Number r->turn: its blocks are the next steps. */
int messages_open_turn(struct messages_request *r, struct param_error *e);
int messages_step_in_turn(struct messages_request *r, struct param_error *e);
/* What was found as a member of what stands at `at` ("" is the body), or, with name "", there
 * itself. */
int messages_refuse(struct param_error *e, const char *at, const char *name,
                    const struct json_object *found, const char *expected);

#endif

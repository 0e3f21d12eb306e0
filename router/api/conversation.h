/* The messages and tools of a canonical request (shm/protocol.h), made of what a client sent: what
 * the dialects share. Values are shared with the body, not copied. */
#ifndef ROUTER_API_CONVERSATION_H
#define ROUTER_API_CONVERSATION_H

#include "base/json.h"
#include "router/api/params.h"

struct generation;

struct conversation {
    struct json_object *members;  /* borrowed: of the canonical request */
    struct json_object *messages; /* borrowed: they are in members */
    struct json_object *calls;    /* owned: id -> name of the tool, true once it has its result */
    struct json_object *names;    /* owned: of the tools */
};

/* Messages, tools and the choice among them are added to members. */
void conversation_init(struct conversation *v, struct json_object *members);
void conversation_free(struct conversation *v);

/* One more message, without content: the dialect puts that ("content": a string, or an array of
 * text parts). Borrowed. */
struct json_object *conversation_add(struct conversation *v, const char *role);

/* A call in an assistant's message. arguments: an object, shared; or a string of JSON text. Text
 * that is no object (a call that was cut off) is what the model sees as the one argument
 * "arguments". at: where in the body, for the errors: a missing or foreign name, an id that is
 * another call's. */
int conversation_call(struct conversation *v, struct json_object *message,
                      const struct json_object *id, const struct json_object *name,
                      const struct json_object *arguments, const char *at, struct param_error *e);

/* A tool's message for the call of that id. Refused when there is no such call before it, or when
 * it has its result. *message: as conversation_add. */
int conversation_result(struct conversation *v, const struct json_object *id, const char *at,
                        struct json_object **message, struct param_error *e);

/* One more tool: name checked and unique; description, parameters (a schema) and strict may be
 * NULL.
 */
struct tool_fields {
    const struct json_object *name, *description, *parameters, *strict;
    const struct json_object *whole; /* the tool as it came, in this very form; NULL: to be made */
};
int conversation_tool(struct conversation *v, const struct tool_fields *tool, const char *at,
                      struct param_error *e);

/* Which tools the model may call: "none", "auto" (the default), "required", or the one of a name.
 */
void conversation_choose(struct conversation *v, const char *choice);
int conversation_choose_tool(struct conversation *v, const struct json_object *name, const char *at,
                             struct param_error *e);

/* OpenAI's chat form: one slice of form.prepare. g->own is the conversation, forgotten by
 * conversation_forget. */
int conversation_from_chat(struct generation *g, struct param_error *e);
void conversation_forget(struct generation *g);

#endif

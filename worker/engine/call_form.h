/* How a model's chat template writes tool calls, found out by rendering some: what a grammar must
 * ask for so that worker/text/calls.h, and the template the next time, understand it. */
#ifndef WORKER_ENGINE_CALL_FORM_H
#define WORKER_ENGINE_CALL_FORM_H

#include "base/buf.h"
#include "worker/text/chat_template.h"

enum call_form_kind {
    CALL_FORM_NONE, /* none, or in a way that is not known here */
    CALL_FORM_JSON, /* begin NAME behind_name {arguments} end */
    CALL_FORM_XML,  /* begin NAME behind_name (parameter KEY behind_key VALUE behind_value)* end */
};

/* The pieces in their order, X(name). Those of a parameter are empty for CALL_FORM_JSON. */
#define CALL_FORM_PIECES(X) \
    X(between)      /* one call and the next */ \
    X(begin)        /* <tool_call>\n{"name": "        <tool_call>\n<function= */ \
    X(behind_name)  /* ", "arguments":                >\n */ \
    X(parameter)    /*                                <parameter= */ \
    X(behind_key)   /*                                >\n */ \
    X(behind_value) /*                                \n</parameter>\n */ \
    X(end)          /* }\n</tool_call>                </function>\n</tool_call> */

struct call_form {
    enum call_form_kind kind;
#define X(name) struct buf name; /* owned */
    CALL_FORM_PIECES(X)
#undef X
};

/* A template that fails on the probe writes none. */
void call_form_find(struct call_form *f, const struct chat_template *t);
void call_form_free(struct call_form *f);

/* Whether the template shows tools to the model. */
bool call_form_shows_tools(const struct chat_template *t);
/* Whether it opens the reasoning, or can be told not to. */
bool call_form_reasons(const struct chat_template *t);

#endif

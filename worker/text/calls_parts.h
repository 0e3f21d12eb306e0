/* What the files of the call parser share: calls.c (text and tags), calls_xml.c, calls_json.c. */
#ifndef WORKER_TEXT_CALLS_PARTS_H
#define WORKER_TEXT_CALLS_PARTS_H

#include "worker/text/calls.h"

/* X(constant, text) */
#define TAGS(X) \
    X(TAG_CALL, "<tool_call>") \
    X(TAG_CALL_END, "</tool_call>") \
    X(TAG_FUNCTION, "<function=") \
    X(TAG_FUNCTION_END, "</function>") \
    X(TAG_PARAMETER, "<parameter=") \
    X(TAG_PARAMETER_END, "</parameter>")
#define X(constant, text) constant,
enum tag { TAGS(X) TAGS_N };
#undef X
#define TAG_BIT(tag) (1u << (tag))

/* The next character, in one state each. */
typedef void calls_step(struct calls *c, const char *s, size_t n);

/* The character, whatever the state is. */
void calls_take(struct calls *c, const char *s, size_t n);

/* A tag may begin with this '<'. */
void calls_begin_tag(struct calls *c, unsigned tags);

/* This is no call, or no more of it: what is held is text, and the character comes after it. */
void calls_give_up(struct calls *c, const char *s, size_t n);

/* The name goes out; what was held up to here is part of the call. */
void calls_commit(struct calls *c);
/* Of the certain call: text of its arguments. */
void calls_say(struct calls *c, const char *text, size_t len);
/* The certain call is over. */
void calls_finish(struct calls *c, bool is_closed);

/* --- calls_xml.c --- */
calls_step calls_function, calls_body, calls_parameter, calls_value;
/* A tag is complete in CALLS_BODY or CALLS_VALUE. */
void calls_body_tag(struct calls *c, enum tag tag);
void calls_value_end(struct calls *c);
/* Text of a value, or of arguments that are no JSON, that no tag ends. */
void calls_value_add(struct calls *c, const char *text, size_t len);
/* The text is over inside a function. */
void calls_xml_end(struct calls *c, bool is_cut);

/* --- calls_json.c --- */
calls_step calls_first_key, calls_key, calls_colon, calls_member, calls_name, calls_arguments,
    calls_arguments_string, calls_skip, calls_next, calls_next_key;

#endif

/* Tool calls in an answer's text, which arrives in pieces.
 *
 * Two forms are known:
 *
 *     <tool_call>                                     <tool_call>
 *     {"name": "f", "arguments": {"city": "Bonn"}}    <function=f>
 *     </tool_call>                                    <parameter=city>
 *                                                     Bonn
 *                                                     </parameter>
 *                                                     </function>
 *                                                     </tool_call>
 *
 * and what models make of them: the arguments first, or named "parameters", or a JSON string;
 * other members; no closing tag; no <tool_call> before <function=f>; nothing but the JSON object at
 * the beginning of the content. Only the name of a tool of the request makes a call. A call inside
 * the reasoning ends it: what follows is content.
 *
 * Whatever turns out to be no call comes out as it came, byte for byte. Until that is decided at
 * most CALLS_HOLD_MAX bytes are held back; what is longer is no call. White space between calls and
 * behind the last one is left out, and white space alone before the first one.
 *
 * Once the name is known and the arguments have begun the call is certain, and its arguments go out
 * as they come: JSON as json_scan.h makes it, and if that breaks, the rest up to </tool_call> as
 * the model says it. A <parameter> is a string, the text exactly, without the line end behind the
 * opening and before the closing tag; or JSON, where the tool's schema has another type that it is
 * valid JSON of. Without a schema it is what it can be. Until that is decided at most
 * CALLS_HOLD_MAX bytes of it are held back: a longer one is an object or an array, if it began so,
 * or a string.
 *
 * All of it is a function of the text alone, however it was cut. At most CALLS_MAX calls; what
 * would be another is text.
 */
#ifndef WORKER_TEXT_CALLS_H
#define WORKER_TEXT_CALLS_H

#include "worker/text/call_tools.h"
#include "worker/text/json_scan.h"
#include "worker/text/parts.h"

#define CALLS_MAX      64 /* three parts each fit in one record */
#define CALLS_HOLD_MAX 4096
#define CALLS_NAME_MAX 256 /* bytes of a parameter's name */

enum calls_state {
    CALLS_TEXT,
    CALLS_OPENED, /* behind <tool_call> */
    /* <function= */
    CALLS_FUNCTION,  /* its name */
    CALLS_BODY,      /* between parameters */
    CALLS_PARAMETER, /* its name */
    CALLS_VALUE,
    /* the object */
    CALLS_FIRST_KEY,
    CALLS_KEY,
    CALLS_COLON,
    CALLS_MEMBER,
    CALLS_NAME,
    CALLS_ARGUMENTS,        /* an object */
    CALLS_ARGUMENTS_STRING, /* a string with an object in it */
    CALLS_SKIP,             /* the value of another member */
    CALLS_NEXT,             /* a comma or the end */
    CALLS_NEXT_KEY,
    CALLS_RAW, /* arguments that are no JSON */
    CALLS_STATES_N,
};

enum value_mode { VALUE_OPEN, VALUE_STRING, VALUE_JSON, VALUE_BROKEN };

struct calls {
    const struct call_tools *tools; /* borrowed; NULL: nothing is a call */
    bool is_single;                 /* over when the first call is */

    enum channel channel; /* of text */
    bool has_left_reasoning, is_over;
    uint32_t n_calls;
    enum calls_state state;
    bool is_fresh;   /* content: nothing but white space since it, or a call, began */
    bool may_close;  /* a </tool_call> belongs to the last call */
    bool is_certain; /* the name of the call is out */
    bool is_tagged;  /* it began with <tool_call> */

    unsigned tags;   /* bits of enum tag: a tag has begun that may be one of these */
    size_t tag_at;   /* in hold */
    struct buf hold; /* owned: the text that is not decided */

    /* --- of the call that is being read --- */
    const struct call_tool *tool; /* of tools */
    struct buf name;              /* owned: of the tool, of a parameter, of a member */
    struct buf arguments;         /* owned: not said yet */
    bool has_arguments, has_parameter;
    uint8_t member; /* enum member of calls_json.c */
    struct json_scan scan;
    struct json_chars chars;
    /* a parameter's value */
    enum value_mode mode;
    unsigned types;
    bool is_value_fresh; /* a line end is left out */
    size_t value_escaped;
    struct buf value; /* owned: as it came, as long as the mode is open */

    struct parts *out; /* borrowed, during a call */
};

void calls_init(struct calls *c, const struct call_tools *tools, bool is_single);
void calls_free(struct calls *c);

/* The channel that text of this channel now goes to. */
enum channel calls_channel(const struct calls *c, enum channel channel);
/* The next text is of this channel. What is undecided in another one is no call. */
void calls_turn(struct calls *c, enum channel channel, struct parts *out);

/* More text, whole UTF-8 sequences. Appends to out what is decided by it. */
void calls_push(struct calls *c, const char *text, size_t len, struct parts *out);

/* The text ends here; is_cut: not by the model's will, so that what is open stays open. */
void calls_end(struct calls *c, bool is_cut, struct parts *out);

#endif

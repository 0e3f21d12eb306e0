/* The tools that a request offers, as far as the parser of an answer must know them: their names,
 * and of which types their parameters may be. */
#ifndef WORKER_TEXT_CALL_TOOLS_H
#define WORKER_TEXT_CALL_TOOLS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

#define CALL_TOOLS_MAX 1024

/* X(constant, JSON Schema's name) */
#define CALL_TYPES(X) \
    X(CALL_STRING, "string") \
    X(CALL_INTEGER, "integer") \
    X(CALL_NUMBER, "number") \
    X(CALL_BOOLEAN, "boolean") \
    X(CALL_NULL, "null") \
    X(CALL_OBJECT, "object") \
    X(CALL_ARRAY, "array")

#define X(constant, text) constant##_BIT,
enum { CALL_TYPES(X) CALL_TYPES_N };
#undef X
#define X(constant, text) constant = 1 << constant##_BIT,
enum call_type { CALL_ANY = 0, CALL_TYPES(X) };
#undef X

struct call_name {
    uint32_t at, len; /* in call_tools.text */
};
struct call_parameter {
    struct call_name name;
    unsigned types; /* of enum call_type, or CALL_ANY: the schema does not say */
};
struct call_tool {
    struct call_name name;
    uint32_t first, n; /* of call_tools.parameter */
};

struct call_tools {
    struct buf text;                  /* owned */
    struct call_tool *tool;           /* owned */
    struct call_parameter *parameter; /* owned */
    uint32_t n, n_parameters;
};

/* From an array as the canonical request has it. 0, or -EINVAL with the sentence; then it is empty.
 */
int call_tools_read(struct call_tools *t, const struct json_object *tools, struct err *e);
void call_tools_free(struct call_tools *t);

/* The tool of that name, or NULL. */
const struct call_tool *call_tools_find(const struct call_tools *t, const char *name, size_t len);
/* Whether the name of some tool begins so. */
bool call_tools_may_be(const struct call_tools *t, const char *beginning, size_t len);
const char *call_tools_name(const struct call_tools *t, const struct call_tool *tool, size_t *len);
/* enum call_type of a tool's parameter; CALL_ANY for one that it does not name. */
unsigned call_tools_types(const struct call_tools *t, const struct call_tool *tool,
                          const char *parameter, size_t len);

#endif

/* From a JSON Schema to rules of a grammar. A place in a schema stands for all schemas that a value
 * there must satisfy: allOf, $ref with neighbours and a branch of anyOf with what stands beside it
 * only make that list longer, and each keyword is read from all of them. */
#ifndef WORKER_TEXT_SCHEMA_H
#define WORKER_TEXT_SCHEMA_H

#include "base/err.h"
#include "base/json.h"
#include "worker/text/chars.h"
#include "worker/text/grammar.h"
#include "worker/text/grammar_nfa.h"

#define SCHEMA_PARTS_MAX 16

/* Where in the schema, for errors; on the stack of who reads. */
struct schema_place {
    const struct schema_place *up;
    const char *name; /* NULL: the index */
    size_t index;
};

/* Keywords of a part that have been dealt with. */
enum schema_done {
    DONE_REF = 1,
    DONE_ALL_OF = 2,
    DONE_ANY_OF = 4,
    DONE_ONE_OF = 8,
    DONE_CHECK = 16
};

struct schema_part {
    const struct json_object *o; /* borrowed; true and false are schemas, too */
    const struct schema_place *place;
    unsigned done;
};

struct schema_all {
    struct schema_part part[SCHEMA_PARTS_MAX];
    size_t n;
    bool is_branch; /* of anyOf: references are better read in place than called */
};

struct schema_rule {
    const struct json_object *schema; /* what a reference stands for */
    const char *name;                 /* borrowed: the reference */
    uint32_t rule;
};

struct schema_compiler {
    struct nfa *n;
    const struct json_object *root; /* of references; borrowed */
    const struct schema_place *root_place;
    struct grammar_limits limits;
    uint64_t steps;            /* left */
    struct schema_rule *rules; /* owned; those from n_done on are to be made */
    uint32_t n_rules, cap_rules, n_done;
    unsigned depth;
    bool is_bare; /* listed strings are written without quotes */
    const struct schema_inline *inlined;
    struct err *e;
};

struct schema_source {
    const struct json_object *schema;
    const struct json_object *root; /* that references point into */
    const char *place;              /* of the schema, for errors */
    const struct grammar_limits *limits;
};
/* A value of the schema between two states of n. 0, -EINVAL, -E2BIG. */
int schema_compile(struct nfa *n, uint32_t from, uint32_t to, const struct schema_source *source,
                   struct err *e);
/* The same where strings stand without quotes and escapes: 1 and nothing is added when it may be
 * any text. A text that a pattern or a length restricts has no newlines. */
int schema_compile_bare(struct nfa *n, uint32_t from, uint32_t to,
                        const struct schema_source *source, struct err *e);

/* --- for schema_*.c --- */

int schema_refuse(struct schema_compiler *c, const struct schema_place *place, int code,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int schema_add(struct schema_compiler *c, const struct schema_all *all, uint32_t from, uint32_t to);
/* One more to satisfy. */
int schema_push(struct schema_compiler *c, struct schema_all *all, const struct json_object *o,
                const struct schema_place *place);
/* The first part from *i on with the keyword; NULL: none. */
const struct schema_part *schema_next(const struct schema_all *all, size_t *i, const char *keyword,
                                      struct json_object **value);
/* The schema a reference stands for; NULL with the error. */
const struct json_object *schema_resolve(struct schema_compiler *c, const struct schema_part *part,
                                         int *rc);
/* A count, like maxLength: the largest (want_max) or smallest of all parts, or *value as it was. */
int schema_count(struct schema_compiler *c, const struct schema_all *all, const char *keyword,
                 bool want_max, uint32_t *value);

int schema_add_object(struct schema_compiler *c, const struct schema_all *all, uint32_t from,
                      uint32_t to);
int schema_add_array(struct schema_compiler *c, const struct schema_all *all, uint32_t from,
                     uint32_t to);
int schema_add_string(struct schema_compiler *c, const struct schema_all *all, uint32_t from,
                      uint32_t to);
/* What is between the quotes; *is_free: anything, and *out is nothing. */
int schema_read_string(struct schema_compiler *c, const struct schema_all *all, struct chars *out,
                       bool *is_free);
int schema_add_number(struct schema_compiler *c, const struct schema_all *all, bool is_integer,
                      uint32_t from, uint32_t to);
/* enum and const, when *has; of the types in a mask of schema_types. */
int schema_add_values(struct schema_compiler *c, const struct schema_all *all, unsigned types,
                      uint32_t from, uint32_t to, bool *has);
/* Whether alternatives exclude each other, as far as their types, constants and names of members
 * show it. */
bool schema_are_apart(struct schema_compiler *c, const struct json_object *a,
                      const struct json_object *b);
/* The pattern of a format, or NULL. */
const char *schema_format(const char *name);

enum schema_type {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_FRACTION = 8, /* numbers that are no integers */
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_ANY = 127
};
#define TYPE_NUMBER (TYPE_INTEGER | TYPE_FRACTION)
/* Of the keyword `type` of one schema; TYPE_ANY without one, 0 for what is no type. */
unsigned schema_types_of(const struct json_object *o);
unsigned schema_type_of_value(const struct json_object *value);

#endif

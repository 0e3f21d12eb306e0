/* Reading the parts of tokenizer.json: typed members with their errors, and steps, which are
 * objects with a "type". */
#ifndef WORKER_TEXT_TOKENIZER_JSON_H
#define WORKER_TEXT_TOKENIZER_JSON_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A foreign string in a sentence: quoted, escaped, cut when long. */
#define TOKENIZER_QUOTED_MAX 80
const char *tokenizer_quote(char out[TOKENIZER_QUOTED_MAX], const char *text, size_t len);

/* o is an object, and each of its members is one of names: words with spaces between them. */
int tokenizer_check_members(const struct json_object *o, const char *names, struct err *e);

/* Members that must be there. */
int tokenizer_read_string(const struct json_object *o, const char *name, const char **text,
                          size_t *len, struct err *e);
int tokenizer_read_bool(const struct json_object *o, const char *name, bool *out, struct err *e);
int tokenizer_read_count(const struct json_object *o, const char *name, uint32_t max, uint32_t *out,
                         struct err *e);
int tokenizer_read_array(const struct json_object *o, const char *name,
                         const struct json_object **out, struct err *e);
/* A string of one character. */
int tokenizer_read_char(const struct json_object *o, const char *name, uint32_t *out,
                        struct err *e);
/* Leaves *out alone when the member is absent or null. */
int tokenizer_read_bool_if(const struct json_object *o, const char *name, bool *out, struct err *e);
/* One of n words, of which *out is the index. Must be there. */
int tokenizer_read_word(const struct json_object *o, const char *name, const char *const *words,
                        size_t n, unsigned *out, struct err *e);

/* One type of step. */
struct tokenizer_step {
    const char *type;
    const char *members; /* that it may have, "type" among them */
    int (*read)(void *to, const struct json_object *o, struct err *e);
};

/* Find the step by o's type, check its members and read it. */
int tokenizer_read_step(const struct tokenizer_step *steps, size_t n, const struct json_object *o,
                        void *to, struct err *e);
/* Every element of an array of steps. */
int tokenizer_read_steps(const struct tokenizer_step *steps, size_t n, const struct json_object *o,
                         const char *name, void *to, struct err *e);

#endif

/* The one wrapper over json-c: typed getters with errors that name the field, and an incremental
 * writer for large trees. json-c is visible here, in base/json.c, and to callers as an opaque
 * struct json_object. Input must have passed base/json_check.h first: json-c alone accepts
 * duplicate keys, NaN, single quotes and overlong UTF-8. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;
struct json_check;
struct json_reader;

/* --- reading --- */

/* Feed a document piece by piece; each piece passes the validator and then json-c. An integer
 * beyond int64 and uint64 becomes the nearest double. */
struct json_reader *json_reader_new(void);
/* The same for as many as nodes_max values; never for what a client sends. */
struct json_reader *json_reader_new_large(uint32_t nodes_max);
void json_reader_free(struct json_reader **r);
/* Ready for the next document, as if new, whatever state it was in; cheaper than a new one. */
void json_reader_reset(struct json_reader *r);
/* 0, or -EINVAL with "byte N: found, expected" for malformed JSON, -E2BIG beyond a limit. */
int json_reader_feed(struct json_reader *r, const char *data, size_t len, struct err *e);
/* End of the document: the tree, which is the caller's (json_free), or an error. */
int json_reader_finish(struct json_reader *r, struct json_object **root, struct err *e);

/* A whole document at once. */
int json_parse(const char *data, size_t len, struct json_object **root, struct err *e);
/* The same for a file that an operator names: as many as nodes_max values in it. The tree takes
 * about 100 bytes for each. */
int json_parse_large(const char *data, size_t len, uint32_t nodes_max, struct json_object **root,
                     struct err *e);
void json_free(struct json_object **root);
/* Free about budget values of a large tree: 1 when nothing is left and *root is NULL, else 0. */
int json_free_step(struct json_object **root, size_t budget);

/* --- looking: none of these changes the tree; NULL is a null --- */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
const char *json_type_name(enum json_type type);
enum json_type json_type_of(const struct json_object *o);

/* There, and of that type; a string, and this one. */
bool json_is(const struct json_object *o, enum json_type type);
bool json_is_string(const struct json_object *o, const char *text);

/* Member or NULL; a member that is null counts as absent. Borrowed. */
struct json_object *json_get(const struct json_object *o, const char *key);
size_t json_length(const struct json_object *o); /* of an array or object, else 0 */
/* Element of an array; NULL behind its end. */
struct json_object *json_at(const struct json_object *o, size_t i);

/* Of a value of that type (json_type_of first; CHECKed). */
bool json_bool(const struct json_object *o);
double json_number(const struct json_object *o);
bool json_is_integer(const struct json_object *o); /* a number with no fraction that fits int64 */
int64_t json_integer(const struct json_object *o); /* of a value that json_is_integer */
/* A number written with a fraction or an exponent, or too wide for 64 bits: 1.0 is, 1 is not. */
bool json_is_double(const struct json_object *o);
uint64_t
json_unsigned(const struct json_object *o); /* of a number >= 0 that is not json_is_double */
const char *json_string(const struct json_object *o, size_t *len); /* may hold NUL bytes */

/* Walk the members of an object: for (it = json_members(o); json_next(&it); ) it.key, it.value */
struct json_iterator {
    const char *key;
    struct json_object *value;
    void *state[2];
};
struct json_iterator json_members(const struct json_object *o);
bool json_next(struct json_iterator *it);

/* --- changing --- */

/* All of these are the caller's: json_free. */
struct json_object *json_new_object(void);
struct json_object *json_new_array(void);
struct json_object *json_new_string(const char *text, size_t len);
/* Another owner of a value, which then must not be changed any more. */
struct json_object *json_share(const struct json_object *o);
/* The member of that name, new or anew; a value is taken over. */
void json_put(struct json_object *o, const char *key, struct json_object *value);
void json_put_string(struct json_object *o, const char *key, const char *text, size_t len);
void json_put_bool(struct json_object *o, const char *key, bool value);
void json_put_integer(struct json_object *o, const char *key, int64_t value);
/* One more element of an array; taken over. */
void json_append(struct json_object *array, struct json_object *value);
/* Without the member of that name, if there was one. */
void json_remove(struct json_object *o, const char *key);
/* Another text for a value that is a string. */
void json_set_string(struct json_object *o, const char *text, size_t len);

/* --- writing --- */

/* Serialise a tree a slice at a time, so that a large one never blocks an event loop: compact JSON
 * in UTF-8, keys in their order, only the escapes JSON demands, doubles in as few of 15 to 17
 * digits as read back the same, and always with a '.' or an 'e' so that they stay doubles. */
struct json_writer;
struct json_writer *json_writer_new(const struct json_object *root); /* borrowed until done */
void json_writer_free(struct json_writer **w);
/* Append about budget bytes to out (a long string is split too). 1 when complete, else 0. */
int json_writer_step(struct json_writer *w, struct buf *out, size_t budget);

/* The whole tree at once. */
void json_write(const struct json_object *root, struct buf *out);

#endif

/* The keys of a document's objects, for base/json_check.c: has this object had this key? One
 * open-addressing set holds a 64-bit hash of (object, key) for all objects, seeded so that nobody
 * can choose keys that make it slow. */
#ifndef BASE_JSON_KEYS_H
#define BASE_JSON_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_KEYS_FIRST 64 /* slots inside the struct, enough for a usual request; a power of two \
                            */

struct json_keys {
    uint64_t secret;
    uint64_t *slots; /* first, or owned; 0 = free */
    size_t n_slots, n_used;
    uint64_t first[JSON_KEYS_FIRST];
};

/* On zeroed memory; the struct must not move from then on. */
void json_keys_init(struct json_keys *k);

/* Forget all, and give the memory back. */
void json_keys_clear(struct json_keys *k);

/* false when the object, by its number in the document, has had the key. */
bool json_keys_enter(struct json_keys *k, uint64_t object, const char *key, size_t len);

#endif

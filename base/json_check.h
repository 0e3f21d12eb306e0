/* One-pass incremental JSON validator: RFC 8259 and nothing else, strict UTF-8, no byte order mark,
 * no duplicate keys (compared after unescaping), no \u0000 in keys, no lone surrogates, finite
 * numbers, bounded depth, node count, key and number length. Works on any split of the document,
 * and says the same about each.
 *
 * Keys are compared by 64-bit hashes, so two different keys of one document count as equal with a
 * probability of n^2 / 2^65 for n keys: 3e-10 for a document of 100,000. An equal pair is always
 * found. The table is seeded, nobody can choose keys that make it slow.
 *
 * Memory: 3 KiB, and for large documents up to 64 KiB of key and 2 MiB of hashes; where more
 * nodes are allowed, up to 64 bytes of hashes for each key. */
#ifndef BASE_JSON_CHECK_H
#define BASE_JSON_CHECK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX  64
#define JSON_NODES_MAX  100000 /* unless json_check_allow_nodes says more */
#define JSON_KEY_MAX    65536 /* bytes of a key, unescaped */
#define JSON_NUMBER_MAX 512   /* characters of a number */

struct json_check;

struct json_check *json_check_new(void);
void json_check_free(struct json_check **c);

/* Another limit for the nodes of a document; it holds for the next ones, too. For files that an
 * operator names, never for what a client sends. */
void json_check_allow_nodes(struct json_check *c, uint32_t nodes_max);

/* Ready for the next document, as if new. */
void json_check_reset(struct json_check *c);

/* 0, or a negative errno with the sentence ("byte N: found X, expected Y", bytes counted from 0):
 * -EINVAL not JSON, -E2BIG beyond one of the limits above. After an error the checker stays in it.
 */
int json_check_feed(struct json_check *c, const char *data, size_t len, struct err *e);

/* The document is over: 0, or -EINVAL when it was not complete. */
int json_check_finish(struct json_check *c, struct err *e);

/* For base/json.c: the same as json_check_feed, but it also stops right behind an integer that fits
 * neither int64 nor uint64, with *used < len possible and json_check_is_wide true until the next
 * call. After json_check_finish it is true when the document was such an integer. */
int json_check_feed_to_wide(struct json_check *c, const char *data, size_t len, size_t *used,
                            struct err *e);
bool json_check_is_wide(const struct json_check *c);

#endif

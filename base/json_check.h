/* One-pass incremental JSON validator: RFC 8259 and nothing else, strict UTF-8, no duplicate keys
 * (compared after unescaping), no \u0000 in keys, no lone surrogates, finite numbers, bounded depth
 * and node count. Works on any split of the document. */
#ifndef BASE_JSON_CHECK_H
#define BASE_JSON_CHECK_H

#include "base/err.h"

#include <stddef.h>

#define JSON_DEPTH_MAX 64
#define JSON_NODES_MAX 100000

struct json_check;

struct json_check *json_check_new(void);
void json_check_free(struct json_check **c);

/* 0, or a negative errno with the sentence ("byte N: found X, expected Y"): -EINVAL not JSON,
 * -E2BIG deeper than JSON_DEPTH_MAX or more than JSON_NODES_MAX values. After an error the checker
 * stays in it. */
int json_check_feed(struct json_check *c, const char *data, size_t len, struct err *e);

/* The document is over: 0, or -EINVAL when it was not complete. */
int json_check_finish(struct json_check *c, struct err *e);

#endif

/* The tokens of answers that called tools, found again by the id of their first call when a client
 * sends the answer back: the worker puts them into the prompt as they are, which is what its prefix
 * cache knows. Bounded; what is not found, or was changed, is rendered as text as ever. */
#ifndef ROUTER_API_REPLAY_H
#define ROUTER_API_REPLAY_H

#include "base/json.h"
#include "router/api/blocks.h"

#include <stddef.h>
#include <stdint.h>

struct replay;

struct replay *replay_new(void);
void replay_free(struct replay **p);
/* 0 = off. What is too much is forgotten, the least recently used first. */
void replay_limit(struct replay *p, size_t bytes_max);

/* An answer that is over: id of its first call; owner: whose it is (key and model). */
void replay_keep(struct replay *p, const char *id, uint64_t owner, const struct blocks *said,
                 const uint32_t *tokens, uint32_t n);

/* A message of a conversation repeats an answer of that owner and says the same: its tokens, as the
 * canonical request has them ("sampled"); borrowed. NULL: not known here. */
struct json_object *replay_find(struct replay *p, const struct json_object *message,
                                uint64_t owner);

#endif

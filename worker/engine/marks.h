/* Where in a prompt the state is kept for others that begin alike: at each mark the reading is cut,
 * and the scheduler leaves a checkpoint in the prefix cache. All are in the prompt:
 *
 *   - where a message begins, behind the special token that opens it: the next turn shares all
 *     before, whatever its template makes of the answer
 *   - the end, unless a message began just before
 *   - every MARK_EVERY tokens
 *   - where it left what is known, far behind the last checkpoint: there others may leave it, too
 *
 * A cut costs a step of its own, so marks keep a distance but where it matters most. */
#ifndef WORKER_ENGINE_MARKS_H
#define WORKER_ENGINE_MARKS_H

#include "worker/engine/sequence.h"

#define MARK_EVERY    1024
#define MARK_DISTANCE 64

/* The sequence goes on behind n_hit tokens, of which n_matched are known. */
void marks_begin(struct sequence *q, uint32_t n_hit, uint32_t n_matched);

/* The first mark in (from, to], or 0. */
uint32_t marks_next(const struct sequence *q, uint32_t from, uint32_t to);

#endif

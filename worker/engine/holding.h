/* What sequences hold: pages for the tokens they have read and, for a model with DeltaNet layers, a
 * slot. Joins them to the prefix cache: what it has of their tokens when they begin, what is left
 * to it while they read and when they end. */
#ifndef WORKER_ENGINE_HOLDING_H
#define WORKER_ENGINE_HOLDING_H

#include "worker/engine/sequence.h"

/* What happens to the memory that is handed out. */
struct holding_memory {
    void (*clear_slot)(void *to, int32_t slot);
    void (*copy_slot)(void *to, int32_t slot, int32_t from);
    void (*copy_page)(void *to, int32_t page, int32_t from);
    void *to;
};

struct holdings {
    struct prefix prefix;
    struct holding_memory memory;
};

void holdings_init(struct holdings *h, const struct prefix_limits *limits,
                   const struct holding_memory *memory);
void holdings_free(struct holdings *h);

/* A slot, and the pages of what is known of its tokens, behind which it goes on. False, and nothing
 * is held, when there is no room for all its tokens so far and the next one: it would be the
 * youngest, and so the first to give way again. is_alone: nobody holds anything, so it must begin.
 */
bool holding_begin(struct holdings *h, struct sequence *q, bool is_alone);

/* Pages for its first `tokens`. How many are missing; 0: it holds them now. */
int32_t holding_extend(struct holdings *h, struct sequence *q, uint32_t tokens);

/* Of the next n rows, those up to the first mark. */
uint32_t holding_cut(const struct holdings *h, const struct sequence *q, uint32_t n);

/* n rows were read. */
void holding_advance(struct holdings *h, struct sequence *q, uint32_t n);

/* It holds nothing any more and has read nothing; what it had read is known. */
void holding_end(struct holdings *h, struct sequence *q);

#endif

/* Which rows of which sequences make the next step. Pure bookkeeping of one thread: no model, no
 * clock, nothing allocated after scheduler_init.
 *
 * A sequence needs the rows [n_done, n_tokens) of its tokens: one when it decodes, more while it
 * reads its prompt or what it is resumed from. Decodes come first, all of them; then readers share
 * what is left of the budget.
 *
 * Whoever begins, or begins again, goes on behind what the prefix cache has of its tokens; whoever
 * ends leaves there what it has read. That gives the same bits as to read all (kernels/kern.h).
 * What no sequence holds is given up whenever one needs a page or slot. When that is not enough the
 * youngest gives way: it leaves, and begins again later. The oldest never gives way and there are
 * pages for one whole context, so all come to their end.
 */
#ifndef WORKER_ENGINE_SCHEDULER_H
#define WORKER_ENGINE_SCHEDULER_H

#include "kernels/kern.h"
#include "worker/engine/holding.h"

struct scheduler_limits {
    int32_t rows, spans, picks; /* of one step */
    struct prefix_limits prefix;
};

/* A row whose logits are wanted, and why. */
struct pick {
    struct sequence *sequence;
    uint32_t position; /* of the token that the row predicts */
};

struct step {
    int32_t *ids;             /* [limits.rows] */
    struct kern_span *spans;  /* [limits.spans] */
    struct sequence **owners; /* [limits.spans] */
    int32_t *picks;           /* [limits.picks] */
    struct pick *reasons;     /* [limits.picks] */
    int32_t rows, span_count, pick_count;
    int32_t decode_rows; /* of these, of sequences that decode */
};

struct scheduler {
    struct scheduler_limits limits;
    struct sequence_order waiting; /* in order of arrival; those that gave way are in front */
    struct sequence_order running; /* in order of service: who was served goes to the end */
    uint32_t n_running;
    struct holdings holdings;
    uint64_t next_age;
    uint64_t n_preempted;
    uint64_t n_admitted;
    struct step step; /* owned arrays */
};

void scheduler_init(struct scheduler *s, const struct scheduler_limits *limits,
                    const struct holding_memory *memory);
void scheduler_free(struct scheduler *s);

void scheduler_add(struct scheduler *s, struct sequence *q);
/* It is over, or not wanted any more: out. What it has read stays in the prefix cache. */
void scheduler_remove(struct scheduler *s, struct sequence *q);

/* The next step, of at most `budget` rows that are not decodes (0 only when nobody reads). NULL
 * when nobody can go on: all are paused, or there are none. Valid until the next call. */
const struct step *scheduler_build(struct scheduler *s, int32_t budget);

/* The step was computed: its rows are done. Before tokens are added to the sequences. */
void scheduler_commit(struct scheduler *s);

/* Are there sequences that decode? Then a prompt must not hold them up. */
bool scheduler_has_decodes(const struct scheduler *s);

#endif

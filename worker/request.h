/* The requests a worker runs: a fixed number of seats, found by request id.
 *
 * A request takes a seat with its SUBMIT and gives it back when its last word (DONE, FAIL or
 * CANCELLED) is in the ring. */
#ifndef WORKER_REQUEST_H
#define WORKER_REQUEST_H

#include "worker/answer.h"
#include "worker/params.h"

#include <sys/queue.h>

struct request {
    uint64_t id; /* 0 = the seat is free */
    uint64_t seed;
    uint32_t seat;   /* fixed: index in the table; engines keep their own state by it */
    uint32_t credit; /* tokens that may be sent in all */
    struct params params;
    struct answer answer;
    uint32_t *resume; /* owned: ids of the tokens sent by others before us, until submitted */
    uint32_t n_resume;
    uint64_t submitted_ns, first_ns; /* monotonic; first_ns: of the first token sent here, or 0 */

    bool is_ending;  /* its last word is said, or waits in `out` */
    bool is_paused;  /* waits for credit */
    bool is_blocked; /* waits for space in the ring; in reply.blocked */
    struct buf out;  /* owned: records that wait, framed by reply.c */
    size_t out_done; /* bytes of the first one that are in the ring */
    TAILQ_ENTRY(request) blocked;
    LIST_ENTRY(request) hashed; /* in its bucket, or in the list of free seats */
};
TAILQ_HEAD(request_queue, request);
LIST_HEAD(request_list, request);

struct request_table {
    struct request *seat;        /* owned: n_seats */
    struct request_list *bucket; /* owned */
    struct request_list free;
    uint32_t n_seats, n_buckets, n_live;
};

void request_table_init(struct request_table *t, uint32_t n_seats);
void request_table_free(struct request_table *t);

/* Its answer begins: n_max tokens at most. */
void request_begin_answer(struct request *r, uint32_t n_max);

/* A seat for a new id, or NULL when all are taken. */
struct request *request_open(struct request_table *t, uint64_t id);
struct request *request_find(const struct request_table *t, uint64_t id);
void request_close(struct request_table *t, struct request *r);

#endif

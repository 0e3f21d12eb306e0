/* Who is due next: a binary heap of seats by due time. */
#ifndef WORKER_SIM_SCHEDULE_H
#define WORKER_SIM_SCHEDULE_H

#include <stdint.h>

struct schedule {
    uint32_t *heap;   /* owned: seats, the earliest first */
    uint64_t *due_ns; /* owned: by seat */
    uint32_t *place;  /* owned: by seat: index in the heap + 1, 0 = not in it */
    uint32_t n, n_seats;
};

void schedule_init(struct schedule *s, uint32_t n_seats);
void schedule_free(struct schedule *s);

/* Enter a seat, or move it. */
void schedule_set(struct schedule *s, uint32_t seat, uint64_t due_ns);
/* Take a seat out, if it is in. */
void schedule_remove(struct schedule *s, uint32_t seat);
/* The earliest seat and its time: 1, or 0 when there is none. */
int schedule_first(const struct schedule *s, uint32_t *seat, uint64_t *due_ns);

/* Time of token k of a sequence with this rate (tokens a second, not 0) whose token 0 is due at
 * base_ns. */
uint64_t schedule_token_ns(uint64_t base_ns, uint64_t k, uint64_t rate);

#endif

#include "worker/sim/schedule.h"

#include "base/check.h"
#include "base/clock.h"

#include <stdlib.h>

void schedule_init(struct schedule *s, uint32_t n_seats)
{
    *s = (struct schedule){.n_seats = n_seats};
    s->heap = calloc(n_seats, sizeof *s->heap);
    s->due_ns = calloc(n_seats, sizeof *s->due_ns);
    s->place = calloc(n_seats, sizeof *s->place);
    CHECK(s->heap != NULL && s->due_ns != NULL && s->place != NULL);
}

void schedule_free(struct schedule *s)
{
    free(s->heap);
    free(s->due_ns);
    free(s->place);
    *s = (struct schedule){0};
}

static void put(struct schedule *s, uint32_t at, uint32_t seat)
{
    s->heap[at] = seat;
    s->place[seat] = at + 1;
}

static void move_up(struct schedule *s, uint32_t at)
{
    uint32_t seat = s->heap[at];

    while (at > 0) {
        uint32_t above = (at - 1) / 2;
        if (s->due_ns[s->heap[above]] <= s->due_ns[seat])
            break;
        put(s, at, s->heap[above]);
        at = above;
    }
    put(s, at, seat);
}

static void move_down(struct schedule *s, uint32_t at)
{
    uint32_t seat = s->heap[at];

    for (;;) {
        uint32_t below = 2 * at + 1;
        if (below >= s->n)
            break;
        if (below + 1 < s->n && s->due_ns[s->heap[below + 1]] < s->due_ns[s->heap[below]])
            below++;
        if (s->due_ns[s->heap[below]] >= s->due_ns[seat])
            break;
        put(s, at, s->heap[below]);
        at = below;
    }
    put(s, at, seat);
}

void schedule_set(struct schedule *s, uint32_t seat, uint64_t due_ns)
{
    CHECK(seat < s->n_seats);
    s->due_ns[seat] = due_ns;
    if (s->place[seat] == 0)
        put(s, s->n++, seat);
    move_up(s, s->place[seat] - 1);
    move_down(s, s->place[seat] - 1);
}

void schedule_remove(struct schedule *s, uint32_t seat)
{
    CHECK(seat < s->n_seats);
    uint32_t at = s->place[seat];
    if (at-- == 0)
        return;
    s->place[seat] = 0;
    uint32_t last = s->heap[--s->n];
    if (last == seat)
        return;
    put(s, at, last);
    move_up(s, at);
    move_down(s, s->place[last] - 1);
}

int schedule_first(const struct schedule *s, uint32_t *seat, uint64_t *due_ns)
{
    if (s->n == 0)
        return 0;
    *seat = s->heap[0];
    *due_ns = s->due_ns[*seat];
    return 1;
}

uint64_t schedule_token_ns(uint64_t base_ns, uint64_t k, uint64_t rate)
{
    return base_ns + k / rate * NS_PER_S + k % rate * NS_PER_S / rate;
}

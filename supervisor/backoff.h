/* When a dead child starts again: back-off, fault budget, circuit breaker. Arithmetic only.
 *
 *   deaths in a row   wait 0, 0.25 s, 0.5 s, 1 s … max_ns, each ±20 %; backoff_settle starts over
 *   faults            at most fault_budget, one forgiven per forgive_ns; then the circuit opens:
 *                     no start for open_ns, then one canary, whose proof (backoff_prove) closes it
 *                     and whose fault opens it again
 *   killed, stopped   SIGKILL, SIGTERM or SIGSTOP from outside says nothing about the child: once
 *                     it had been ready it starts again at once, whatever the number of kills.
 *                     Killed before it was ready (the kernel's memory killer, say) it waits like
 *                     any other death, in a row of its own that ends when it becomes ready.
 *   permanent         not started again; a child with no circuit (the router) is, with back-off.
 */
#ifndef SUPERVISOR_BACKOFF_H
#define SUPERVISOR_BACKOFF_H

#include "shm/states.h"

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_FIRST_NS 250000000ull

struct backoff_rules {
    uint64_t max_ns;
    uint32_t fault_budget; /* 0 = no circuit breaker, and never given up */
    uint64_t forgive_ns;
    uint64_t open_ns;
};

struct backoff {
    uint32_t step;          /* deaths in a row */
    uint32_t early_kills;   /* kills in a row before it was ready */
    uint32_t faults;        /* not yet forgiven */
    uint64_t forgive_at_ns; /* when the next one will be */
    bool is_tripped;        /* the circuit is not closed: the next start is a canary */
};

struct backoff_plan {
    enum child_state state; /* CHILD_BACKOFF, CHILD_OPEN or CHILD_FAILED */
    uint64_t delay_ns;
};

/* What follows a death of a child that is still wanted. random: any 64 random bits. */
struct backoff_plan backoff_after(struct backoff *b, const struct backoff_rules *rules,
                                  enum exit_class exit_class, bool was_asked, bool was_ready,
                                  uint64_t now_ns, uint64_t random);

/* Forget the faults whose time has come. */
void backoff_forgive(struct backoff *b, const struct backoff_rules *rules, uint64_t now_ns);

void backoff_ready(struct backoff *b);  /* it became ready */
void backoff_prove(struct backoff *b);  /* it finished a request: closes the circuit */
void backoff_settle(struct backoff *b); /* ready long enough and proved: waits start over */

/* True for the classes that eat the budget. */
bool backoff_is_fault(enum exit_class exit_class);

#endif

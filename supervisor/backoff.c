#include "supervisor/backoff.h"

#include "base/clock.h"

/* 0, 0.25 s, 0.5 s … ±20 %, never more than max_ns. */
static uint64_t delay_of(uint32_t step, uint64_t max_ns, uint64_t random)
{
    if (step == 0)
        return 0;
    uint64_t ns = max_ns;
    if (step <= 40 && (BACKOFF_FIRST_NS << (step - 1)) < max_ns)
        ns = BACKOFF_FIRST_NS << (step - 1);
    uint64_t fifth = ns / 5;
    ns = ns - fifth + random % (2 * fifth + 1);
    return ns < max_ns ? ns : max_ns;
}

static uint64_t delay_next(uint32_t *step, const struct backoff_rules *rules, uint64_t random)
{
    uint64_t ns = delay_of(*step, rules->max_ns, random);
    if (*step < UINT32_MAX)
        ++*step;
    return ns;
}

bool backoff_is_fault(enum exit_class exit_class)
{
    return exit_class == EXIT_CLASS_FAULT || exit_class == EXIT_CLASS_HUNG ||
           exit_class == EXIT_CLASS_VIOLATION;
}

void backoff_forgive(struct backoff *b, const struct backoff_rules *rules, uint64_t now_ns)
{
    while (b->faults > 0 && now_ns >= b->forgive_at_ns) {
        b->faults--;
        b->forgive_at_ns += rules->forgive_ns;
    }
}

static void add_fault(struct backoff *b, const struct backoff_rules *rules, uint64_t now_ns)
{
    backoff_forgive(b, rules, now_ns);
    if (b->faults == 0)
        b->forgive_at_ns = now_ns + rules->forgive_ns;
    b->faults++;
    if (rules->fault_budget != 0 && b->faults >= rules->fault_budget)
        b->is_tripped = true;
}

struct backoff_plan backoff_after(struct backoff *b, const struct backoff_rules *rules,
                                  enum exit_class exit_class, bool was_asked, bool was_ready,
                                  uint64_t now_ns, uint64_t random)
{
    struct backoff_plan plan = {CHILD_BACKOFF, 0};

    if (was_asked)
        return plan;
    if (exit_class == EXIT_CLASS_PERMANENT && rules->fault_budget != 0)
        return (struct backoff_plan){CHILD_FAILED, 0};
    if (exit_class == EXIT_CLASS_KILLED || exit_class == EXIT_CLASS_STOPPED) {
        if (!was_ready)
            plan.delay_ns = delay_next(&b->early_kills, rules, random);
        return plan;
    }
    plan.delay_ns = delay_next(&b->step, rules, random);
    if (backoff_is_fault(exit_class)) {
        add_fault(b, rules, now_ns);
        if (b->is_tripped)
            plan = (struct backoff_plan){CHILD_OPEN, rules->open_ns};
    }
    return plan;
}

void backoff_ready(struct backoff *b)
{
    b->early_kills = 0;
}

void backoff_prove(struct backoff *b)
{
    if (!b->is_tripped)
        return;
    b->is_tripped = false;
    b->faults = 0;
}

void backoff_settle(struct backoff *b)
{
    b->step = 0;
}

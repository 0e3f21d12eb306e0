#include "tools/bench/streams_stats.h"

#include <stddef.h>

static const struct {
    const char *name, *meaning;
} faults[FAULTS_N] = {[FAULT_NONE] = {"none", "nothing"},
#define X(constant, text, explained) [constant] = {text, explained},
                      FAULTS(X)
#undef X
};

const char *fault_name(enum fault f)
{
    return faults[f].name;
}

const char *fault_meaning(enum fault f)
{
    return faults[f].meaning;
}

static size_t cell_of(uint64_t value)
{
    if (value < 1u << STEPS_LOG2)
        return value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - STEPS_LOG2;
    return ((size_t)(shift + 1) << STEPS_LOG2) + (value >> shift) - (1u << STEPS_LOG2);
}

/* Largest value of a cell. */
static uint64_t cell_end(size_t cell)
{
    if (cell < 1u << STEPS_LOG2)
        return cell;
    unsigned shift = (unsigned)(cell >> STEPS_LOG2) - 1;
    uint64_t step = (cell & ((1u << STEPS_LOG2) - 1)) + (1u << STEPS_LOG2);
    return ((step + 1) << shift) - 1;
}

void dist_add(struct dist *d, uint64_t value)
{
    d->cell[cell_of(value)]++;
    d->n++;
    if (value > d->max)
        d->max = value;
}

uint64_t dist_at(const struct dist *d, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)d->n), seen = 0;

    if (d->n == 0)
        return 0;
    for (size_t i = 0; i < DIST_CELLS; i++) {
        seen += d->cell[i];
        if (seen > wanted || seen == d->n)
            return cell_end(i) < d->max ? cell_end(i) : d->max;
    }
    return d->max;
}

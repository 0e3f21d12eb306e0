/* What fake_child does about the memory of the weights, right and wrong. */
#ifndef TESTS_UNIT_FAKE_WEIGHTS_H
#define TESTS_UNIT_FAKE_WEIGHTS_H

#include "worker/keeper.h"

/* A line of the events file; in fake_child.c. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct fake_weights {
    struct keeper keeper;
    unsigned byte;    /* what all of it is filled with */
    const char *fill; /* how, see fake_child.c; borrowed */
    bool is_open;     /* asked for, not ready yet */
};

/* order: "KEY BYTES BYTE". Asks for them. */
void fake_weights_begin(struct fake_weights *w, const char *order, const char *fill,
                        uint64_t epoch);

/* A GRANT. True when READY is next. */
bool fake_weights_take(struct fake_weights *w, const struct control_msg *m, int fds[CONTROL_FDS]);

/* The second half of a slow one. */
void fake_weights_finish(struct fake_weights *w);

#endif

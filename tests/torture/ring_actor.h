/* One process of the ring torture: takes part in making links, then sends and takes records in an
 * event loop of the same shape as the router's and the worker's. */
#ifndef TESTS_TORTURE_RING_ACTOR_H
#define TESTS_TORTURE_RING_ACTOR_H

#include "shm/ring.h"

#include <stdbool.h>
#include <sys/types.h>

#define RECORD_MAX 4096

struct outbox {
    uint8_t data[RECORD_MAX];
    size_t len, done;
    uint64_t request;
    enum ring_type type;
    bool is_full;
};

struct actor {
    enum ring_direction sends;
    unsigned spin;   /* longest idle loop before publishing and before sleeping, 0 = none */
    uint64_t chance; /* state of torture_random */
    void *state;     /* borrowed: of the functions below */
    bool (*next)(struct actor *a, struct outbox *out);            /* false = nothing to send now */
    void (*take)(struct actor *a, const struct ring_record *rec); /* fails the test by itself */
    void (*linked)(struct actor *a);                              /* a fresh link is up */
    bool (*is_over)(struct actor *a);

    struct ring ring;
    bool is_up;
    struct ring_assembler assembler;
    struct outbox out;
    uint64_t sleeps, records;
};

/* The control socket is descriptor 3. Ends the process. */
_Noreturn void actor_run(struct actor *a);

/* ---- the parent's side ---- */

struct child {
    pid_t pid;
    int sock;
};

/* Fork; in the child only the control socket is open beside stdin, stdout, stderr. */
struct child child_spawn(void (*run)(void *arg), void *arg);

/* Make link `epoch` between the two: false when one of them died over it. */
bool link_make(struct child *router, struct child *worker, uint64_t epoch, uint32_t capacity);

#endif

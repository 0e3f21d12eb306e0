/* One child: its state and the table of what each event does in each state.
 *
 *        want-up           ready            want-down          drained, timeout
 *   DOWN -------> STARTING -----> READY ---------> DRAINING -----------------> STOPPING
 *    ^              |  ^            |                  |                           |
 *    |              |  | retry-due  | exited           | exited                    | exited
 *    |              v  |            v                  v                           v
 *    +-----------  BACKOFF | OPEN | FAILED (still wanted)  or  DOWN (not wanted) <-+
 *
 * hang, violation and the timeout of a start are SIGKILL and STOPPING: a child has left a state for
 * good only when it was reaped. Nothing here knows of processes, sockets or links: that is behind
 * struct child_ops, so that every (state, event) pair can be walked by a test.
 */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "base/config.h"
#include "shm/counters.h"
#include "shm/states.h"
#include "supervisor/backoff.h"
#include "supervisor/death.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILD_HELLO_NS    (10 * 1000000000ull) /* fork to HELLO; the router: to READY */
#define CHILD_REAP_NS     (10 * 1000000000ull) /* SIGKILL to reaped, then quarantine */
#define ROUTER_BACKOFF_NS 1000000000ull

#define CHILD_EVENTS(X) \
    X(EV_WANT_UP, "want-up")     /* start; a failed one is tried again */ \
    X(EV_WANT_DOWN, "want-down") /* finish what you have, then stop */ \
    X(EV_STOP, "stop")           /* stop now, cleanly */ \
    X(EV_KILL, "kill")           /* now */ \
    X(EV_HELLO, "hello")         /* it introduced itself correctly */ \
    X(EV_READY, "ready") \
    X(EV_PROVED, "proved")       /* a request finished there */ \
    X(EV_DRAINED, "drained")     /* nothing left to finish */ \
    X(EV_VIOLATION, "violation") /* it broke the protocol */ \
    X(EV_HANG, "hang")           /* no progress */ \
    X(EV_TIMEOUT, "timeout")     /* deadline_ns passed */ \
    X(EV_RETRY_DUE, "retry-due") /* next_start_ns passed */ \
    X(EV_EXITED, "exited")       /* reaped; wait_status is set */

#define X(constant, text) constant,
enum child_event { CHILD_EVENTS(X) CHILD_EVENTS_N };
#undef X

struct child;

/* What the machine asks of the world. */
struct child_ops {
    /* A new incarnation: sets pid and epoch. 0 or -errno with the sentence. */
    int (*spawn)(struct child *c, struct err *e);
    void (*stop)(struct child *c); /* STOP and SIGTERM */
    void (*kill)(struct child *c); /* SIGKILL */
    /* Ask for nothing new there until deadline_ns: 0, or -errno when there is nothing to wait for.
     */
    int (*drain)(struct child *c, uint64_t deadline_ns);
    /* After reaping: the panic slot's words. */
    void (*last_words)(struct child *c, char *text, size_t size);
    /* After reaping: close what belonged to the incarnation, tell its peers. */
    void (*buried)(struct child *c);
    void (*changed)(struct child *c); /* publish */
};

struct child {
    /* Fixed. */
    enum process_kind kind;
    uint32_t process; /* index in the node segment */
    uint32_t slot;    /* workers */
    const struct child_ops *ops;
    void *owner;
    const struct config_supervisor *rules; /* borrowed; may change at a reload */
    struct supervisor_counters *counters;

    /* Its post: workers only, set when the slot is given to a model. */
    bool is_assigned;
    uint32_t model;
    uint32_t ordinal;
    uint32_t generation; /* of the model's configuration this incarnation was started with */
    char name[64];       /* "router", "org/name#0" */
    bool is_wanted;      /* what the last want-up, want-down, stop or kill said */

    enum child_state state; /* stored by set_state alone */
    uint64_t now_ns;        /* of the event at hand */
    uint64_t spawned_ns, ready_ns, gone_ns;
    uint64_t deadline_ns;   /* EV_TIMEOUT, 0 = none */
    uint64_t next_start_ns; /* EV_RETRY_DUE, in BACKOFF and OPEN */
    uint32_t spawns;
    struct backoff backoff;

    /* This incarnation. */
    pid_t pid; /* 0 = none */
    uint64_t epoch;
    int pidfd, control; /* owned by the ops; -1 = none */
    int wait_status;
    bool has_hello;
    bool is_proved;
    bool is_stopped;     /* by a signal, when it showed no progress */
    bool is_on_trial;    /* the router runs suspects there: a fault is theirs */
    bool is_asked;       /* told to stop */
    bool is_killed;      /* SIGKILL sent */
    bool is_quarantined; /* and it is still not gone */
    bool is_deaf;        /* a message did not go out: its socket is full */
    enum exit_class killed_as;
    char why[256]; /* why it was killed, or what it refused */
    uint32_t seats, vocab, context;
    bool has_text, has_chat, has_tools, has_reasoning, has_embedding; /* as in MODEL_RECORD */

    /* Sign of life: supervisor/health.c. */
    uint64_t beat_progress, beat_ns;
    uint64_t control_lost_ns;

    struct death last;
    char obituary[512]; /* of the last death, without the name */
};

const char *child_event_name(uint32_t ev);

void child_event(struct child *c, enum child_event ev, uint64_t now_ns);

/* The same with the reason, for EV_VIOLATION, EV_HANG and EV_KILL. */
void child_accuse(struct child *c, enum child_event ev, uint64_t now_ns, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* When child_run_due has something to do; 0 = never. */
uint64_t child_due_ns(const struct child *c);
void child_run_due(struct child *c, uint64_t now_ns);

/* Forgive faults, clear the back-off of a child that has proved itself. */
void child_tick(struct child *c, uint64_t now_ns);

static inline bool child_is_alive(const struct child *c)
{
    return c->pid != 0;
}

#endif

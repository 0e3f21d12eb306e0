/* The router's side of one worker: rings, what is bound to it, what waits to be sent. */
#ifndef ROUTER_ROUTE_LINK_H
#define ROUTER_ROUTE_LINK_H

#include "router/route/request.h"
#include "shm/control.h"
#include "shm/ring.h"

struct event;

/* X(constant, text) */
#define LINK_STATES(X)                                                                             \
    X(LINK_NONE, "none")     /* no worker, or not ready */                                         \
    X(LINK_MAPPED, "mapped") /* own direction mapped, the worker's not yet */                      \
    X(LINK_UP, "up")                                                                               \
    X(LINK_BROKEN, "broken") /* it broke the protocol; its death has been asked for */
#define X(constant, text) constant,
enum link_state { LINK_STATES(X) };
#undef X

struct link {
    struct router *router; /* borrowed */
    uint32_t slot;         /* worker slot */
    enum link_state state;
    struct model *model; /* borrowed */
    uint64_t epoch;
    struct ring ring;
    struct ring_assembler assembler;
    struct event *readable; /* owned; on ring.wake_fd */
    uint32_t seats, vocab, context;
    bool has_text;    /* its model generates some: what the canary asks for */
    bool is_canary;   /* on probation: only the canary request */
    bool is_draining; /* no new work */
    bool is_proved;   /* a request finished here */
    bool is_reserved; /* kept free for a trial */
    struct trial *trial; /* borrowed: only its members may run here */
    struct request_list requests; /* bound here */
    uint32_t n_bound;
    struct request_list sending; /* have something to send */
    char violation[160];  /* still to be reported to the supervisor */
    bool is_taking;       /* in the middle of a turn: link_pump follows */
    uint64_t swept_head; /* consumer index at the last sweep, to find lost wake-ups */
    bool is_swept;
};

void link_init(struct router *rt, struct link *l, uint32_t slot);

/* Control messages of the supervisor; the fds stay the caller's. */
void link_map(struct router *rt, const struct control_msg *msg, const int *fds);
void link_start(struct router *rt, const struct control_msg *msg, const int *fds);
void link_down(struct router *rt, const struct control_msg *msg);
void link_drain(struct router *rt, const struct control_msg *msg);

/* Takes work: up, not draining, proved or not on probation. */
bool link_is_usable(const struct link *l);

/* Bind a request and send it. */
void link_bind(struct link *l, struct request *r);
/* Something of r is to be sent (wants_*). */
void link_queue(struct link *l, struct request *r);
/* Send what is queued and hand it over. */
void link_pump(struct link *l);
/* After an unbind: say DRAINED when that was the last. */
void link_unbound(struct link *l);

/* Every 100 ms: events that nobody announced. */
void link_sweep(struct link *l);

void link_close(struct link *l);

#endif

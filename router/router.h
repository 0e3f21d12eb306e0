/* The router process: everything it owns. Dependencies: main -> api -> {http, route}. */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include "base/config.h"
#include "router/api/responses_store.h"
#include "router/http/server.h"
#include "router/route/dispatch.h"
#include "shm/layout.h"

struct event;
struct event_base;
struct replay;

struct router {
    struct event_base *base;
    struct shm_node *node; /* mapped, shared */
    struct config config;
    uint64_t epoch;
    uint64_t boot_id;
    struct router_counters *counters; /* borrowed, in the segment */

    struct http_server client, metrics;
    bool has_metrics;

    struct model models[SHM_MODELS_MAX];
    struct link links[SHM_WORKERS_MAX];
    struct request_pool requests;
    struct responses_store responses;
    struct deadline_queue queue_due, life_due, hold_due;
    struct replay *replay; /* owned: answers that clients may send back */

    struct event *control; /* the supervisor's socket is readable */
    struct event *tick;
    uint64_t last_tick_ns;
    uint64_t n_ticks;
    bool is_draining;
    bool said_drained;
};

/* control.c: the supervisor's socket. */
void router_configure(struct router *rt); /* timeouts, from a new configuration */
/* control.c: what still runs gets its error, then the loop ends. */
void router_stop(struct router *rt);
void control_start(struct router *rt);
/* 0, or -errno: the caller tries again. */
int control_report_violation(struct link *l, const char *text);
void control_report_proved(struct link *l);
void control_report_trial(struct link *l);
void control_report_link_drained(struct link *l);
void control_check_drained(struct router *rt); /* says DRAINED, once, when that is so */

#endif

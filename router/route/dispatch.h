/* Who runs where: queue, placement, and what happens to the requests of a dead worker. */
#ifndef ROUTER_ROUTE_DISPATCH_H
#define ROUTER_ROUTE_DISPATCH_H

#include "router/route/model.h"

/* Is there room for n more requests? 0, or why not: ERROR_QUEUE_FULL, ERROR_MODEL_FAILED,
 * ERROR_MODEL_LOADING (only for those who do not stream) with its sentence, through *error. */
int dispatch_admit(struct router *rt, struct model *m, uint32_t n, bool is_stream,
                   enum api_error *error, char *text, size_t size);

/* A new request: to a worker, or into the queue. What goes to a worker is on its way after
 * dispatch_send: those that come together are started first, and then sent. */
void dispatch_start(struct request *r);
void dispatch_send(struct request *r);

/* Something became possible (a seat, a link): give work out. */
void dispatch_pump(struct router *rt, struct model *m);

/* The requests of a reaped worker, in the order they were bound. */
void dispatch_orphans(struct model *m, struct request_list *orphans, struct trial *trial,
                      enum exit_class class);

/* It made progress, ended, or left: out of queue, trial and suspicion. */
void dispatch_progress(struct request *r);
void dispatch_forget(struct request *r);

/* Fail all that wait for the model, in the queue or for a trial. */
void dispatch_abandon(struct model *m, enum api_error error, const char *text);

/* The link is being drained: what its trial has not started goes back to the queue. */
void dispatch_drain(struct link *l);

/* Every 100 ms: trials that lasted long enough, queues of models that failed. */
void dispatch_sweep(struct router *rt, uint64_t now_ns);

#endif

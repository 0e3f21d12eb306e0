/* The worker's one thread: control socket, link, engine, signs of life. */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

#include "worker/engine.h"
#include "worker/heritage.h"
#include "worker/intake.h"
#include "worker/link.h"
#include "worker/report.h"

struct worker {
    struct heritage *heritage; /* borrowed; HELLO is sent */
    struct engine *engine;     /* borrowed */
    struct engine_facts facts;
    struct link link;
    struct request_table table;
    struct reply reply;
    struct intake intake;
    struct report report;
    int epoll_fd, signal_fd;
    bool is_ready;
    bool is_deaf;  /* a fault on demand: SIGTERM and STOP are not heard */
    int exit_code; /* -1 while running */
};

/* Load, be ready, serve. The exit code of the process. */
int worker_run(struct worker *w, struct heritage *h, struct engine *engine);

#endif

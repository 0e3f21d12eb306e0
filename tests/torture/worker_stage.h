/* A stage for one real cortex-worker: the test plays the supervisor on its control socket and the
 * router on its link. */
#ifndef TESTS_TORTURE_WORKER_STAGE_H
#define TESTS_TORTURE_WORKER_STAGE_H

#include "base/buf.h"
#include "shm/control.h"
#include "shm/layout.h"
#include "shm/link.h"
#include "shm/protocol.h"

#include <sys/types.h>

#define STAGE_WAIT_MS 30000 /* generous: the machine may be busy with something else */

struct stage {
    struct shm_node *node;
    int node_fd;
    uint64_t epoch;    /* the last one given out */
    uint32_t capacity; /* of the rings */
    char config[2048]; /* what the next worker gets */
    struct process_record process;

    pid_t pid; /* 0 = no worker */
    int control;
    struct control_msg ready;
    struct link_fds fds;
    struct ring ring; /* the router's end; own == NULL: no link */
    struct ring_assembler assembler;
};

void stage_open(struct stage *s, const char *model_keys);
void stage_close(struct stage *s);

/* Start a worker; nothing is awaited. */
void stage_spawn(struct stage *s);
/* The next message, which must be of this type; fails the test when none comes. */
void stage_expect(struct stage *s, enum control_type type, struct control_msg *msg);
/* 1 when a message came within the time, 0 when none, -1 on end of file. */
int stage_hear(struct stage *s, struct control_msg *msg, int timeout_ms);
void stage_send(struct stage *s, enum control_type type, uint64_t epoch);
/* STOP, to a worker that may be gone. */
void stage_ask_to_stop(struct stage *s);

/* Spawn, hello, ready, link. */
void stage_start(struct stage *s);
void stage_link(struct stage *s);
void stage_unlink(struct stage *s, int is_told);

/* The worker is dead or dies now: its wait status; the link and the socket are closed. */
int stage_reap(struct stage *s);
/* Kill it and reap it. */
void stage_kill(struct stage *s);

/* Put a record into the ring, waiting for space; 0, or -1 when the worker died meanwhile. */
int stage_say(struct stage *s, enum ring_type type, uint64_t request, const void *data, size_t len);
int stage_submit(struct stage *s, uint64_t id, uint64_t seed, const char *json,
                 const uint32_t *resume, uint32_t n_resume, uint32_t credit);

/* The next record: 1; 0 when none came within the time; -EPROTO when the worker broke the rules of
 * the ring; -EPIPE when it is dead and its ring empty. */
int stage_next(struct stage *s, struct ring_record *rec, int timeout_ms);

uint64_t stage_progress(const struct stage *s);

#endif

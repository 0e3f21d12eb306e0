/* The one door between the worker (link, requests, control) and what makes the tokens.
 *
 * The worker calls, single-threaded: load until it is ready, then submit, resume and forget as the
 * router's records say, and step whenever the time of deadline_ns has come. An engine with threads
 * of its own makes wake_fd readable when there is something for load or step to do. The engine answers
 * through reply.h: for each request accept (or fail) once, the tokens, and done when the answer is
 * over. Where reply_may_go says no it leaves the request alone until resume; after done, fail or
 * forget it does not touch it any more.
 *
 * What a request asks for is in its params (the kinds: shm/protocol.h). With echo the prompt's
 * tokens come first (answer_echo, is_prompt; the first one's log-probability is NaN); with
 * log-probabilities each token has tops, itself the first. The kinds that make no new tokens accept
 * with 0 prompt tokens, say what they have to in tokens, at most ANSWER_TOKENS_MAX, and end with
 * FINISH_STOP; the context is no limit for them. Whatever it is, token i is the same in every
 * incarnation.
 */
#ifndef WORKER_ENGINE_H
#define WORKER_ENGINE_H

#include "base/err.h"
#include "shm/control.h"
#include "worker/reply.h"

#include <stdbool.h>

struct engine_load {
    uint64_t bytes, bytes_total;
    bool is_waiting; /* for another process, whose progress is watched by itself */
};

/* What its memory plan says; all 0 for an engine that has none. */
struct engine_memory {
    uint64_t weights_bytes, kv_bytes, state_bytes, work_bytes;
};

/* Known when loading is over. */
struct engine_facts {
    struct engine_memory memory;
    uint32_t seats;   /* requests at once */
    uint32_t vocab;   /* token ids are below */
    uint32_t context; /* tokens of prompt and answer together */
    bool has_text, has_chat, has_tools, has_reasoning, has_embedding; /* as in MODEL_RECORD */
};

#define ENGINE_NEVER UINT64_MAX

struct engine;
struct engine_ops {
    const char *device; /* as in the worker record */

    /* One piece of loading, a few milliseconds at most; the next one is due at deadline_ns. 1 and
     * *facts when done, 0 when there is more, -errno with the sentence when it cannot be. */
    int (*load)(struct engine *g, uint64_t now_ns, struct engine_load *progress,
                struct engine_facts *facts, struct err *e);

    /* The supervisor's memory for weights has come: CONTROL_WEIGHTS_GRANT. The fds that are kept
     * are taken out of the array. NULL for an engine that asks for none. */
    void (*grant)(struct engine *g, const struct control_msg *msg, int fds[CONTROL_FDS]);

    /* A new request, its params parsed, r->resume to be replayed. The prompt's tree (params_take)
     * and r->resume are gone when this returns, unless the engine has taken them over. */
    void (*submit)(struct engine *g, struct request *r, uint64_t now_ns);
    void (*resume)(struct engine *g, struct request *r, uint64_t now_ns);
    /* Cancelled, or the link is gone. Also of one that was never submitted or is done. */
    void (*forget)(struct engine *g, struct request *r);

    /* Produce what is due, a bounded amount. */
    void (*step)(struct engine *g, uint64_t now_ns);
    uint64_t (*deadline_ns)(const struct engine *g); /* 0 = at once, ENGINE_NEVER */

    /* False: it computes, and has made no progress for longer than it may. NULL: always alive. */
    bool (*is_alive)(const struct engine *g, uint64_t now_ns);
};

struct engine {
    const struct engine_ops *ops;
    struct reply *reply; /* borrowed; set before the first submit */
    int wake_fd;         /* eventfd, read by the loop; -1: none */
    bool is_woken;       /* set by the loop when it was readable, cleared by load and step */
};

#endif

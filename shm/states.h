/* Every set of states, kinds and classes that more than one process speaks of: one list each,
 * from which the enum, the names and the description in the segment come. */
#ifndef SHM_STATES_H
#define SHM_STATES_H

#include <stdint.h>

/* X(constant, text) */
#define PROCESS_KINDS(X)                                                                           \
    X(PROCESS_NONE, "none") X(PROCESS_SUPERVISOR, "supervisor") X(PROCESS_ROUTER, "router")        \
    X(PROCESS_WORKER, "worker")

/* A child as the supervisor sees it (supervisor/child.c holds the table of transitions). */
#define CHILD_STATES(X)                                                                            \
    X(CHILD_DOWN, "down")         /* not wanted */                                                 \
    X(CHILD_STARTING, "starting") /* forked, has not said it is ready */                           \
    X(CHILD_READY, "ready")                                                                        \
    X(CHILD_DRAINING, "draining") /* finishes what it has */                                       \
    X(CHILD_STOPPING, "stopping") /* told to exit, or killed; waiting for the reaping */           \
    X(CHILD_BACKOFF, "backoff")   /* dead, to be started again at next_start_ns */                 \
    X(CHILD_OPEN, "circuit-open") /* too many faults: no start before next_start_ns, then one    \
                                     canary */                                                     \
    X(CHILD_FAILED, "failed")     /* permanent: not started again */

#define EXIT_CLASSES(X)                                                                            \
    X(EXIT_CLASS_NONE, "none")                                                                     \
    X(EXIT_CLASS_CLEAN, "clean")         /* exit 0, or asked to stop */                            \
    X(EXIT_CLASS_PERMANENT, "permanent") /* exit 100: no restart */                                \
    X(EXIT_CLASS_TEMPORARY, "temporary") /* exit 111 */                                            \
    X(EXIT_CLASS_FAULT, "fault")         /* a signal of its own making, 70, any other code */      \
    X(EXIT_CLASS_KILLED, "killed")       /* SIGKILL or SIGTERM that we did not send */             \
    X(EXIT_CLASS_HUNG, "hung")           /* we killed it: no progress */                           \
    X(EXIT_CLASS_VIOLATION, "violation") /* we killed it: it broke the protocol */                 \
    X(EXIT_CLASS_STOPPED, "stopped")     /* we killed it: no progress, because a signal had        \
                                            stopped it */

#define MODEL_STATES(X)                                                                            \
    X(MODEL_ABSENT, "absent") X(MODEL_LOADING, "loading") X(MODEL_READY, "ready")                  \
    X(MODEL_DRAINING, "draining") X(MODEL_FAILED, "failed")

#define WORKER_PHASES(X)                                                                           \
    X(PHASE_NONE, "none") X(PHASE_STARTING, "starting") X(PHASE_LOADING, "loading")                \
    X(PHASE_SERVING, "serving") X(PHASE_DRAINING, "draining")

/* Memory that the supervisor keeps for the weights of a model. */
#define KEPT_STATES(X)                                                                             \
    X(KEPT_NONE, "none")                                                                           \
    X(KEPT_WANTED, "wanted")   /* no memory yet: others are just giving theirs back */             \
    X(KEPT_FILLING, "filling") /* one worker writes it */                                          \
    X(KEPT_FILLED, "filled")   /* sealed: workers map it, those that start again, too */

/* Life of a request in the router: reliability.md §2. */
#define REQUEST_STATES(X)                                                                          \
    X(REQUEST_FREE, "free")                                                                        \
    X(REQUEST_QUEUED, "queued")         /* accepted, waits for a worker */                         \
    X(REQUEST_SUBMITTED, "submitted")   /* on its way into a worker's ring, or there */            \
    X(REQUEST_RUNNING, "running")       /* the worker accepted it */                               \
    X(REQUEST_RETRY, "retry")           /* its worker died; waits for the next one */              \
    X(REQUEST_DRAINING, "draining")     /* generation over, bytes still to be read by the client */\
    X(REQUEST_CANCELLING, "cancelling") /* client gone, waits for the worker's last word */        \
    X(REQUEST_FAILED, "failed")         /* ended by an error */

/* What a client asked for, and in whose words it is answered. */
#define DIALECTS(X)                                                                                \
    X(DIALECT_NONE, "none") X(DIALECT_CHAT, "chat") X(DIALECT_COMPLETION, "completion")            \
    X(DIALECT_TOKENIZE, "tokenize") X(DIALECT_DETOKENIZE, "detokenize")                            \
    X(DIALECT_TEMPLATE, "template") X(DIALECT_MESSAGES, "messages")                                \
    X(DIALECT_COUNT, "count") X(DIALECT_RESPONSES, "responses")                                    \
    X(DIALECT_EMBEDDING, "embedding")

/* Why a generation ended. */
#define FINISH_REASONS(X)                                                                          \
    X(FINISH_STOP, "stop") X(FINISH_LENGTH, "length") X(FINISH_TOOL_CALLS, "tool_calls")

/* What a piece of text is. */
#define CHANNELS(X)                                                                                \
    X(CHANNEL_CONTENT, "content") X(CHANNEL_REASONING, "reasoning")                                \
    X(CHANNEL_CALL, "call")           /* a tool call begins: the tool's name, whole */             \
    X(CHANNEL_ARGUMENTS, "arguments") /* of the last call: JSON text */

/* Set name as it appears in the segment, list. */
#define STATE_SETS(X)                                                                              \
    X(process_kind, PROCESS_KINDS) X(child_state, CHILD_STATES) X(exit_class, EXIT_CLASSES)        \
    X(model_state, MODEL_STATES) X(worker_phase, WORKER_PHASES) X(kept_state, KEPT_STATES)         \
    X(request_state, REQUEST_STATES) X(dialect, DIALECTS) X(finish_reason, FINISH_REASONS)         \
    X(channel, CHANNELS)

#define STATE_CONSTANT(constant, text) constant,
#define X(set, list)                                                                               \
    enum set { list(STATE_CONSTANT) set##_count };                                                 \
    const char *set##_name(uint32_t value); /* "?" when out of range */
STATE_SETS(X)
#undef X

#endif

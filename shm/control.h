/* The control socket: one SOCK_SEQPACKET pair between the supervisor and each child.
 *
 * It is the child's lifeline (end of file = the supervisor is gone: exit at once), its readiness
 * signal (READY), and the way new links and configurations reach it. Each message is one
 * struct control_msg, checked for size, magic and type on arrival, with at most CONTROL_FDS fds
 * beside it. The token path never touches it.
 *
 * Making a link (epoch E) once a worker is READY and the router is READY:
 *   supervisor -> router  LINK_WRITE  fd: r2w            supervisor -> worker  LINK_WRITE  fd: w2r
 *   router -> supervisor  LINK_MAPPED                    worker -> supervisor  LINK_MAPPED
 *   (both mapped: the supervisor seals both memfds)
 *   supervisor -> router  LINK_READ   fds: w2r, pipe end to sleep on, pipe end that wakes the worker
 *   supervisor -> worker  LINK_READ   fds: r2w, pipe end to sleep on, pipe end that wakes the router
 * Either side's death: the supervisor reaps it first, then tells the survivor LINK_DOWN.
 *
 * Weights (worker/keeper.h, supervisor/keeper.h), before a worker is READY:
 *   worker -> supervisor  WEIGHTS_WANT
 *   supervisor -> worker  WEIGHTS_GRANT   is_filled: map it, be READY. Else: write all of it, unmap
 *                                         it, seal it (the kernel refuses that while a writable
 *                                         mapping is left), and
 *   worker -> supervisor  WEIGHTS_FILLED
 *   supervisor -> worker  WEIGHTS_GRANT   is_filled: to this one and to all who wait for it
 * A worker that dies before FILLED takes what it wrote with it: the next one gets zeros.
 */
#ifndef SHM_CONTROL_H
#define SHM_CONTROL_H

#include "base/err.h"

#include <stdint.h>

#define CONTROL_MAGIC   0x6c727463u
#define CONTROL_VERSION 3
#define CONTROL_FDS     4

/* X(constant, text) */
#define CONTROL_TYPES(X)                                                                           \
    /* child -> supervisor */                                                                      \
    X(CONTROL_HELLO, "hello")           /* pid, epoch, layout_hash: the first message */           \
    X(CONTROL_READY, "ready")           /* worker: seats, vocab, context, has_* */                 \
    X(CONTROL_REFUSED, "refused")       /* text: why it will exit with EXIT_PERMANENT */           \
    X(CONTROL_LINK_MAPPED, "mapped")    /* epoch = link */                                         \
    X(CONTROL_VIOLATION, "violation")   /* router: slot, epoch = link, text */                     \
    X(CONTROL_PROVED, "proved")         /* router: slot, epoch = link: a request (or the canary)   \
                                           finished there */                                       \
    X(CONTROL_TRIAL, "trial")           /* router: slot, epoch = link, is_trial: from now on only  \
                                           suspects run there (or no longer); a fault is theirs */ \
    X(CONTROL_DRAINED, "drained")       /* router: answers LINK_DRAIN (slot, epoch = link) or      \
                                           DRAIN (epoch = 0): nothing runs there any more */       \
    X(CONTROL_WEIGHTS_WANT, "weights-want") /* worker, between hello and ready: epoch = its own,   \
                                           weights_key, weights_bytes: memory for the weights,     \
                                           filled or to be filled; one piece for a worker */       \
    X(CONTROL_WEIGHTS_FILLED, "weights-filled") /* worker: epoch = its own, weights_key: all is    \
                                           written, nothing of it is mapped any more, and it is    \
                                           sealed (F_SEAL_WRITE): keep it */                       \
    /* supervisor -> child */                                                                      \
    X(CONTROL_LINK_WRITE, "link-write") /* slot, epoch = link, model, + own direction's memfd */   \
    X(CONTROL_LINK_READ, "link-read")   /* slot, epoch, model as LINK_WRITE, seats, vocab,         \
                                           context, has_text, is_canary,                           \
                                           + peer's memfd, end to sleep on, end that wakes the peer */          \
    X(CONTROL_LINK_DOWN, "link-down")   /* slot, epoch = link, exit_class: the peer was reaped */  \
    X(CONTROL_LINK_DRAIN, "link-drain") /* router: slot, epoch, deadline_ns: no new work there,    \
                                           say DRAINED */                                          \
    X(CONTROL_WEIGHTS_GRANT, "weights-grant") /* weights_key, weights_bytes, is_filled, + memfd:   \
                                           sealed and to be mapped read-only when is_filled, else  \
                                           zeros to be written by this worker alone. Answers WANT, \
                                           once no other worker is filling it, and FILLED. Without \
                                           an fd: text says why there is no such memory */         \
    X(CONTROL_CONFIG, "config")         /* + memfd with the new effective configuration */         \
    X(CONTROL_DRAIN, "drain")           /* deadline_ns: finish what you have */                    \
    X(CONTROL_STOP, "stop")             /* exit now, cleanly; SIGTERM comes with it */

#define X(constant, text) constant,
enum control_type { CONTROL_NONE, CONTROL_TYPES(X) CONTROL_TYPES_N };
#undef X

struct control_msg {
    uint32_t magic; /* filled by control_send */
    uint16_t version;
    uint16_t type;
    uint64_t epoch;
    uint64_t layout_hash;
    uint64_t deadline_ns;
    uint64_t weights_key;
    uint64_t weights_bytes;
    int32_t pid;
    uint32_t slot;  /* worker slot */
    uint32_t model; /* index into node->model[]; the name there is the key to the configuration */
    uint32_t seats;
    uint32_t vocab;
    uint32_t context;
    uint32_t has_text, has_chat, has_tools, has_reasoning, has_embedding; /* as in MODEL_RECORD */
    uint32_t exit_class; /* enum exit_class */
    uint32_t is_canary;
    uint32_t is_trial;
    uint32_t is_filled;
    char text[256]; /* NUL-terminated */
};

const char *control_type_name(uint32_t type);

/* Send one message and n fds (which stay the caller's). Never blocks: 0, -EAGAIN when the peer
 * does not read, -EPIPE when it is gone, another -errno. */
int control_send(int sock, const struct control_msg *msg, const int *fds, int n);

/* Receive one message: 1, 0 on end of file, -EAGAIN when there is none, -EPROTO with the sentence
 * for one that is malformed. fds[] gets CONTROL_FDS entries, -1 where none; they are the caller's,
 * close-on-exec. On an error none are left open. */
int control_recv(int sock, struct control_msg *msg, int fds[CONTROL_FDS], struct err *e);

/* Fixed descriptors of a child, the whole of its heritage beside argv and stderr. */
enum child_fd {
    CHILD_FD_CONTROL = 3,
    CHILD_FD_SEGMENT = 4, /* the node segment, read-write */
    CHILD_FD_CONFIG = 5,  /* sealed memfd: the effective configuration */
    CHILD_FD_LISTEN = 6,  /* router: client API; CHILD_FD_LISTEN + 1: metrics */
};

#endif

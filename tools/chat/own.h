/* A node of our own: `cortex serve` for one model on a port that the kernel chooses, as long as we
 * live. */
#ifndef TOOLS_CHAT_OWN_H
#define TOOLS_CHAT_OWN_H

#include "base/config.h"
#include "shm/node.h"

#include <sys/types.h>

struct own {
    pid_t pid;  /* 0 = none */
    int pidfd;  /* owned */
    int log_fd; /* owned: what the node said on standard error */
    char instance[32];
    const struct shm_node *node; /* owned mapping; NULL = not there yet */
    size_t size;
    char model[CONFIG_ID_MAX]; /* once it is ready: what the model is called, */
    char listen[80];           /* and where the client API is */
};

void own_init(struct own *o);

/* Start the node for the model in a directory. 0 or -errno with the sentence. */
int own_start(struct own *o, const char *dir, struct err *e);

/* Until the model is ready, with a line about it on a terminal. 0; -EINTR when interrupt_fd became
 * readable; or with the sentence -ECANCELED when the model has failed or the node refuses, and
 * -ECHILD when the node died. */
int own_wait(struct own *o, int interrupt_fd, struct err *e);

/* Let it end properly, and wait for that; interrupt_fd readable: quicker. */
void own_end(struct own *o, int interrupt_fd);

#endif

/* cortex-chat: `cortex run`. Talks to a node in the terminal, or in a pipe. */
#ifndef TOOLS_CHAT_CHAT_H
#define TOOLS_CHAT_CHAT_H

#include "tools/chat/client.h"
#include "tools/chat/screen.h"
#include "tools/chat/talk.h"

/* What the parts share. */
struct chat {
    struct client *client;
    struct talk talk;
    struct screen screen;
    int signal_fd; /* SIGINT, SIGTERM, SIGHUP: blocked, and read here */
    int node_fd;   /* readable when the node of our own is dead; -1 = it is not ours */
    int signal;    /* the one that ends us; 0 = none */
};

/* Take one signal that came. 0 when none did. */
int chat_take_signal(struct chat *c);

/* Continue the conversation, whose last turn is the user's: ask, show, remember. 0; -EINTR when a
 * signal came, which is taken: c->signal is set unless it was SIGINT; -errno with the sentence, and
 * *exit_code. The user's turn is dropped when there is no answer to it. */
int chat_ask(struct chat *c, int *exit_code, struct err *e);

/* Questions from a terminal until its end. Exit code of the program. */
int chat_interact(struct chat *c);

#endif

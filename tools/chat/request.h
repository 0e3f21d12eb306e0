/* The command line of `cortex run`. */
#ifndef TOOLS_CHAT_REQUEST_H
#define TOOLS_CHAT_REQUEST_H

#include "tools/chat/talk.h"
#include "tools/chat/target.h"

struct request {
    struct target_options target;
    const char *system, *subject, *prompt; /* NULL = not in the command line */
    struct talk_wishes wishes;
    bool is_page_only; /* it asked for the page alone, which was printed */
};

/* EXIT_OK with *r filled, from argv; or the exit code of a command line that is wrong, which was
 * said. */
int request_parse(struct request *r, int argc, char **argv);

#endif

/* The model that Cortex brings along, for a chat that names none. */
#ifndef TOOLS_CHAT_DEMO_H
#define TOOLS_CHAT_DEMO_H

#include "base/err.h"

#include <stddef.h>

/* Its directory: beside the installed program, or in the tree that the program was built in. 0, or
 * -ENOENT with the sentence. */
int demo_find(char *dir, size_t size, struct err *e);

#endif

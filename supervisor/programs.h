/* The programs of Cortex lie side by side. */
#ifndef SUPERVISOR_PROGRAMS_H
#define SUPERVISOR_PROGRAMS_H

#include "base/err.h"

/* The path of a sibling of this program, owned by the caller, once it is there and can be run. 0 or
 * -errno with the sentence. */
int programs_find(const char *name, char **path, struct err *e);

#endif

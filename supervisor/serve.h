/* `cortex serve`: from a configuration to a running tree, and back to nothing. */
#ifndef SUPERVISOR_SERVE_H
#define SUPERVISOR_SERVE_H

#include "supervisor/options.h"

/* Runs until it is told to stop. Exit code of the program; what went wrong before the log works
 * goes to stderr as one line. */
int serve_run(const struct options *options);

#endif

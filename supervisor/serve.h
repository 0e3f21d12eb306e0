/* `cortex serve`: from a configuration file to a running tree, and back to nothing. */
#ifndef SUPERVISOR_SERVE_H
#define SUPERVISOR_SERVE_H

#include "base/config.h"

#define SERVE_CONFIG_PATH "/etc/cortex/cortex.ini"

/* The file to read: path, or the default one when path is NULL and it exists, else NULL (all
 * defaults and the environment). */
const char *serve_config_path(const char *path);

/* Runs until it is told to stop. Exit code of the program; what went wrong before the log works
 * goes to stderr as one line. */
int serve_run(const char *config_path);

#endif

/* The command table of `cortex`: its commands, their options, the pages of `cortex help`. */
#ifndef SUPERVISOR_COMMANDS_H
#define SUPERVISOR_COMMANDS_H

/* argv as main gets it. Exit code of the program. */
int commands_run(int argc, char **argv);

#endif

/* One error convention: functions return 0 or a negative errno, and the sentence is made once,
 * where the facts are: "operation object: found, expected; what to do". */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

struct err {
    int code; /* the errno, positive; 0 = nothing happened */
    char text[500];
};

/* Fill e (which may be NULL) and return -code. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put context in front of the sentence e already holds: "context: sentence". Returns -e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Exit codes of every Cortex program; cortex.service and supervisor/child.c use the same. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAULT = 70,      /* a sticky device error or an internal fault: restart */
    EXIT_PERMANENT = 100, /* usage, configuration, refused model: a restart would not help */
    EXIT_TEMPORARY = 111, /* restart with back-off */
};

#endif

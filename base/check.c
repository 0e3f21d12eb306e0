#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

static check_hook *on_failure;

void check_set_hook(check_hook *hook)
{
    on_failure = hook;
}

void check_failed(const char *file, int line, const char *func, const char *cond)
{
    if (on_failure != NULL)
        on_failure(file, line, func, cond);
    fprintf(stderr, "%s:%d: %s(): CHECK(%s)\n", file, line, func, cond);
    abort();
}

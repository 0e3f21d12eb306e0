#include "supervisor/programs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int programs_find(const char *name, char **path, struct err *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    *path = NULL;
    if (n < 0)
        return err_set(e, errno, "readlink /proc/self/exe: %s", strerror(errno));
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    if (asprintf(path, "%s/%s", self, name) < 0) {
        *path = NULL;
        return err_set(e, ENOMEM, "out of memory");
    }
    if (access(*path, X_OK) == 0)
        return 0;
    int rc = err_set(e, errno, "%s: %s; the programs of Cortex must lie side by side", *path,
                     strerror(errno));
    free(*path);
    *path = NULL;
    return rc;
}

#include "tools/chat/demo.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* From the folder of the program. */
static const char *const places[] = {"../share/cortex/models/demo", "../../../models/demo"};

int demo_find(char *dir, size_t size, struct err *e)
{
    char program[PATH_MAX], config[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);

    if (len < 0)
        return err_set(e, errno, "/proc/self/exe: %s", strerror(errno));
    program[len] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(dir, size, "%s/%s", program, places[i]);
        snprintf(config, sizeof config, "%s/config.json", dir);
        if (access(config, R_OK) == 0)
            return 0;
    }
    return err_set(e, ENOENT,
                   "the demo model is neither in %s nor in %s from %s: name a MODEL or a DIR",
                   places[0], places[1], program);
}

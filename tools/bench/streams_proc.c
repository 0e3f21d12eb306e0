#include "tools/bench/streams_proc.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUTER_NAME "cortex-router"

/* The file's first bytes as a string. 0 or -errno. */
static int read_file(char *out, size_t size, int pid, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return -errno;
    out[fread(out, 1, size - 1, f)] = '\0';
    fclose(f);
    return 0;
}

/* Name, parent and CPU time from /proc/PID/stat. */
static int read_stat(int pid, char name[32], int *parent, uint64_t *cpu_ms)
{
    char stat[1024];
    unsigned long user = 0, system = 0;

    if (read_file(stat, sizeof stat, pid, "stat") != 0)
        return -ESRCH;
    const char *open = strchr(stat, '('), *close = strrchr(stat, ')');
    if (open == NULL || close == NULL ||
        sscanf(close + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", parent, &user,
               &system) != 3)
        return -EIO;
    snprintf(name, 32, "%.*s", (int)(close - open - 1), open + 1);
    *cpu_ms = (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
    return 0;
}

/* The routers among all processes; of one parent when it is not 0. How many, and the last one. */
static int count_routers(int parent_wanted, int *pid)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    int n = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        char name[32];
        uint64_t cpu_ms;
        int parent, found = atoi(entry->d_name);
        if (found <= 0 || read_stat(found, name, &parent, &cpu_ms) != 0 ||
            strcmp(name, ROUTER_NAME) != 0 || (parent_wanted != 0 && parent != parent_wanted))
            continue;
        *pid = found;
        n++;
    }
    closedir(dir);
    return n;
}

int proc_find_router(uint64_t router_pid, uint64_t supervisor_pid, struct err *e)
{
    struct usage u;
    int pid = (int)router_pid;

    if (pid != 0 && proc_read_usage(pid, 0, &u) != 0)
        return err_set(e, ESRCH, "--router-pid %d: no such process", pid);
    if (pid != 0)
        return pid;
    int n = count_routers((int)supervisor_pid, &pid);
    if (supervisor_pid != 0 && n != 1)
        return err_set(e, ESRCH, "--supervisor-pid %llu: it has %d children called " ROUTER_NAME,
                       (unsigned long long)supervisor_pid, n);
    return n == 1 ? pid : 0;
}

int proc_read_usage(int pid, int with_pss, struct usage *u)
{
    char name[32], text[4096];
    int parent;
    unsigned long pages = 0;

    *u = (struct usage){.at_ns = clock_now_ns()};
    if (read_stat(pid, name, &parent, &u->cpu_ms) != 0 ||
        read_file(text, sizeof text, pid, "statm") != 0 || sscanf(text, "%*u %lu", &pages) != 1)
        return -ESRCH;
    u->rss_kib = pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    if (with_pss && read_file(text, sizeof text, pid, "smaps_rollup") == 0) {
        const char *line = strstr(text, "\nPss:");
        if (line != NULL)
            u->pss_kib = strtoull(line + 5, NULL, 10);
    }
    return 0;
}

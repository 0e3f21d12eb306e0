/* streams: the load generator. Opens M streams to a Cortex with simulated models, whose answers
 * anybody can compute, and compares every byte. One thread, one epoll. */
#include "base/err.h"
#include "tools/bench/streams_report.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define SPARE_FDS 64

/* A descriptor for each stream. */
static int raise_limits(const struct options *o, struct err *e)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)o->n_streams + SPARE_FDS;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_set(e, errno, "getrlimit: %s", strerror(errno));
    if (limit.rlim_cur >= wanted)
        return 0;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted)
        limit.rlim_max = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_set(e, errno, "%llu open files are needed: %s; raise the limit (ulimit -n)",
                       (unsigned long long)wanted, strerror(errno));
    return 0;
}

static int stay_on_cpu(uint64_t cpu, struct err *e)
{
    cpu_set_t set;

    if (cpu == UINT64_MAX)
        return 0;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (cpu >= CPU_SETSIZE || sched_setaffinity(0, sizeof set, &set) != 0)
        return err_set(e, EINVAL, "--cpu %llu: %s", (unsigned long long)cpu, strerror(errno));
    return 0;
}

static int map_stamp(const char *path, struct result *r, struct err *e)
{
    if (path == NULL)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return err_set(e, errno, "--stamp %s: %s", path, strerror(errno));
    close(fd);
    r->stamp_ns = at;
    return 0;
}

static double own_cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int prepare(struct options *o, struct result *r, struct err *e)
{
    if (raise_limits(o, e) != 0 || stay_on_cpu(o->cpu, e) != 0 || map_stamp(o->stamp, r, e) != 0)
        return -e->code;
    r->router_pid = proc_find_router(o->router_pid, o->supervisor_pid, e);
    return r->router_pid < 0 ? r->router_pid : 0;
}

int main(int argc, char **argv)
{
    static struct result result;
    struct options o;
    struct err e = {0};
    int rc = options_parse(&o, argc, argv, &e);

    if (rc > 0)
        return EXIT_OK;
    if (rc < 0 || prepare(&o, &result, &e) != 0) {
        fprintf(stderr, "streams: %s\n", e.text);
        return EXIT_PERMANENT;
    }
    double before_s = own_cpu_s();
    if (o.is_not_streamed)
        run_load(&o, &result);
    else
        run_streams(&o, &result);
    result.own_cpu_s = own_cpu_s() - before_s;
    if (o.is_json)
        report_json(&o, &result);
    else
        report_text(&o, &result);
    return result_faults(&result) == 0 && result.n_completed > 0 ? EXIT_OK : 1;
}

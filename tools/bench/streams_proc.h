/* CPU and memory of the process under test, from /proc. */
#ifndef BENCH_STREAMS_PROC_H
#define BENCH_STREAMS_PROC_H

#include "base/err.h"

#include <stdint.h>

struct usage {
    uint64_t at_ns;
    uint64_t cpu_ms; /* user and system, all threads */
    uint64_t rss_kib, pss_kib;
};

/* The process to look at: as given; or the child named cortex-router of the supervisor; or, when
 * neither is given, the one process of that name on this machine. Its id; 0 when there is none or
 * more than one; -errno with the sentence when the one asked for is not there. */
int proc_find_router(uint64_t router_pid, uint64_t supervisor_pid, struct err *e);

/* 0 or -errno. The share of pages (pss_kib) takes the kernel a walk over all of them, so it is
 * read only when asked for. */
int proc_read_usage(int pid, int with_pss, struct usage *u);

#endif

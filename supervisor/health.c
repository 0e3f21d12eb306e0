/* Signs of life. A child that is stopped, spins or is stuck shows no progress in the segment; one
 * that closed its control socket and lives on cannot be told anything any more. */
#include "base/clock.h"
#include "supervisor/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long a child may go without progress now; 0 = it is not watched. */
static uint64_t patience_ns(const struct tree *t, const struct child *c)
{
    const struct config_supervisor *s = &t->config.supervisor;

    switch (c->state) {
    case CHILD_STARTING: /* before hello, and for the router before ready, its deadline rules */
        return c->kind == PROCESS_WORKER && c->has_hello ? (uint64_t)s->load_stall_s * NS_PER_S : 0;
    case CHILD_READY:
    case CHILD_DRAINING:
        return (uint64_t)s->hang_ms * NS_PER_MS;
    case CHILD_DOWN:
    case CHILD_STOPPING:
    case CHILD_BACKOFF:
    case CHILD_OPEN:
    case CHILD_FAILED:
    case child_state_count:
        break;
    }
    return 0;
}

/* The kernel's word: stopped by a signal (or a debugger), so not by what it was doing. */
static bool is_stopped(pid_t pid)
{
    char path[32], text[128] = "";

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *end = n > 0 ? strrchr(text, ')') : NULL; /* "pid (name) state …" */
    return end != NULL && (end[2] == 'T' || end[2] == 't');
}

/* Ticks are periodic, so a limit of 10 ticks is seen after 10 of them, give or take their jitter.
 */
static void check_progress(struct tree *t, struct child *c)
{
    uint64_t progress = counter_get(&t->node->beat[c->process].progress);
    uint64_t limit_ns = patience_ns(t, c);

    if (progress != c->beat_progress) {
        c->beat_progress = progress;
        c->beat_ns = t->now_ns;
        return;
    }
    if (limit_ns == 0 || t->now_ns - c->beat_ns + TREE_TICK_NS / 4 < limit_ns)
        return;
    uint32_t phase = atomic_load_explicit(&t->node->beat[c->process].phase, memory_order_relaxed);
    c->is_stopped = is_stopped(c->pid);
    child_accuse(c, EV_HANG, t->now_ns, "no progress for %.2f s in phase %s%s",
                 (double)(t->now_ns - c->beat_ns) / (double)NS_PER_S, worker_phase_name(phase),
                 c->is_stopped ? ": stopped by a signal" : "");
}

void health_tick(struct tree *t, bool is_late)
{
    for (uint32_t i = 0; i < TREE_CHILDREN; i++) {
        struct child *c = &t->child[i];
        if (!child_is_alive(c) || c->state == CHILD_STOPPING)
            continue;
        if (c->control_lost_ns != 0 && t->now_ns - c->control_lost_ns >= CONTROL_LOST_NS)
            child_accuse(c, EV_VIOLATION, t->now_ns, "it closed its control socket and lives on");
        else if (is_late || keeper_is_waiting(t, c))
            c->beat_ns = t->now_ns; /* nobody could show progress to us; it has none to show */
        else
            check_progress(t, c);
    }
}

/* Faults on demand: the list in `simulate_fault` (docs/simulate.md), parsed, and done.
 *
 *   list      = fault { separator fault }          separator: spaces, commas, semicolons
 *   fault     = kind [ ":" argument ] { "@" when }
 *   when      = "start" | "load" | "token:N" | "request:N" | "prompt:TEXT" | "once"
 *
 * TEXT is a word without separators and "@", or anything between double quotes.
 */
#ifndef WORKER_SIM_FAULT_H
#define WORKER_SIM_FAULT_H

#include "base/err.h"
#include "worker/sim/garbage.h"

#include <stdbool.h>
#include <stdint.h>

/* X(constant, text, argument, moment): what follows the colon; whether it happens at a moment
 * (and needs a `when`) or is a habit (and has none but `once`). */
#define FAULT_KINDS(X) \
    X(FAULT_SEGV, "segv", NOTHING, MOMENT) /* touches memory that is not there */ \
    X(FAULT_ABORT, "abort", NOTHING, MOMENT) \
    X(FAULT_CHECK, "check", NOTHING, MOMENT)          /* a CHECK fails */ \
    X(FAULT_KILL, "kill", NOTHING, MOMENT)            /* SIGKILL */ \
    X(FAULT_STOP, "stop", NOTHING, MOMENT)            /* SIGSTOP */ \
    X(FAULT_SPIN, "spin", NOTHING, MOMENT)            /* never comes back from a step */ \
    X(FAULT_EXIT, "exit", CODE, MOMENT)               /* _exit(code) */ \
    X(FAULT_GARBAGE, "garbage", GARBAGE, MOMENT)      /* writes what it must not into its ring */ \
    X(FAULT_MARKER, "marker", WORD, HABIT)            /* segv@prompt:TEXT */ \
    X(FAULT_REFUSE, "refuse", WORD, HABIT)            /* REFUSED, exit 100 */ \
    X(FAULT_BAD_HELLO, "bad-hello", HELLO, HABIT)     /* wrong epoch, hash or pid, or junk */ \
    X(FAULT_NO_HELLO, "no-hello", NOTHING, HABIT)     /* alive and silent */ \
    X(FAULT_NO_READY, "no-ready", NOTHING, HABIT)     /* loads for ever, with progress */ \
    X(FAULT_LOAD_STALL, "load-stall", NOTHING, HABIT) /* loads half way, then no progress */ \
    X(FAULT_IGNORE_TERM, "ignore-term", NOTHING, HABIT) /* deaf to SIGTERM and STOP */

#define X(constant, text, argument, moment) constant,
enum fault_kind { FAULT_KINDS(X) FAULT_KINDS_N };
#undef X

enum fault_when { WHEN_NEVER, WHEN_START, WHEN_LOAD, WHEN_TOKEN, WHEN_REQUEST, WHEN_PROMPT };

#define HELLO_LIES(X) \
    X(LIE_EPOCH, "epoch") \
    X(LIE_HASH, "hash") \
    X(LIE_PID, "pid") \
    X(LIE_JUNK, "junk")
#define X(constant, text) constant,
enum hello_lie { HELLO_LIES(X) HELLO_LIES_N };
#undef X

#define FAULTS_MAX     16
#define FAULT_TEXT_MAX 200

struct fault {
    enum fault_kind kind;
    enum fault_when when;
    bool is_once;
    uint64_t n;                /* of token:N or request:N, from 1 */
    int argument;              /* exit code, enum garbage_kind or enum hello_lie */
    char text[FAULT_TEXT_MAX]; /* of marker, refuse and prompt */
};

struct fault_plan {
    struct fault fault[FAULTS_MAX];
    uint32_t n;
    bool has_prompt; /* some fault looks at prompts */
};

/* 0, or -EINVAL with a sentence that names the word. */
int fault_plan_parse(struct fault_plan *plan, const char *text, struct err *e);

/* Whether it matters which incarnation this is; and then: forget the `once` ones. */
bool fault_plan_needs_spawns(const struct fault_plan *plan);
void fault_plan_drop_once(struct fault_plan *plan);

/* The habit of this kind, or NULL. */
const struct fault *fault_find(const struct fault_plan *plan, enum fault_kind kind);
/* The fault for a moment (n counts for WHEN_TOKEN and WHEN_REQUEST), or NULL. */
const struct fault *fault_at(const struct fault_plan *plan, enum fault_when when, uint64_t n);
/* The fault that this text of a prompt provokes, or NULL. */
const struct fault *fault_in_text(const struct fault_plan *plan, const char *text, size_t len);

/* Do it. Returns only from garbage and, after somebody sent SIGCONT, from stop. */
void fault_fire(const struct fault *f, struct garbage_place *place);

#endif

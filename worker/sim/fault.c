#include "worker/sim/fault.h"

#include "base/check.h"
#include "base/log.h"
#include "base/names.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEPARATORS " \t,;"

enum argument { NOTHING, CODE, GARBAGE, WORD, HELLO };
enum moment { MOMENT, HABIT };

static const struct fault_row {
    const char *name;
    enum argument argument;
    enum moment moment;
} rows[] = {
#define X(constant, text, argument, moment) {text, argument, moment},
    FAULT_KINDS(X)
#undef X
};

#define X(constant, text) text,
static const char *const lie_names[] = {HELLO_LIES(X)};
#undef X

/* --- reading --- */

/* The text being read, and the sentence of what is wrong. */
struct reader {
    const char *at;
    struct err *e;
};

/* A name: up to a separator, ":" or "@". */
static size_t read_name(struct reader *r, char *out, size_t size)
{
    size_t n = strcspn(r->at, SEPARATORS ":@");
    size_t copied = n < size - 1 ? n : size - 1;

    memcpy(out, r->at, copied);
    out[copied] = '\0';
    r->at += n;
    return n;
}

static int read_text(struct reader *r, const char *of, char *out, size_t size)
{
    bool is_quoted = *r->at == '"';
    if (is_quoted)
        r->at++;
    size_t n = strcspn(r->at, is_quoted ? "\"" : SEPARATORS "@\"");

    if (is_quoted && r->at[n] != '"')
        return err_set(r->e, EINVAL, "%s: no closing quote", of);
    if (n == 0 || n >= size)
        return err_set(r->e, EINVAL, "%s: text of %zu bytes, expected 1 to %zu", of, n, size - 1);
    memcpy(out, r->at, n);
    out[n] = '\0';
    r->at += n + is_quoted;
    return 0;
}

static int read_number(struct reader *r, const char *of, uint64_t min, uint64_t max, uint64_t *out)
{
    char digits[24], *end;
    size_t n = read_name(r, digits, sizeof digits);

    errno = 0;
    *out = strtoull(digits, &end, 10);
    if (n == 0 || n >= sizeof digits || digits[0] < '0' || digits[0] > '9' || *end != '\0' ||
        errno != 0 || *out < min || *out > max)
        return err_set(r->e, EINVAL, "%s:%s: expected a number from %llu to %llu", of, digits,
                       (unsigned long long)min, (unsigned long long)max);
    return 0;
}

static int read_choice(struct reader *r, const char *of, const char *const *names, size_t n_names,
                       int *out)
{
    char name[32];

    read_name(r, name, sizeof name);
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (int)i;
            return 0;
        }
    const char *nearest = names_nearest(name, names, n_names);
    return err_set(r->e, EINVAL, "%s:%s: not known; did you mean %s?", of, name,
                   nearest != NULL ? nearest : names[0]);
}

static int read_kind(struct reader *r, struct fault *f)
{
    const char *names[FAULT_KINDS_N];
    char name[32];

    read_name(r, name, sizeof name);
    for (int i = 0; i < FAULT_KINDS_N; i++) {
        names[i] = rows[i].name;
        if (strcmp(name, rows[i].name) == 0) {
            f->kind = (enum fault_kind)i;
            return 0;
        }
    }
    const char *nearest = names_nearest(name, names, FAULT_KINDS_N);
    return err_set(r->e, EINVAL, "fault \"%s\": not known%s%s%s", name,
                   nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                   nearest != NULL ? "?" : "");
}

static int read_garbage_kind(struct reader *r, struct fault *f)
{
    const char *names[GARBAGE_KINDS_N];

    for (int i = 0; i < GARBAGE_KINDS_N; i++)
        names[i] = garbage_name((enum garbage_kind)i);
    return read_choice(r, "garbage", names, GARBAGE_KINDS_N, &f->argument);
}

static int read_argument(struct reader *r, struct fault *f)
{
    const struct fault_row *row = &rows[f->kind];
    bool is_given = *r->at == ':';
    uint64_t code;

    if (!is_given) {
        if (row->argument == CODE || row->argument == WORD)
            return err_set(r->e, EINVAL, "%s: needs %s:%s", row->name, row->name,
                           row->argument == CODE ? "CODE" : "TEXT");
        return 0; /* garbage: any; bad-hello: epoch */
    }
    r->at++;
    switch (row->argument) {
    case NOTHING:
        return err_set(r->e, EINVAL, "%s: takes no argument", row->name);
    case CODE:
        if (read_number(r, row->name, 0, 255, &code) != 0)
            return -EINVAL;
        f->argument = (int)code;
        return 0;
    case GARBAGE:
        return read_garbage_kind(r, f);
    case WORD:
        return read_text(r, row->name, f->text, sizeof f->text);
    case HELLO:
        return read_choice(r, row->name, lie_names, HELLO_LIES_N, &f->argument);
    }
    return 0;
}

static int read_when(struct reader *r, struct fault *f)
{
    static const char *const names[] = {"start", "load", "token", "request", "prompt", "once"};
    static const enum fault_when whens[] = {WHEN_START, WHEN_LOAD, WHEN_TOKEN, WHEN_REQUEST,
                                            WHEN_PROMPT};
    int choice = 0;

    if (read_choice(r, "@", names, sizeof names / sizeof names[0], &choice) != 0)
        return -EINVAL;
    if (choice == 5) {
        f->is_once = true;
        return 0;
    }
    if (f->when != WHEN_NEVER)
        return err_set(r->e, EINVAL, "%s: two moments", rows[f->kind].name);
    f->when = whens[choice];
    if (f->when == WHEN_START || f->when == WHEN_LOAD)
        return 0;
    if (*r->at != ':')
        return err_set(r->e, EINVAL, "@%s: needs @%s:%s", names[choice], names[choice],
                       f->when == WHEN_PROMPT ? "TEXT" : "N");
    r->at++;
    if (f->when == WHEN_PROMPT)
        return read_text(r, "@prompt", f->text, sizeof f->text);
    return read_number(r, names[choice], 1, UINT32_MAX, &f->n);
}

static int check_fault(const struct fault *f, struct err *e)
{
    const struct fault_row *row = &rows[f->kind];

    if (row->moment == MOMENT && f->when == WHEN_NEVER)
        return err_set(e, EINVAL, "%s: needs @start, @load, @token:N, @request:N or @prompt:TEXT",
                       row->name);
    if (row->moment == HABIT && f->when != WHEN_NEVER)
        return err_set(e, EINVAL, "%s: takes no moment but @once", row->name);
    if (f->kind == FAULT_GARBAGE && (f->when == WHEN_START || f->when == WHEN_LOAD))
        return err_set(e, EINVAL, "garbage: there is no ring yet at @start and @load");
    return 0;
}

static int read_fault(struct reader *r, struct fault *f)
{
    *f = (struct fault){0};
    int rc = read_kind(r, f);
    if (rc == 0)
        rc = read_argument(r, f);
    while (rc == 0 && *r->at == '@') {
        r->at++;
        rc = read_when(r, f);
    }
    if (rc == 0 && *r->at != '\0' && strchr(SEPARATORS, *r->at) == NULL)
        rc = err_set(r->e, EINVAL, "%s: \"%.16s\" not understood", rows[f->kind].name, r->at);
    return rc != 0 ? rc : check_fault(f, r->e);
}

int fault_plan_parse(struct fault_plan *plan, const char *text, struct err *e)
{
    struct reader r = {text, e};

    *plan = (struct fault_plan){0};
    for (;;) {
        r.at += strspn(r.at, SEPARATORS);
        if (*r.at == '\0')
            return 0;
        if (plan->n == FAULTS_MAX)
            return err_set(e, EINVAL, "simulate_fault: more than %d faults", FAULTS_MAX);
        struct fault *f = &plan->fault[plan->n];
        if (read_fault(&r, f) != 0)
            return err_prefix(e, "simulate_fault");
        if (f->kind == FAULT_MARKER) {
            f->kind = FAULT_SEGV;
            f->when = WHEN_PROMPT;
        }
        plan->has_prompt |= f->when == WHEN_PROMPT;
        plan->n++;
    }
}

bool fault_plan_needs_spawns(const struct fault_plan *plan)
{
    for (uint32_t i = 0; i < plan->n; i++)
        if (plan->fault[i].is_once)
            return true;
    return false;
}

void fault_plan_drop_once(struct fault_plan *plan)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < plan->n; i++)
        if (!plan->fault[i].is_once)
            plan->fault[kept++] = plan->fault[i];
    plan->n = kept;
}

/* --- looking --- */

const struct fault *fault_find(const struct fault_plan *plan, enum fault_kind kind)
{
    for (uint32_t i = 0; i < plan->n; i++)
        if (plan->fault[i].kind == kind)
            return &plan->fault[i];
    return NULL;
}

const struct fault *fault_at(const struct fault_plan *plan, enum fault_when when, uint64_t n)
{
    for (uint32_t i = 0; i < plan->n; i++)
        if (plan->fault[i].when == when && plan->fault[i].n == n)
            return &plan->fault[i];
    return NULL;
}

const struct fault *fault_in_text(const struct fault_plan *plan, const char *text, size_t len)
{
    for (uint32_t i = 0; i < plan->n; i++)
        if (plan->fault[i].when == WHEN_PROMPT &&
            memmem(text, len, plan->fault[i].text, strlen(plan->fault[i].text)) != NULL)
            return &plan->fault[i];
    return NULL;
}

/* --- doing --- */

/* The compiler must not know the address, or it says so. */
static volatile uintptr_t nowhere = 0x10;

static void do_segv(void)
{
    *(volatile int *)nowhere = 1;
    raise(SIGSEGV); /* a sanitizer may have made the store harmless */
}

static void do_check(void)
{
    int is_simulated = 1;

    CHECK(!is_simulated);
}

void fault_fire(const struct fault *f, struct garbage_place *place)
{
    volatile uint64_t turns = 0;

    CHECK(rows[f->kind].moment == MOMENT);
    if (f->kind != FAULT_GARBAGE)
        log_warning(LOG_CHILD, "fault on demand: %s", rows[f->kind].name);
    switch (f->kind) {
    case FAULT_SEGV:
        do_segv();
        break;
    case FAULT_ABORT:
        abort();
    case FAULT_CHECK:
        do_check();
        break;
    case FAULT_KILL:
        raise(SIGKILL);
        break;
    case FAULT_STOP:
        raise(SIGSTOP);
        break;
    case FAULT_SPIN:
        for (;;)
            turns = turns + 1;
    case FAULT_EXIT:
        _exit(f->argument);
    case FAULT_GARBAGE:
        garbage_write(place, (enum garbage_kind)f->argument);
        break;
    case FAULT_MARKER:
    case FAULT_REFUSE:
    case FAULT_BAD_HELLO:
    case FAULT_NO_HELLO:
    case FAULT_NO_READY:
    case FAULT_LOAD_STALL:
    case FAULT_IGNORE_TERM:
    case FAULT_KINDS_N:
        break;
    }
}

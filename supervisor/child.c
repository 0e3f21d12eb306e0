#include "supervisor/child.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

typedef enum child_state child_action(struct child *c);

const char *child_event_name(uint32_t ev)
{
#define X(constant, text) text,
    static const char *const names[] = { CHILD_EVENTS(X) };
#undef X
    return ev < CHILD_EVENTS_N ? names[ev] : "?";
}

static struct backoff_rules rules_of(const struct child *c)
{
    const struct config_supervisor *s = c->rules;
    struct backoff_rules rules = {
        .max_ns = (uint64_t)s->backoff_max_ms * NS_PER_MS,
        .fault_budget = (uint32_t)s->fault_budget,
        .forgive_ns = (uint64_t)s->fault_forgive_s * NS_PER_S,
        .open_ns = (uint64_t)s->circuit_open_ms * NS_PER_MS,
    };
    if (c->kind == PROCESS_ROUTER) {
        rules.fault_budget = 0;
        rules.max_ns = rules.max_ns < ROUTER_BACKOFF_NS ? rules.max_ns : ROUTER_BACKOFF_NS;
    }
    return rules;
}

/* ---- actions: each does one thing and returns the state that follows ---- */

static enum child_state stay(struct child *c)
{
    return c->state;
}

static enum child_state go_down(struct child *c)
{
    c->next_start_ns = 0;
    return CHILD_DOWN;
}

static enum child_state follow(struct child *c, const struct backoff_plan *plan)
{
    c->next_start_ns = plan->state == CHILD_FAILED ? 0 : c->now_ns + plan->delay_ns;
    return plan->state;
}

static enum child_state start(struct child *c)
{
    struct err e = {0};

    c->is_asked = c->is_killed = c->is_quarantined = c->is_deaf = false;
    c->has_hello = c->is_proved = c->is_on_trial = c->is_stopped = false;
    c->killed_as = EXIT_CLASS_NONE;
    c->why[0] = '\0';
    c->ready_ns = c->control_lost_ns = c->next_start_ns = 0;
    c->spawned_ns = c->now_ns;
    c->spawns++;
    if (c->ops->spawn(c, &e) != 0) {
        c->spawns--;
        struct backoff_rules rules = rules_of(c);
        struct backoff_plan plan = backoff_after(&c->backoff, &rules, EXIT_CLASS_TEMPORARY, false,
                                                 false, c->now_ns, hash_random64());
        if (plan.delay_ns < BACKOFF_FIRST_NS) /* what is missing here does not come at once */
            plan.delay_ns = BACKOFF_FIRST_NS;
        log_error(LOG_CHILD, "%s: not started: %s; next attempt in %.2f s", c->name, e.text,
                  (double)plan.delay_ns / (double)NS_PER_S);
        c->ops->changed(c);
        return follow(c, &plan);
    }
    c->deadline_ns = c->now_ns + CHILD_HELLO_NS;
    counter_add(&c->counters->child_starts, 1);
    return CHILD_STARTING;
}

static enum child_state kill_as(struct child *c, enum exit_class exit_class)
{
    c->killed_as = exit_class;
    c->is_killed = true;
    c->deadline_ns = c->now_ns + CHILD_REAP_NS;
    c->ops->kill(c);
    return CHILD_STOPPING;
}

static enum child_state kill_hung(struct child *c)
{
    counter_add(&c->counters->child_hangs, 1);
    return kill_as(c, c->is_stopped ? EXIT_CLASS_STOPPED : EXIT_CLASS_HUNG);
}

static enum child_state kill_violator(struct child *c)
{
    counter_add(&c->counters->protocol_violations, 1);
    if (c->why[0] == '\0')
        snprintf(c->why, sizeof c->why, "it broke the protocol");
    return kill_as(c, EXIT_CLASS_VIOLATION);
}

static enum child_state kill_slow_start(struct child *c)
{
    snprintf(c->why, sizeof c->why, "no %s within %llu s", c->has_hello ? "ready" : "hello",
             CHILD_HELLO_NS / NS_PER_S);
    return kill_hung(c);
}

static enum child_state kill_now(struct child *c)
{
    c->is_asked = true;
    return kill_as(c, EXIT_CLASS_NONE);
}

static enum child_state kill_stopping(struct child *c)
{
    return c->is_killed ? CHILD_STOPPING : kill_now(c);
}

static enum child_state stop(struct child *c)
{
    c->is_asked = true;
    c->deadline_ns = c->now_ns + (uint64_t)c->rules->stop_timeout_ms * NS_PER_MS;
    c->ops->stop(c);
    return CHILD_STOPPING;
}

static enum child_state drain(struct child *c)
{
    uint64_t ns = (uint64_t)c->rules->drain_timeout_s * NS_PER_S;

    c->deadline_ns = c->now_ns + ns;
    if (ns == 0 || c->ops->drain(c, c->deadline_ns) != 0)
        return stop(c);
    return CHILD_DRAINING;
}

/* The child was told, and is still here: SIGKILL. It got that too, and is still here: a process
 * the kernel cannot end, so its slot is not used again. */
static enum child_state escalate(struct child *c)
{
    if (!c->is_killed) {
        counter_add(&c->counters->child_kill_escalations, 1);
        log_warning(LOG_CHILD, "%s: pid %d still there %lld ms after it was told to stop; killed",
                    c->name, (int)c->pid, (long long)c->rules->stop_timeout_ms);
        return kill_now(c);
    }
    c->is_quarantined = true;
    c->deadline_ns = 0;
    if (c->kind == PROCESS_WORKER)
        c->is_wanted = false; /* its model gets another slot */
    log_error(LOG_CHILD,
              "%s: pid %d not gone %llu s after SIGKILL; its slot is quarantined until it is",
              c->name, (int)c->pid, CHILD_REAP_NS / NS_PER_S);
    c->ops->changed(c);
    return CHILD_STOPPING;
}

static enum child_state greet(struct child *c)
{
    if (c->has_hello) {
        snprintf(c->why, sizeof c->why, "it said hello twice");
        return kill_violator(c);
    }
    c->has_hello = true;
    c->beat_ns = c->now_ns;
    if (c->kind == PROCESS_WORKER)
        c->deadline_ns = 0; /* loading takes as long as it takes: health.c watches its progress */
    return CHILD_STARTING;
}

static enum child_state mark_ready(struct child *c)
{
    if (!c->has_hello) {
        snprintf(c->why, sizeof c->why, "it was ready before it said hello");
        return kill_violator(c);
    }
    c->deadline_ns = 0;
    c->ready_ns = c->beat_ns = c->now_ns;
    backoff_ready(&c->backoff);
    return CHILD_READY;
}

static enum child_state prove(struct child *c)
{
    if (c->is_proved)
        return c->state;
    if (c->backoff.is_tripped)
        log_info(LOG_CHILD, "%s: the canary came back; circuit closed", c->name);
    c->is_proved = true;
    backoff_prove(&c->backoff);
    c->ops->changed(c);
    return c->state;
}

static void describe_next(const struct child *c, enum child_state next, char *text, size_t size)
{
    double wait_s = (double)(c->next_start_ns - c->now_ns) / (double)NS_PER_S;

    if (next == CHILD_DOWN)
        snprintf(text, size, "not started again");
    else if (next == CHILD_FAILED)
        snprintf(text, size, "not started again before a reload");
    else if (next == CHILD_OPEN)
        snprintf(text, size, "%u faults: circuit open for %.3g s", c->backoff.faults, wait_s);
    else if (c->next_start_ns == c->now_ns)
        snprintf(text, size, "starts again at once");
    else
        snprintf(text, size, "starts again in %.2f s", wait_s);
}

static void write_obituary(struct child *c, enum child_state next)
{
    char panic[320], follows[80];
    bool is_quiet = c->last.was_asked;

    c->ops->last_words(c, panic, sizeof panic);
    describe_next(c, next, follows, sizeof follows);
    death_describe(&c->last, c->kind == PROCESS_WORKER ? (int)c->slot : -1, c->why, panic,
                   c->obituary, sizeof c->obituary);
    log_event(LOG_CHILD,
              is_quiet                                     ? LOG_INFO
              : next == CHILD_FAILED || next == CHILD_OPEN ? LOG_ERROR
                                                           : LOG_WARNING,
              0, "%s: %s; %s", c->name, c->obituary, follows);
}

static enum child_state bury(struct child *c)
{
    struct backoff_rules rules = rules_of(c);
    struct backoff_plan plan = {CHILD_DOWN, 0};
    bool was_tripped = c->backoff.is_tripped;

    c->gone_ns = c->now_ns;
    c->last = (struct death){
        .exit_class = death_classify(c->wait_status, c->is_asked, c->killed_as),
        .status = c->wait_status,
        .pid = c->pid,
        .was_asked = c->is_asked,
        .was_ready = c->ready_ns != 0,
        .up_ns = c->now_ns - c->spawned_ns,
        .ready_ns = c->ready_ns != 0 ? c->now_ns - c->ready_ns : 0,
    };
    if (!c->last.was_asked)
        counter_add(&c->counters->child_deaths, 1);
    bool is_of_suspects = c->is_on_trial && backoff_is_fault(c->last.exit_class);
    if (c->is_wanted && is_of_suspects && !was_tripped)
        plan.state = CHILD_BACKOFF; /* at once, and it costs nothing */
    else if (c->is_wanted)
        plan = backoff_after(&c->backoff, &rules, c->last.exit_class, c->last.was_asked,
                             c->last.was_ready, c->now_ns, hash_random64());
    if (plan.state == CHILD_OPEN && !was_tripped)
        counter_add(&c->counters->circuit_opens, 1);
    c->deadline_ns = 0;
    follow(c, &plan);
    write_obituary(c, plan.state);
    c->ops->buried(c);
    c->pid = 0;
    c->is_quarantined = c->is_deaf = false;
    return plan.state;
}

/* An empty cell is an event that cannot come in that state: it is logged and changes nothing. */
static child_action *const actions[child_state_count][CHILD_EVENTS_N] = {
    [CHILD_DOWN] =
        {[EV_WANT_UP] = start, [EV_WANT_DOWN] = stay, [EV_STOP] = stay, [EV_KILL] = stay},
    [CHILD_STARTING] = {[EV_WANT_UP] = stay,
                        [EV_WANT_DOWN] = stop,
                        [EV_STOP] = stop,
                        [EV_KILL] = kill_now,
                        [EV_HELLO] = greet,
                        [EV_READY] = mark_ready,
                        [EV_VIOLATION] = kill_violator,
                        [EV_HANG] = kill_hung,
                        [EV_TIMEOUT] = kill_slow_start,
                        [EV_EXITED] = bury},
    [CHILD_READY] = {[EV_WANT_UP] = stay,
                     [EV_WANT_DOWN] = drain,
                     [EV_STOP] = stop,
                     [EV_KILL] = kill_now,
                     [EV_HELLO] = kill_violator,
                     [EV_READY] = kill_violator,
                     [EV_PROVED] = prove,
                     [EV_DRAINED] = stay,
                     [EV_VIOLATION] = kill_violator,
                     [EV_HANG] = kill_hung,
                     [EV_EXITED] = bury},
    [CHILD_DRAINING] = {[EV_WANT_UP] = stay,
                        [EV_WANT_DOWN] = stay,
                        [EV_STOP] = stop,
                        [EV_KILL] = kill_now,
                        [EV_HELLO] = kill_violator,
                        [EV_READY] = kill_violator,
                        [EV_PROVED] = prove,
                        [EV_DRAINED] = stop,
                        [EV_VIOLATION] = kill_violator,
                        [EV_HANG] = kill_hung,
                        [EV_TIMEOUT] = stop,
                        [EV_EXITED] = bury},
    [CHILD_STOPPING] = {[EV_WANT_UP] = stay,
                        [EV_WANT_DOWN] = stay,
                        [EV_STOP] = stay,
                        [EV_KILL] = kill_stopping,
                        [EV_HELLO] = stay, /* these crossed our word */
                        [EV_READY] = stay,
                        [EV_PROVED] = stay,
                        [EV_DRAINED] = stay,
                        [EV_VIOLATION] = stay,
                        [EV_HANG] = stay,
                        [EV_TIMEOUT] = escalate,
                        [EV_EXITED] = bury},
    [CHILD_BACKOFF] = {[EV_WANT_UP] = stay,
                       [EV_WANT_DOWN] = go_down,
                       [EV_STOP] = go_down,
                       [EV_KILL] = go_down,
                       [EV_RETRY_DUE] = start},
    [CHILD_OPEN] = {[EV_WANT_UP] = stay,
                    [EV_WANT_DOWN] = go_down,
                    [EV_STOP] = go_down,
                    [EV_KILL] = go_down,
                    [EV_RETRY_DUE] = start},
    [CHILD_FAILED] =
        {[EV_WANT_UP] = start, [EV_WANT_DOWN] = go_down, [EV_STOP] = go_down, [EV_KILL] = go_down},
};

/* What there is to say about entering a state; deaths have their obituary. */
static void log_entered(const struct child *c)
{
    switch (c->state) {
    case CHILD_STARTING:
        log_info(LOG_CHILD, "%s: started, pid %d, incarnation %llx%s", c->name, (int)c->pid,
                 (unsigned long long)c->epoch, c->backoff.is_tripped ? ", as a canary" : "");
        break;
    case CHILD_READY:
        log_info(LOG_CHILD, "%s: ready after %.3f s", c->name,
                 (double)(c->ready_ns - c->spawned_ns) / (double)NS_PER_S);
        break;
    case CHILD_DRAINING:
        log_info(LOG_CHILD, "%s: draining for at most %.3g s", c->name,
                 (double)(c->deadline_ns - c->now_ns) / (double)NS_PER_S);
        break;
    case CHILD_STOPPING:
        if (c->killed_as != EXIT_CLASS_NONE)
            log_warning(LOG_CHILD, "%s: pid %d killed: %s", c->name, (int)c->pid, c->why);
        else
            log_info(LOG_CHILD, "%s: pid %d %s", c->name, (int)c->pid,
                     c->is_killed ? "killed" : "told to stop");
        break;
    case CHILD_DOWN:
    case CHILD_BACKOFF:
    case CHILD_OPEN:
    case CHILD_FAILED:
    case child_state_count:
        break;
    }
}

static void set_state(struct child *c, enum child_state next)
{
    if (next == c->state)
        return;
    c->state = next;
    log_entered(c);
    c->ops->changed(c);
}

void child_event(struct child *c, enum child_event ev, uint64_t now_ns)
{
    child_action *act = actions[c->state][ev];

    c->now_ns = now_ns;
    if (ev == EV_WANT_UP)
        c->is_wanted = true;
    else if (ev == EV_WANT_DOWN || ev == EV_STOP || ev == EV_KILL)
        c->is_wanted = false;
    if (act == NULL) {
        log_warning(LOG_CHILD, "%s: %s ignored in state %s", c->name, child_event_name(ev),
                    child_state_name(c->state));
        return;
    }
    set_state(c, act(c));
}

void child_accuse(struct child *c, enum child_event ev, uint64_t now_ns, const char *fmt, ...)
{
    va_list ap;

    if (!c->is_killed && child_is_alive(c)) {
        va_start(ap, fmt);
        vsnprintf(c->why, sizeof c->why, fmt, ap);
        va_end(ap);
    }
    child_event(c, ev, now_ns);
}

uint64_t child_due_ns(const struct child *c)
{
    return c->state == CHILD_BACKOFF || c->state == CHILD_OPEN ? c->next_start_ns : c->deadline_ns;
}

void child_run_due(struct child *c, uint64_t now_ns)
{
    uint64_t due = child_due_ns(c);

    if (due == 0 || now_ns < due)
        return;
    child_event(c, c->state == CHILD_BACKOFF || c->state == CHILD_OPEN ? EV_RETRY_DUE : EV_TIMEOUT,
                now_ns);
}

void child_tick(struct child *c, uint64_t now_ns)
{
    struct backoff_rules rules = rules_of(c);
    uint32_t faults = c->backoff.faults;

    if (!c->backoff.is_tripped)
        backoff_forgive(&c->backoff, &rules, now_ns);
    if (c->state == CHILD_READY && (c->is_proved || c->kind == PROCESS_ROUTER) &&
        now_ns - c->ready_ns >= (uint64_t)c->rules->proved_ms * NS_PER_MS)
        backoff_settle(&c->backoff);
    if (faults != c->backoff.faults)
        c->ops->changed(c);
}

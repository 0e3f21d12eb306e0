/* The child state machine against a world that only counts what it is asked. */
#include "supervisor/child.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EXITED(code) ((code) << 8)

static struct world {
    char calls[128]; /* what was asked since the last look */
    int spawn_rc, drain_rc;
    enum child_state published;
    int publishes;
} world;

static struct config_supervisor rules;
static struct supervisor_counters counters;

static void call(const char *what)
{
    size_t len = strlen(world.calls);

    snprintf(world.calls + len, sizeof world.calls - len, "%s%s", len > 0 ? " " : "", what);
}

static int world_spawn(struct child *c, struct err *e)
{
    call("spawn");
    if (world.spawn_rc != 0)
        return err_set(e, -world.spawn_rc, "fork: no");
    c->pid = 77;
    c->epoch++;
    return 0;
}

static void world_stop(struct child *c)
{
    (void)c;
    call("stop");
}

static void world_kill(struct child *c)
{
    (void)c;
    call("kill");
}

static int world_drain(struct child *c, uint64_t deadline_ns)
{
    assert_int_equal(deadline_ns, c->now_ns + (uint64_t)rules.drain_timeout_s * NS_PER_S);
    call("drain");
    return world.drain_rc;
}

static void world_last_words(struct child *c, char *text, size_t size)
{
    (void)c;
    snprintf(text, size, "CHECK(x) at a.c:1 f()");
}

static void world_buried(struct child *c)
{
    assert_true(child_is_alive(c)); /* the pid is still to be seen in the obituary */
    call("buried");
}

static void world_changed(struct child *c)
{
    world.published = c->state;
    world.publishes++;
}

static const struct child_ops ops = {
    .spawn = world_spawn,
    .stop = world_stop,
    .kill = world_kill,
    .drain = world_drain,
    .last_words = world_last_words,
    .buried = world_buried,
    .changed = world_changed,
};

static uint64_t now_ns;

static struct child new_child(enum process_kind kind)
{
    now_ns = 1000 * NS_PER_S;
    memset(&world, 0, sizeof world);
    memset(&counters, 0, sizeof counters);
    rules = (struct config_supervisor){
        .hang_ms = 1000,
        .load_stall_s = 60,
        .backoff_max_ms = 30000,
        .fault_budget = 5,
        .fault_forgive_s = 300,
        .circuit_open_ms = 60000,
        .proved_ms = 60000,
        .drain_timeout_s = 30,
        .stop_timeout_ms = 5000,
    };
    return (struct child){
        .kind = kind, .name = "m#0", .ops = &ops, .rules = &rules, .counters = &counters};
}

/* One nanosecond later, so that no two events have one time. */
static void event(struct child *c, enum child_event ev)
{
    child_event(c, ev, ++now_ns);
}

static void exits(struct child *c, int status)
{
    c->wait_status = status;
    event(c, EV_EXITED);
}

/* Where a child can be; some states have two faces. */
#define SITUATIONS(X) \
    X(DOWN, CHILD_DOWN) \
    X(STARTING, CHILD_STARTING) \
    X(LOADING, CHILD_STARTING) /* after hello */ \
    X(READY, CHILD_READY) \
    X(DRAINING, CHILD_DRAINING) \
    X(STOPPING, CHILD_STOPPING) \
    X(KILLED, CHILD_STOPPING) /* SIGKILL sent */ \
    X(BACKOFF, CHILD_BACKOFF) \
    X(OPEN, CHILD_OPEN) \
    X(FAILED, CHILD_FAILED)

#define X(situation, state) AT_##situation,
enum situation { SITUATIONS(X) AT_N };
#undef X
#define X(situation, state) state,
static const enum child_state state_at[] = {SITUATIONS(X)};
#undef X
#define X(situation, state) #situation,
static const char *const name_at[] = {SITUATIONS(X)};
#undef X

static struct child child_at(enum situation at)
{
    struct child c = new_child(PROCESS_WORKER);

    if (at == AT_OPEN)
        rules.fault_budget = 1;
    if (at != AT_DOWN)
        event(&c, EV_WANT_UP);
    if (at != AT_DOWN && at != AT_STARTING)
        event(&c, EV_HELLO);
    if (at == AT_FAILED)
        exits(&c, EXITED(EXIT_PERMANENT));
    if (at == AT_READY || at == AT_DRAINING || at == AT_STOPPING || at == AT_KILLED ||
        at == AT_BACKOFF || at == AT_OPEN)
        event(&c, EV_READY);
    if (at == AT_DRAINING)
        event(&c, EV_WANT_DOWN);
    if (at == AT_STOPPING)
        event(&c, EV_STOP);
    if (at == AT_KILLED)
        event(&c, EV_KILL);
    if (at == AT_BACKOFF || at == AT_OPEN)
        exits(&c, EXITED(EXIT_FAULT));
    assert_int_equal(c.state, state_at[at]);
    world.calls[0] = '\0';
    c.wait_status = EXITED(EXIT_FAULT);
    return c;
}

/* Situation, event -> state that follows, what the world is asked. What is not listed changes
 * nothing and asks nothing. */
static const struct row {
    enum situation at;
    enum child_event ev;
    enum child_state next;
    const char *calls;
} rows[] = {
    {AT_DOWN, EV_WANT_UP, CHILD_STARTING, "spawn"},

    {AT_STARTING, EV_WANT_DOWN, CHILD_STOPPING, "stop"},
    {AT_STARTING, EV_STOP, CHILD_STOPPING, "stop"},
    {AT_STARTING, EV_KILL, CHILD_STOPPING, "kill"},
    {AT_STARTING, EV_READY, CHILD_STOPPING, "kill"}, /* before hello */
    {AT_STARTING, EV_VIOLATION, CHILD_STOPPING, "kill"},
    {AT_STARTING, EV_HANG, CHILD_STOPPING, "kill"},
    {AT_STARTING, EV_TIMEOUT, CHILD_STOPPING, "kill"},
    {AT_STARTING, EV_EXITED, CHILD_BACKOFF, "buried"},

    {AT_LOADING, EV_WANT_DOWN, CHILD_STOPPING, "stop"},
    {AT_LOADING, EV_STOP, CHILD_STOPPING, "stop"},
    {AT_LOADING, EV_KILL, CHILD_STOPPING, "kill"},
    {AT_LOADING, EV_HELLO, CHILD_STOPPING, "kill"}, /* twice */
    {AT_LOADING, EV_READY, CHILD_READY, ""},
    {AT_LOADING, EV_VIOLATION, CHILD_STOPPING, "kill"},
    {AT_LOADING, EV_HANG, CHILD_STOPPING, "kill"},
    {AT_LOADING, EV_TIMEOUT, CHILD_STOPPING, "kill"},
    {AT_LOADING, EV_EXITED, CHILD_BACKOFF, "buried"},

    {AT_READY, EV_WANT_DOWN, CHILD_DRAINING, "drain"},
    {AT_READY, EV_STOP, CHILD_STOPPING, "stop"},
    {AT_READY, EV_KILL, CHILD_STOPPING, "kill"},
    {AT_READY, EV_HELLO, CHILD_STOPPING, "kill"},
    {AT_READY, EV_READY, CHILD_STOPPING, "kill"},
    {AT_READY, EV_VIOLATION, CHILD_STOPPING, "kill"},
    {AT_READY, EV_HANG, CHILD_STOPPING, "kill"},
    {AT_READY, EV_EXITED, CHILD_BACKOFF, "buried"},

    {AT_DRAINING, EV_STOP, CHILD_STOPPING, "stop"},
    {AT_DRAINING, EV_KILL, CHILD_STOPPING, "kill"},
    {AT_DRAINING, EV_HELLO, CHILD_STOPPING, "kill"},
    {AT_DRAINING, EV_READY, CHILD_STOPPING, "kill"},
    {AT_DRAINING, EV_DRAINED, CHILD_STOPPING, "stop"},
    {AT_DRAINING, EV_VIOLATION, CHILD_STOPPING, "kill"},
    {AT_DRAINING, EV_HANG, CHILD_STOPPING, "kill"},
    {AT_DRAINING, EV_TIMEOUT, CHILD_STOPPING, "stop"},
    {AT_DRAINING, EV_EXITED, CHILD_DOWN, "buried"}, /* not wanted: no restart */

    {AT_STOPPING, EV_KILL, CHILD_STOPPING, "kill"},
    {AT_STOPPING, EV_TIMEOUT, CHILD_STOPPING, "kill"},
    {AT_STOPPING, EV_EXITED, CHILD_DOWN, "buried"},

    {AT_KILLED, EV_EXITED, CHILD_DOWN, "buried"},

    {AT_BACKOFF, EV_WANT_DOWN, CHILD_DOWN, ""},
    {AT_BACKOFF, EV_STOP, CHILD_DOWN, ""},
    {AT_BACKOFF, EV_KILL, CHILD_DOWN, ""},
    {AT_BACKOFF, EV_RETRY_DUE, CHILD_STARTING, "spawn"},

    {AT_OPEN, EV_WANT_DOWN, CHILD_DOWN, ""},
    {AT_OPEN, EV_STOP, CHILD_DOWN, ""},
    {AT_OPEN, EV_KILL, CHILD_DOWN, ""},
    {AT_OPEN, EV_RETRY_DUE, CHILD_STARTING, "spawn"},

    {AT_FAILED, EV_WANT_UP, CHILD_STARTING, "spawn"},
    {AT_FAILED, EV_WANT_DOWN, CHILD_DOWN, ""},
    {AT_FAILED, EV_STOP, CHILD_DOWN, ""},
    {AT_FAILED, EV_KILL, CHILD_DOWN, ""},
};

static const struct row *find_row(enum situation at, enum child_event ev)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].at == at && rows[i].ev == ev)
            return &rows[i];
    return NULL;
}

/* Why SIGKILL was sent, by what made us send it. */
static enum exit_class killed_as(enum situation at, enum child_event ev)
{
    if (ev == EV_HANG || (ev == EV_TIMEOUT && at != AT_STOPPING))
        return EXIT_CLASS_HUNG;
    return ev == EV_VIOLATION || ev == EV_HELLO || ev == EV_READY ? EXIT_CLASS_VIOLATION
                                                                  : EXIT_CLASS_NONE;
}

static void every_event_in_every_situation(void **state)
{
    (void)state;
    for (enum situation at = 0; at < AT_N; at++)
        for (enum child_event ev = 0; ev < CHILD_EVENTS_N; ev++) {
            const struct row *row = find_row(at, ev);
            struct child c = child_at(at);
            int publishes = world.publishes;

            event(&c, ev);
            enum child_state next = row != NULL ? row->next : state_at[at];
            const char *calls = row != NULL ? row->calls : "";
            if (c.state != next || strcmp(world.calls, calls) != 0)
                fail_msg("%s, %s: %s \"%s\", expected %s \"%s\"", name_at[at], child_event_name(ev),
                         child_state_name(c.state), world.calls, child_state_name(next), calls);
            if (strcmp(calls, "kill") == 0) {
                enum exit_class as = killed_as(at, ev);
                assert_int_equal(c.killed_as, as);
                assert_int_equal(c.is_asked, as == EXIT_CLASS_NONE);
                assert_int_equal(counter_get(&counters.child_hangs), as == EXIT_CLASS_HUNG);
                assert_int_equal(counter_get(&counters.protocol_violations),
                                 as == EXIT_CLASS_VIOLATION);
            }
            if (next != state_at[at]) {
                assert_true(world.publishes > publishes);
                assert_int_equal(world.published, next);
            }
        }
}

static void stamps_and_deadlines(void **state)
{
    (void)state;
    struct child c = new_child(PROCESS_WORKER);

    event(&c, EV_WANT_UP);
    assert_int_equal(c.spawned_ns, now_ns);
    assert_int_equal(child_due_ns(&c), now_ns + CHILD_HELLO_NS);
    event(&c, EV_HELLO);
    assert_int_equal(child_due_ns(&c), 0); /* loading is not limited */
    event(&c, EV_READY);
    assert_int_equal(c.ready_ns, now_ns);
    event(&c, EV_WANT_DOWN);
    assert_int_equal(child_due_ns(&c), now_ns + 30 * NS_PER_S);
    event(&c, EV_DRAINED);
    assert_int_equal(child_due_ns(&c), now_ns + 5 * NS_PER_S);
    event(&c, EV_TIMEOUT);
    assert_int_equal(child_due_ns(&c), now_ns + CHILD_REAP_NS);
    exits(&c, SIGKILL);
    assert_int_equal(c.gone_ns, now_ns);
    assert_int_equal(child_due_ns(&c), 0);
    assert_int_equal(c.last.exit_class, EXIT_CLASS_CLEAN); /* it was asked to go */
    assert_int_equal(counter_get(&counters.child_kill_escalations), 1);
    assert_int_equal(counter_get(&counters.child_deaths), 0);
    assert_int_equal(counter_get(&counters.child_starts), 1);
}

static void due_times_run(void **state)
{
    (void)state;
    struct child c = child_at(AT_BACKOFF);

    /* The first restart is due at once. */
    assert_int_equal(c.next_start_ns, now_ns);
    child_run_due(&c, now_ns);
    assert_int_equal(c.state, CHILD_STARTING);
    child_run_due(&c, now_ns + CHILD_HELLO_NS - 1);
    assert_int_equal(c.state, CHILD_STARTING);
    child_run_due(&c, now_ns + CHILD_HELLO_NS);
    assert_int_equal(c.state, CHILD_STOPPING);
    assert_string_equal(c.why, "no hello within 10 s");
    exits(&c, SIGKILL);
    assert_int_equal(c.last.exit_class, EXIT_CLASS_HUNG);
    assert_true(c.next_start_ns - now_ns >= 200 * NS_PER_MS);
    child_run_due(&c, c.next_start_ns - 1);
    assert_int_equal(c.state, CHILD_BACKOFF);
    child_run_due(&c, c.next_start_ns);
    assert_int_equal(c.state, CHILD_STARTING);
}

static void the_router_must_be_ready_in_time(void **state)
{
    (void)state;
    struct child c = new_child(PROCESS_ROUTER);

    event(&c, EV_WANT_UP);
    uint64_t due = child_due_ns(&c);
    event(&c, EV_HELLO);
    assert_int_equal(child_due_ns(&c), due);
    child_run_due(&c, due);
    assert_int_equal(c.state, CHILD_STOPPING);
    assert_string_equal(c.why, "no ready within 10 s");
}

static void the_router_is_always_tried_again(void **state)
{
    (void)state;
    struct child c = new_child(PROCESS_ROUTER);
    static const int statuses[] = {SIGSEGV, EXITED(70), EXITED(100), EXITED(111), SIGKILL, 0};

    event(&c, EV_WANT_UP);
    for (int i = 0; i < 60; i++) {
        exits(&c, statuses[i % 6]);
        assert_int_equal(c.state, CHILD_BACKOFF);
        assert_true(c.next_start_ns - now_ns <= NS_PER_S);
        event(&c, EV_RETRY_DUE);
    }
}

static void a_fork_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct child c = new_child(PROCESS_WORKER);

    world.spawn_rc = -11;
    event(&c, EV_WANT_UP);
    assert_int_equal(c.state, CHILD_BACKOFF);
    assert_int_equal(c.next_start_ns, now_ns + BACKOFF_FIRST_NS);
    for (int i = 0; i < 3; i++)
        event(&c, EV_RETRY_DUE);
    assert_int_equal(c.state, CHILD_BACKOFF);
    assert_true(c.next_start_ns - now_ns >= 800 * NS_PER_MS);
    rules.backoff_max_ms = 0; /* not even then in a tight loop */
    event(&c, EV_RETRY_DUE);
    assert_int_equal(c.next_start_ns, now_ns + BACKOFF_FIRST_NS);
    assert_int_equal(c.spawns, 0);
    assert_int_equal(c.backoff.faults, 0);
    world.spawn_rc = 0;
    event(&c, EV_RETRY_DUE);
    assert_int_equal(c.state, CHILD_STARTING);
}

static void nothing_to_drain_is_a_stop(void **state)
{
    (void)state;
    struct child c = child_at(AT_READY);

    world.drain_rc = -107;
    event(&c, EV_WANT_DOWN);
    assert_int_equal(c.state, CHILD_STOPPING);
    assert_string_equal(world.calls, "drain stop");

    c = child_at(AT_READY);
    rules.drain_timeout_s = 0;
    event(&c, EV_WANT_DOWN);
    assert_int_equal(c.state, CHILD_STOPPING);
    assert_string_equal(world.calls, "stop");
}

static void one_that_cannot_be_ended_is_quarantined(void **state)
{
    (void)state;
    struct child c = child_at(AT_READY);

    event(&c, EV_HANG);
    child_run_due(&c, child_due_ns(&c));
    assert_int_equal(c.state, CHILD_STOPPING);
    assert_true(c.is_quarantined);
    assert_false(c.is_wanted);
    assert_int_equal(child_due_ns(&c), 0);
    exits(&c, SIGKILL);
    assert_int_equal(c.state, CHILD_DOWN);
    assert_false(c.is_quarantined);
}

static void faults_open_the_circuit_and_a_canary_closes_it(void **state)
{
    (void)state;
    struct child c = child_at(AT_READY);

    for (int i = 0; i < 5; i++) {
        exits(&c, SIGSEGV);
        assert_int_equal(c.state, i < 4 ? CHILD_BACKOFF : CHILD_OPEN);
        event(&c, EV_RETRY_DUE);
        event(&c, EV_HELLO);
        event(&c, EV_READY);
    }
    assert_int_equal(counter_get(&counters.circuit_opens), 1);
    assert_true(c.backoff.is_tripped);
    exits(&c, SIGSEGV); /* the canary died: open again, but it had never been closed */
    assert_int_equal(c.state, CHILD_OPEN);
    assert_int_equal(c.next_start_ns - now_ns, 60 * NS_PER_S);
    assert_int_equal(counter_get(&counters.circuit_opens), 1);
    event(&c, EV_RETRY_DUE);
    event(&c, EV_HELLO);
    event(&c, EV_READY);
    event(&c, EV_PROVED);
    assert_false(c.backoff.is_tripped);
    assert_int_equal(c.backoff.faults, 0);
    exits(&c, SIGSEGV);
    assert_int_equal(c.state, CHILD_BACKOFF);
}

/* Somebody's SIGSTOP is no fault. */
static void stopped_is_not_hung(void **state)
{
    (void)state;
    struct child c = child_at(AT_READY);

    c.is_stopped = true;
    event(&c, EV_HANG);
    exits(&c, SIGKILL);
    assert_int_equal(c.last.exit_class, EXIT_CLASS_STOPPED);
    assert_int_equal(c.backoff.faults, 0);
    assert_int_equal(child_due_ns(&c), c.now_ns);
}

/* The router runs suspects there: what they do is not the worker's doing. */
static void faults_on_trial_are_not_counted(void **state)
{
    (void)state;
    struct child c = child_at(AT_READY);

    for (int i = 0; i < 20; i++) {
        c.is_on_trial = true;
        exits(&c, SIGSEGV);
        assert_int_equal(c.state, CHILD_BACKOFF);
        assert_int_equal(child_due_ns(&c), c.now_ns); /* at once */
        event(&c, EV_RETRY_DUE);
        assert_false(c.is_on_trial); /* the next incarnation has to be told again */
        event(&c, EV_HELLO);
        event(&c, EV_READY);
    }
    assert_int_equal(c.backoff.faults, 0);
    exits(&c, SIGSEGV);
    assert_int_equal(c.backoff.faults, 1);
}

static void kills_from_outside_never_open_it(void **state)
{
    (void)state;
    struct child c = child_at(AT_READY);

    for (int i = 0; i < 200; i++) {
        exits(&c, SIGKILL);
        assert_int_equal(c.last.exit_class, EXIT_CLASS_KILLED);
        assert_int_equal(c.state, CHILD_BACKOFF);
        assert_int_equal(c.next_start_ns, now_ns);
        event(&c, EV_RETRY_DUE);
        event(&c, EV_HELLO);
        event(&c, EV_READY);
    }
    assert_int_equal(c.backoff.faults, 0);
    assert_int_equal(counter_get(&counters.child_deaths), 200);
}

static void proved_and_ready_long_enough_clears_the_wait(void **state)
{
    (void)state;
    struct child c = child_at(AT_READY);

    exits(&c, EXITED(111));
    event(&c, EV_RETRY_DUE);
    event(&c, EV_HELLO);
    event(&c, EV_READY);
    assert_int_equal(c.backoff.step, 1);
    child_tick(&c, now_ns + 61 * NS_PER_S);
    assert_int_equal(c.backoff.step, 1); /* no request has finished there */
    event(&c, EV_PROVED);
    child_tick(&c, c.ready_ns + 60 * NS_PER_S - 1);
    assert_int_equal(c.backoff.step, 1);
    child_tick(&c, c.ready_ns + 60 * NS_PER_S);
    assert_int_equal(c.backoff.step, 0);
}

static void ticks_forgive(void **state)
{
    (void)state;
    struct child c = child_at(AT_BACKOFF);
    int publishes = world.publishes;

    assert_int_equal(c.backoff.faults, 1);
    child_tick(&c, now_ns + 299 * NS_PER_S);
    assert_int_equal(world.publishes, publishes);
    child_tick(&c, now_ns + 300 * NS_PER_S);
    assert_int_equal(c.backoff.faults, 0);
    assert_int_equal(world.publishes, publishes + 1);
}

static void the_reason_is_kept_for_the_obituary(void **state)
{
    (void)state;
    struct child c = child_at(AT_READY);

    child_accuse(&c, EV_VIOLATION, now_ns, "entry %d is bad", 7);
    child_accuse(&c, EV_HANG, now_ns, "later words do not count");
    exits(&c, SIGKILL);
    assert_int_equal(c.last.exit_class, EXIT_CLASS_VIOLATION);
    assert_non_null(strstr(c.obituary, "killed by SIGKILL, class violation"));
    assert_non_null(strstr(c.obituary, "entry 7 is bad"));
    assert_non_null(strstr(c.obituary, "CHECK(x) at a.c:1 f()"));
    assert_int_equal(counter_get(&counters.protocol_violations), 1);
    assert_int_equal(counter_get(&counters.child_hangs), 0);
}

static void wanted_again_while_it_stops_it_starts_again(void **state)
{
    (void)state;
    struct child c = child_at(AT_STOPPING);

    event(&c, EV_WANT_UP);
    exits(&c, EXITED(0));
    assert_int_equal(c.state, CHILD_BACKOFF);
    assert_int_equal(c.next_start_ns, now_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_situation),
        cmocka_unit_test(stamps_and_deadlines),
        cmocka_unit_test(due_times_run),
        cmocka_unit_test(the_router_must_be_ready_in_time),
        cmocka_unit_test(the_router_is_always_tried_again),
        cmocka_unit_test(a_fork_that_fails_is_tried_again),
        cmocka_unit_test(nothing_to_drain_is_a_stop),
        cmocka_unit_test(one_that_cannot_be_ended_is_quarantined),
        cmocka_unit_test(faults_open_the_circuit_and_a_canary_closes_it),
        cmocka_unit_test(faults_on_trial_are_not_counted),
        cmocka_unit_test(stopped_is_not_hung),
        cmocka_unit_test(kills_from_outside_never_open_it),
        cmocka_unit_test(proved_and_ready_long_enough_clears_the_wait),
        cmocka_unit_test(ticks_forgive),
        cmocka_unit_test(the_reason_is_kept_for_the_obituary),
        cmocka_unit_test(wanted_again_while_it_stops_it_starts_again),
    };
    log_init("test", "text", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every fault on demand does what docs/simulate.md says, and a real worker that is fed garbage
 * leaves with the exit code of a fault and nothing worse. */
#include "tests/torture/worker_stage.h"

#include "base/clock.h"
#include "base/hash.h"
#include "router/route/record.h"
#include "shm/panic.h"
#include "worker/sim/garbage.h"
#include "worker/sim/words.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL "seats = 16\nsimulate_rate = 0\nsimulate_tokens = 50\n"
#define JSON  "{\"kind\":\"completion\",\"prompt\":\"an innocent prompt\"}"

static void open_with(struct stage *s, const char *fault)
{
    char keys[512];

    snprintf(keys, sizeof keys, MODEL "simulate_fault = %s\n", fault);
    stage_open(s, keys);
}

/* What the router checks of a record of request 1, which asked for no echo; 0 or -EPROTO. */
static int check_record(const struct ring_record *rec, uint32_t *n_tokens)
{
    struct token_head head;
    struct part parts[PARTS_MAX];
    struct top tops[TOPS_MAX];

    if (rec->request != 1)
        return -EPROTO;
    if (rec->type != RING_TOKEN)
        return 0;
    if (record_read_token(rec, &head, parts, tops) != NULL || head.index != *n_tokens ||
        head.token >= SIM_VOCAB || head.flags != 0 || head.n_tops != 0)
        return -EPROTO;
    ++*n_tokens;
    return 0;
}

/* Read request 1 until it is done (0), the worker dies (-EPIPE) or lies (-EPROTO). */
static int read_answer(struct stage *s, uint32_t *n_tokens)
{
    struct ring_record rec;

    *n_tokens = 0;
    for (;;) {
        int rc = stage_next(s, &rec, STAGE_WAIT_MS);
        if (rc == 0)
            fail_msg("the worker says nothing");
        if (rc > 0)
            rc = check_record(&rec, n_tokens);
        if (rc < 0)
            return rc;
        if (rec.type == RING_DONE)
            return 0;
    }
}

static const struct {
    const char *fault;
    int signal, code;
    uint32_t n_tokens;
    const char *panic;
} deaths[] = {
    {"segv@token:7", SIGSEGV, 0, 7, "SIGSEGV"},
    {"abort@token:1", SIGABRT, 0, 1, "SIGABRT"},
    {"check@token:20", SIGABRT, 0, 20, "!is_simulated"},
    {"kill@token:30", SIGKILL, 0, 30, NULL},
    {"exit:33@token:9", 0, 33, 9, NULL},
    {"exit:111@request:1", 0, 111, 0, NULL},
    {"segv@prompt:innocent", SIGSEGV, 0, 0, "SIGSEGV"},
    {"marker:innocent", SIGSEGV, 0, 0, "SIGSEGV"},
};

static void deaths_on_the_way(void **state)
{
    char panic[512];

    (void)state;
    for (size_t i = 0; i < sizeof deaths / sizeof deaths[0]; i++) {
        struct stage s;
        uint32_t n;
        open_with(&s, deaths[i].fault);
        stage_start(&s);
        pid_t pid = s.pid;
        stage_submit(&s, 1, 5, JSON, NULL, 0, 1000);
        assert_int_equal(read_answer(&s, &n), -EPIPE);
        assert_int_equal(n, deaths[i].n_tokens); /* what was said before is there */
        int status = stage_reap(&s);
        if (deaths[i].signal != 0)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == deaths[i].signal);
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == deaths[i].code);
        panic_describe(&s.node->panic[SHM_PROC_WORKER(3)], pid, panic, sizeof panic);
        if (deaths[i].panic != NULL && strstr(panic, deaths[i].panic) == NULL)
            fail_msg("%s: last words \"%s\"", deaths[i].fault, panic);
        if (deaths[i].panic == NULL)
            assert_string_equal(panic, "");
        stage_close(&s);
    }
}

/* @once: the first incarnation only. */
static void once(void **state)
{
    struct stage s;
    uint32_t n;

    (void)state;
    open_with(&s, "exit:70@token:3@once, exit:71@start@once");
    stage_spawn(&s);
    assert_int_equal(WEXITSTATUS(stage_reap(&s)), 71);
    stage_start(&s);
    stage_submit(&s, 1, 5, JSON, NULL, 0, 1000);
    assert_int_equal(read_answer(&s, &n), 0);
    assert_int_equal(n, 50);
    stage_close(&s);
}

/* Dead or refused before it serves. */
static void before_serving(void **state)
{
    static const struct {
        const char *fault;
        int code;
        const char *refusal;
    } cases[] = {
        {"exit:70@start", 70, NULL},
        {"exit:70@load", 70, NULL},
        {"refuse:\"not enough memory\"", 100, "not enough memory"},
        {"bang@start", 100, "simulate_fault: fault \"bang\": not known"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stage s;
        struct control_msg msg;
        open_with(&s, cases[i].fault);
        stage_spawn(&s);
        stage_expect(&s, CONTROL_HELLO, &msg);
        if (cases[i].refusal != NULL) {
            stage_expect(&s, CONTROL_REFUSED, &msg);
            assert_string_equal(msg.text, cases[i].refusal);
        }
        assert_int_equal(stage_hear(&s, &msg, STAGE_WAIT_MS), -1);
        int status = stage_reap(&s);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), cases[i].code);
        stage_close(&s);
    }
}

static void bad_hellos(void **state)
{
    static const char *const faults[] = {"bad-hello", "bad-hello:hash", "bad-hello:pid"};
    struct stage s;
    struct control_msg msg, good;

    (void)state;
    stage_open(&s, MODEL);
    stage_spawn(&s);
    stage_expect(&s, CONTROL_HELLO, &good);
    stage_close(&s);
    for (size_t i = 0; i < 3; i++) {
        open_with(&s, faults[i]);
        stage_spawn(&s);
        stage_expect(&s, CONTROL_HELLO, &msg);
        assert_int_equal(msg.epoch != s.epoch, i == 0);
        assert_int_equal(msg.layout_hash != good.layout_hash, i == 1);
        assert_int_equal(msg.pid != s.pid, i == 2);
        stage_close(&s);
    }
    open_with(&s, "bad-hello:junk");
    stage_spawn(&s);
    int fds[CONTROL_FDS];
    struct err e;
    struct pollfd p = {s.control, POLLIN, 0};
    assert_int_equal(poll(&p, 1, STAGE_WAIT_MS), 1);
    assert_int_equal(control_recv(s.control, &msg, fds, &e), -EPROTO);
    stage_close(&s);
}

/* Wait until the beat has moved n times; 0 when it stands still for a second. */
static int beat_moves(const struct stage *s, int n)
{
    uint64_t last = stage_progress(s);
    uint64_t moved_ns = clock_now_ns();
    struct timespec pause = {0, 5000000};

    while (n > 0) {
        nanosleep(&pause, NULL); /* only the beat tells: there is nothing to wait for */
        uint64_t now_ns = clock_now_ns();
        if (stage_progress(s) != last) {
            last = stage_progress(s);
            moved_ns = now_ns;
            n--;
        } else if (now_ns - moved_ns > NS_PER_S) {
            return 0;
        }
    }
    return 1;
}

static void alive_and_silent(void **state)
{
    struct stage s;
    struct control_msg msg;

    (void)state;
    open_with(&s, "no-hello");
    stage_spawn(&s);
    assert_true(beat_moves(&s, 20));
    assert_int_equal(stage_hear(&s, &msg, 0), 0);
    stage_close(&s);

    open_with(&s, "no-ready");
    stage_spawn(&s);
    stage_expect(&s, CONTROL_HELLO, &msg);
    assert_true(beat_moves(&s, 20));
    assert_int_equal(stage_hear(&s, &msg, 0), 0);
    stage_close(&s);

    open_with(&s, "load-stall\nsimulate_load_ms = 200");
    stage_spawn(&s);
    stage_expect(&s, CONTROL_HELLO, &msg);
    assert_true(beat_moves(&s, 3));
    assert_false(beat_moves(&s, 1000));
    assert_int_equal(stage_hear(&s, &msg, 0), 0);
    assert_int_equal(atomic_load(&s.node->beat[SHM_PROC_WORKER(3)].phase), PHASE_LOADING);
    stage_close(&s);
}

static void hangs(void **state)
{
    static const char *const faults[] = {"stop@token:5", "spin@token:5"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct stage s;
        struct ring_record rec;
        int tokens = 0;
        open_with(&s, faults[i]);
        stage_start(&s);
        assert_true(beat_moves(&s, 5)); /* also when idle */
        stage_submit(&s, 1, 5, JSON, NULL, 0, 1000);
        while (tokens < 5) {
            assert_int_equal(stage_next(&s, &rec, STAGE_WAIT_MS), 1);
            tokens += rec.type == RING_TOKEN;
        }
        assert_false(beat_moves(&s, 1000));
        if (i == 0) {
            int status;
            assert_int_equal(waitpid(s.pid, &status, WUNTRACED), s.pid);
            assert_true(WIFSTOPPED(status));
            kill(s.pid, SIGCONT); /* and it goes on as if nothing had been */
            while (tokens < 50) {
                assert_int_equal(stage_next(&s, &rec, STAGE_WAIT_MS), 1);
                tokens += rec.type == RING_TOKEN;
            }
        }
        stage_close(&s);
    }
}

static void garbage(void **state)
{
    (void)state;
    for (int kind = 0; kind < GARBAGE_KINDS_N; kind++) {
        struct stage s;
        char fault[64];
        uint32_t n;
        snprintf(fault, sizeof fault, "garbage:%s@token:11", garbage_name((enum garbage_kind)kind));
        open_with(&s, fault);
        stage_start(&s);
        stage_submit(&s, 1, 5, JSON, NULL, 0, 1000);
        int rc = read_answer(&s, &n);
        if (rc != -EPROTO)
            fail_msg("%s: %d after %u tokens, expected a violation", fault, rc, n);
        assert_true(n <= 11);
        stage_close(&s);
    }
}

/* --- how it leaves --- */

static void leaves_when_asked(void **state)
{
    struct stage s;
    struct control_msg msg;

    (void)state;
    for (int how = 0; how < 3; how++) {
        stage_open(&s, MODEL);
        stage_start(&s);
        stage_submit(&s, 1, 5, JSON, NULL, 0, 3);
        uint64_t begun_ns = clock_now_ns();
        if (how == 0)
            stage_send(&s, CONTROL_STOP, 0);
        else if (how == 1)
            kill(s.pid, SIGTERM);
        else
            assert_int_equal(shutdown(s.control, SHUT_WR), 0);
        int status = stage_reap(&s);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_true(clock_now_ns() - begun_ns < 5 * NS_PER_S);
        stage_close(&s);
    }
    open_with(&s, "ignore-term");
    stage_start(&s);
    kill(s.pid, SIGTERM);
    stage_send(&s, CONTROL_STOP, 0);
    assert_true(beat_moves(&s, 5));
    assert_int_equal(stage_hear(&s, &msg, 0), 0);
    assert_int_equal(shutdown(s.control, SHUT_WR), 0); /* the lifeline it hears */
    int status = stage_reap(&s);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    stage_close(&s);
}

/* --- garbage for the worker --- */

/* Random damage to well-formed entries and indices. It may go unseen (then the worker lives), be
 * seen (exit 70), and nothing else. */
static void damage(struct stage *s, uint64_t seed)
{
    struct ring_memory *own = s->ring.own;
    uint64_t n_words = ((uint64_t)s->ring.own_mask + 1) * 8;

    for (uint64_t i = 0, n = 1 + hash_mix(seed, 1) % 8; i < n; i++) {
        uint64_t w = hash_mix(seed, 10 + i) % n_words;
        atomic_fetch_xor(&own->entry[w / 8].word[w % 8], 1ull << hash_mix(seed, 20 + i) % 64);
    }
    switch (hash_mix(seed, 2) % 6) {
    case 0:
        atomic_store(&own->tail, hash_mix(seed, 3));
        break;
    case 1:
        atomic_store(&own->tail, s->ring.tail + hash_mix(seed, 3) % 2048);
        break;
    case 2:
        atomic_store(&own->head, hash_mix(seed, 3));
        break;
    default:
        atomic_store(&own->tail, s->ring.tail + 1 + hash_mix(seed, 3) % 3);
        break;
    }
    atomic_store(&own->asleep, (uint32_t)hash_mix(seed, 4));
    assert_int_equal(write(s->ring.wake_peer_fd, "", 1), 1);
}

static void damaged_rings(void **state)
{
    uint32_t seen = 0;
    uint64_t base = hash_random64();

    (void)state;
    print_message("seed %llu\n", (unsigned long long)base);
    for (uint64_t round = 0; round < 60; round++) {
        struct stage s;
        struct control_msg msg;
        struct ring_record rec;
        uint64_t seed = hash_mix(base, round);
        stage_open(&s, MODEL);
        s.capacity = 64;
        stage_start(&s);
        for (uint64_t id = 1; id <= 1 + hash_mix(seed, 0) % 16; id++)
            stage_submit(&s, id, id, JSON, NULL, 0, 5);
        assert_int_equal(stage_next(&s, &rec, STAGE_WAIT_MS), 1); /* it reads the ring */
        damage(&s, seed);
        /* Two turns of its loop later it has seen what there is to see. */
        uint64_t turned = stage_progress(&s) + 2;
        while (stage_hear(&s, &msg, 1) == 0 && stage_progress(&s) < turned)
            ;
        stage_ask_to_stop(&s);
        int status = stage_reap(&s);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == 70 || WEXITSTATUS(status) == 0);
        seen += WEXITSTATUS(status) == 70;
        stage_close(&s);
    }
    assert_true(seen > 10);
}

/* Records that are well-formed entries and nonsense inside. */
static void nonsense_records(void **state)
{
    uint64_t base = hash_random64();

    (void)state;
    print_message("seed %llu\n", (unsigned long long)base);
    for (uint64_t round = 0; round < 60; round++) {
        struct stage s;
        uint8_t data[512];
        uint64_t draw = 0;
        uint64_t seed = hash_mix(base, round);
        stage_open(&s, MODEL);
        stage_start(&s);
        stage_submit(&s, 1, 1, JSON, NULL, 0, 5);
        int rc = 0;
        for (int i = 0; i < 50 && rc == 0; i++) {
            size_t len = hash_mix(seed, draw++) % sizeof data;
            struct submit_head head = {.seed = 1, .credit = 5, .json_len = 8};
            for (size_t k = 0; k < sizeof data; k++)
                data[k] = (uint8_t)hash_mix(seed, draw++);
            if (hash_mix(seed, draw++) % 2 == 0) { /* a good head, so that the rest is looked at */
                memcpy(data, &head, sizeof head);
                memcpy(data + sizeof head, "{\"kind\":", 8);
                len = sizeof head + 8;
            }
            static const enum ring_type types[] = {RING_SUBMIT, RING_CREDIT, RING_CANCEL};
            enum ring_type type = types[hash_mix(seed, draw++) % 3];
            rc = stage_say(&s, type, 1 + hash_mix(seed, draw++) % 40, data, len);
        }
        struct control_msg msg;
        assert_int_equal(stage_hear(&s, &msg, STAGE_WAIT_MS), -1);
        int status = stage_reap(&s);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 70);
        stage_close(&s);
    }
}

/* A supervisor that makes no sense. */
static void strange_control(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct stage s;
        stage_open(&s, MODEL);
        stage_start(&s);
        if (how == 0)
            stage_send(&s, CONTROL_LINK_WRITE, 99); /* there is a link, and no memfd */
        else if (how == 1)
            stage_send(&s, CONTROL_LINK_READ, s.epoch);
        else if (how == 2)
            stage_send(&s, CONTROL_HELLO, 0);
        else
            assert_int_equal(send(s.control, "junk", 4, 0), 4);
        int status = stage_reap(&s);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 70);
        stage_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deaths_on_the_way), cmocka_unit_test(once),
        cmocka_unit_test(before_serving),    cmocka_unit_test(bad_hellos),
        cmocka_unit_test(alive_and_silent),  cmocka_unit_test(hangs),
        cmocka_unit_test(garbage),           cmocka_unit_test(leaves_when_asked),
        cmocka_unit_test(damaged_rings),     cmocka_unit_test(nonsense_records),
        cmocka_unit_test(strange_control),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Streams of a real worker through everything that may happen to it or its link: credit withheld,
 * cancels, links that come and go, kill -9. Every answer must be the one that nothing happened to.
 */
#include "tests/torture/worker_stage.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "worker/sim/words.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define STREAMS 200
#define TOKENS  120
#define JSON    "{\"kind\":\"completion\",\"prompt\":\"go on\",\"stop\":[\"\\n\"]}"

#define DRAW(n) (hash_mix(draw_seed, n_draws++) % (n))
static uint64_t draw_seed, n_draws;

/* The router's journal of one stream. */
struct stream {
    uint64_t id, seed;
    uint32_t ids[TOKENS];
    uint32_t n;
    uint32_t credit;
    struct buf text;
    enum { IDLE, SUBMITTED, RUNNING, CANCELLING, DONE, GONE } state;
};

static struct stream streams[STREAMS];
static uint64_t last_id;
static uint32_t n_open;

static void open_streams(void)
{
    n_open = STREAMS;
    for (uint32_t i = 0; i < STREAMS; i++)
        streams[i] = (struct stream){.id = ++last_id, .seed = draw_seed + i};
}

static void close_streams(void)
{
    char word[SIM_WORD_MAX];
    struct buf expected = {0};

    for (uint32_t i = 0; i < STREAMS; i++) {
        struct stream *s = &streams[i];
        buf_clear(&expected);
        for (uint32_t k = 0; k < s->n; k++) {
            sim_word(s->seed, k, word);
            buf_add_str(&expected, word);
        }
        assert_true(s->state == DONE || s->state == GONE);
        assert_int_equal(buf_pending(&s->text), expected.len);
        if (expected.len > 0)
            assert_memory_equal(s->text.data, expected.data, expected.len);
        if (s->state == DONE)
            assert_int_equal(s->n, TOKENS);
        buf_free(&s->text);
    }
    buf_free(&expected);
}

/* What the router does with a stream that is nowhere: submit it with its journal. */
static int submit_idle(struct stage *st)
{
    for (uint32_t i = 0; i < STREAMS; i++) {
        struct stream *s = &streams[i];
        if (s->state != IDLE)
            continue;
        s->credit = s->n + (uint32_t)DRAW(8);
        if (stage_submit(st, s->id, s->seed, JSON, s->ids, s->n, s->credit) != 0)
            return -1;
        s->state = SUBMITTED;
    }
    return 0;
}

/* The worker is gone, or the link: cancelled streams are over, the others start again. */
static void lose_streams(void)
{
    for (uint32_t i = 0; i < STREAMS; i++) {
        struct stream *s = &streams[i];
        if (s->state == CANCELLING) {
            s->state = GONE;
            n_open--;
        } else if (s->state == SUBMITTED || s->state == RUNNING) {
            s->state = IDLE;
        }
    }
}

static struct stream *find_stream(uint64_t id)
{
    uint64_t first = streams[0].id;

    assert_true(id >= first && id < first + STREAMS);
    return &streams[id - first];
}

static void add_parts(struct stream *s, const uint8_t *at, size_t len, uint8_t n)
{
    struct part_head part;

    for (; n > 0; n--) {
        assert_true(len >= sizeof part);
        memcpy(&part, at, sizeof part);
        assert_true(part.len <= len - sizeof part);
        assert_int_equal(part.channel, CHANNEL_CONTENT);
        assert_true(utf8_valid((const char *)at + sizeof part, part.len));
        buf_add(&s->text, at + sizeof part, part.len);
        at += sizeof part + part.len;
        len -= sizeof part + part.len;
    }
    assert_int_equal(len, 0);
}

static void take_token(struct stream *s, const struct ring_record *rec)
{
    struct token_head head;

    memcpy(&head, rec->data, sizeof head);
    assert_true(s->state == RUNNING || s->state == CANCELLING);
    assert_int_equal(head.index, s->n);
    assert_true(head.index < s->credit);
    assert_int_equal(head.token, sim_token(s->seed, s->n));
    s->ids[s->n++] = head.token;
    add_parts(s, rec->data + sizeof head, rec->len - sizeof head, head.n_parts);
}

static void take_record(const struct ring_record *rec)
{
    struct stream *s = find_stream(rec->request);
    struct done_head done;

    switch (rec->type) {
    case RING_ACCEPT:
        assert_true(s->state == SUBMITTED || s->state == CANCELLING);
        if (s->state == SUBMITTED)
            s->state = RUNNING;
        return;
    case RING_TOKEN:
        take_token(s, rec);
        return;
    case RING_DONE:
        memcpy(&done, rec->data, sizeof done);
        assert_int_equal(done.index, s->n);
        assert_int_equal(done.reason, FINISH_STOP);
        s->state = DONE;
        break;
    case RING_CANCELLED:
        assert_int_equal(s->state, CANCELLING);
        s->state = GONE;
        break;
    case RING_NONE:
    case RING_SUBMIT:
    case RING_CREDIT:
    case RING_CANCEL:
    case RING_FAIL:
    case RING_TYPES_N:
        fail_msg("a record of type %s", ring_type_name(rec->type));
    }
    n_open--;
}

/* Now and then a client goes away, or has read what it was sent. */
static int act_at_random(struct stage *st, int may_cancel)
{
    struct stream *s = &streams[DRAW(STREAMS)];

    if (s->state != RUNNING)
        return 0;
    if (may_cancel && DRAW(400) == 0) {
        s->state = CANCELLING;
        return stage_say(st, RING_CANCEL, s->id, "", 0);
    }
    if (s->credit - s->n < 4) {
        struct credit_body body = {s->credit += 1 + (uint32_t)DRAW(16)};
        return stage_say(st, RING_CREDIT, s->id, &body, sizeof body);
    }
    return 0;
}

static int credit_all(struct stage *st)
{
    for (uint32_t i = 0; i < STREAMS; i++) {
        struct stream *s = &streams[i];
        if (s->state != RUNNING || s->credit > s->n)
            continue;
        struct credit_body body = {s->credit = s->n + 1 + (uint32_t)DRAW(16)};
        if (stage_say(st, RING_CREDIT, s->id, &body, sizeof body) != 0)
            return -1;
    }
    return 0;
}

/* Run until n records came, every stream ended, or the worker died (-1). */
static int run(struct stage *st, uint64_t n, int may_cancel)
{
    struct ring_record rec;

    if (submit_idle(st) != 0)
        return -1;
    while (n > 0 && n_open > 0) {
        int rc = stage_next(st, &rec, 20);
        if (rc == 0) {
            if (credit_all(st) != 0)
                return -1;
            continue;
        }
        if (rc == -EPROTO)
            fail_msg("violation: %s", st->ring.violation);
        if (rc < 0)
            return -1;
        take_record(&rec);
        n--;
        if (act_at_random(st, may_cancel) != 0)
            return -1;
    }
    return 0;
}

static void expect_table_empty(struct stage *st)
{
    struct worker_record record;
    uint64_t deadline_ns = clock_now_ns() + STAGE_WAIT_MS * NS_PER_MS;

    /* -EAGAIN: the worker is in the middle of writing it */
    while (seqlock_copy(&st->node->worker[3], &record) != 0 || record.active != 0 ||
           record.paused != 0 || record.phase != PHASE_SERVING)
        assert_true(clock_now_ns() < deadline_ns);
}

#define MODEL "seats = 256\nsimulate_rate = 0\nsimulate_tokens = 120\n"

static void credit_and_cancel(void **state)
{
    struct stage st;

    (void)state;
    stage_open(&st, MODEL);
    stage_start(&st);
    assert_int_equal(st.ready.seats, 256);
    assert_int_equal(st.ready.vocab, SIM_VOCAB);
    assert_int_equal(st.ready.context, 32768);
    for (int round = 0; round < 3; round++) {
        open_streams();
        assert_int_equal(run(&st, UINT64_MAX, 1), 0);
        close_streams();
        expect_table_empty(&st);
    }
    stage_close(&st);
}

static void links_come_and_go(void **state)
{
    struct stage st;

    (void)state;
    stage_open(&st, MODEL);
    st.capacity = 32;
    stage_start(&st);
    open_streams();
    for (int round = 0; round < 20; round++) {
        assert_int_equal(run(&st, 50 + DRAW(400), 1), 0);
        stage_unlink(&st, 1);
        lose_streams();
        stage_link(&st);
    }
    assert_int_equal(run(&st, UINT64_MAX, 0), 0);
    close_streams();
    expect_table_empty(&st);
    stage_close(&st);
}

static void killed_at_any_moment(void **state)
{
    struct stage st;
    uint32_t kills = 0;

    (void)state;
    stage_open(&st, MODEL);
    for (int storm = 0; storm < 2; storm++) {
        open_streams();
        while (n_open > 0) {
            stage_start(&st);
            int rc = run(&st, DRAW(1500), 1);
            assert_true(rc == 0);
            if (n_open > 0 && DRAW(2) == 0)
                run(&st, DRAW(100), 0); /* somewhere in the middle of its own work */
            kill(st.pid, SIGKILL);
            kills++;
            int status = stage_reap(&st);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
            lose_streams();
        }
        close_streams();
    }
    print_message("%u kills\n", kills);
    stage_close(&st);
}

/* The worker kills itself by itself after tokens that nobody chose, each time. */
static void dies_by_itself(void **state)
{
    struct stage st;

    (void)state;
    stage_open(&st, MODEL "simulate_fault = segv@token:977\n");
    open_streams();
    while (n_open > 0) {
        stage_start(&st);
        if (run(&st, UINT64_MAX, 0) == 0)
            break;
        int status = stage_reap(&st);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        lose_streams();
    }
    close_streams();
    stage_close(&st);
}

static void paced(void **state)
{
    struct stage st;

    (void)state;
    stage_open(&st, "seats = 256\nsimulate_rate = 200\nsimulate_prefill_ms = 50\n"
                    "simulate_tokens = 120\n");
    stage_start(&st);
    open_streams();
    uint64_t begun_ns = clock_now_ns();
    assert_int_equal(run(&st, UINT64_MAX, 0), 0);
    uint64_t spent_ns = clock_now_ns() - begun_ns;
    close_streams();
    /* 50 ms, then 119 tokens every 5 ms; longer only by what credit was withheld */
    assert_true(spent_ns >= (50 + 119 * 5) * NS_PER_MS);
    stage_close(&st);
}

int main(void)
{
    const char *seed = getenv("TORTURE_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credit_and_cancel),
        cmocka_unit_test(links_come_and_go),
        cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(dies_by_itself),
        cmocka_unit_test(paced),
    };

    draw_seed = seed != NULL ? strtoull(seed, NULL, 10) : hash_random64();
    print_message("TORTURE_SEED=%llu\n", (unsigned long long)draw_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

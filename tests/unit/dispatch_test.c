/* The router's half of a link against workers played by this test over real rings: journal and
 * resume, credits, cancel, protocol violations, placement, and the isolation of requests that kill
 * their worker. */
#include "base/check.h"
#include "base/clock.h"
#include "router/router.h"
#include "shm/control.h"
#include "shm/link.h"

#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define VOCAB   1000
#define WORKERS 2
#define CLIENTS 16

/* A worker as this test plays it. */
struct worker {
    bool is_up;
    uint64_t epoch;
    struct ring ring;
    struct ring_assembler assembler;
    struct job {
        uint64_t id;
        uint32_t next;  /* index of its next token */
        uint32_t start; /* resume position */
        uint32_t credit;
        uint64_t seed;
        bool is_cancelled;
    } job[64];
    size_t n_jobs;
};

/* A client: what the owner heard. */
struct client {
    struct request *request;
    uint32_t token[512];
    uint32_t n;
    uint64_t seed;
    bool stalls; /* takes nothing */
    int is_accepted, is_done, is_failed;
    enum api_error error;
};

static struct router *rt;
static struct worker worker[WORKERS];
static struct client client[CLIENTS];
static int control_peer = -1;
static uint64_t next_epoch;

/* ---- owner ---- */

static void on_accepted(void *owner)
{
    ((struct client *)owner)->is_accepted++;
}

static void on_token(void *owner, const struct token_head *t, const struct part *parts,
                     const struct top *tops)
{
    struct client *c = owner;

    (void)parts;
    (void)tops;
    assert_int_equal(t->index, c->n);
    c->token[c->n++] = t->token;
    if (!c->stalls)
        request_acknowledge(c->request);
}

static void on_done(void *owner, const struct done_head *d, const struct part *parts)
{
    struct client *c = owner;

    (void)d;
    (void)parts;
    c->is_done++;
    request_release(c->request);
    c->request = NULL;
}

static void on_failed(void *owner, enum api_error error, const char *text)
{
    struct client *c = owner;

    assert_true(strlen(text) > 0);
    c->is_failed++;
    c->error = error;
    c->request = NULL;
}

static const struct request_ops ops = {on_accepted, on_token, on_done, on_failed};

static struct client *new_client(int i)
{
    struct client *c = &client[i];

    *c = (struct client){.seed = 100u + (uint64_t)i};
    c->request = request_new(rt, &rt->models[0], &ops, c);
    assert_non_null(c->request);
    c->request->seed = c->seed;
    c->request->canonical = canonical_new();
    buf_add_str(&c->request->canonical->json, "{}");
    return c;
}

static struct client *start_client(int i)
{
    struct client *c = new_client(i);

    dispatch_start(c->request);
    dispatch_send(c->request);
    return c;
}

static uint32_t expected_token(uint64_t seed, uint32_t index)
{
    return (uint32_t)((seed * 31 + index * 7) % VOCAB);
}

/* ---- worker ---- */

static void loop(void)
{
    for (int i = 0; i < 20; i++)
        event_base_loop(rt->base, EVLOOP_NONBLOCK);
}

static void start_worker(int i)
{
    struct worker *w = &worker[i];
    struct link_fds fds;
    struct control_msg map = {.slot = (uint32_t)i, .epoch = ++next_epoch};
    struct err e;

    *w = (struct worker){.is_up = true, .epoch = next_epoch, .assembler.len_max = SUBMIT_MAX};
    assert_int_equal(link_fds_create(&fds, w->epoch, 256, &e), 0);
    link_map(rt, &map, (int[]){fds.memory[R2W], -1, -1, -1});
    assert_int_equal(ring_map_own(&w->ring, fds.memory[W2R], W2R, w->epoch, &e), 0);
    assert_int_equal(link_fds_seal(&fds, &e), 0);
    assert_int_equal(ring_map_peer(&w->ring, fds.memory[R2W], &e), 0);
    w->ring.wake_fd = dup(fds.worker_wake[0]);
    w->ring.wake_peer_fd = dup(fds.router_wake[1]);
    struct control_msg up = {.epoch = w->epoch, .seats = 8, .vocab = VOCAB, .context = 4096};
    link_start(rt, &up, (int[]){fds.memory[W2R], fds.router_wake[0], fds.worker_wake[1], -1});
    link_fds_close(&fds);
    loop();
}

static void kill_worker(int i, enum exit_class class)
{
    struct worker *w = &worker[i];
    struct control_msg down = {.slot = (uint32_t)i, .epoch = w->epoch, .exit_class = class};

    w->is_up = false;
    ring_unmap(&w->ring);
    buf_free(&w->assembler.buf);
    link_down(rt, &down);
    loop();
}

static struct job *find_job(struct worker *w, uint64_t id)
{
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i].id == id)
            return &w->job[i];
    return NULL;
}

static void drop_job(struct worker *w, struct job *j)
{
    *j = w->job[--w->n_jobs];
}

/* Take what the router sent. */
static void take(struct worker *w)
{
    struct ring_entry entry;
    struct ring_record rec;

    while (ring_pop(&w->ring, &entry) == 1) {
        if (ring_assemble(&w->ring, &w->assembler, &entry, &rec) != 1)
            continue;
        if (rec.type == RING_SUBMIT) {
            struct submit_head head;
            uint32_t resumed;
            memcpy(&head, rec.data, sizeof head);
            assert_true(rec.len == sizeof head + head.n_resume * 4 + head.json_len);
            for (uint32_t i = 0; i < head.n_resume; i++) { /* the journal is the answer so far */
                memcpy(&resumed, rec.data + sizeof head + i * 4, 4);
                assert_int_equal(resumed, expected_token(head.seed, i));
            }
            assert_null(find_job(w, rec.request));
            w->job[w->n_jobs++] = (struct job){rec.request, head.n_resume, head.n_resume,
                                               head.credit, head.seed, false};
        } else if (rec.type == RING_CREDIT) {
            struct credit_body body;
            memcpy(&body, rec.data, sizeof body);
            struct job *j = find_job(w, rec.request);
            if (j != NULL) {
                assert_true(body.credit > j->credit);
                j->credit = body.credit;
            }
        } else if (find_job(w, rec.request) != NULL) {
            find_job(w, rec.request)->is_cancelled = true;
        }
    }
    ring_release(&w->ring);
}

static void say(struct worker *w, enum ring_type type, uint64_t id, const void *data, size_t len)
{
    assert_int_equal(ring_send_whole(&w->ring, type, id, data, len), 0);
}

static void say_accept(struct worker *w, struct job *j)
{
    say(w, RING_ACCEPT, j->id, &(struct accept_body){5, 0, 0}, sizeof(struct accept_body));
}

static void say_token(struct worker *w, struct job *j)
{
    struct {
        struct token_head head;
        struct part_head part;
        char text[1];
    } t = {{.index = j->next, .token = expected_token(j->seed, j->next), .n_parts = 1}, {.len = 1}, "x"};

    say(w, RING_TOKEN, j->id, &t, sizeof t.head + sizeof t.part + 1);
    j->next++;
}

static void say_done(struct worker *w, struct job *j)
{
    struct done_head d = {.index = j->next, .reason = FINISH_STOP};

    say(w, RING_DONE, j->id, &d, sizeof d);
    drop_job(w, j);
}

/* Accept everything, then n tokens each. */
static void run(struct worker *w, uint32_t n)
{
    take(w);
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i].next == w->job[i].start)
            say_accept(w, &w->job[i]);
    for (uint32_t k = 0; k < n; k++)
        for (size_t i = 0; i < w->n_jobs; i++) {
            say_token(w, &w->job[i]);
            ring_publish(&w->ring);
            loop();
            take(w);
        }
    ring_publish(&w->ring);
    loop();
}

static void finish_all(struct worker *w)
{
    take(w);
    while (w->n_jobs > 0)
        say_done(w, &w->job[0]);
    ring_publish(&w->ring);
    loop();
}

static bool supervisor_heard(enum control_type type)
{
    struct control_msg msg;
    int fds[CONTROL_FDS];
    bool heard = false;

    while (control_recv(control_peer, &msg, fds, NULL) == 1)
        heard |= msg.type == type;
    return heard;
}

/* ---- setup ---- */

static int setup(void **state)
{
    static const char text[] = "[gateway]\nqueue_depth = 4\n[model \"m\"]\nsimulate = yes\n";
    struct model_record rec = {.name = "m", .state = MODEL_READY};
    int sv[2];
    struct err e;

    (void)state;
    rt = calloc(1, sizeof *rt);
    rt->node = aligned_alloc(4096, (sizeof *rt->node + 4095) / 4096 * 4096);
    CHECK(rt != NULL && rt->node != NULL);
    memset(rt->node, 0, sizeof *rt->node);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
    control_peer = fcntl(sv[1], F_DUPFD_CLOEXEC, 100);
    close(sv[1]);
    CHECK(dup2(sv[0], CHILD_FD_CONTROL) == CHILD_FD_CONTROL);
    if (sv[0] != CHILD_FD_CONTROL)
        close(sv[0]);
    rt->base = event_base_new();
    rt->counters = &rt->node->router_counters;
    rt->epoch = 7;
    CHECK(config_parse(&rt->config, "test", text, strlen(text), &e) == 0);
    seqlock_publish(&rt->node->model[0], &rec);
    for (uint32_t i = 0; i < SHM_WORKERS_MAX; i++)
        link_init(rt, &rt->links[i], i);
    rt->client.base = rt->base;
    rt->client.counters = rt->counters;
    conns_init(&rt->client);
    models_refresh(rt);
    request_pool_init(rt, 64);
    deadline_queue_init(&rt->queue_due, NS_PER_S, NULL);
    deadline_queue_init(&rt->life_due, NS_PER_S, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < WORKERS; i++)
        if (worker[i].is_up)
            kill_worker(i, EXIT_CLASS_KILLED);
    for (uint32_t i = 0; i < rt->requests.n_slots; i++)
        if (rt->requests.slot[i] != NULL)
            request_free(rt->requests.slot[i]);
    conns_close(&rt->client);
    for (int i = 0; i < SHM_WORKERS_MAX; i++)
        link_close(&rt->links[i]);
    request_pool_free(rt);
    config_free(&rt->config);
    event_base_free(rt->base);
    close(control_peer);
    close(CHILD_FD_CONTROL);
    free(rt->node);
    free(rt);
    return 0;
}

static void assert_answer(const struct client *c, uint32_t n)
{
    assert_int_equal(c->n, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(c->token[i], expected_token(c->seed, i));
}

/* ---- tests ---- */

static void test_an_answer(void **state)
{
    (void)state;
    start_worker(0);
    struct client *c = start_client(0);
    run(&worker[0], 10);
    finish_all(&worker[0]);
    assert_int_equal(c->is_accepted, 1);
    assert_int_equal(c->is_done, 1);
    assert_answer(c, 10);
    assert_int_equal(request_pool_open(&rt->requests), 0);
    assert_true(supervisor_heard(CONTROL_PROVED));
}

/* What the dead one had written but the router had not read is computed again. */
static void test_resume_on_the_other_worker(void **state)
{
    (void)state;
    start_worker(0);
    struct client *c = start_client(0);
    run(&worker[0], 5);
    start_worker(1);
    say_token(&worker[0], &worker[0].job[0]); /* published, never read */
    atomic_store(&worker[0].ring.own->tail, worker[0].ring.tail);
    kill_worker(0, EXIT_CLASS_KILLED);
    take(&worker[1]);
    assert_int_equal(worker[1].n_jobs, 1);
    assert_int_equal(worker[1].job[0].start, 5);
    run(&worker[1], 5);
    finish_all(&worker[1]);
    assert_answer(c, 10);
    assert_int_equal(c->is_done, 1);
}

static void test_many_deaths_by_kill_accuse_nobody(void **state)
{
    (void)state;
    start_worker(0);
    for (int i = 0; i < 4; i++)
        start_client(i);
    for (int round = 0; round < 12; round++) {
        run(&worker[0], 1);
        kill_worker(0, EXIT_CLASS_KILLED);
        start_worker(0);
    }
    run(&worker[0], 3);
    finish_all(&worker[0]);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(client[i].is_done, 1);
        assert_answer(&client[i], 15);
    }
}

static void test_credit_bounds_and_grants(void **state)
{
    (void)state;
    start_worker(0);
    struct client *c = start_client(0);
    run(&worker[0], 400); /* 256 without the grants that the acknowledgements bring */
    assert_int_equal(c->n, 400);
    assert_true(worker[0].job[0].credit >= 400);
    finish_all(&worker[0]);
    assert_answer(c, 400);
}

/* A stalled reader's credit does not grow with every death of its worker. */
static void test_death_grants_no_credit(void **state)
{
    (void)state;
    start_worker(0);
    struct client *c = start_client(0);
    c->stalls = true;
    run(&worker[0], 200);
    for (int i = 0; i < 3; i++) {
        kill_worker(0, EXIT_CLASS_KILLED);
        start_worker(0);
        run(&worker[0], 0);
        assert_int_equal(worker[0].job[0].credit, CREDIT_TOKENS);
    }
    c->stalls = false;
    request_acknowledge(c->request);
    loop();
    take(&worker[0]);
    assert_int_equal(worker[0].job[0].credit, 200 + CREDIT_TOKENS);
    finish_all(&worker[0]);
    assert_answer(c, 200);
}

static void test_cancel_keeps_the_slot_until_the_last_word(void **state)
{
    (void)state;
    start_worker(0);
    struct client *c = start_client(0);
    run(&worker[0], 2);
    uint64_t id = c->request->id;
    request_cancel(c->request);
    assert_int_equal(request_pool_open(&rt->requests), 1);
    say_token(&worker[0], &worker[0].job[0]); /* on its way already: dropped */
    ring_publish(&worker[0].ring);
    loop();
    take(&worker[0]);
    assert_true(worker[0].job[0].is_cancelled);
    say(&worker[0], RING_CANCELLED, id, NULL, 0);
    ring_publish(&worker[0].ring);
    loop();
    assert_int_equal(request_pool_open(&rt->requests), 0);
    assert_int_equal(c->n, 2);
    assert_null(request_find(rt, id));
    assert_int_equal(rt->links[0].state, LINK_UP);
    c = start_client(1);
    assert_true(c->request->id != id && c->request->slot == (id & (SHM_REQUESTS_MAX - 1)));
}

static void test_queue_is_bounded_and_served(void **state)
{
    enum api_error error;
    char text[200];

    (void)state;
    start_worker(0); /* 8 seats */
    for (int i = 0; i < 12; i++) {
        assert_int_equal(dispatch_admit(rt, &rt->models[0], 1, false, &error, text, sizeof text), 0);
        start_client(i);
    }
    assert_int_equal(rt->models[0].n_waiting, 4);
    assert_int_not_equal(dispatch_admit(rt, &rt->models[0], 1, true, &error, text, sizeof text), 0);
    assert_int_equal(error, ERROR_QUEUE_FULL);
    for (int round = 0; round < 2; round++) {
        run(&worker[0], 1);
        finish_all(&worker[0]);
    }
    for (int i = 0; i < 12; i++)
        assert_int_equal(client[i].is_done, 1);
}

static void test_sessions_stay_with_their_worker(void **state)
{
    int used[WORKERS] = {0};

    (void)state;
    start_worker(0);
    start_worker(1);
    for (int i = 0; i < 6; i++) {
        struct client *c = new_client(i);
        c->request->session = 4711;
        dispatch_start(c->request);
        dispatch_send(c->request);
        used[c->request->link->slot]++;
        run(&worker[c->request->link->slot], 1);
        finish_all(&worker[0]);
        finish_all(&worker[1]);
    }
    assert_true(used[0] == 6 || used[1] == 6);
}

/* One violation each: the link stops, the supervisor hears of it, the client of nothing. */
static void test_violations(void **state)
{
    struct token_head good = {.index = 2, .token = 1};
    struct token_head skipped = {.index = 3, .token = 1};
    struct token_head repeated = {.index = 1, .token = 1};
    struct token_head foreign = {.index = 2, .token = VOCAB};
    struct token_head parts = {.index = 2, .token = 1, .n_parts = 1};
    struct {
        struct token_head head;
        struct part_head part;
        char text[2];
    } bad_utf8 = {{.index = 2, .token = 1, .n_parts = 1}, {.len = 2}, "\xc3("};
    struct done_head early = {.index = 1};
    struct done_head reason = {.index = 2, .reason = 99};
    struct fail_head fail = {.code = 77};
    struct {
        enum ring_type type;
        const void *data;
        size_t len;
        int64_t other_id; /* 0 = the request's own */
    } rows[] = {
        {RING_TOKEN, &good, sizeof good - 1, 0},
        {RING_TOKEN, &skipped, sizeof skipped, 0},
        {RING_TOKEN, &repeated, sizeof repeated, 0},
        {RING_TOKEN, &foreign, sizeof foreign, 0},
        {RING_TOKEN, &parts, sizeof parts, 0},
        {RING_TOKEN, &bad_utf8, sizeof bad_utf8.head + sizeof bad_utf8.part + 2, 0},
        {RING_TOKEN, &good, sizeof good, 12345},
        {RING_DONE, &early, sizeof early, 0},
        {RING_DONE, &reason, sizeof reason, 0},
        {RING_FAIL, &fail, sizeof fail, 0},
        {RING_ACCEPT, "x", 1, 0},
        {RING_ACCEPT, &(struct accept_body){1, 1, 0}, sizeof(struct accept_body), 0},
        {RING_CANCELLED, NULL, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        start_worker(0);
        struct client *c = start_client(0);
        run(&worker[0], 2);
        supervisor_heard(CONTROL_VIOLATION);
        say(&worker[0], rows[i].type,
            rows[i].other_id ? (uint64_t)rows[i].other_id : c->request->id, rows[i].data,
            rows[i].len);
        ring_publish(&worker[0].ring);
        loop();
        if (rt->links[0].state != LINK_BROKEN)
            fail_msg("row %zu was let through", i);
        assert_true(supervisor_heard(CONTROL_VIOLATION));
        assert_int_equal(c->n, 2);
        assert_false(c->is_failed || c->is_done);
        kill_worker(0, EXIT_CLASS_VIOLATION);
        start_worker(0);
        run(&worker[0], 40); /* moves on: acquitted */
        finish_all(&worker[0]);
        assert_int_equal(c->is_done, 1);
        assert_answer(c, 42);
        kill_worker(0, EXIT_CLASS_KILLED);
    }
}

/* What a request did not ask for, or did and does not get: prompt of 5 tokens, echoed or not. */
static void test_violations_of_what_was_asked(void **state)
{
    struct token_with_tops {
        struct token_head head;
        struct top_head top[3];
    };
    static const struct {
        bool has_echo;
        uint8_t tops_max;
        struct token_with_tops token; /* the first one */
        bool is_fine;
    } rows[] = {
        {false, 0, {{.token = 1}, {{0}}}, true},
        {false, 0, {{.token = 1, .flags = TOKEN_PROMPT}, {{0}}}, false},
        {false, 0, {{.token = 1, .n_tops = 1}, {{.token = 1}}}, false},
        {false, 2, {{.token = 1}, {{0}}}, false},
        {false, 2, {{.token = 1, .n_tops = 1}, {{.token = 1}}}, true},
        {false, 2, {{.token = 1, .n_tops = 2}, {{.token = 1}, {.token = VOCAB - 1}}}, true},
        {false, 2, {{.token = 1, .n_tops = 2}, {{.token = 1}, {.token = VOCAB}}}, false},
        {false, 2, {{.token = 1, .n_tops = 3}, {{.token = 1}, {.token = 2}, {.token = 3}}}, false},
        {true, 0, {{.token = 1, .flags = TOKEN_PROMPT}, {{0}}}, true},
        {true, 0, {{.token = 1}, {{0}}}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct token_with_tops *t = &rows[i].token;
        start_worker(0);
        struct client *c = new_client(0);
        c->request->kind = PROMPT_COMPLETION;
        c->request->has_echo = rows[i].has_echo;
        c->request->tops_max = rows[i].tops_max;
        dispatch_start(c->request);
        dispatch_send(c->request);
        run(&worker[0], 0);
        say(&worker[0], RING_TOKEN, c->request->id, t,
            sizeof t->head + t->head.n_tops * sizeof t->top[0]);
        ring_publish(&worker[0].ring);
        loop();
        if ((rt->links[0].state == LINK_UP) != rows[i].is_fine)
            fail_msg("row %zu was %s", i, rows[i].is_fine ? "refused" : "let through");
        assert_int_equal(c->n, rows[i].is_fine);
        request_cancel(c->request);
        kill_worker(0, EXIT_CLASS_KILLED);
        assert_int_equal(request_pool_open(&rt->requests), 0);
    }
}

/* An echo is complete before anything else comes, and before the end. */
static void test_an_echo_without_its_end(void **state)
{
    struct token_head echoed = {.token = 1, .flags = TOKEN_PROMPT};
    struct done_head done = {.index = 4, .reason = FINISH_STOP};
    uint64_t counted = counter_get(&rt->node->model_counters[0].completion_tokens);

    (void)state;
    for (int round = 0; round < 4; round++) {
        start_worker(0);
        struct client *c = new_client(0);
        c->request->kind = PROMPT_COMPLETION;
        c->request->has_echo = true;
        dispatch_start(c->request);
        dispatch_send(c->request);
        run(&worker[0], 0);
        for (echoed.index = 0; echoed.index < 4; echoed.index++)
            say(&worker[0], RING_TOKEN, c->request->id, &echoed, sizeof echoed);
        if (round == 0) /* a generated one too early */
            say(&worker[0], RING_TOKEN, c->request->id, &(struct token_head){.index = 4},
                sizeof echoed);
        else if (round == 1)
            say(&worker[0], RING_DONE, c->request->id, &done, sizeof done);
        else
            say(&worker[0], RING_TOKEN, c->request->id, &echoed, sizeof echoed);
        if (round == 2) /* one too many */
            say(&worker[0], RING_TOKEN, c->request->id,
                &(struct token_head){.index = 5, .flags = TOKEN_PROMPT}, sizeof echoed);
        else if (round == 3)
            say(&worker[0], RING_TOKEN, c->request->id, &(struct token_head){.index = 5},
                sizeof echoed);
        ring_publish(&worker[0].ring);
        loop();
        assert_int_equal(rt->links[0].state, round == 3 ? LINK_UP : LINK_BROKEN);
        assert_int_equal(request_generated(c->request), round == 3);
        request_cancel(c->request);
        kill_worker(0, EXIT_CLASS_KILLED);
    }
    assert_int_equal(counter_get(&rt->node->model_counters[0].completion_tokens), counted + 1);
}

/* Several requests of one owner: when one fails it cancels the rest, wherever they are. */
static void fail_and_cancel(void *owner, enum api_error error, const char *text)
{
    on_failed(owner, error, text);
    for (int i = 0; i < CLIENTS; i++)
        if (client[i].request != NULL) {
            struct request *r = client[i].request;
            client[i].request = NULL;
            request_cancel(r);
        }
}

static void test_a_failure_that_cancels_others(void **state)
{
    static const struct request_ops family = {on_accepted, on_token, on_done, fail_and_cancel};

    (void)state;
    memset(client, 0, sizeof client);
    for (int i = 0; i < 4; i++)
        start_client(i)->request->ops = &family; /* no worker: they wait */
    assert_int_equal(rt->models[0].n_waiting, 4);
    dispatch_abandon(&rt->models[0], ERROR_MODEL_FAILED, "it is gone");
    assert_int_equal(client[0].is_failed, 1);
    assert_int_equal(rt->models[0].n_waiting, 0);
    assert_int_equal(request_pool_open(&rt->requests), 0);

    start_worker(0); /* suspects, in two trials that wait for a worker */
    for (int i = 0; i < 8; i++)
        start_client(i)->request->ops = &family;
    run(&worker[0], 0);
    kill_worker(0, EXIT_CLASS_FAULT);
    assert_false(TAILQ_EMPTY(&rt->models[0].trials));
    dispatch_abandon(&rt->models[0], ERROR_MODEL_FAILED, "it is gone");
    assert_true(TAILQ_EMPTY(&rt->models[0].trials));
    assert_int_equal(request_pool_open(&rt->requests), 0);

    start_worker(0); /* refused by the worker, in the middle of its turn; the others run there */
    for (int i = 0; i < 10; i++)
        start_client(i)->request->ops = &family;
    run(&worker[0], 2);
    struct {
        struct fail_head head;
        char text[2];
    } refusal = {{.code = FAIL_INTERNAL, .len = 2}, "no"};
    say(&worker[0], RING_FAIL, worker[0].job[0].id, &refusal, sizeof refusal.head + 2);
    say_token(&worker[0], &worker[0].job[1]); /* has not seen its cancel yet */
    ring_publish(&worker[0].ring);
    loop();
    assert_int_equal(rt->links[0].state, LINK_UP);
    assert_int_equal(rt->models[0].n_waiting, 0);
    take(&worker[0]);
    for (size_t i = 1; i < worker[0].n_jobs; i++) {
        assert_true(worker[0].job[i].is_cancelled);
        say(&worker[0], RING_CANCELLED, worker[0].job[i].id, NULL, 0);
    }
    ring_publish(&worker[0].ring);
    loop();
    assert_int_equal(request_pool_open(&rt->requests), 0);
}

/* Requests that come together are admitted together. */
static void test_admission_of_several(void **state)
{
    enum api_error error;
    char text[200];
    struct model *m = &rt->models[0];

    (void)state;
    start_worker(0); /* 8 seats, and 4 may wait */
    assert_int_equal(dispatch_admit(rt, m, 12, false, &error, text, sizeof text), 0);
    assert_int_not_equal(dispatch_admit(rt, m, 13, false, &error, text, sizeof text), 0);
    assert_int_equal(error, ERROR_QUEUE_FULL);
    for (int i = 0; i < 9; i++)
        start_client(i);
    assert_int_equal(dispatch_admit(rt, m, 3, false, &error, text, sizeof text), 0);
    assert_int_not_equal(dispatch_admit(rt, m, 4, false, &error, text, sizeof text), 0);
}

/* A batch with one request whose presence kills the worker: in the prefill (at once), or in the
 * decode (after a few tokens). The others must end as if nothing had been. */
static void isolate(int poison, uint32_t after, int n_clients, int max_deaths)
{
    int deaths = 0;

    start_worker(0);
    for (int i = 0; i < n_clients; i++)
        start_client(i);
    run(&worker[0], 0);
    for (int round = 0; round < 400 && request_pool_open(&rt->requests) > 0; round++) {
        struct worker *w = &worker[0];
        bool dies = false;

        take(w);
        for (size_t i = 0; i < w->n_jobs; i++)
            if (w->job[i].seed == client[poison].seed && w->job[i].next >= after)
                dies = true;
        if (dies) {
            kill_worker(0, EXIT_CLASS_FAULT);
            deaths++;
            start_worker(0);
            continue;
        }
        run(w, 1);
        for (size_t i = 0; i < w->n_jobs;)
            if (w->job[i].next >= 60)
                say_done(w, &w->job[i]);
            else
                i++;
        ring_publish(&w->ring);
        loop();
        dispatch_sweep(rt, clock_now_ns());
    }
    assert_int_equal(request_pool_open(&rt->requests), 0);
    for (int i = 0; i < n_clients; i++) {
        if (i == poison) {
            assert_int_equal(client[i].is_failed, 1);
            assert_int_equal(client[i].error, ERROR_QUARANTINED);
        } else {
            assert_int_equal(client[i].is_done, 1);
            assert_answer(&client[i], 60);
        }
    }
    if (deaths > max_deaths)
        fail_msg("poison %d after %u: %d deaths", poison, after, deaths);
    kill_worker(0, EXIT_CLASS_KILLED);
}

static void test_poison_is_isolated(void **state)
{
    (void)state;
    for (int poison = 0; poison < 8; poison++) {
        isolate(poison, 0, 8, 5);
        isolate(poison, 3, 8, 5);
    }
    isolate(0, 0, 1, 2); /* alone: tried once more, then no more */
    isolate(1, 5, 2, 4);
}

/* A prompt that kills at once, among requests in full flow: two deaths, no more. */
static void test_fresh_poison_is_the_prime_suspect(void **state)
{
    (void)state;
    start_worker(0);
    for (int i = 0; i < 6; i++)
        start_client(i);
    run(&worker[0], 5);
    start_client(6);
    take(&worker[0]);
    kill_worker(0, EXIT_CLASS_FAULT);
    start_worker(0);
    take(&worker[0]);
    assert_int_equal(worker[0].n_jobs, 1); /* alone */
    assert_int_equal(worker[0].job[0].seed, client[6].seed);
    kill_worker(0, EXIT_CLASS_FAULT);
    assert_int_equal(client[6].is_failed, 1);
    assert_int_equal(client[6].error, ERROR_QUARANTINED);
    start_worker(0);
    run(&worker[0], 5);
    finish_all(&worker[0]);
    for (int i = 0; i < 6; i++)
        assert_answer(&client[i], 10);
}

static void test_drain_takes_no_new_work(void **state)
{
    (void)state;
    start_worker(0);
    start_worker(1);
    struct client *c = start_client(0);
    uint32_t slot = c->request->link->slot;
    run(&worker[slot], 1);
    link_drain(rt, &(struct control_msg){.epoch = worker[slot].epoch});
    assert_false(supervisor_heard(CONTROL_DRAINED));
    for (int i = 1; i < 6; i++)
        assert_int_equal(start_client(i)->request->link->slot, 1 - slot);
    finish_all(&worker[slot]);
    assert_int_equal(c->is_done, 1);
    assert_true(supervisor_heard(CONTROL_DRAINED));
}

static void test_canary_before_work(void **state)
{
    (void)state;
    start_worker(0);
    rt->links[0].is_canary = true;
    struct client *c = start_client(0);
    assert_null(c->request->link); /* waits */
    link_sweep(&rt->links[0]);     /* sends the canary */
    take(&worker[0]);
    assert_int_equal(worker[0].n_jobs, 1);
    run(&worker[0], 1);
    finish_all(&worker[0]);
    assert_true(supervisor_heard(CONTROL_PROVED));
    assert_non_null(c->request->link);
    run(&worker[0], 2);
    finish_all(&worker[0]);
    assert_answer(c, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(test_an_answer),
        T(test_resume_on_the_other_worker),
        T(test_many_deaths_by_kill_accuse_nobody),
        T(test_credit_bounds_and_grants),
        T(test_death_grants_no_credit),
        T(test_cancel_keeps_the_slot_until_the_last_word),
        T(test_queue_is_bounded_and_served),
        T(test_sessions_stay_with_their_worker),
        T(test_violations),
        T(test_violations_of_what_was_asked),
        T(test_an_echo_without_its_end),
        T(test_a_failure_that_cancels_others),
        T(test_admission_of_several),
        T(test_poison_is_isolated),
        T(test_fresh_poison_is_the_prime_suspect),
        T(test_drain_takes_no_new_work),
        T(test_canary_before_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

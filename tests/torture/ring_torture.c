/* Rings between real processes, over the memfds, seals and pipes of production.
 *
 * carry     records of all lengths both ways through rings of all sizes; no wake-up is lost
 * kill      kill -9 (some after a SIGSTOP) of either side at random moments, also while a link is
 *           being made; a fresh link for each pair of incarnations; the journals say where to go
 * on: every token arrives exactly once and in order hostile   a writer that scribbles over its own
 * memory: the reader says -EPROTO, nothing else
 */
#include "base/clock.h"
#include "base/hash.h"
#include "shm/control.h"
#include "tests/torture/ring_actor.h"
#include "tests/torture/torture.h"
#include "tests/unit/link_pair.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>

#define REQUESTS 4
#define CREDIT   64

/* Outlives every process: what the router would have in its private memory is here, so that it can
 * be killed too. */
static struct shared {
    _Atomic uint64_t journal[REQUESTS]; /* tokens taken; writer: the living router */
    _Atomic uint64_t records, entries, sleeps;
} * shared;

static void fill(uint8_t *data, size_t len, uint64_t key)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = hash_mix(key, i);
        memcpy(data + i, &word, len - i < 8 ? len - i : 8);
    }
}

static void expect_fill(const uint8_t *data, size_t len, uint64_t key)
{
    uint8_t expected[RECORD_MAX];

    fill(expected, len, key);
    if (memcmp(data, expected, len) != 0)
        torture_fail("%zu bytes of key %" PRIx64 " are not those that were sent", len, key);
}

/* ---- carry ---- */

struct flow {
    uint64_t n;     /* records each way */
    uint64_t ahead; /* records one may be ahead of what it got: 1 = strictly in turn */
    uint64_t sent, got;
    uint64_t own_key, peer_key;
    enum ring_type types[2]; /* by direction */
};

static size_t carry_length(uint64_t key, uint64_t i)
{
    uint64_t h = hash_mix(key, i);

    return h % 100 < 60 ? (h >> 8) % 41 : h % 100 < 97 ? (h >> 8) % 200 : (h >> 8) % 2000;
}

static bool carry_next(struct actor *a, struct outbox *out)
{
    struct flow *f = a->state;

    if (f->sent == f->n || f->sent >= f->got + f->ahead)
        return false;
    out->type = f->types[a->sends];
    out->request = f->sent;
    out->len = carry_length(f->own_key, f->sent);
    fill(out->data, out->len, f->own_key ^ f->sent);
    f->sent++;
    return true;
}

static void carry_take(struct actor *a, const struct ring_record *rec)
{
    struct flow *f = a->state;

    if (rec->request != f->got || rec->len != carry_length(f->peer_key, f->got) ||
        rec->type != f->types[1 - a->sends])
        torture_fail("record %" PRIu64 " of type %d, %zu bytes; expected %" PRIu64, rec->request,
                     (int)rec->type, rec->len, f->got);
    expect_fill(rec->data, rec->len, f->peer_key ^ f->got);
    f->got++;
}

static void carry_linked(struct actor *a)
{
    (void)a;
}

static bool carry_is_over(struct actor *a)
{
    struct flow *f = a->state;

    if (f->sent < f->n || f->got < f->n || a->out.is_full)
        return false;
    atomic_fetch_add(&shared->records, a->records);
    atomic_fetch_add(&shared->entries, a->ring.head);
    atomic_fetch_add(&shared->sleeps, a->sleeps);
    return true;
}

static void run_carrier(void *arg)
{
    struct actor *a = arg;

    actor_run(a);
}

static void expect_clean_exit(struct child *c)
{
    int status;

    if (waitpid(c->pid, &status, 0) != c->pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        torture_fail("process %d: wait status %#x", (int)c->pid, (unsigned)status);
    close(c->sock);
}

static void carry_once(uint32_t capacity, uint64_t n, uint64_t ahead, unsigned spin, uint64_t epoch)
{
    struct actor sides[2];
    struct flow flows[2];
    struct child children[2];

    for (int dir = R2W; dir <= W2R; dir++) {
        flows[dir] = (struct flow){.n = n,
                                   .ahead = ahead,
                                   .own_key = epoch * 2 + (uint64_t)dir,
                                   .peer_key = epoch * 2 + 1 - (uint64_t)dir,
                                   .types = {RING_SUBMIT, RING_TOKEN}};
        sides[dir] = (struct actor){.sends = (enum ring_direction)dir,
                                    .chance = (epoch << 20) + ((uint64_t)dir << 50),
                                    .spin = spin,
                                    .state = &flows[dir],
                                    .next = carry_next,
                                    .take = carry_take,
                                    .linked = carry_linked,
                                    .is_over = carry_is_over};
        children[dir] = child_spawn(run_carrier, &sides[dir]);
    }
    if (!link_make(&children[R2W], &children[W2R], epoch, capacity))
        torture_fail("no link");
    expect_clean_exit(&children[R2W]);
    expect_clean_exit(&children[W2R]);
}

static void carry(uint64_t deadline)
{
    static const struct {
        uint32_t capacity;
        uint64_t n, ahead;
        unsigned spin;
    } rows[] = {{1, 2000, 50, 0},     {8, 10000, 1, 20000},         {8, 10000, UINT32_MAX, 0},
                {64, 10000, 1, 5000}, {8, 5000, UINT32_MAX, 20000}, {4096, 100000, UINT32_MAX, 0},
                {8, 10000, 1, 50000}, {64, 30000, UINT32_MAX, 0},   {4096, 20000, 100, 100}};
    uint64_t epoch = 1;

    for (; epoch <= sizeof rows / sizeof rows[0] || clock_now_ns() < deadline; epoch++) {
        size_t i = (epoch - 1) % (sizeof rows / sizeof rows[0]);
        carry_once(rows[i].capacity, rows[i].n, rows[i].ahead, rows[i].spin, epoch);
    }
    printf("carry: %" PRIu64 " records in %" PRIu64 " entries, %" PRIu64 " sleeps, none lost\n",
           atomic_load(&shared->records), atomic_load(&shared->entries),
           atomic_load(&shared->sleeps));
}

/* ---- kill: the router's side ---- */

struct submit {
    uint64_t index; /* first token wanted */
    uint64_t credit;
};
struct token {
    uint64_t index;
    uint64_t value;
};

struct router {
    bool wants_submit[REQUESTS];
    uint64_t granted[REQUESTS];
};

static void router_linked(struct actor *a)
{
    struct router *r = a->state;

    for (int i = 0; i < REQUESTS; i++)
        r->wants_submit[i] = true;
}

static bool router_next(struct actor *a, struct outbox *out)
{
    struct router *r = a->state;

    for (uint64_t i = 0; i < REQUESTS; i++) {
        uint64_t taken = atomic_load_explicit(&shared->journal[i], memory_order_relaxed);
        if (!r->wants_submit[i] && r->granted[i] - taken > CREDIT / 2)
            continue;
        r->granted[i] = taken + CREDIT;
        struct submit s = {taken, r->granted[i]};
        out->type = r->wants_submit[i] ? RING_SUBMIT : RING_CREDIT;
        out->request = i;
        out->len = sizeof s;
        memcpy(out->data, &s, sizeof s);
        if (r->wants_submit[i]) { /* the prompt: several fragments */
            size_t more = hash_mix(i, taken) % 1500;
            fill(out->data + sizeof s, more, taken);
            out->len += more;
        }
        r->wants_submit[i] = false;
        return true;
    }
    return false;
}

static void router_take(struct actor *a, const struct ring_record *rec)
{
    struct token t;

    (void)a;
    if (rec->type != RING_TOKEN || rec->request >= REQUESTS || rec->len < sizeof t)
        torture_fail("%s of request %" PRIu64, ring_type_name(rec->type), rec->request);
    memcpy(&t, rec->data, sizeof t);
    uint64_t expected = atomic_load_explicit(&shared->journal[rec->request], memory_order_relaxed);
    if (t.index != expected || t.value != hash_mix(rec->request, expected))
        torture_fail("token %" PRIu64 " of request %" PRIu64 ", expected %" PRIu64, t.index,
                     rec->request, expected);
    expect_fill(rec->data + sizeof t, rec->len - sizeof t, t.value);
    atomic_store_explicit(&shared->journal[rec->request], expected + 1, memory_order_relaxed);
}

static void run_router(void *arg)
{
    struct router state = {0};
    struct actor a = {.sends = R2W,
                      .chance = *(uint64_t *)arg,
                      .state = &state,
                      .next = router_next,
                      .take = router_take,
                      .linked = router_linked};

    actor_run(&a);
}

/* ---- kill: the worker's side ---- */

struct worker {
    bool is_active[REQUESTS];
    uint64_t at[REQUESTS], credit[REQUESTS];
    uint64_t turn;
};

static void worker_linked(struct actor *a)
{
    struct worker *w = a->state;

    *w = (struct worker){0};
}

static bool worker_next(struct actor *a, struct outbox *out)
{
    struct worker *w = a->state;

    for (int tries = 0; tries < REQUESTS; tries++) {
        uint64_t i = w->turn++ % REQUESTS;
        if (!w->is_active[i] || w->at[i] == w->credit[i])
            continue;
        struct token t = {w->at[i], hash_mix(i, w->at[i])};
        size_t more = t.value % 150;
        out->type = RING_TOKEN;
        out->request = i;
        out->len = sizeof t + more;
        memcpy(out->data, &t, sizeof t);
        fill(out->data + sizeof t, more, t.value);
        w->at[i]++;
        return true;
    }
    return false;
}

static void worker_take(struct actor *a, const struct ring_record *rec)
{
    struct worker *w = a->state;
    struct submit s;

    if (rec->request >= REQUESTS || rec->len < sizeof s)
        torture_fail("%s of request %" PRIu64, ring_type_name(rec->type), rec->request);
    memcpy(&s, rec->data, sizeof s);
    if (rec->type == RING_SUBMIT) {
        if (w->is_active[rec->request])
            torture_fail("request %" PRIu64 " submitted twice on one link", rec->request);
        expect_fill(rec->data + sizeof s, rec->len - sizeof s, s.index);
        w->is_active[rec->request] = true;
        w->at[rec->request] = s.index;
    } else if (!w->is_active[rec->request] || s.credit < w->credit[rec->request]) {
        torture_fail("credit %" PRIu64 " for request %" PRIu64, s.credit, rec->request);
    }
    w->credit[rec->request] = s.credit;
}

static void run_worker(void *arg)
{
    struct worker state = {0};
    struct actor a = {.sends = W2R,
                      .chance = *(uint64_t *)arg,
                      .state = &state,
                      .next = worker_next,
                      .take = worker_take,
                      .linked = worker_linked};

    actor_run(&a);
}

/* ---- kill: the supervisor's side ---- */

/* The assassin is a timer, so that death comes at any moment of ours too. */
static volatile sig_atomic_t victim, stops_first;

static void strike(int signal)
{
    static const struct itimerval soon = {.it_value.tv_usec = 2000};

    (void)signal;
    if (victim == 0)
        return;
    kill((pid_t)victim, stops_first ? SIGSTOP : SIGKILL);
    if (stops_first)
        setitimer(ITIMER_REAL, &soon, NULL);
    stops_first = 0;
}

static void arm(pid_t pid, uint64_t *chance)
{
    struct itimerval at = {.it_value.tv_usec = (suseconds_t)(torture_random(chance) % 4000 + 1)};

    stops_first = torture_random(chance) % 10 == 0;
    victim = (sig_atomic_t)pid;
    setitimer(ITIMER_REAL, &at, NULL);
}

/* Wait until the control socket of one of the two ends; then the victim is no target any more. */
static struct child *await_death(struct child *a, struct child *b)
{
    struct pollfd fds[2] = {{a->sock, POLLRDHUP, 0}, {b->sock, POLLRDHUP, 0}};
    int rc;

    do
        rc = poll(fds, 2, 20000);
    while (rc < 0 && errno == EINTR);
    if (rc <= 0)
        torture_fail("the victim %d does not die", (int)victim);
    victim = 0;
    return fds[0].revents != 0 ? a : b;
}

/* Only after this may anybody say that the process is dead. */
static void reap(struct child *c)
{
    int status;

    close(c->sock);
    if (waitpid(c->pid, &status, 0) != c->pid || !WIFSIGNALED(status) ||
        WTERMSIG(status) != SIGKILL)
        torture_fail("process %d: wait status %#x, expected SIGKILL", (int)c->pid,
                     (unsigned)status);
    c->pid = 0;
}

static void stop(struct child *c)
{
    struct control_msg msg = {.type = CONTROL_STOP};

    if (control_send(c->sock, &msg, NULL, 0) != 0)
        torture_fail("process %d is gone", (int)c->pid);
    expect_clean_exit(c);
}

static void kill_storm(uint64_t deadline)
{
    static const uint32_t capacities[] = {8, 64, 4096};
    struct child router = {0}, worker = {0};
    uint64_t chance = 1ull << 40, epoch = 0, kills[2] = {0}, half_made = 0, tokens = 0;
    struct sigaction act = {.sa_handler = strike};

    sigaction(SIGALRM, &act, NULL);
    do {
        uint64_t seeds[2] = {torture_random(&chance), torture_random(&chance)};
        if (router.pid == 0)
            router = child_spawn(run_router, &seeds[0]);
        if (worker.pid == 0)
            worker = child_spawn(run_worker, &seeds[1]);
        epoch++;
        arm(torture_random(&chance) % 5 == 0 ? router.pid : worker.pid, &chance);
        half_made += !link_make(&router, &worker, epoch, capacities[epoch % 3]);
        struct child *dead = await_death(&router, &worker);
        struct child *survivor = dead == &router ? &worker : &router;
        kills[dead == &worker]++;
        reap(dead);
        struct control_msg down = {.type = CONTROL_LINK_DOWN, .epoch = epoch};
        if (control_send(survivor->sock, &down, NULL, 0) != 0)
            torture_fail("the survivor is gone too");
    } while (clock_now_ns() < deadline);

    for (int i = 0; i < REQUESTS; i++)
        tokens += atomic_load(&shared->journal[i]);
    if (worker.pid != 0)
        stop(&worker);
    if (router.pid != 0)
        stop(&router);
    printf("kill: %" PRIu64 " workers and %" PRIu64 " routers killed, %" PRIu64
           " links half made, %" PRIu64 " tokens exactly once\n",
           kills[1], kills[0], half_made, tokens);
    if (tokens == 0 || kills[1] < 5)
        torture_fail("nothing was tested");
}

/* ---- hostile ---- */

/* An entry that is right in all that is checked first, and random in the rest. */
static void push_crooked(struct ring *r, uint64_t *chance)
{
    uint64_t rnd = torture_random(chance);
    struct ring_entry e = {.request = rnd % 3,
                           .epoch = (uint32_t)r->epoch,
                           .seq = (uint32_t)r->tail,
                           .type = (uint8_t)(RING_ACCEPT + (rnd >> 8) % 6),
                           .flags = (uint8_t)((rnd >> 16) % 4),
                           .len = (uint16_t)((rnd >> 24) % 42)};

    e.crc = hash_crc32c(&e, offsetof(struct ring_entry, crc));
    memcpy((void *)(uintptr_t)r->own->entry[r->tail & r->own_mask].word, &e, sizeof e);
    r->tail++;
}

static void scribble(struct ring *r, uint64_t *chance)
{
    uint64_t rnd = torture_random(chance);
    uint64_t *words = (uint64_t *)(void *)r->own;

    switch (rnd % 64) {
    case 0:
        words[(rnd >> 8) % (r->own_size / 8)] = torture_random(chance);
        break;
    case 1:
        atomic_store(&r->own->tail, r->tail + (rnd >> 8) % 64 - 32);
        break;
    case 2:
        atomic_store(&r->own->head, (rnd >> 8) % 4 == 0 ? rnd : r->head + (rnd >> 8) % 64 - 32);
        break;
    case 3:
        atomic_store(&r->own->asleep, (uint32_t)(rnd >> 32));
        break;
    case 4:
        push_crooked(r, chance);
        break;
    default:
        ring_send_whole(r, RING_TOKEN, rnd % 3, "some text that does not fit into one single entry",
                        (rnd >> 8) % (r->own_mask == 0 ? 41 : 50));
    }
    ring_publish(r);
    struct ring_entry e; /* be busy as a consumer too */
    while (ring_pop(r, &e) == 1)
        ring_release(r);
}

/* Returns whether the reader found a violation in its time; every other answer it gave was right.
 */
static bool read_from_hostile(struct ring *r, uint64_t deadline)
{
    struct ring_assembler a = {.len_max = 100};
    struct ring_record rec;
    struct ring_entry e;
    int rc = 0;

    while (rc >= 0 && clock_now_ns() < deadline) {
        ring_send_whole(r, RING_CREDIT, 1, "abcd", 4);
        ring_publish(r);
        while ((rc = ring_pop(r, &e)) == 1 && (rc = ring_assemble(r, &a, &e, &rec)) >= 0)
            if (rc == 1 && (rec.len > a.len_max || ring_type_direction(rec.type) != W2R))
                torture_fail("a record of %zu bytes and type %d got through", rec.len,
                             (int)rec.type);
        ring_release(r);
        ring_sleep(r, RING_ASLEEP_DATA | RING_ASLEEP_SPACE);
        ring_awake(r);
    }
    if (rc < 0 && (rc != -EPROTO || r->violation[0] == '\0' || ring_pop(r, &e) != -EPROTO))
        torture_fail("refused with %d and \"%s\"", rc, r->violation);
    buf_free(&a.buf);
    return rc < 0;
}

/* Long enough for a scribbler that waits for a core; most are found out at once. */
#define SCRIBBLE_NS (300 * NS_PER_MS)

static void hostile(uint64_t deadline)
{
    static const uint32_t capacities[] = {1, 8, 64, 1024};
    uint64_t rounds = 0, violations = 0;

    for (; rounds < 20 || clock_now_ns() < deadline; rounds++) {
        struct link_pair p;
        uint64_t chance = (2ull << 40) + (rounds << 20);
        pair_open(&p, rounds + 1, capacities[rounds % 4]);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            signal(SIGPIPE, SIG_IGN); /* its wake-ups may go nowhere */
        }
        while (pid == 0)
            scribble(&p.worker, &chance);
        violations += read_from_hostile(&p.router, clock_now_ns() + SCRIBBLE_NS);
        int status;
        kill(pid, SIGKILL);
        if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            torture_fail("the scribbler: wait status %#x", (unsigned)status);
        pair_close(&p);
    }
    printf("hostile: %" PRIu64 " of %" PRIu64 " scribblers found out\n", violations, rounds);
    if (violations < rounds / 2)
        torture_fail("too few: the test does not test");
}

int main(int argc, char **argv)
{
    torture_start("ring_torture", 8, argc, argv);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    carry(torture_deadline(0.4));
    kill_storm(torture_deadline(0.4));
    hostile(torture_deadline(0.2));
    return 0;
}

/* Queue, placement, and the isolation of requests that kill workers.
 *
 * A worker's death by a fault of its own makes its requests suspects. Those that had made no
 * progress there are the prime ones (a prompt that crashes the prefill is the usual case); without
 * such, or when all are, they are halved. Each group is re-run alone on an idle worker (a trial)
 * until its members have ended, or moved on by TRIAL_TOKENS, or its time has passed. A suspect that
 * was part of an earlier fault and whose worker dies while it is alone is failed with
 * request_quarantined. Kills from outside accuse nobody: those requests simply go on elsewhere.
 */
#include "router/route/dispatch.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "router/router.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIAL_TOKENS      32
#define TRIAL_NS          (5 * NS_PER_S) /* doubled with every suspicion, at most this often: */
#define TRIAL_DOUBLINGS   8
#define LONELY_DEATHS_MAX 5 /* deaths of any kind, alone, without a token in between */

/* ---- the queue ---- */

static void wait_for_worker(struct request *r, enum request_state state, bool at_front)
{
    struct model *m = r->model;

    CHECK(!r->is_waiting && r->trial == NULL && r->link == NULL);
    r->is_waiting = true;
    if (at_front)
        TAILQ_INSERT_HEAD(&m->waiting, r, wait);
    else
        TAILQ_INSERT_TAIL(&m->waiting, r, wait);
    counter_set(&m->counters->model_queue_depth, ++m->n_waiting);
    deadline_arm(&r->router->queue_due, &r->queue_due, r, clock_now_ns());
    request_set_state(r, state);
}

static void stop_waiting(struct request *r)
{
    struct model *m = r->model;

    if (!r->is_waiting)
        return;
    r->is_waiting = false;
    TAILQ_REMOVE(&m->waiting, r, wait);
    counter_set(&m->counters->model_queue_depth, --m->n_waiting);
    deadline_disarm(&r->router->queue_due, &r->queue_due);
}

/* ---- placement ---- */

static bool has_seat(const struct link *l, const struct model *m)
{
    return l->model == m && link_is_usable(l) && l->trial == NULL && !l->is_reserved &&
           l->n_bound < l->seats;
}

/* The session's own worker (rendezvous hashing) while its load is bounded, else the least loaded. */
static struct link *choose_link(struct router *rt, struct model *m, uint64_t session)
{
    struct link *least = NULL, *own = NULL;
    uint64_t best_weight = 0;
    uint32_t n_links = 0, n_bound = 0;

    for (int i = 0; i < SHM_WORKERS_MAX; i++) {
        struct link *l = &rt->links[i];
        if (!has_seat(l, m))
            continue;
        n_links++;
        n_bound += l->n_bound;
        if (least == NULL || l->n_bound < least->n_bound)
            least = l;
        uint64_t weight = hash_mix(session, l->slot);
        if (session != 0 && (own == NULL || weight > best_weight)) {
            own = l;
            best_weight = weight;
        }
    }
    /* bounded load: at most a quarter above the mean, and one */
    if (own != NULL && own->n_bound * 4ull * n_links <= n_bound * 5ull + 4ull * n_links)
        return own;
    return least;
}

/* Seats that new work gets at once. */
static uint32_t count_free_seats(struct router *rt, const struct model *m)
{
    uint32_t n = 0;

    for (int i = 0; i < SHM_WORKERS_MAX && m->n_waiting == 0; i++)
        if (has_seat(&rt->links[i], m))
            n += rt->links[i].seats - rt->links[i].n_bound;
    return n;
}

int dispatch_admit(struct router *rt, struct model *m, uint32_t n, bool is_stream,
                   enum api_error *error, char *text, size_t size)
{
    uint64_t queue_depth = (uint64_t)rt->config.gateway.queue_depth;
    uint32_t n_free = count_free_seats(rt, m);
    struct model_record rec;

    if (n_free >= n)
        return 0;
    model_status(rt, m, &rec);
    if (n_free == 0 && rec.state == MODEL_FAILED) {
        *error = ERROR_MODEL_FAILED;
        snprintf(text, size, "model %s: %s", m->name, rec.reason);
        return -1;
    }
    if (!is_stream && !m->was_ready) {
        *error = ERROR_MODEL_LOADING;
        snprintf(text, size, "model %s is loading; a streamed request may wait for it", m->name);
        return -1;
    }
    if (m->n_waiting + (n - n_free) > queue_depth) {
        *error = ERROR_QUEUE_FULL;
        snprintf(text, size, "model %s: %" PRIu32 " requests are waiting already, %" PRIu32
                             " more would have to; at most %" PRIu64 " may", m->name, m->n_waiting,
                 n - n_free, queue_depth);
        return -1;
    }
    return 0;
}

void dispatch_start(struct request *r)
{
    struct router *rt = r->router;
    struct link *l = r->model->n_waiting == 0 ? choose_link(rt, r->model, r->session) : NULL;

    deadline_arm(&rt->life_due, &r->life_due, r, r->accepted_ns);
    if (l == NULL) {
        wait_for_worker(r, REQUEST_QUEUED, false);
        return;
    }
    link_bind(l, r);
}

void dispatch_send(struct request *r)
{
    if (r->is_sending)
        link_pump(r->link);
}

/* ---- trials ---- */

static struct trial *new_trial(struct model *m)
{
    struct trial *t = calloc(1, sizeof *t);

    CHECK(t != NULL);
    TAILQ_INIT(&t->members);
    TAILQ_INSERT_TAIL(&m->trials, t, entry);
    return t;
}

/* A worker is the trial's alone, or everybody's again (t = NULL). */
static void give_link(struct link *l, struct trial *t)
{
    l->trial = t;
    control_report_trial(l);
}

static void end_trial(struct model *m, struct trial *t)
{
    CHECK(t->n == 0);
    if (t->link != NULL)
        give_link(t->link, NULL);
    TAILQ_REMOVE(&m->trials, t, entry);
    free(t);
}

static void join_trial(struct trial *t, struct request *r)
{
    CHECK(!r->is_waiting && r->trial == NULL);
    r->trial = t;
    TAILQ_INSERT_TAIL(&t->members, r, wait);
    t->n++;
    if (r->link != NULL)
        return;
    deadline_arm(&r->router->queue_due, &r->queue_due, r, clock_now_ns());
    request_set_state(r, REQUEST_RETRY);
}

/* Leave; the last one ends the trial. A member that was not started yet must go somewhere: the
 * caller sees to it. */
static void leave_trial(struct request *r)
{
    struct trial *t = r->trial;

    if (t == NULL)
        return;
    r->trial = NULL;
    TAILQ_REMOVE(&t->members, r, wait);
    if (--t->n == 0)
        end_trial(r->model, t);
}

/* Members beyond the worker's seats wait inside the trial. */
static void fill_trial(struct trial *t)
{
    struct request *r;

    TAILQ_FOREACH (r, &t->members, wait)
        if (r->link == NULL && link_is_usable(t->link) && t->link->n_bound < t->link->seats)
            link_bind(t->link, r);
    link_pump(t->link);
}

/* A worker with nothing on it; without one the least loaded is kept free of new work. */
static struct link *idle_link(struct router *rt, struct model *m)
{
    struct link *least = NULL;
    bool has_reserved = false;

    for (int i = 0; i < SHM_WORKERS_MAX; i++) {
        struct link *l = &rt->links[i];
        if (l->model != m || !link_is_usable(l) || l->trial != NULL)
            continue;
        if (l->n_bound == 0)
            return l;
        has_reserved |= l->is_reserved;
        if (least == NULL || l->n_bound < least->n_bound)
            least = l;
    }
    if (least != NULL && !has_reserved)
        least->is_reserved = true;
    return NULL;
}

static void start_trials(struct router *rt, struct model *m)
{
    struct trial *t;

    TAILQ_FOREACH (t, &m->trials, entry) {
        if (t->link == NULL) {
            struct link *l = idle_link(rt, m);
            if (l == NULL)
                return;
            l->is_reserved = false;
            give_link(l, t);
            t->link = l;
            t->started_ns = clock_now_ns();
            log_info(LOG_REQUEST, "%s worker %" PRIu32 ": %" PRIu32 " suspects run alone", m->name,
                     l->slot, t->n);
        }
        fill_trial(t);
    }
    for (int i = 0; i < SHM_WORKERS_MAX; i++)
        if (rt->links[i].model == m)
            rt->links[i].is_reserved = false;
}

void dispatch_pump(struct router *rt, struct model *m)
{
    struct link *touched[SHM_WORKERS_MAX];
    size_t n_touched = 0;

    start_trials(rt, m);
    while (m->n_waiting > 0) {
        struct request *r = TAILQ_FIRST(&m->waiting);
        struct link *l = choose_link(rt, m, r->session);
        size_t i = 0;

        if (l == NULL)
            break;
        stop_waiting(r);
        link_bind(l, r);
        while (i < n_touched && touched[i] != l)
            i++;
        if (i == n_touched)
            touched[n_touched++] = l;
    }
    for (size_t i = 0; i < n_touched; i++)
        link_pump(touched[i]);
}

/* ---- after a death ---- */

static bool accuses(enum exit_class class)
{
    return class == EXIT_CLASS_FAULT || class == EXIT_CLASS_HUNG || class == EXIT_CLASS_VIOLATION;
}

/* Bookkeeping of one death for one request. True = it has killed enough. */
static bool note_death(struct request *r, bool is_accused, bool was_alone)
{
    if (r->n_tokens > r->tokens_at_death)
        r->lonely_deaths = 0;
    r->tokens_at_death = r->n_tokens;
    r->orphaned_ns = clock_now_ns();
    if (was_alone)
        r->lonely_deaths++;
    if (is_accused)
        r->suspicions++;
    return was_alone && (r->lonely_deaths >= LONELY_DEATHS_MAX || (is_accused && r->suspicions >= 2));
}

static void quarantine(struct request *r)
{
    char text[160];

    snprintf(text, sizeof text,
             "this request ended %" PRIu32 " workers in a row; it is not tried again",
             r->suspicions > r->lonely_deaths ? r->suspicions : r->lonely_deaths);
    counter_add(&r->router->counters->quarantined_requests, 1);
    log_event(LOG_REQUEST, LOG_WARNING, r->id, "quarantined: %s", text);
    request_fail(r, ERROR_QUARANTINED, text);
}

/* Put suspects into trials: prime ones in one, else halves. The rest simply goes on. */
static void try_suspects(struct model *m, struct request_list *suspects, uint32_t n, uint32_t n_prime)
{
    bool by_progress = n_prime > 0 && n_prime < n;
    struct trial *first = new_trial(m);
    struct trial *second = by_progress || n == 1 ? NULL : new_trial(m);
    struct request_list rest = TAILQ_HEAD_INITIALIZER(rest);
    struct request *r;

    for (uint32_t i = 0; (r = TAILQ_FIRST(suspects)) != NULL; i++) {
        TAILQ_REMOVE(suspects, r, bound);
        bool is_prime = r->n_tokens == r->tokens_at_bind;
        if (by_progress && !is_prime)
            TAILQ_INSERT_TAIL(&rest, r, bound);
        else
            join_trial(second != NULL && i >= n / 2 ? second : first, r);
    }
    while ((r = TAILQ_LAST(&rest, request_list)) != NULL) {
        TAILQ_REMOVE(&rest, r, bound);
        wait_for_worker(r, REQUEST_RETRY, true);
    }
}

/* The worker under the trial died: its members are orphans like any; those that had not been
 * started keep their trial. */
static void dissolve_trial(struct trial *t, struct model *m)
{
    struct request *r, *next;

    if (t == NULL)
        return;
    t->link = NULL;
    for (r = TAILQ_FIRST(&t->members); r != NULL; r = next) {
        next = TAILQ_NEXT(r, wait);
        if (r->state == REQUEST_RETRY)
            continue;
        r->trial = NULL;
        TAILQ_REMOVE(&t->members, r, wait);
        t->n--;
    }
    if (t->n == 0)
        end_trial(m, t);
}

void dispatch_orphans(struct model *m, struct request_list *orphans, struct trial *trial,
                      enum exit_class class)
{
    struct request *r, *next;
    uint32_t n = 0, n_prime = 0;

    dissolve_trial(trial, m);
    TAILQ_FOREACH (r, orphans, bound)
        n++;
    bool was_alone = n == 1;
    for (r = TAILQ_FIRST(orphans); r != NULL; r = next) {
        next = TAILQ_NEXT(r, bound);
        if (note_death(r, accuses(class), was_alone)) {
            TAILQ_REMOVE(orphans, r, bound);
            n--;
            quarantine(r);
        } else if (r->n_tokens == r->tokens_at_bind) {
            n_prime++;
        }
    }
    if (n == 0)
        return;
    if (accuses(class)) {
        try_suspects(m, orphans, n, n_prime);
        return;
    }
    while ((r = TAILQ_LAST(orphans, request_list)) != NULL) { /* in front, in their order */
        TAILQ_REMOVE(orphans, r, bound);
        wait_for_worker(r, REQUEST_RETRY, true);
    }
}

/* ---- progress and end ---- */

void dispatch_progress(struct request *r)
{
    if (r->suspicions == 0 && r->trial == NULL)
        return;
    if (r->n_tokens - r->tokens_at_death < TRIAL_TOKENS)
        return;
    r->suspicions = 0;
    leave_trial(r);
}

void dispatch_forget(struct request *r)
{
    stop_waiting(r);
    leave_trial(r);
}

static uint64_t trial_ns(const struct trial *t)
{
    const struct request *r;
    uint32_t doublings = 0;

    TAILQ_FOREACH (r, &t->members, wait)
        if (r->suspicions > doublings)
            doublings = r->suspicions;
    return TRIAL_NS << (doublings < TRIAL_DOUBLINGS ? doublings : TRIAL_DOUBLINGS);
}

/* Long enough without a death: whoever it is, it is not one of these. */
static void acquit_trial(struct model *m, struct trial *t)
{
    struct request *r;

    log_info(LOG_REQUEST, "%s: %" PRIu32 " suspects acquitted by time", m->name, t->n);
    give_link(t->link, NULL);
    t->link = NULL;
    while ((r = TAILQ_FIRST(&t->members)) != NULL) {
        r->trial = NULL;
        TAILQ_REMOVE(&t->members, r, wait);
        t->n--;
        if (r->link == NULL)
            wait_for_worker(r, REQUEST_RETRY, true);
    }
    end_trial(m, t);
}

/* One that has no worker yet. */
static struct trial *find_idle_trial(const struct model *m)
{
    struct trial *t;

    TAILQ_FOREACH (t, &m->trials, entry)
        if (t->link == NULL)
            return t;
    return NULL;
}

/* The owner of a request that fails may cancel others of the same model, so nothing is held over
 * a call: each looks at what is first now. */
void dispatch_abandon(struct model *m, enum api_error error, const char *text)
{
    struct request *r;
    struct trial *t;

    while ((t = find_idle_trial(m)) != NULL)
        request_fail(TAILQ_FIRST(&t->members), error, text);
    while ((r = TAILQ_FIRST(&m->waiting)) != NULL)
        request_fail(r, error, text);
}

/* Nobody will come: those who wait get the model's own sentence. */
static void fail_waiting(struct router *rt, struct model *m)
{
    struct model_record rec;
    char text[400];

    if ((m->n_waiting == 0 && TAILQ_EMPTY(&m->trials)) || model_links(rt, m) > 0)
        return;
    if (!m->is_configured) {
        snprintf(text, sizeof text, "model %s was removed from this node", m->name);
        dispatch_abandon(m, ERROR_MODEL_NOT_FOUND, text);
        return;
    }
    model_status(rt, m, &rec);
    if (rec.state != MODEL_FAILED || rec.retry_ns != 0)
        return;
    snprintf(text, sizeof text, "model %s: %s", m->name, rec.reason);
    dispatch_abandon(m, ERROR_MODEL_FAILED, text);
}

/* A worker that takes no new work takes no more of its trial either. */
void dispatch_drain(struct link *l)
{
    struct request *r, *next;

    if (l->trial == NULL)
        return;
    for (r = TAILQ_FIRST(&l->trial->members); r != NULL; r = next) {
        struct trial *t = r->trial;
        bool is_last = t->n == 1;
        next = TAILQ_NEXT(r, wait);
        if (r->link != NULL)
            continue;
        leave_trial(r);
        wait_for_worker(r, REQUEST_RETRY, true);
        if (is_last)
            return;
    }
}

void dispatch_sweep(struct router *rt, uint64_t now_ns)
{
    for (int i = 0; i < SHM_MODELS_MAX; i++) {
        struct model *m = &rt->models[i];
        struct trial *t, *next;

        if (m->counters == NULL)
            continue;
        for (t = TAILQ_FIRST(&m->trials); t != NULL; t = next) {
            next = TAILQ_NEXT(t, entry);
            if (t->link != NULL && now_ns - t->started_ns > trial_ns(t))
                acquit_trial(m, t);
        }
        fail_waiting(rt, m);
        dispatch_pump(rt, m);
    }
}

#include "router/route/link.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "router/router.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_AT_ONCE 2048 /* then the other events have their turn */

static void on_events(evutil_socket_t fd, short what, void *arg);

void link_init(struct router *rt, struct link *l, uint32_t slot)
{
    *l = (struct link){.router = rt, .slot = slot};
    l->ring.wake_fd = l->ring.wake_peer_fd = -1;
    TAILQ_INIT(&l->requests);
    TAILQ_INIT(&l->sending);
}

bool link_is_usable(const struct link *l)
{
    return l->state == LINK_UP && !l->is_draining && !l->is_canary;
}

void link_close(struct link *l)
{
    if (l->readable != NULL)
        event_free(l->readable);
    ring_unmap(&l->ring);
    buf_free(&l->assembler.buf);
    link_init(l->router, l, l->slot);
}

/* The supervisor must hear of it, or the worker is never ended: link_sweep tries again. */
static void report_violation(struct link *l)
{
    if (control_report_violation(l, l->violation) == 0)
        l->violation[0] = '\0';
}

/* The worker broke the protocol: nothing more is read from it. Its requests move when the
 * supervisor has reaped it. */
static void break_link(struct link *l, const char *text)
{
    struct router *rt = l->router;

    l->state = LINK_BROKEN;
    event_del(l->readable);
    counter_add(&rt->counters->worker_violations, 1);
    counter_sub(&rt->counters->links_up, 1);
    log_warning(LOG_LINK, "%s worker %" PRIu32 ": protocol violation: %s", l->model->name, l->slot,
                text);
    snprintf(l->violation, sizeof l->violation, "%s", text);
    report_violation(l);
}

/* ---- coming and going ---- */

void link_map(struct router *rt, const struct control_msg *msg, const int *fds)
{
    struct err e;

    if (msg->slot >= SHM_WORKERS_MAX || msg->model >= SHM_MODELS_MAX || fds[0] < 0) {
        log_error(LOG_LINK, "link-write: slot %" PRIu32 ", model %" PRIu32 ": out of range",
                  msg->slot, msg->model);
        return;
    }
    struct link *l = &rt->links[msg->slot];
    if (l->state != LINK_NONE) {
        log_error(LOG_LINK, "worker %" PRIu32 ": a second link (epoch %" PRIu64
                            ") while epoch %" PRIu64 " stands", msg->slot, msg->epoch, l->epoch);
        return;
    }
    if (ring_map_own(&l->ring, fds[0], R2W, msg->epoch, &e) != 0) {
        log_error(LOG_LINK, "worker %" PRIu32 ": %s", msg->slot, e.text);
        return;
    }
    if (rt->models[msg->model].name[0] == '\0')
        models_refresh(rt);
    l->state = LINK_MAPPED;
    l->epoch = msg->epoch;
    l->model = &rt->models[msg->model];
    struct control_msg reply = {.type = CONTROL_LINK_MAPPED, .slot = msg->slot,
                                .epoch = msg->epoch};
    int rc = control_send(CHILD_FD_CONTROL, &reply, NULL, 0);
    if (rc != 0)
        log_error(LOG_LINK, "worker %" PRIu32 ": cannot answer link-write: %s", msg->slot,
                  strerror(-rc));
}

static struct link *find_link(struct router *rt, const struct control_msg *msg)
{
    for (int i = 0; i < SHM_WORKERS_MAX; i++)
        if (rt->links[i].state != LINK_NONE && rt->links[i].epoch == msg->epoch)
            return &rt->links[i];
    return NULL;
}

static void canary_done(void *owner, const struct done_head *d, const struct part *parts)
{
    struct request *r = owner;

    (void)d;
    (void)parts;
    request_release(r);
}

static void canary_token(void *owner, const struct token_head *t, const struct part *parts,
                         const struct top *tops)
{
    (void)owner;
    (void)t;
    (void)parts;
    (void)tops;
}

static void canary_accepted(void *owner)
{
    (void)owner;
}

static void canary_failed(void *owner, enum api_error error, const char *text)
{
    (void)owner;
    (void)error;
    log_warning(LOG_LINK, "canary refused: %s", text);
}

static const struct request_ops canary_ops = {canary_accepted, canary_token, canary_done,
                                              canary_failed};

/* A half-open circuit: one small request before real work. */
static void send_canary(struct link *l)
{
    struct request *r = request_new(l->router, l->model, &canary_ops, NULL);

    if (r == NULL) /* no slot is free: the next sweep tries again */
        return;
    r->owner = r;
    r->is_canary = true;
    snprintf(r->name, sizeof r->name, "canary-%" PRIu32, l->slot);
    r->canonical = canonical_new();
    if (l->has_text) {
        r->kind = PROMPT_COMPLETION;
        buf_add_str(&r->canonical->json, "{\"kind\":\"completion\",\"prompt\":\"canary\","
                                         "\"max_tokens\":1,\"stop\":[],\"sampling\":{}}");
    } else {
        r->kind = PROMPT_EMBED;
        buf_add_str(&r->canonical->json, "{\"kind\":\"embed\",\"prompt\":\"canary\"}");
    }
    deadline_arm(&l->router->life_due, &r->life_due, r, r->accepted_ns);
    link_bind(l, r);
    link_pump(l);
}

void link_start(struct router *rt, const struct control_msg *msg, const int *fds)
{
    struct link *l = find_link(rt, msg);
    struct err e = {0};

    if (l == NULL || l->state != LINK_MAPPED || fds[0] < 0 || fds[1] < 0 || fds[2] < 0) {
        log_error(LOG_LINK, "link-read for epoch %" PRIu64 ": no such link is waiting", msg->epoch);
        return;
    }
    l->ring.wake_fd = dup(fds[1]);
    l->ring.wake_peer_fd = dup(fds[2]);
    if (l->ring.wake_fd < 0 || l->ring.wake_peer_fd < 0)
        err_set(&e, errno, "dup: %s", strerror(errno));
    if (e.code != 0 || ring_map_peer(&l->ring, fds[0], &e) != 0) {
        log_error(LOG_LINK, "worker %" PRIu32 ": %s", l->slot, e.text);
        snprintf(l->violation, sizeof l->violation, "its ring could not be mapped");
        report_violation(l);
        return;
    }
    l->state = LINK_UP;
    l->assembler.len_max = W2R_RECORD_MAX;
    l->seats = msg->seats;
    l->vocab = msg->vocab;
    l->context = msg->context;
    l->has_text = msg->has_text != 0;
    l->is_canary = msg->is_canary != 0;
    l->model->was_ready = true;
    l->readable = event_new(rt->base, l->ring.wake_fd, EV_READ | EV_PERSIST, on_events, l);
    CHECK(l->readable != NULL);
    event_add(l->readable, NULL);
    counter_add(&rt->counters->links_up, 1);
    log_info(LOG_LINK, "%s worker %" PRIu32 ": link up, epoch %" PRIu64 ", %" PRIu32 " seats%s",
             l->model->name, l->slot, l->epoch, l->seats, l->is_canary ? ", canary first" : "");
    if (l->is_canary)
        send_canary(l);
    event_active(l->readable, EV_READ, 0); /* puts the ring to sleep */
    dispatch_pump(rt, l->model);
}

void link_down(struct router *rt, const struct control_msg *msg)
{
    struct link *l = find_link(rt, msg);
    struct request_list orphans = TAILQ_HEAD_INITIALIZER(orphans);
    struct request *r;

    if (l == NULL)
        return;
    struct model *m = l->model;
    struct trial *trial = l->trial;
    if (l->state == LINK_UP)
        counter_sub(&rt->counters->links_up, 1);
    log_info(LOG_LINK, "%s worker %" PRIu32 ": link down (%s), %" PRIu32 " requests move", m->name,
             l->slot, exit_class_name(msg->exit_class), l->n_bound);
    l->is_draining = false; /* no DRAINED for a dead one */
    l->state = LINK_NONE;
    while ((r = TAILQ_FIRST(&l->requests)) != NULL) {
        request_unbind(r);
        if (r->ops == NULL || r->is_canary)
            request_free(r);
        else
            TAILQ_INSERT_TAIL(&orphans, r, bound);
    }
    link_close(l);
    dispatch_orphans(m, &orphans, trial, (enum exit_class)msg->exit_class);
    dispatch_pump(rt, m);
}

void link_drain(struct router *rt, const struct control_msg *msg)
{
    struct link *l = find_link(rt, msg);

    if (l == NULL)
        return;
    l->is_draining = true;
    dispatch_drain(l);
    link_unbound(l);
}

void link_unbound(struct link *l)
{
    if (l->is_draining && l->n_bound == 0)
        control_report_link_drained(l);
}

/* ---- to the worker ---- */

void link_queue(struct link *l, struct request *r)
{
    if (r->is_sending)
        return;
    r->is_sending = true;
    TAILQ_INSERT_TAIL(&l->sending, r, sending);
}

void link_bind(struct link *l, struct request *r)
{
    CHECK(r->link == NULL && l->state == LINK_UP);
    struct submit_head head = {
        .seed = r->seed,
        .n_resume = r->n_tokens,
        .credit = r->n_taken + r->window,
        .json_len = (uint32_t)r->canonical->json.len,
        .flags = r->is_canary ? SUBMIT_CANARY : 0,
    };

    deadline_disarm(&l->router->queue_due, &r->queue_due);
    r->link = l;
    r->credit = head.credit;
    r->tokens_at_bind = r->n_tokens;
    r->attempts++;
    if (r->attempts > 1)
        counter_add(&r->model->counters->requests_resumed, 1);
    if (r->submitted_ns == 0) {
        r->submitted_ns = clock_now_ns();
        histogram_add(&r->model->histograms->queue_wait_seconds, r->submitted_ns - r->accepted_ns);
    }
    TAILQ_INSERT_TAIL(&l->requests, r, bound);
    l->n_bound++;
    r->model->n_in_flight++;
    counter_set(&r->model->counters->model_in_flight, r->model->n_in_flight);

    buf_add(&r->submit, &head, sizeof head);
    buf_add(&r->submit, r->tokens, r->n_tokens * sizeof *r->tokens);
    r->submit_done = 0;
    r->wants_submit = true;
    request_set_state(r, REQUEST_SUBMITTED);
    link_queue(l, r);
}

/* Send what r wants. False = the ring is full. */
static bool send_wanted(struct link *l, struct request *r)
{
    if (r->wants_submit) {
        const struct iovec part[] = {{r->submit.data, r->submit.len},
                                     {r->canonical->json.data, r->canonical->json.len}};
        if (ring_send_parts(&l->ring, RING_SUBMIT, r->id, part, 2, &r->submit_done) == 0)
            return false;
        r->wants_submit = false;
        buf_free(&r->submit);
    }
    if (r->wants_credit) {
        struct credit_body body = {r->credit};
        if (ring_send_whole(&l->ring, RING_CREDIT, r->id, &body, sizeof body) != 0)
            return false;
        r->wants_credit = false;
    }
    if (r->wants_cancel) {
        if (ring_send_whole(&l->ring, RING_CANCEL, r->id, NULL, 0) != 0)
            return false;
        r->wants_cancel = false;
    }
    return true;
}

void link_pump(struct link *l)
{
    struct request *r;

    if (l->state != LINK_UP)
        return;
    while ((r = TAILQ_FIRST(&l->sending)) != NULL) {
        if (!send_wanted(l, r)) {
            counter_add(&l->router->counters->ring_stalls, 1);
            break;
        }
        TAILQ_REMOVE(&l->sending, r, sending);
        r->is_sending = false;
    }
    ring_publish(&l->ring);
    if (r != NULL && ring_sleep(&l->ring, RING_ASLEEP_DATA | RING_ASLEEP_SPACE) == 0)
        event_active(l->readable, EV_READ, 0);
}

/* ---- from the worker ---- */

static const char *take_accept(const struct link *l, struct request *r,
                               const struct ring_record *rec)
{
    struct accept_body body;
    const char *why = record_read_accept(rec, &body);

    if (why != NULL)
        return why;
    if ((body.prompt_tokens > l->context && r->kind != PROMPT_COUNT) ||
        body.cached_tokens > body.prompt_tokens)
        return "counts out of range";
    if (r->state == REQUEST_CANCELLING)
        return NULL;
    if (r->state != REQUEST_SUBMITTED)
        return "the request was accepted already";
    if (r->prompt_tokens == 0) {
        r->prompt_tokens = body.prompt_tokens;
        r->cached_tokens = body.cached_tokens;
        r->is_unconstrained = (body.flags & ACCEPT_UNCONSTRAINED) != 0;
        if (r->kind != PROMPT_COUNT) {
            counter_add(&r->model->counters->prompt_tokens, body.prompt_tokens);
            counter_add(&r->model->counters->cached_prompt_tokens, body.cached_tokens);
        }
    }
    request_set_state(r, REQUEST_RUNNING);
    r->ops->accepted(r->owner);
    return NULL;
}

/* A token must be the next one of a request that runs, and what that asked for. */
static const char *check_token(const struct link *l, const struct request *r,
                               const struct token_head *t, const struct top *tops)
{
    bool is_echoed = r->has_echo && t->index < r->prompt_tokens;
    uint32_t index_max = r->kind <= PROMPT_COMPLETION ? l->context : ANSWER_TOKENS_MAX;

    if (r->state != REQUEST_RUNNING)
        return "before accept";
    if (t->index != r->n_tokens)
        return "not the next index";
    if (t->index >= r->credit)
        return "beyond the credit";
    if (t->index >= index_max)
        return "beyond the context";
    if (((t->flags & TOKEN_PROMPT) != 0) != is_echoed)
        return is_echoed ? "a token of the prompt is missing" : "not a token of the prompt";
    if (t->n_tops > r->tops_max || (r->tops_max > 0 && t->n_tops == 0))
        return "more tops than asked for, or none";
    for (int i = 1; i < t->n_tops; i++)
        if (tops[i].token >= l->vocab)
            return "a top is not in the vocabulary";
    return NULL;
}

/* Arguments follow a call's name or more of them, nothing else. */
static const char *take_channels(struct request *r, const struct part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (parts[i].channel == CHANNEL_ARGUMENTS && r->channel != CHANNEL_CALL &&
            r->channel != CHANNEL_ARGUMENTS)
            return "arguments without a call";
        r->channel = parts[i].channel;
    }
    return NULL;
}

static const char *take_token(struct link *l, struct request *r, const struct ring_record *rec,
                              uint64_t now_ns)
{
    struct token_head head;
    struct part parts[PARTS_MAX];
    struct top tops[TOPS_MAX];
    const char *why = record_read_token(rec, &head, parts, tops);

    if (why != NULL)
        return why;
    if (head.token >= l->vocab)
        return "not in the vocabulary";
    if (r->state == REQUEST_CANCELLING)
        return NULL; /* it has not seen the cancel yet */
    why = check_token(l, r, &head, tops);
    if (why == NULL)
        why = take_channels(r, parts, head.n_parts);
    if (why == NULL)
        request_journal(r, &head, parts, tops, now_ns);
    return why;
}

/* A request finished here: the worker is worth its work. */
static void prove(struct link *l, const struct request *r)
{
    if (r->is_canary)
        l->is_canary = false;
    else if (l->is_proved)
        return;
    l->is_proved = true;
    control_report_proved(l);
}

static const char *take_done(struct link *l, struct request *r, const struct ring_record *rec)
{
    struct done_head head;
    struct part parts[PARTS_MAX];
    const char *why = record_read_done(rec, &head, parts);

    if (why != NULL)
        return why;
    if (r->state == REQUEST_CANCELLING) {
        request_unbind(r);
        request_free(r);
        return NULL;
    }
    if (r->state != REQUEST_RUNNING)
        return "before accept";
    if (head.index != r->n_tokens || (r->has_echo && head.index < r->prompt_tokens))
        return "tokens are missing";
    why = take_channels(r, parts, head.n_parts);
    if (why != NULL)
        return why;
    prove(l, r);
    request_unbind(r);
    dispatch_forget(r);
    r->ops->done(r->owner, &head, parts);
    return NULL;
}

static enum api_error error_of_fail(uint32_t code)
{
    switch ((enum fail_code)code) {
    case FAIL_INVALID_REQUEST:
        return ERROR_INVALID_BODY;
    case FAIL_CONTEXT_LENGTH:
        return ERROR_CONTEXT_LENGTH;
    case FAIL_UNSUPPORTED:
        return ERROR_UNSUPPORTED_PARAMETER;
    case FAIL_MEMORY:
        return ERROR_PROMPT_MEMORY;
    case FAIL_EMPTY:
        return ERROR_EMPTY_ANSWER;
    case FAIL_INTERNAL:
    case FAIL_CODES_N:
        break;
    }
    return ERROR_INTERNAL;
}

static const char *take_fail(struct request *r, const struct ring_record *rec)
{
    struct fail_head head;
    char text[FAIL_TEXT_MAX + 1];
    const char *why = record_read_fail(rec, &head, text);

    if (why != NULL)
        return why;
    request_unbind(r);
    if (r->state == REQUEST_CANCELLING)
        request_free(r);
    else
        request_fail(r, error_of_fail(head.code), text);
    return NULL;
}

static const char *take_cancelled(struct request *r, const struct ring_record *rec)
{
    if (rec->len != 0)
        return "wrong length";
    if (r->state != REQUEST_CANCELLING || r->wants_cancel)
        return "nobody asked";
    request_unbind(r);
    request_free(r);
    return NULL;
}

/* One record; NULL, or the violation. */
static const char *take_record(struct link *l, const struct ring_record *rec, uint64_t now_ns)
{
    struct request *r = request_find(l->router, rec->request);

    if (r == NULL || r->link != l)
        return "it speaks of a request that is not bound to it";
    switch (rec->type) {
    case RING_ACCEPT:
        return take_accept(l, r, rec);
    case RING_TOKEN:
        return take_token(l, r, rec, now_ns);
    case RING_DONE:
        return take_done(l, r, rec);
    case RING_FAIL:
        return take_fail(r, rec);
    case RING_CANCELLED:
        return take_cancelled(r, rec);
    case RING_NONE:
    case RING_SUBMIT:
    case RING_CREDIT:
    case RING_CANCEL:
    case RING_TYPES_N:
        break;
    }
    return "a record of this type does not come from a worker";
}

static int take_entries(struct link *l)
{
    uint64_t now_ns = clock_now_ns();
    int n = 0;

    while (n < ENTRIES_AT_ONCE) {
        struct ring_entry entry;
        struct ring_record rec;
        int rc = ring_pop(&l->ring, &entry);

        if (rc == 0)
            break;
        n++;
        if (rc == 1)
            rc = ring_assemble(&l->ring, &l->assembler, &entry, &rec);
        const char *why = rc < 0 ? l->ring.violation : rc == 1 ? take_record(l, &rec, now_ns) : NULL;
        if (why != NULL) {
            char text[256];
            snprintf(text, sizeof text, "%s%s%s", rc == 1 ? ring_type_name(entry.type) : "",
                     rc == 1 ? " record: " : "", why);
            break_link(l, text);
            return n;
        }
    }
    counter_add(&l->router->counters->ring_events, (uint64_t)n);
    return n;
}

static void on_events(evutil_socket_t fd, short what, void *arg)
{
    struct link *l = arg;
    struct router *rt = l->router;
    struct model *m = l->model;
    uint32_t bound = l->n_bound;

    (void)fd;
    (void)what;
    ring_awake(&l->ring);
    l->is_taking = true;
    int n = take_entries(l);
    l->is_taking = false;
    if (l->state == LINK_UP) {
        ring_release(&l->ring);
        link_pump(l);
    }
    if (l->n_bound < bound)
        dispatch_pump(rt, m);
    http_server_flush(&rt->client);
    if (l->state != LINK_UP)
        return;
    uint32_t bits = RING_ASLEEP_DATA | (TAILQ_EMPTY(&l->sending) ? 0 : RING_ASLEEP_SPACE);
    if (n == ENTRIES_AT_ONCE || ring_sleep(&l->ring, bits) == 0)
        event_active(l->readable, EV_READ, 0);
}

void link_sweep(struct link *l)
{
    if (l->violation[0] != '\0')
        report_violation(l);
    if (l->state != LINK_UP)
        return;
    if (l->is_canary && l->n_bound == 0)
        send_canary(l);
    /* acquire: as ring_pop */
    uint64_t tail = atomic_load_explicit(&l->ring.peer->tail, memory_order_acquire);
    if (tail == l->ring.head) {
        l->is_swept = false;
        return;
    }
    if (l->is_swept && l->swept_head == l->ring.head) {
        counter_add(&l->router->counters->ring_rescues, 1);
        log_error(LOG_LINK, "%s worker %" PRIu32 ": events waited unannounced", l->model->name,
                  l->slot);
        event_active(l->readable, EV_READ, 0);
    }
    l->is_swept = true;
    l->swept_head = l->ring.head;
}

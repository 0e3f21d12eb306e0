#include "router/route/request.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "router/router.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 14
static_assert((1u << SLOT_BITS) == SHM_REQUESTS_MAX, "a request id holds its slot");

/* Records of running requests are refreshed once a second: a share of the table each tick. */
#define SWEEP_SHARE (1000 / TICK_MS)

void request_pool_init(struct router *rt, uint32_t n_slots)
{
    struct request_pool *p = &rt->requests;
    struct request_record none = {0};

    CHECK(n_slots <= SHM_REQUESTS_MAX);
    p->slot = calloc(n_slots, sizeof *p->slot);
    p->free = calloc(n_slots, sizeof *p->free);
    CHECK(p->slot != NULL && p->free != NULL);
    p->n_slots = p->n_free = n_slots;
    for (uint32_t i = 0; i < n_slots; i++)
        p->free[i] = n_slots - 1 - i;
    /* Ids of different router incarnations never meet: the epoch's low bits are their high bits. */
    p->serial = (rt->epoch & 0xffff) << 34;
    /* What an earlier router left behind is gone with its connections. */
    for (uint32_t i = 0; i < SHM_REQUESTS_MAX; i++) {
        struct request_record old;
        if (seqlock_copy(&rt->node->request[i], &old) != 0 || old.id != 0)
            seqlock_publish(&rt->node->request[i], &none);
    }
}

void request_pool_free(struct router *rt)
{
    free(rt->requests.slot);
    free(rt->requests.free);
    rt->requests = (struct request_pool){0};
}

struct canonical *canonical_new(void)
{
    struct canonical *c = calloc(1, sizeof *c);

    CHECK(c != NULL);
    return canonical_share(c);
}

struct canonical *canonical_share(struct canonical *c)
{
    c->n_users++;
    return c;
}

void canonical_drop(struct canonical **c)
{
    if (*c != NULL && --(*c)->n_users == 0) {
        buf_free(&(*c)->json);
        free(*c);
    }
    *c = NULL;
}

struct request *request_new(struct router *rt, struct model *m, const struct request_ops *ops,
                            void *owner)
{
    struct request_pool *p = &rt->requests;

    if (p->n_free == 0)
        return NULL;
    struct request *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->slot = p->free[--p->n_free];
    r->id = (++p->serial << SLOT_BITS) | r->slot;
    r->router = rt;
    r->model = m;
    r->ops = ops;
    r->owner = owner;
    r->state = REQUEST_QUEUED;
    r->window = CREDIT_TOKENS;
    r->accepted_ns = clock_now_ns();
    p->slot[r->slot] = r;
    counter_set(&rt->counters->requests_open, request_pool_open(p));
    return r;
}

struct request *request_find(struct router *rt, uint64_t id)
{
    uint32_t slot = (uint32_t)(id & (SHM_REQUESTS_MAX - 1));

    if (slot >= rt->requests.n_slots)
        return NULL;
    struct request *r = rt->requests.slot[slot];
    return r != NULL && r->id == id ? r : NULL;
}

static bool makes_tokens(const struct request *r)
{
    return r->kind <= PROMPT_COMPLETION;
}

uint32_t request_generated(const struct request *r)
{
    uint32_t n_echo = r->has_echo ? r->prompt_tokens : 0;

    return makes_tokens(r) && r->n_tokens > n_echo ? r->n_tokens - n_echo : 0;
}

void request_publish(struct request *r)
{
    struct request_record rec = {
        .id = r->id,
        .session = r->session,
        .dialect = r->dialect,
        .state = r->state,
        .model = r->model->index,
        .worker = r->link != NULL ? (int32_t)r->link->slot : -1,
        .attempts = r->attempts,
        .prompt_tokens = r->prompt_tokens,
        .cached_tokens = r->cached_tokens,
        .generated_tokens = request_generated(r),
        .is_stream = r->is_stream,
        .accepted_ns = r->accepted_ns,
        .submitted_ns = r->submitted_ns,
        .first_token_ns = r->first_token_ns,
        .last_token_ns = r->last_token_ns,
    };

    memcpy(rec.name, r->name, sizeof rec.name);
    seqlock_publish(&r->router->node->request[r->slot], &rec);
    r->is_changed = false;
}

void request_set_state(struct request *r, enum request_state state)
{
    r->state = state;
    request_publish(r);
}

void request_pool_tick(struct router *rt)
{
    struct request_pool *p = &rt->requests;
    uint32_t share = p->n_slots / SWEEP_SHARE + 1;

    for (uint32_t i = 0; i < share; i++) {
        struct request *r = p->slot[p->sweep];
        if (r != NULL && r->is_changed)
            request_publish(r);
        p->sweep = (p->sweep + 1) % p->n_slots;
    }
}

void request_free(struct request *r)
{
    struct router *rt = r->router;
    struct request_pool *p = &rt->requests;
    struct request_record none = {0};

    CHECK(r->link == NULL && p->slot[r->slot] == r);
    dispatch_forget(r);
    deadline_disarm(&rt->queue_due, &r->queue_due);
    deadline_disarm(&rt->life_due, &r->life_due);
    seqlock_publish(&rt->node->request[r->slot], &none);
    p->slot[r->slot] = NULL;
    p->free[p->n_free++] = r->slot;
    counter_set(&rt->counters->requests_open, request_pool_open(p));
    canonical_drop(&r->canonical);
    buf_free(&r->submit);
    free(r->tokens);
    free(r);
}

void request_unbind(struct request *r)
{
    struct link *l = r->link;

    if (l == NULL)
        return;
    r->link = NULL;
    TAILQ_REMOVE(&l->requests, r, bound);
    l->n_bound--;
    r->model->n_in_flight--;
    counter_set(&r->model->counters->model_in_flight, r->model->n_in_flight);
    if (r->is_sending)
        TAILQ_REMOVE(&l->sending, r, sending);
    r->is_sending = r->wants_submit = r->wants_credit = r->wants_cancel = false;
    buf_free(&r->submit);
    link_unbound(l);
}

/* ---- the owner's side ---- */

/* Now, or when the link's turn is over. */
static void send_soon(struct request *r)
{
    link_queue(r->link, r);
    if (!r->link->is_taking)
        link_pump(r->link);
}

void request_acknowledge(struct request *r)
{
    uint32_t credit = r->n_tokens + r->window;

    r->n_taken = r->n_tokens;
    if (r->link == NULL || r->state == REQUEST_CANCELLING || credit - r->credit < r->window / 4)
        return;
    r->credit = credit;
    r->wants_credit = true;
    send_soon(r);
}

void request_cancel(struct request *r)
{
    deadline_disarm(&r->router->queue_due, &r->queue_due);
    deadline_disarm(&r->router->life_due, &r->life_due);
    log_event(LOG_REQUEST, LOG_DEBUG, r->id, "%s: cancelled after %" PRIu32 " tokens", r->name,
              r->n_tokens);
    r->ops = NULL;
    r->owner = NULL;
    counter_add(&r->model->counters->requests_cancelled, 1);
    if (r->link == NULL) {
        request_free(r);
        return;
    }
    dispatch_forget(r);
    /* The slot stays taken until the worker's last word, or its death. */
    request_set_state(r, REQUEST_CANCELLING);
    if (r->wants_submit && r->submit_done == 0) { /* the worker has not heard of it */
        struct model *m = r->model;
        struct router *rt = r->router;
        request_unbind(r);
        request_free(r);
        dispatch_pump(rt, m);
        return;
    }
    r->wants_credit = false;
    r->wants_cancel = true;
    send_soon(r);
}

void request_release(struct request *r)
{
    log_event(LOG_REQUEST, LOG_DEBUG, r->id, "%s: done, %" PRIu32 " tokens, %" PRIu32 " workers",
              r->name, r->n_tokens, r->attempts);
    histogram_add(&r->model->histograms->request_duration_seconds,
                  clock_now_ns() - r->accepted_ns);
    request_free(r);
}

void request_fail(struct request *r, enum api_error error, const char *text)
{
    const struct request_ops *ops = r->ops;
    struct link *l = r->link;

    if (r->state == REQUEST_CANCELLING && l != NULL) /* ended already, for its client */
        return;
    log_event(LOG_REQUEST, LOG_DEBUG, r->id, "%s: failed (%s): %s", r->name,
              api_errors[error].code, text);
    dispatch_forget(r);
    deadline_disarm(&r->router->queue_due, &r->queue_due);
    deadline_disarm(&r->router->life_due, &r->life_due);
    counter_add(&r->model->counters->request_errors, 1);
    if (l != NULL) { /* still running there: the slot is freed by the worker's last word */
        void *owner = r->owner;
        r->ops = NULL;
        r->owner = NULL;
        request_set_state(r, REQUEST_CANCELLING);
        r->wants_cancel = true;
        send_soon(r);
        if (ops != NULL)
            ops->failed(owner, error, text);
        return;
    }
    r->state = REQUEST_FAILED;
    if (ops != NULL)
        ops->failed(r->owner, error, text);
    request_free(r);
}

/* ---- the worker's side ---- */

static void append_token(struct request *r, uint32_t token)
{
    if (r->n_tokens == r->tokens_cap) {
        r->tokens_cap = r->tokens_cap ? r->tokens_cap * 2 : 32;
        r->tokens = realloc(r->tokens, r->tokens_cap * sizeof *r->tokens);
        CHECK(r->tokens != NULL);
    }
    r->tokens[r->n_tokens++] = token;
}

static void note_generated(struct request *r, uint64_t now_ns)
{
    struct model_histograms *h = r->model->histograms;

    counter_add(&r->model->counters->completion_tokens, 1);
    if (r->first_token_ns == 0) {
        r->first_token_ns = now_ns;
        histogram_add(&h->time_to_first_token_seconds, now_ns - r->accepted_ns);
    } else {
        histogram_add(&h->inter_token_seconds, now_ns - r->last_token_ns);
        if (r->orphaned_ns != 0)
            histogram_add(&h->resume_gap_seconds, now_ns - r->last_token_ns);
    }
    r->last_token_ns = now_ns;
}

void request_journal(struct request *r, const struct token_head *t, const struct part *parts,
                     const struct top *tops, uint64_t now_ns)
{
    append_token(r, t->token); /* first: emitted means journaled */
    r->is_changed = true;
    if (makes_tokens(r) && (t->flags & TOKEN_PROMPT) == 0)
        note_generated(r, now_ns);
    r->orphaned_ns = 0;
    dispatch_progress(r);
    if (r->ops != NULL)
        r->ops->token(r->owner, t, parts, tops);
}

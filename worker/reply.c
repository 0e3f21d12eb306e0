#include "worker/reply.h"

#include "base/check.h"

#include <string.h>

void reply_init(struct reply *p, struct ring *ring, struct request_table *table,
                struct worker_counters *counters)
{
    *p = (struct reply){.ring = ring, .table = table, .counters = counters};
    TAILQ_INIT(&p->blocked);
}

void reply_free(struct reply *p)
{
    buf_free(&p->scratch);
}

/* Frame of a record in request.out. */
struct kept {
    uint32_t len;
    uint32_t type;
};

static void keep_record(struct reply *p, struct request *r, enum ring_type type, const void *data,
                        size_t len, size_t done)
{
    struct kept head = {(uint32_t)len, type};

    counter_add(&p->counters->worker_ring_full, 1);
    if (!r->is_blocked) {
        r->is_blocked = true;
        r->out_done = done;
        TAILQ_INSERT_TAIL(&p->blocked, r, blocked);
    }
    buf_add(&r->out, &head, sizeof head);
    buf_add(&r->out, data, len);
}

/* Entries of one record must not have those of another between them: as long as one record waits,
 * the later ones wait behind it. */
static void send_record(struct reply *p, struct request *r, enum ring_type type, const void *data,
                        size_t len)
{
    size_t done = 0;

    if (reply_is_blocked(p) || ring_send(p->ring, type, r->id, data, len, &done) == 0)
        keep_record(p, r, type, data, len, done);
}

/* 1 when nothing of this request waits any more. */
static int flush_request(struct reply *p, struct request *r)
{
    while (buf_pending(&r->out) > 0) {
        struct kept head;
        const char *front = r->out.data + r->out.pos;
        memcpy(&head, front, sizeof head);
        if (ring_send(p->ring, (enum ring_type)head.type, r->id, front + sizeof head, head.len,
                      &r->out_done) == 0)
            return 0;
        r->out_done = 0;
        buf_consume(&r->out, sizeof head + head.len);
    }
    buf_free(&r->out);
    TAILQ_REMOVE(&p->blocked, r, blocked);
    r->is_blocked = false;
    return 1;
}

struct request *reply_flush(struct reply *p)
{
    struct request *r;

    while ((r = TAILQ_FIRST(&p->blocked)) != NULL && flush_request(p, r)) {
        if (r->is_ending)
            request_close(p->table, r);
        else if (!r->is_paused)
            return r;
    }
    return NULL;
}

static void pause_request(struct reply *p, struct request *r)
{
    if (r->is_paused)
        return;
    r->is_paused = true;
    p->n_paused++;
    counter_add(&p->counters->worker_credit_waits, 1);
}

static void unpause_request(struct reply *p, struct request *r)
{
    if (r->is_paused)
        p->n_paused--;
    r->is_paused = false;
}

bool reply_credit(struct reply *p, struct request *r, uint32_t credit)
{
    r->credit = credit;
    if (!r->is_paused || r->answer.n_tokens >= credit)
        return false;
    unpause_request(p, r);
    return !r->is_blocked;
}

void reply_accept(struct reply *p, struct request *r, const struct accept_body *body)
{
    send_record(p, r, RING_ACCEPT, body, sizeof *body);
}

/* The pieces of a tokenised text are bytes, each for itself: told as the token's own top, never as
 * text that is joined. Of other tokens, the token as it is. */
static const struct token *as_piece(const struct request *r, const struct token *token,
                                    struct token *piece, struct token_top *top)
{
    if (r->params.kind != PROMPT_TOKENIZE)
        return token;
    *top = (struct token_top){token->id, 0, token->text, token->len};
    *piece = (struct token){.id = token->id, .n_tops = r->params.has_pieces, .tops = top};
    return piece;
}

void reply_replay(struct reply *p, struct request *r, const struct token *token)
{
    struct token piece;
    struct token_top top;

    token = as_piece(r, token, &piece, &top);
    buf_clear(&p->scratch);
    answer_add(&r->answer, token);
    answer_take(&r->answer, &p->scratch);
    counter_add(&p->counters->worker_tokens_replayed, 1);
}

/* After the last word: the engine has to forget the request. */
static void end_request(struct reply *p, struct request *r)
{
    unpause_request(p, r);
    r->is_ending = true;
    if (!r->is_blocked)
        request_close(p->table, r);
}

bool reply_may_go(struct reply *p, struct request *r)
{
    CHECK(!r->is_ending);
    if (r->answer.n_tokens >= r->credit)
        pause_request(p, r);
    return !r->is_paused && !r->is_blocked;
}

static void add_tops(struct buf *out, const struct token *token)
{
    CHECK(token->n_tops <= TOPS_MAX);
    for (int i = 0; i < token->n_tops; i++) {
        const struct token_top *top = &token->tops[i];
        size_t len = top->len < TOP_TEXT_MAX ? top->len : TOP_TEXT_MAX;
        struct top_head head = {.token = top->id, .logprob = top->logprob, .len = (uint16_t)len};
        buf_add(out, &head, sizeof head);
        buf_add(out, top->text, len);
    }
}

void reply_token(struct reply *p, struct request *r, const struct token *token, uint64_t now_ns)
{
    struct token piece;
    struct token_top top;

    token = as_piece(r, token, &piece, &top);
    struct token_head head = {.index = r->answer.n_tokens,
                              .token = token->id,
                              .logprob = token->logprob,
                              .n_tops = token->n_tops};

    if (token->is_prompt)
        head.flags |= TOKEN_PROMPT;
    CHECK(!r->is_ending && !r->is_blocked && head.index < r->credit);
    if (r->first_ns == 0)
        r->first_ns = now_ns;
    answer_add(&r->answer, token);
    buf_clear(&p->scratch);
    buf_add(&p->scratch, &head, sizeof head);
    head.n_parts = answer_take(&r->answer, &p->scratch);
    if (answer_is_reasoning(&r->answer))
        head.flags |= TOKEN_REASONING;
    memcpy(p->scratch.data, &head, sizeof head);
    add_tops(&p->scratch, token);
    send_record(p, r, RING_TOKEN, p->scratch.data, buf_pending(&p->scratch));
    counter_add(&p->counters->worker_tokens, 1);
}

/* An empty turn, and not because the client wanted it so. */
static bool is_empty(const struct request *r, const struct done_head *head)
{
    return r->params.kind == PROMPT_CHAT && head->reason == FINISH_STOP && head->stop == 0 &&
           !r->answer.has_shown;
}

void reply_done(struct reply *p, struct request *r, enum finish_reason reason, uint64_t now_ns)
{
    uint64_t first_ns = r->first_ns != 0 ? r->first_ns : now_ns;
    struct done_head head = {.index = r->answer.n_tokens,
                             .reason = answer_end(&r->answer, reason),
                             .prefill_ns = first_ns - r->submitted_ns,
                             .decode_ns = now_ns - first_ns,
                             .stop = answer_stop(&r->answer)};

    if (is_empty(r, &head)) {
        reply_fail(p, r, FAIL_EMPTY, "the model ended its answer without a word");
        return;
    }
    buf_clear(&p->scratch);
    buf_add(&p->scratch, &head, sizeof head);
    head.n_parts = answer_take(&r->answer, &p->scratch);
    memcpy(p->scratch.data, &head, sizeof head);
    send_record(p, r, RING_DONE, p->scratch.data, buf_pending(&p->scratch));
    end_request(p, r);
}

void reply_fail(struct reply *p, struct request *r, enum fail_code code, const char *text)
{
    struct {
        struct fail_head head;
        char text[FAIL_TEXT_MAX];
    } body = {.head = {.code = code}};
    size_t len = strlen(text);

    /* whole sequences only: the router checks */
    for (; len > FAIL_TEXT_MAX || (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80); len--)
        ;
    body.head.len = (uint32_t)len;
    memcpy(body.text, text, len);
    send_record(p, r, RING_FAIL, &body, sizeof body.head + len);
    end_request(p, r);
}

void reply_cancelled(struct reply *p, struct request *r)
{
    if (r->is_ending)
        return; /* its last word waits for space, or a CANCEL came twice */
    counter_add(&p->counters->worker_cancels, 1);
    send_record(p, r, RING_CANCELLED, "", 0);
    end_request(p, r);
}

void reply_drop(struct reply *p, struct request *r)
{
    unpause_request(p, r);
    if (r->is_blocked)
        TAILQ_REMOVE(&p->blocked, r, blocked);
    r->is_blocked = false;
    request_close(p->table, r);
}

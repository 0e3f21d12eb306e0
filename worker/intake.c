#include "worker/intake.h"

#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TAKE_ENTRIES  2048         /* entries in one call */
#define PARSE_SLICE   (256u << 10) /* bytes of JSON in one call */
#define KEEP_ASSEMBLY (1u << 20)   /* a longer buffer is given back after its record */

void intake_init(struct intake *in, struct engine *engine, uint32_t vocab)
{
    struct reply *p = engine->reply;

    *in = (struct intake){.ring = p->ring,
                          .table = p->table,
                          .reply = p,
                          .engine = engine,
                          .counters = p->counters,
                          .vocab = vocab,
                          .assembler = {.len_max = SUBMIT_MAX}};
}

void intake_reset(struct intake *in)
{
    json_reader_free(&in->reader);
    buf_free(&in->assembler.buf);
    in->assembler = (struct ring_assembler){.len_max = SUBMIT_MAX};
    in->parsed = NULL;
}

static int refuse(uint64_t request, const char *what, uint64_t found, uint64_t expected,
                  struct err *e)
{
    return err_set(e, EPROTO, "r2w request %016" PRIx64 ": %s %" PRIu64 ", expected %" PRIu64,
                   request, what, found, expected);
}

/* --- SUBMIT --- */

static int check_submit(struct intake *in, const struct ring_record *rec, struct submit_head *head,
                        struct err *e)
{
    if (rec->len < sizeof *head)
        return refuse(rec->request, "bytes of submit", rec->len, sizeof *head, e);
    memcpy(head, rec->data, sizeof *head);
    uint64_t len = sizeof *head + (uint64_t)head->n_resume * sizeof(uint32_t) + head->json_len;
    if (len != rec->len)
        return refuse(rec->request, "bytes of submit", rec->len, len, e);
    if ((head->flags & ~SUBMIT_FLAGS) != 0)
        return refuse(rec->request, "flags", head->flags, SUBMIT_FLAGS, e);
    if (rec->request == 0 || request_find(in->table, rec->request) != NULL)
        return refuse(rec->request, "request id in use", rec->request, 0, e);
    if (in->table->n_live == in->table->n_seats)
        return refuse(rec->request, "requests", in->table->n_live + 1, in->table->n_seats, e);
    return 0;
}

static int copy_resume(struct intake *in, struct request *r, const uint8_t *from, uint32_t n,
                       struct err *e)
{
    if (n == 0)
        return 0;
    r->resume = malloc(n * sizeof *r->resume);
    CHECK(r->resume != NULL);
    memcpy(r->resume, from, n * sizeof *r->resume);
    r->n_resume = n;
    for (uint32_t i = 0; i < n; i++)
        if (r->resume[i] >= in->vocab)
            return refuse(r->id, "resumed token", r->resume[i], in->vocab - 1, e);
    return 0;
}

static void submit_parsed(struct intake *in, struct request *r, struct json_object *root,
                          uint64_t now_ns)
{
    struct err e = {0};

    if (params_parse(&r->params, root, &e) != 0) {
        reply_fail(in->reply, r, e.code == ENOTSUP ? FAIL_UNSUPPORTED : FAIL_INVALID_REQUEST,
                   e.text);
        return;
    }
    uint64_t id = r->id;
    in->engine->ops->submit(in->engine, r, now_ns);
    if (r->id != id)
        return; /* refused by the engine: the seat is free again */
    params_drop_prompt(&r->params);
    free(r->resume);
    r->resume = NULL;
}

/* One slice of the request being parsed. */
static void parse_slice(struct intake *in, uint64_t now_ns)
{
    struct request *r = in->parsed;
    struct json_object *root = NULL;
    struct err e = {0};
    size_t left = in->json_len - in->json_done;
    size_t n = left < PARSE_SLICE ? left : PARSE_SLICE;

    int rc = json_reader_feed(in->reader, in->json + in->json_done, n, &e);
    in->json_done += n;
    if (rc == 0 && n < left)
        return;
    if (rc == 0)
        rc = json_reader_finish(in->reader, &root, &e);
    json_reader_free(&in->reader);
    in->parsed = NULL;
    if (rc != 0)
        reply_fail(in->reply, r, FAIL_INVALID_REQUEST, e.text);
    else
        submit_parsed(in, r, root, now_ns);
    if (in->assembler.buf.cap > KEEP_ASSEMBLY)
        buf_free(&in->assembler.buf);
}

static int take_submit(struct intake *in, const struct ring_record *rec, uint64_t now_ns,
                       struct err *e)
{
    struct submit_head head;

    if (check_submit(in, rec, &head, e) != 0)
        return -EPROTO;
    counter_add(&in->counters->worker_requests, 1);
    struct request *r = request_open(in->table, rec->request);
    CHECK(r != NULL);
    r->seed = head.seed;
    r->credit = head.credit;
    r->submitted_ns = now_ns;
    if (copy_resume(in, r, rec->data + sizeof head, head.n_resume, e) != 0)
        return -EPROTO;
    in->parsed = r;
    in->reader = json_reader_new();
    in->json = (const char *)rec->data + rec->len - head.json_len;
    in->json_len = head.json_len;
    in->json_done = 0;
    parse_slice(in, now_ns);
    return 0;
}

/* --- CREDIT, CANCEL: about a request that may be over already, then they say nothing --- */

static int take_credit(struct intake *in, const struct ring_record *rec, uint64_t now_ns,
                       struct err *e)
{
    struct credit_body body;
    struct request *r = request_find(in->table, rec->request);

    if (rec->len != sizeof body)
        return refuse(rec->request, "bytes of credit", rec->len, sizeof body, e);
    memcpy(&body, rec->data, sizeof body);
    if (r == NULL || r->is_ending)
        return 0;
    if (body.credit < r->credit)
        return refuse(rec->request, "credit", body.credit, r->credit, e);
    if (reply_credit(in->reply, r, body.credit))
        in->engine->ops->resume(in->engine, r, now_ns);
    return 0;
}

static int take_cancel(struct intake *in, const struct ring_record *rec, struct err *e)
{
    struct request *r = request_find(in->table, rec->request);

    if (rec->len != 0)
        return refuse(rec->request, "bytes of cancel", rec->len, 0, e);
    if (r == NULL || r->is_ending)
        return 0;
    in->engine->ops->forget(in->engine, r);
    reply_cancelled(in->reply, r);
    return 0;
}

static int take_record(struct intake *in, const struct ring_record *rec, uint64_t now_ns,
                       struct err *e)
{
    if (rec->type == RING_SUBMIT)
        return take_submit(in, rec, now_ns, e);
    if (rec->type == RING_CREDIT)
        return take_credit(in, rec, now_ns, e);
    CHECK(rec->type == RING_CANCEL); /* ring_pop lets no other type of this direction through */
    return take_cancel(in, rec, e);
}

int intake_take(struct intake *in, uint64_t now_ns, struct err *e)
{
    struct ring_record rec;

    for (int i = 0; i < TAKE_ENTRIES; i++) {
        if (in->parsed != NULL) {
            parse_slice(in, now_ns);
            if (in->parsed != NULL)
                return 0;
        }
        int rc = ring_pop(in->ring, &in->entry);
        if (rc == 0)
            return 0;
        if (rc > 0)
            rc = ring_assemble(in->ring, &in->assembler, &in->entry, &rec);
        if (rc < 0)
            return err_set(e, EPROTO, "%s", in->ring->violation);
        if (rc > 0 && take_record(in, &rec, now_ns, e) != 0)
            return -EPROTO;
    }
    return 0;
}

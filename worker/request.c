#include "worker/request.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>

void request_table_init(struct request_table *t, uint32_t n_seats)
{
    uint32_t n_buckets = 1;

    while (n_buckets < n_seats)
        n_buckets *= 2;
    *t = (struct request_table){.n_seats = n_seats, .n_buckets = n_buckets};
    t->seat = calloc(n_seats, sizeof *t->seat);
    t->bucket = calloc(n_buckets, sizeof *t->bucket);
    CHECK(n_seats > 0 && t->seat != NULL && t->bucket != NULL);
    for (uint32_t i = n_seats; i-- > 0;) {
        t->seat[i].seat = i;
        LIST_INSERT_HEAD(&t->free, &t->seat[i], hashed);
    }
}

void request_table_free(struct request_table *t)
{
    for (uint32_t i = 0; i < t->n_seats; i++)
        if (t->seat[i].id != 0)
            request_close(t, &t->seat[i]);
    free(t->seat);
    free(t->bucket);
    *t = (struct request_table){0};
}

static struct request_list *find_bucket(const struct request_table *t, uint64_t id)
{
    return &t->bucket[hash_mix(id, 0) & (t->n_buckets - 1)];
}

struct request *request_open(struct request_table *t, uint64_t id)
{
    struct request *r = LIST_FIRST(&t->free);

    CHECK(id != 0);
    if (r == NULL)
        return NULL;
    LIST_REMOVE(r, hashed);
    *r = (struct request){.id = id, .seat = r->seat};
    LIST_INSERT_HEAD(find_bucket(t, id), r, hashed);
    t->n_live++;
    return r;
}

void request_begin_answer(struct request *r, uint32_t n_max)
{
    answer_init(&r->answer, &(struct answer_rules){.stops = &r->params.stops,
                                                   .tools = &r->params.calls,
                                                   .has_single_call = !r->params.has_parallel_calls,
                                                   .n_max = n_max});
}

struct request *request_find(const struct request_table *t, uint64_t id)
{
    struct request *r;

    LIST_FOREACH (r, find_bucket(t, id), hashed)
        if (r->id == id)
            return r;
    return NULL;
}

void request_close(struct request_table *t, struct request *r)
{
    CHECK(r->id != 0 && !r->is_blocked);
    params_free(&r->params);
    answer_free(&r->answer);
    buf_free(&r->out);
    free(r->resume);
    LIST_REMOVE(r, hashed);
    *r = (struct request){.seat = r->seat};
    LIST_INSERT_HEAD(&t->free, r, hashed);
    t->n_live--;
}

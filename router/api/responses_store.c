#include "router/api/responses_store.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- turns ---- */

static size_t turn_bytes(const struct turn *t)
{
    return sizeof *t + t->input.cap + t->output.cap + t->item_at.cap;
}

static struct turn *turn_new(struct responses_store *s, struct turn *parent,
                             struct response_texts *texts)
{
    struct turn *t = calloc(1, sizeof *t);

    CHECK(t != NULL);
    *t = (struct turn){.parent = turn_share(parent),
                       .n_users = 1,
                       .input = texts->input,
                       .output = texts->output,
                       .item_at = texts->item_at,
                       .store = s};
    s->bytes += turn_bytes(t);
    return t;
}

struct turn *turn_share(struct turn *t)
{
    if (t != NULL)
        t->n_users++;
    return t;
}

/* Conversations are long: no recursion. */
void turn_drop(struct turn **first)
{
    struct turn *t = *first;

    *first = NULL;
    while (t != NULL && --t->n_users == 0) {
        struct turn *parent = t->parent;
        t->store->bytes -= turn_bytes(t);
        buf_free(&t->input);
        buf_free(&t->output);
        buf_free(&t->item_at);
        free(t);
        t = parent;
    }
}

/* ---- responses ---- */

static size_t response_bytes(const struct stored_response *r)
{
    return sizeof *r + r->before.cap + r->after.cap;
}

static size_t bucket_of(const char *id)
{
    return hash_xxh3(id, strlen(id)) % RESPONSES_BUCKETS;
}

void responses_store_init(struct responses_store *s)
{
    *s = (struct responses_store){0};
    TAILQ_INIT(&s->by_use);
    LIST_INIT(&s->running);
    for (size_t i = 0; i < RESPONSES_BUCKETS; i++)
        LIST_INIT(&s->bucket[i]);
}

void responses_store_remove(struct responses_store *s, struct stored_response *r)
{
    TAILQ_REMOVE(&s->by_use, r, by_use);
    LIST_REMOVE(r, same_bucket);
    s->bytes -= response_bytes(r);
    s->n--;
    turn_drop(&r->turn);
    buf_free(&r->before);
    buf_free(&r->after);
    free(r);
}

/* A turn that a running request needs, or a later one, is freed after the response: what is left
 * of the store may be less than it could be for as long. */
static void make_room(struct responses_store *s)
{
    while (s->n > 0 && (s->bytes > s->bytes_max || s->n > s->n_max))
        responses_store_remove(s, TAILQ_FIRST(&s->by_use));
}

void responses_store_limit(struct responses_store *s, size_t bytes_max, uint32_t n_max)
{
    s->bytes_max = bytes_max;
    s->n_max = n_max;
    make_room(s);
}

void responses_store_free(struct responses_store *s)
{
    responses_store_limit(s, 0, 0);
}

void responses_store_add(struct responses_store *s, const char *id, uint64_t owner,
                         struct turn *parent, struct response_texts *texts)
{
    struct stored_response *r = calloc(1, sizeof *r);

    CHECK(r != NULL && strlen(id) < sizeof r->id);
    snprintf(r->id, sizeof r->id, "%s", id);
    r->owner = owner;
    r->turn = turn_new(s, parent, texts);
    r->before = texts->before;
    r->after = texts->after;
    *texts = (struct response_texts){0};
    TAILQ_INSERT_TAIL(&s->by_use, r, by_use);
    LIST_INSERT_HEAD(&s->bucket[bucket_of(id)], r, same_bucket);
    s->bytes += response_bytes(r);
    s->n++;
    make_room(s);
}

struct stored_response *responses_store_find(struct responses_store *s, const char *id,
                                             uint64_t owner)
{
    struct stored_response *r;

    LIST_FOREACH (r, &s->bucket[bucket_of(id)], same_bucket) {
        if (r->owner != owner || strcmp(r->id, id) != 0)
            continue;
        TAILQ_REMOVE(&s->by_use, r, by_use);
        TAILQ_INSERT_TAIL(&s->by_use, r, by_use);
        return r;
    }
    return NULL;
}

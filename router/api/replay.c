#include "router/api/replay.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define ID_MAX 64

struct replay_entry {
    LIST_ENTRY(replay_entry) hashed;
    TAILQ_ENTRY(replay_entry) used;
    char id[ID_MAX];
    uint64_t owner, said;
    struct json_object *tokens; /* owned: a string */
    size_t bytes;
};

LIST_HEAD(replay_bucket, replay_entry);
TAILQ_HEAD(replay_order, replay_entry);

#define BUCKETS 1024

struct replay {
    struct replay_bucket bucket[BUCKETS];
    struct replay_order used; /* the one used last is the last */
    size_t bytes, bytes_max;
};

struct replay *replay_new(void)
{
    struct replay *p = calloc(1, sizeof *p);

    CHECK(p != NULL);
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_INIT(&p->bucket[i]);
    TAILQ_INIT(&p->used);
    return p;
}

static void forget(struct replay *p, struct replay_entry *e)
{
    LIST_REMOVE(e, hashed);
    TAILQ_REMOVE(&p->used, e, used);
    p->bytes -= e->bytes;
    json_free(&e->tokens);
    free(e);
}

void replay_limit(struct replay *p, size_t bytes_max)
{
    p->bytes_max = bytes_max;
    while (p->bytes > bytes_max)
        forget(p, TAILQ_FIRST(&p->used));
}

void replay_free(struct replay **p)
{
    if (*p != NULL)
        replay_limit(*p, 0);
    free(*p);
    *p = NULL;
}

/* ---- what was said: the text without white space at its ends, and the calls ---- */

static uint64_t hash_text(uint64_t h, const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    size_t skipped = 0;
    while (skipped < len && strchr(" \t\r\n", text[skipped]) != NULL)
        skipped++;
    return hash_mix(h, hash_xxh3(text + skipped, len - skipped));
}

static uint64_t hash_content(const struct json_object *content)
{
    struct buf text = {0};
    const char *s;
    size_t len;

    if (content != NULL && json_type_of(content) == JSON_STRING) {
        s = json_string(content, &len);
        return hash_text(0, s, len);
    }
    for (size_t i = 0; i < json_length(content); i++) {
        s = json_string(json_get(json_at(content, i), "text"), &len);
        buf_add(&text, s, len);
    }
    uint64_t h = hash_text(0, buf_text(&text), buf_pending(&text));
    buf_free(&text);
    return h;
}

static uint64_t hash_call(uint64_t h, const char *name, const struct json_object *arguments)
{
    struct buf text = {0};

    json_write(arguments, &text);
    h = hash_mix(h, hash_xxh3(name, strlen(name)));
    h = hash_mix(h, hash_xxh3(buf_text(&text), buf_pending(&text)));
    buf_free(&text);
    return h;
}

static uint64_t hash_message(const struct json_object *message)
{
    const struct json_object *calls = json_get(message, "tool_calls");
    uint64_t h = hash_content(json_get(message, "content"));

    for (size_t i = 0; i < json_length(calls); i++) {
        const struct json_object *function = json_get(json_at(calls, i), "function");
        h = hash_call(h, json_string(json_get(function, "name"), NULL),
                      json_get(function, "arguments"));
    }
    return h;
}

/* 0 for an answer whose calls are not whole: no client can send back what is none. */
static uint64_t hash_blocks(const struct blocks *said)
{
    struct buf text = {0};

    blocks_join(said, CHANNEL_CONTENT, &text);
    uint64_t h = hash_text(0, buf_text(&text), buf_pending(&text));
    buf_free(&text);
    for (uint32_t i = 0; i < said->n; i++) {
        struct block *b = &said->at[i];
        struct json_object *arguments = NULL;
        if (b->channel != CHANNEL_CALL)
            continue;
        if (json_parse(buf_text(&b->text), buf_pending(&b->text), &arguments, NULL) != 0)
            return 0;
        h = hash_call(h, b->name, arguments);
        json_free(&arguments);
    }
    return h;
}

/* ---- keeping and finding ---- */

static struct replay_bucket *bucket_of(struct replay *p, const char *id)
{
    return &p->bucket[hash_xxh3(id, strlen(id)) % BUCKETS];
}

static struct json_object *write_tokens(const uint32_t *tokens, uint32_t n)
{
    struct buf text = {0};

    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(&text, ' ');
        buf_add_u64(&text, tokens[i]);
    }
    struct json_object *made = json_new_string(buf_text(&text), buf_pending(&text));
    buf_free(&text);
    return made;
}

void replay_keep(struct replay *p, const char *id, uint64_t owner, const struct blocks *said,
                 const uint32_t *tokens, uint32_t n)
{
    uint64_t hash = p->bytes_max > 0 ? hash_blocks(said) : 0;

    if (hash == 0)
        return;
    struct replay_entry *e = calloc(1, sizeof *e);
    CHECK(e != NULL);
    snprintf(e->id, sizeof e->id, "%s", id);
    e->owner = owner;
    e->said = hash;
    e->tokens = write_tokens(tokens, n);
    json_string(e->tokens, &e->bytes);
    e->bytes += sizeof *e;
    LIST_INSERT_HEAD(bucket_of(p, id), e, hashed);
    TAILQ_INSERT_TAIL(&p->used, e, used);
    p->bytes += e->bytes;
    replay_limit(p, p->bytes_max);
}

struct json_object *replay_find(struct replay *p, const struct json_object *message, uint64_t owner)
{
    const struct json_object *calls = json_get(message, "tool_calls");
    struct replay_entry *e;

    if (json_length(calls) == 0)
        return NULL;
    const char *id = json_string(json_get(json_at(calls, 0), "id"), NULL);
    LIST_FOREACH (e, bucket_of(p, id), hashed)
        if (strcmp(e->id, id) == 0 && e->owner == owner)
            break;
    if (e == NULL || e->said != hash_message(message))
        return NULL;
    TAILQ_REMOVE(&p->used, e, used);
    TAILQ_INSERT_TAIL(&p->used, e, used);
    return e->tokens;
}

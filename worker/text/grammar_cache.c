/* Compiled grammars, by the bytes they were made from. */
#include "worker/text/grammar.h"

#include "base/check.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS 256

struct cache_entry {
    LIST_ENTRY(cache_entry) same; /* bucket */
    TAILQ_ENTRY(cache_entry) use; /* least recently used first */
    struct grammar *grammar;      /* a reference */
    uint64_t hash;
    size_t len;
    char key[];
};

LIST_HEAD(bucket, cache_entry);

struct grammar_cache {
    const struct grammar_vocab *vocab; /* borrowed */
    size_t bytes_max;
    pthread_mutex_t lock; /* of all below */
    struct bucket buckets[BUCKETS];
    TAILQ_HEAD(, cache_entry) uses;
};

struct grammar_cache *grammar_cache_new(const struct grammar_vocab *v, size_t bytes_max)
{
    struct grammar_cache *c = calloc(1, sizeof *c);

    CHECK(c != NULL);
    c->vocab = v;
    c->bytes_max = bytes_max;
    CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    TAILQ_INIT(&c->uses);
    return c;
}

static void drop(struct grammar_cache *c, struct cache_entry *entry)
{
    TAILQ_REMOVE(&c->uses, entry, use);
    LIST_REMOVE(entry, same);
    grammar_unref(&entry->grammar);
    free(entry);
}

void grammar_cache_free(struct grammar_cache **cache)
{
    struct grammar_cache *c = *cache;

    if (c == NULL)
        return;
    while (!TAILQ_EMPTY(&c->uses))
        drop(c, TAILQ_FIRST(&c->uses));
    pthread_mutex_destroy(&c->lock);
    free(c);
    *cache = NULL;
}

static struct grammar *find(struct grammar_cache *c, const char *key, size_t len, uint64_t hash)
{
    struct cache_entry *entry;

    LIST_FOREACH (entry, &c->buckets[hash % BUCKETS], same)
        if (entry->hash == hash && entry->len == len && memcmp(entry->key, key, len) == 0) {
            TAILQ_REMOVE(&c->uses, entry, use);
            TAILQ_INSERT_TAIL(&c->uses, entry, use);
            return grammar_ref(entry->grammar);
        }
    return NULL;
}

/* Grammars grow while masks are asked of them, so they are weighed anew each time. */
static void make_room(struct grammar_cache *c)
{
    struct cache_entry *entry;
    size_t bytes = 0;

    TAILQ_FOREACH (entry, &c->uses, use)
        bytes += sizeof *entry + entry->len + grammar_memory(entry->grammar);
    while (bytes > c->bytes_max && (entry = TAILQ_FIRST(&c->uses)) != NULL) {
        bytes -= sizeof *entry + entry->len + grammar_memory(entry->grammar);
        drop(c, entry);
    }
}

static void insert(struct grammar_cache *c, const char *key, size_t len, uint64_t hash,
                   struct grammar *g)
{
    struct cache_entry *entry = malloc(sizeof *entry + len);

    CHECK(entry != NULL);
    entry->grammar = grammar_ref(g);
    entry->hash = hash;
    entry->len = len;
    memcpy(entry->key, key, len);
    LIST_INSERT_HEAD(&c->buckets[hash % BUCKETS], entry, same);
    TAILQ_INSERT_TAIL(&c->uses, entry, use);
    make_room(c);
}

/* It is made outside of the lock: two threads may make the same, and the first one's stays. */
int grammar_cache_get(struct grammar_cache *c, const char *key, size_t len, grammar_make_fn *make,
                      const void *ctx, struct grammar **out, struct err *e)
{
    uint64_t hash = hash_xxh3(key, len);

    pthread_mutex_lock(&c->lock);
    *out = find(c, key, len, hash);
    pthread_mutex_unlock(&c->lock);
    if (*out != NULL)
        return 0;
    int rc = make(ctx, c->vocab, out, e);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&c->lock);
    struct grammar *other = find(c, key, len, hash);
    if (other != NULL) {
        grammar_unref(out);
        *out = other;
    } else {
        insert(c, key, len, hash, *out);
    }
    pthread_mutex_unlock(&c->lock);
    return 0;
}

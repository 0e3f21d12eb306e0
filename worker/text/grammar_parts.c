#include "worker/text/grammar_parts.h"

#include "base/check.h"

#include <stdlib.h>

#define BUCKETS 256

struct part_table *part_table_new(uint32_t n_states, size_t bytes_max)
{
    struct part_table *t = calloc(1, sizeof *t);

    CHECK(t != NULL);
    t->bytes_max = bytes_max;
    t->by_state = calloc((size_t)n_states + 1, sizeof *t->by_state);
    t->buckets = calloc(BUCKETS, sizeof *t->buckets);
    CHECK(t->by_state != NULL);
    CHECK(t->buckets != NULL);
    CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
    return t;
}

void part_table_free(struct part_table **table)
{
    struct part_table *t = *table;

    if (t == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct mask_part *p = t->buckets[i], *next; p != NULL; p = next) {
            next = p->next;
            mask_part_free(p);
        }
    pthread_mutex_destroy(&t->lock);
    free(t->by_state);
    free(t->buckets);
    free(t);
    *table = NULL;
}

size_t part_table_memory(const struct part_table *t)
{
    return sizeof *t + BUCKETS * sizeof *t->buckets +
           atomic_load_explicit(&t->bytes, memory_order_relaxed);
}

/* The one of the same content that is there, or `made` itself, or NULL: no room. */
static struct mask_part *enter(struct part_table *t, const struct grammar_vocab *v,
                               struct mask_part *made)
{
    struct mask_part **bucket = &t->buckets[made->hash % BUCKETS], *p = *bucket;

    while (p != NULL && !mask_part_equal(v, p, made))
        p = p->next;
    if (p != NULL)
        return p;
    size_t bytes = atomic_load_explicit(&t->bytes, memory_order_relaxed);
    if (made->bytes > t->bytes_max - bytes)
        return NULL;
    atomic_store_explicit(&t->bytes, bytes + made->bytes, memory_order_relaxed);
    made->next = *bucket;
    *bucket = made;
    return made;
}

const struct mask_part *part_table_find(struct part_table *t, const struct grammar_vocab *v,
                                        const struct automaton *a, uint32_t state, uint32_t index,
                                        struct mask_part **own)
{
    /* acquire: pairs with the release below, by which the part was published. */
    struct mask_part *p = atomic_load_explicit(&t->by_state[index], memory_order_acquire);

    if (own != NULL)
        *own = NULL;
    if (p != NULL)
        return p;
    struct mask_part *made = mask_part_new(v, a, state);
    pthread_mutex_lock(&t->lock);
    p = enter(t, v, made);
    if (p != NULL)
        atomic_store_explicit(&t->by_state[index], p, memory_order_release);
    pthread_mutex_unlock(&t->lock);
    if (p == NULL) {
        CHECK(own != NULL);
        *own = made;
        return made;
    }
    if (p != made)
        mask_part_free(made);
    return p;
}

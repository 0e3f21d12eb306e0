#include "worker/text/tokenizer_vocab.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void vocab_init(struct vocab *v, uint32_t n, uint32_t n_ids)
{
    *v = (struct vocab){.n_ids = n_ids, .n_slots = 16, .secret = hash_random64()};
    CHECK(n <= VOCAB_IDS_MAX);
    CHECK(n_ids <= VOCAB_IDS_MAX);
    while (v->n_slots < 2 * n)
        v->n_slots *= 2;
    v->slots = malloc(v->n_slots * sizeof *v->slots);
    v->entries = malloc((n_ids + 1) * sizeof *v->entries);
    CHECK(v->slots != NULL);
    CHECK(v->entries != NULL);
    memset(v->slots, 0xff, v->n_slots * sizeof *v->slots); /* all VOCAB_NONE */
    memset(v->entries, 0xff, (n_ids + 1) * sizeof *v->entries);
}

void vocab_free(struct vocab *v)
{
    buf_free(&v->text);
    free(v->entries);
    free(v->slots);
    *v = (struct vocab){0};
}

/* The slot that holds the text, or the free one where it belongs. */
static struct vocab_slot *find_slot(const struct vocab *v, const char *text, size_t len,
                                    uint32_t *tag)
{
    uint64_t hash = hash_mix(v->secret, hash_xxh3(text, len));
    uint32_t i = (uint32_t)hash & (v->n_slots - 1);

    *tag = (uint32_t)(hash >> 32);
    for (;; i = (i + 1) & (v->n_slots - 1)) {
        struct vocab_slot *slot = &v->slots[i];
        if (slot->id == VOCAB_NONE)
            return slot;
        const struct vocab_entry *entry = &v->entries[slot->id];
        if (slot->tag == *tag && entry->len == len &&
            memcmp(v->text.data + entry->at, text, len) == 0)
            return slot;
    }
}

int vocab_enter(struct vocab *v, uint32_t id, const char *text, size_t len)
{
    uint32_t tag;

    CHECK(id < v->n_ids);
    CHECK(len <= VOCAB_TEXT_MAX);
    CHECK(2 * v->n < v->n_slots);
    struct vocab_slot *slot = find_slot(v, text, len, &tag);
    if (slot->id != VOCAB_NONE || v->entries[id].len != VOCAB_NONE)
        return -EEXIST;
    *slot = (struct vocab_slot){tag, id};
    v->entries[id] = (struct vocab_entry){(uint32_t)v->text.len, (uint32_t)len};
    buf_reserve(&v->text, len + 1);
    buf_add(&v->text, text, len);
    v->n++;
    if (len > v->longest)
        v->longest = (uint32_t)len;
    return 0;
}

uint32_t vocab_find(const struct vocab *v, const char *text, size_t len)
{
    uint32_t tag;

    return len > v->longest ? VOCAB_NONE : find_slot(v, text, len, &tag)->id;
}

const char *vocab_text(const struct vocab *v, uint32_t id, size_t *len)
{
    if (id >= v->n_ids || v->entries[id].len == VOCAB_NONE)
        return NULL;
    *len = v->entries[id].len;
    return v->text.data + v->entries[id].at;
}

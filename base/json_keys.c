#include "base/json_keys.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((JSON_KEYS_FIRST & (JSON_KEYS_FIRST - 1)) == 0, "slots wrap by masking");

void json_keys_init(struct json_keys *k)
{
    k->secret = hash_random64();
    k->slots = k->first;
    k->n_slots = JSON_KEYS_FIRST;
}

void json_keys_clear(struct json_keys *k)
{
    if (k->slots != k->first)
        free(k->slots);
    if (k->n_used > 0)
        memset(k->first, 0, sizeof k->first);
    k->slots = k->first;
    k->n_slots = JSON_KEYS_FIRST;
    k->n_used = 0;
}

static bool insert(uint64_t *slots, size_t n_slots, uint64_t entry)
{
    size_t i = entry & (n_slots - 1);

    for (; slots[i] != 0; i = (i + 1) & (n_slots - 1))
        if (slots[i] == entry)
            return false;
    slots[i] = entry;
    return true;
}

static void grow(struct json_keys *k)
{
    size_t n_slots = k->n_slots * 4;
    uint64_t *slots = calloc(n_slots, sizeof *slots);

    CHECK(slots != NULL);
    for (size_t i = 0; i < k->n_slots; i++)
        if (k->slots[i] != 0)
            insert(slots, n_slots, k->slots[i]);
    if (k->slots != k->first)
        free(k->slots);
    k->slots = slots;
    k->n_slots = n_slots;
}

bool json_keys_enter(struct json_keys *k, uint64_t object, const char *key, size_t len)
{
    uint64_t seed = hash_mix(k->secret, object);
    uint64_t entry = hash_mix(seed, hash_xxh3(key, len));

    if (2 * k->n_used >= k->n_slots)
        grow(k);
    k->n_used++;
    return insert(k->slots, k->n_slots, entry != 0 ? entry : 1);
}

#include "router/api/auth.h"

#include "base/hash.h"

#include <string.h>

bool auth_authorize(struct exchange *x, const char *credential, size_t len)
{
    const struct config *c = x->server->config;
    uint8_t digest[32], known[32];

    x->key = KEY_NONE;
    if (c->n_keys == 0)
        return true;
    if (credential == NULL)
        return false;
    hash_sha256(credential, len, digest);
    for (size_t i = 0; i < c->n_keys; i++)
        if (hash_parse_hex32(c->keys[i].sha256, known) == 0 && hash_equal32(digest, known))
            x->key = (int)i;
    return x->key >= 0;
}

bool auth_may_use(const struct exchange *x, const char *model)
{
    if (x->key == KEY_REVOKED)
        return false;
    if (x->key == KEY_NONE)
        return true;
    const char *list = x->server->config->keys[x->key].models;
    size_t model_len = strlen(model);

    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, " ,");
        if ((len == 1 && *p == '*') || (len == model_len && strncmp(p, model, len) == 0))
            return true;
        p += len + strspn(p + len, " ,");
    }
    return false;
}

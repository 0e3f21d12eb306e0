/* Rules over several keys, and what a reload means. */
#include "base/config_table.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define INSTANCE_NAME_MAX 64

static int find_model(const struct config *c, const char *id)
{
    for (size_t i = 0; i < c->n_models; i++)
        if (strcmp(c->models[i].id, id) == 0)
            return (int)i;
    return -1;
}

int config_find_model(const struct config *c, const char *name)
{
    int direct = find_model(c, name);

    for (size_t i = 0; direct < 0 && i < c->n_aliases; i++)
        if (strcmp(c->aliases[i].id, name) == 0)
            return find_model(c, c->aliases[i].model);
    return direct;
}

static int check_word(const char *key, const char *text, const char *const *words, size_t n,
                      struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], text) == 0)
            return 0;
    const char *nearest = names_nearest(text, words, n);
    if (nearest == NULL)
        return err_set(e, EINVAL, "%s: unknown \"%.60s\"", key, text);
    return err_set(e, EINVAL, "%s: unknown \"%.60s\"; did you mean \"%s\"?", key, text, nearest);
}

static int check_instance(const struct config *c, struct err *e)
{
#define X(constant, text) text,
    static const char *const formats[] = { LOG_FORMATS(X) }, *const levels[] = { LOG_LEVELS(X) };
#undef X
    static const char name_bytes[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const struct config_instance *in = &c->instance;
    size_t len = strlen(in->name);

    if (len == 0 || len > INSTANCE_NAME_MAX || strspn(in->name, name_bytes) != len)
        return err_set(e, EINVAL,
                       "instance.name: found \"%.80s\", expected 1 to %d letters, digits, '.', '_' "
                       "or '-'",
                       in->name, INSTANCE_NAME_MAX);
    int rc = check_word("instance.log_format", in->log_format, formats,
                        sizeof formats / sizeof formats[0], e);
    if (rc == 0)
        rc = check_word("instance.log_level", in->log_level, levels,
                        sizeof levels / sizeof levels[0], e);
    return rc;
}

static int check_address(const char *key, const char *address, struct err *e)
{
    char host[CONFIG_STR_MAX];
    uint16_t port;
    int rc = config_split_address(address, host, sizeof host, &port, e);

    if (rc != 0)
        err_prefix(e, "%s", key);
    return rc;
}

static int check_gateway(const struct config *c, struct err *e)
{
    const struct config_gateway *g = &c->gateway;
    int rc = check_address("gateway.listen", g->listen, e);

    if (rc == 0 && g->metrics_listen[0] != '\0')
        rc = check_address("gateway.metrics_listen", g->metrics_listen, e);
    if (rc != 0)
        return rc;
    if ((g->tls_cert[0] == '\0') != (g->tls_key[0] == '\0'))
        return err_set(e, EINVAL, "gateway: found %s without %s, expected both or neither",
                       g->tls_cert[0] != '\0' ? "tls_cert" : "tls_key",
                       g->tls_cert[0] != '\0' ? "tls_key" : "tls_cert");
    if (c->n_keys == 0 && !g->allow_anonymous && !config_is_loopback(g->listen))
        return err_set(e, EINVAL,
                       "gateway.listen: \"%s\" is not a loopback address and no [key] is "
                       "configured; add a [key] or set allow_anonymous = yes",
                       g->listen);
    return 0;
}

static int check_model(const struct config_model *m, struct err *e)
{
#define X(constant, word) word,
    static const char *const io[] = {CONFIG_IO_MODES(X)},
                            *const weights[] = {CONFIG_WEIGHTS_MODES(X)},
                            *const kv[] = {CONFIG_KV_MODES(X)};
#undef X
    if (m->path[0] == '\0' && !m->simulate)
        return err_set(e, EINVAL, "found neither path nor simulate = yes, expected one");
    int rc = check_word("io", m->io, io, sizeof io / sizeof io[0], e);
    if (rc == 0)
        rc = check_word("weights", m->weights, weights, sizeof weights / sizeof weights[0], e);
    if (rc == 0)
        rc = check_word("kv", m->kv, kv, sizeof kv / sizeof kv[0], e);
    return rc;
}

static int check_models(const struct config *c, struct err *e)
{
    for (size_t i = 0; i < c->n_models; i++)
        if (check_model(&c->models[i], e) != 0)
            return err_prefix(e, "[model \"%s\"]", c->models[i].id);
    return 0;
}

static int check_keys(const struct config *c, struct err *e)
{
    uint8_t digest[32];

    for (size_t i = 0; i < c->n_keys; i++)
        if (hash_parse_hex32(c->keys[i].sha256, digest) != 0)
            return err_set(
                e, EINVAL,
                "[key \"%s\"]: sha256 has %zu characters that are no digest, expected 64 "
                "hexadecimal digits",
                c->keys[i].id, strlen(c->keys[i].sha256));
    return 0;
}

static int check_aliases(const struct config *c, struct err *e)
{
    const char *names[CONFIG_MODELS_MAX];

    for (size_t i = 0; i < c->n_models; i++)
        names[i] = c->models[i].id;
    for (size_t i = 0; i < c->n_aliases; i++) {
        const struct config_alias *a = &c->aliases[i];
        if (find_model(c, a->id) >= 0)
            return err_set(e, EINVAL, "[alias] %s: hides the model of the same name", a->id);
        if (find_model(c, a->model) >= 0)
            continue;
        const char *nearest = names_nearest(a->model, names, c->n_models);
        return err_set(e, EINVAL, "[alias] %s: no model \"%s\"%s%s%s", a->id, a->model,
                       nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                       nearest != NULL ? "\"?" : "");
    }
    return 0;
}

int config_validate(const struct config *c, struct err *e)
{
    int rc = check_instance(c, e);

    if (rc == 0)
        rc = check_gateway(c, e);
    if (rc == 0)
        rc = check_models(c, e);
    if (rc == 0)
        rc = check_keys(c, e);
    if (rc == 0)
        rc = check_aliases(c, e);
    return rc;
}

/* Append to a ", " list; a list that would not fit ends in "..." once. */
static void add_name(char *list, size_t size, const char *section, const char *key)
{
    size_t len = strlen(list);
    bool is_first = len == 0;

    if (len >= 3 && strcmp(list + len - 3, "...") == 0)
        return;
    int n = snprintf(list + len, size - len, "%s%s.%s", is_first ? "" : ", ", section, key);
    if (n > 0 && (size_t)n + sizeof ", ..." <= size - len)
        return;
    snprintf(list + len, size - len, "%s...", is_first ? "" : ", ");
}

static bool differs(const struct section_row *s, enum config_reload reload, const void *a,
                    const void *b, char *list, size_t size)
{
    bool is_different = false;
    size_t n;
    const struct key_row *keys = s->keys(&n);

    for (size_t i = 0; i < n; i++) {
        if (keys[i].reload != reload || config_same_value(a, b, &keys[i]))
            continue;
        is_different = true;
        if (list != NULL)
            add_name(list, size, s->name, keys[i].name);
    }
    return is_different;
}

void config_diff(const struct config *from, const struct config *to, char *restart_keys,
                 size_t size, uint8_t model_action[CONFIG_MODELS_MAX])
{
    const struct section_row *model = config_find_section("model");

    restart_keys[0] = '\0';
    for (size_t i = 0; i < config_n_sections; i++) {
        const struct section_row *s = &config_sections[i];
        if (!s->is_named)
            differs(s, RELOAD_RESTART, config_section_at(from, s, 0), config_section_at(to, s, 0),
                    restart_keys, size);
    }
    for (size_t i = 0; i < to->n_models; i++) {
        int before = find_model(from, to->models[i].id);
        if (before < 0)
            model_action[i] = 1;
        else
            model_action[i] =
                differs(model, RELOAD_WORKER, &from->models[before], &to->models[i], NULL, 0) ? 2
                                                                                              : 0;
    }
}

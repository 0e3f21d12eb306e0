/* Overrides: CORTEX_<SECTION>__<KEY>. */
#include "base/check.h"
#include "base/config_table.h"
#include "base/names.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PREFIX       "CORTEX_"
#define NAME_MAX_LEN 128
#define NAMES_MAX    128

static void make_name(char out[NAME_MAX_LEN], const struct section_row *s, const struct key_row *k)
{
    int n = snprintf(out, NAME_MAX_LEN, PREFIX "%s__%s", s->name, k->name);

    CHECK(n > 0 && n < NAME_MAX_LEN);
    for (char *p = out; *p != '\0'; p++)
        *p = (char)toupper((unsigned char)*p);
}

static int refuse_variable(const char *name, struct err *e)
{
    char known[NAMES_MAX][NAME_MAX_LEN];
    const char *candidates[NAMES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < config_n_sections; i++) {
        const struct section_row *s = &config_sections[i];
        size_t n_keys;
        const struct key_row *keys = s->keys(&n_keys);
        size_t len = strlen(s->name);

        if (s->is_named && strncasecmp(name + strlen(PREFIX), s->name, len) == 0 &&
            strncmp(name + strlen(PREFIX) + len, "__", 2) == 0)
            return err_set(
                e, EINVAL,
                "environment %s: sections with a name, like [%s \"...\"], are set in the "
                "file only",
                name, s->name);
        for (size_t j = 0; !s->is_named && j < n_keys; j++) {
            CHECK(n < NAMES_MAX);
            make_name(known[n], s, &keys[j]);
            candidates[n] = known[n];
            n++;
        }
    }
    const char *nearest = names_nearest(name, candidates, n);
    if (nearest == NULL)
        return err_set(e, EINVAL, "environment %.100s: no such section and key", name);
    return err_set(e, EINVAL, "environment %.100s: no such section and key; did you mean %s?", name,
                   nearest);
}

static int set_variable(struct config *c, const char *name, const char *value, struct err *e)
{
    for (size_t i = 0; i < config_n_sections; i++) {
        const struct section_row *s = &config_sections[i];
        size_t n_keys;
        const struct key_row *keys = s->keys(&n_keys);

        for (size_t j = 0; !s->is_named && j < n_keys; j++) {
            char own[NAME_MAX_LEN];
            make_name(own, s, &keys[j]);
            if (strcmp(own, name) != 0)
                continue;
            int rc = config_set_key(config_section_at(c, s, 0), &keys[j], value, e);
            if (rc != 0)
                err_prefix(e, "environment %s", name);
            return rc;
        }
    }
    return refuse_variable(name, e);
}

int config_override(struct config *c, char *const *environment, struct err *e)
{
    for (char *const *v = environment; *v != NULL; v++) {
        char name[NAME_MAX_LEN];
        const char *equals = strchr(*v, '=');

        if (equals == NULL || strncmp(*v, PREFIX, strlen(PREFIX)) != 0)
            continue;
        size_t len = (size_t)(equals - *v);
        size_t kept = len < sizeof name ? len : sizeof name - 1;
        memcpy(name, *v, kept);
        name[kept] = '\0';
        if (strstr(name + strlen(PREFIX), "__") == NULL)
            continue;
        if (len != kept)
            return err_set(e, EINVAL, "environment %.100s...: no such section and key", name);
        int rc = set_variable(c, name, equals + 1, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

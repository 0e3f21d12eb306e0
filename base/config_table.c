#include "base/config_table.h"

#include "base/check.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ROW(key, type, def, min, max, unit, reload, help) \
    {#key, TYPE_##type, def, min, max, unit, RELOAD_##reload, help, offsetof(section_struct, key)},

#define X(section, list, ...) \
    static const struct key_row *section##_keys(size_t *n) \
    { \
        typedef struct config_##section section_struct; \
        static const struct key_row rows[] = {list(ROW)}; \
        *n = sizeof rows / sizeof rows[0]; \
        return rows; \
    }
CONFIG_SECTIONS(X)
CONFIG_NAMED_SECTIONS(X)
#undef X

const struct section_row config_sections[] = {
#define X(section, list) \
    {.name = #section, \
     .keys = section##_keys, \
     .size = sizeof(struct config_##section), \
     .offset = offsetof(struct config, section)},
    CONFIG_SECTIONS(X)
#undef X
#define X(section, list, member, most) \
    {.name = #section, \
     .keys = section##_keys, \
     .size = sizeof(struct config_##section), \
     .offset = offsetof(struct config, member), \
     .count_offset = offsetof(struct config, n_##member), \
     .max = most, \
     .is_named = true},
        CONFIG_NAMED_SECTIONS(X)
#undef X
};
const size_t config_n_sections = sizeof config_sections / sizeof config_sections[0];

#define X(section, list, member, max) \
    _Static_assert(offsetof(struct config_##section, id) == 0, "config_id() reads it there");
CONFIG_NAMED_SECTIONS(X)
#undef X

const char *config_reload_name(enum config_reload reload)
{
#define X(constant, text) text,
    static const char *const names[] = { CONFIG_RELOADS(X) };
#undef X
    CHECK(reload < RELOADS_N);
    return names[reload];
}

const struct section_row *config_find_section(const char *name)
{
    for (size_t i = 0; i < config_n_sections; i++)
        if (strcmp(config_sections[i].name, name) == 0)
            return &config_sections[i];
    return NULL;
}

const struct key_row *config_find_key(const struct section_row *s, const char *name)
{
    size_t n;
    const struct key_row *keys = s->keys(&n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

size_t config_count(const struct config *c, const struct section_row *s)
{
    return s->is_named ? *(const size_t *)((const char *)c + s->count_offset) : 1;
}

void *config_section_at(const struct config *c, const struct section_row *s, size_t i)
{
    char *at = (char *)c + s->offset;

    CHECK(i < config_count(c, s));
    if (!s->is_named)
        return at;
    return *(char **)at + i * s->size;
}

const char *config_id(const struct section_row *s, const void *section)
{
    return s->is_named ? section : "";
}

void config_set_defaults(const struct section_row *s, void *section)
{
    size_t n;
    const struct key_row *keys = s->keys(&n);

    memset(section, 0, s->size);
    for (size_t i = 0; i < n; i++)
        CHECK(config_set_key(section, &keys[i], keys[i].def, NULL) == 0);
}

void *config_append(struct config *c, const struct section_row *s, const char *id)
{
    size_t *count = (size_t *)((char *)c + s->count_offset);
    char **array = (char **)((char *)c + s->offset);

    CHECK(s->is_named && *count < s->max && strlen(id) < CONFIG_ID_MAX);
    *array = realloc(*array, (*count + 1) * s->size);
    CHECK(*array != NULL);
    char *section = *array + *count * s->size;
    config_set_defaults(s, section);
    strcpy(section, id);
    ++*count;
    return section;
}

static int set_string(char *member, const char *text, struct err *e)
{
    size_t len = strlen(text);

    if (len >= CONFIG_STR_MAX)
        return err_set(e, EINVAL, "found %zu bytes, expected at most %d", len, CONFIG_STR_MAX - 1);
    if (!config_is_text(text, len))
        return err_set(e, EINVAL, "found bytes that are not UTF-8, or control bytes");
    memcpy(member, text, len + 1);
    return 0;
}

static int set_integer(int64_t *member, const struct key_row *k, const char *text, struct err *e)
{
    char *end;

    errno = 0;
    long long v = strtoll(text, &end, 10);
    bool is_number = (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) && *end == '\0';
    if (!is_number || errno != 0 || v < k->min || v > k->max)
        return err_set(e, EINVAL, "found \"%.60s\", expected a whole number from %lld to %lld%s%s",
                       text, (long long)k->min, (long long)k->max, k->unit[0] ? " " : "", k->unit);
    *member = v;
    return 0;
}

static int set_boolean(bool *member, const char *text, struct err *e)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *member = i % 2;
            return 0;
        }
    return err_set(e, EINVAL, "found \"%.60s\", expected yes or no (true/false, on/off, 1/0)",
                   text);
}

int config_set_key(void *section, const struct key_row *k, const char *text, struct err *e)
{
    void *member = (char *)section + k->offset;

    switch (k->type) {
    case TYPE_STR:
        return set_string(member, text, e);
    case TYPE_INT:
        return set_integer(member, k, text, e);
    case TYPE_BOOL:
        return set_boolean(member, text, e);
    }
    CHECK_UNREACHABLE("a type outside the list");
}

void config_print_value(const void *section, const struct key_row *k, struct buf *out)
{
    const void *member = (const char *)section + k->offset;

    switch (k->type) {
    case TYPE_STR:
        buf_add_str(out, member);
        return;
    case TYPE_INT:
        buf_printf(out, "%lld", (long long)*(const int64_t *)member);
        return;
    case TYPE_BOOL:
        buf_add_str(out, *(const bool *)member ? "yes" : "no");
        return;
    }
}

bool config_same_value(const void *a, const void *b, const struct key_row *k)
{
    const void *in_a = (const char *)a + k->offset, *in_b = (const char *)b + k->offset;

    switch (k->type) {
    case TYPE_STR:
        return strcmp(in_a, in_b) == 0;
    case TYPE_INT:
        return *(const int64_t *)in_a == *(const int64_t *)in_b;
    case TYPE_BOOL:
        return *(const bool *)in_a == *(const bool *)in_b;
    }
    CHECK_UNREACHABLE("a type outside the list");
}

int config_is_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return 0;
    return utf8_valid(text, len);
}

/* INI text into struct config. inih walks the lines and tells sections from keys; it never sees
 * more of a line than fits its buffers (200 bytes a line, 50 a section, compile-time sizes of the
 * packaged library), because read_line() hands it a short form and keeps the real section name and
 * value here. Nothing is cut silently. */
#include "base/config.h"

#include "base/check.h"
#include "base/config_table.h"
#include "base/names.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX    64
#define ALIAS       "alias"
#define NOT_TEXT    "found bytes that are not UTF-8, or control bytes"
#define HIDDEN_MARK '\x1f' /* stands for ':', which inih would take for '=' */

struct parser {
    struct config *config;
    const char *at, *end; /* the text not read yet */
    int line;
    struct err err; /* the first one */

    const struct section_row *row; /* of the open section; NULL in [alias] and before the first */
    void *section;                 /* borrowed from config; moves when a sibling is appended */
    bool is_alias;
    int plain_line[KEYS_MAX]; /* where each plain section began, 0 = not yet */
    int key_line[KEYS_MAX];   /* the same for the open section's keys */
    char value[2 * CONFIG_STR_MAX];
};

#define FAIL(p, ...) err_set(&(p)->err, EINVAL, __VA_ARGS__)

static void trim(const char **from, const char **to)
{
    while (*from < *to && isspace((unsigned char)**from))
        ++*from;
    while (*from < *to && isspace((unsigned char)(*to)[-1]))
        --*to;
}

/* What may follow a quoted string or a section header: nothing, or a comment. */
static bool is_rest_empty(const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from))
        from++;
    return from == to || *from == ';' || *from == '#';
}

/* A string in double quotes at *from; leaves *from behind it. */
static int read_quoted(struct parser *p, const char **from, const char *to, char *out, size_t size)
{
    const char *s = *from + 1;
    size_t n = 0;

    for (; s < to && *s != '"'; s++) {
        if (*s == '\\' && (++s == to || (*s != '"' && *s != '\\')))
            return FAIL(p, "found another escape than \\\" or \\\\ in a quoted string");
        if (n + 1 == size)
            return FAIL(p, "found a quoted string of more than %zu bytes", size - 1);
        out[n++] = *s;
    }
    if (s == to)
        return FAIL(p, "found no closing quote");
    out[n] = '\0';
    *from = s + 1;
    return 0;
}

/* The text between '=' and the end of the line: quoted, or up to a comment. */
static int read_value(struct parser *p, const char *from, const char *to)
{
    const char *start = from, *line_end = to;

    trim(&start, &line_end);
    if (start < line_end && *start == '"') {
        int rc = read_quoted(p, &start, to, p->value, sizeof p->value);
        if (rc == 0 && !is_rest_empty(start, to))
            rc = FAIL(p, "found text behind the closing quote, expected a comment or nothing");
        return rc;
    }
    for (const char *s = from; s + 1 < to; s++)
        if (isspace((unsigned char)s[0]) && s[1] == ';')
            to = s;
    trim(&from, &to);
    if ((size_t)(to - from) >= sizeof p->value)
        return FAIL(p, "found a value of %zu bytes, expected at most %d", (size_t)(to - from),
                    CONFIG_STR_MAX - 1);
    memcpy(p->value, from, (size_t)(to - from));
    p->value[to - from] = '\0';
    return 0;
}

static int refuse_section(struct parser *p, const char *name)
{
    const char *known[KEYS_MAX] = {ALIAS};

    CHECK(config_n_sections + 1 <= KEYS_MAX);
    for (size_t i = 0; i < config_n_sections; i++)
        known[i + 1] = config_sections[i].name;
    const char *nearest = names_nearest(name, known, config_n_sections + 1);
    if (nearest == NULL)
        return FAIL(p, "unknown section [%.60s]", name);
    return FAIL(p, "unknown section [%.60s]; did you mean [%s]?", name, nearest);
}

static int open_plain(struct parser *p, size_t index, const char *name)
{
    if (p->plain_line[index] != 0)
        return FAIL(p, "duplicate section [%s], first on line %d", name, p->plain_line[index]);
    p->plain_line[index] = p->line;
    p->is_alias = p->row == NULL;
    p->section = p->is_alias ? NULL : config_section_at(p->config, p->row, 0);
    return 0;
}

static int open_named(struct parser *p, const char *id)
{
    size_t n = config_count(p->config, p->row);

    if (id[0] == '\0')
        return FAIL(p, "found [%s \"\"], expected a name", p->row->name);
    if (!config_is_text(id, strlen(id)))
        return FAIL(p, NOT_TEXT);
    for (size_t i = 0; i < n; i++)
        if (strcmp(config_id(p->row, config_section_at(p->config, p->row, i)), id) == 0)
            return FAIL(p, "duplicate section [%s \"%s\"]", p->row->name, id);
    if (n == p->row->max)
        return FAIL(p, "found more than %zu sections [%s \"...\"]", n, p->row->name);
    p->section = config_append(p->config, p->row, id);
    p->is_alias = false;
    return 0;
}

/* [name] or [name "id"] between from and to; *name for inih is the table's own string. */
static int open_section(struct parser *p, const char *from, const char *to, const char **name)
{
    char word[64], id[CONFIG_ID_MAX] = "";
    const char *s = from + 1;
    size_t n = 0;
    bool has_id = false;
    int rc;

    memset(p->key_line, 0, sizeof p->key_line);
    while (s < to && isspace((unsigned char)*s))
        s++;
    for (; s < to && *s != ']' && *s != '"' && !isspace((unsigned char)*s); s++)
        if (n + 1 < sizeof word)
            word[n++] = *s;
    word[n] = '\0';
    while (s < to && isspace((unsigned char)*s))
        s++;
    if (s < to && *s == '"') {
        has_id = true;
        if ((rc = read_quoted(p, &s, to, id, sizeof id)) != 0)
            return rc;
        while (s < to && isspace((unsigned char)*s))
            s++;
    }
    if (s == to || *s != ']' || !is_rest_empty(s + 1, to))
        return FAIL(p, "found no section header, expected [name] or [name \"id\"]");

    bool is_alias = strcmp(word, ALIAS) == 0;
    p->row = config_find_section(word);
    if (p->row == NULL && !is_alias)
        return refuse_section(p, word);
    *name = is_alias ? ALIAS : p->row->name;
    if (has_id != (p->row != NULL && p->row->is_named))
        return has_id ? FAIL(p, "found [%s \"%s\"], expected [%s]", word, id, word)
                      : FAIL(p, "found [%s], expected [%s \"name\"]", word, word);
    if (has_id)
        return open_named(p, id);
    return open_plain(p, is_alias ? config_n_sections : (size_t)(p->row - config_sections), word);
}

static bool is_line_text(const char *from, const char *to)
{
    for (const char *s = from; s < to; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    return utf8_valid(from, (size_t)(to - from));
}

/* One line in the short form inih gets: nothing, a section's plain name, or a key without value. */
static int shorten_line(struct parser *p, const char *from, const char *to, char *out, size_t size)
{
    const char *name, *equals;
    size_t n;
    int rc;

    out[0] = '\0';
    trim(&from, &to);
    if (!is_line_text(from, to))
        return FAIL(p, NOT_TEXT);
    if (from == to || *from == ';' || *from == '#')
        return 0;
    if (*from == '[') {
        if ((rc = open_section(p, from, to, &name)) == 0)
            snprintf(out, size, "[%s]", name);
        return rc;
    }
    equals = memchr(from, '=', (size_t)(to - from));
    if (equals != NULL && (rc = read_value(p, equals + 1, to)) != 0)
        return rc;
    to = equals != NULL ? equals : to;
    trim(&from, &to);
    n = (size_t)(to - from);
    if (n >= CONFIG_ID_MAX)
        return FAIL(p, "found a key of %zu bytes, expected at most %d", n, CONFIG_ID_MAX - 1);
    CHECK(n + 3 <= size);
    for (size_t i = 0; i < n; i++)
        out[i] = from[i] == ':' ? HIDDEN_MARK : from[i];
    strcpy(out + n, equals != NULL ? "=" : "");
    return 0;
}

static char *read_line(char *out, int size, void *stream)
{
    struct parser *p = stream;

    if (p->at == p->end || p->err.code != 0)
        return NULL;
    const char *newline = memchr(p->at, '\n', (size_t)(p->end - p->at));
    const char *to = newline != NULL ? newline : p->end;
    const char *from = p->at;
    p->at = newline != NULL ? newline + 1 : p->end;
    if (++p->line == 1 && to - from >= 3 && memcmp(from, "\xef\xbb\xbf", 3) == 0)
        from += 3;
    if (shorten_line(p, from, to, out, (size_t)size) != 0)
        return NULL;
    strcat(out, "\n");
    return out;
}

static int add_alias(struct parser *p, const char *name)
{
    struct config *c = p->config;

    if (name[0] == '\0')
        return FAIL(p, "found no name before '='");
    if (!config_is_text(name, strlen(name)) || !config_is_text(p->value, strlen(p->value)))
        return FAIL(p, NOT_TEXT);
    for (size_t i = 0; i < c->n_aliases; i++)
        if (strcmp(c->aliases[i].id, name) == 0)
            return FAIL(p, "duplicate alias \"%s\"", name);
    if (c->n_aliases == CONFIG_ALIASES_MAX)
        return FAIL(p, "found more than %d aliases", CONFIG_ALIASES_MAX);
    if (strlen(p->value) >= CONFIG_ID_MAX)
        return FAIL(p, "alias \"%s\": found %zu bytes, expected at most %d", name, strlen(p->value),
                    CONFIG_ID_MAX - 1);
    c->aliases = realloc(c->aliases, (c->n_aliases + 1) * sizeof *c->aliases);
    CHECK(c->aliases != NULL);
    strcpy(c->aliases[c->n_aliases].id, name);
    strcpy(c->aliases[c->n_aliases++].model, p->value);
    return 0;
}

static int refuse_key(struct parser *p, const char *name)
{
    const char *known[KEYS_MAX];
    size_t n;
    const struct key_row *keys = p->row->keys(&n);

    for (size_t i = 0; i < n; i++)
        known[i] = keys[i].name;
    const char *nearest = names_nearest(name, known, n);
    if (nearest == NULL)
        return FAIL(p, "unknown key \"%s\" in [%s]", name, p->row->name);
    return FAIL(p, "unknown key \"%s\" in [%s]; did you mean \"%s\"?", name, p->row->name, nearest);
}

static int set_key(struct parser *p, const char *name)
{
    size_t n;
    const struct key_row *keys = p->row->keys(&n);
    const struct key_row *k = config_find_key(p->row, name);

    CHECK(n <= KEYS_MAX);
    if (k == NULL)
        return refuse_key(p, name);
    if (p->key_line[k - keys] != 0)
        return FAIL(p, "duplicate key \"%s\" in [%s], first on line %d", name, p->row->name,
                    p->key_line[k - keys]);
    p->key_line[k - keys] = p->line;
    if (config_set_key(p->section, k, p->value, &p->err) == 0)
        return 0;
    return err_prefix(&p->err, "key \"%s\" in [%s]", name, p->row->name);
}

/* inih's callback: 1 = go on. The value it would give is the part read_line() kept. */
static int take_key(void *user, const char *section, const char *name, const char *value)
{
    struct parser *p = user;
    char key[CONFIG_ID_MAX];

    (void)value;
    CHECK(strlen(name) < sizeof key);
    strcpy(key, name);
    for (char *s = key; *s != '\0'; s++)
        if (*s == HIDDEN_MARK)
            *s = ':';
    if (section[0] == '\0')
        return FAIL(p, "found key \"%s\" before the first section", key) == 0;
    return (p->is_alias ? add_alias(p, key) : set_key(p, key)) == 0;
}

int config_parse(struct config *c, const char *name, const char *text, size_t len, struct err *e)
{
    struct parser p = {.config = c, .at = text, .end = text + len};

    *c = (struct config){0};
    for (size_t i = 0; i < config_n_sections; i++)
        if (!config_sections[i].is_named)
            config_set_defaults(&config_sections[i], config_section_at(c, &config_sections[i], 0));

    int bad_line = ini_parse_stream(read_line, &p, take_key, &p);
    CHECK(bad_line >= 0);
    if (bad_line == 0 && p.err.code == 0)
        return 0;
    config_free(c);
    if (bad_line != 0 && (p.err.code == 0 || bad_line < p.line)) {
        p.line = bad_line;
        err_set(&p.err, EINVAL, "found neither a section nor a key, expected key = value");
    }
    return err_set(e, EINVAL, "%s:%d: %s", name, p.line, p.err.text);
}

#include "supervisor/options.h"

#include "base/check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUB_PREFIX   "models--"
#define HUB_SPLIT    "--"
#define HUB_REVISION "snapshots"
#define MODEL_ROOT   "models"

const char *options_config_path(const struct options *o)
{
    if (o->config_path != NULL)
        return o->config_path;
    for (size_t i = 0; i < o->words.n; i++)
        if (o->words.word[i].id != NULL)
            return NULL;
    return config_default_path();
}

int options_load_config(const struct options *o, struct config *c, struct err *e)
{
    return config_load(c, options_config_path(o), &o->words, e);
}

void options_set_listen(struct options *o, const char *address)
{
    struct config_words *words = &o->words;
    struct config_word word = {"gateway", NULL, "listen", address};

    for (size_t i = 0; i < words->n; i++)
        if (words->word[i].id == NULL) {
            words->word[i] = word; /* the last one counts */
            return;
        }
    CHECK(words->n < sizeof words->word / sizeof words->word[0]);
    words->word[words->n++] = word;
}

/* ---- names ---- */

struct span {
    const char *at;
    size_t len;
};

/* The last component before *end, which moves to its front; empty when there is none. */
static struct span take_last(const char *path, size_t *end)
{
    while (*end > 0 && path[*end - 1] == '/')
        --*end;
    size_t to = *end;
    while (*end > 0 && path[*end - 1] != '/')
        --*end;
    return (struct span){path + *end, to - *end};
}

static bool is_word(struct span s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

static int set_id(char id[CONFIG_ID_MAX], struct span org, struct span name, struct err *e)
{
    int n = org.len > 0 ? snprintf(id, CONFIG_ID_MAX, "%.*s/%.*s", (int)org.len, org.at,
                                   (int)name.len, name.at)
                        : snprintf(id, CONFIG_ID_MAX, "%.*s", (int)name.len, name.at);

    if (n > 0 && n < CONFIG_ID_MAX)
        return 0;
    return err_set(e, EINVAL, "its name would be of %d bytes, expected 1 to %d; say NAME=DIR", n,
                   CONFIG_ID_MAX - 1);
}

/* models--org--name, models--name */
static bool split_hub(struct span s, struct span *org, struct span *name)
{
    size_t prefix = strlen(HUB_PREFIX), split = strlen(HUB_SPLIT);

    if (s.len <= prefix || memcmp(s.at, HUB_PREFIX, prefix) != 0)
        return false;
    struct span rest = {s.at + prefix, s.len - prefix};
    const char *at = memmem(rest.at, rest.len, HUB_SPLIT, split);
    *org = (struct span){rest.at, at != NULL ? (size_t)(at - rest.at) : 0};
    *name = at != NULL ? (struct span){at + split, rest.len - org->len - split} : rest;
    return name->len > 0;
}

/* As people write the names of models: one '/', and no hint of a path. */
static bool is_typed_name(const char *typed)
{
    size_t len = strlen(typed);

    while (len > 0 && typed[len - 1] == '/')
        len--;
    size_t end = len;
    struct span name = take_last(typed, &end), org = take_last(typed, &end);
    return end == 0 && name.len > 0 && org.len > 0 && name.at[0] != '.' && org.at[0] != '.' &&
           typed[0] != '/' && !is_word(org, MODEL_ROOT);
}

int options_name_model(const char *typed, const char *path, char id[CONFIG_ID_MAX], struct err *e)
{
    size_t end = strlen(path);
    struct span name = take_last(path, &end), parent = take_last(path, &end);
    struct span above = take_last(path, &end), none = {NULL, 0}, org, repository;

    if (is_word(parent, HUB_REVISION) && split_hub(above, &org, &repository))
        return set_id(id, org, repository, e);
    if (parent.len > 0 && (is_word(above, MODEL_ROOT) || is_typed_name(typed)))
        return set_id(id, parent, name, e);
    return set_id(id, none, name, e);
}

/* ---- directories ---- */

/* Absolute, without "." and empty components: as typed otherwise, because links have names, too. */
static int make_absolute(const char *typed, char path[PATH_MAX], struct err *e)
{
    char whole[2 * PATH_MAX], *rest;
    size_t n = 0;

    if (typed[0] == '/')
        whole[0] = '\0';
    else if (getcwd(whole, PATH_MAX) == NULL)
        return err_set(e, errno, "current directory: %s", strerror(errno));
    strcat(whole, "/");
    if (strlen(typed) >= PATH_MAX)
        return err_set(e, ENAMETOOLONG, "%.60s...: %s", typed, strerror(ENAMETOOLONG));
    strcat(whole, typed);
    path[0] = '\0';
    for (char *word = strtok_r(whole, "/", &rest); word != NULL;
         word = strtok_r(NULL, "/", &rest)) {
        size_t len = strlen(word);
        if (strcmp(word, ".") == 0)
            continue;
        if (n + len + 2 > PATH_MAX)
            return err_set(e, ENAMETOOLONG, "%.60s...: %s", typed, strerror(ENAMETOOLONG));
        path[n++] = '/';
        memcpy(path + n, word, len + 1);
        n += len;
    }
    return 0;
}

static int find_directory(const char *typed, char path[PATH_MAX], struct err *e)
{
    struct stat st;

    if (typed[0] == '\0')
        return err_set(e, EINVAL, "found nothing, expected the directory of a model");
    int rc = make_absolute(typed, path, e);
    if (rc != 0)
        return rc;
    if (stat(path[0] != '\0' ? path : "/", &st) != 0)
        return err_set(e, errno, "%s: %s; expected the directory of a model", typed,
                       strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "%s: no directory; expected that of a model", typed);
    /* Where ".." leads only the file system knows. */
    if ((strstr(path, "/../") != NULL ||
         (strlen(path) >= 3 && strcmp(path + strlen(path) - 3, "/..") == 0)) &&
        realpath(typed, path) == NULL)
        return err_set(e, errno, "%s: %s", typed, strerror(errno));
    return 0;
}

static const char *keep(struct options *o, const char *text)
{
    char *copy = strdup(text);

    CHECK(copy != NULL);
    o->text[o->n_text++] = copy;
    return copy;
}

static int add_model(struct options *o, const char *name, const char *typed, struct err *e)
{
    char path[PATH_MAX], id[CONFIG_ID_MAX];
    struct config_words *words = &o->words;
    int rc = find_directory(typed, path, e);

    if (rc == 0 && name == NULL)
        rc = options_name_model(typed, path, id, e);
    if (rc != 0)
        return rc;
    if (o->n_text + 2 > sizeof o->text / sizeof o->text[0])
        return err_set(e, EINVAL, "more than %d models", CONFIG_MODELS_MAX);
    words->word[words->n++] =
        (struct config_word){"model", keep(o, name != NULL ? name : id), "path", keep(o, path)};
    return 0;
}

int options_add_model(struct options *o, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    char name[CONFIG_ID_MAX];
    int rc;

    if (equals == NULL || text[0] == '/' || text[0] == '.') {
        rc = add_model(o, NULL, text, e);
    } else if ((size_t)(equals - text) >= sizeof name || equals == text) {
        rc = err_set(e, EINVAL, "%.60s: found a name of %zu bytes, expected 1 to %zu", text,
                     (size_t)(equals - text), sizeof name - 1);
    } else {
        snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
        rc = add_model(o, name, equals + 1, e);
    }
    return rc == 0 ? 0 : err_prefix(e, "--model");
}

void options_free(struct options *o)
{
    for (size_t i = 0; i < o->n_text; i++)
        free(o->text[i]);
    *o = (struct options){0};
}

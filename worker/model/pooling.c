#include "worker/model/pooling.h"

#include "base/json.h"
#include "worker/model/config_read.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MODULES_FILE "modules.json"
#define FILE_MAX     ((size_t)1 << 20)
#define MODULES_MAX  3
#define TINY_NORM    1e-12 /* as sentence-transformers has it: zeros stay zeros */

#define X(constant, mode, flag) [constant] = mode,
static const char *const modes[POOLING_KINDS_N] = {POOLINGS(X)};
#undef X
#define X(constant, mode, flag) [constant] = flag,
static const char *const flags[POOLING_KINDS_N] = {POOLINGS(X)};
#undef X
#define FLAG_START "pooling_mode_"

/* --- files --- */

/* An object's file. -ENOENT without one. */
static int read_object(const struct root *root, const char *name, struct json_object **out,
                       struct err *e)
{
    struct buf text = {0};
    int rc = root_read_all(root, name, FILE_MAX, &text, e);

    *out = NULL;
    if (rc == 0 && (rc = json_parse(text.data, text.len, out, e)) != 0)
        err_prefix(e, "%s", name);
    buf_free(&text);
    return rc;
}

static int expect_object(const struct json_object *o, const char *name, struct err *e)
{
    if (json_type_of(o) == JSON_OBJECT)
        return 0;
    return err_set(e, EINVAL, "%s: found %s, expected an object", name,
                   json_type_name(json_type_of(o)));
}

static const char *get_text(const struct json_object *o, const char *key)
{
    const struct json_object *v = json_get(o, key);

    return v != NULL && json_type_of(v) == JSON_STRING ? json_string(v, NULL) : NULL;
}

/* A name of the file in a sentence. */
static const char *printable(const char *text)
{
    return text != NULL ? config_printable(text) : "none";
}

/* --- the pooling's own file --- */

static enum pooling_kind find_kind(const char *const names[POOLING_KINDS_N], const char *name)
{
    for (enum pooling_kind k = POOLING_NONE + 1; k < POOLING_KINDS_N; k++)
        if (strcmp(names[k], name) == 0)
            return k;
    return POOLING_NONE;
}

static int refuse_mode(const char *name, struct err *e)
{
    return err_set(e, ENOTSUP, "found pooling by %.64s, expected lasttoken or mean",
                   printable(name));
}

/* "pooling_mode": one name, or an array of one. */
static int read_mode(struct pooling *p, const struct json_object *mode, struct err *e)
{
    if (json_type_of(mode) == JSON_ARRAY && json_length(mode) == 1)
        mode = json_at(mode, 0);
    if (mode == NULL || json_type_of(mode) != JSON_STRING)
        return err_set(e, ENOTSUP,
                       "pooling_mode: found several modes side by side, or none; "
                       "expected lasttoken or mean");
    p->kind = find_kind(modes, json_string(mode, NULL));
    return p->kind == POOLING_NONE ? refuse_mode(json_string(mode, NULL), e) : 0;
}

/* One flag for each mode, as older files have it; none means the mean. */
static int read_flags(struct pooling *p, const struct json_object *root, struct err *e)
{
    for (struct json_iterator it = json_members(root); json_next(&it);) {
        bool is_on = false;
        if (strncmp(it.key, FLAG_START, strlen(FLAG_START)) != 0)
            continue;
        int rc = config_read_bool(root, it.key, &is_on, e);
        if (rc != 0)
            return rc;
        if (!is_on)
            continue;
        if (p->kind != POOLING_NONE)
            return err_set(e, ENOTSUP, "%.64s: found a second mode beside %s, expected one",
                           printable(it.key), flags[p->kind]);
        p->kind = find_kind(flags, it.key);
        if (p->kind == POOLING_NONE)
            return refuse_mode(it.key, e);
    }
    if (p->kind == POOLING_NONE)
        p->kind = POOLING_MEAN;
    return 0;
}

static int read_pooling(struct pooling *p, const struct model_config *c,
                        const struct json_object *root, struct err *e)
{
    uint32_t width = c->hidden_size;
    int rc = expect_object(root, "pooling", e);

    if (rc == 0)
        rc = config_read_u32(root, "word_embedding_dimension", 1, UINT32_MAX, &width, e);
    if (rc == 0)
        rc = config_read_u32(root, "embedding_dimension", 1, UINT32_MAX, &width, e);
    if (rc == 0 && width != c->hidden_size)
        return err_set(e, EINVAL, "found vectors of %u numbers, expected %u, the hidden_size",
                       width, c->hidden_size);
    if (rc != 0)
        return rc;
    if (json_get(root, "pooling_mode") != NULL)
        return read_mode(p, json_get(root, "pooling_mode"), e);
    return read_flags(p, root, e);
}

static int load_pooling(struct pooling *p, const struct model_config *c, const struct root *root,
                        const char *folder, struct err *e)
{
    struct json_object *o = NULL;
    char name[ROOT_NAME_MAX + 1];

    snprintf(name, sizeof name, "%s/config.json", folder);
    int rc = read_object(root, name, &o, e);
    if (rc == 0 && (rc = read_pooling(p, c, o, e)) != 0)
        err_prefix(e, "%s", name);
    json_free(&o);
    return rc;
}

/* --- the transformer's --- */

static int read_transformer(struct model_config *c, const struct json_object *root, struct err *e)
{
    bool is_lower = false;
    const char *task = get_text(root, "transformer_task");
    uint32_t positions = c->max_positions;
    int rc = expect_object(root, "transformer", e);

    if (rc == 0)
        rc = config_read_bool(root, "do_lower_case", &is_lower, e);
    if (rc == 0)
        rc = config_read_u32(root, "max_seq_length", 1, UINT32_MAX, &positions, e);
    if (rc != 0)
        return rc;
    if (is_lower)
        return err_set(e, ENOTSUP, "do_lower_case: found true, expected text as it is");
    if (task != NULL && strcmp(task, "feature-extraction") != 0)
        return err_set(e, ENOTSUP, "transformer_task: found %.64s, expected feature-extraction",
                       printable(task));
    if (positions < c->max_positions)
        c->max_positions = positions;
    return 0;
}

static int load_transformer(struct model_config *c, const struct root *root, struct err *e)
{
    static const char name[] = "sentence_bert_config.json";
    struct json_object *o = NULL;
    int rc = read_object(root, name, &o, e);

    if (rc == 0 && (rc = read_transformer(c, o, e)) != 0)
        err_prefix(e, name);
    json_free(&o);
    return rc == -ENOENT ? 0 : rc;
}

/* --- the list of modules --- */

/* The last part of a class's name with its package: they move from version to version. */
static const char *get_class(const struct json_object *module)
{
    const char *type = get_text(module, "type");
    const char *dot = type != NULL ? strrchr(type, '.') : NULL;

    return dot != NULL ? dot + 1 : type;
}

static int check_modules(const struct json_object *list, struct err *e)
{
    static const char *const expected[MODULES_MAX] = {"Transformer", "Pooling", "Normalize"};
    size_t n = json_length(list);

    if (json_type_of(list) != JSON_ARRAY || n < MODULES_MAX - 1 || n > MODULES_MAX)
        return err_set(e, ENOTSUP,
                       "found %zu modules, expected Transformer, Pooling and perhaps Normalize", n);
    for (size_t i = 0; i < n; i++) {
        const char *class = get_class(json_at(list, i));
        const char *path = get_text(json_at(list, i), "path");
        if (class == NULL || strcmp(class, expected[i]) != 0)
            return err_set(e, ENOTSUP, "module %zu: found %.64s, expected %s", i, printable(class),
                           expected[i]);
        if (i == 0 && path != NULL && path[0] != '\0')
            return err_set(e, ENOTSUP, "module 0: found it in %.64s, expected it beside this file",
                           printable(path));
        if (i == 1 && (path == NULL || path[0] == '\0' || strlen(path) > ROOT_NAME_MAX / 2))
            return err_set(e, EINVAL, "module 1: path: found %s, expected a folder",
                           path == NULL || path[0] == '\0' ? "none" : "a longer one");
    }
    return 0;
}

int pooling_load(struct pooling *p, struct model_config *c, const struct root *root, struct err *e)
{
    struct json_object *list = NULL;

    *p = (struct pooling){.kind = POOLING_NONE};
    int rc = read_object(root, MODULES_FILE, &list, e);
    if (rc == -ENOENT)
        return 0;
    if (rc == 0 && (rc = check_modules(list, e)) != 0)
        err_prefix(e, MODULES_FILE);
    if (rc == 0)
        rc = load_pooling(p, c, root, get_text(json_at(list, 1), "path"), e);
    if (rc == 0)
        rc = load_transformer(c, root, e);
    p->is_normalised = json_length(list) == MODULES_MAX;
    c->is_headless = rc == 0;
    json_free(&list);
    return rc;
}

/* --- rows --- */

void pooling_add(double *sum, const float *row, uint32_t width)
{
    for (uint32_t i = 0; i < width; i++)
        sum[i] += (double)row[i];
}

int pooling_finish(const struct pooling *p, const double *sum, uint32_t n_rows, uint32_t width,
                   float *out)
{
    double squares = 0, divisor = (double)n_rows;

    for (uint32_t i = 0; i < width; i++)
        squares += sum[i] * sum[i];
    if (p->is_normalised) /* the number of rows falls out */
        divisor = fmax(sqrt(squares), TINY_NORM * (double)n_rows);
    for (uint32_t i = 0; i < width; i++) {
        out[i] = (float)(sum[i] / divisor);
        if (!isfinite(out[i]))
            return -ERANGE;
    }
    return 0;
}

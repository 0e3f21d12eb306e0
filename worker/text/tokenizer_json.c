#include "worker/text/tokenizer_json.h"

#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *tokenizer_quote(char out[TOKENIZER_QUOTED_MAX], const char *text, size_t len)
{
    struct buf quoted = {0};
    size_t shown = 0, n;

    while (shown < len && (n = utf8_sequence(text + shown, len - shown)) > 0 && shown + n <= 40)
        shown += n;
    buf_add_json_string(&quoted, text, shown);
    if (shown < len)
        buf_add_str(&quoted, "...");
    snprintf(out, TOKENIZER_QUOTED_MAX, "%s", buf_text(&quoted));
    buf_free(&quoted);
    return out;
}

static int refuse_type(const struct json_object *v, const char *name, const char *expected,
                       struct err *e)
{
    return err_set(e, EINVAL, "%s: found %s, expected %s", name, json_type_name(json_type_of(v)),
                   expected);
}

static bool is_among(const char *word, const char *words)
{
    size_t n = strlen(word);

    for (const char *p = words; *p != '\0'; p += *p == ' ') {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, word, n) == 0)
            return true;
        p += len;
    }
    return false;
}

int tokenizer_check_members(const struct json_object *o, const char *names, struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];

    if (json_type_of(o) != JSON_OBJECT)
        return err_set(e, EINVAL, "found %s, expected an object", json_type_name(json_type_of(o)));
    for (struct json_iterator it = json_members(o); json_next(&it);)
        if (!is_among(it.key, names))
            return err_set(e, EINVAL, "found the member %s, expected among: %s",
                           tokenizer_quote(quoted, it.key, strlen(it.key)), names);
    return 0;
}

int tokenizer_read_string(const struct json_object *o, const char *name, const char **text,
                          size_t *len, struct err *e)
{
    const struct json_object *v = json_get(o, name);

    if (json_type_of(v) != JSON_STRING)
        return refuse_type(v, name, "a string", e);
    *text = json_string(v, len);
    return 0;
}

int tokenizer_read_bool(const struct json_object *o, const char *name, bool *out, struct err *e)
{
    const struct json_object *v = json_get(o, name);

    if (json_type_of(v) != JSON_BOOL)
        return refuse_type(v, name, "true or false", e);
    *out = json_bool(v);
    return 0;
}

int tokenizer_read_bool_if(const struct json_object *o, const char *name, bool *out, struct err *e)
{
    return json_get(o, name) == NULL ? 0 : tokenizer_read_bool(o, name, out, e);
}

int tokenizer_read_count(const struct json_object *o, const char *name, uint32_t max, uint32_t *out,
                         struct err *e)
{
    const struct json_object *v = json_get(o, name);

    if (json_type_of(v) != JSON_NUMBER)
        return refuse_type(v, name, "a whole number", e);
    if (!json_is_integer(v) || json_integer(v) < 0 || json_integer(v) > (int64_t)max)
        return err_set(e, EINVAL, "%s: found %.17g, expected a whole number up to %" PRIu32, name,
                       json_number(v), max);
    *out = (uint32_t)json_integer(v);
    return 0;
}

int tokenizer_read_array(const struct json_object *o, const char *name,
                         const struct json_object **out, struct err *e)
{
    *out = json_get(o, name);
    return json_type_of(*out) == JSON_ARRAY ? 0 : refuse_type(*out, name, "an array", e);
}

int tokenizer_read_char(const struct json_object *o, const char *name, uint32_t *out, struct err *e)
{
    const char *text;
    size_t len, n = 0;
    int rc = tokenizer_read_string(o, name, &text, &len, e);

    if (rc != 0)
        return rc;
    if (len > 0)
        *out = utf8_decode(text, &n);
    if (len == 0 || n != len)
        return err_set(e, EINVAL, "%s: found %zu bytes, expected one character", name, len);
    return 0;
}

int tokenizer_read_word(const struct json_object *o, const char *name, const char *const *words,
                        size_t n, unsigned *out, struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];
    struct buf expected = {0};
    const char *text;
    size_t len;
    int rc = tokenizer_read_string(o, name, &text, &len, e);

    for (*out = 0; rc == 0 && *out < n; ++*out)
        if (strlen(words[*out]) == len && memcmp(words[*out], text, len) == 0)
            return 0;
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        buf_printf(&expected, "%s%s", i > 0 ? ", " : "", words[i]);
    rc = err_set(e, EINVAL, "%s: found %s, expected one of: %s", name,
                 tokenizer_quote(quoted, text, len), buf_text(&expected));
    buf_free(&expected);
    return rc;
}

/* --- steps --- */

static int refuse_step(const struct tokenizer_step *steps, size_t n, const char *type, size_t len,
                       struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];
    struct buf known = {0};

    for (size_t i = 0; i < n; i++)
        buf_printf(&known, "%s%s", i > 0 ? ", " : "", steps[i].type);
    int rc = err_set(e, EINVAL, "type: found %s, expected one of: %s",
                     tokenizer_quote(quoted, type, len), buf_text(&known));
    buf_free(&known);
    return rc;
}

int tokenizer_read_step(const struct tokenizer_step *steps, size_t n, const struct json_object *o,
                        void *to, struct err *e)
{
    const char *type;
    size_t len;

    if (json_type_of(o) != JSON_OBJECT)
        return err_set(e, EINVAL, "found %s, expected an object", json_type_name(json_type_of(o)));
    int rc = tokenizer_read_string(o, "type", &type, &len, e);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        const struct tokenizer_step *s = &steps[i];
        if (strlen(s->type) != len || memcmp(s->type, type, len) != 0)
            continue;
        rc = tokenizer_check_members(o, s->members, e);
        if (rc == 0)
            rc = s->read(to, o, e);
        if (rc != 0)
            err_prefix(e, "%s", s->type);
        return rc;
    }
    return refuse_step(steps, n, type, len, e);
}

int tokenizer_read_steps(const struct tokenizer_step *steps, size_t n, const struct json_object *o,
                         const char *name, void *to, struct err *e)
{
    const struct json_object *array;
    int rc = tokenizer_read_array(o, name, &array, e);

    for (size_t i = 0; rc == 0 && i < json_length(array); i++) {
        rc = tokenizer_read_step(steps, n, json_at(array, i), to, e);
        if (rc != 0)
            err_prefix(e, "%s[%zu]", name, i);
    }
    return rc;
}

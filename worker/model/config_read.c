#include "worker/model/config_read.h"

#include <errno.h>
#include <inttypes.h>

const char *config_printable(const char *key)
{
    for (const char *c = key; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "(a name with control bytes)";
    return key;
}

static int refuse_type(const struct json_object *v, const char *key, const char *expected,
                       struct err *e)
{
    return err_set(e, EINVAL, "%s: found %s, expected %s", key, json_type_name(json_type_of(v)),
                   expected);
}

static int read_integer(const struct json_object *v, const char *key, uint32_t min, uint32_t max,
                        uint32_t *out, struct err *e)
{
    if (json_type_of(v) != JSON_NUMBER)
        return refuse_type(v, key, "a whole number", e);
    if (!json_is_integer(v))
        return err_set(e, EINVAL, "%s: found %.6g, expected a whole number", key, json_number(v));
    if (json_integer(v) < (int64_t)min || json_integer(v) > (int64_t)max)
        return err_set(e, EINVAL, "%s: found %" PRId64 ", expected %" PRIu32 " to %" PRIu32, key,
                       json_integer(v), min, max);
    *out = (uint32_t)json_integer(v);
    return 0;
}

int config_read_u32(const struct json_object *o, const char *key, uint32_t min, uint32_t max,
                    uint32_t *out, struct err *e)
{
    const struct json_object *v = json_get(o, key);

    return v == NULL ? 0 : read_integer(v, key, min, max, out, e);
}

int config_read_double(const struct json_object *o, const char *key, double min, double max,
                       double *out, struct err *e)
{
    const struct json_object *v = json_get(o, key);

    if (v == NULL)
        return 0;
    if (json_type_of(v) != JSON_NUMBER)
        return refuse_type(v, key, "a number", e);
    if (!(json_number(v) >= min && json_number(v) <= max))
        return err_set(e, EINVAL, "%s: found %.6g, expected %.6g to %.6g", key, json_number(v), min,
                       max);
    *out = json_number(v);
    return 0;
}

int config_read_bool(const struct json_object *o, const char *key, bool *out, struct err *e)
{
    const struct json_object *v = json_get(o, key);

    if (v == NULL)
        return 0;
    if (json_type_of(v) != JSON_BOOL)
        return refuse_type(v, key, "true or false", e);
    *out = json_bool(v);
    return 0;
}

int config_read_eos(const struct json_object *o, uint32_t vocab_size, uint32_t *n,
                    uint32_t out[CONFIG_EOS_MAX], struct err *e)
{
    const char *key = "eos_token_id";
    const struct json_object *v = json_get(o, key);

    if (v == NULL)
        return 0;
    bool is_array = json_type_of(v) == JSON_ARRAY;
    size_t len = is_array ? json_length(v) : 1;
    if (len > CONFIG_EOS_MAX)
        return err_set(e, EINVAL, "%s: found %zu ids, expected at most %d", key, len,
                       CONFIG_EOS_MAX);
    *n = 0;
    for (size_t i = 0; i < len; i++) {
        uint32_t id, at = 0;
        int rc = read_integer(is_array ? json_at(v, i) : v, key, 0, vocab_size - 1, &id, e);
        if (rc != 0)
            return rc;
        while (at < *n && out[at] != id)
            at++;
        out[at] = id;
        if (at == *n)
            (*n)++;
    }
    return 0;
}

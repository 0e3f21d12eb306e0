#include "router/api/prompts.h"

static bool is_number(const struct json_object *v)
{
    return v != NULL && json_type_of(v) == JSON_NUMBER;
}

struct json_object *prompts_find(const struct json_object *body, const char *name, uint32_t i)
{
    struct json_object *prompt = json_get(body, name);

    if (json_type_of(prompt) == JSON_STRING || is_number(json_at(prompt, 0)))
        return prompt;
    return json_at(prompt, i);
}

uint32_t prompts_count(const struct json_object *body, const char *name, struct param_error *e)
{
    const struct json_object *prompt = json_get(body, name);
    enum json_type found = json_type_of(prompt);

    if (found == JSON_NULL)
        param_refuse(e, ERROR_INVALID_BODY, name, "%s: missing", name);
    else if (found != JSON_STRING && found != JSON_ARRAY)
        param_refuse(e, ERROR_INVALID_BODY, name, "%s: found %s, expected a string or an array",
                     name, json_type_name(found));
    else if (found == JSON_ARRAY && json_length(prompt) == 0)
        param_refuse(e, ERROR_INVALID_BODY, name, "%s: an array with nothing in it", name);
    else if (found == JSON_STRING || is_number(json_at(prompt, 0)))
        return 1;
    else
        return (uint32_t)json_length(prompt);
    return 0;
}

static int check_ids(const struct json_object *ids, const char *name, uint32_t at,
                     struct param_error *e)
{
    if (json_length(ids) == 0)
        return param_refuse(e, ERROR_INVALID_BODY, name, "%s %u: no token in it", name, at);
    for (size_t i = 0; i < json_length(ids); i++) {
        const struct json_object *id = json_at(ids, i);
        if (!is_number(id) || !json_is_integer(id) || json_integer(id) < 0 ||
            json_integer(id) > INT32_MAX)
            return param_refuse(e, ERROR_INVALID_BODY, name,
                                "%s %u, token %zu: expected a token id", name, at, i);
    }
    return 0;
}

int prompts_check(struct generation *g, const char *name, struct param_error *e)
{
    uint32_t n = prompts_count(g->body, name, e);
    uint32_t at = (uint32_t)g->cursor;
    const struct json_object *prompt = prompts_find(g->body, name, at);

    if (json_type_of(prompt) == JSON_ARRAY) {
        if (check_ids(prompt, name, at, e) != 0)
            return -1;
    } else if (json_type_of(prompt) != JSON_STRING) {
        return param_refuse(e, ERROR_INVALID_BODY, name,
                            "%s %u: found %s, expected a string or an array of token ids", name, at,
                            json_type_name(json_type_of(prompt)));
    }
    return ++g->cursor == n;
}

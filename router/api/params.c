#include "router/api/params.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct param {
    const char *name;
    enum param_type type;
    double least, most; /* of a number; of a string's or array's length */
    unsigned dialects;
    enum param_use use;
} params[] = {
#define X(name, type, least, most, dialects, use)                                                  \
    {#name, PARAM_##type, least, most, dialects, PARAM_##use},
    API_PARAMS(X)
#undef X
};
#define N_PARAMS (sizeof params / sizeof params[0])

int param_refuse(struct param_error *e, enum api_error error, const char *param, const char *fmt,
                 ...)
{
    va_list ap;

    e->error = error;
    snprintf(e->param, sizeof e->param, "%s", param != NULL ? param : "");
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

static int refuse_type(const struct param *p, const struct json_object *v, const char *expected,
                       struct param_error *e)
{
    return param_refuse(e, ERROR_INVALID_BODY, p->name, "%s: found %s, expected %s", p->name,
                        json_type_name(json_type_of(v)), expected);
}

static int check_number(const struct param *p, const struct json_object *v, struct param_error *e)
{
    bool is_integer = p->type == PARAM_INTEGER;

    if (json_type_of(v) != JSON_NUMBER || (is_integer && !json_is_integer(v)))
        return refuse_type(p, v, is_integer ? "an integer" : "a number", e);
    double x = json_number(v);
    if (x < p->least || x > p->most)
        return param_refuse(e, ERROR_INVALID_BODY, p->name, "%s: found %g, expected %g to %g",
                            p->name, x, p->least, p->most);
    return 0;
}

static int check_stop(const struct param *p, const struct json_object *v, struct param_error *e)
{
    size_t len;

    if (json_type_of(v) == JSON_STRING) {
        json_string(v, &len);
        if (len > STOP_LEN_MAX)
            return param_refuse(e, ERROR_INVALID_BODY, p->name,
                                "%s: %zu bytes, at most %d are allowed", p->name, len,
                                STOP_LEN_MAX);
        return 0;
    }
    if (json_type_of(v) != JSON_ARRAY)
        return refuse_type(p, v, "a string or an array of strings", e);
    if (json_length(v) > (size_t)p->most)
        return param_refuse(e, ERROR_INVALID_BODY, p->name,
                            "%s: %zu strings, at most %.0f are allowed", p->name, json_length(v),
                            p->most);
    for (size_t i = 0; i < json_length(v); i++) {
        const struct json_object *s = json_at(v, i);
        if (json_type_of(s) != JSON_STRING)
            return param_refuse(e, ERROR_INVALID_BODY, p->name, "%s[%zu]: found %s, expected a string", p->name, i,
                                json_type_name(json_type_of(s)));
        json_string(s, &len);
        if (len > STOP_LEN_MAX)
            return param_refuse(e, ERROR_INVALID_BODY, p->name,
                                "%s[%zu]: %zu bytes, at most %d are allowed", p->name, i, len,
                                STOP_LEN_MAX);
    }
    return 0;
}

/* Numbers by token id. */
static int check_bias(const struct param *p, const struct json_object *v, struct param_error *e)
{
    if (json_type_of(v) != JSON_OBJECT)
        return refuse_type(p, v, "an object", e);
    if (json_length(v) > BIAS_MAX)
        return param_refuse(e, ERROR_INVALID_BODY, p->name,
                            "%s: %zu tokens, at most %d are allowed", p->name, json_length(v),
                            BIAS_MAX);
    for (struct json_iterator it = json_members(v); json_next(&it);) {
        size_t n = strspn(it.key, "0123456789");
        if (n == 0 || n > 10 || it.key[n] != '\0')
            return param_refuse(e, ERROR_INVALID_BODY, p->name, "%s: \"%.20s\" is not a token id",
                                p->name, it.key);
        if (json_type_of(it.value) != JSON_NUMBER || json_number(it.value) < p->least ||
            json_number(it.value) > p->most)
            return param_refuse(e, ERROR_INVALID_BODY, p->name,
                                "%s: of %s: expected a number, %g to %g", p->name, it.key, p->least,
                                p->most);
    }
    return 0;
}

static int check_objects(const struct param *p, const struct json_object *v, struct param_error *e)
{
    for (size_t i = 0; i < json_length(v); i++)
        if (json_type_of(json_at(v, i)) != JSON_OBJECT)
            return param_refuse(e, ERROR_INVALID_BODY, p->name,
                                "%s[%zu]: found %s, expected an object", p->name, i,
                                json_type_name(json_type_of(json_at(v, i))));
    return 0;
}

static int check_length(const struct param *p, size_t len, const char *unit, struct param_error *e)
{
    if ((double)len >= p->least && (double)len <= p->most)
        return 0;
    return param_refuse(e, ERROR_INVALID_BODY, p->name, "%s: %zu %s, expected %.0f to %.0f",
                        p->name, len, unit, p->least, p->most);
}

static int check_type(const struct param *p, const struct json_object *v, struct param_error *e)
{
    enum json_type found = json_type_of(v);
    size_t len;

    switch (p->type) {
    case PARAM_NUMBER:
    case PARAM_INTEGER:
        return check_number(p, v, e);
    case PARAM_BOOL:
        return found == JSON_BOOL ? 0 : refuse_type(p, v, "true or false", e);
    case PARAM_STRING:
        if (found != JSON_STRING)
            return refuse_type(p, v, "a string", e);
        json_string(v, &len);
        return check_length(p, len, "bytes", e);
    case PARAM_OBJECT:
        return found == JSON_OBJECT ? 0 : refuse_type(p, v, "an object", e);
    case PARAM_ARRAY:
    case PARAM_OBJECTS:
        if (found != JSON_ARRAY)
            return refuse_type(p, v, "an array", e);
        if (check_length(p, json_length(v), "elements", e) != 0)
            return -EINVAL;
        return p->type == PARAM_OBJECTS ? check_objects(p, v, e) : 0;
    case PARAM_STOP:
        return check_stop(p, v, e);
    case PARAM_BIAS:
        return check_bias(p, v, e);
    case PARAM_CHOICE:
    case PARAM_ANY:
        break;
    }
    return 0;
}

/* Does a DEFAULT parameter ask for nothing beyond its default? */
static bool is_default(const struct param *p, const struct json_object *v)
{
    enum json_type found = json_type_of(v);

    switch (p->type) {
    case PARAM_STRING:
        return json_is_string(v, "");
    case PARAM_ARRAY:
        return found == JSON_ARRAY && json_length(v) == 0;
    case PARAM_OBJECT: /* response_format */
        return found == JSON_OBJECT && json_is_string(json_get(v, "type"), "text");
    case PARAM_CHOICE:
        return json_is_string(v, "none") || json_is_string(v, "auto");
    case PARAM_BOOL:
        return found == JSON_BOOL && !json_bool(v);
    case PARAM_NUMBER: /* none of these is a DEFAULT one */
    case PARAM_INTEGER:
    case PARAM_OBJECTS:
    case PARAM_STOP:
    case PARAM_BIAS:
    case PARAM_ANY:
        break;
    }
    return false;
}

static int check_param(const struct param *p, const struct json_object *v, struct param_error *e)
{
    if (p->use == PARAM_OWN || p->use == PARAM_FORWARD)
        return check_type(p, v, e);
    if (p->use == PARAM_DEFAULT && is_default(p, v))
        return 0;
    return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, p->name,
                        "%s: this value is not supported by this version", p->name);
}

static int refuse_missing(const char *name, enum dialect dialect, struct param_error *e)
{
    bool is_anthropic = (IN_TURNS & 1u << dialect) != 0;

    return param_refuse(e, ERROR_INVALID_BODY, name, "%s: %s", name,
                        is_anthropic ? "Field required" : "missing");
}

static int read_model(struct params *p, const struct json_object *body, enum dialect dialect,
                      struct param_error *e)
{
    bool is_needed = ((IN_ANSWERS | IN_COUNT | IN_EMBEDDING) & 1u << dialect) != 0;
    const struct json_object *v = json_get(body, "model");
    size_t len;

    if (v == NULL && !is_needed)
        return 0;
    if (v == NULL)
        return refuse_missing("model", dialect, e);
    const char *model = json_string(v, &len);
    memcpy(p->model, model, len);
    if (strlen(p->model) != len)
        return param_refuse(e, ERROR_INVALID_BODY, "model", "model: holds a NUL character");
    return 0;
}

/* A value that was checked by its row, or NULL: a field of another dialect is unknown here. */
static const struct json_object *own(const struct json_object *body, const char *name,
                                     unsigned dialects, enum dialect dialect)
{
    return (dialects & 1u << dialect) != 0 ? json_get(body, name) : NULL;
}

static bool read_bool(const struct json_object *v, bool otherwise)
{
    return v != NULL ? json_bool(v) : otherwise;
}

/* How hard to think, in Anthropic's place for it. */
static int read_effort(struct params *p, const struct json_object *body, enum dialect dialect,
                       struct param_error *e)
{
    p->effort = json_get(own(body, "output_config", IN_TURNS, dialect), "effort");
    if (p->effort == NULL || json_type_of(p->effort) == JSON_STRING)
        return 0;
    return param_refuse(e, ERROR_INVALID_BODY, "output_config.effort",
                        "output_config.effort: found %s, expected a string",
                        json_type_name(json_type_of(p->effort)));
}

static void read_numbers(struct params *p, const struct json_object *body, enum dialect dialect)
{
    const struct json_object *v;

    p->max_tokens = p->logprobs = -1;
    p->n = 1;
    if ((v = own(body, "max_tokens", IN_BOTH | IN_ANTHROPIC, dialect)) != NULL)
        p->max_tokens = json_integer(v);
    if ((v = own(body, "max_completion_tokens", IN_CHAT, dialect)) != NULL)
        p->max_tokens = json_integer(v);
    if ((v = own(body, "max_output_tokens", IN_RESPONSES, dialect)) != NULL)
        p->max_tokens = json_integer(v);
    if ((v = own(body, "n", IN_BOTH, dialect)) != NULL)
        p->n = (uint32_t)json_integer(v);
    if ((v = own(body, "logprobs", IN_COMPLETION, dialect)) != NULL)
        p->logprobs = (int32_t)json_integer(v);
    if ((v = own(body, "logprobs", IN_CHAT, dialect)) != NULL && json_bool(v)) {
        v = json_get(body, "top_logprobs");
        p->logprobs = v != NULL ? (int32_t)json_integer(v) : 0;
    }
    if ((v = own(body, "seed", IN_ANSWERS, dialect)) != NULL) {
        p->has_seed = true;
        p->seed = (uint64_t)json_integer(v);
    }
}

static void read_flags(struct params *p, const struct json_object *body, enum dialect dialect)
{
    bool has_messages = own(body, "messages", IN_MESSAGES, dialect) != NULL;

    p->is_stream = read_bool(own(body, "stream", IN_ANSWERS, dialect), false);
    p->is_base64 = json_is_string(own(body, "encoding_format", IN_EMBEDDING, dialect), "base64");
    p->has_echo = read_bool(own(body, "echo", IN_COMPLETION, dialect), false);
    p->with_pieces = read_bool(own(body, "with_pieces", IN_TOKENIZE, dialect), false);
    p->with_strings = read_bool(own(body, "return_token_strs", IN_TOKENIZE, dialect), false);
    /* a rendered text has its special tokens already */
    p->add_special_tokens = read_bool(
        own(body, "add_special_tokens", IN_COMPLETION | IN_TOKENIZE, dialect), !has_messages);
    p->add_generation_prompt =
        read_bool(own(body, "add_generation_prompt", IN_TEXTS, dialect), true);
}

/* What the values must be to each other. */
static int check_together(const struct params *p, const struct json_object *body,
                          enum dialect dialect, struct param_error *e)
{
    const struct json_object *best_of = own(body, "best_of", IN_COMPLETION, dialect);
    const struct json_object *top = own(body, "top_logprobs", IN_CHAT, dialect);

    const struct json_object *format = own(body, "encoding_format", IN_EMBEDDING, dialect);

    if (format != NULL && !p->is_base64 && !json_is_string(format, "float"))
        return param_refuse(e, ERROR_INVALID_BODY, "encoding_format",
                            "encoding_format: found \"%.16s\", expected float or base64",
                            json_string(format, NULL));
    if (p->max_tokens < 0 && dialect == DIALECT_MESSAGES)
        return refuse_missing("max_tokens", dialect, e);
    if (p->max_tokens == 0 && !p->has_echo)
        return param_refuse(e, ERROR_INVALID_BODY, "max_tokens",
                            "max_tokens: 0 makes sense with echo only");
    if (best_of != NULL && json_integer(best_of) != p->n)
        return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, "best_of",
                            "best_of: only the value of n is supported by this version");
    if (top != NULL && json_integer(top) > 0 && p->logprobs < 0)
        return param_refuse(e, ERROR_INVALID_BODY, "top_logprobs",
                            "top_logprobs: only with logprobs: true");
    return 0;
}

int params_read(struct params *p, const struct json_object *body, enum dialect dialect,
                struct param_error *e)
{
    *p = (struct params){0};
    if (body == NULL || json_type_of(body) != JSON_OBJECT)
        return param_refuse(e, ERROR_INVALID_BODY, NULL, "the body must be a JSON object");
    for (size_t i = 0; i < N_PARAMS; i++) {
        const struct json_object *v;

        if ((params[i].dialects & (1u << dialect)) == 0 ||
            (v = json_get(body, params[i].name)) == NULL)
            continue;
        int rc = check_param(&params[i], v, e);
        if (rc != 0)
            return rc;
    }
    if (read_model(p, body, dialect, e) != 0 || read_effort(p, body, dialect, e) != 0)
        return -EINVAL;
    read_numbers(p, body, dialect);
    read_flags(p, body, dialect);
    return check_together(p, body, dialect, e);
}

static void write_stop(const struct json_object *stop, struct buf *out)
{
    size_t len;

    buf_add_str(out, ",\"stop\":[");
    if (stop != NULL && json_type_of(stop) == JSON_STRING) {
        json_string(stop, &len);
        if (len > 0)
            json_write(stop, out);
    } else if (stop != NULL) {
        const char *comma = "";
        for (size_t i = 0; i < json_length(stop); i++) {
            json_string(json_at(stop, i), &len);
            if (len == 0)
                continue;
            buf_add_str(out, comma);
            json_write(json_at(stop, i), out);
            comma = ",";
        }
    }
    buf_add_char(out, ']');
}

static void write_sampling(const struct params *p, const struct json_object *body,
                           enum dialect dialect, struct buf *out)
{
    const char *comma = "";

    buf_add_str(out, ",\"sampling\":{");
    for (size_t i = 0; i < N_PARAMS; i++) {
        const struct json_object *v = own(body, params[i].name, params[i].dialects, dialect);
        if (v == NULL || params[i].use != PARAM_FORWARD)
            continue;
        buf_printf(out, "%s\"%s\":", comma, params[i].name);
        json_write(v, out);
        comma = ",";
    }
    if (p->effort != NULL) {
        buf_printf(out, "%s\"reasoning_effort\":", comma);
        json_write(p->effort, out);
    }
    buf_add_char(out, '}');
}

void params_write(const struct params *p, const struct json_object *body, enum dialect dialect,
                  struct buf *out)
{
    if (p->max_tokens >= 0)
        buf_printf(out, ",\"max_tokens\":%lld", (long long)p->max_tokens);
    if (p->logprobs >= 0)
        buf_printf(out, ",\"logprobs\":%d", (int)p->logprobs);
    if (p->has_echo)
        buf_add_str(out, ",\"echo\":true");
    if (p->with_pieces || p->with_strings)
        buf_add_str(out, ",\"pieces\":true");
    if (!p->add_special_tokens && (dialect == DIALECT_COMPLETION || dialect == DIALECT_TOKENIZE))
        buf_add_str(out, ",\"add_special_tokens\":false");
    if (!p->add_generation_prompt)
        buf_add_str(out, ",\"add_generation_prompt\":false");
    if (((IN_BOTH | IN_RESPONSES) & 1u << dialect) != 0)
        write_stop(json_get(body, "stop"), out);
    else if (dialect == DIALECT_MESSAGES)
        write_stop(json_get(body, "stop_sequences"), out);
    write_sampling(p, body, dialect, out);
}

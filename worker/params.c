#include "worker/params.h"

#include "worker/answer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int expect_type(const struct json_object *o, enum json_type type, const char *name,
                       struct err *e)
{
    if (o == NULL)
        return err_set(e, EINVAL, "%s: missing", name);
    if (json_type_of(o) != type)
        return err_set(e, EINVAL, "%s: found %s, expected %s", name,
                       json_type_name(json_type_of(o)), json_type_name(type));
    return 0;
}

static int check_content(const struct json_object *content, size_t i, struct err *e)
{
    if (content == NULL || json_type_of(content) == JSON_STRING)
        return 0;
    if (json_type_of(content) != JSON_ARRAY)
        return err_set(e, EINVAL, "messages[%zu].content: found %s, expected string or array", i,
                       json_type_name(json_type_of(content)));
    for (size_t k = 0; k < json_length(content); k++) {
        const struct json_object *part = json_at(content, k);
        if (json_type_of(part) != JSON_OBJECT ||
            expect_type(json_get(part, "type"), JSON_STRING, "content part's type", NULL) != 0)
            return err_set(e, EINVAL, "messages[%zu].content[%zu]: not a content part", i, k);
        const char *type = json_string(json_get(part, "type"), NULL);
        if (strcmp(type, "text") != 0)
            return err_set(e, ENOTSUP, "messages[%zu].content[%zu]: this model takes text only", i,
                           k);
        if (expect_type(json_get(part, "text"), JSON_STRING, "text of a content part", e) != 0)
            return -e->code;
    }
    return 0;
}

static int parse_messages(struct params *p, struct err *e)
{
    p->messages = json_get(p->root, "messages");
    if (expect_type(p->messages, JSON_ARRAY, "messages", e) != 0)
        return -e->code;
    for (size_t i = 0; i < json_length(p->messages); i++) {
        const struct json_object *m = json_at(p->messages, i);
        if (json_type_of(m) != JSON_OBJECT)
            return err_set(e, EINVAL, "messages[%zu]: found %s, expected object", i,
                           json_type_name(json_type_of(m)));
        if (check_content(json_get(m, "content"), i, e) != 0)
            return -e->code;
    }
    return 0;
}

static int parse_prompt(struct params *p, struct err *e)
{
    const struct json_object *kind = json_get(p->root, "kind");

    if (expect_type(kind, JSON_STRING, "kind", e) != 0)
        return -e->code;
    const char *name = json_string(kind, NULL);
    if (strcmp(name, "chat") == 0) {
        p->kind = PROMPT_CHAT;
        return parse_messages(p, e);
    }
    if (strcmp(name, "completion") == 0) {
        p->kind = PROMPT_COMPLETION;
        p->prompt = json_get(p->root, "prompt");
        return expect_type(p->prompt, JSON_STRING, "prompt", e);
    }
    return err_set(e, EINVAL, "kind: found \"%.32s\", expected chat or completion", name);
}

static int parse_max_tokens(struct params *p, struct err *e)
{
    const struct json_object *max = json_get(p->root, "max_tokens");

    p->max_tokens = ANSWER_UNLIMITED;
    if (max == NULL)
        return 0;
    if (json_type_of(max) != JSON_NUMBER || !json_is_integer(max) || json_integer(max) < 0)
        return err_set(e, EINVAL, "max_tokens: expected an integer of at least 0");
    int64_t n = json_integer(max);
    p->max_tokens = n < (int64_t)ANSWER_UNLIMITED ? (uint32_t)n : ANSWER_UNLIMITED;
    return 0;
}

static int parse_stops(struct params *p, struct err *e)
{
    const struct json_object *stops = json_get(p->root, "stop");

    if (stops == NULL)
        return 0;
    if (expect_type(stops, JSON_ARRAY, "stop", e) != 0)
        return -e->code;
    for (size_t i = 0; i < json_length(stops); i++) {
        const struct json_object *stop = json_at(stops, i);
        size_t len;
        if (json_type_of(stop) != JSON_STRING)
            return err_set(e, EINVAL, "stop[%zu]: found %s, expected string", i,
                           json_type_name(json_type_of(stop)));
        const char *text = json_string(stop, &len);
        if (stop_list_add(&p->stops, text, len) != 0)
            return err_set(e, EINVAL, "stop[%zu]: %zu bytes; at most %d strings of 1 to %d bytes",
                           i, len, STOPS_MAX, STOP_LEN_MAX);
    }
    return 0;
}

static struct sampling_value *find_sampling(struct sampling *s, const char *key,
                                            enum json_type *wanted)
{
#define X(name, type) \
    if (strcmp(key, #name) == 0) { \
        *wanted = type; \
        return &s->name; \
    }
    SAMPLING_FIELDS(X)
#undef X
    return NULL;
}

static int parse_sampling(struct params *p, struct err *e)
{
    const struct json_object *sampling = json_get(p->root, "sampling");
    enum json_type wanted = JSON_NULL;

    if (sampling == NULL)
        return 0;
    if (expect_type(sampling, JSON_OBJECT, "sampling", e) != 0)
        return -e->code;
    for (struct json_iterator it = json_members(sampling); json_next(&it);) {
        struct sampling_value *v = find_sampling(&p->sampling, it.key, &wanted);
        if (v == NULL)
            return err_set(e, ENOTSUP, "sampling.%.64s: this worker does not have it", it.key);
        if (json_type_of(it.value) != wanted)
            return err_set(e, EINVAL, "sampling.%.64s: found %s, expected %s", it.key,
                           json_type_name(json_type_of(it.value)), json_type_name(wanted));
        *v = (struct sampling_value){true, wanted == JSON_NUMBER ? json_number(it.value) : 0,
                                     it.value};
    }
    return 0;
}

int params_parse(struct params *p, struct json_object *root, struct err *e)
{
    int rc;

    *p = (struct params){.root = root};
    if (json_type_of(root) != JSON_OBJECT)
        rc = err_set(e, EINVAL, "request: found %s, expected object",
                     json_type_name(json_type_of(root)));
    else if ((rc = parse_prompt(p, e)) == 0 && (rc = parse_max_tokens(p, e)) == 0 &&
             (rc = parse_stops(p, e)) == 0)
        rc = parse_sampling(p, e);
    if (rc != 0)
        params_free(p);
    return rc;
}

static void visit_content(const struct json_object *content, params_text_fn *fn, void *ctx)
{
    size_t len;

    if (content == NULL)
        return;
    if (json_type_of(content) == JSON_STRING) {
        const char *text = json_string(content, &len);
        fn(ctx, text, len);
        return;
    }
    for (size_t i = 0; i < json_length(content); i++) {
        const char *text = json_string(json_get(json_at(content, i), "text"), &len);
        fn(ctx, text, len);
    }
}

void params_each_text(const struct params *p, params_text_fn *fn, void *ctx)
{
    if (p->kind == PROMPT_COMPLETION) {
        visit_content(p->prompt, fn, ctx);
        return;
    }
    for (size_t i = 0; i < json_length(p->messages); i++)
        visit_content(json_get(json_at(p->messages, i), "content"), fn, ctx);
}

static void forget_tree(struct params *p)
{
    p->root = p->messages = p->tools = p->prompt = NULL;
    p->sampling = (struct sampling){0};
}

void params_take(struct params *from, struct params *to)
{
    *to = *from;
    to->stops = (struct stop_list){0};
    forget_tree(from);
}

void params_drop_prompt(struct params *p)
{
    json_free(&p->root);
    forget_tree(p);
}

void params_free(struct params *p)
{
    params_drop_prompt(p);
    stop_list_free(&p->stops);
}

#include "worker/params.h"

#include "worker/answer.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
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

/* --- messages --- */

static int check_ids(const struct json_object *ids, const char *name, struct err *e)
{
    for (size_t i = 0; i < json_length(ids); i++) {
        const struct json_object *id = json_at(ids, i);
        if (json_type_of(id) != JSON_NUMBER || !json_is_integer(id) || json_integer(id) < 0 ||
            json_integer(id) > INT32_MAX)
            return err_set(e, EINVAL, "%s[%zu]: expected a token id, 0 to %d", name, i, INT32_MAX);
    }
    return 0;
}

/* Decimal ids, a space between them. */
static int check_sampled(const struct json_object *sampled, struct err *e)
{
    size_t len;
    const char *text = sampled != NULL ? json_string(sampled, &len) : "0";

    for (const char *at = text;; at++) {
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || digits > 10 || strtoull(at, NULL, 10) > INT32_MAX)
            return err_set(e, EINVAL, "sampled: byte %td: expected a token id, 0 to %d", at - text,
                           INT32_MAX);
        at += digits;
        if (*at == '\0' && (sampled == NULL || (size_t)(at - text) == len))
            return 0;
        if (*at != ' ')
            return err_set(e, EINVAL, "sampled: byte %td: expected a space", at - text);
    }
}

static int check_call(const struct json_object *call, struct err *e)
{
    const struct json_object *function =
        json_type_of(call) == JSON_OBJECT ? json_get(call, "function") : NULL;

    if (expect_type(function, JSON_OBJECT, "function", e) != 0 ||
        expect_type(json_get(function, "name"), JSON_STRING, "function.name", e) != 0 ||
        expect_type(json_get(function, "arguments"), JSON_OBJECT, "function.arguments", e) != 0)
        return -e->code;
    return 0;
}

/* Members that a message may have, beside its content. */
static int check_members_of(const struct json_object *m, struct err *e)
{
    static const struct {
        const char *name;
        enum json_type type;
    } members[] = {
        {"role", JSON_STRING},      {"reasoning_content", JSON_STRING},
        {"tool_calls", JSON_ARRAY}, {"tool_call_id", JSON_STRING},
        {"name", JSON_STRING},      {"sampled", JSON_STRING},
    };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const struct json_object *v = json_get(m, members[i].name);
        if (v != NULL && expect_type(v, members[i].type, members[i].name, e) != 0)
            return -e->code;
    }
    const struct json_object *calls = json_get(m, "tool_calls");
    for (size_t i = 0; i < json_length(calls); i++)
        if (check_call(json_at(calls, i), e) != 0)
            return err_prefix(e, "tool_calls[%zu]", i);
    return check_sampled(json_get(m, "sampled"), e);
}

/* --- the members, a function each: the value is there and not null --- */

struct field {
    const char *name;
    unsigned kinds; /* that may have it */
    int (*parse)(struct params *p, const struct field *f, struct json_object *v, struct err *e);
    size_t offset; /* in struct params, for parse_bool and parse_count */
};

static int parse_messages(struct params *p, const struct field *f, struct json_object *v,
                          struct err *e)
{
    if (expect_type(v, JSON_ARRAY, f->name, e) != 0)
        return -e->code;
    for (size_t i = 0; i < json_length(v); i++) {
        const struct json_object *m = json_at(v, i);
        if (json_type_of(m) != JSON_OBJECT)
            return err_set(e, EINVAL, "messages[%zu]: found %s, expected object", i,
                           json_type_name(json_type_of(m)));
        if (check_content(json_get(m, "content"), i, e) != 0)
            return -e->code;
        if (check_members_of(m, e) != 0)
            return err_prefix(e, "messages[%zu]", i);
    }
    p->messages = v;
    return 0;
}

static int parse_tools(struct params *p, const struct field *f, struct json_object *v,
                       struct err *e)
{
    if (expect_type(v, JSON_ARRAY, f->name, e) != 0)
        return -e->code;
    for (size_t i = 0; i < json_length(v); i++)
        if (json_type_of(json_at(v, i)) != JSON_OBJECT)
            return err_set(e, EINVAL, "tools[%zu]: found %s, expected object", i,
                           json_type_name(json_type_of(json_at(v, i))));
    p->tools = v;
    return 0;
}

static int parse_tool_choice(struct params *p, const struct field *f, struct json_object *v,
                             struct err *e)
{
    static const char *const names[] = {
        [TOOLS_AUTO] = "auto", [TOOLS_NONE] = "none", [TOOLS_REQUIRED] = "required"};
    const char *text = json_type_of(v) == JSON_STRING ? json_string(v, NULL) : "";

    if (json_type_of(v) == JSON_OBJECT) { /* its name: when the tools are known */
        p->tool_choice = TOOLS_NAMED;
        return expect_type(json_get(v, "name"), JSON_STRING, "tool_choice.name", e);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            p->tool_choice = (enum tool_choice)i;
            return 0;
        }
    return err_set(e, EINVAL,
                   "%s: expected \"auto\", \"none\", \"required\" or an object with a name",
                   f->name);
}

static int parse_format(struct params *p, const struct field *f, struct json_object *v,
                        struct err *e)
{
    if (expect_type(v, JSON_OBJECT, f->name, e) != 0 ||
        expect_type(json_get(v, "type"), JSON_STRING, "format.type", e) != 0)
        return -e->code;
    const char *type = json_string(json_get(v, "type"), NULL);
    if (strcmp(type, "json_object") == 0) {
        p->format = FORMAT_JSON;
        return 0;
    }
    if (strcmp(type, "json_schema") != 0)
        return err_set(e, EINVAL, "format.type: \"%.32s\" is not known", type);
    p->format = FORMAT_SCHEMA;
    p->schema = json_get(v, "schema");
    return expect_type(p->schema, JSON_OBJECT, "format.schema", e);
}

static int parse_thinking(struct params *p, const struct field *f, struct json_object *v,
                          struct err *e)
{
    if (expect_type(v, JSON_BOOL, f->name, e) != 0)
        return -e->code;
    p->has_thinking = true;
    p->is_thinking = json_bool(v);
    return 0;
}

static int parse_prompt(struct params *p, const struct field *f, struct json_object *v,
                        struct err *e)
{
    enum json_type found = json_type_of(v);

    (void)f;
    if (found != JSON_ARRAY && found != JSON_STRING)
        return err_set(e, EINVAL, "prompt: found %s, expected a string or an array of ids",
                       json_type_name(found));
    if (found == JSON_ARRAY && check_ids(v, "prompt", e) != 0)
        return -e->code;
    p->prompt = v;
    return 0;
}

_Static_assert(THINKING_UNLIMITED == ANSWER_UNLIMITED, "one parser for both");

static int parse_count(struct params *p, const struct field *f, struct json_object *v,
                       struct err *e)
{
    if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 0)
        return err_set(e, EINVAL, "%s: expected an integer of at least 0", f->name);
    int64_t n = json_integer(v);
    *(uint32_t *)((char *)p + f->offset) =
        n < (int64_t)ANSWER_UNLIMITED ? (uint32_t)n : ANSWER_UNLIMITED;
    return 0;
}

static int parse_dimensions(struct params *p, const struct field *f, struct json_object *v,
                            struct err *e)
{
    if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 1 ||
        json_integer(v) > INT32_MAX)
        return err_set(e, EINVAL, "%s: expected an integer of at least 1", f->name);
    p->dimensions = (uint32_t)json_integer(v);
    return 0;
}

static int parse_logprobs(struct params *p, const struct field *f, struct json_object *v,
                          struct err *e)
{
    if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 0 ||
        json_integer(v) >= TOPS_MAX)
        return err_set(e, EINVAL, "%s: expected an integer, 0 to %d", f->name, TOPS_MAX - 1);
    p->logprobs = (int32_t)json_integer(v);
    return 0;
}

static int parse_bool(struct params *p, const struct field *f, struct json_object *v, struct err *e)
{
    if (expect_type(v, JSON_BOOL, f->name, e) != 0)
        return -e->code;
    *(bool *)((char *)p + f->offset) = json_bool(v);
    return 0;
}

static int parse_stops(struct params *p, const struct field *f, struct json_object *stops,
                       struct err *e)
{
    if (expect_type(stops, JSON_ARRAY, f->name, e) != 0)
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

static int parse_sampling(struct params *p, const struct field *f, struct json_object *sampling,
                          struct err *e)
{
    enum json_type wanted = JSON_NULL;

    if (expect_type(sampling, JSON_OBJECT, f->name, e) != 0)
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

#define KIND(name) (1u << PROMPT_##name)
#define ANSWERS    (KIND(CHAT) | KIND(COMPLETION))
#define MESSAGES   (KIND(CHAT) | KIND(TOKENIZE) | KIND(TEMPLATE) | KIND(COUNT))
#define PROMPTS    (KIND(COMPLETION) | KIND(TOKENIZE) | KIND(DETOKENIZE) | KIND(EMBED))
#define ALL        (ANSWERS | MESSAGES | PROMPTS)

static const struct field fields[] = {
    {"messages", MESSAGES, parse_messages, 0},
    {"tools", MESSAGES, parse_tools, 0},
    {"tool_choice", MESSAGES, parse_tool_choice, 0},
    {"parallel_tool_calls", MESSAGES, parse_bool, offsetof(struct params, has_parallel_calls)},
    {"format", KIND(CHAT), parse_format, 0},
    {"thinking", MESSAGES, parse_thinking, 0},
    {"thinking_tokens", KIND(CHAT), parse_count, offsetof(struct params, thinking_tokens)},
    {"prompt", PROMPTS, parse_prompt, 0},
    {"max_tokens", ANSWERS, parse_count, offsetof(struct params, max_tokens)},
    {"stop", ANSWERS, parse_stops, 0},
    {"logprobs", ANSWERS, parse_logprobs, 0},
    {"dimensions", KIND(EMBED), parse_dimensions, 0},
    {"echo", KIND(COMPLETION), parse_bool, offsetof(struct params, has_echo)},
    {"pieces", KIND(TOKENIZE), parse_bool, offsetof(struct params, has_pieces)},
    {"add_special_tokens", KIND(COMPLETION) | KIND(TOKENIZE), parse_bool,
     offsetof(struct params, add_special_tokens)},
    {"add_generation_prompt", MESSAGES, parse_bool, offsetof(struct params, add_generation_prompt)},
    {"sampling", ALL, parse_sampling, 0},
};

static const struct field *find_field(const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static int parse_kind(struct params *p, struct err *e)
{
    const struct json_object *kind = json_get(p->root, "kind");

    if (expect_type(kind, JSON_STRING, "kind", e) != 0)
        return -e->code;
    const char *name = json_string(kind, NULL);
    for (uint32_t i = 0; i < PROMPT_KINDS_N; i++)
        if (strcmp(name, prompt_kind_name(i)) == 0) {
            p->kind = (enum prompt_kind)i;
            return 0;
        }
    return err_set(e, EINVAL, "kind: \"%.32s\" is not known", name);
}

static int parse_members(struct params *p, struct err *e)
{
    for (struct json_iterator it = json_members(p->root); json_next(&it);) {
        const struct field *f = find_field(it.key);
        if (it.value == NULL || strcmp(it.key, "kind") == 0)
            continue;
        if (f == NULL)
            return err_set(e, ENOTSUP, "%.64s: this worker does not have it", it.key);
        if ((f->kinds & 1u << p->kind) == 0)
            return err_set(e, EINVAL, "%s: not of a request of kind %s", f->name,
                           prompt_kind_name(p->kind));
        if (f->parse(p, f, it.value, e) != 0)
            return -e->code;
    }
    return 0;
}

/* The named tool is one of those that may be called. */
static int find_named(struct params *p, struct err *e)
{
    const struct json_object *choice = json_get(p->root, "tool_choice");
    size_t len;
    const char *name = json_string(json_get(choice, "name"), &len);
    const struct call_tool *tool = call_tools_find(&p->calls, name, len);

    if (tool == NULL)
        return err_set(e, EINVAL, "tool_choice: \"%.64s\" is not one of the tools", name);
    p->tool = (uint32_t)(tool - p->calls.tool);
    return 0;
}

/* With "none" the tools are neither shown nor called. */
static int read_tools(struct params *p, struct err *e)
{
    bool has_tools = json_length(p->tools) > 0;

    if (!has_tools && p->tool_choice > TOOLS_NONE)
        return err_set(e, EINVAL, "tool_choice: without tools");
    if (p->tool_choice == TOOLS_NONE)
        p->tools = NULL;
    if (p->tools == NULL || p->kind != PROMPT_CHAT)
        return 0;
    if (call_tools_read(&p->calls, p->tools, e) != 0)
        return -e->code;
    return p->tool_choice == TOOLS_NAMED ? find_named(p, e) : 0;
}

/* What the members must be to each other. */
static int check_members(const struct params *p, struct err *e)
{
    enum json_type wanted = p->kind == PROMPT_DETOKENIZE ? JSON_ARRAY : JSON_STRING;
    bool takes_both = p->kind == PROMPT_COMPLETION || p->kind == PROMPT_EMBED;

    if (p->messages == NULL && p->prompt == NULL)
        return err_set(e, EINVAL, "%s: missing",
                       (1u << p->kind & PROMPTS) != 0 ? "prompt" : "messages");
    if (p->messages != NULL && p->prompt != NULL)
        return err_set(e, EINVAL, "prompt: there are messages, too");
    if (p->tools != NULL && p->messages == NULL)
        return err_set(e, EINVAL, "tools: without messages");
    if (p->prompt != NULL && !takes_both && expect_type(p->prompt, wanted, "prompt", e) != 0)
        return -e->code;
    if (takes_both && json_type_of(p->prompt) == JSON_ARRAY && json_length(p->prompt) == 0)
        return err_set(e, EINVAL, "prompt: no token in it");
    if (p->max_tokens == 0 && !p->has_echo)
        return err_set(e, EINVAL, "max_tokens: 0 without echo");
    return 0;
}

int params_parse(struct params *p, struct json_object *root, struct err *e)
{
    int rc;

    *p = (struct params){.root = root,
                         .max_tokens = ANSWER_UNLIMITED,
                         .logprobs = -1,
                         .thinking_tokens = THINKING_UNLIMITED,
                         .has_parallel_calls = true,
                         .add_special_tokens = true,
                         .add_generation_prompt = true};
    if (json_type_of(root) != JSON_OBJECT)
        rc = err_set(e, EINVAL, "request: found %s, expected object",
                     json_type_name(json_type_of(root)));
    else if ((rc = parse_kind(p, e)) == 0 && (rc = parse_members(p, e)) == 0 &&
             (rc = check_members(p, e)) == 0)
        rc = read_tools(p, e);
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

void params_message_text(const struct json_object *message, params_text_fn *fn, void *ctx)
{
    visit_content(json_get(message, "content"), fn, ctx);
}

void params_each_text(const struct params *p, params_text_fn *fn, void *ctx)
{
    if (p->prompt != NULL && json_type_of(p->prompt) == JSON_STRING)
        visit_content(p->prompt, fn, ctx);
    for (size_t i = 0; i < json_length(p->messages); i++)
        params_message_text(json_at(p->messages, i), fn, ctx);
}

static void forget_tree(struct params *p)
{
    p->root = p->messages = p->tools = p->prompt = p->schema = NULL;
    p->sampling = (struct sampling){0};
}

void params_take(struct params *from, struct params *to)
{
    *to = *from;
    to->stops = (struct stop_list){0};
    to->calls = (struct call_tools){0};
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
    call_tools_free(&p->calls);
}

/* POST /v1/completions: OpenAI text completion, streamed and not. */
#include "router/api/api.h"
#include "router/api/generate.h"

#include <string.h>

/* A string, or an array of one string. */
static struct json_object *find_prompt(const struct json_object *body)
{
    struct json_object *prompt = json_get(body, "prompt");

    if (prompt != NULL && json_type_of(prompt) == JSON_ARRAY && json_length(prompt) == 1)
        prompt = json_at(prompt, 0);
    return prompt != NULL && json_type_of(prompt) == JSON_STRING ? prompt : NULL;
}

static int check_prompt(const struct json_object *body, size_t *cursor, struct param_error *e)
{
    (void)cursor; /* one value: one slice */
    const struct json_object *prompt = json_get(body, "prompt");

    if (prompt == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, "prompt", "prompt: missing");
    if (find_prompt(body) != NULL)
        return 1;
    if (json_type_of(prompt) == JSON_ARRAY)
        return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, "prompt",
                            "prompt: only a string, or an array of one string, is supported by "
                            "this version");
    return param_refuse(e, ERROR_INVALID_BODY, "prompt", "prompt: found %s, expected a string",
                        json_type_name(json_type_of(prompt)));
}

static struct json_object *write_prompt(struct generation *g, struct buf *canonical)
{
    buf_add_str(canonical, "{\"kind\":\"completion\",\"prompt\":");
    return find_prompt(g->body);
}

static void start_stream(struct generation *g)
{
    struct buf *h = &g->head;

    buf_printf(h, "data: {\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%llu,\"model\":",
               g->id, (unsigned long long)g->created);
    buf_add_json_string(h, g->params.model, strlen(g->params.model));
    buf_add_str(h, ",\"choices\":[{\"index\":0,\"text\":");
}

static void write_event(struct generation *g, const char *text, size_t len, const char *reason)
{
    struct buf *out = generation_event(g);

    buf_add_json_string(out, text, len);
    buf_add_str(out, ",\"logprobs\":null,\"finish_reason\":");
    if (reason != NULL)
        buf_printf(out, "\"%s\"}]}", reason);
    else
        buf_add_str(out, "null}]}");
    generation_event_end(g, out);
}

/* A completion has one text: reasoning is part of it. */
static void write_part(struct generation *g, const struct part *part)
{
    write_event(g, part->text, part->len, NULL);
}

static void write_finish(struct generation *g, enum finish_reason reason)
{
    write_event(g, "", 0, finish_reason_name(reason));
}

static void write_whole(struct generation *g, enum finish_reason reason, struct buf *body)
{
    struct buf text = {0};

    buf_add(&text, g->reasoning.data, g->reasoning.len);
    buf_add(&text, g->content.data, g->content.len);
    buf_printf(body, "{\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%llu,\"model\":",
               g->id, (unsigned long long)g->created);
    buf_add_json_string(body, g->params.model, strlen(g->params.model));
    buf_add_str(body, ",\"choices\":[{\"index\":0,\"text\":");
    buf_add_json_string(body, buf_text(&text), buf_pending(&text));
    buf_printf(body, ",\"logprobs\":null,\"finish_reason\":\"%s\"}]", finish_reason_name(reason));
    buf_free(&text);
}

static const struct form completion_form = {
    .dialect = DIALECT_COMPLETION,
    .id_prefix = "cmpl-",
    .check = check_prompt,
    .prompt = write_prompt,
    .start = start_stream,
    .part = write_part,
    .finish = write_finish,
    .whole = write_whole,
};

enum handler_result completions_create(struct exchange *x)
{
    return generate(x, &completion_form);
}

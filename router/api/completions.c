/* POST /v1/completions: OpenAI text completion, streamed and not. */
#include "router/api/api.h"
#include "router/api/choices.h"

#include <string.h>

/* ---- the prompts: a string, an array of ids, or an array of such ---- */

static bool is_number(const struct json_object *v)
{
    return v != NULL && json_type_of(v) == JSON_NUMBER;
}

/* One prompt by itself, or one of several. */
static struct json_object *find_prompt(const struct json_object *body, uint32_t i)
{
    struct json_object *prompt = json_get(body, "prompt");

    if (json_type_of(prompt) == JSON_STRING || is_number(json_at(prompt, 0)))
        return prompt;
    return json_at(prompt, i);
}

static uint32_t count_prompts(const struct json_object *body, struct param_error *e)
{
    const struct json_object *prompt = json_get(body, "prompt");
    enum json_type found = json_type_of(prompt);

    if (found == JSON_NULL)
        param_refuse(e, ERROR_INVALID_BODY, "prompt", "prompt: missing");
    else if (found != JSON_STRING && found != JSON_ARRAY)
        param_refuse(e, ERROR_INVALID_BODY, "prompt", "prompt: found %s, expected a string or an "
                                                      "array",
                     json_type_name(found));
    else if (found == JSON_ARRAY && json_length(prompt) == 0)
        param_refuse(e, ERROR_INVALID_BODY, "prompt", "prompt: an array with nothing in it");
    else if (found == JSON_STRING || is_number(json_at(prompt, 0)))
        return 1;
    else
        return (uint32_t)json_length(prompt);
    return 0;
}

static int check_ids(const struct json_object *ids, uint32_t at, struct param_error *e)
{
    if (json_length(ids) == 0)
        return param_refuse(e, ERROR_INVALID_BODY, "prompt", "prompt %u: no token in it", at);
    for (size_t i = 0; i < json_length(ids); i++) {
        const struct json_object *id = json_at(ids, i);
        if (!is_number(id) || !json_is_integer(id) || json_integer(id) < 0 ||
            json_integer(id) > INT32_MAX)
            return param_refuse(e, ERROR_INVALID_BODY, "prompt",
                                "prompt %u, token %zu: expected a token id", at, i);
    }
    return 0;
}

/* A prompt a slice: the validator bounds what one can hold. */
static int check_prompts(struct generation *g, struct param_error *e)
{
    uint32_t n = count_prompts(g->body, e);
    uint32_t at = (uint32_t)g->cursor;
    const struct json_object *prompt = find_prompt(g->body, at);

    if (json_type_of(prompt) == JSON_ARRAY) {
        if (check_ids(prompt, at, e) != 0)
            return -1;
    } else if (json_type_of(prompt) != JSON_STRING) {
        return param_refuse(e, ERROR_INVALID_BODY, "prompt",
                            "prompt %u: found %s, expected a string or an array of token ids", at,
                            json_type_name(json_type_of(prompt)));
    }
    return ++g->cursor == n;
}

static struct json_object *find_value(const struct generation *g, uint32_t prompt, uint32_t i,
                                      const char **name)
{
    *name = "prompt";
    return i == 0 ? find_prompt(g->body, prompt) : NULL;
}

/* ---- the answers ---- */

static void add_tops(struct choice *c, const struct top *tops, size_t n_tops)
{
    logprobs_add_completion(c->logprobs, tops, n_tops);
}

static void write_event(struct choice *c, const char *text, size_t len, const char *reason)
{
    struct buf *out = choices_event(c);

    buf_add_json_string(out, text, len);
    choices_event_end(c, out, reason, logprobs_take_completion);
}

static void write_part(struct choice *c, const struct part *part)
{
    write_event(c, part->text, part->len, NULL);
}

static void write_finish(struct choice *c)
{
    write_event(c, "", 0, finish_reason_name(c->reason));
}

/* A completion has one text: reasoning is part of it. */
static void write_choice(struct choice *c, struct buf *body)
{
    struct buf text = {0};

    blocks_join(&c->blocks, CHANNEL_REASONING, &text);
    blocks_join(&c->blocks, CHANNEL_CONTENT, &text);
    buf_add_str(body, "\"text\":");
    buf_add_json_string(body, buf_text(&text), buf_pending(&text));
    buf_add_str(body, ",\"logprobs\":");
    logprobs_take_completion(c->logprobs, body);
    buf_free(&text);
}

static const struct choices_form completion_form = {
    .form = {.dialect = DIALECT_COMPLETION,
             .kind = PROMPT_COMPLETION,
             .id_prefix = "cmpl-",
             .count = count_prompts,
             .prepare = check_prompts,
             .value = find_value,
             .open = choices_open,
             .part = write_part,
             .finish = write_finish,
             .close = choices_close,
             .fail = choices_fail,
             .silent = generation_comment,
             .tops = add_tops,
             .whole = choices_whole},
    .object = "text_completion",
    .chunk = "text_completion",
    .delta = "\"text\":",
    .choice = write_choice,
};

enum handler_result completions_create(struct exchange *x)
{
    return generate(x, &completion_form.form);
}

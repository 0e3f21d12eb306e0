/* POST /v1/completions: OpenAI text completion, streamed and not. */
#include "router/api/api.h"
#include "router/api/choices.h"
#include "router/api/prompts.h"

#include <string.h>

static uint32_t count_prompts(const struct json_object *body, struct param_error *e)
{
    return prompts_count(body, "prompt", e);
}

static int check_prompts(struct generation *g, struct param_error *e)
{
    return prompts_check(g, "prompt", e);
}

static struct json_object *find_value(const struct generation *g, uint32_t prompt, uint32_t i,
                                      const char **name)
{
    *name = "prompt";
    return i == 0 ? prompts_find(g->body, *name, prompt) : NULL;
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

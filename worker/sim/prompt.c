#include "worker/sim/prompt.h"

#include "base/base64.h"
#include "base/check.h"
#include "base/hash.h"
#include "worker/sim/words.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- rendering --- */

static void add_text(void *ctx, const char *text, size_t len)
{
    buf_add(ctx, text, len);
}

static void add_setting(struct buf *out, const char *name, const struct json_object *value)
{
    if (value == NULL)
        return;
    buf_add_str(out, name);
    buf_add_str(out, ": ");
    json_write(value, out);
    buf_add_char(out, '\n');
}

/* What the model thought, under any of the names that clients send it back with. */
static void add_reasoning(struct buf *out, const struct json_object *message)
{
    static const char *const names[] = {"reasoning_content", "reasoning", "thinking"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct json_object *v = json_get(message, names[i]);
        if (v == NULL || json_type_of(v) != JSON_STRING)
            continue;
        size_t len;
        const char *text = json_string(v, &len);
        buf_add_char(out, '(');
        buf_add(out, text, len);
        buf_add_str(out, ") ");
        return;
    }
}

/* What the model called. */
static void add_calls(struct buf *out, const struct json_object *calls)
{
    for (size_t i = 0; i < json_length(calls); i++) {
        buf_add_str(out, " <tool_call>");
        json_write(json_get(json_at(calls, i), "function"), out);
        buf_add_str(out, "</tool_call>");
    }
}

static void render(struct buf *out, const struct params *params)
{
    add_setting(out, "tools", params->tools);
    if (params->has_thinking)
        buf_add_str(out, params->is_thinking ? "thinking: true\n" : "thinking: false\n");
    add_setting(out, "reasoning_effort", params->sampling.reasoning_effort.value);
    add_setting(out, "chat_template_kwargs", params->sampling.chat_template_kwargs.value);
    for (size_t i = 0; i < json_length(params->messages); i++) {
        const struct json_object *m = json_at(params->messages, i);
        const struct json_object *role = json_get(m, "role");
        bool has_role = role != NULL && json_type_of(role) == JSON_STRING;
        buf_add_str(out, has_role ? json_string(role, NULL) : "nobody");
        buf_add_str(out, ": ");
        add_reasoning(out, m);
        params_message_text(m, add_text, out);
        add_calls(out, json_get(m, "tool_calls"));
        buf_add_char(out, '\n');
    }
    if (params->add_generation_prompt)
        buf_add_str(out, "assistant:");
}

/* --- tokens --- */

static void add_piece(struct sim_prompt *p, uint32_t token, size_t end)
{
    if (p->n == p->room) {
        p->room = p->room ? p->room * 2 : 16;
        p->piece = realloc(p->piece, p->room * sizeof *p->piece);
        CHECK(p->piece != NULL);
    }
    p->piece[p->n++] = (struct sim_piece){token, (uint32_t)end};
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t skip(const char *text, size_t from, size_t limit, bool spaces)
{
    while (from < limit && is_space(text[from]) == spaces)
        from++;
    return from;
}

static void split_text(struct sim_prompt *p)
{
    const char *text = p->text.data;
    size_t len = buf_pending(&p->text);
    size_t end;

    for (size_t from = 0; from < len; from = end) {
        size_t limit = len - from > SIM_PIECE_MAX ? from + SIM_PIECE_MAX : len;
        end = skip(text, skip(text, from, limit, true), limit, false);
        if (skip(text, end, limit, true) == len) /* the last one has the spaces behind it, too */
            end = len;
        add_piece(p, SIM_NO_TOKEN, end);
    }
}

static int read_ids(struct sim_prompt *p, const struct json_object *ids, struct err *e)
{
    char word[SIM_WORD_MAX];

    for (size_t i = 0; i < json_length(ids); i++) {
        int64_t id = json_integer(json_at(ids, i));
        if (id >= SIM_VOCAB)
            return err_set(e, EINVAL, "prompt[%zu]: token %" PRId64 ", this model has 0 to %d", i,
                           id, SIM_VOCAB - 1);
        buf_add(&p->text, word, sim_token_text((uint32_t)id, i == 0, word));
        add_piece(p, (uint32_t)id, buf_pending(&p->text));
    }
    return 0;
}

int sim_prompt_read(struct sim_prompt *p, const struct params *params, struct err *e)
{
    *p = (struct sim_prompt){0};
    if (params->prompt != NULL && json_type_of(params->prompt) == JSON_ARRAY) {
        if (read_ids(p, params->prompt, e) == 0)
            return 0;
        sim_prompt_free(p);
        return -e->code;
    }
    if (params->messages != NULL)
        render(&p->text, params);
    else
        params_each_text(params, add_text, &p->text);
    split_text(p);
    return 0;
}

static double component(uint32_t token, uint32_t i)
{
    uint64_t bits = hash_mix(token, i) >> 32;

    return (double)(int32_t)(uint32_t)bits / 2147483648.0;
}

static void make_vector(const struct sim_prompt *p, uint32_t n, uint32_t out[SIM_DIMENSIONS])
{
    double sum[SIM_DIMENSIONS] = {0}, squares = 0;

    for (uint32_t k = 0; k < p->n; k++) {
        uint32_t token = sim_prompt_token(p, k);
        for (uint32_t i = 0; i < n; i++)
            sum[i] += component(token, i);
    }
    for (uint32_t i = 0; i < n; i++)
        squares += sum[i] * sum[i];
    for (uint32_t i = 0; i < n; i++) {
        float x = (float)(sum[i] / sqrt(squares));
        memcpy(&out[i], &x, sizeof x);
        out[i] = htole32(out[i]);
    }
}

int sim_prompt_embed(struct sim_prompt *p, uint32_t dimensions, struct err *e)
{
    uint32_t n = dimensions > 0 ? dimensions : SIM_DIMENSIONS, vector[SIM_DIMENSIONS];

    if (n > SIM_DIMENSIONS)
        return err_set(e, EINVAL, "dimensions: found %u, expected 1 to %d", n, SIM_DIMENSIONS);
    if (p->n == 0)
        return err_set(e, EINVAL, "the prompt has no tokens: this model needs at least one");
    make_vector(p, n, vector);
    sim_prompt_free(p);
    base64_encode(vector, n * sizeof vector[0], &p->text);
    for (size_t from = 0; from < p->text.len; from += SIM_PIECE_MAX) {
        size_t end = p->text.len - from > SIM_PIECE_MAX ? from + SIM_PIECE_MAX : p->text.len;
        add_piece(p, 0, end);
    }
    return 0;
}

void sim_prompt_free(struct sim_prompt *p)
{
    buf_free(&p->text);
    free(p->piece);
    *p = (struct sim_prompt){0};
}

const char *sim_prompt_piece(const struct sim_prompt *p, uint32_t i, size_t *len)
{
    uint32_t from = i > 0 ? p->piece[i - 1].end : 0;

    CHECK(i < p->n);
    *len = p->piece[i].end - from;
    return p->text.data + from;
}

uint32_t sim_prompt_token(const struct sim_prompt *p, uint32_t i)
{
    size_t len;
    const char *piece = sim_prompt_piece(p, i, &len);

    if (p->piece[i].token != SIM_NO_TOKEN)
        return p->piece[i].token;
    while (len > 0 && is_space(*piece)) {
        piece++;
        len--;
    }
    while (len > 0 && is_space(piece[len - 1]))
        len--;
    return sim_word_token(piece, len);
}

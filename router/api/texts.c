/* POST /tokenize, /detokenize, /apply-template: what a model's tokenizer and template make of a
 * text, exactly. Requests like any other, with a journal; the answer is what their tokens say. */
#include "router/api/api.h"
#include "router/api/generate.h"
#include "router/api/messages.h"

#include "base/check.h"
#include "base/utf8.h"

#include <string.h>

#define IDS_AT_ONCE 10000

/* ---- /tokenize ---- */

/* One of prompt, content and messages. */
static int check_text(const struct json_object *body, size_t *cursor, struct param_error *e)
{
    bool has_messages = json_get(body, "messages") != NULL;
    int n = (json_get(body, "prompt") != NULL) + (json_get(body, "content") != NULL) + has_messages;

    if (n != 1)
        return param_refuse(e, ERROR_INVALID_BODY, "prompt",
                            "expected one of prompt, content and messages, found %d of them", n);
    if (has_messages)
        return messages_check(body, cursor, e);
    if (json_get(body, "tools") != NULL)
        return param_refuse(e, ERROR_INVALID_BODY, "tools", "tools: only with messages");
    return 1;
}

static struct json_object *find_messages(const struct json_object *body, uint32_t prompt,
                                         uint32_t i, const char **name)
{
    (void)prompt;
    *name = i == 0 ? "messages" : "tools";
    return i <= 1 ? json_get(body, *name) : NULL;
}

static struct json_object *find_text(const struct json_object *body, uint32_t prompt, uint32_t i,
                                     const char **name)
{
    struct json_object *text = json_get(body, "prompt");

    if (text == NULL)
        text = json_get(body, "content");
    if (text == NULL)
        return find_messages(body, prompt, i, name);
    *name = "prompt";
    return i == 0 ? text : NULL;
}

/* The pieces are kept one after another, a length and its bytes each. */
static void keep_piece(struct choice *c, const struct top *tops, size_t n_tops)
{
    uint16_t len = (uint16_t)tops[0].len;

    CHECK(n_tops == 1);
    buf_add(&c->content, &len, sizeof len);
    buf_add(&c->content, tops[0].text, len);
}

static void write_piece(struct buf *out, const char *piece, size_t len)
{
    if (utf8_valid(piece, len)) {
        buf_add_json_string(out, piece, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        buf_add_char(out, i == 0 ? '[' : ',');
        buf_add_u64(out, (unsigned char)piece[i]);
    }
    buf_add_char(out, ']');
}

/* Elements of "tokens", or of "token_strs". */
static void write_tokens(struct choice *c, bool with_pieces, bool with_ids, struct buf *out)
{
    const struct request *r = c->request;
    const char *kept = buf_text(&c->content);

    for (uint32_t i = 0; i < r->n_tokens; i++) {
        uint16_t len = 0;
        if (i > 0)
            buf_add_char(out, ',');
        if (r->tops_max > 0) {
            memcpy(&len, kept, sizeof len);
            kept += sizeof len + len;
        }
        if (!with_ids) {
            buf_add_json_string(out, kept - len, len);
        } else if (!with_pieces) {
            buf_add_u64(out, r->tokens[i]);
        } else {
            buf_printf(out, "{\"id\":%u,\"piece\":", r->tokens[i]);
            write_piece(out, kept - len, len);
            buf_add_char(out, '}');
        }
    }
}

static void write_tokenized(struct choice *c, struct buf *body)
{
    const struct generation *g = c->generation;
    const struct request *r = c->request;

    buf_add_str(body, "{\"tokens\":[");
    write_tokens(c, g->params.with_pieces, true, body);
    buf_printf(body, "],\"count\":%u,\"max_model_len\":%u", r->n_tokens,
               model_context(g->router, r->model));
    if (g->params.with_strings) {
        buf_add_str(body, ",\"token_strs\":[");
        write_tokens(c, false, false, body);
        buf_add_char(body, ']');
    }
    buf_add_char(body, '}');
}

static const struct form tokenize_form = {
    .dialect = DIALECT_TOKENIZE,
    .kind = PROMPT_TOKENIZE,
    .id_prefix = "tokenize-",
    .check = check_text,
    .value = find_text,
    .tops = keep_piece,
    .text = write_tokenized,
};

enum handler_result texts_tokenize(struct exchange *x)
{
    return generate(x, &tokenize_form);
}

/* ---- /detokenize ---- */

static int check_tokens(const struct json_object *body, size_t *cursor, struct param_error *e)
{
    const struct json_object *tokens = json_get(body, "tokens");

    if (tokens == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, "tokens", "tokens: missing");
    for (size_t n = 0; n < IDS_AT_ONCE && *cursor < json_length(tokens); n++, ++*cursor) {
        const struct json_object *id = json_at(tokens, *cursor);
        if (json_type_of(id) != JSON_NUMBER || !json_is_integer(id) || json_integer(id) < 0 ||
            json_integer(id) > INT32_MAX)
            return param_refuse(e, ERROR_INVALID_BODY, "tokens", "tokens[%zu]: expected a token id",
                                *cursor);
    }
    return *cursor == json_length(tokens);
}

static struct json_object *find_tokens(const struct json_object *body, uint32_t prompt, uint32_t i,
                                       const char **name)
{
    (void)prompt;
    *name = "prompt";
    return i == 0 ? json_get(body, "tokens") : NULL;
}

static void write_text(struct choice *c, const char *name, struct buf *body)
{
    buf_printf(body, "\"%s\":", name);
    buf_add_json_string(body, buf_text(&c->content), buf_pending(&c->content));
}

static void write_detokenized(struct choice *c, struct buf *body)
{
    buf_add_char(body, '{');
    write_text(c, "prompt", body);
    buf_add_char(body, ',');
    write_text(c, "content", body);
    buf_add_char(body, '}');
}

static const struct form detokenize_form = {
    .dialect = DIALECT_DETOKENIZE,
    .kind = PROMPT_DETOKENIZE,
    .id_prefix = "detokenize-",
    .check = check_tokens,
    .value = find_tokens,
    .text = write_detokenized,
};

enum handler_result texts_detokenize(struct exchange *x)
{
    return generate(x, &detokenize_form);
}

/* ---- /apply-template ---- */

static void write_rendered(struct choice *c, struct buf *body)
{
    buf_add_char(body, '{');
    write_text(c, "prompt", body);
    buf_add_char(body, '}');
}

static const struct form template_form = {
    .dialect = DIALECT_TEMPLATE,
    .kind = PROMPT_TEMPLATE,
    .id_prefix = "template-",
    .check = messages_check,
    .value = find_messages,
    .text = write_rendered,
};

enum handler_result texts_apply_template(struct exchange *x)
{
    return generate(x, &template_form);
}

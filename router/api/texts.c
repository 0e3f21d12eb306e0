/* POST /tokenize, /detokenize, /apply-template: what a model's tokenizer and template make of a
 * text, exactly. Requests like any other, with a journal; the answer is what their tokens say. */
#include "router/api/api.h"
#include "router/api/generate.h"
#include "router/api/conversation.h"

#include "base/check.h"
#include "base/utf8.h"

#include <string.h>

#define IDS_AT_ONCE 10000

/* ---- /tokenize ---- */

/* One of prompt, content and messages. */
static int check_text(struct generation *g, struct param_error *e)
{
    const struct json_object *body = g->body;
    bool has_messages = json_get(body, "messages") != NULL;
    int n = (json_get(body, "prompt") != NULL) + (json_get(body, "content") != NULL) + has_messages;

    if (n != 1)
        return param_refuse(e, ERROR_INVALID_BODY, "prompt",
                            "expected one of prompt, content and messages, found %d of them", n);
    if (has_messages)
        return conversation_from_chat(g, e);
    if (json_get(body, "tools") != NULL)
        return param_refuse(e, ERROR_INVALID_BODY, "tools", "tools: only with messages");
    struct json_object *text = json_get(body, "prompt");
    json_put(g->members, "prompt", json_share(text != NULL ? text : json_get(body, "content")));
    return 1;
}

/* The pieces are kept one after another, a length and its bytes each. */
static void keep_piece(struct choice *c, const struct top *tops, size_t n_tops)
{
    uint16_t len = (uint16_t)tops[0].len;

    CHECK(n_tops == 1);
    buf_add(&c->pieces, &len, sizeof len);
    buf_add(&c->pieces, tops[0].text, len);
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
    const char *kept = buf_text(&c->pieces);

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

static void write_tokenized(struct generation *g, struct buf *body)
{
    struct choice *c = &g->choice[0];
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
    .prepare = check_text,
    .forget = conversation_forget,
    .tops = keep_piece,
    .whole = write_tokenized,
};

enum handler_result texts_tokenize(struct exchange *x)
{
    return generate(x, &tokenize_form);
}

/* ---- /detokenize ---- */

static int check_tokens(struct generation *g, struct param_error *e)
{
    struct json_object *tokens = json_get(g->body, "tokens");

    if (tokens == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, "tokens", "tokens: missing");
    for (size_t n = 0; n < IDS_AT_ONCE && g->cursor < json_length(tokens); n++, g->cursor++) {
        const struct json_object *id = json_at(tokens, g->cursor);
        if (json_type_of(id) != JSON_NUMBER || !json_is_integer(id) || json_integer(id) < 0 ||
            json_integer(id) > INT32_MAX)
            return param_refuse(e, ERROR_INVALID_BODY, "tokens", "tokens[%zu]: expected a token id",
                                g->cursor);
    }
    if (g->cursor < json_length(tokens))
        return 0;
    json_put(g->members, "prompt", json_share(tokens));
    return 1;
}

static void write_text(const struct generation *g, const char *name, struct buf *body)
{
    struct buf text = {0};

    blocks_join(&g->choice[0].blocks, CHANNEL_CONTENT, &text);
    buf_printf(body, "\"%s\":", name);
    buf_add_json_string(body, buf_text(&text), buf_pending(&text));
    buf_free(&text);
}

static void write_detokenized(struct generation *g, struct buf *body)
{
    buf_add_char(body, '{');
    write_text(g, "prompt", body);
    buf_add_char(body, ',');
    write_text(g, "content", body);
    buf_add_char(body, '}');
}

static const struct form detokenize_form = {
    .dialect = DIALECT_DETOKENIZE,
    .kind = PROMPT_DETOKENIZE,
    .id_prefix = "detokenize-",
    .prepare = check_tokens,
    .whole = write_detokenized,
};

enum handler_result texts_detokenize(struct exchange *x)
{
    return generate(x, &detokenize_form);
}

/* ---- /apply-template ---- */

static void write_rendered(struct generation *g, struct buf *body)
{
    buf_add_char(body, '{');
    write_text(g, "prompt", body);
    buf_add_char(body, '}');
}

static const struct form template_form = {
    .dialect = DIALECT_TEMPLATE,
    .kind = PROMPT_TEMPLATE,
    .id_prefix = "template-",
    .prepare = conversation_from_chat,
    .forget = conversation_forget,
    .whole = write_rendered,
};

enum handler_result texts_apply_template(struct exchange *x)
{
    return generate(x, &template_form);
}

/* POST /v1/embeddings: a vector for each input, as numbers or in base64. An input is a request like
 * any other, with a journal; what its worker says is the vector in base64 (shm/protocol.h). */
#include "router/api/api.h"
#include "router/api/prompts.h"

#include "base/base64.h"
#include "base/float32.h"

#include <endian.h>
#include <math.h>
#include <string.h>

/* ---- the inputs ---- */

static uint32_t count_inputs(const struct json_object *body, struct param_error *e)
{
    uint32_t n = prompts_count(body, "input", e);

    if (n <= CHOICES_MAX)
        return n;
    param_refuse(e, ERROR_INVALID_BODY, "input", "input: found %u of them, expected at most %d", n,
                 CHOICES_MAX);
    return 0;
}

static int check_inputs(struct generation *g, struct param_error *e)
{
    uint32_t at = (uint32_t)g->cursor;
    const struct json_object *input = prompts_find(g->body, "input", at);
    size_t len = 1;

    if (json_type_of(input) == JSON_STRING)
        json_string(input, &len);
    if (len == 0)
        return param_refuse(e, ERROR_INVALID_BODY, "input", "input %u: an empty string", at);
    return prompts_check(g, "input", e);
}

static struct json_object *find_value(const struct generation *g, uint32_t prompt, uint32_t i,
                                      const char **name)
{
    *name = i == 0 ? "prompt" : "dimensions";
    if (i > 1)
        return NULL;
    return i == 0 ? prompts_find(g->body, "input", prompt) : json_get(g->body, *name);
}

/* ---- the vectors ---- */

/* False: an element is no number that JSON has. */
static bool write_numbers(const struct buf *bytes, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < bytes->len; i += sizeof(float)) {
        uint32_t bits;
        float x;
        memcpy(&bits, bytes->data + i, sizeof bits);
        bits = le32toh(bits);
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x))
            return false;
        if (i > 0)
            buf_add_char(out, ',');
        float32_write(x, out);
    }
    buf_add_char(out, ']');
    return true;
}

/* The JSON of a vector as soon as it is there: those of many inputs never all in one turn. */
static bool take_vector(struct choice *c)
{
    struct buf text = {0}, bytes = {0};

    blocks_join(&c->blocks, CHANNEL_CONTENT, &text);
    blocks_free(&c->blocks);
    bool is_vector = base64_decode(text.data, text.len, &bytes) == 0 && bytes.len > 0 &&
                     bytes.len % sizeof(float) == 0;
    if (is_vector && c->generation->params.is_base64)
        buf_add_json_string(&c->pieces, text.data, text.len);
    else if (is_vector)
        is_vector = write_numbers(&bytes, &c->pieces);
    buf_free(&text);
    buf_free(&bytes);
    return is_vector;
}

static void write_list(struct generation *g, struct buf *body)
{
    unsigned long long n_tokens = g->usage.prompt_tokens;

    buf_add_str(body, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < g->n_choices; i++) {
        const struct buf *vector = &g->choice[i].pieces;
        buf_printf(body,
                   "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":", i > 0 ? "," : "", i);
        buf_add(body, vector->data, vector->len);
        buf_add_char(body, '}');
    }
    buf_add_str(body, "],\"model\":");
    buf_add_json_string(body, g->params.model, strlen(g->params.model));
    buf_printf(body, ",\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu}}", n_tokens,
               n_tokens);
}

static const struct form embedding_form = {
    .dialect = DIALECT_EMBEDDING,
    .kind = PROMPT_EMBED,
    .id_prefix = "embd-",
    .count = count_inputs,
    .prepare = check_inputs,
    .value = find_value,
    .done = take_vector,
    .whole = write_list,
};

enum handler_result embeddings_create(struct exchange *x)
{
    return generate(x, &embedding_form);
}

#include "tools/bench/streams_answer.h"

#include <stdlib.h>
#include <string.h>

static void next_word(struct answer *a)
{
    a->word_at = 0;
    a->word_len = (uint8_t)sim_word(a->seed, a->n_tokens, a->word);
}

void answer_init(struct answer *a, const struct expectation *expected, uint64_t seed)
{
    *a = (struct answer){
        .expected = expected,
        .seed = seed,
        .stage = expected->is_chat ? STAGE_ROLE : STAGE_TEXT,
    };
    next_word(a);
}

static enum fault compare(struct answer *a, const char *text, size_t len)
{
    while (len > 0) {
        size_t n = (size_t)(a->word_len - a->word_at);
        if (n > len)
            n = len;
        if (a->n_tokens == a->expected->n_tokens || memcmp(a->word + a->word_at, text, n) != 0)
            return FAULT_TEXT;
        text += n;
        len -= n;
        a->word_at = (uint8_t)(a->word_at + n);
        if (a->word_at == a->word_len) {
            a->n_tokens++;
            next_word(a);
        }
    }
    return FAULT_NONE;
}

/* Text of a chunk; most have no escapes. */
static enum fault take_text(struct answer *a, struct text t)
{
    char small[256];

    if (memchr(t.at, '\\', t.len) == NULL)
        return compare(a, t.at, t.len);
    char *plain = t.len <= sizeof small ? small : malloc(t.len);
    if (plain == NULL)
        abort();
    long n = text_unescape(t, plain);
    enum fault fault = n < 0 ? FAULT_JSON : compare(a, plain, (size_t)n);
    if (plain != small)
        free(plain);
    return fault;
}

static enum fault check_end(const struct answer *a, struct text finish)
{
    if (a->n_tokens != a->expected->n_tokens || a->word_at != 0)
        return FAULT_TEXT;
    if (a->expected->finish != NULL && !text_is(finish, a->expected->finish))
        return FAULT_FINISH;
    return FAULT_NONE;
}

static enum fault check_usage(struct answer *a, const struct chunk *c)
{
    if (!c->has_usage || c->completion_tokens != a->expected->n_tokens || c->prompt_tokens == 0)
        return FAULT_USAGE;
    a->worker_ms = c->worker_ms;
    return FAULT_NONE;
}

/* FNV-1a, to notice that the id changed. */
static uint32_t hash_text(struct text t)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < t.len; i++)
        h = (h ^ (unsigned char)t.at[i]) * 16777619u;
    return h | 1;
}

static enum fault check_identity(struct answer *a, const struct chunk *c, const char *object)
{
    if (c->id.at == NULL || c->id.len == 0 || !text_is(c->object, object))
        return FAULT_JSON;
    uint32_t hash = hash_text(c->id);
    if (a->id_hash == 0)
        a->id_hash = hash;
    return a->id_hash == hash ? FAULT_NONE : FAULT_ORDER;
}

static enum fault take_chunk(struct answer *a, const struct chunk *c)
{
    enum fault fault;

    switch (a->stage) {
    case STAGE_ROLE:
        if (!text_is(c->role, "assistant") || c->text.len > 0 || c->finish.at != NULL)
            return FAULT_ORDER;
        a->stage = STAGE_TEXT;
        return FAULT_NONE;
    case STAGE_TEXT:
        if (!c->has_choice || c->has_usage)
            return FAULT_ORDER;
        if (c->finish.at == NULL)
            return c->text.len > 0 ? take_text(a, c->text) : FAULT_ORDER;
        a->stage = STAGE_USAGE;
        return c->text.len > 0 ? FAULT_ORDER : check_end(a, c->finish);
    case STAGE_USAGE:
        if (c->has_choice)
            return FAULT_ORDER;
        fault = check_usage(a, c);
        a->stage = STAGE_DONE;
        return fault;
    case STAGE_DONE:
    case STAGE_OVER:
        break;
    }
    return FAULT_ORDER;
}

enum fault answer_take_event(struct answer *a, const char *data, size_t len)
{
    struct chunk c;
    const char *object = a->expected->is_chat ? "chat.completion.chunk" : "text_completion";

    if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
        if (a->stage != STAGE_DONE)
            return FAULT_ORDER;
        a->stage = STAGE_OVER;
        return FAULT_NONE;
    }
    if (chunk_parse(&c, data, len) != 0)
        return FAULT_JSON;
    if (c.has_error)
        return FAULT_ERROR;
    enum fault fault = check_identity(a, &c, object);
    return fault != FAULT_NONE ? fault : take_chunk(a, &c);
}

enum fault answer_take_body(struct answer *a, const char *data, size_t len)
{
    struct chunk c;
    const char *object = a->expected->is_chat ? "chat.completion" : "text_completion";

    if (chunk_parse(&c, data, len) != 0)
        return FAULT_JSON;
    enum fault fault = check_identity(a, &c, object);
    if (fault != FAULT_NONE)
        return fault;
    if (!c.has_choice || (a->expected->is_chat && !text_is(c.role, "assistant")))
        return FAULT_JSON;
    if (c.text.at == NULL || (fault = take_text(a, c.text)) != FAULT_NONE)
        return FAULT_TEXT;
    if ((fault = check_end(a, c.finish)) != FAULT_NONE)
        return fault;
    a->stage = STAGE_OVER;
    return check_usage(a, &c);
}

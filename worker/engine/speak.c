#include "worker/engine/speak.h"

#include "base/base64.h"
#include "base/check.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 1024 /* of a recited text; part of the protocol of resuming: place -> bytes */

void speaker_init(struct speaker *p, const struct language *language)
{
    *p = (struct speaker){.language = language};
}

void speaker_free(struct speaker *p)
{
    buf_free(&p->text);
    buf_free(&p->tops_text);
}

void speaker_begin(const struct speaker *p, struct sequence *s)
{
    detokenizer_init(&s->detokenizer, p->language->tokenizer, false);
    if (s->kind == PROMPT_COMPLETION && !s->has_echo)
        detokenizer_continue(&s->detokenizer);
    s->channel = s->prompt.starts_reasoning ? CHANNEL_REASONING : CHANNEL_CONTENT;
    s->is_fresh = s->prompt.starts_reasoning;
}

/* <think> and </think> are seen as ids, so nothing that is spelled like them counts; nor does one
 * that changes nothing: it is text. */
static bool change_channel(const struct speaker *p, struct sequence *s, uint32_t id)
{
    bool is_thinking = s->channel == CHANNEL_REASONING;
    uint32_t mark = is_thinking ? p->language->think_end : p->language->think_start;

    if (s->kind != PROMPT_CHAT || id != mark)
        return false;
    s->channel = is_thinking ? CHANNEL_CONTENT : CHANNEL_REASONING;
    s->is_fresh = true;
    return true;
}

/* The template's line ends around the marks are not part of what is said. */
static void skip_line_ends(struct sequence *s, struct buf *text)
{
    if (!s->is_fresh)
        return;
    while (buf_pending(text) > 0 && text->data[text->pos] == '\n')
        text->pos++;
    s->is_fresh = buf_pending(text) == 0;
}

static void add_top(struct speaker *p, uint8_t *n, uint32_t id, float logprob)
{
    size_t from = p->tops_text.len;

    tokenizer_bytes(p->language->tokenizer, id, &p->tops_text);
    p->tops[(*n)++] =
        (struct token_top){.id = id, .logprob = logprob, .len = p->tops_text.len - from};
}

static void add_tops(struct speaker *p, const struct sequence *s, const struct result *r,
                     const struct result_top *tops, struct token *out)
{
    size_t from = 0;

    if (!s->has_logprobs)
        return;
    buf_clear(&p->tops_text);
    add_top(p, &out->n_tops, r->token, r->logprob);
    for (uint32_t i = 0; i < r->n_tops; i++)
        add_top(p, &out->n_tops, tops[i].token, tops[i].logprob);
    for (uint8_t i = 0; i < out->n_tops; i++) { /* now that the text has its place */
        p->tops[i].text = p->tops_text.data + from;
        from += p->tops[i].len;
    }
    out->tops = p->tops;
}

void speaker_say(struct speaker *p, struct sequence *s, const struct result *r,
                 const struct result_top *tops, struct token *out)
{
    *out = (struct token){.id = r->token, .logprob = r->logprob, .is_prompt = r->is_prompt};
    buf_clear(&p->text);
    if (r->is_prompt || !change_channel(p, s, r->token)) {
        detokenizer_push(&s->detokenizer, r->token, &p->text);
        skip_line_ends(s, &p->text);
    }
    out->channel = s->channel;
    out->text = p->text.data + p->text.pos;
    out->len = buf_pending(&p->text);
    if (out->len > TOKEN_TEXT_MAX / 3) /* what is no UTF-8 counts three times */
        out->len = TOKEN_TEXT_MAX / 3;
    add_tops(p, s, r, tops, out);
}

void speaker_write_vector(struct sequence *s)
{
    uint32_t *words = calloc(s->n_vector, sizeof *words);

    CHECK(words != NULL);
    for (uint32_t i = 0; i < s->n_vector; i++) {
        memcpy(&words[i], &s->vector[i], sizeof words[i]);
        words[i] = htole32(words[i]);
    }
    base64_encode(words, s->n_vector * sizeof *words, &s->prompt.text);
    free(words);
}

uint32_t speaker_places(const struct sequence *s)
{
    if (s->kind == PROMPT_TOKENIZE)
        return (uint32_t)s->prompt.ids.n;
    return (uint32_t)((s->prompt.text.len + PIECE_BYTES - 1) / PIECE_BYTES);
}

void speaker_recite(struct speaker *p, struct sequence *s, uint32_t place, struct token *out)
{
    *out = (struct token){.channel = CHANNEL_CONTENT};
    if (s->kind == PROMPT_TOKENIZE) {
        out->id = s->prompt.ids.id[place];
        buf_clear(&p->text);
        tokenizer_bytes(p->language->tokenizer, out->id, &p->text);
        out->text = p->text.data;
        out->len = p->text.len < TOKEN_TEXT_MAX / 3 ? p->text.len : TOKEN_TEXT_MAX / 3;
        return;
    }
    size_t from = (size_t)place * PIECE_BYTES, rest = s->prompt.text.len - from;
    out->text = s->prompt.text.data + from;
    out->len = rest < PIECE_BYTES ? rest : PIECE_BYTES;
}

/* From ids to what the router is told: text, channel, log-probabilities. One for all sequences; the
 * state of each is in struct sequence, and is a pure function of its ids so far. */
#ifndef WORKER_ENGINE_SPEAK_H
#define WORKER_ENGINE_SPEAK_H

#include "worker/engine/prompt.h"

struct speaker {
    const struct language *language; /* borrowed */
    struct buf text;                 /* owned: of the token */
    struct buf tops_text;            /* owned */
    struct token_top tops[TOPS_MAX];
};

void speaker_init(struct speaker *p, const struct language *language);
void speaker_free(struct speaker *p);

/* Before the first token of s. */
void speaker_begin(const struct speaker *p, struct sequence *s);

/* The token of the next place of the journal. r and tops are what compute said of it; r->n_tops of
 * tops. The text is valid until the next call. */
void speaker_say(struct speaker *p, struct sequence *s, const struct result *r,
                 const struct result_top *tops, struct token *out);

/* The text of an embedding: its numbers as float32, little-endian, in base64. */
void speaker_write_vector(struct sequence *s);

/* Places and tokens of an answer that is no generated text: ids of a tokenised prompt, or pieces of
 * a text. */
uint32_t speaker_places(const struct sequence *s);
void speaker_recite(struct speaker *p, struct sequence *s, uint32_t place, struct token *out);

#endif

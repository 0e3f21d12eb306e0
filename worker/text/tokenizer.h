/* tokenizer.json: from text to the ids that the `tokenizers` library (0.23.3) gives, and back.
 *
 * BPE of two kinds: byte-level (GPT-2, Llama 3, Qwen) and SentencePiece-style with byte fallback
 * (Llama 2, Mistral, Gemma). Everything the file names that changes ids or text and is not known
 * here is refused at load, with its place in the file. So is an added token whose id is not the one
 * that the library would give it, whatever the file says.
 *
 * Not followed, because a request says it: "truncation" and "padding".
 *
 * Where the library differs: it shows a U+FFFD for each byte of a run of byte tokens that is not
 * UTF-8 as a whole, here bytes come as they are; and it does not leave out a special token whose
 * content its normalizer changes. Characters that came to Unicode after 16.0 count as unassigned
 * there and as what utf8proc and PCRE2 know of them here. */
#ifndef WORKER_TEXT_TOKENIZER_H
#define WORKER_TEXT_TOKENIZER_H

#include "base/buf.h"
#include "base/err.h"
#include "worker/io/root.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKENIZER_JSON_MAX  (128u << 20)
#define TOKENIZER_NODES_MAX 4000000u /* values in the file */
#define TOKENIZER_TEXT_MAX  (64u << 20)
#define TOKENIZER_NOT_FOUND UINT32_MAX

struct tokenizer;

/* The file in the model's directory. 0; -ENOENT, -EINVAL, -EFBIG with the sentence. */
int tokenizer_load(const struct root *root, struct tokenizer **out, struct err *e);
int tokenizer_new(const char *json, size_t len, struct tokenizer **out, struct err *e);
void tokenizer_free(struct tokenizer **t);

/* One past the largest id. */
uint32_t tokenizer_vocab(const struct tokenizer *t);

struct token_ids {
    uint32_t *id; /* owned */
    size_t n, cap;
};
void token_ids_add(struct token_ids *ids, uint32_t id);
void token_ids_free(struct token_ids *ids);

struct tokenizer_input {
    const char *text; /* UTF-8; what is not comes in as U+FFFD */
    size_t len;
    /* Ascending byte offsets. An added token that is special is not recognised where a cut lies
     * inside it, not at its edges: so a look-alike in a client's text stays text. Nothing else
     * changes. One of a single byte has no inside. */
    const size_t *cuts;
    size_t n_cuts;
    bool add_special; /* what the post-processor adds: bos, eos */
};

/* Append the ids, or nothing. Several threads may encode at once. 0; -E2BIG beyond the length above
 * or a limit of the patterns; -EINVAL for a character without a token where what the file puts in
 * its place has none either. */
int tokenizer_encode(const struct tokenizer *t, const struct tokenizer_input *in,
                     struct token_ids *out, struct err *e);

/* The id of an added token, by its exact content, or TOKENIZER_NOT_FOUND. */
uint32_t tokenizer_find_added(const struct tokenizer *t, const char *text, size_t len);
bool tokenizer_is_special(const struct tokenizer *t, uint32_t id);

/* The added tokens that are special, in no order: for those who look for look-alikes. */
typedef void tokenizer_special_fn(void *ctx, const char *text, size_t len);
void tokenizer_each_special(const struct tokenizer *t, tokenizer_special_fn *fn, void *ctx);

/* The bytes one token stands for by itself, as log-probabilities show it; special tokens are their
 * content. Not always whole UTF-8 sequences; nothing for an id without an entry. */
void tokenizer_bytes(const struct tokenizer *t, uint32_t id, struct buf *out);

/* Text from ids, one at a time. A pure function of the ids so far. The bytes in all are those of
 * `decode`, but that a sequence cut between tokens comes in pieces: worker/text/stop.h joins them.
 */
struct detokenizer {
    const struct tokenizer *tokenizer; /* borrowed */
    bool keeps_special;                /* special tokens come out as their content */
    bool has_token;                    /* one has come that counts */
    uint32_t n_to_strip;               /* characters that may still go from the beginning */
};
void detokenizer_init(struct detokenizer *d, const struct tokenizer *t, bool keeps_special);
/* Before the first token: it goes on with a text, and keeps the space it begins with. */
void detokenizer_continue(struct detokenizer *d);
/* Append what this token adds. An id without an entry adds nothing. */
void detokenizer_push(struct detokenizer *d, uint32_t id, struct buf *out);

#endif

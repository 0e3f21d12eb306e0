/* The decoder of tokenizer.json, as far as it can work on one token after another: what each id
 * adds is worked out at load, and only what depends on the tokens before is left for later:
 *
 *   each token   Replace, Strip, ByteFallback, ByteLevel
 *   the first    Metaspace leaves its mark out there and makes spaces of it elsewhere
 *   the text     Fuse; Strip of its beginning; without a decoder a space before all but the first
 */
#ifndef WORKER_TEXT_TOKENIZER_DECODE_H
#define WORKER_TEXT_TOKENIZER_DECODE_H

#include "base/json.h"
#include "worker/text/tokenizer_added.h"
#include "worker/text/tokenizer_vocab.h"

struct decoder_piece {
    uint32_t at;
    uint32_t len; /* VOCAB_NONE: there is no such id */
};

struct decoder {
    struct buf text;              /* of all pieces */
    struct decoder_piece *pieces; /* by id */
    uint64_t *special;            /* a bit by id */
    uint32_t n_ids;
    bool has_separator; /* no decoder: tokens are joined with spaces */
    char mark[4];       /* of Metaspace */
    size_t mark_len;    /* 0: none */
    bool keeps_first;   /* the mark of the first token is a space, too */
    char stripped;      /* from the beginning of the text */
    uint32_t n_stripped;
};

/* o may be NULL. On failure there is nothing to free. */
int decoder_read(struct decoder *d, const struct json_object *o, const struct vocab *model,
                 const struct added *added, struct regex_work *work, struct err *e);
void decoder_free(struct decoder *d);

bool decoder_is_special(const struct decoder *d, uint32_t id);
/* What the id adds, the mark of Metaspace still in it; NULL: nothing, it is no token. */
const char *decoder_piece(const struct decoder *d, uint32_t id, size_t *len);
/* Append len bytes, the mark as spaces or left out. */
void decoder_add(const struct decoder *d, const char *p, size_t len, bool has_marks,
                 struct buf *out);

#endif

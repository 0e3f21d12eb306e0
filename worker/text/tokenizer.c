#include "worker/text/tokenizer.h"

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "worker/text/tokenizer_added.h"
#include "worker/text/tokenizer_bpe.h"
#include "worker/text/tokenizer_decode.h"
#include "worker/text/tokenizer_json.h"
#include "worker/text/tokenizer_normalize.h"
#include "worker/text/tokenizer_post.h"
#include "worker/text/tokenizer_pretokenize.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "tokenizer.json"
#define KEEP_MAX  ((size_t)256 << 10) /* bytes of a text */
#define MEMBERS \
    "version truncation padding added_tokens normalizer pre_tokenizer post_processor decoder " \
    "model"

/* What one thread needs while it encodes. */
struct work {
    struct work *next; /* of those at rest */
    struct regex_work *regex;
    struct buf clean;
    struct text_cut *cuts; /* of the input, and of its clean form behind them */
    size_t cuts_cap;
    struct normalizer_work normalizer;
    struct pretokenizer_work pretokenizer;
    struct bpe_work bpe;
};

/* As many as have encoded at once. */
struct pool {
    pthread_mutex_t lock;
    struct work *at_rest;
};

struct tokenizer {
    struct bpe bpe;
    struct normalizer normalizer;
    struct pretokenizer pretokenizer;
    struct added added;
    struct post post;
    struct decoder decoder;
    struct pool *pool; /* owned; all else stays as it was loaded */
};

/* --- ids --- */

void token_ids_add(struct token_ids *ids, uint32_t id)
{
    if (ids->n == ids->cap) {
        ids->cap = ids->cap == 0 ? 64 : 2 * ids->cap;
        ids->id = reallocarray(ids->id, ids->cap, sizeof *ids->id);
        CHECK(ids->id != NULL); /* at most one id a byte of a bounded text, and a few */
    }
    ids->id[ids->n++] = id;
}

static void add_all(struct token_ids *to, const struct token_ids *from)
{
    for (size_t i = 0; i < from->n; i++)
        token_ids_add(to, from->id[i]);
}

void token_ids_free(struct token_ids *ids)
{
    free(ids->id);
    *ids = (struct token_ids){0};
}

/* --- work --- */

static struct work *make_work(void)
{
    struct work *w = calloc(1, sizeof *w);

    CHECK(w != NULL);
    w->regex = regex_work_new();
    w->normalizer.regex = w->regex;
    w->pretokenizer.regex = w->regex;
    bpe_work_init(&w->bpe);
    return w;
}

static void free_work(struct work *w)
{
    regex_work_free(&w->regex);
    buf_free(&w->clean);
    free(w->cuts);
    normalizer_work_free(&w->normalizer);
    pretokenizer_work_free(&w->pretokenizer);
    bpe_work_free(&w->bpe);
    free(w);
}

static struct pool *make_pool(void)
{
    struct pool *p = calloc(1, sizeof *p);

    CHECK(p != NULL);
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    return p;
}

static void free_pool(struct pool *p)
{
    for (struct work *w = p->at_rest, *next; w != NULL; w = next) {
        next = w->next;
        free_work(w);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static struct work *take_work(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    struct work *w = p->at_rest;
    if (w != NULL)
        p->at_rest = w->next;
    pthread_mutex_unlock(&p->lock);
    if (w == NULL)
        w = make_work();
    regex_work_begin(w->regex);
    return w;
}

/* What has grown for a long text is not kept. */
static void give_back(struct pool *p, struct work *w, size_t len)
{
    if (len > KEEP_MAX) {
        free_work(w);
        return;
    }
    pthread_mutex_lock(&p->lock);
    w->next = p->at_rest;
    p->at_rest = w;
    pthread_mutex_unlock(&p->lock);
}

/* --- loading --- */

static int check_version(const struct json_object *root, struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];
    const char *version;
    size_t len;

    if (json_get(root, "version") == NULL)
        return 0;
    int rc = tokenizer_read_string(root, "version", &version, &len, e);
    if (rc == 0 && (len != 3 || memcmp(version, "1.0", 3) != 0))
        rc = err_set(e, EINVAL, "version: found %s, expected 1.0",
                     tokenizer_quote(quoted, version, len));
    return rc;
}

/* What reading a part said, with the part's name. */
static int in_part(const char *part, int rc, struct err *e)
{
    if (rc != 0)
        err_prefix(e, "%s", part);
    return rc;
}

/* In this order: added tokens are looked for in their normalised form, and all that comes after
 * needs every id. */
static int read_parts(struct tokenizer *t, const struct json_object *root, struct work *w,
                      struct err *e)
{
    int rc = tokenizer_check_members(root, MEMBERS, e);

    if (rc == 0)
        rc = check_version(root, e);
    if (rc == 0)
        rc = in_part("model", bpe_read(&t->bpe, json_get(root, "model"), e), e);
    if (rc == 0)
        rc = in_part("normalizer", normalizer_read(&t->normalizer, json_get(root, "normalizer"), e),
                     e);
    if (rc == 0)
        rc = in_part("pre_tokenizer",
                     pretokenizer_read(&t->pretokenizer, json_get(root, "pre_tokenizer"), e), e);
    if (rc == 0 && !t->pretokenizer.ends_in_bytes)
        bpe_index_joins(&t->bpe);
    if (rc == 0)
        rc = in_part("added_tokens",
                     added_read(&t->added, json_get(root, "added_tokens"), &t->bpe.vocab,
                                &t->normalizer, &w->normalizer, e),
                     e);
    if (rc == 0)
        rc = in_part("post_processor",
                     post_read(&t->post, json_get(root, "post_processor"), t->added.n_ids, e), e);
    if (rc == 0)
        rc = in_part("decoder",
                     decoder_read(&t->decoder, json_get(root, "decoder"), &t->bpe.vocab, &t->added,
                                  w->regex, e),
                     e);
    return rc;
}

int tokenizer_new(const char *json, size_t len, struct tokenizer **out, struct err *e)
{
    struct json_object *root;

    *out = NULL;
    int rc = json_parse_large(json, len, TOKENIZER_NODES_MAX, &root, e);
    if (rc != 0)
        return in_part(FILE_NAME, rc, e);
    struct tokenizer *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->pool = make_pool();
    struct work *w = take_work(t->pool);
    rc = read_parts(t, root, w, e);
    json_free(&root);
    give_back(t->pool, w, 0);
    if (rc == 0)
        *out = t;
    else
        tokenizer_free(&t);
    return in_part(FILE_NAME, rc, e);
}

int tokenizer_load(const struct root *root, struct tokenizer **out, struct err *e)
{
    struct buf text = {0};

    *out = NULL;
    int rc = root_read_all(root, FILE_NAME, TOKENIZER_JSON_MAX, &text, e);
    if (rc == 0)
        rc = tokenizer_new(text.data, text.len, out, e);
    buf_free(&text);
    return rc;
}

void tokenizer_free(struct tokenizer **t)
{
    if (*t == NULL)
        return;
    free_pool((*t)->pool);
    decoder_free(&(*t)->decoder);
    post_free(&(*t)->post);
    added_free(&(*t)->added);
    pretokenizer_free(&(*t)->pretokenizer);
    normalizer_free(&(*t)->normalizer);
    bpe_free(&(*t)->bpe);
    free(*t);
    *t = NULL;
}

/* --- encoding --- */

struct encoding {
    const struct tokenizer *t;
    struct work *w;
    struct token_ids *out;
};

static int encode_word(void *ctx, const char *word, size_t len, struct err *e)
{
    struct encoding *x = ctx;

    return bpe_encode(&x->t->bpe, &x->w->bpe, word, len, x->t->pretokenizer.ends_in_bytes, x->out,
                      e);
}

/* Text without added tokens. */
static int encode_plain(struct encoding *x, const struct text *text, struct err *e)
{
    return pretokenizer_run(&x->t->pretokenizer, &x->w->pretokenizer, text->p, text->len,
                            text->n_first, encode_word, x, e);
}

/* Text without added tokens that are found before normalisation. */
static int encode_raw(struct encoding *x, const struct text *text, struct err *e)
{
    const struct added *added = &x->t->added;
    struct text raw = *text, normal;
    struct added_walk k;
    struct added_piece piece;

    if (!added->normalized.has_special)
        raw.n_cuts = 0; /* nobody asks */
    int rc = normalizer_run(&x->t->normalizer, &x->w->normalizer, &raw, &normal, e);
    if (rc != 0)
        return rc;
    added_begin(&k, added, &added->normalized, &normal);
    while (rc == 0 && added_next(&k, &piece)) {
        if (piece.id != VOCAB_NONE) {
            token_ids_add(x->out, piece.id);
            continue;
        }
        struct text plain = text_slice(&normal, piece.begin, piece.end);
        rc = encode_plain(x, &plain, e);
    }
    return rc;
}

static int encode_text(struct encoding *x, const struct text *text, struct err *e)
{
    struct added_walk k;
    struct added_piece piece;
    int rc = 0;

    added_begin(&k, &x->t->added, &x->t->added.raw, text);
    while (rc == 0 && added_next(&k, &piece)) {
        if (piece.id != VOCAB_NONE) {
            token_ids_add(x->out, piece.id);
            continue;
        }
        struct text raw = text_slice(text, piece.begin, piece.end);
        rc = encode_raw(x, &raw, e);
    }
    return rc;
}

/* The input as UTF-8, and its cuts. */
static struct text clean_input(struct work *w, const struct tokenizer_input *in)
{
    struct text text = {.p = in->len > 0 ? in->text : "", .len = in->len, .n_cuts = in->n_cuts};

    if (w->cuts_cap < 2 * in->n_cuts) {
        w->cuts_cap = 2 * in->n_cuts;
        w->cuts = reallocarray(w->cuts, w->cuts_cap, sizeof *w->cuts);
        CHECK(w->cuts != NULL);
    }
    for (size_t i = 0; i < in->n_cuts; i++) {
        CHECK(i == 0 || in->cuts[i] >= in->cuts[i - 1]);
        w->cuts[i] = (struct text_cut){in->cuts[i], in->cuts[i]};
    }
    text.cuts = w->cuts;
    if (!utf8_valid(text.p, text.len)) {
        struct text_writer to = {.out = &w->clean, .from = &text};
        if (in->n_cuts > 0)
            to.cuts = w->cuts + in->n_cuts;
        buf_clear(&w->clean);
        text_write_clean(&to);
        text = text_finish(&to);
    }
    if (text.len > 0)
        utf8_decode(text.p, &text.n_first);
    return text;
}

int tokenizer_encode(const struct tokenizer *t, const struct tokenizer_input *in,
                     struct token_ids *out, struct err *e)
{
    const size_t n_before = out->n;
    int rc = 0;

    if (in->len > TOKENIZER_TEXT_MAX)
        return err_set(e, E2BIG, "the text has %zu bytes, expected at most %u", in->len,
                       TOKENIZER_TEXT_MAX);
    struct work *w = take_work(t->pool);
    struct encoding x = {t, w, out};
    struct text text = clean_input(w, in);
    if (in->add_special)
        add_all(out, &t->post.before);
    rc = encode_text(&x, &text, e);
    if (rc == 0 && in->add_special)
        add_all(out, &t->post.behind);
    if (rc != 0)
        out->n = n_before;
    give_back(t->pool, w, in->len);
    return rc;
}

/* --- looking --- */

uint32_t tokenizer_vocab(const struct tokenizer *t)
{
    return t->added.n_ids;
}

uint32_t tokenizer_find_added(const struct tokenizer *t, const char *text, size_t len)
{
    uint32_t i = vocab_find(&t->added.texts, text, len);

    return i == VOCAB_NONE ? TOKENIZER_NOT_FOUND : t->added.tokens[i].id;
}

bool tokenizer_is_special(const struct tokenizer *t, uint32_t id)
{
    return decoder_is_special(&t->decoder, id);
}

void tokenizer_each_special(const struct tokenizer *t, tokenizer_special_fn *fn, void *ctx)
{
    for (uint32_t i = 0; i < t->added.n; i++) {
        size_t len;
        const char *text = vocab_text(&t->added.texts, i, &len);
        if (t->added.tokens[i].special)
            fn(ctx, text, len);
    }
}

static const char *special_content(const struct added *a, uint32_t id, size_t *len)
{
    uint32_t i = 0;

    while (a->tokens[i].id != id)
        i++; /* it is there: it is special */
    return vocab_text(&a->texts, i, len);
}

void tokenizer_bytes(const struct tokenizer *t, uint32_t id, struct buf *out)
{
    bool is_special = decoder_is_special(&t->decoder, id);
    size_t len;
    const char *p =
        is_special ? special_content(&t->added, id, &len) : decoder_piece(&t->decoder, id, &len);

    if (p != NULL && is_special)
        buf_add(out, p, len);
    else if (p != NULL)
        decoder_add(&t->decoder, p, len, true, out);
}

/* --- decoding --- */

void detokenizer_init(struct detokenizer *d, const struct tokenizer *t, bool keeps_special)
{
    *d = (struct detokenizer){
        .tokenizer = t, .keeps_special = keeps_special, .n_to_strip = t->decoder.n_stripped};
}

void detokenizer_continue(struct detokenizer *d)
{
    d->has_token = true;
    d->n_to_strip = 0;
}

void detokenizer_push(struct detokenizer *d, uint32_t id, struct buf *out)
{
    const struct decoder *decoder = &d->tokenizer->decoder;
    size_t len;
    const char *p = decoder_piece(decoder, id, &len);

    if (p == NULL || (!d->keeps_special && decoder_is_special(decoder, id)))
        return;
    if (d->has_token && decoder->has_separator)
        buf_add_char(out, ' ');
    size_t before = out->len;
    decoder_add(decoder, p, len, d->has_token || decoder->keeps_first, out);
    d->has_token = true;
    size_t n = 0, n_added = out->len - before;
    while (n < n_added && n < d->n_to_strip && out->data[before + n] == decoder->stripped)
        n++;
    if (n < n_added)
        d->n_to_strip = 0; /* the text has begun */
    else
        d->n_to_strip -= (uint32_t)n;
    if (n > 0)
        memmove(out->data + before, out->data + before + n, n_added - n);
    out->len -= n;
}

#include "worker/text/tokenizer_decode.h"

#include "base/check.h"
#include "base/utf8.h"
#include "worker/text/tokenizer_bpe.h"
#include "worker/text/tokenizer_json.h"
#include "worker/text/tokenizer_pattern.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 32
#define TEXT_MAX  ((size_t)256 << 20) /* of all tokens */

enum step_kind { STEP_REPLACE, STEP_STRIP, STEP_FALLBACK, STEP_BYTES };

/* A step on each token by itself. */
struct token_step {
    enum step_kind kind;
    struct pattern pattern;
    char *content; /* owned */
    size_t content_len;
    uint32_t stripped; /* a character */
    uint32_t start, stop;
};

/* While the file is read. */
struct chain {
    struct decoder *d;
    struct token_step steps[STEPS_MAX + 1]; /* one for ByteFallback */
    uint32_t n;
    bool has_fallback;
    bool is_fused; /* what follows sees the text, not the tokens */
};

/* --- the steps on one token --- */

static int replace(const struct token_step *s, struct regex_work *work, struct buf *text,
                   struct buf *out, struct err *e)
{
    struct buf proxies = {0};
    struct pattern_walk k;
    size_t done = 0, begin, end;
    int rc;

    pattern_begin(&k, &s->pattern, work, text->data, text->len, &proxies);
    while ((rc = pattern_next(&k, &begin, &end, e)) == 1) {
        buf_add(out, text->data + done, begin - done);
        buf_add(out, s->content, s->content_len);
        done = end;
        rc = text_check_growth(text->len, out->len, e);
        if (rc != 0)
            break;
    }
    buf_add(out, text->data + done, text->len - done);
    buf_free(&proxies);
    return rc;
}

/* At most start characters in front and stop behind, if they are the one to strip. */
static void strip(const struct token_step *s, const struct buf *text, struct buf *out)
{
    char stripped[4];
    size_t n = utf8_encode(s->stripped, stripped), begin = 0, end = text->len;

    for (uint32_t i = 0; i < s->start && end - begin >= n; i++, begin += n)
        if (memcmp(text->data + begin, stripped, n) != 0)
            break;
    for (uint32_t i = 0; i < s->stop && end - begin >= n; i++, end -= n)
        if (memcmp(text->data + end - n, stripped, n) != 0)
            break;
    buf_add(out, text->data + begin, end - begin);
}

/* <0x00> to <0xFF>. A sign in front of one digit passes, too, as in the library. */
static void fall_back(const struct buf *text, struct buf *out)
{
    const char *p = text->data;
    bool is_byte = text->len == 6 && memcmp(p, "<0x", 3) == 0 && p[5] == '>' &&
                   (p[3] == '+' || isxdigit((unsigned char)p[3])) && isxdigit((unsigned char)p[4]);

    if (is_byte)
        buf_add_char(out, (char)strtoul((char[]){p[3], p[4], '\0'}, NULL, 16));
    else
        buf_add(out, p, text->len);
}

/* From characters to the bytes they stand for, if all of them stand for one. */
static void to_bytes(const uint16_t bytes[512], const struct buf *text, struct buf *out)
{
    size_t before = out->len, n;

    for (size_t at = 0; at < text->len; at += n) {
        uint32_t c = utf8_decode(text->data + at, &n);
        if (c >= 512 || bytes[c] == UINT16_MAX) {
            out->len = before;
            buf_add(out, text->data, text->len);
            return;
        }
        buf_add_char(out, (char)bytes[c]);
    }
}

static int run_step(const struct token_step *s, struct regex_work *work, const uint16_t bytes[512],
                    struct buf *text, struct buf *out, struct err *e)
{
    switch (s->kind) {
    case STEP_REPLACE:
        return replace(s, work, text, out, e);
    case STEP_STRIP:
        strip(s, text, out);
        return 0;
    case STEP_FALLBACK:
        fall_back(text, out);
        return 0;
    case STEP_BYTES:
        to_bytes(bytes, text, out);
        return 0;
    }
    CHECK_UNREACHABLE("a step that is not listed");
}

/* --- all tokens --- */

/* The inverse of bpe_byte_char. */
static void index_bytes(uint16_t bytes[512])
{
    memset(bytes, 0xff, 512 * sizeof *bytes); /* all UINT16_MAX */
    for (unsigned byte = 0; byte < 256; byte++)
        bytes[bpe_byte_char((unsigned char)byte)] = (uint16_t)byte;
}

static int decode_token(struct chain *c, uint32_t id, const char *text, size_t len,
                        struct regex_work *work, const uint16_t bytes[512], struct buf side[2],
                        struct err *e)
{
    struct decoder *d = c->d;
    int rc = 0;

    buf_clear(&side[0]);
    buf_add(&side[0], text, len);
    for (uint32_t i = 0; rc == 0 && i < c->n; i++) {
        struct buf *from = &side[i % 2], *to = &side[(i + 1) % 2];
        buf_clear(to);
        buf_text(from);
        rc = run_step(&c->steps[i], work, bytes, from, to, e);
    }
    const struct buf *last = &side[c->n % 2];
    d->pieces[id] = (struct decoder_piece){(uint32_t)d->text.len, (uint32_t)last->len};
    buf_add(&d->text, last->data, last->len);
    if (rc == 0 && d->text.len > TEXT_MAX)
        rc = err_set(e, E2BIG, "found more than %zu bytes of text in all tokens", TEXT_MAX);
    return rc;
}

static int decode_all(struct chain *c, const struct vocab *model, const struct added *added,
                      struct regex_work *work, struct err *e)
{
    struct decoder *d = c->d;
    struct buf side[2] = {{0}, {0}};
    uint16_t bytes[512];
    size_t len;
    int rc = 0;

    index_bytes(bytes);
    d->n_ids = added->n_ids;
    d->pieces = malloc((d->n_ids + 1) * sizeof *d->pieces);
    d->special = calloc(d->n_ids / 64 + 1, sizeof *d->special);
    CHECK(d->pieces != NULL);
    CHECK(d->special != NULL);
    memset(d->pieces, 0xff, (d->n_ids + 1) * sizeof *d->pieces);
    for (uint32_t id = 0; rc == 0 && id < model->n_ids; id++) {
        const char *text = vocab_text(model, id, &len);
        if (text != NULL)
            rc = decode_token(c, id, text, len, work, bytes, side, e);
    }
    for (uint32_t i = 0; rc == 0 && i < added->n; i++) {
        const struct added_token *t = &added->tokens[i];
        const char *text = added->patterns.data + t->pattern_at;
        d->special[t->id / 64] |= (uint64_t)t->special << t->id % 64;
        rc = decode_token(c, t->id, text, t->pattern_len, work, bytes, side, e);
    }
    buf_free(&side[0]);
    buf_free(&side[1]);
    return rc;
}

/* --- reading --- */

static int refuse_order(struct err *e, const char *why)
{
    return err_set(e, EINVAL, "found it %s, where it cannot be followed token by token", why);
}

static int add_step(struct chain *c, const struct token_step *step, struct err *e)
{
    if (c->n == STEPS_MAX)
        return err_set(e, E2BIG, "found another step, expected at most %d", STEPS_MAX);
    if (c->is_fused)
        return refuse_order(e, "behind Fuse or ByteLevel");
    if (c->has_fallback)
        return refuse_order(e, "behind ByteFallback");
    if (c->d->mark_len > 0)
        return refuse_order(e, "behind Metaspace");
    c->steps[c->n++] = *step;
    return 0;
}

static void free_step(struct token_step *s)
{
    pattern_free(&s->pattern);
    free(s->content);
}

static int read_replace(void *to, const struct json_object *o, struct err *e)
{
    struct token_step s = {.kind = STEP_REPLACE};
    const char *content;
    int rc = pattern_read(&s.pattern, o, e);

    if (rc == 0)
        rc = tokenizer_read_string(o, "content", &content, &s.content_len, e);
    if (rc == 0) {
        s.content = malloc(s.content_len + 1);
        CHECK(s.content != NULL);
        memcpy(s.content, content, s.content_len);
        rc = add_step(to, &s, e);
    }
    if (rc != 0)
        free_step(&s);
    return rc;
}

/* Of the whole text: only its beginning is known while it is made. */
static int strip_text(struct decoder *d, const struct token_step *s, struct err *e)
{
    if (s->stop > 0)
        return err_set(e, EINVAL, "stop: found %u behind Fuse, expected 0", s->stop);
    if (s->stripped >= 0x80)
        return err_set(e, EINVAL, "content: found a character beyond ASCII behind Fuse");
    if (d->n_stripped > 0 && d->stripped != (char)s->stripped)
        return err_set(e, EINVAL, "content: found another character than in the Strip before");
    d->stripped = (char)s->stripped;
    d->n_stripped += s->start;
    return 0;
}

static int read_strip(void *to, const struct json_object *o, struct err *e)
{
    struct token_step s = {.kind = STEP_STRIP};
    struct chain *c = to;
    int rc = tokenizer_read_char(o, "content", &s.stripped, e);

    if (rc == 0)
        rc = tokenizer_read_count(o, "start", 65536, &s.start, e);
    if (rc == 0)
        rc = tokenizer_read_count(o, "stop", 65536, &s.stop, e);
    if (rc != 0)
        return rc;
    return c->is_fused ? strip_text(c->d, &s, e) : add_step(c, &s, e);
}

static int read_fallback(void *to, const struct json_object *o, struct err *e)
{
    struct chain *c = to;

    (void)o;
    if (c->is_fused)
        return refuse_order(e, "behind Fuse or ByteLevel");
    if (c->has_fallback)
        return refuse_order(e, "a second time");
    if (c->d->mark_len == 1) /* one byte could be the mark, and is not to be taken for it */
        return refuse_order(e, "behind Metaspace with a mark of ASCII");
    c->steps[c->n++] = (struct token_step){.kind = STEP_FALLBACK};
    c->has_fallback = true;
    return 0;
}

static int read_fuse(void *to, const struct json_object *o, struct err *e)
{
    struct chain *c = to;

    (void)o;
    (void)e;
    c->is_fused = true;
    return 0;
}

static int read_byte_level(void *to, const struct json_object *o, struct err *e)
{
    struct chain *c = to;
    int rc = add_step(c, &(struct token_step){.kind = STEP_BYTES}, e);

    (void)o; /* its members say how to encode */
    c->is_fused = true;
    return rc;
}

static int read_metaspace(void *to, const struct json_object *o, struct err *e)
{
    struct chain *c = to;
    bool adds_space = true;
    uint32_t mark = 0;
    const char *scheme = "always";
    size_t len = 6;
    int rc = tokenizer_read_char(o, "replacement", &mark, e);

    if (rc == 0)
        rc = tokenizer_read_bool_if(o, "add_prefix_space", &adds_space, e);
    if (rc == 0 && json_get(o, "prepend_scheme") != NULL)
        rc = tokenizer_read_string(o, "prepend_scheme", &scheme, &len, e);
    if (rc != 0)
        return rc;
    if (c->is_fused || c->has_fallback || c->d->mark_len > 0)
        return refuse_order(e, "behind Fuse, ByteLevel, ByteFallback or another one");
    c->d->mark_len = utf8_encode(mark, c->d->mark);
    c->d->keeps_first = !adds_space || strcmp(scheme, "never") == 0;
    return 0;
}

static int read_sequence(void *to, const struct json_object *o, struct err *e);

/* X(type in the file, its members, function) */
#define STEPS(X) \
    X("ByteLevel", "type add_prefix_space trim_offsets use_regex", read_byte_level) \
    X("Replace", "type pattern content", read_replace) \
    X("ByteFallback", "type", read_fallback) \
    X("Fuse", "type", read_fuse) \
    X("Strip", "type content start stop", read_strip) \
    X("Metaspace", "type replacement add_prefix_space prepend_scheme split str_rep", \
      read_metaspace) \
    X("Sequence", "type decoders", read_sequence)

#define X(type, members, read) {type, members, read},
static const struct tokenizer_step steps[] = {STEPS(X)};
#undef X
#define N_STEPS (sizeof steps / sizeof steps[0])

static int read_sequence(void *to, const struct json_object *o, struct err *e)
{
    return tokenizer_read_steps(steps, N_STEPS, o, "decoders", to, e);
}

int decoder_read(struct decoder *d, const struct json_object *o, const struct vocab *model,
                 const struct added *added, struct regex_work *work, struct err *e)
{
    struct chain c = {.d = d};
    int rc = 0;

    *d = (struct decoder){.has_separator = o == NULL};
    if (o != NULL)
        rc = tokenizer_read_step(steps, N_STEPS, o, &c, e);
    if (rc == 0)
        rc = decode_all(&c, model, added, work, e);
    for (uint32_t i = 0; i < c.n; i++)
        free_step(&c.steps[i]);
    if (rc != 0)
        decoder_free(d);
    return rc;
}

void decoder_free(struct decoder *d)
{
    buf_free(&d->text);
    free(d->pieces);
    free(d->special);
    *d = (struct decoder){0};
}

/* --- looking --- */

bool decoder_is_special(const struct decoder *d, uint32_t id)
{
    return id < d->n_ids && (d->special[id / 64] >> id % 64 & 1) != 0;
}

const char *decoder_piece(const struct decoder *d, uint32_t id, size_t *len)
{
    if (id >= d->n_ids || d->pieces[id].len == VOCAB_NONE)
        return NULL;
    *len = d->pieces[id].len;
    return d->text.data + d->pieces[id].at;
}

void decoder_add(const struct decoder *d, const char *p, size_t len, bool has_marks,
                 struct buf *out)
{
    const char *end = p + len, *mark;

    while (d->mark_len > 0 && (mark = memmem(p, (size_t)(end - p), d->mark, d->mark_len)) != NULL) {
        buf_add(out, p, (size_t)(mark - p));
        if (has_marks)
            buf_add_char(out, ' ');
        p = mark + d->mark_len;
    }
    buf_add(out, p, (size_t)(end - p));
}

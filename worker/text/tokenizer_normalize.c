#include "worker/text/tokenizer_normalize.h"

#include "base/check.h"
#include "base/utf8.h"
#include "worker/text/tokenizer_bpe.h"
#include "worker/text/tokenizer_json.h"
#include "worker/text/unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* From out->from to out. */
typedef int step_fn(const struct normalizer_step *s, struct normalizer_work *w,
                    struct text_writer *out, struct err *e);

struct normalizer_step {
    step_fn *run;
    enum unicode_form_name form;
    bool strips_left, strips_right;
    struct pattern pattern;
    char *content; /* owned */
    size_t content_len;
};

/* --- steps --- */

/* Of a stretch of several characters the first one that comes out comes from the first. */
static void put_normal(struct text_writer *out, size_t begin, size_t end, const char *p, size_t len)
{
    size_t before = out->out->len, n;

    text_put(out, begin, end, p, len);
    if (begin < out->from->n_first && out->from->n_first < end) {
        utf8_decode(p, &n);
        out->n_first = before + n;
    }
}

static int run_form(const struct normalizer_step *s, struct normalizer_work *w,
                    struct text_writer *out, struct err *e)
{
    const struct text *in = out->from;
    size_t done = 0, begin = 0, end;

    (void)e;
    for (; unicode_next_unsettled(s->form, in->p, in->len, &begin, &end); begin = done = end) {
        text_copy(out, done, begin);
        buf_clear(&w->scratch);
        unicode_normalize(s->form, in->p + begin, end - begin, &w->points, &w->scratch);
        put_normal(out, begin, end, w->scratch.data, w->scratch.len);
    }
    text_copy(out, done, in->len);
    return 0;
}

static int run_replace(const struct normalizer_step *s, struct normalizer_work *w,
                       struct text_writer *out, struct err *e)
{
    const struct text *in = out->from;
    struct pattern_walk k;
    size_t done = 0, begin, end;
    int rc;

    pattern_begin(&k, &s->pattern, w->regex, in->p, in->len, &w->scratch);
    while ((rc = pattern_next(&k, &begin, &end, e)) == 1) {
        text_copy(out, done, begin);
        text_put(out, begin, end, s->content, s->content_len);
        done = end;
        rc = text_check_growth(in->len, out->out->len, e);
        if (rc != 0)
            return rc;
    }
    text_copy(out, done, in->len);
    return rc;
}

static int run_prepend(const struct normalizer_step *s, struct normalizer_work *w,
                       struct text_writer *out, struct err *e)
{
    const struct text *in = out->from;

    (void)w;
    (void)e;
    if (in->len > 0)
        text_put(out, 0, 0, s->content, s->content_len);
    text_copy(out, 0, in->len);
    return 0;
}

static int run_strip(const struct normalizer_step *s, struct normalizer_work *w,
                     struct text_writer *out, struct err *e)
{
    const struct text *in = out->from;
    size_t begin = 0, end = in->len, n;

    (void)w;
    (void)e;
    while (s->strips_left && begin < end && unicode_is_space(utf8_decode(in->p + begin, &n)))
        begin += n;
    while (s->strips_right && end > begin) {
        size_t last = end - 1;
        while (((unsigned char)in->p[last] & 0xc0) == 0x80)
            last--;
        if (!unicode_is_space(utf8_decode(in->p + last, &n)))
            break;
        end = last;
    }
    text_put(out, 0, begin, NULL, 0);
    text_copy(out, begin, end);
    text_put(out, end, in->len, NULL, 0);
    return 0;
}

/* One character at a time: what each becomes, 0 to 4 of them; false when it stays. */
typedef bool map_fn(uint32_t c, uint32_t to[4], size_t *n);

static void map_characters(struct text_writer *out, map_fn *map)
{
    const struct text *in = out->from;
    size_t done = 0, n;

    for (size_t at = 0; at < in->len; at += n) {
        uint32_t to[4];
        size_t n_to = 0, len = 0;
        char text[16];
        if (!map(utf8_decode(in->p + at, &n), to, &n_to))
            continue;
        for (size_t i = 0; i < n_to; i++)
            len += utf8_encode(to[i], text + len);
        text_copy(out, done, at);
        text_put(out, at, at + n, text, len);
        done = at + n;
    }
    text_copy(out, done, in->len);
}

static bool map_lower(uint32_t c, uint32_t to[4], size_t *n)
{
    *n = unicode_lower(c, to);
    return *n > 1 || to[0] != c;
}

static bool map_accent(uint32_t c, uint32_t to[4], size_t *n)
{
    (void)to;
    *n = 0;
    return unicode_is_mark(c);
}

static bool map_byte_level(uint32_t c, uint32_t to[4], size_t *n)
{
    char text[4];

    *n = utf8_encode(c, text);
    for (size_t i = 0; i < *n; i++)
        to[i] = bpe_byte_char((unsigned char)text[i]);
    return *n > 1 || to[0] != c;
}

/* As SentencePiece's rule of that name: control characters go, white space becomes a space. */
static bool map_nmt(uint32_t c, uint32_t to[4], size_t *n)
{
    bool goes = (c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f ||
                c == 0x8f || c == 0x9f;
    bool is_space = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                    (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                    c == 0xfeff || c == 0xfffd;

    to[0] = ' ';
    *n = goes ? 0 : 1;
    return goes || is_space;
}

#define MAPPED(name) \
    static int run_##name(const struct normalizer_step *s, struct normalizer_work *w, \
                          struct text_writer *out, struct err *e) \
    { \
        (void)s; \
        (void)w; \
        (void)e; \
        map_characters(out, map_##name); \
        return 0; \
    }
MAPPED(lower)
MAPPED(accent)
MAPPED(byte_level)
MAPPED(nmt)
#undef MAPPED

/* --- running --- */

static struct text_writer begin_output(struct normalizer_side *side, const struct text *from)
{
    buf_clear(&side->text);
    buf_reserve(&side->text, from->len + 16);
    if (side->cap < from->n_cuts) {
        side->cap = 2 * from->n_cuts;
        side->cuts = reallocarray(side->cuts, side->cap, sizeof *side->cuts);
        CHECK(side->cuts != NULL);
    }
    return (struct text_writer){.out = &side->text, .from = from, .cuts = side->cuts};
}

int normalizer_run(const struct normalizer *n, struct normalizer_work *w, const struct text *in,
                   struct text *out, struct err *e)
{
    *out = *in;
    for (uint32_t i = 0; i < n->n; i++) {
        struct text from = *out;
        struct text_writer to = begin_output(&w->sides[i % 2], &from);
        int rc = n->steps[i].run(&n->steps[i], w, &to, e);
        if (rc == 0)
            rc = text_check_growth(in->len, to.out->len, e);
        if (rc != 0)
            return rc;
        *out = text_finish(&to);
    }
    return 0;
}

void normalizer_work_free(struct normalizer_work *w)
{
    for (size_t i = 0; i < 2; i++) {
        buf_free(&w->sides[i].text);
        free(w->sides[i].cuts);
    }
    buf_free(&w->scratch);
    buf_free(&w->points);
    *w = (struct normalizer_work){0};
}

/* --- reading --- */

static int add_step(struct normalizer *n, const struct normalizer_step *step, struct err *e)
{
    if (n->n == NORMALIZER_STEPS_MAX)
        return err_set(e, E2BIG, "found another step, expected at most %d", NORMALIZER_STEPS_MAX);
    n->steps[n->n++] = *step;
    return 0;
}

#define PLAIN(name, ...) \
    static int read_##name(void *to, const struct json_object *o, struct err *e) \
    { \
        (void)o; \
        return add_step(to, &(struct normalizer_step){__VA_ARGS__}, e); \
    }
PLAIN(nfc, .run = run_form, .form = UNICODE_NFC)
PLAIN(nfd, .run = run_form, .form = UNICODE_NFD)
PLAIN(nfkc, .run = run_form, .form = UNICODE_NFKC)
PLAIN(nfkd, .run = run_form, .form = UNICODE_NFKD)
PLAIN(lowercase, .run = run_lower)
PLAIN(strip_accents, .run = run_accent)
PLAIN(byte_level, .run = run_byte_level)
PLAIN(nmt, .run = run_nmt)
#undef PLAIN

static int read_strip(void *to, const struct json_object *o, struct err *e)
{
    struct normalizer_step s = {.run = run_strip};
    int rc = tokenizer_read_bool(o, "strip_left", &s.strips_left, e);

    if (rc == 0)
        rc = tokenizer_read_bool(o, "strip_right", &s.strips_right, e);
    return rc == 0 ? add_step(to, &s, e) : rc;
}

static int read_content(struct normalizer_step *s, const struct json_object *o, const char *name,
                        struct err *e)
{
    const char *text;
    int rc = tokenizer_read_string(o, name, &text, &s->content_len, e);

    if (rc != 0)
        return rc;
    s->content = malloc(s->content_len + 1);
    CHECK(s->content != NULL);
    memcpy(s->content, text, s->content_len);
    return 0;
}

static void free_step(struct normalizer_step *s)
{
    pattern_free(&s->pattern);
    free(s->content);
}

static int read_prepend(void *to, const struct json_object *o, struct err *e)
{
    struct normalizer_step s = {.run = run_prepend};
    int rc = read_content(&s, o, "prepend", e);

    if (rc == 0)
        rc = add_step(to, &s, e);
    if (rc != 0)
        free_step(&s);
    return rc;
}

static int read_replace(void *to, const struct json_object *o, struct err *e)
{
    struct normalizer_step s = {.run = run_replace};
    int rc = pattern_read(&s.pattern, o, e);

    if (rc == 0)
        rc = read_content(&s, o, "content", e);
    if (rc == 0)
        rc = add_step(to, &s, e);
    if (rc != 0)
        free_step(&s);
    return rc;
}

static int read_sequence(void *to, const struct json_object *o, struct err *e);

/* X(type in the file, its members, function) */
#define STEPS(X) \
    X("NFC", "type", read_nfc) \
    X("NFD", "type", read_nfd) \
    X("NFKC", "type", read_nfkc) \
    X("NFKD", "type", read_nfkd) \
    X("Lowercase", "type", read_lowercase) \
    X("Strip", "type strip_left strip_right", read_strip) \
    X("StripAccents", "type", read_strip_accents) \
    X("Nmt", "type", read_nmt) \
    X("Prepend", "type prepend", read_prepend) \
    X("Replace", "type pattern content", read_replace) \
    X("ByteLevel", "type", read_byte_level) \
    X("Sequence", "type normalizers", read_sequence)

#define X(type, members, read) {type, members, read},
static const struct tokenizer_step steps[] = {STEPS(X)};
#undef X
#define N_STEPS (sizeof steps / sizeof steps[0])

static int read_sequence(void *to, const struct json_object *o, struct err *e)
{
    return tokenizer_read_steps(steps, N_STEPS, o, "normalizers", to, e);
}

int normalizer_read(struct normalizer *n, const struct json_object *o, struct err *e)
{
    *n = (struct normalizer){0};
    if (o == NULL)
        return 0;
    n->steps = calloc(NORMALIZER_STEPS_MAX, sizeof *n->steps);
    CHECK(n->steps != NULL);
    int rc = tokenizer_read_step(steps, N_STEPS, o, n, e);
    if (rc != 0)
        normalizer_free(n);
    return rc;
}

void normalizer_free(struct normalizer *n)
{
    for (uint32_t i = 0; i < n->n; i++)
        free_step(&n->steps[i]);
    free(n->steps);
    *n = (struct normalizer){0};
}

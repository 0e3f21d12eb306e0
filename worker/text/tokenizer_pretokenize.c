#include "worker/text/tokenizer_pretokenize.h"

#include "base/check.h"
#include "base/utf8.h"
#include "worker/text/regex_class.h"
#include "worker/text/tokenizer_bpe.h"
#include "worker/text/tokenizer_json.h"
#include "worker/text/tokenizer_pattern.h"
#include "worker/text/tokenizer_text.h"
#include "worker/text/unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What becomes of a match; X(constant, name in the file) */
#define BEHAVIOURS(X) \
    X(REMOVED, "Removed") \
    X(ISOLATED, "Isolated") \
    X(MERGED_WITH_PREVIOUS, "MergedWithPrevious") \
    X(MERGED_WITH_NEXT, "MergedWithNext") \
    X(CONTIGUOUS, "Contiguous")
#define X(constant, name) constant,
enum behaviour { BEHAVIOURS(X) BEHAVIOURS_N };
#undef X

/* When Metaspace puts its mark in front; X(constant, name in the file) */
#define SCHEMES(X) \
    X(SCHEME_FIRST, "first") \
    X(SCHEME_NEVER, "never") \
    X(SCHEME_ALWAYS, "always")
#define X(constant, name) constant,
enum scheme { SCHEMES(X) SCHEMES_N };
#undef X

struct run;
typedef int stage_fn(struct run *run, uint32_t i, const char *text, size_t len, size_t n_first);

struct pretokenizer_stage {
    stage_fn *run;
    struct pattern pattern;
    enum behaviour behaviour;
    bool inverts;
    enum scheme scheme;
    char mark[4];
    size_t mark_len;
    uint32_t length; /* of a piece, in characters */
};

struct run {
    const struct pretokenizer *p;
    struct pretokenizer_work *work;
    size_t len; /* of the whole text */
    pretokenizer_fn *fn;
    void *ctx;
    struct err *e;
};

/* --- running --- */

/* A piece on to stage i, or out. */
static int pass_on(struct run *run, uint32_t i, const char *text, size_t len, size_t n_first)
{
    if (len == 0)
        return 0;
    if (i == run->p->n)
        return run->fn(run->ctx, text, len, run->e);
    return run->p->stages[i].run(run, i, text, len, n_first);
}

/* A text being split by stage i: the segments that come, and the piece that is not decided yet. */
struct splitter {
    struct run *run;
    uint32_t i;
    const char *text;
    size_t n_first;
    bool was_match;   /* the last segment */
    bool has_pending; /* a piece that may grow */
    size_t begin, end;
};

static int emit(struct splitter *s, size_t begin, size_t end)
{
    return pass_on(s->run, s->i + 1, s->text + begin, end - begin,
                   text_first_of(s->n_first, begin, end));
}

static int emit_pending(struct splitter *s)
{
    bool had_pending = s->has_pending;

    s->has_pending = false;
    return had_pending ? emit(s, s->begin, s->end) : 0;
}

static int replace_pending(struct splitter *s, size_t begin, size_t end)
{
    int rc = emit_pending(s);

    s->has_pending = true;
    s->begin = begin;
    s->end = end;
    return rc;
}

/* The next segment: a match, or what is between two. */
static int take_segment(struct splitter *s, size_t begin, size_t end, bool is_match)
{
    bool was_match = s->was_match;
    int rc = 0;

    s->was_match = is_match;
    switch (s->run->p->stages[s->i].behaviour) {
    case REMOVED:
        return is_match ? 0 : emit(s, begin, end);
    case ISOLATED:
        return emit(s, begin, end);
    case CONTIGUOUS:
        if (s->has_pending && is_match == was_match)
            s->end = end;
        else
            rc = replace_pending(s, begin, end);
        return rc;
    case MERGED_WITH_PREVIOUS:
        if (s->has_pending && is_match && !was_match)
            s->end = end;
        else
            rc = replace_pending(s, begin, end);
        return rc;
    case MERGED_WITH_NEXT: /* only a match is ever pending */
        if (is_match)
            return replace_pending(s, begin, end);
        if (s->has_pending)
            begin = s->begin;
        s->has_pending = false;
        return emit(s, begin, end);
    case BEHAVIOURS_N:
        break;
    }
    CHECK_UNREACHABLE("a behaviour that is not listed");
}

static int run_split(struct run *run, uint32_t i, const char *text, size_t len, size_t n_first)
{
    const struct pretokenizer_stage *stage = &run->p->stages[i];
    struct splitter s = {.run = run, .i = i, .text = text, .n_first = n_first};
    struct pattern_walk k;
    size_t done = 0, begin, end;
    int rc = 0, found;

    pattern_begin(&k, &stage->pattern, run->work->regex, text, len, &run->work->stages[i].proxies);
    while ((found = pattern_next(&k, &begin, &end, run->e)) == 1) {
        if (done < begin)
            rc = take_segment(&s, done, begin, stage->inverts);
        if (rc == 0)
            rc = take_segment(&s, begin, end, !stage->inverts);
        if (rc != 0)
            return rc;
        done = end;
    }
    if (found == 0 && done < len)
        found = take_segment(&s, done, len, stage->inverts);
    return found == 0 ? emit_pending(&s) : found;
}

/* A space in front, unless there is one. */
static int run_space(struct run *run, uint32_t i, const char *text, size_t len, size_t n_first)
{
    struct buf *out = &run->work->stages[i].text;

    if (text[0] == ' ')
        return pass_on(run, i + 1, text, len, n_first);
    buf_clear(out);
    buf_add_char(out, ' ');
    buf_add(out, text, len);
    return pass_on(run, i + 1, out->data, out->len, n_first > 0 ? n_first + 1 : 0);
}

static int run_metaspace(struct run *run, uint32_t i, const char *text, size_t len, size_t n_first)
{
    const struct pretokenizer_stage *s = &run->p->stages[i];
    struct buf *out = &run->work->stages[i].text;
    const char *at = text, *end = text + len;
    size_t n_out = n_first;
    bool is_marked =
        text[0] == ' ' || (len >= s->mark_len && memcmp(text, s->mark, s->mark_len) == 0);
    bool is_wanted = s->scheme == SCHEME_ALWAYS || (s->scheme == SCHEME_FIRST && n_first > 0);

    for (size_t k = 0; k < n_first; k++)
        n_out += text[k] == ' ' ? s->mark_len - 1 : 0;
    int rc = text_check_growth(run->len, len * s->mark_len, run->e);
    if (rc != 0)
        return rc;
    buf_clear(out);
    if (is_wanted && !is_marked) {
        buf_add(out, s->mark, s->mark_len);
        n_out += n_first > 0 ? s->mark_len : 0;
    }
    for (const char *space; (space = memchr(at, ' ', (size_t)(end - at))) != NULL; at = space + 1) {
        buf_add(out, at, (size_t)(space - at));
        buf_add(out, s->mark, s->mark_len);
    }
    buf_add(out, at, (size_t)(end - at));
    return pass_on(run, i + 1, out->data, out->len, n_out);
}

/* Each byte as its character. */
static int run_bytes(struct run *run, uint32_t i, const char *text, size_t len, size_t n_first)
{
    struct buf *out = &run->work->stages[i].text;
    size_t n_out = 0;
    char byte[4];
    int rc = text_check_growth(run->len, 2 * len, run->e);

    if (rc != 0)
        return rc;
    buf_clear(out);
    for (size_t k = 0; k < len; k++) {
        buf_add(out, byte, utf8_encode(bpe_byte_char((unsigned char)text[k]), byte));
        if (k + 1 == n_first)
            n_out = out->len;
    }
    return pass_on(run, i + 1, out->data, out->len, n_out);
}

static int run_fixed_length(struct run *run, uint32_t i, const char *text, size_t len,
                            size_t n_first)
{
    uint32_t n_max = run->p->stages[i].length;
    size_t begin = 0, at = 0, n;
    int rc = 0;

    for (uint32_t count = 0; rc == 0 && at < len; begin = at, count = 0) {
        for (; at < len && count < n_max; at += n, count++)
            utf8_decode(text + at, &n);
        rc = pass_on(run, i + 1, text + begin, at - begin, text_first_of(n_first, begin, at));
    }
    return rc;
}

int pretokenizer_run(const struct pretokenizer *p, struct pretokenizer_work *w, const char *text,
                     size_t len, size_t n_first, pretokenizer_fn *fn, void *ctx, struct err *e)
{
    struct run run = {p, w, len, fn, ctx, e};

    return pass_on(&run, 0, text, len, n_first);
}

void pretokenizer_work_free(struct pretokenizer_work *w)
{
    for (size_t i = 0; i < PRETOKENIZER_STAGES_MAX; i++) {
        buf_free(&w->stages[i].text);
        buf_free(&w->stages[i].proxies);
    }
    *w = (struct pretokenizer_work){0};
}

/* --- reading --- */

static int add_stage(struct pretokenizer *p, const struct pretokenizer_stage *stage, struct err *e)
{
    if (p->n == PRETOKENIZER_STAGES_MAX)
        return err_set(e, E2BIG, "found another stage, expected at most %d",
                       PRETOKENIZER_STAGES_MAX);
    p->stages[p->n++] = *stage;
    return 0;
}

static int add_split(struct pretokenizer *p, const char *regex, enum behaviour behaviour,
                     bool inverts, struct err *e)
{
    struct pretokenizer_stage s = {.run = run_split, .behaviour = behaviour, .inverts = inverts};
    int rc = pattern_from_regex(&s.pattern, regex, strlen(regex), e);

    if (rc == 0)
        rc = add_stage(p, &s, e);
    if (rc != 0)
        pattern_free(&s.pattern);
    return rc;
}

/* What GPT-2 splits at. */
#define BYTE_LEVEL_PATTERN \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static int read_byte_level(void *to, const struct json_object *o, struct err *e)
{
    bool adds_space = false, trims_offsets = false, splits = true;
    int rc = tokenizer_read_bool(o, "add_prefix_space", &adds_space, e);

    if (rc == 0)
        rc = tokenizer_read_bool(o, "trim_offsets", &trims_offsets, e); /* of no meaning here */
    if (rc == 0)
        rc = tokenizer_read_bool_if(o, "use_regex", &splits, e);
    if (rc == 0 && adds_space)
        rc = add_stage(to, &(struct pretokenizer_stage){.run = run_space}, e);
    if (rc == 0 && splits)
        rc = add_split(to, BYTE_LEVEL_PATTERN, ISOLATED, false, e);
    return rc == 0 ? add_stage(to, &(struct pretokenizer_stage){.run = run_bytes}, e) : rc;
}

static int read_behaviour(struct pretokenizer_stage *s, const struct json_object *o, struct err *e)
{
#define X(constant, name) name,
    static const char *const names[] = { BEHAVIOURS(X) };
#undef X
    unsigned behaviour;
    int rc = tokenizer_read_word(o, "behavior", names, BEHAVIOURS_N, &behaviour, e);

    s->behaviour = (enum behaviour)behaviour;
    return rc;
}

static int read_split(void *to, const struct json_object *o, struct err *e)
{
    struct pretokenizer_stage s = {.run = run_split};
    int rc = pattern_read(&s.pattern, o, e);

    if (rc == 0)
        rc = read_behaviour(&s, o, e);
    if (rc == 0)
        rc = tokenizer_read_bool(o, "invert", &s.inverts, e);
    if (rc == 0)
        rc = add_stage(to, &s, e);
    if (rc != 0)
        pattern_free(&s.pattern);
    return rc;
}

static int read_punctuation(void *to, const struct json_object *o, struct err *e)
{
    struct pretokenizer_stage s = {.behaviour = ISOLATED};
    struct buf pattern = {0};
    int rc = json_get(o, "behavior") != NULL ? read_behaviour(&s, o, e) : 0;

    buf_add_char(&pattern, '[');
    unicode_add_punctuation(&pattern);
    buf_add_char(&pattern, ']');
    if (rc == 0)
        rc = add_split(to, buf_text(&pattern), s.behaviour, false, e);
    buf_free(&pattern);
    return rc;
}

static int read_digits(void *to, const struct json_object *o, struct err *e)
{
    bool is_individual = false;
    int rc = tokenizer_read_bool(o, "individual_digits", &is_individual, e);

    return rc == 0 ? add_split(to, "\\p{N}", is_individual ? ISOLATED : CONTIGUOUS, false, e) : rc;
}

/* \w of Rust's regex: Oniguruma's, and what joins. */
#define RUST_WORD REGEX_WORD "\\x{200c}\\x{200d}"

static int read_whitespace(void *to, const struct json_object *o, struct err *e)
{
    (void)o;
    return add_split(to, "[" RUST_WORD "]+|[^\\s" RUST_WORD "]+", REMOVED, true, e);
}

static int read_whitespace_split(void *to, const struct json_object *o, struct err *e)
{
    (void)o;
    return add_split(to, "\\s", REMOVED, false, e);
}

static int read_fixed_length(void *to, const struct json_object *o, struct err *e)
{
    struct pretokenizer_stage s = {.run = run_fixed_length, .length = 5};
    int rc = 0;

    if (json_get(o, "length") != NULL)
        rc = tokenizer_read_count(o, "length", UINT32_MAX, &s.length, e);
    if (rc == 0 && s.length == 0)
        rc = err_set(e, EINVAL, "length: found 0, expected 1 or more");
    return rc == 0 ? add_stage(to, &s, e) : rc;
}

/* Of early files: add_prefix_space false is the scheme never, and must not contradict it. */
static int read_scheme(struct pretokenizer_stage *s, const struct json_object *o, struct err *e)
{
#define X(constant, name) name,
    static const char *const names[] = { SCHEMES(X) };
#undef X
    bool adds_space = true;
    unsigned scheme = SCHEME_ALWAYS;
    int rc = tokenizer_read_bool_if(o, "add_prefix_space", &adds_space, e);

    if (rc == 0 && json_get(o, "prepend_scheme") != NULL)
        rc = tokenizer_read_word(o, "prepend_scheme", names, SCHEMES_N, &scheme, e);
    s->scheme = (enum scheme)scheme;
    if (rc == 0 && !adds_space && s->scheme != SCHEME_NEVER)
        rc = err_set(e, EINVAL, "add_prefix_space: found false, expected prepend_scheme never");
    return rc;
}

static int read_metaspace(void *to, const struct json_object *o, struct err *e)
{
    struct pretokenizer_stage s = {.run = run_metaspace};
    uint32_t mark = 0;
    bool splits = true;
    int rc = tokenizer_read_char(o, "replacement", &mark, e);

    if (rc == 0)
        rc = read_scheme(&s, o, e);
    if (rc == 0)
        rc = tokenizer_read_bool_if(o, "split", &splits, e);
    s.mark_len = utf8_encode(mark, s.mark);
    if (rc == 0)
        rc = add_stage(to, &s, e);
    if (rc != 0 || !splits)
        return rc;
    struct pretokenizer_stage split = {.run = run_split, .behaviour = MERGED_WITH_NEXT};
    pattern_from_literal(&split.pattern, s.mark, s.mark_len);
    rc = add_stage(to, &split, e);
    if (rc != 0)
        pattern_free(&split.pattern);
    return rc;
}

static int read_sequence(void *to, const struct json_object *o, struct err *e);

/* X(type in the file, its members, function) */
#define STEPS(X) \
    X("ByteLevel", "type add_prefix_space trim_offsets use_regex", read_byte_level) \
    X("Split", "type pattern behavior invert", read_split) \
    X("Digits", "type individual_digits", read_digits) \
    X("Punctuation", "type behavior", read_punctuation) \
    X("Metaspace", "type replacement add_prefix_space prepend_scheme split str_rep", \
      read_metaspace) \
    X("Whitespace", "type", read_whitespace) \
    X("WhitespaceSplit", "type", read_whitespace_split) \
    X("FixedLength", "type length", read_fixed_length) \
    X("Sequence", "type pretokenizers", read_sequence)

#define X(type, members, read) {type, members, read},
static const struct tokenizer_step steps[] = {STEPS(X)};
#undef X
#define N_STEPS (sizeof steps / sizeof steps[0])

static int read_sequence(void *to, const struct json_object *o, struct err *e)
{
    return tokenizer_read_steps(steps, N_STEPS, o, "pretokenizers", to, e);
}

int pretokenizer_read(struct pretokenizer *p, const struct json_object *o, struct err *e)
{
    *p = (struct pretokenizer){0};
    if (o == NULL)
        return 0;
    p->stages = calloc(PRETOKENIZER_STAGES_MAX, sizeof *p->stages);
    CHECK(p->stages != NULL);
    int rc = tokenizer_read_step(steps, N_STEPS, o, p, e);
    if (rc != 0) {
        pretokenizer_free(p);
        return rc;
    }
    /* Where nothing comes behind it, the model looks the bytes up by itself. */
    p->ends_in_bytes = p->n > 0 && p->stages[p->n - 1].run == run_bytes;
    p->n -= p->ends_in_bytes;
    return 0;
}

void pretokenizer_free(struct pretokenizer *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        pattern_free(&p->stages[i].pattern);
    free(p->stages);
    *p = (struct pretokenizer){0};
}

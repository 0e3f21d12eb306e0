#include "router/api/logprobs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPOSSIBLE "-9999.0"

void logprobs_free(struct logprobs **l)
{
    if (*l == NULL)
        return;
    buf_free(&(*l)->tokens);
    buf_free(&(*l)->values);
    buf_free(&(*l)->tops);
    buf_free(&(*l)->offsets);
    free(*l);
    *l = NULL;
}

size_t logprobs_bytes(const struct logprobs *l)
{
    return buf_pending(&l->tokens) + buf_pending(&l->values) + buf_pending(&l->tops) +
           buf_pending(&l->offsets);
}

/* As few digits as read back the same. */
static void add_number(struct buf *out, float f)
{
    char text[32];

    if (isnan(f)) {
        buf_add_str(out, "null");
        return;
    }
    if (isinf(f)) {
        buf_add_str(out, IMPOSSIBLE);
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f)
            break;
    }
    buf_add_str(out, text);
    if (strpbrk(text, ".e") == NULL)
        buf_add_str(out, ".0");
}

static void add_comma(struct buf *out)
{
    if (buf_pending(out) > 0)
        buf_add_char(out, ',');
}

/* Take an array's elements over, with its brackets. */
static void take_array(struct buf *elements, const char *open, struct buf *out)
{
    buf_add_str(out, open);
    buf_add(out, elements->data + elements->pos, buf_pending(elements));
    buf_add_char(out, ']');
    buf_clear(elements);
}

/* ---- chat ---- */

/* Without the closing brace. */
static void add_candidate(struct buf *out, const struct top *top)
{
    buf_add_str(out, "{\"token\":");
    buf_add_json_string(out, top->text, top->len);
    buf_add_str(out, ",\"logprob\":");
    add_number(out, top->logprob);
    buf_add_str(out, ",\"bytes\":[");
    for (size_t i = 0; i < top->len; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        buf_add_u64(out, (unsigned char)top->text[i]);
    }
    buf_add_char(out, ']');
}

void logprobs_add_chat(struct logprobs *l, const struct top *tops, size_t n_tops)
{
    struct buf *out = &l->tokens;

    add_comma(out);
    add_candidate(out, &tops[0]);
    buf_add_str(out, ",\"top_logprobs\":[");
    for (size_t i = 1; i < n_tops; i++) {
        if (i > 1)
            buf_add_char(out, ',');
        add_candidate(out, &tops[i]);
        buf_add_char(out, '}');
    }
    buf_add_str(out, "]}");
}

void logprobs_take_chat(struct logprobs *l, struct buf *out)
{
    if (!logprobs_is_pending(l)) {
        buf_add_str(out, "null");
        return;
    }
    take_array(&l->tokens, "{\"content\":[", out);
    buf_add_str(out, ",\"refusal\":null}");
}

/* ---- completions ---- */

/* Where the names of a map are. */
struct names {
    size_t at[TOPS_MAX], len[TOPS_MAX];
    size_t n;
};

/* Two tokens may have one text, or none that is UTF-8: a map has a name once, for the likelier. */
static void add_member(struct buf *out, struct names *names, const struct top *top)
{
    size_t before = buf_pending(out);

    if (names->n > 0)
        buf_add_char(out, ',');
    size_t at = buf_pending(out);
    buf_add_json_string(out, top->text, top->len);
    size_t len = buf_pending(out) - at;
    const char *text = out->data + out->pos;
    for (size_t i = 0; i < names->n; i++)
        if (names->len[i] == len && memcmp(text + names->at[i], text + at, len) == 0) {
            out->len -= buf_pending(out) - before;
            return;
        }
    names->at[names->n] = at;
    names->len[names->n++] = len;
    buf_add_char(out, ':');
    add_number(out, top->logprob);
}

/* The likeliest ones, and the token itself where it is not one of them. */
static void add_map(struct buf *out, const struct top *tops, size_t n_tops)
{
    struct names names = {0};

    add_comma(out);
    if (isnan(tops[0].logprob)) {
        buf_add_str(out, "null");
        return;
    }
    buf_add_char(out, '{');
    for (size_t i = 1; i < n_tops; i++)
        add_member(out, &names, &tops[i]);
    add_member(out, &names, &tops[0]);
    buf_add_char(out, '}');
}

/* Characters that begin in these bytes. */
static uint64_t count_chars(const char *text, size_t len)
{
    uint64_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

void logprobs_add_completion(struct logprobs *l, const struct top *tops, size_t n_tops)
{
    add_comma(&l->tokens);
    buf_add_json_string(&l->tokens, tops[0].text, tops[0].len);
    add_comma(&l->values);
    add_number(&l->values, tops[0].logprob);
    add_map(&l->tops, tops, n_tops);
    add_comma(&l->offsets);
    buf_add_u64(&l->offsets, l->n_chars);
    l->n_chars += count_chars(tops[0].text, tops[0].len);
}

void logprobs_take_completion(struct logprobs *l, struct buf *out)
{
    if (!logprobs_is_pending(l)) {
        buf_add_str(out, "null");
        return;
    }
    take_array(&l->tokens, "{\"tokens\":[", out);
    take_array(&l->values, ",\"token_logprobs\":[", out);
    take_array(&l->tops, ",\"top_logprobs\":[", out);
    take_array(&l->offsets, ",\"text_offset\":[", out);
    buf_add_char(out, '}');
}

/* The model of tokenizer.json as tables. */
#include "base/check.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "worker/text/tokenizer_bpe.h"
#include "worker/text/tokenizer_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS \
    "type dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback " \
    "ignore_merges vocab merges"

/* --- what a byte is called --- */

uint32_t bpe_byte_char(unsigned char byte)
{
    bool is_itself = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);

    if (is_itself)
        return byte;
    /* The others in their order: 0-32, 127-160, 173. */
    return 0x100u + (byte <= 0x20 ? byte : byte == 0xad ? 67u : byte - 0x7fu + 33u);
}

/* --- vocabulary --- */

static int check_id(const char *text, const struct json_object *v, struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];

    if (strlen(text) > VOCAB_TEXT_MAX)
        return err_set(e, E2BIG, "vocab: %s: found %zu bytes, expected at most %d",
                       tokenizer_quote(quoted, text, strlen(text)), strlen(text), VOCAB_TEXT_MAX);
    if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 0 ||
        json_integer(v) >= VOCAB_IDS_MAX)
        return err_set(e, EINVAL, "vocab: %s: found no id, expected a whole number below %u",
                       tokenizer_quote(quoted, text, strlen(text)), VOCAB_IDS_MAX);
    return 0;
}

static int read_vocab(struct bpe *m, const struct json_object *o, struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];
    uint32_t n_ids = 0;

    if (json_type_of(o) != JSON_OBJECT || json_length(o) == 0)
        return err_set(e, EINVAL, "vocab: expected an object of texts and ids");
    if (json_length(o) > VOCAB_IDS_MAX)
        return err_set(e, E2BIG, "vocab: found %zu entries, expected at most %u", json_length(o),
                       VOCAB_IDS_MAX);
    for (struct json_iterator it = json_members(o); json_next(&it);) {
        int rc = check_id(it.key, it.value, e);
        if (rc != 0)
            return rc;
        if (json_integer(it.value) >= (int64_t)n_ids)
            n_ids = (uint32_t)json_integer(it.value) + 1;
    }
    vocab_init(&m->vocab, (uint32_t)json_length(o), n_ids);
    for (struct json_iterator it = json_members(o); json_next(&it);) {
        uint32_t id = (uint32_t)json_integer(it.value);
        if (vocab_enter(&m->vocab, id, it.key, strlen(it.key)) != 0)
            return err_set(e, EINVAL, "vocab: %s: found id %" PRIu32 " a second time",
                           tokenizer_quote(quoted, it.key, strlen(it.key)), id);
    }
    return 0;
}

static void index_characters(struct bpe *m)
{
    char text[8];

    m->chars = malloc(BPE_CHARS * sizeof *m->chars);
    CHECK(m->chars != NULL);
    memset(m->chars, 0xff, BPE_CHARS * sizeof *m->chars); /* all VOCAB_NONE */
    for (uint32_t id = 0; id < m->vocab.n_ids; id++) {
        size_t len, n;
        const char *s = vocab_text(&m->vocab, id, &len);
        if (s == NULL || len == 0 || len > 3 || utf8_sequence(s, len) != len)
            continue;
        m->chars[utf8_decode(s, &n)] = id;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        snprintf(text, sizeof text, "<0x%02X>", byte);
        m->fallback[byte] = vocab_find(&m->vocab, text, 6);
    }
}

/* --- merges --- */

/* One merge as its two texts. */
struct merge {
    const char *text[2];
    size_t len[2];
};

static int read_pair(struct merge *g, const struct json_object *o, struct err *e)
{
    if (json_type_of(o) != JSON_ARRAY || json_length(o) != 2)
        return err_set(e, EINVAL, "found %s, expected two texts, as all before it",
                       json_type_name(json_type_of(o)));
    for (size_t i = 0; i < 2; i++) {
        const struct json_object *v = json_at(o, i);
        if (json_type_of(v) != JSON_STRING)
            return err_set(e, EINVAL, "found %s, expected two texts",
                           json_type_name(json_type_of(v)));
        g->text[i] = json_string(v, &g->len[i]);
    }
    return 0;
}

static int read_line(struct merge *g, const struct json_object *o, struct err *e)
{
    size_t len;

    if (json_type_of(o) != JSON_STRING)
        return err_set(e, EINVAL, "found %s, expected a text, as all before it",
                       json_type_name(json_type_of(o)));
    const char *line = json_string(o, &len), *space = memchr(line, ' ', len);
    const char *end = line + len;
    if (space == NULL || memchr(space + 1, ' ', (size_t)(end - space - 1)) != NULL)
        return err_set(e, EINVAL, "found no two texts with one space between them");
    *g = (struct merge){{line, space + 1}, {(size_t)(space - line), (size_t)(end - space - 1)}};
    return 0;
}

static int find_part(const struct bpe *m, const char *text, size_t len, uint32_t *id, struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];

    *id = vocab_find(&m->vocab, text, len);
    if (*id == VOCAB_NONE)
        return err_set(e, EINVAL, "found %s, which the vocabulary does not have",
                       tokenizer_quote(quoted, text, len));
    return 0;
}

static int add_merge(struct bpe *m, const struct merge *g, struct buf *both, struct err *e)
{
    uint32_t left, right, merged;
    int rc = find_part(m, g->text[0], g->len[0], &left, e);

    if (rc == 0)
        rc = find_part(m, g->text[1], g->len[1], &right, e);
    if (rc != 0)
        return rc;
    buf_clear(both);
    buf_add(both, g->text[0], g->len[0]);
    buf_add(both, g->text[1], g->len[1]);
    rc = find_part(m, buf_text(both), both->len, &merged, e);
    if (rc != 0)
        return rc;
    pairs_enter(&m->ranks, left, right, m->n_merges);
    m->merged[m->n_merges++] = merged;
    return 0;
}

static bool is_version(const struct json_object *o)
{
    size_t len;

    if (json_type_of(o) != JSON_STRING)
        return false;
    const char *text = json_string(o, &len);
    return len >= 8 && memcmp(text, "#version", 8) == 0;
}

static int read_merges(struct bpe *m, const struct json_object *o, struct err *e)
{
    struct buf both = {0};
    struct merge g = {0};
    int rc = 0;

    if (json_type_of(o) != JSON_ARRAY || json_length(o) > PAIRS_MAX)
        return err_set(e, EINVAL, "merges: expected an array of at most %u", PAIRS_MAX);
    size_t n = json_length(o);
    bool is_lines = n > 0 && json_type_of(json_at(o, 0)) == JSON_STRING;
    pairs_init(&m->ranks, (uint32_t)n);
    m->merged = malloc((n + 1) * sizeof *m->merged);
    CHECK(m->merged != NULL);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct json_object *v = json_at(o, i);
        if (is_lines && is_version(v))
            continue;
        rc = is_lines ? read_line(&g, v, e) : read_pair(&g, v, e);
        if (rc == 0)
            rc = add_merge(m, &g, &both, e);
        if (rc != 0)
            err_prefix(e, "merges[%zu]", i);
    }
    buf_free(&both);
    return rc;
}

/* --- joins --- */

/* The token of the first or the last character of a token, or VOCAB_NONE. */
static uint32_t character_at_end(const struct bpe *m, uint32_t id, bool is_last)
{
    size_t len, n;
    const char *text = vocab_text(&m->vocab, id, &len);
    size_t at = is_last ? len : 0;

    if (len == 0)
        return VOCAB_NONE;
    if (is_last)
        do
            at--;
        while (((unsigned char)text[at] & 0xc0) == 0x80);
    utf8_decode(text + at, &n);
    return vocab_find(&m->vocab, text + at, n);
}

static bool stands_for_itself(const struct bpe *m, uint32_t id)
{
    size_t len;
    const char *text = vocab_text(&m->vocab, id, &len);

    return id == m->unk || (len == 6 && memcmp(text, "<0x", 3) == 0);
}

/* A token of a byte, or of what is unknown, is there without its characters: where one is merged,
 * they say nothing. And a word that is taken as it is must not be cut. */
void bpe_index_joins(struct bpe *m)
{
    m->has_joins = !m->ignores_merges;
    if (!m->has_joins)
        return;
    pairs_init(&m->joins, m->n_merges);
    for (uint64_t i = 0; m->has_joins && i < pairs_slots(&m->ranks); i++) {
        uint32_t left, right;
        if (!pairs_at(&m->ranks, i, &left, &right))
            continue;
        if (stands_for_itself(m, left) || stands_for_itself(m, right))
            m->has_joins = false;
        left = character_at_end(m, left, true);
        right = character_at_end(m, right, false);
        if (left != VOCAB_NONE && right != VOCAB_NONE)
            pairs_enter(&m->joins, left, right, 0);
    }
}

/* --- the whole --- */

/* Absent, null, or empty. */
static int check_unused(const struct json_object *o, const char *name, struct err *e)
{
    const struct json_object *v = json_get(o, name);
    size_t len = 0;

    if (v == NULL)
        return 0;
    if (json_type_of(v) != JSON_STRING || (json_string(v, &len), len > 0))
        return err_set(e, EINVAL, "%s: found a value, expected none: it is not followed here",
                       name);
    return 0;
}

static int read_type(const struct json_object *o, struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];
    const char *type;
    size_t len;

    if (json_type_of(o) != JSON_OBJECT)
        return err_set(e, EINVAL, "found %s, expected an object", json_type_name(json_type_of(o)));
    /* Early files name no type; nothing but this kind of model has merges. */
    if (json_get(o, "type") == NULL && json_get(o, "merges") != NULL)
        return 0;
    int rc = tokenizer_read_string(o, "type", &type, &len, e);
    if (rc == 0 && (len != 3 || memcmp(type, "BPE", 3) != 0))
        rc = err_set(e, EINVAL, "type: found %s, expected BPE, the only kind that is known here",
                     tokenizer_quote(quoted, type, len));
    return rc;
}

static int read_flags(struct bpe *m, const struct json_object *o, struct err *e)
{
    const struct json_object *dropout = json_get(o, "dropout");
    int rc = check_unused(o, "continuing_subword_prefix", e);

    if (rc == 0)
        rc = check_unused(o, "end_of_word_suffix", e);
    if (rc == 0 && dropout != NULL &&
        (json_type_of(dropout) != JSON_NUMBER || json_number(dropout) != 0.0))
        rc = err_set(e, EINVAL, "dropout: found a value, expected none: it makes ids random");
    if (rc == 0)
        rc = tokenizer_read_bool_if(o, "fuse_unk", &m->fuses_unk, e);
    if (rc == 0)
        rc = tokenizer_read_bool_if(o, "byte_fallback", &m->falls_back, e);
    if (rc == 0)
        rc = tokenizer_read_bool_if(o, "ignore_merges", &m->ignores_merges, e);
    return rc;
}

static int read_unk(struct bpe *m, const struct json_object *o, struct err *e)
{
    const char *text;
    size_t len;

    m->unk = VOCAB_NONE;
    if (json_get(o, "unk_token") == NULL)
        return 0;
    int rc = tokenizer_read_string(o, "unk_token", &text, &len, e);
    if (rc != 0)
        return rc;
    m->unk = vocab_find(&m->vocab, text, len);
    m->unk_text = strdup(text);
    CHECK(m->unk_text != NULL);
    return 0;
}

int bpe_read(struct bpe *m, const struct json_object *model, struct err *e)
{
    *m = (struct bpe){0};
    int rc = read_type(model, e);
    if (rc == 0)
        rc = tokenizer_check_members(model, MEMBERS, e);
    if (rc == 0)
        rc = read_flags(m, model, e);
    if (rc == 0)
        rc = read_vocab(m, json_get(model, "vocab"), e);
    if (rc == 0)
        rc = read_unk(m, model, e);
    if (rc == 0)
        rc = read_merges(m, json_get(model, "merges"), e);
    if (rc != 0) {
        bpe_free(m);
        return rc;
    }
    index_characters(m);
    return 0;
}

void bpe_free(struct bpe *m)
{
    vocab_free(&m->vocab);
    pairs_free(&m->ranks);
    pairs_free(&m->joins);
    free(m->merged);
    free(m->chars);
    free(m->unk_text);
    *m = (struct bpe){0};
}

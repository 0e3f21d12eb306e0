#include "worker/text/tokenizer_bpe.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "worker/text/tokenizer_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_MAX   32 /* symbols that the plain loop merges */
#define CACHE_WORDS 4096u
#define CACHE_TEXT  30
#define CACHE_IDS   8

/* A word that was encoded before: one cache line. */
struct bpe_cached {
    uint8_t len; /* 0: nothing */
    uint8_t n;
    char text[CACHE_TEXT];
    uint32_t ids[CACHE_IDS];
};
_Static_assert(sizeof(struct bpe_cached) == 64, "a cache line");

void bpe_work_init(struct bpe_work *w)
{
    *w = (struct bpe_work){0};
    w->cache = calloc(CACHE_WORDS, sizeof *w->cache);
    CHECK(w->cache != NULL);
}

void bpe_work_free(struct bpe_work *w)
{
    free(w->symbols);
    free(w->heap);
    free(w->cache);
    buf_free(&w->mapped);
    *w = (struct bpe_work){0};
}

/* --- from characters to symbols --- */

static void add_symbol(struct bpe_work *w, uint32_t id)
{
    w->symbols[w->n++].id = id; /* there is room for two a byte */
}

static uint32_t find_char(const struct bpe *m, uint32_t c)
{
    char text[4];

    return c < BPE_CHARS ? m->chars[c] : vocab_find(&m->vocab, text, utf8_encode(c, text));
}

/* The bytes of a character as tokens of their own, if there is one for each. */
static bool add_fallback(const struct bpe *m, struct bpe_work *w, uint32_t c)
{
    char text[4];
    size_t n = utf8_encode(c, text);

    for (size_t i = 0; i < n; i++)
        if (m->fallback[(unsigned char)text[i]] == VOCAB_NONE)
            return false;
    for (size_t i = 0; i < n; i++)
        add_symbol(w, m->fallback[(unsigned char)text[i]]);
    return true;
}

/* A run of unknown characters is pending until a known one comes: the bytes of a fallback go ahead
 * of it, as they do in the library. */
static int split_word(const struct bpe *m, struct bpe_work *w, const char *word, size_t len,
                      bool is_bytes, struct err *e)
{
    bool is_pending = false;
    size_t n = 1;

    w->n = 0;
    for (size_t i = 0; i < len; i += n) {
        uint32_t c = is_bytes ? bpe_byte_char((unsigned char)word[i]) : utf8_decode(word + i, &n);
        uint32_t id = find_char(m, c);
        if (id != VOCAB_NONE) {
            if (is_pending)
                add_symbol(w, m->unk);
            is_pending = false;
            add_symbol(w, id);
        } else if (!(m->falls_back && add_fallback(m, w, c)) && m->unk_text != NULL) {
            char quoted[TOKENIZER_QUOTED_MAX];
            if (m->unk == VOCAB_NONE)
                return err_set(e, EINVAL,
                               "unk_token: found a character without a token, expected %s in the "
                               "vocabulary",
                               tokenizer_quote(quoted, m->unk_text, strlen(m->unk_text)));
            if (is_pending && !m->fuses_unk)
                add_symbol(w, m->unk);
            is_pending = true;
        }
    }
    if (is_pending)
        add_symbol(w, m->unk);
    return 0;
}

/* --- merging a short word --- */

static void merge_short(const struct bpe *m, struct bpe_work *w)
{
    struct bpe_symbol *s = w->symbols;

    for (size_t i = 0; i + 1 < w->n; i++)
        s[i].rank = pairs_find(&m->ranks, s[i].id, s[i + 1].id);
    while (w->n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < w->n; i++)
            if (s[i].rank < s[best].rank)
                best = i;
        w->steps += w->n;
        if (s[best].rank == VOCAB_NONE)
            return;
        s[best].id = m->merged[s[best].rank];
        memmove(s + best + 1, s + best + 2, (w->n - best - 2) * sizeof *s);
        w->n--;
        if (best > 0)
            s[best - 1].rank = pairs_find(&m->ranks, s[best - 1].id, s[best].id);
        if (best + 1 < w->n)
            s[best].rank = pairs_find(&m->ranks, s[best].id, s[best + 1].id);
    }
}

/* --- merging a long one --- */

static void sift_down(struct bpe_work *w, size_t i)
{
    uint64_t moved = w->heap[i];

    for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        w->steps++;
        if (child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child])
            child++;
        if (moved <= w->heap[child])
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = moved;
}

static void push(struct bpe_work *w, uint32_t rank, size_t symbol)
{
    uint64_t entry = (uint64_t)rank << 32 | symbol;

    if (rank == VOCAB_NONE)
        return;
    if (w->n_heap == w->heap_cap) {
        w->heap_cap = w->heap_cap == 0 ? 256 : 2 * w->heap_cap;
        w->heap = reallocarray(w->heap, w->heap_cap, sizeof *w->heap);
        CHECK(w->heap != NULL);
    }
    size_t i = w->n_heap++;
    for (; i > 0 && entry < w->heap[(i - 1) / 2]; i = (i - 1) / 2) {
        w->steps++;
        w->heap[i] = w->heap[(i - 1) / 2];
    }
    w->heap[i] = entry;
}

static uint64_t pop(struct bpe_work *w)
{
    uint64_t first = w->heap[0];

    w->heap[0] = w->heap[--w->n_heap];
    if (w->n_heap > 0)
        sift_down(w, 0);
    return first;
}

/* Rank and push the pair that a symbol begins. */
static void look_at(const struct bpe *m, struct bpe_work *w, uint32_t i)
{
    struct bpe_symbol *s = &w->symbols[i];

    s->rank =
        s->next == VOCAB_NONE ? VOCAB_NONE : pairs_find(&m->ranks, s->id, w->symbols[s->next].id);
    push(w, s->rank, i);
}

/* A symbol takes the next one in. */
static void merge_at(const struct bpe *m, struct bpe_work *w, uint32_t i)
{
    struct bpe_symbol *s = &w->symbols[i], *gone = &w->symbols[s->next];

    s->id = m->merged[s->rank];
    s->next = gone->next;
    if (s->next != VOCAB_NONE)
        w->symbols[s->next].prev = i;
    gone->rank = gone->id = VOCAB_NONE;
    if (s->prev != VOCAB_NONE)
        look_at(m, w, s->prev);
    look_at(m, w, i);
}

static void merge_long(const struct bpe *m, struct bpe_work *w)
{
    const uint32_t n = (uint32_t)w->n;

    w->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        w->symbols[i].prev = i == 0 ? VOCAB_NONE : i - 1;
        w->symbols[i].next = i + 1 == n ? VOCAB_NONE : i + 1;
    }
    for (uint32_t i = 0; i < n; i++)
        look_at(m, w, i);
    while (w->n_heap > 0) {
        uint64_t entry = pop(w);
        uint32_t i = (uint32_t)entry;
        w->steps++;
        /* A rank belongs to one pair: if the symbol has another now, the entry is out of date. */
        if (w->symbols[i].rank == entry >> 32)
            merge_at(m, w, i);
    }
    w->n = 0;
    for (uint32_t i = 0; i < n; i++)
        if (w->symbols[i].id != VOCAB_NONE)
            add_symbol(w, w->symbols[i].id);
}

/* --- words --- */

/* The whole word as one token, or VOCAB_NONE. */
static uint32_t find_word(const struct bpe *m, struct bpe_work *w, const char *word, size_t len,
                          bool is_bytes)
{
    char text[4];

    if (!is_bytes)
        return vocab_find(&m->vocab, word, len);
    if (len > m->vocab.longest)
        return VOCAB_NONE;
    buf_clear(&w->mapped);
    for (size_t i = 0; i < len; i++)
        buf_add(&w->mapped, text, utf8_encode(bpe_byte_char((unsigned char)word[i]), text));
    return vocab_find(&m->vocab, w->mapped.data, w->mapped.len);
}

static void reserve_symbols(struct bpe_work *w, size_t n)
{
    if (n <= w->cap)
        return;
    free(w->symbols);
    w->cap = n < 256 ? 256 : n + n / 2;
    w->symbols = reallocarray(NULL, w->cap, sizeof *w->symbols);
    CHECK(w->symbols != NULL);
}

static int encode_word(const struct bpe *m, struct bpe_work *w, const char *word, size_t len,
                       bool is_bytes, struct err *e)
{
    uint32_t whole = m->ignores_merges ? find_word(m, w, word, len, is_bytes) : VOCAB_NONE;

    reserve_symbols(w, 2 * len); /* a byte whose character falls back takes two */
    if (whole != VOCAB_NONE) {
        w->n = 0;
        add_symbol(w, whole);
        return 0;
    }
    int rc = split_word(m, w, word, len, is_bytes, e);
    if (rc != 0)
        return rc;
    if (w->n <= SHORT_MAX)
        merge_short(m, w);
    else
        merge_long(m, w);
    return 0;
}

static void remember(struct bpe_cached *c, const struct bpe_work *w, const char *word, size_t len)
{
    if (w->n > CACHE_IDS)
        return;
    c->len = (uint8_t)len;
    c->n = (uint8_t)w->n;
    memcpy(c->text, word, len);
    for (size_t i = 0; i < w->n; i++)
        c->ids[i] = w->symbols[i].id;
}

/* A word, or a part of one that can be encoded by itself. */
static int encode_part(const struct bpe *m, struct bpe_work *w, const char *word, size_t len,
                       bool is_bytes, struct token_ids *out, struct err *e)
{
    struct bpe_cached *c = NULL;

    if (len <= CACHE_TEXT) {
        c = &w->cache[hash_xxh3(word, len) & (CACHE_WORDS - 1)];
        if (c->len == len && memcmp(c->text, word, len) == 0) {
            for (size_t i = 0; i < c->n; i++)
                token_ids_add(out, c->ids[i]);
            return 0;
        }
    }
    int rc = encode_word(m, w, word, len, is_bytes, e);
    if (rc != 0)
        return rc;
    if (c != NULL)
        remember(c, w, word, len);
    for (size_t i = 0; i < w->n; i++)
        token_ids_add(out, w->symbols[i].id);
    return 0;
}

/* Unknown characters are not cut from their neighbours: a run of them may become one token. */
static int encode_parts(const struct bpe *m, struct bpe_work *w, const char *word, size_t len,
                        struct token_ids *out, struct err *e)
{
    uint32_t last = VOCAB_NONE;
    size_t begin = 0, n;
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < len; at += n) {
        uint32_t id = find_char(m, utf8_decode(word + at, &n));
        if (last != VOCAB_NONE && id != VOCAB_NONE && pairs_find(&m->joins, last, id) != 0) {
            rc = encode_part(m, w, word + begin, at - begin, false, out, e);
            begin = at;
        }
        last = id;
    }
    return rc == 0 ? encode_part(m, w, word + begin, len - begin, false, out, e) : rc;
}

int bpe_encode(const struct bpe *m, struct bpe_work *w, const char *word, size_t len, bool is_bytes,
               struct token_ids *out, struct err *e)
{
    CHECK(len > 0);
    CHECK(len < UINT32_MAX / 2);
    if (m->has_joins && !is_bytes && len > CACHE_TEXT)
        return encode_parts(m, w, word, len, out, e);
    return encode_part(m, w, word, len, is_bytes, out, e);
}

/* grammar_driver TOKENIZER_DIR: random walks through the masks of schemas, for test_grammar.py.
 * Each request on standard input is a seed, a number of walks, the number of bytes of a schema, and
 * the schema.  Each answer on standard output is a number: UINT32_MAX when the schema was refused,
 * then a text, the sentence; else that of the texts that follow, one for each walk that came to its
 * end. A text is behind its length.  All numbers are uint32_t of this machine.
 *
 * On the way each token is checked both ways: the mask lets it through if and only if the state
 * takes its bytes. */
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "worker/text/grammar.h"
#include "worker/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS_MAX  4000
#define HURRY_AFTER 120 /* tokens: from here on what ends values comes first */
#define CHECKED     64  /* tokens for each mask that are tried */

struct walk {
    const struct grammar_vocab *vocab;
    struct grammar_state *state, *trial; /* trial: as far as state, at the same time */
    struct buf *tokens;                  /* the bytes of each */
    uint32_t *bits, *allowed;
    uint32_t n_vocab;
    uint64_t seed, n_drawn;
    struct buf text;
};

static void write_u32(uint32_t v)
{
    CHECK(fwrite(&v, sizeof v, 1, stdout) == 1);
}

static void write_text(const char *text, size_t len)
{
    write_u32((uint32_t)len);
    CHECK(len == 0 || fwrite(text, len, 1, stdout) == 1);
}

static uint32_t draw(struct walk *w, uint32_t n)
{
    return (uint32_t)(hash_mix(w->seed, w->n_drawn++) % n);
}

static bool has_bit(const struct walk *w, uint32_t id)
{
    return (w->bits[id / 32] >> id % 32 & 1) != 0;
}

/* What is left of a state that has taken a token is thrown away: a token that it takes is tried on
 * the way to nowhere, from the beginning. */
static void check_token(struct walk *w, uint32_t id)
{
    bool takes = w->tokens[id].len > 0 &&
                 grammar_state_advance(w->trial, w->tokens[id].data, w->tokens[id].len);

    if (takes != has_bit(w, id)) {
        fprintf(stderr, "grammar_driver: behind '%s' the token %u '%s' is %s, its bit says %s\n",
                buf_text(&w->text), id, buf_text(&w->tokens[id]), takes ? "taken" : "refused",
                takes ? "no" : "yes");
        abort();
    }
    if (takes) {
        grammar_state_reset(w->trial);
        CHECK(grammar_state_advance(w->trial, w->text.data, w->text.len));
    }
}

static uint32_t list_allowed(struct walk *w)
{
    uint32_t n = 0;

    grammar_state_mask(w->state, w->bits);
    for (uint32_t id = 0; id < w->n_vocab; id++)
        if (has_bit(w, id))
            w->allowed[n++] = id;
    return n;
}

/* Those that begin with the byte first, if there are any. */
static uint32_t prefer(struct walk *w, uint32_t n, char byte)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++)
        if (w->tokens[w->allowed[i]].data[0] == byte) {
            uint32_t other = w->allowed[kept];
            w->allowed[kept++] = w->allowed[i];
            w->allowed[i] = other;
        }
    return kept > 0 ? kept : n;
}

static uint32_t choose(struct walk *w, uint32_t n, uint32_t n_tokens)
{
    static const char ends[] = "\"]},n01";

    if (n_tokens > HURRY_AFTER) {
        for (const char *c = ends; *c != '\0'; c++) {
            uint32_t kept = prefer(w, n, *c);
            if (kept < n)
                return w->allowed[draw(w, kept)];
        }
    }
    if (draw(w, 4) == 0)
        n = prefer(w, n, ends[draw(w, 4)]);
    return w->allowed[draw(w, n)];
}

static bool walk_once(struct walk *w)
{
    buf_clear(&w->text);
    grammar_state_reset(w->state);
    grammar_state_reset(w->trial);
    for (uint32_t i = 0; i < TOKENS_MAX; i++) {
        uint32_t n = list_allowed(w);
        bool is_complete = grammar_state_is_complete(w->state);
        CHECK(n > 0 || is_complete);
        if (n == 0 || (is_complete && draw(w, 3) == 0))
            return true;
        for (uint32_t k = 0; k < CHECKED && i < HURRY_AFTER; k++)
            check_token(w, k % 2 == 0 ? w->allowed[draw(w, n)] : draw(w, w->n_vocab));
        const struct buf *token = &w->tokens[choose(w, n, i)];
        CHECK(grammar_state_advance(w->state, token->data, token->len));
        CHECK(grammar_state_advance(w->trial, token->data, token->len));
        buf_add(&w->text, token->data, token->len);
    }
    return false;
}

static void answer(struct walk *w, uint32_t n_walks, const char *schema, size_t len)
{
    struct json_object *o;
    struct grammar *g = NULL;
    struct err e = {0};
    struct buf texts = {0};
    uint32_t n_texts = 0;
    int rc = json_parse(schema, len, &o, &e);

    if (rc == 0)
        rc = grammar_compile_schema(w->vocab, o, NULL, &g, &e);
    json_free(&o);
    if (rc != 0) {
        write_u32(UINT32_MAX);
        write_text(e.text, strlen(e.text));
        return;
    }
    w->state = grammar_state_new(g);
    w->trial = grammar_state_new(g);
    grammar_unref(&g);
    for (uint32_t i = 0; i < n_walks; i++)
        if (walk_once(w)) {
            uint32_t text_len = (uint32_t)w->text.len;
            buf_add(&texts, &text_len, sizeof text_len);
            buf_add(&texts, w->text.data, w->text.len);
            n_texts++;
        }
    write_u32(n_texts);
    CHECK(texts.len == 0 || fwrite(texts.data, texts.len, 1, stdout) == 1);
    grammar_state_free(&w->state);
    grammar_state_free(&w->trial);
    buf_free(&texts);
}

static void add_bytes(void *ctx, uint32_t id, struct buf *out)
{
    const struct tokenizer *t = ctx;

    if (!tokenizer_is_special(t, id))
        tokenizer_bytes(t, id, out);
}

static void begin(struct walk *w, struct tokenizer *t)
{
    *w = (struct walk){.n_vocab = tokenizer_vocab(t)};
    w->vocab = grammar_vocab_new(w->n_vocab, add_bytes, t);
    w->tokens = calloc(w->n_vocab, sizeof *w->tokens);
    w->bits = calloc(GRAMMAR_MASK_WORDS(w->n_vocab), sizeof *w->bits);
    w->allowed = calloc(w->n_vocab, sizeof *w->allowed);
    CHECK(w->tokens != NULL);
    CHECK(w->bits != NULL);
    CHECK(w->allowed != NULL);
    for (uint32_t id = 0; id < w->n_vocab; id++)
        add_bytes(t, id, &w->tokens[id]);
}

static void end(struct walk *w)
{
    for (uint32_t id = 0; id < w->n_vocab; id++)
        buf_free(&w->tokens[id]);
    free(w->tokens);
    free(w->bits);
    free(w->allowed);
    buf_free(&w->text);
    grammar_vocab_free((struct grammar_vocab **)&w->vocab);
}

int main(int argc, char **argv)
{
    struct tokenizer *t;
    struct root root;
    struct err e = {0};
    struct buf schema = {0};
    struct walk w;
    uint32_t head[3];

    if (argc != 2) {
        fprintf(stderr, "usage: grammar_driver TOKENIZER_DIR\n");
        return EXIT_PERMANENT;
    }
    if (root_open(&root, argv[1], &e) != 0 || tokenizer_load(&root, &t, &e) != 0) {
        fprintf(stderr, "grammar_driver: %s\n", e.text);
        return EXIT_PERMANENT;
    }
    begin(&w, t);
    while (fread(head, sizeof head, 1, stdin) == 1) {
        buf_clear(&schema);
        CHECK(fread(buf_reserve(&schema, head[2] + 1), 1, head[2], stdin) == head[2]);
        w.seed = head[0];
        w.n_drawn = 0;
        answer(&w, head[1], schema.data, head[2]);
        fflush(stdout);
    }
    end(&w);
    buf_free(&schema);
    tokenizer_free(&t);
    root_close(&root);
    return EXIT_OK;
}

/* Any bytes as a schema, and what comes behind the first NUL as choices of tokens: a clean refusal
 * with a place, or a grammar whose masks and states agree, whose walks never end where nothing may
 * follow and nothing is complete, and which takes the whole text at once as it took its tokens. */
#include "base/check.h"
#include "base/json.h"
#include "worker/text/grammar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define STEPS_MAX 64

static const char *const words[] = {"{\"",  "\": ", "\",",  "\"}", "true",  "null",
                                    " \"",  "12",   "\n  ", "abc", "\\u00", "\xc3",
                                    "\xa9", "]}",   "ab\"", "}}",  "[[",    "0."};
#define N_TOKENS (256 + sizeof words / sizeof *words)

static void add_token(void *ctx, uint32_t id, struct buf *out)
{
    (void)ctx;
    if (id < 256)
        buf_add_char(out, (char)id);
    else
        buf_add_str(out, words[id - 256]);
}

static bool has_bit(const uint32_t *bits, size_t id)
{
    return (bits[id / 32] >> id % 32 & 1) != 0;
}

/* A choice is where to begin looking for an allowed token. */
static size_t choose(const uint32_t *bits, uint8_t choice)
{
    for (size_t i = 0; i < N_TOKENS; i++)
        if (has_bit(bits, (choice * 7u + i) % N_TOKENS))
            return (choice * 7u + i) % N_TOKENS;
    return N_TOKENS;
}

static void check_refusals(struct grammar_state *s, const uint32_t *bits, uint8_t choice)
{
    struct buf token = {0};

    for (size_t i = 0; i < 16; i++) {
        size_t id = (choice * 31u + i * 17u) % N_TOKENS;
        if (has_bit(bits, id))
            continue;
        buf_clear(&token);
        add_token(NULL, (uint32_t)id, &token);
        CHECK(!grammar_state_advance(s, token.data, token.len));
    }
    buf_free(&token);
}

static void walk(struct grammar *g, const uint8_t *choices, size_t n)
{
    uint32_t bits[GRAMMAR_MASK_WORDS(N_TOKENS)];
    struct grammar_state *s = grammar_state_new(g), *whole = grammar_state_new(g);
    struct buf text = {0};

    for (size_t i = 0; i < n && i < STEPS_MAX; i++) {
        grammar_state_mask(s, bits);
        size_t id = choose(bits, choices[i]), before = text.len;
        CHECK(id < N_TOKENS || grammar_state_is_complete(s));
        check_refusals(s, bits, choices[i]);
        if (id == N_TOKENS)
            break;
        add_token(NULL, (uint32_t)id, &text);
        CHECK(grammar_state_advance(s, text.data + before, text.len - before));
    }
    CHECK(text.len == 0 || grammar_state_advance(whole, text.data, text.len));
    CHECK(grammar_state_is_complete(s) == grammar_state_is_complete(whole));
    grammar_state_free(&s);
    grammar_state_free(&whole);
    buf_free(&text);
}

static void compile(const struct grammar_vocab *v, const char *json, size_t len,
                    const uint8_t *choices, size_t n)
{
    /* Smaller than by default: the same code, more inputs a second. */
    const struct grammar_limits limits = {
        .depth_max = 32, .states_max = 5000, .steps_max = 500000, .mask_bytes = 65536};
    struct json_object *o;
    struct grammar *g;
    struct err e = {0};

    if (json_parse(json, len, &o, &e) != 0)
        return;
    e = (struct err){0};
    int rc = grammar_compile_schema(v, o, &limits, &g, &e);
    CHECK(e.code == -rc);
    CHECK((rc == 0) == (g != NULL));
    CHECK(rc == 0 || rc == -EINVAL || rc == -E2BIG);
    CHECK(rc == 0 || e.text[0] != '\0');
    json_free(&o);
    if (rc == 0)
        walk(g, choices, n);
    grammar_unref(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct grammar_vocab *v;
    const uint8_t *nul = size > 0 ? memchr(bytes, '\0', size) : NULL;
    size_t len = nul != NULL ? (size_t)(nul - bytes) : size;
    char *json = malloc(len + 1);

    if (v == NULL)
        v = grammar_vocab_new(N_TOKENS, add_token, NULL);
    CHECK(json != NULL);
    memcpy(json, bytes, len);
    compile(v, json, len, nul != NULL ? nul + 1 : NULL, nul != NULL ? size - len - 1 : 0);
    free(json);
    return 0;
}

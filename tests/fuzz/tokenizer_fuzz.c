/* Any bytes as a tokenizer.json, and what comes behind the first NUL as a text: a clean refusal, or
 * a tokenizer that gives the same ids each time, all of its vocabulary, with cuts or without, and
 * decodes them the same way from any place on. */
#include "base/check.h"
#include "worker/text/tokenizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define TEXT_MAX 4096

static int encode(const struct tokenizer *t, const struct tokenizer_input *in,
                  struct token_ids *ids)
{
    struct err e = {0};
    int rc = tokenizer_encode(t, in, ids, &e);

    CHECK(rc == 0 || rc == -EINVAL || rc == -E2BIG);
    CHECK(e.code == -rc);
    CHECK(rc == 0 || ids->n == 0);
    for (size_t i = 0; i < ids->n; i++)
        CHECK(ids->id[i] < tokenizer_vocab(t));
    return rc;
}

static void check_twice(const struct tokenizer *t, const struct tokenizer_input *in, int rc,
                        const struct token_ids *ids)
{
    struct token_ids again = {0};

    CHECK(encode(t, in, &again) == rc);
    CHECK(again.n == ids->n);
    CHECK(ids->n == 0 || memcmp(again.id, ids->id, ids->n * sizeof *ids->id) == 0);
    token_ids_free(&again);
}

static void check_cuts(const struct tokenizer *t, const struct tokenizer_input *in)
{
    struct tokenizer_input cut = *in;
    struct token_ids ids = {0};
    size_t *cuts = calloc(in->len + 1, sizeof *cuts);

    CHECK(cuts != NULL);
    for (size_t i = 0; i <= in->len; i++)
        cuts[i] = i;
    cut.cuts = cuts;
    cut.n_cuts = in->len + 1;
    cut.add_special = false;
    encode(t, &cut, &ids);
    token_ids_free(&ids);
    free(cuts);
}

static void check_decoding(const struct tokenizer *t, const struct token_ids *ids)
{
    struct buf whole = {0}, parts = {0};
    struct detokenizer d, copy;

    detokenizer_init(&d, t, ids->n % 2 == 0);
    copy = d;
    for (size_t i = 0; i < ids->n; i++)
        detokenizer_push(&d, ids->id[i], &whole);
    for (size_t i = 0; i < ids->n; i++) {
        struct detokenizer rest = copy; /* nothing but its state matters */
        size_t before = parts.len;
        detokenizer_push(&copy, ids->id[i], &parts);
        parts.len = before;
        detokenizer_push(&rest, ids->id[i], &parts);
    }
    CHECK(parts.len == whole.len);
    CHECK(whole.len == 0 || memcmp(parts.data, whole.data, whole.len) == 0);
    for (uint32_t id = 0; id < 64; id++)
        tokenizer_bytes(t, id, &parts);
    buf_free(&whole);
    buf_free(&parts);
}

static void use(const struct tokenizer *t, const char *text, size_t len)
{
    struct tokenizer_input in = {.text = text, .len = len, .add_special = len % 2 == 0};
    struct token_ids ids = {0};
    int rc = encode(t, &in, &ids);

    check_twice(t, &in, rc, &ids);
    check_cuts(t, &in);
    check_decoding(t, &ids);
    token_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const uint8_t *nul = size > 0 ? memchr(bytes, '\0', size) : NULL;
    size_t json_len = nul != NULL ? (size_t)(nul - bytes) : size;
    size_t text_len = nul != NULL ? size - json_len - 1 : 0;
    struct tokenizer *t;
    struct err e = {0};
    /* Each of its own size: nothing behind it is read unseen. */
    char *json = malloc(json_len + 1), *text = malloc(text_len + 1);

    CHECK(json != NULL);
    CHECK(text != NULL);
    memcpy(json + 1, bytes, json_len);
    if (text_len > TEXT_MAX)
        text_len = TEXT_MAX;
    if (text_len > 0)
        memcpy(text + 1, nul + 1, text_len);
    int rc = tokenizer_new(json + 1, json_len, &t, &e);
    CHECK(e.code == -rc);
    CHECK((rc == 0) == (t != NULL));
    CHECK(rc == 0 || strncmp(e.text, "tokenizer.json: ", 16) == 0);
    if (rc == 0)
        use(t, text + 1, text_len);
    tokenizer_free(&t);
    free(json);
    free(text);
    return 0;
}

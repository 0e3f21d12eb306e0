/* The fixtures of tests/golden/make_tokenizer_fixtures.py. */
#ifndef TESTS_UNIT_TOKENIZER_FIXTURE_H
#define TESTS_UNIT_TOKENIZER_FIXTURE_H

#include "base/buf.h"
#include "base/check.h"
#include "base/json.h"
#include "worker/text/tokenizer.h"

#include <stdio.h>

#define FIXTURE_NODES_MAX 1000000

/* X(family): what make_tokenizer_fixtures.py writes, in its order */
#define TOKENIZER_FAMILIES(X) \
    X(gpt2) \
    X(roberta) \
    X(qwen2) \
    X(qwen3_5) \
    X(llama3) \
    X(gpt_oss) \
    X(kimi) \
    X(deepseek) \
    X(neox) \
    X(falcon) \
    X(starcoder) \
    X(bloom) \
    X(superbpe) \
    X(byte_normalizer) \
    X(llama2) \
    X(llama2_old) \
    X(mistral) \
    X(metaspace) \
    X(metaspace_never) \
    X(gemma) \
    X(words) \
    X(spaces) \
    X(lower) \
    X(nmt) \
    X(previous) \
    X(next) \
    X(contiguous) \
    X(isolated) \
    X(removed) \
    X(metaspace_first)

static inline struct buf fixture_text(const char *name)
{
    struct buf text = {0};
    char path[512];

    snprintf(path, sizeof path, FIXTURES "/tokenizers/%s", name);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    for (size_t n = 1; n > 0; buf_commit(&text, n))
        n = fread(buf_reserve(&text, 65536), 1, 65535, f);
    fclose(f);
    buf_text(&text);
    return text;
}

static inline struct json_object *fixture_json(const char *name)
{
    struct buf text = fixture_text(name);
    struct json_object *root;
    struct err e = {0};

    if (json_parse_large(text.data, text.len, FIXTURE_NODES_MAX, &root, &e) != 0)
        CHECK_UNREACHABLE(e.text);
    buf_free(&text);
    return root;
}

static inline struct tokenizer *fixture_tokenizer(const char *family)
{
    char name[64];
    snprintf(name, sizeof name, "%s.json", family);
    struct buf text = fixture_text(name);
    struct tokenizer *t;
    struct err e = {0};

    if (tokenizer_new(text.data, text.len, &t, &e) != 0)
        CHECK_UNREACHABLE(e.text);
    buf_free(&text);
    return t;
}

/* The ids of a text; none of it may be refused. */
static inline struct token_ids fixture_encode(const struct tokenizer *t,
                                              const struct tokenizer_input *in)
{
    struct token_ids ids = {0};
    struct err e = {0};

    if (tokenizer_encode(t, in, &ids, &e) != 0)
        CHECK_UNREACHABLE(e.text);
    return ids;
}

#endif

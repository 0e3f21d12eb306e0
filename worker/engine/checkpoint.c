#include "worker/engine/checkpoint.h"

#include "base/check.h"

#include <string.h>

#define X(constant, word) constant,
enum kv_mode { CONFIG_KV_MODES(X) KV_MODES_N };
#undef X
#define X(constant, word) word,
static const char *const io_words[] = {CONFIG_IO_MODES(X)};
static const char *const weights_words[] = {CONFIG_WEIGHTS_MODES(X)};
static const char *const kv_words[] = {CONFIG_KV_MODES(X)};
#undef X

/* config_validate has let no other word through. */
static unsigned find_word(const char *word, const char *const *words, unsigned n)
{
    unsigned i = 0;

    while (i < n && strcmp(words[i], word) != 0)
        i++;
    CHECK(i < n);
    return i;
}

/* Keys and values as exact as the matrices that make them. */
static enum kern_type choose_kv(const struct checkpoint *c, enum kv_mode mode,
                                enum weights_mode weights)
{
    if (mode != KV_AUTO)
        return mode == KV_F32 ? KERN_F32 : KERN_BF16;
    if (weights != WEIGHTS_AUTO)
        return weights == WEIGHTS_F32 ? KERN_F32 : KERN_BF16;
    return c->plan.embed->dtype == TENSOR_BF16 ? KERN_BF16 : KERN_F32;
}

int checkpoint_open(struct checkpoint *c, const struct config_model *settings, struct err *e)
{
    enum weights_mode weights =
        (enum weights_mode)find_word(settings->weights, weights_words, WEIGHTS_MODES_N);
    enum kv_mode kv = (enum kv_mode)find_word(settings->kv, kv_words, KV_MODES_N);

    *c = (struct checkpoint){.root = {.fd = -1, .blobs_fd = -1}};
    c->io = (enum reader_mode)find_word(settings->io, io_words, READER_MODES_N);
    int rc = root_open(&c->root, settings->path, e);
    if (rc == 0)
        rc = model_config_load(&c->config, &c->root, e);
    if (rc == 0)
        rc = pooling_load(&c->pooling, &c->config, &c->root, e);
    if (rc == 0)
        rc = generation_load(&c->generation, &c->config, &c->root, e);
    if (rc == 0)
        rc = safetensors_open(&c->tensors, &c->root, e);
    if (rc == 0)
        rc = weights_plan_make(&c->plan, &c->config, &c->tensors, e);
    if (rc == 0)
        rc = weights_layout_new(&c->layout, &c->config, &c->plan, weights, e);
    if (rc == 0)
        rc = language_load(&c->language, &c->root, c->config.vocab_size, e);
    if (rc == 0)
        c->kv_type = choose_kv(c, kv, weights);
    return rc;
}

void checkpoint_close(struct checkpoint *c)
{
    language_free(&c->language);
    weights_layout_free(&c->layout);
    weights_plan_free(&c->plan);
    safetensors_close(&c->tensors);
    root_close(&c->root);
}

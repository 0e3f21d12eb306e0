/* config.json and generation_config.json of any bytes, and a plan of weights over an empty table: a
 * clean refusal, or numbers within the bounds that the engine relies on. */
#include "base/check.h"
#include "worker/model/config.h"
#include "worker/model/generation.h"
#include "worker/model/weights_plan.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_config(const struct model_config *c)
{
    CHECK(c->n_layers >= 1 && c->n_layers <= CONFIG_LAYERS_MAX);
    CHECK(c->vocab_size >= 1);
    CHECK(c->n_heads % c->n_kv_heads == 0);
    CHECK(c->rope.rotated >= 2 && c->rope.rotated % 2 == 0 && c->rope.rotated <= c->head_dim);
    CHECK(c->rope.kind == ROPE_DEFAULT || c->rope.factor > 0);
    CHECK(c->n_eos <= CONFIG_EOS_MAX);
    for (uint32_t i = 0; i < c->n_eos; i++)
        CHECK(c->eos[i] < c->vocab_size);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        CHECK(c->layers[i].is_moe ? c->moe.n_experts > 0 : c->intermediate_size > 0);
        if (c->layers[i].kind == LAYER_LINEAR)
            CHECK(c->linear.n_value_heads % c->linear.n_key_heads == 0);
    }
    CHECK(c->moe.top_k <= c->moe.n_experts);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct model_config c;
    struct generation g;
    struct weights_plan p;
    struct safetensors none = {0};
    struct err e = {0};
    char *copy = malloc(size + 1); /* one byte in front: nothing behind it is read unseen */

    CHECK(copy != NULL);
    memcpy(copy + 1, bytes, size);
    int rc = model_config_parse(&c, copy + 1, size, &e);
    CHECK((rc == 0) == (e.code == 0));
    if (rc == 0) {
        check_config(&c);
        CHECK(weights_plan_make(&p, &c, &none, &e) != 0);
    }
    c.vocab_size = 1000;
    c.n_eos = 0;
    e = (struct err){0};
    rc = generation_parse(&g, &c, copy + 1, size, &e);
    CHECK((rc == 0) == (e.code == 0));
    for (uint32_t i = 0; i < g.n_eos; i++)
        CHECK(g.eos[i] < c.vocab_size || rc != 0);
    free(copy);
    return 0;
}

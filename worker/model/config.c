#include "worker/model/config.h"

#include "base/json.h"
#include "worker/model/config_read.h"

#include <errno.h>
#include <string.h>

#define FILE_NAME     "config.json"
#define FILE_MAX      ((size_t)4 << 20)
#define POSITIONS_MAX ((uint32_t)1 << 28)

#define X(model_type, head_dim, flags) {model_type, head_dim, flags},
static const struct family families[] = {FAMILIES(X)};
#undef X
#define FAMILIES_N (sizeof families / sizeof families[0])

/* --- family --- */

static int find_family(const struct json_object *o, const struct family **f, struct err *e)
{
    const struct json_object *v = json_get(o, "model_type");
    struct buf text = {0};
    size_t len;

    if (v != NULL && json_type_of(v) == JSON_STRING) {
        const char *name = json_string(v, &len);
        for (size_t i = 0; i < FAMILIES_N; i++) {
            if (len == strlen(families[i].model_type) &&
                memcmp(name, families[i].model_type, len) == 0) {
                *f = &families[i];
                return 0;
            }
        }
    }
    json_write(v, &text);
    int rc = err_set(e, EINVAL, "model_type: found %.60s, expected one of %s", buf_text(&text),
#define X(model_type, head_dim, flags) model_type " "
                     FAMILIES(X)
#undef X
    );
    buf_free(&text);
    return rc;
}

/* The object with the model's own keys, and its family. */
static int find_text(struct model_config *c, const struct json_object *root,
                     const struct json_object **text, struct err *e)
{
    const struct family *outer, *inner;
    int rc = find_family(root, &outer, e);

    if (rc != 0)
        return rc;
    *text = json_get(root, "text_config");
    c->has_vision = json_get(root, "vision_config") != NULL;
    c->family = outer;
    if (*text == NULL) {
        *text = root;
        return config_check_keys(root, false, e);
    }
    if (json_type_of(*text) != JSON_OBJECT || json_get(*text, "text_config") != NULL)
        return err_set(e, EINVAL, "text_config: found %s, expected an object without another",
                       json_type_name(json_type_of(*text)));
    rc = config_check_keys(root, true, e);
    if (rc == 0 && json_get(*text, "model_type") != NULL) {
        rc = find_family(*text, &inner, e);
        if (rc == 0 && inner->flags != outer->flags)
            rc = err_set(e, EINVAL, "text_config: model_type: found %s in a %s", inner->model_type,
                         outer->model_type);
    }
    if (rc == 0)
        rc = config_check_keys(*text, false, e);
    if (rc != 0)
        err_prefix(e, "text_config");
    return rc;
}

/* --- numbers --- */

#define OPTIONAL UINT32_MAX
/* X(field, key, least, most, required when the family has these flags; OPTIONAL: never) */
#define CONFIG_NUMBERS(X) \
    X(vocab_size, "vocab_size", 1, 1 << 24, 0) \
    X(hidden_size, "hidden_size", 1, 1 << 18, 0) \
    X(n_layers, "num_hidden_layers", 1, CONFIG_LAYERS_MAX, 0) \
    X(intermediate_size, "intermediate_size", 1, 1 << 22, OPTIONAL) \
    X(n_heads, "num_attention_heads", 1, 4096, 0) \
    X(n_kv_heads, "num_key_value_heads", 1, 4096, OPTIONAL) \
    X(head_dim, "head_dim", 1, 4096, OPTIONAL) \
    X(max_positions, "max_position_embeddings", 1, POSITIONS_MAX, 0) \
    X(linear.conv_width, "linear_conv_kernel_dim", 2, 16, FAMILY_LINEAR) \
    X(linear.n_key_heads, "linear_num_key_heads", 1, 4096, FAMILY_LINEAR) \
    X(linear.n_value_heads, "linear_num_value_heads", 1, 4096, FAMILY_LINEAR) \
    X(linear.key_dim, "linear_key_head_dim", 1, 4096, FAMILY_LINEAR) \
    X(linear.value_dim, "linear_value_head_dim", 1, 4096, FAMILY_LINEAR) \
    X(moe.n_experts, "num_local_experts", 1, 4096, OPTIONAL) \
    X(moe.n_experts, "num_experts", 1, 4096, OPTIONAL) \
    X(moe.top_k, "num_experts_per_tok", 1, 4096, FAMILY_MOE) \
    X(moe.intermediate_size, "moe_intermediate_size", 1, 1 << 22, FAMILY_MOE) \
    X(moe.shared_intermediate_size, "shared_expert_intermediate_size", 1, 1 << 22, FAMILY_SHARED)

static int read_numbers(struct model_config *c, const struct json_object *text, struct err *e)
{
    int rc = 0;

#define X(field, key, least, most, when) \
    if (rc == 0) \
        rc = config_read_u32(text, key, least, most, &c->field, e); \
    if (rc == 0 && (when) != OPTIONAL && model_config_has(c, when) && c->field == 0) \
        rc = err_set(e, EINVAL, "%s: found none, expected a whole number", key);
    CONFIG_NUMBERS(X)
#undef X
    c->rms_norm_eps = 1e-6;
    if (rc == 0)
        rc = config_read_double(text, "rms_norm_eps", 1e-12, 1, &c->rms_norm_eps, e);
    c->moe.norm_topk_prob = model_config_has(c, FAMILY_TOPK_NORM);
    if (rc == 0)
        rc = config_read_bool(text, "norm_topk_prob", &c->moe.norm_topk_prob, e);
    return rc;
}

static int check_heads(struct model_config *c, struct err *e)
{
    if (c->n_kv_heads == 0)
        c->n_kv_heads = c->n_heads;
    if (c->n_heads % c->n_kv_heads != 0)
        return err_set(e, EINVAL,
                       "num_attention_heads: found %u, expected a multiple of "
                       "num_key_value_heads, %u",
                       c->n_heads, c->n_kv_heads);
    if (c->head_dim == 0)
        c->head_dim = c->family->head_dim;
    if (c->head_dim == 0 && c->hidden_size % c->n_heads != 0)
        return err_set(e, EINVAL,
                       "hidden_size: found %u without head_dim, expected a multiple of "
                       "num_attention_heads, %u",
                       c->hidden_size, c->n_heads);
    if (c->head_dim == 0)
        c->head_dim = c->hidden_size / c->n_heads;
    if (model_config_has(c, FAMILY_LINEAR) && c->linear.n_value_heads % c->linear.n_key_heads != 0)
        return err_set(e, EINVAL,
                       "linear_num_value_heads: found %u, expected a multiple of "
                       "linear_num_key_heads, %u",
                       c->linear.n_value_heads, c->linear.n_key_heads);
    return 0;
}

static int check_moe(struct model_config *c, struct err *e)
{
    if (!model_config_has(c, FAMILY_MOE)) {
        if (c->moe.n_experts > 1)
            return err_set(e, EINVAL, "num_experts: found %u in a %s, expected none",
                           c->moe.n_experts, c->family->model_type);
        memset(&c->moe, 0, sizeof c->moe);
        return 0;
    }
    if (c->moe.n_experts == 0)
        return err_set(e, EINVAL, "num_experts: found none, expected a whole number");
    if (c->moe.top_k > c->moe.n_experts)
        return err_set(e, EINVAL, "num_experts_per_tok: found %u, expected at most %u, num_experts",
                       c->moe.top_k, c->moe.n_experts);
    return 0;
}

/* --- layers --- */

static int read_layer_type(struct model_config *c, const struct json_object *v, uint32_t layer,
                           bool *is_sliding, struct err *e)
{
    struct buf text = {0};
    const char *type = json_type_of(v) == JSON_STRING ? json_string(v, NULL) : "";

    if (strcmp(type, "full_attention") == 0) {
        c->layers[layer].kind = LAYER_ATTENTION;
        return 0;
    }
    if (strcmp(type, "linear_attention") == 0 && model_config_has(c, FAMILY_LINEAR)) {
        c->layers[layer].kind = LAYER_LINEAR;
        return 0;
    }
    if (strcmp(type, "sliding_attention") == 0 && !model_config_has(c, FAMILY_LINEAR)) {
        c->layers[layer].kind = LAYER_ATTENTION;
        *is_sliding = true;
        return 0;
    }
    json_write(v, &text);
    int rc = err_set(e, EINVAL,
                     "layer_types: found %.60s for layer %u of a %s, expected "
                     "full_attention or %s",
                     buf_text(&text), layer, c->family->model_type,
                     model_config_has(c, FAMILY_LINEAR) ? "linear_attention" : "sliding_attention");
    buf_free(&text);
    return rc;
}

/* Which layers are DeltaNet; whether one of them slides by its name. */
static int read_layer_kinds(struct model_config *c, const struct json_object *text, bool *is_sliding,
                            struct err *e)
{
    const struct json_object *types = json_get(text, "layer_types");
    uint32_t interval = 4;
    int rc = config_read_u32(text, "full_attention_interval", 1, CONFIG_LAYERS_MAX, &interval, e);

    for (uint32_t i = 0; i < c->n_layers; i++) {
        bool is_linear = model_config_has(c, FAMILY_LINEAR) && (i + 1) % interval != 0;
        c->layers[i].kind = is_linear ? LAYER_LINEAR : LAYER_ATTENTION;
    }
    if (rc != 0 || types == NULL)
        return rc;
    if (json_type_of(types) != JSON_ARRAY || json_length(types) != c->n_layers)
        return err_set(e, EINVAL, "layer_types: found %zu elements, expected an array of %u",
                       json_length(types), c->n_layers);
    for (uint32_t i = 0; rc == 0 && i < c->n_layers; i++)
        rc = read_layer_type(c, json_at(types, i), i, is_sliding, e);
    return rc;
}

/* Up to the window's length a sliding layer attends to everything, so the window bounds the context
 * instead of changing the mathematics. */
static int read_window(struct model_config *c, const struct json_object *text, bool is_sliding,
                       struct err *e)
{
    bool is_used = false;
    uint32_t window = 0, first = 0;
    int rc = config_read_bool(text, "use_sliding_window", &is_used, e);

    if (rc == 0)
        rc = config_read_u32(text, "sliding_window", 0, POSITIONS_MAX, &window, e);
    if (rc == 0)
        rc = config_read_u32(text, "max_window_layers", 0, UINT32_MAX, &first, e);
    if (rc != 0)
        return rc;
    if (model_config_has(c, FAMILY_WINDOW))
        is_sliding = window > 0;
    else if (!is_used && is_sliding)
        return err_set(e, EINVAL,
                       "layer_types: found sliding_attention, expected use_sliding_window with it");
    else if (is_used && model_config_has(c, FAMILY_WINDOW_UPPER) && json_get(text, "layer_types") == NULL)
        is_sliding = first < c->n_layers;
    else if (is_used && !model_config_has(c, FAMILY_WINDOW_UPPER))
        is_sliding = true;
    if (!is_sliding)
        return 0;
    if (window == 0)
        return err_set(e, EINVAL, "sliding_window: found none, expected a whole number above 0");
    c->sliding_window = window;
    if (c->max_positions > window)
        c->max_positions = window;
    return 0;
}

static int read_moe_layers(struct model_config *c, const struct json_object *text, struct err *e)
{
    const struct json_object *dense = json_get(text, "mlp_only_layers");
    uint32_t step = 1;
    int rc = config_read_u32(text, "decoder_sparse_step", 1, CONFIG_LAYERS_MAX, &step, e);

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < c->n_layers; i++)
        c->layers[i].is_moe = model_config_has(c, FAMILY_MOE) && (i + 1) % step == 0;
    if (dense != NULL && json_type_of(dense) != JSON_ARRAY)
        return err_set(e, EINVAL, "mlp_only_layers: found %s, expected an array",
                       json_type_name(json_type_of(dense)));
    for (size_t i = 0; i < json_length(dense); i++) {
        const struct json_object *v = json_at(dense, i);
        if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 0 ||
            json_integer(v) >= (int64_t)c->n_layers)
            return err_set(e, EINVAL, "mlp_only_layers: element %zu: expected a layer below %u", i,
                           c->n_layers);
        c->layers[json_integer(v)].is_moe = false;
    }
    for (uint32_t i = 0; i < c->n_layers; i++)
        if (!c->layers[i].is_moe && c->intermediate_size == 0)
            return err_set(e, EINVAL,
                           "intermediate_size: found none, expected one for layer %u, "
                           "which has no experts",
                           i);
    return 0;
}

/* --- all of it --- */

static int read_tied(struct model_config *c, const struct json_object *root,
                     const struct json_object *text, struct err *e)
{
    int rc = config_read_bool(text, "tie_word_embeddings", &c->is_tied, e);

    if (rc == 0) /* the outer one is the model's */
        rc = config_read_bool(root, "tie_word_embeddings", &c->is_tied, e);
    return rc;
}

static int read_config(struct model_config *c, const struct json_object *root, struct err *e)
{
    const struct json_object *text = NULL;
    bool is_sliding = false;

    if (json_type_of(root) != JSON_OBJECT)
        return err_set(e, EINVAL, "found %s, expected an object",
                       json_type_name(json_type_of(root)));
    int rc = find_text(c, root, &text, e);
    if (rc == 0)
        rc = read_numbers(c, text, e);
    if (rc == 0)
        rc = check_heads(c, e);
    if (rc == 0)
        rc = check_moe(c, e);
    if (rc == 0)
        rc = config_read_rope(c, text, e);
    if (rc == 0)
        rc = read_layer_kinds(c, text, &is_sliding, e);
    if (rc == 0)
        rc = read_window(c, text, is_sliding, e);
    if (rc == 0)
        rc = read_moe_layers(c, text, e);
    if (rc == 0)
        rc = read_tied(c, root, text, e);
    if (rc == 0)
        rc = config_read_eos(text, c->vocab_size, &c->n_eos, c->eos, e);
    if (rc == 0)
        rc = config_read_eos(root, c->vocab_size, &c->n_eos, c->eos, e);
    return rc;
}

int model_config_parse(struct model_config *c, const char *json, size_t len, struct err *e)
{
    struct json_object *root = NULL;

    memset(c, 0, sizeof *c);
    int rc = json_parse(json, len, &root, e);
    if (rc == 0)
        rc = read_config(c, root, e);
    json_free(&root);
    if (rc != 0)
        err_prefix(e, FILE_NAME);
    return rc;
}

int model_config_load(struct model_config *c, const struct root *root, struct err *e)
{
    struct buf text = {0};
    int rc = root_read_all(root, FILE_NAME, FILE_MAX, &text, e);

    if (rc == 0)
        rc = model_config_parse(c, text.data, text.len, e);
    buf_free(&text);
    return rc;
}

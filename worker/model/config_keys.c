#include "base/names.h"
#include "worker/model/config_read.h"

#include <errno.h>
#include <string.h>

enum key_use {
    KEY_USED,     /* read by config.c and config_rope.c; not beside a text_config */
    KEY_ANYWHERE, /* read, and may stand beside a text_config */
    KEY_HARMLESS, /* does not change what the model computes from text */
    KEY_FIXED,    /* only the one value is supported */
};

/* X(key, use, the one value as JSON) */
#define CONFIG_KEYS(X) \
    X("model_type", KEY_ANYWHERE, "") \
    X("text_config", KEY_ANYWHERE, "") \
    X("tie_word_embeddings", KEY_ANYWHERE, "") \
    X("eos_token_id", KEY_ANYWHERE, "") \
    X("vision_config", KEY_ANYWHERE, "") \
    X("vocab_size", KEY_USED, "") \
    X("hidden_size", KEY_USED, "") \
    X("intermediate_size", KEY_USED, "") \
    X("num_hidden_layers", KEY_USED, "") \
    X("num_attention_heads", KEY_USED, "") \
    X("num_key_value_heads", KEY_USED, "") \
    X("head_dim", KEY_USED, "") \
    X("max_position_embeddings", KEY_USED, "") \
    X("rms_norm_eps", KEY_USED, "") \
    X("rope_parameters", KEY_USED, "") \
    X("rope_scaling", KEY_USED, "") \
    X("rope_theta", KEY_USED, "") \
    X("partial_rotary_factor", KEY_USED, "") \
    X("original_max_position_embeddings", KEY_USED, "") \
    X("layer_types", KEY_USED, "") \
    X("full_attention_interval", KEY_USED, "") \
    X("linear_conv_kernel_dim", KEY_USED, "") \
    X("linear_key_head_dim", KEY_USED, "") \
    X("linear_value_head_dim", KEY_USED, "") \
    X("linear_num_key_heads", KEY_USED, "") \
    X("linear_num_value_heads", KEY_USED, "") \
    X("num_experts", KEY_USED, "") \
    X("num_local_experts", KEY_USED, "") \
    X("num_experts_per_tok", KEY_USED, "") \
    X("moe_intermediate_size", KEY_USED, "") \
    X("shared_expert_intermediate_size", KEY_USED, "") \
    X("norm_topk_prob", KEY_USED, "") \
    X("decoder_sparse_step", KEY_USED, "") \
    X("mlp_only_layers", KEY_USED, "") \
    X("sliding_window", KEY_USED, "") \
    X("use_sliding_window", KEY_USED, "") \
    X("max_window_layers", KEY_USED, "") \
    X("hidden_act", KEY_FIXED, "\"silu\"") \
    X("attention_bias", KEY_FIXED, "false") \
    X("mlp_bias", KEY_FIXED, "false") \
    X("attn_output_gate", KEY_FIXED, "true") \
    X("mamba_ssm_dtype", KEY_FIXED, "\"float32\"") \
    X("quantization_config", KEY_FIXED, "null") \
    X("auto_map", KEY_FIXED, "null") \
    X("is_encoder_decoder", KEY_FIXED, "false") \
    X("rope_interleaved", KEY_FIXED, "false") \
    X("is_llama_config", KEY_HARMLESS, "") \
    X("add_cross_attention", KEY_FIXED, "false") \
    X("attention_dropout", KEY_HARMLESS, "") \
    X("architectures", KEY_HARMLESS, "") \
    X("transformers_version", KEY_HARMLESS, "") \
    X("dtype", KEY_HARMLESS, "") \
    X("torch_dtype", KEY_HARMLESS, "") \
    X("use_cache", KEY_HARMLESS, "") \
    X("initializer_range", KEY_HARMLESS, "") \
    X("hidden_dropout", KEY_HARMLESS, "") \
    X("pad_token_id", KEY_HARMLESS, "") \
    X("bos_token_id", KEY_HARMLESS, "") \
    X("output_router_logits", KEY_HARMLESS, "") \
    X("router_aux_loss_coef", KEY_HARMLESS, "") \
    X("pretraining_tp", KEY_HARMLESS, "") \
    X("image_token_id", KEY_HARMLESS, "") \
    X("video_token_id", KEY_HARMLESS, "") \
    X("vision_start_token_id", KEY_HARMLESS, "") \
    X("vision_end_token_id", KEY_HARMLESS, "") \
    X("mtp_num_hidden_layers", KEY_HARMLESS, "") \
    X("mtp_use_dedicated_embeddings", KEY_HARMLESS, "") \
    X("num_nextn_predict_layers", KEY_HARMLESS, "") \
    X("_name_or_path", KEY_HARMLESS, "") \
    X("_attn_implementation_autoset", KEY_HARMLESS, "") \
    X("return_dict", KEY_HARMLESS, "") \
    X("output_attentions", KEY_HARMLESS, "") \
    X("output_hidden_states", KEY_HARMLESS, "") \
    X("torchscript", KEY_HARMLESS, "") \
    X("tokenizer_class", KEY_HARMLESS, "") \
    X("id2label", KEY_HARMLESS, "") \
    X("label2id", KEY_HARMLESS, "") \
    X("problem_type", KEY_HARMLESS, "") \
    X("chunk_size_feed_forward", KEY_HARMLESS, "") \
    X("is_decoder", KEY_HARMLESS, "") \
    X("unsloth_version", KEY_HARMLESS, "") \
    X("unsloth_fixed", KEY_HARMLESS, "") \
    X("model_name", KEY_HARMLESS, "") \
    X("language_model_only", KEY_HARMLESS, "")

#define X(key, use, value) {key, use, value},
static const struct {
    const char *key;
    enum key_use use;
    const char *value;
} keys[] = {CONFIG_KEYS(X)};
#undef X
#define X(key, use, value) key,
static const char *const key_names[] = {CONFIG_KEYS(X)};
#undef X
#define KEYS_N (sizeof keys / sizeof keys[0])

static int refuse_unknown(const char *key, struct err *e)
{
    const char *near = names_nearest(key, key_names, KEYS_N);

    return err_set(e, EINVAL,
                   "%.200s: found a key that this version does not know%s%s, expected none that "
                   "may change what the model computes; remove it if it does not",
                   config_printable(key), near != NULL ? ", near to " : "",
                   near != NULL ? near : "");
}

static int check_fixed(const struct json_object *value, size_t i, struct err *e)
{
    struct buf text = {0};
    int rc = 0;

    json_write(value, &text);
    if (strcmp(buf_text(&text), keys[i].value) != 0)
        rc = err_set(e, EINVAL, "%s: found %.100s, expected %s, all that this version supports",
                     keys[i].key, buf_text(&text),
                     strcmp(keys[i].value, "null") == 0 ? "none" : keys[i].value);
    buf_free(&text);
    return rc;
}

static int check_key(const char *key, const struct json_object *value, bool is_outer, struct err *e)
{
    size_t i = 0;

    if (value == NULL)
        return 0;
    while (i < KEYS_N && strcmp(key, keys[i].key) != 0)
        i++;
    if (i == KEYS_N)
        return refuse_unknown(key, e);
    if (keys[i].use == KEY_FIXED)
        return check_fixed(value, i, e);
    if (keys[i].use == KEY_USED && is_outer)
        return err_set(e, EINVAL, "%s: found beside text_config, expected inside it", key);
    return 0;
}

int config_check_keys(const struct json_object *o, bool is_outer, struct err *e)
{
    struct json_iterator it = json_members(o);
    int rc = 0;

    while (rc == 0 && json_next(&it))
        rc = check_key(it.key, it.value, is_outer, e);
    return rc;
}

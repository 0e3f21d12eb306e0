/* config.json and generation_config.json: the facts transformers finds, from the published spelling
 * and from its own, and every rule broken once. */
#include "tests/unit/config_fixture.h"
#include "tests/unit/model_dir.h"
#include "worker/model/config.h"
#include "worker/model/generation.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static double fact(const struct json_object *facts, const char *key)
{
    const struct json_object *v = json_get(facts, key);

    if (v == NULL)
        return 0;
    return json_type_of(v) == JSON_BOOL ? json_bool(v) : json_number(v);
}

static void expect_number(const char *name, const char *key, double found, double expected)
{
    if (!(found >= expected && found <= expected))
        fail_msg("%s: %s: found %.9g, expected %.9g", name, key, found, expected);
}

#define EXPECT(field, key) expect_number(name, key, (double)(field), fact(facts, key))

static void expect_rope(const char *name, const struct model_config *c, const struct json_object *facts)
{
    static const char *const kinds[] = {"default", "linear", "llama3", "yarn"};
    const struct model_rope *r = &c->rope;

    assert_string_equal(kinds[r->kind], json_string(json_get(facts, "rope_type"), NULL));
    EXPECT(r->theta, "rope_theta");
    EXPECT(r->factor, "factor");
    EXPECT(r->low_freq_factor, "low_freq_factor");
    EXPECT(r->high_freq_factor, "high_freq_factor");
    EXPECT(r->attention_factor, "attention_factor");
    if (json_get(facts, "beta_fast") != NULL) {
        EXPECT(r->beta_fast, "beta_fast");
        EXPECT(r->beta_slow, "beta_slow");
    }
    if (json_get(facts, "original_max_position_embeddings") != NULL)
        EXPECT(r->original_positions, "original_max_position_embeddings");
    double part = json_get(facts, "partial_rotary_factor") != NULL
                      ? fact(facts, "partial_rotary_factor")
                      : 1.0;
    expect_number(name, "rotated", r->rotated, (double)(int)(c->head_dim * part));
}

static void expect_layers(const struct model_config *c, const struct json_object *types)
{
    assert_int_equal(json_length(types), c->n_layers);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        const char *type = json_string(json_at(types, i), NULL);
        assert_int_equal(c->layers[i].kind,
                         strcmp(type, "linear_attention") == 0 ? LAYER_LINEAR : LAYER_ATTENTION);
        if (strcmp(type, "sliding_attention") == 0)
            assert_true(c->sliding_window > 0);
    }
}

static void expect_facts(const char *name, const struct model_config *c, const struct json_object *facts)
{
    double window = fact(facts, "sliding_window"), most = fact(facts, "max_position_embeddings");

    EXPECT(c->hidden_size, "hidden_size");
    EXPECT(c->vocab_size, "vocab_size");
    EXPECT(c->n_layers, "num_hidden_layers");
    EXPECT(c->n_heads, "num_attention_heads");
    EXPECT(c->n_kv_heads, "num_key_value_heads");
    EXPECT(c->head_dim, "head_dim");
    EXPECT(c->rms_norm_eps, "rms_norm_eps");
    EXPECT(c->intermediate_size, "intermediate_size");
    EXPECT(c->is_tied, "tie_word_embeddings");
    EXPECT(c->linear.conv_width, "linear_conv_kernel_dim");
    EXPECT(c->linear.key_dim, "linear_key_head_dim");
    EXPECT(c->linear.value_dim, "linear_value_head_dim");
    EXPECT(c->linear.n_key_heads, "linear_num_key_heads");
    EXPECT(c->linear.n_value_heads, "linear_num_value_heads");
    EXPECT(c->moe.n_experts, "num_experts");
    EXPECT(c->moe.top_k, "num_experts_per_tok");
    EXPECT(c->moe.intermediate_size, "moe_intermediate_size");
    EXPECT(c->moe.shared_intermediate_size, "shared_expert_intermediate_size");
    if (json_get(facts, "norm_topk_prob") != NULL)
        EXPECT(c->moe.norm_topk_prob, "norm_topk_prob");
    else
        assert_int_equal(c->moe.norm_topk_prob, model_config_has(c, FAMILY_MOE));
    EXPECT(c->sliding_window, "sliding_window");
    expect_number(name, "max_positions", c->max_positions,
                  window > 0 && window < most ? window : most);
    expect_layers(c, json_get(facts, "layer_types"));
    expect_rope(name, c, json_get(facts, "rope"));
    assert_true(c->n_eos > 0 && c->eos[0] == 2);
}

static void compare_fixture(const char *name, const struct json_object *fixture)
{
    static struct model_config published, resaved;
    struct buf text = {0};
    struct err e = {0};

    config_fixture_text(fixture, "published", &text);
    if (model_config_parse(&published, text.data, text.len, &e) != 0)
        fail_msg("%s: %s", name, e.text);
    expect_facts(name, &published, json_get(fixture, "facts"));
    config_fixture_text(fixture, "resaved", &text);
    if (model_config_parse(&resaved, text.data, text.len, &e) != 0)
        fail_msg("%s: %s", name, e.text);
    expect_facts(name, &resaved, json_get(fixture, "facts"));
    assert_memory_equal(&published, &resaved, sizeof published);
    buf_free(&text);
}

static void agrees_with_transformers(void **state)
{
    (void)state;
    assert_true(config_fixtures_walk(compare_fixture) >= 18);
}

/* --- every rule once: a base, and what is put in front of or into it --- */

#define HEADS   "\"num_attention_heads\":4,\"num_key_value_heads\":2"
#define SIZES   "\"vocab_size\":64,\"hidden_size\":32,\"num_hidden_layers\":2,\"max_position_embeddings\":99"
#define DENSE   SIZES "," HEADS ",\"intermediate_size\":48"
#define LLAMA   "\"model_type\":\"llama\"," DENSE
#define LINEAR                                                                                     \
    "\"linear_conv_kernel_dim\":4,\"linear_key_head_dim\":8,\"linear_value_head_dim\":8,"          \
    "\"linear_num_key_heads\":2"
#define QWEN35  "\"model_type\":\"qwen3_5_text\"," DENSE "," LINEAR ",\"head_dim\":16"
#define HYBRID  QWEN35 ",\"linear_num_value_heads\":4"
#define MOE     "\"model_type\":\"qwen3_moe\"," SIZES "," HEADS ",\"moe_intermediate_size\":8"
#define YARN    ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2"
#define LLAMA3  ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2,"

/* clang-format off */
static const struct { const char *json, *sentence; } broken[] = {
    {"", "config.json: "},
    {"[]", "config.json: found array, expected an object"},
    {"{}", "model_type: found null, expected one of qwen3_5 "},
    {"{\"model_type\":\"gpt2\"}", "model_type: found \"gpt2\", expected one of qwen3_5 "},
    {"{\"model_type\":\"llama\\u0000\"}", "model_type: found \"llama\\u0000\", expected"},
    {"{" LLAMA ",\"logit_softcapping\":30}", "logit_softcapping: found a key that this version does not know"},
    {"{" LLAMA ",\"hiden_size\":30}", "near to hidden_size"},
    {"{" LLAMA ",\"a\\nb\":30}", "(a name with control bytes): found a key"},
    {"{" LLAMA ",\"hidden_act\":\"gelu\"}", "hidden_act: found \"gelu\", expected \"silu\""},
    {"{" LLAMA ",\"attention_bias\":true}", "attention_bias: found true, expected false"},
    {"{" LLAMA ",\"mlp_bias\":true}", "mlp_bias: found true, expected false"},
    {"{" LLAMA ",\"quantization_config\":{\"bits\":4}}", "quantization_config: found {\"bits\":4}, expected none"},
    {"{" LLAMA ",\"auto_map\":{}}", "auto_map: found {}, expected none"},
    {"{" LLAMA ",\"attn_output_gate\":false}", "attn_output_gate: found false, expected true"},
    {"{" LLAMA ",\"head_dim\":0}", "head_dim: found 0, expected 1 to 4096"},
    {"{" LLAMA ",\"head_dim\":1.5}", "head_dim: found 1.5, expected a whole number"},
    {"{" LLAMA ",\"head_dim\":\"8\"}", "head_dim: found string, expected a whole number"},
    {"{" LLAMA ",\"head_dim\":7}", "partial_rotary_factor: found 1 of head_dim 7, expected an even"},
    {"{" LLAMA ",\"rms_norm_eps\":-1}", "rms_norm_eps: found -1, expected 1e-12 to 1"},
    {"{" LLAMA ",\"rms_norm_eps\":true}", "rms_norm_eps: found boolean, expected a number"},
    {"{" LLAMA ",\"tie_word_embeddings\":1}", "tie_word_embeddings: found number, expected true or false"},
    {"{" LLAMA ",\"num_experts\":8}", "num_experts: found 8 in a llama, expected none"},
    {"{" LLAMA ",\"eos_token_id\":64}", "eos_token_id: found 64, expected 0 to 63"},
    {"{" LLAMA ",\"eos_token_id\":[1,-1]}", "eos_token_id: found -1, expected 0 to 63"},
    {"{" LLAMA ",\"layer_types\":[\"full_attention\"]}", "layer_types: found 1 elements, expected an array of 2"},
    {"{" LLAMA ",\"layer_types\":[\"full_attention\",\"linear_attention\"]}", "layer_types: found \"linear_attention\" for layer 1 of a llama"},
    {"{" LLAMA ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "expected use_sliding_window with it"},
    {"{" LLAMA ",\"layer_types\":[\"full_attention\",7]}", "layer_types: found 7 for layer 1"},
    {"{" LLAMA ",\"layer_types\":{\"a\":1,\"b\":2}}", "layer_types: found 2 elements, expected an array"},
    {"{" LLAMA ",\"use_sliding_window\":true}", "sliding_window: found none"},
    {"{\"model_type\":\"llama\"," SIZES "," HEADS "}", "intermediate_size: found none, expected one for layer 0"},
    {"{\"model_type\":\"llama\"," HEADS "}", "vocab_size: found none"},
    {"{\"model_type\":\"llama\"," SIZES ",\"intermediate_size\":8,\"num_attention_heads\":4,\"num_key_value_heads\":3}", "num_attention_heads: found 4, expected a multiple of num_key_value_heads, 3"},
    {"{\"model_type\":\"llama\"," SIZES ",\"intermediate_size\":8,\"num_attention_heads\":5}", "hidden_size: found 32 without head_dim"},
    {"{" QWEN35 "}", "linear_num_value_heads: found none"},
    {"{" QWEN35 ",\"linear_num_value_heads\":3}", "linear_num_value_heads: found 3, expected a multiple of linear_num_key_heads, 2"},
    {"{" HYBRID ",\"full_attention_interval\":0}", "full_attention_interval: found 0, expected 1 to 512"},
    {"{" HYBRID ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "layer_types: found \"sliding_attention\" for layer 1"},
    {"{" HYBRID ",\"mamba_ssm_dtype\":\"bfloat16\"}", "mamba_ssm_dtype: found \"bfloat16\", expected \"float32\""},
    {"{" MOE ",\"num_experts\":4}", "num_experts_per_tok: found none"},
    {"{" MOE ",\"num_experts_per_tok\":2}", "num_experts: found none"},
    {"{" MOE ",\"num_experts\":4,\"num_experts_per_tok\":5}", "num_experts_per_tok: found 5, expected at most 4"},
    {"{" MOE ",\"num_experts\":4,\"num_experts_per_tok\":2,\"mlp_only_layers\":[2]}", "mlp_only_layers: element 0: expected a layer below 2"},
    {"{" MOE ",\"num_experts\":4,\"num_experts_per_tok\":2,\"mlp_only_layers\":1}", "mlp_only_layers: found number, expected an array"},
    {"{" MOE ",\"num_experts\":4,\"num_experts_per_tok\":2,\"mlp_only_layers\":[1]}", "intermediate_size: found none, expected one for layer 1"},
    {"{\"model_type\":\"qwen3_5\",\"text_config\":7}", "text_config: found number"},
    {"{\"model_type\":\"qwen3_5\",\"text_config\":{\"text_config\":{}}}", "text_config: found object, expected an object without another"},
    {"{\"model_type\":\"qwen3_5\",\"hidden_size\":8,\"text_config\":{" HYBRID "}}", "hidden_size: found beside text_config, expected inside it"},
    {"{\"model_type\":\"qwen3_5\",\"text_config\":{" HYBRID ",\"x\":1}}", "text_config: x: found a key"},
    {"{\"model_type\":\"qwen3_5_moe\",\"text_config\":{" HYBRID "}}", "text_config: model_type: found qwen3_5_text in a qwen3_5_moe"},
    {"{" LLAMA ",\"rope_scaling\":7}", "rope_scaling: found number, expected an object"},
    {"{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"dynamic\"}}", "rope_type: found \"dynamic\", expected default"},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":3}}", "rope_type: found 3, expected default"},
    {"{" LLAMA ",\"rope_parameters\":{\"full_attention\":{}}}", "rope_parameters: full_attention: found a key"},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\"}}", "factor: found none, expected a number"},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}}", "factor: found 0, expected 0.001"},
    {"{" LLAMA LLAMA3 "\"low_freq_factor\":1}}", "expected both, the high above the low"},
    {"{" LLAMA LLAMA3 "\"low_freq_factor\":4,\"high_freq_factor\":4}}", "expected both, the high above the low"},
    {"{" LLAMA YARN ",\"beta_fast\":1,\"beta_slow\":2}}", "found beta_fast 1 below beta_slow 2"},
    {"{" LLAMA YARN ",\"truncate\":1}}", "truncate: found number, expected true or false"},
    {"{" LLAMA ",\"rope_theta\":0}", "rope_theta: found 0, expected 1.001"},
    {"{" LLAMA ",\"partial_rotary_factor\":0.1}", "partial_rotary_factor: found 0.1 of head_dim 8"},
};
static const char *const accepted[] = {
    "{" LLAMA "}", "{" LLAMA ",\"logit_softcapping\":null}", "{" LLAMA ",\"num_experts\":null}",
    "{" HYBRID "}", "{" LLAMA YARN ",\"truncate\":false}}", "{" LLAMA YARN "}}",
    "{" MOE ",\"num_experts\":4,\"num_experts_per_tok\":2}",
    "{\"model_type\":\"qwen3_5\",\"text_config\":{" HYBRID "}}",
    "{" LLAMA ",\"use_sliding_window\":true,\"sliding_window\":50}",
};
/* clang-format on */

static void refuses_every_broken_config(void **state)
{
    static struct model_config c;
    struct err e;
    (void)state;

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        e = (struct err){0};
        int rc = model_config_parse(&c, broken[i].json, strlen(broken[i].json), &e);
        if (rc != -EINVAL || strstr(e.text, broken[i].sentence) == NULL)
            fail_msg("%s: found %d \"%s\", expected \"%s\"", broken[i].json, rc, e.text,
                     broken[i].sentence);
        assert_int_equal(strncmp(e.text, "config.json: ", 13), 0);
    }
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        if (model_config_parse(&c, accepted[i], strlen(accepted[i]), &e) != 0)
            fail_msg("%s: %s", accepted[i], e.text);
}

/* --- generation --- */

static void parse_generation(struct generation *g, const char *text)
{
    static struct model_config c;
    struct err e = {0};
    const char *config = "{" LLAMA ",\"eos_token_id\":[7,8]}";

    assert_int_equal(model_config_parse(&c, config, strlen(config), &e), 0);
    if (generation_parse(g, &c, text, strlen(text), &e) != 0)
        fail_msg("%s: %s", text, e.text);
}

static void reads_generation_config(void **state)
{
    struct generation g;
    (void)state;

    parse_generation(&g, "{}");
    assert_int_equal(g.n_eos, 2);
    assert_true(g.temperature > 0.99 && g.top_p > 0.99 && g.repetition_penalty > 0.99);
    assert_false(g.has_is_sampled);
    assert_string_equal(g.ignored, "");
    parse_generation(&g, "{\"eos_token_id\":null}");
    assert_int_equal(g.n_eos, 2);
    parse_generation(&g, "{\"eos_token_id\":5}");
    assert_true(g.n_eos == 1 && g.eos[0] == 5);
    parse_generation(&g, "{\"eos_token_id\":[5,6,5]}");
    assert_true(g.n_eos == 2 && g.eos[0] == 5 && g.eos[1] == 6);
    parse_generation(&g, "{\"do_sample\":true,\"temperature\":0.6,\"top_k\":20,\"top_p\":0.95,"
                         "\"min_p\":0.05,\"repetition_penalty\":1.1,\"no_repeat_ngram_size\":3,"
                         "\"num_beams\":1,\"suppress_tokens\":[],\"typical_p\":0.9}");
    assert_true(g.is_sampled && g.has_is_sampled && g.top_k == 20);
    assert_true(g.temperature > 0.59 && g.temperature < 0.61 && g.top_p > 0.94 && g.top_p < 0.96);
    assert_true(g.min_p > 0.04 && g.min_p < 0.06 && g.repetition_penalty > 1.09);
    assert_string_equal(g.ignored, "no_repeat_ngram_size, typical_p");
}

static void refuses_broken_generation_configs(void **state)
{
    static const char *const bad[][2] = {
        {"[]", "found array, expected an object"},
        {"{\"eos_token_id\":99}", "eos_token_id: found 99, expected 0 to 63"},
        {"{\"eos_token_id\":\"x\"}", "eos_token_id: found string"},
        {"{\"eos_token_id\":[[1]]}", "eos_token_id: found array, expected a whole number"},
        {"{\"top_p\":2}", "top_p: found 2, expected 0 to 1"},
        {"{\"do_sample\":0}", "do_sample: found number"},
        {"{", "generation_config.json: byte 1"},
    };
    static struct model_config c;
    struct generation g;
    struct err e = {0};
    (void)state;

    assert_int_equal(model_config_parse(&c, accepted[0], strlen(accepted[0]), &e), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(generation_parse(&g, &c, bad[i][0], strlen(bad[i][0]), &e), -EINVAL);
        if (strstr(e.text, bad[i][1]) == NULL)
            fail_msg("%s: found \"%s\"", bad[i][0], e.text);
    }
}

static void loads_from_a_directory(void **state)
{
    static struct model_config c;
    struct model_dir dir;
    struct root root;
    struct generation g;
    struct err e = {0};
    (void)state;

    model_dir_make(&dir);
    assert_int_equal(root_open(&root, dir.path, &e), 0);
    assert_int_equal(model_config_load(&c, &root, &e), -ENOENT);
    model_dir_write(&dir, "config.json", accepted[0], strlen(accepted[0]));
    assert_int_equal(model_config_load(&c, &root, &e), 0);
    assert_int_equal(generation_load(&g, &c, &root, &e), 0);
    assert_int_equal(g.n_eos, 0);
    model_dir_write(&dir, "generation_config.json", "{\"eos_token_id\":3}", 18);
    assert_int_equal(generation_load(&g, &c, &root, &e), 0);
    assert_int_equal(g.n_eos, 1);
    root_close(&root);
    model_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_transformers),
        cmocka_unit_test(refuses_every_broken_config),
        cmocka_unit_test(reads_generation_config),
        cmocka_unit_test(refuses_broken_generation_configs),
        cmocka_unit_test(loads_from_a_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The plan of weights against the tensors that transformers' own models have, in memory and as they
 * are saved; every tensor taken away, bent, or of a type that is not read; every bit of a header
 * flipped. */
#include "tests/unit/config_fixture.h"
#include "worker/model/weights_plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What to do to one tensor of the list. */
enum bend { BEND_NONE, BEND_DROP, BEND_SHAPE, BEND_RANK, BEND_DTYPE };

static uint64_t add_shape(struct buf *out, const struct json_object *shape, enum bend bend)
{
    uint64_t n = 1;

    buf_add_char(out, '[');
    for (size_t i = 0; i < json_length(shape); i++) {
        uint64_t dim = (uint64_t)json_integer(json_at(shape, i)) + (bend == BEND_SHAPE && i == 0);
        buf_printf(out, "%s%llu", i > 0 ? "," : "", (unsigned long long)dim);
        n *= dim;
    }
    buf_add_str(out, bend == BEND_RANK ? ",1]" : "]");
    return n;
}

/* A header of these tensors, each BF16, but for the bent one. Its number of bytes of data. */
static uint64_t make_header(struct buf *out, const struct json_object *list, size_t which,
                            enum bend bend)
{
    uint64_t at = 0;
    const char *comma = "";

    buf_clear(out);
    buf_add_char(out, '{');
    for (size_t i = 0; i < json_length(list); i++) {
        const struct json_object *pair = json_at(list, i);
        enum bend here = i == which ? bend : BEND_NONE;
        if (here == BEND_DROP)
            continue;
        buf_printf(out, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":", comma,
                   json_string(json_at(pair, 0), NULL), here == BEND_DTYPE ? "I16" : "BF16");
        uint64_t end = at + 2 * add_shape(out, json_at(pair, 1), here);
        buf_printf(out, ",\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                   (unsigned long long)end);
        at = end;
        comma = ",";
    }
    buf_add_char(out, '}');
    return at;
}

static int plan_header(struct weights_plan *p, struct safetensors *s, const struct model_config *c,
                       const char *header, size_t len, uint64_t bytes, struct err *e)
{
    *s = (struct safetensors){0};
    *p = (struct weights_plan){0};
    int rc = safetensors_add_header(s, 0, header, len, 8 + len, bytes, e);
    if (rc == 0)
        rc = safetensors_sort(s, e);
    if (rc == 0)
        rc = weights_plan_make(p, c, s, e);
    return rc;
}

static bool is_aside(const struct model_config *c, const char *name)
{
    return strncmp(name, "mtp.", 4) == 0 || strncmp(name, "model.visual.", 13) == 0 ||
           (c->is_tied && strcmp(name, "lm_head.weight") == 0);
}

static void expect_bent(const struct model_config *c, const struct json_object *list, size_t which,
                        enum bend bend, const char *sentence)
{
    const char *name = json_string(json_at(json_at(list, which), 0), NULL);
    bool is_expert = strstr(name, ".mlp.experts.") != NULL;
    struct weights_plan p;
    struct safetensors s;
    struct buf header = {0};
    struct err e = {0};
    uint64_t bytes = make_header(&header, list, which, bend);
    int rc = plan_header(&p, &s, c, header.data, header.len, bytes, &e);

    if (is_aside(c, name)) {
        assert_int_equal(rc, 0);
    } else if (rc != -EINVAL || strstr(e.text, sentence) == NULL ||
               (strncmp(e.text, name, strlen(name)) != 0 && !(is_expert && bend == BEND_DROP))) {
        fail_msg("%s: found %d \"%s\", expected \"%s\"", name, rc, e.text, sentence);
    }
    weights_plan_free(&p);
    safetensors_close(&s);
    buf_free(&header);
}

static void expect_whole(const char *file, const struct model_config *c, const struct json_object *list)
{
    struct weights_plan p;
    struct safetensors s;
    struct buf header = {0};
    struct err e = {0};
    uint64_t bytes = make_header(&header, list, SIZE_MAX, BEND_NONE);
    size_t n_aside = 0;

    if (plan_header(&p, &s, c, header.data, header.len, bytes, &e) != 0)
        fail_msg("%s: %s", file, e.text);
    for (size_t i = 0; i < json_length(list); i++)
        n_aside += is_aside(c, json_string(json_at(json_at(list, i), 0), NULL));
    assert_int_equal(p.n_bound + n_aside, json_length(list));
    assert_int_equal(p.aside[ASIDE_UNEXPECTED].n, 0);
    assert_int_equal(p.aside[ASIDE_VISION].n > 0, c->has_vision);
    assert_int_equal(p.head == p.embed, c->is_tied);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        bool is_stacked = p.layers[i].at[WEIGHT_EXPERTS_GATE_UP] != NULL;
        assert_int_equal(c->layers[i].is_moe, is_stacked || p.layers[i].experts != NULL);
        assert_int_equal(c->layers[i].kind == LAYER_LINEAR, p.layers[i].at[WEIGHT_CONV] != NULL);
    }
    weights_plan_free(&p);
    safetensors_close(&s);
    buf_free(&header);
}

static void plan_fixture(const char *name, const struct json_object *fixture)
{
    static const char *const lists[] = {"state", "saved"};
    static struct model_config c;
    struct buf text = {0};
    struct err e = {0};

    config_fixture_text(fixture, "published", &text);
    assert_int_equal(model_config_parse(&c, text.data, text.len, &e), 0);
    for (size_t i = 0; i < 2; i++) {
        const struct json_object *list = json_get(fixture, lists[i]);
        expect_whole(name, &c, list);
        for (size_t t = 0; t < json_length(list); t++) {
            expect_bent(&c, list, t, BEND_DROP, "found none, expected a tensor of [");
            expect_bent(&c, list, t, BEND_SHAPE, ", expected [");
            expect_bent(&c, list, t, BEND_RANK, ", expected [");
            expect_bent(&c, list, t, BEND_DTYPE, "expected F32, F16 or BF16");
        }
    }
    buf_free(&text);
}

static void agrees_with_transformers(void **state)
{
    (void)state;
    assert_true(config_fixtures_walk(plan_fixture) >= 18);
}

/* --- bits --- */

static bool is_same(const struct tensor *a, const struct tensor *b)
{
    return (a == NULL) == (b == NULL) &&
           (a == NULL || (a->dtype == b->dtype && a->n_dims == b->n_dims &&
                          memcmp(a->shape, b->shape, sizeof a->shape) == 0 &&
                          a->offset == b->offset && a->bytes == b->bytes));
}

static bool is_same_plan(const struct weights_plan *a, const struct weights_plan *b)
{
    bool is_equal = is_same(a->embed, b->embed) && is_same(a->final_norm, b->final_norm) &&
                    is_same(a->head, b->head) && a->n_bound == b->n_bound;

    for (uint32_t l = 0; l < a->n_layers; l++)
        for (unsigned i = 0; i < LAYER_WEIGHTS_N; i++)
            is_equal = is_equal && is_same(a->layers[l].at[i], b->layers[l].at[i]);
    return is_equal;
}

static unsigned n_flipped, n_equal;

static void flip_fixture(const char *name, const struct json_object *fixture)
{
    static struct model_config c;
    struct buf text = {0}, header = {0};
    struct weights_plan good, p;
    struct safetensors good_table, s;
    struct err e = {0};

    if (strcmp(name, "llama3.json") != 0)
        return;
    config_fixture_text(fixture, "published", &text);
    assert_int_equal(model_config_parse(&c, text.data, text.len, &e), 0);
    uint64_t bytes = make_header(&header, json_get(fixture, "saved"), SIZE_MAX, BEND_NONE);
    assert_int_equal(plan_header(&good, &good_table, &c, header.data, header.len, bytes, &e), 0);
    for (size_t bit = 0; bit < header.len * 8; bit++) {
        header.data[bit / 8] ^= (char)(1 << bit % 8);
        e = (struct err){0};
        int rc = plan_header(&p, &s, &c, header.data, header.len, bytes, &e);
        if (rc == 0 ? !is_same_plan(&good, &p) : e.text[0] == '\0')
            fail_msg("bit %zu: another plan", bit);
        n_flipped++;
        n_equal += rc == 0;
        weights_plan_free(&p);
        safetensors_close(&s);
        header.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    weights_plan_free(&good);
    safetensors_close(&good_table);
    buf_free(&header);
    buf_free(&text);
}

static void survives_every_flipped_bit(void **state)
{
    (void)state;
    config_fixtures_walk(flip_fixture);
    assert_true(n_flipped > 10000);
    assert_true(n_equal < 100);
}

/* --- the report --- */

static void reports_what_is_left_aside(void **state)
{
    static const char config[] =
        "{\"model_type\":\"llama\",\"vocab_size\":2,\"hidden_size\":4,\"num_hidden_layers\":1,"
        "\"max_position_embeddings\":9,\"num_attention_heads\":2,\"intermediate_size\":2}";
    static const char *const names[][2] = {
        {"model.embed_tokens.weight", "[2,4]"},
        {"model.norm.weight", "[4]"},
        {"lm_head.weight", "[2,4]"},
        {"model.layers.0.input_layernorm.weight", "[4]"},
        {"model.layers.0.post_attention_layernorm.weight", "[4]"},
        {"model.layers.0.self_attn.q_proj.weight", "[4,4]"},
        {"model.layers.0.self_attn.k_proj.weight", "[4,4]"},
        {"model.layers.0.self_attn.v_proj.weight", "[4,4]"},
        {"model.layers.0.self_attn.o_proj.weight", "[4,4]"},
        {"model.layers.0.mlp.gate_proj.weight", "[2,4]"},
        {"model.layers.0.mlp.up_proj.weight", "[2,4]"},
        {"model.layers.0.mlp.down_proj.weight", "[4,2]"},
        {"model.layers.0.self_attn.rotary_emb.inv_freq", "[4]"},
        {"mtp.fc.weight", "[4]"},
        {"mtp.norm.weight", "[4]"},
        {"model.layers.0.self_attn.o_proj.bias", "[4]"},
    };
    static struct model_config c;
    struct weights_plan p;
    struct safetensors s;
    struct buf list = {0}, header = {0}, line = {0};
    struct json_object *root;
    struct err e = {0};
    (void)state;

    assert_int_equal(model_config_parse(&c, config, strlen(config), &e), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        buf_printf(&list, "%c[\"%s\",%s]", i == 0 ? '[' : ',', names[i][0], names[i][1]);
    buf_add_char(&list, ']');
    assert_int_equal(json_parse(list.data, list.len, &root, &e), 0);
    uint64_t bytes = make_header(&header, root, SIZE_MAX, BEND_NONE);
    assert_int_equal(plan_header(&p, &s, &c, header.data, header.len, bytes, &e), 0);
    weights_plan_describe(&p, &line);
    assert_string_equal(
        buf_text(&line),
        "12 tensors, 232 bytes"
        "; left aside: 2 of multi-token prediction (mtp.fc.weight, ...), 16 bytes"
        "; left aside: 1 rotary tables (model.layers.0.self_attn.rotary_emb.inv_freq), 8 bytes"
        "; left aside: 1 unexpected (model.layers.0.self_attn.o_proj.bias), 8 bytes");
    weights_plan_free(&p);
    safetensors_close(&s);
    json_free(&root);
    buf_free(&list);
    buf_free(&header);
    buf_free(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_transformers),
        cmocka_unit_test(survives_every_flipped_bit),
        cmocka_unit_test(reports_what_is_left_aside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

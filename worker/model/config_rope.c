#include "worker/model/config_read.h"

#include <errno.h>
#include <string.h>

#define FACTOR_MAX 1e6

/* X(member of rope_parameters or rope_scaling) */
#define ROPE_KEYS(X) \
    X("rope_type") \
    X("type") \
    X("rope_theta") \
    X("partial_rotary_factor") \
    X("factor") \
    X("original_max_position_embeddings") \
    X("low_freq_factor") \
    X("high_freq_factor") \
    X("beta_fast") \
    X("beta_slow") \
    X("attention_factor") \
    X("mscale") \
    X("mscale_all_dim") \
    X("truncate") /* text has one position, whatever the sections: */ \
    X("mrope_section") \
    X("mrope_interleaved")

static int check_rope_keys(const struct json_object *rope, struct err *e)
{
#define X(key) key,
    static const char *const known[] = { ROPE_KEYS(X) };
#undef X
    struct json_iterator it = json_members(rope);

    while (json_next(&it)) {
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && strcmp(it.key, known[i]) != 0)
            i++;
        if (i == sizeof known / sizeof known[0] && it.value != NULL)
            return err_set(e, EINVAL,
                           "rope_parameters: %.60s: found a key that this version does not know, "
                           "expected none that may change what the model computes",
                           config_printable(it.key));
    }
    return 0;
}

static int read_kind(struct model_rope *r, const struct json_object *rope, struct err *e)
{
    static const char *const names[] = {
        [ROPE_DEFAULT] = "default",
        [ROPE_LINEAR] = "linear",
        [ROPE_LLAMA3] = "llama3",
        [ROPE_YARN] = "yarn",
    };
    const struct json_object *v = json_get(rope, "rope_type");

    if (v == NULL)
        v = json_get(rope, "type");
    if (v == NULL)
        return 0;
    if (json_type_of(v) == JSON_STRING) {
        size_t len;
        const char *name = json_string(v, &len);
        for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
            if (len == strlen(names[i]) && memcmp(name, names[i], len) == 0) {
                r->kind = (enum rope_kind)i;
                return 0;
            }
        }
    }
    struct buf text = {0};
    json_write(v, &text);
    int rc = err_set(e, EINVAL, "rope_type: found %.60s, expected default, linear, llama3 or yarn",
                     buf_text(&text));
    buf_free(&text);
    return rc;
}

static int read_scaling(struct model_rope *r, const struct json_object *rope,
                        const struct json_object *text, uint32_t max_positions, struct err *e)
{
    r->original_positions = max_positions;
    int rc = config_read_double(rope, "factor", 1e-3, FACTOR_MAX, &r->factor, e);
    if (rc == 0)
        rc = config_read_double(rope, "original_max_position_embeddings", 1, 1 << 30,
                                &r->original_positions, e);
    if (rc == 0) /* this one wins, as in transformers */
        rc = config_read_double(text, "original_max_position_embeddings", 1, 1 << 30,
                                &r->original_positions, e);
    if (rc == 0 && !(r->factor > 0) && r->kind == ROPE_YARN)
        r->factor = max_positions / r->original_positions;
    if (rc == 0 && !(r->factor > 0))
        rc = err_set(e, EINVAL, "rope_parameters: factor: found none, expected a number");
    return rc;
}

static int read_llama3(struct model_rope *r, const struct json_object *rope, struct err *e)
{
    int rc = config_read_double(rope, "low_freq_factor", 1e-3, FACTOR_MAX, &r->low_freq_factor, e);

    if (rc == 0)
        rc =
            config_read_double(rope, "high_freq_factor", 1e-3, FACTOR_MAX, &r->high_freq_factor, e);
    if (rc == 0 && !(r->low_freq_factor > 0 && r->high_freq_factor > r->low_freq_factor))
        rc = err_set(e, EINVAL,
                     "rope_parameters: found low_freq_factor %.6g and high_freq_factor %.6g, "
                     "expected both, the high above the low",
                     r->low_freq_factor, r->high_freq_factor);
    return rc;
}

static int read_yarn(struct model_rope *r, const struct json_object *rope, struct err *e)
{
    r->beta_fast = 32;
    r->beta_slow = 1;
    r->is_truncated = true;
    int rc = config_read_double(rope, "beta_fast", 1e-3, FACTOR_MAX, &r->beta_fast, e);
    if (rc == 0)
        rc = config_read_double(rope, "beta_slow", 1e-3, FACTOR_MAX, &r->beta_slow, e);
    if (rc == 0)
        rc =
            config_read_double(rope, "attention_factor", 1e-3, FACTOR_MAX, &r->attention_factor, e);
    if (rc == 0)
        rc = config_read_double(rope, "mscale", 0, FACTOR_MAX, &r->mscale, e);
    if (rc == 0)
        rc = config_read_double(rope, "mscale_all_dim", 0, FACTOR_MAX, &r->mscale_all_dim, e);
    if (rc == 0)
        rc = config_read_bool(rope, "truncate", &r->is_truncated, e);
    if (rc == 0 && r->beta_fast < r->beta_slow)
        rc = err_set(e, EINVAL,
                     "rope_parameters: found beta_fast %.6g below beta_slow %.6g, expected the "
                     "other order",
                     r->beta_fast, r->beta_slow);
    return rc;
}

static int read_base(struct model_config *c, const struct json_object *rope,
                     const struct json_object *text, struct err *e)
{
    double part = model_config_has(c, FAMILY_QUARTER_ROTARY) ? 0.25 : 1.0;
    struct model_rope *r = &c->rope;

    r->theta = 10000;
    int rc = config_read_double(text, "rope_theta", 1.001, 1e15, &r->theta, e);
    if (rc == 0) /* inside wins */
        rc = config_read_double(rope, "rope_theta", 1.001, 1e15, &r->theta, e);
    if (rc == 0)
        rc = config_read_double(text, "partial_rotary_factor", 0, 1, &part, e);
    if (rc == 0)
        rc = config_read_double(rope, "partial_rotary_factor", 0, 1, &part, e);
    if (rc != 0)
        return rc;
    r->rotated = (uint32_t)(c->head_dim * part);
    if (r->rotated < 2 || r->rotated % 2 != 0)
        return err_set(e, EINVAL,
                       "partial_rotary_factor: found %.6g of head_dim %u, expected an even number "
                       "of dimensions",
                       part, c->head_dim);
    return 0;
}

/* rope_scaling is the older spelling and, as in transformers, wins when it says something. */
int config_read_rope(struct model_config *c, const struct json_object *text, struct err *e)
{
    static const char *const names[] = {"rope_parameters", "rope_scaling"};
    const struct json_object *rope = NULL;
    uint32_t max_positions = c->max_positions;
    int rc = 0;

    for (size_t i = 0; i < 2; i++) {
        const struct json_object *o = json_get(text, names[i]);
        if (o != NULL && json_type_of(o) != JSON_OBJECT)
            return err_set(e, EINVAL, "%s: found %s, expected an object", names[i],
                           json_type_name(json_type_of(o)));
        if (json_length(o) > 0)
            rope = o;
        rc = check_rope_keys(o, e);
        if (rc != 0)
            return rc;
    }
    rc = read_kind(&c->rope, rope, e);
    if (rc == 0)
        rc = read_base(c, rope, text, e);
    if (rc == 0 && c->rope.kind != ROPE_DEFAULT)
        rc = read_scaling(&c->rope, rope, text, max_positions, e);
    if (rc == 0 && c->rope.kind == ROPE_LLAMA3)
        rc = read_llama3(&c->rope, rope, e);
    if (rc == 0 && c->rope.kind == ROPE_YARN)
        rc = read_yarn(&c->rope, rope, e);
    return rc;
}

#include "worker/model/generation.h"

#include "base/json.h"
#include "worker/model/config_read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FILE_NAME "generation_config.json"
#define FILE_MAX  ((size_t)1 << 20)

/* Keys of the file that change what is drawn and have no counterpart here. */
static const char *const followed_by_none[] = {
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "guidance_scale",
    "length_penalty",
    "min_length",
    "min_new_tokens",
    "no_repeat_ngram_size",
    "num_beams",
    "penalty_alpha",
    "sequence_bias",
    "stop_strings",
    "suppress_tokens",
    "top_h",
    "typical_p",
};

static void start(struct generation *g, const struct model_config *c)
{
    *g = (struct generation){
        .n_eos = c->n_eos,
        .temperature = 1,
        .top_p = 1,
        .repetition_penalty = 1,
    };
    memcpy(g->eos, c->eos, sizeof g->eos);
}

/* Values that switch a feature off, as transformers writes them. */
static bool is_off(const struct json_object *v)
{
    double n = json_type_of(v) == JSON_NUMBER ? json_number(v) : -1;

    return v == NULL || (json_type_of(v) == JSON_BOOL && !json_bool(v)) ||
           (json_type_of(v) == JSON_ARRAY && json_length(v) == 0) || n == 0.0 || n == 1.0;
}

static void note_ignored(struct generation *g, const struct json_object *root)
{
    for (size_t i = 0; i < sizeof followed_by_none / sizeof followed_by_none[0]; i++) {
        size_t at = strlen(g->ignored);
        if (!is_off(json_get(root, followed_by_none[i])))
            snprintf(g->ignored + at, sizeof g->ignored - at, "%s%s", at > 0 ? ", " : "",
                     followed_by_none[i]);
    }
}

static int read_generation(struct generation *g, const struct model_config *c,
                           const struct json_object *root, struct err *e)
{
    if (json_type_of(root) != JSON_OBJECT)
        return err_set(e, EINVAL, "found %s, expected an object",
                       json_type_name(json_type_of(root)));
    int rc = config_read_eos(root, c->vocab_size, &g->n_eos, g->eos, e);
    if (rc == 0)
        rc = config_read_double(root, "temperature", 0, 100, &g->temperature, e);
    if (rc == 0)
        rc = config_read_double(root, "top_p", 0, 1, &g->top_p, e);
    if (rc == 0)
        rc = config_read_double(root, "min_p", 0, 1, &g->min_p, e);
    if (rc == 0)
        rc = config_read_double(root, "repetition_penalty", 1e-3, 1000, &g->repetition_penalty, e);
    if (rc == 0)
        rc = config_read_u32(root, "top_k", 0, UINT32_MAX, &g->top_k, e);
    if (rc == 0)
        rc = config_read_bool(root, "do_sample", &g->is_sampled, e);
    g->has_is_sampled = json_get(root, "do_sample") != NULL;
    note_ignored(g, root);
    return rc;
}

int generation_parse(struct generation *g, const struct model_config *c, const char *json, size_t len,
                     struct err *e)
{
    struct json_object *root = NULL;

    start(g, c);
    int rc = json_parse(json, len, &root, e);
    if (rc == 0)
        rc = read_generation(g, c, root, e);
    json_free(&root);
    if (rc != 0)
        err_prefix(e, FILE_NAME);
    return rc;
}

int generation_load(struct generation *g, const struct model_config *c, const struct root *root,
                    struct err *e)
{
    struct buf text = {0};
    int rc = root_read_all(root, FILE_NAME, FILE_MAX, &text, e);

    if (rc == 0)
        rc = generation_parse(g, c, text.data, text.len, e);
    else if (rc == -ENOENT) {
        start(g, c);
        rc = 0;
    }
    buf_free(&text);
    return rc;
}

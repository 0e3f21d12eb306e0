#include "worker/text/tokenizer_post.h"

#include "worker/text/tokenizer_json.h"
#include "worker/text/tokenizer_vocab.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* While the file is read. */
struct reading {
    struct post *post;
    uint32_t n_ids;
    bool has_template; /* or another that adds ids: a second one would see pieces of it */
};

static int add_id(struct reading *r, struct token_ids *to, const struct json_object *v,
                  struct err *e)
{
    if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 0 ||
        json_integer(v) >= (int64_t)r->n_ids)
        return err_set(e, EINVAL, "found no id of a token, expected one below %" PRIu32, r->n_ids);
    if (to->n == 1024)
        return err_set(e, E2BIG, "found more than 1024 ids to add");
    token_ids_add(to, (uint32_t)json_integer(v));
    return 0;
}

static int begin_template(struct reading *r, struct err *e)
{
    if (r->has_template)
        return err_set(e, EINVAL, "found a second one that adds ids, expected one");
    r->has_template = true;
    return 0;
}

/* --- TemplateProcessing --- */

/* {"SpecialToken": {"id": NAME}}: the ids that special_tokens has under that name. */
static int add_special(struct reading *r, struct token_ids *to, const struct json_object *piece,
                       const struct json_object *specials, struct err *e)
{
    char quoted[TOKENIZER_QUOTED_MAX];
    const struct json_object *ids;
    const char *name;
    size_t len;
    int rc = tokenizer_read_string(piece, "id", &name, &len, e);

    if (rc != 0)
        return rc;
    const struct json_object *special = json_type_of(specials) == JSON_OBJECT && strlen(name) == len
                                            ? json_get(specials, name)
                                            : NULL;
    if (json_type_of(special) != JSON_OBJECT)
        return err_set(e, EINVAL, "found %s, which special_tokens does not have",
                       tokenizer_quote(quoted, name, len));
    rc = tokenizer_read_array(special, "ids", &ids, e);
    for (size_t i = 0; rc == 0 && i < json_length(ids); i++)
        rc = add_id(r, to, json_at(ids, i), e);
    return rc;
}

static int add_piece(struct reading *r, const struct json_object *o, bool *has_text,
                     const struct json_object *specials, struct err *e)
{
    int rc = tokenizer_check_members(o, "SpecialToken Sequence", e);
    const struct json_object *special = rc == 0 ? json_get(o, "SpecialToken") : NULL;
    const struct json_object *sequence = rc == 0 ? json_get(o, "Sequence") : NULL;
    const char *name;
    size_t len;

    if (rc != 0)
        return rc;
    if (json_type_of(special) == JSON_OBJECT)
        return add_special(r, *has_text ? &r->post->behind : &r->post->before, special, specials,
                           e);
    if (json_type_of(sequence) != JSON_OBJECT)
        return err_set(e, EINVAL, "found no piece, expected SpecialToken or Sequence");
    rc = tokenizer_read_string(sequence, "id", &name, &len, e);
    if (rc == 0 && (*has_text || strcmp(name, "A") != 0))
        rc = err_set(e, EINVAL, "Sequence: found another one than A, once, expected only that");
    *has_text = true;
    return rc;
}

static int read_template(void *to, const struct json_object *o, struct err *e)
{
    struct reading *r = to;
    const struct json_object *single;
    bool has_text = false;
    int rc = begin_template(r, e);

    if (rc == 0)
        rc = tokenizer_read_array(o, "single", &single, e);
    for (size_t i = 0; rc == 0 && i < json_length(single); i++) {
        rc = add_piece(r, json_at(single, i), &has_text, json_get(o, "special_tokens"), e);
        if (rc != 0)
            err_prefix(e, "single[%zu]", i);
    }
    if (rc == 0 && !has_text)
        rc = err_set(e, EINVAL, "single: found no Sequence A, expected one");
    return rc;
}

/* --- the others --- */

/* "sep": [TEXT, ID] */
static int read_token(struct reading *r, struct token_ids *to, const struct json_object *o,
                      const char *name, struct err *e)
{
    const struct json_object *pair;
    int rc = tokenizer_read_array(o, name, &pair, e);

    if (rc == 0 && json_length(pair) != 2)
        rc = err_set(e, EINVAL, "found %zu elements, expected a text and an id", json_length(pair));
    if (rc == 0)
        rc = add_id(r, to, json_at(pair, 1), e);
    if (rc != 0)
        err_prefix(e, "%s", name);
    return rc;
}

static int read_cls_sep(void *to, const struct json_object *o, struct err *e)
{
    struct reading *r = to;
    int rc = begin_template(r, e);

    if (rc == 0)
        rc = read_token(r, &r->post->before, o, "cls", e);
    return rc == 0 ? read_token(r, &r->post->behind, o, "sep", e) : rc;
}

/* Changes offsets only. */
static int read_byte_level(void *to, const struct json_object *o, struct err *e)
{
    (void)to;
    (void)o;
    (void)e;
    return 0;
}

static int read_sequence(void *to, const struct json_object *o, struct err *e);

/* X(type in the file, its members, function) */
#define STEPS(X) \
    X("TemplateProcessing", "type single pair special_tokens", read_template) \
    X("ByteLevel", "type add_prefix_space trim_offsets use_regex", read_byte_level) \
    X("BertProcessing", "type sep cls", read_cls_sep) \
    X("RobertaProcessing", "type sep cls trim_offsets add_prefix_space", read_cls_sep) \
    X("Sequence", "type processors", read_sequence)

#define X(type, members, read) {type, members, read},
static const struct tokenizer_step steps[] = {STEPS(X)};
#undef X
#define N_STEPS (sizeof steps / sizeof steps[0])

static int read_sequence(void *to, const struct json_object *o, struct err *e)
{
    return tokenizer_read_steps(steps, N_STEPS, o, "processors", to, e);
}

int post_read(struct post *p, const struct json_object *o, uint32_t n_ids, struct err *e)
{
    struct reading r = {.post = p, .n_ids = n_ids};

    *p = (struct post){0};
    if (o == NULL)
        return 0;
    int rc = tokenizer_read_step(steps, N_STEPS, o, &r, e);
    if (rc != 0)
        post_free(p);
    return rc;
}

void post_free(struct post *p)
{
    token_ids_free(&p->before);
    token_ids_free(&p->behind);
}

#include "worker/text/chat_template.h"

#include "base/check.h"
#include "base/json.h"
#include "worker/text/jinja.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* SPECIAL_TOKENS_ATTRIBUTES of transformers. */
static const char *const token_names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};
#define TOKENS_N (sizeof token_names / sizeof token_names[0])

/* What every conversation sets; an argument of the request must not bear these names. */
static const char *const own_names[] = {"messages", "tools", "documents", "add_generation_prompt"};
#define OWN_N (sizeof own_names / sizeof own_names[0])

struct chat_template {
    struct jinja *jinja;
    struct buf token[TOKENS_N];
    bool has_token[TOKENS_N];
};

static void copy_tokens(struct chat_template *t, const struct json_object *special_tokens)
{
    for (size_t i = 0; i < TOKENS_N; i++) {
        const struct json_object *token =
            special_tokens != NULL ? json_get(special_tokens, token_names[i]) : NULL;
        size_t len;
        if (json_type_of(token) == JSON_OBJECT)
            token = json_get(token, "content");
        if (json_type_of(token) != JSON_STRING)
            continue;
        const char *text = json_string(token, &len);
        buf_add(&t->token[i], text, len);
        t->has_token[i] = true;
    }
}

int chat_template_new(const char *text, size_t len, const struct json_object *special_tokens,
                      struct chat_template **out, struct err *e)
{
    struct chat_template *t = calloc(1, sizeof *t);

    *out = NULL;
    CHECK(t != NULL);
    int rc = jinja_compile(text, len, &t->jinja, e);
    if (rc != 0) {
        err_prefix(e, "chat template");
        chat_template_free(&t);
        return rc;
    }
    copy_tokens(t, special_tokens);
    *out = t;
    return 0;
}

void chat_template_free(struct chat_template **t)
{
    if (*t == NULL)
        return;
    jinja_free(&(*t)->jinja);
    for (size_t i = 0; i < TOKENS_N; i++)
        buf_free(&(*t)->token[i]);
    free(*t);
    *t = NULL;
}

static struct jinja_var json_var(const char *name, const struct json_object *o)
{
    return (struct jinja_var){.name = name, .kind = JINJA_JSON, .json = o};
}

static size_t add_own(const struct chat_input *in, struct jinja_var *vars)
{
    vars[0] =
        (struct jinja_var){.name = own_names[0], .kind = JINJA_MESSAGES, .json = in->messages};
    vars[1] = json_var(own_names[1], in->tools);
    vars[2] = json_var(own_names[2], in->documents);
    vars[3] = (struct jinja_var){
        .name = own_names[3], .kind = JINJA_BOOL, .is_true = in->add_generation_prompt};
    return OWN_N;
}

static size_t add_tokens(const struct chat_template *t, struct jinja_var *vars)
{
    size_t n = 0;

    for (size_t i = 0; i < TOKENS_N; i++)
        if (t->has_token[i])
            vars[n++] = (struct jinja_var){.name = token_names[i],
                                           .kind = JINJA_TEXT,
                                           .text = t->token[i].len > 0 ? t->token[i].data : "",
                                           .text_len = t->token[i].len};
    return n;
}

static int add_arguments(const struct json_object *arguments, struct jinja_var *vars, size_t *n,
                         struct err *e)
{
    for (struct json_iterator it = json_members(arguments); json_next(&it);) {
        for (size_t i = 0; i < OWN_N; i++)
            if (strcmp(it.key, own_names[i]) == 0)
                return err_set(e, EINVAL, "chat_template_kwargs: '%s' is set by the request itself",
                               it.key);
        vars[(*n)++] = json_var(it.key, it.value);
    }
    return 0;
}

int chat_template_render(const struct chat_template *t, const struct chat_input *in,
                         struct buf *out, struct err *e)
{
    size_t n_arguments = in->arguments != NULL ? json_length(in->arguments) : 0, n;
    struct jinja_var *vars = calloc(OWN_N + TOKENS_N + n_arguments, sizeof *vars);
    int rc = 0;

    CHECK(vars != NULL);
    n = add_own(in, vars);
    n += add_tokens(t, vars + n);
    if (json_type_of(in->arguments) == JSON_OBJECT)
        rc = add_arguments(in->arguments, vars, &n, e);
    else if (in->arguments != NULL)
        rc = err_set(e, EINVAL, "chat_template_kwargs: found %s, expected object",
                     json_type_name(json_type_of(in->arguments)));
    if (rc == 0) {
        struct jinja_input input = {.vars = vars, .n_vars = n, .now_s = in->now_s};
        rc = jinja_render(t->jinja, &input, out, e);
        if (rc != 0)
            err_prefix(e, "chat template");
    }
    free(vars);
    return rc;
}

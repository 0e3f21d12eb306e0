#include "worker/engine/prompt.h"

#include "worker/engine/system_turns.h"

#include "base/json.h"

#include <errno.h>
#include <string.h>

#define CONFIG_FILE_MAX   (16u << 20)
#define TEMPLATE_FILE_MAX (256u << 10)

static int read_config(const struct root *root, struct json_object **out, struct err *e)
{
    struct buf text = {0};
    int rc = root_read_all(root, "tokenizer_config.json", CONFIG_FILE_MAX, &text, e);

    *out = NULL;
    if (rc == 0 && (rc = json_parse(text.data, text.len, out, e)) != 0)
        err_prefix(e, "tokenizer_config.json");
    if (rc == 0 && json_type_of(*out) != JSON_OBJECT)
        rc = err_set(e, EINVAL, "tokenizer_config.json: found %s, expected an object",
                     json_type_name(json_type_of(*out)));
    buf_free(&text);
    return rc == -ENOENT ? 0 : rc;
}

/* "chat_template": a text, or an array of named ones of which "default" counts. */
static const struct json_object *find_template(const struct json_object *config)
{
    const struct json_object *t = config != NULL ? json_get(config, "chat_template") : NULL;

    if (t == NULL || json_type_of(t) != JSON_ARRAY)
        return t;
    for (size_t i = 0; i < json_length(t); i++) {
        const struct json_object *entry = json_at(t, i);
        const struct json_object *name =
            json_type_of(entry) == JSON_OBJECT ? json_get(entry, "name") : NULL;
        if (name != NULL && json_type_of(name) == JSON_STRING &&
            strcmp(json_string(name, NULL), "default") == 0)
            return json_get(entry, "template");
    }
    return NULL;
}

/* The file wins over the configuration, as in transformers. -ENOENT without a sentence: no
 * template. */
static int read_template(const struct root *root, const struct json_object *config, struct buf *out,
                         struct err *e)
{
    int rc = root_read_all(root, "chat_template.jinja", TEMPLATE_FILE_MAX, out, e);

    if (rc != -ENOENT)
        return rc;
    *e = (struct err){0};
    const struct json_object *t = find_template(config);
    if (t == NULL)
        return -ENOENT;
    if (json_type_of(t) != JSON_STRING)
        return err_set(e, EINVAL, "tokenizer_config.json: chat_template: found %s, expected string",
                       json_type_name(json_type_of(t)));
    size_t len;
    const char *text = json_string(t, &len);
    if (len > TEMPLATE_FILE_MAX)
        return err_set(e, EFBIG,
                       "tokenizer_config.json: chat_template: %zu bytes, expected at "
                       "most %u",
                       len, TEMPLATE_FILE_MAX);
    buf_add(out, text, len);
    return 0;
}

/* A template that asks what content is can read an array of parts. */
static bool reads_parts(const char *text)
{
    static const char *const marks[] = {"is string", "is iterable", "is sequence", "is mapping",
                                        "is not string"};

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (strstr(text, marks[i]) != NULL)
            return true;
    return false;
}

static int load_template(struct language *l, const struct root *root,
                         const struct json_object *config, struct err *e)
{
    struct buf text = {0};
    int rc = read_template(root, config, &text, e);

    if (rc == 0)
        rc = chat_template_new(text.data, text.len, config, &l->chat_template, e);
    if (rc == 0) {
        l->takes_parts = reads_parts(buf_text(&text));
        l->takes_system_turns = system_turns_are_known(l->chat_template);
        l->reasons = call_form_reasons(l->chat_template);
        call_form_find(&l->call_form, l->chat_template);
        l->shows_tools =
            l->call_form.kind != CALL_FORM_NONE && call_form_shows_tools(l->chat_template);
    }
    buf_free(&text);
    return rc == -ENOENT && e->code == 0 ? 0 : rc;
}

int language_load(struct language *l, const struct root *root, uint32_t vocab, struct err *e)
{
    struct json_object *config = NULL;

    *l = (struct language){.vocab = vocab};
    int rc = tokenizer_load(root, &l->tokenizer, e);
    if (rc == 0 && tokenizer_vocab(l->tokenizer) > vocab)
        rc = err_set(e, EINVAL, "tokenizer.json: found token id %u, but the model has %u tokens",
                     tokenizer_vocab(l->tokenizer) - 1, vocab);
    if (rc == 0)
        rc = read_config(root, &config, e);
    if (rc == 0)
        rc = load_template(l, root, config, e);
    json_free(&config);
    if (rc != 0) {
        language_free(l);
        return rc;
    }
    l->forms = forms_new(l->tokenizer, vocab);
    l->think_start = tokenizer_find_added(l->tokenizer, "<think>", 7);
    l->think_end = tokenizer_find_added(l->tokenizer, "</think>", 8);
    return 0;
}

void language_free(struct language *l)
{
    tokenizer_free(&l->tokenizer);
    chat_template_free(&l->chat_template);
    call_form_free(&l->call_form);
    forms_free(&l->forms);
    *l = (struct language){0};
}

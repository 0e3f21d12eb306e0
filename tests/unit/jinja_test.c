/* Templates against jinja2 and transformers: see tests/golden/make_jinja_fixtures.py. */
#include "base/json.h"
#include "worker/text/chat_template.h"
#include "worker/text/jinja.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#define VARS_MAX 64

/* The file, or NULL when it is not there. */
static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    struct stat st;

    if (f == NULL)
        return NULL;
    assert_int_equal(fstat(fileno(f), &st), 0);
    char *data = malloc((size_t)st.st_size + 1);
    assert_non_null(data);
    *len = fread(data, 1, (size_t)st.st_size, f);
    assert_int_equal(*len, (size_t)st.st_size);
    fclose(f);
    return data;
}

static struct json_object *read_fixture(const char *name)
{
    char path[4096];
    struct json_object *root;
    struct err e = {0};
    size_t len;

    snprintf(path, sizeof path, "%s/%s", FIXTURES, name);
    char *text = read_file(path, &len);
    if (text == NULL)
        fail_msg("%s is missing", path);
    if (json_parse(text, len, &root, &e) != 0)
        fail_msg("%s: %s", path, e.text);
    free(text);
    return root;
}

static const char *text_of(const struct json_object *o, const char *key, size_t *len)
{
    return json_string(json_get(o, key), len);
}

/* The fixture's output, or its failure. False, with a complaint, when we see it otherwise. */
static bool is_as_expected(const struct json_object *row, const char *what, int rc,
                           const struct buf *out, const struct err *e)
{
    const struct json_object *expected = json_get(row, "output");
    size_t len = 0;
    const char *text = expected != NULL ? json_string(expected, &len) : NULL;

    if (expected == NULL && (rc == -EINVAL || rc == -E2BIG))
        return true;
    if (expected != NULL && rc == 0 && buf_pending(out) == len &&
        (len == 0 || memcmp(out->data, text, len) == 0))
        return true;
    fprintf(stderr, "%s\n  expected %s: %s\n", what, expected != NULL ? "output" : "failure",
            expected != NULL                 ? text
            : json_get(row, "error") != NULL ? json_string(json_get(row, "error"), NULL)
                                             : "refused");
    fprintf(stderr, "  found    %s: %.*s\n", rc == 0 ? "output" : "failure",
            rc == 0 ? (int)buf_pending(out) : 500,
            rc == 0 ? (out->data != NULL ? out->data : "") : e->text);
    return false;
}

/* --- small templates --- */

static size_t add_vars(struct jinja_var *vars, size_t n, const struct json_object *context)
{
    for (struct json_iterator it = json_members(context); json_next(&it);) {
        assert_true(n < VARS_MAX);
        vars[n++] = (struct jinja_var){.name = it.key, .kind = JINJA_JSON, .json = it.value};
    }
    return n;
}

static bool names_line(const struct json_object *row, const struct err *e)
{
    const struct json_object *line = json_get(row, "line");

    return line == NULL || e->code == 0 ||
           (size_t)json_integer(line) == strtoul(e->text + strlen("line "), NULL, 10);
}

static bool check_small(const struct json_object *row, const struct json_object *context,
                        int64_t now_s)
{
    struct jinja_var vars[VARS_MAX];
    size_t n = add_vars(vars, 0, context), len;
    const char *template = text_of(row, "template", &len);
    struct err e = {0};
    struct buf out = {0};
    struct jinja *t;

    if (json_get(row, "context") != NULL)
        n = add_vars(vars, n, json_get(row, "context"));
    int rc = jinja_compile(template, len, &t, &e);
    if (rc == 0) {
        struct jinja_input in = {.vars = vars, .n_vars = n, .now_s = now_s};
        rc = jinja_render(t, &in, &out, &e);
    }
    bool is_good = is_as_expected(row, template, rc, &out, &e);
    if (is_good && !names_line(row, &e)) {
        fprintf(stderr, "%s\n  expected line %lld, found: %s\n", template,
                (long long)json_integer(json_get(row, "line")), e.text);
        is_good = false;
    }
    jinja_free(&t);
    buf_free(&out);
    return is_good;
}

static void small_templates(void **state)
{
    struct json_object *root = read_fixture("jinja_small.json");
    const struct json_object *cases = json_get(root, "cases");
    size_t bad = 0;

    (void)state;
    assert_true(json_length(cases) > 1000);
    for (size_t i = 0; i < json_length(cases); i++)
        bad += !check_small(json_at(cases, i), json_get(root, "context"),
                            json_integer(json_get(root, "now")));
    print_message("%zu templates\n", json_length(cases));
    json_free(&root);
    assert_int_equal(bad, 0);
}

/* --- published templates --- */

static struct chat_template *load_published(const char *name, const struct json_object *tokens)
{
    char path[4096];
    struct chat_template *t;
    struct err e = {0};
    size_t len;

    snprintf(path, sizeof path, "%s/%s", TEMPLATES, name);
    char *text = read_file(path, &len);
    if (text == NULL)
        return NULL;
    if (chat_template_new(text, len, tokens, &t, &e) != 0)
        fail_msg("%s: %s", name, e.text);
    free(text);
    return t;
}

static bool check_chat(const struct json_object *root, const struct json_object *row,
                       const struct chat_template *t)
{
    const struct json_object *chat =
        json_at(json_get(root, "chats"), (size_t)json_integer(json_get(row, "chat")));
    struct chat_input in = {
        .messages = json_get(chat, "messages"),
        .tools = json_get(chat, "tools"),
        .documents = json_get(chat, "documents"),
        .arguments = json_get(row, "arguments"),
        .add_generation_prompt = json_bool(json_get(row, "add_generation_prompt")),
        .now_s = json_integer(json_get(root, "now")),
    };
    struct err e = {0};
    struct buf out = {0};
    char what[400];

    snprintf(what, sizeof what, "%s, conversation %d", text_of(row, "template", NULL),
             (int)json_integer(json_get(row, "chat")));
    int rc = chat_template_render(t, &in, &out, &e);
    bool is_good = is_as_expected(row, what, rc, &out, &e);
    buf_free(&out);
    return is_good;
}

static void published_templates(void **state)
{
    struct json_object *root = read_fixture("jinja_chat.json");
    const struct json_object *results = json_get(root, "results");
    struct chat_template *t = NULL;
    const char *name = "";
    size_t bad = 0, seen = 0;

    (void)state;
    for (size_t i = 0; i < json_length(results); i++) {
        const struct json_object *row = json_at(results, i);
        if (strcmp(name, text_of(row, "template", NULL)) != 0) {
            chat_template_free(&t);
            name = text_of(row, "template", NULL);
            t = load_published(name, json_get(root, "tokens"));
            if (t == NULL)
                print_message("%s/%s is not there: its conversations are skipped\n", TEMPLATES,
                              name);
        }
        if (t != NULL) {
            bad += !check_chat(root, row, t);
            seen++;
        }
    }
    print_message("%zu prompts of %zu\n", seen, json_length(results));
    chat_template_free(&t);
    json_free(&root);
    assert_int_equal(bad, 0);
    if (seen == 0)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_templates),
        cmocka_unit_test(published_templates),
    };
    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The checkpoints of tests/golden/make_fixtures.py: each is read, every tensor has its place, and
 * its template says what apply_chat_template said. */
#include "base/json.h"
#include "worker/io/safetensors.h"
#include "worker/model/config.h"
#include "worker/model/generation.h"
#include "worker/model/weights_plan.h"
#include "worker/text/chat_template.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef void use_checkpoint(const char *name, const struct root *root);

static unsigned walk(use_checkpoint *use)
{
    DIR *dir = opendir(CHECKPOINTS);
    struct dirent *entry;
    struct err e = {0};
    unsigned n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char path[sizeof CHECKPOINTS + 1 + sizeof entry->d_name];
        struct root root;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", CHECKPOINTS, entry->d_name);
        if (root_open(&root, path, &e) != 0)
            fail_msg("%s", e.text);
        use(entry->d_name, &root);
        root_close(&root);
        n++;
    }
    closedir(dir);
    return n;
}

static struct json_object *read_json(const struct root *root, const char *name)
{
    struct buf text = {0};
    struct json_object *o = NULL;
    struct err e = {0};

    if (root_read_all(root, name, 1 << 20, &text, &e) != 0 ||
        json_parse(text.data, text.len, &o, &e) != 0)
        fail_msg("%s", e.text);
    buf_free(&text);
    return o;
}

/* --- config and tensors --- */

static unsigned n_of_mtp, n_of_vision, n_sharded;

static void check_plan(const char *name, const struct root *root)
{
    static struct model_config c;
    struct generation g;
    struct safetensors s;
    struct weights_plan p;
    struct err e = {0};

    if (model_config_load(&c, root, &e) != 0 || generation_load(&g, &c, root, &e) != 0 ||
        safetensors_open(&s, root, &e) != 0 || weights_plan_make(&p, &c, &s, &e) != 0)
        fail_msg("%s: %s", name, e.text);
    if (p.aside[ASIDE_UNEXPECTED].n != 0)
        fail_msg("%s: %s is unexpected", name, p.aside[ASIDE_UNEXPECTED].first);
    assert_true(g.n_eos > 0);
    n_of_mtp += p.aside[ASIDE_MTP].n > 0;
    n_of_vision += p.aside[ASIDE_VISION].n > 0;
    n_sharded += s.n_files > 1;
    weights_plan_free(&p);
    safetensors_close(&s);
}

static void plans(void **state)
{
    (void)state;
    assert_true(walk(check_plan) >= 14);
    assert_true(n_of_mtp > 0 && n_of_vision > 0 && n_sharded > 0);
}

/* --- conversations --- */

static unsigned n_chats;

static void check_chat(const char *name, const struct chat_template *t,
                       const struct json_object *row)
{
    struct chat_input in = {
        .messages = json_get(row, "messages"),
        .tools = json_get(row, "tools"),
        .arguments = json_get(row, "arguments"),
        .add_generation_prompt = json_bool(json_get(row, "add_generation_prompt")),
    };
    struct buf out = {0};
    struct err e = {0};

    if (chat_template_render(t, &in, &out, &e) != 0)
        fail_msg("%s: %s", name, e.text);
    if (strcmp(buf_text(&out), json_string(json_get(row, "text"), NULL)) != 0)
        fail_msg("%s: conversation %u is\n%s", name, n_chats, buf_text(&out));
    buf_free(&out);
    n_chats++;
}

static void check_chats(const char *name, const struct root *root)
{
    struct json_object *expect = read_json(root, "expect.json");
    struct json_object *tokens = read_json(root, "tokenizer_config.json");
    const struct json_object *chats = json_get(expect, "chats");
    struct chat_template *t;
    struct buf text = {0};
    struct err e = {0};

    if (root_read_all(root, "chat_template.jinja", 1 << 20, &text, &e) != 0 ||
        chat_template_new(text.data, text.len, tokens, &t, &e) != 0)
        fail_msg("%s: %s", name, e.text);
    for (size_t i = 0; i < json_length(chats); i++)
        check_chat(name, t, json_at(chats, i));
    chat_template_free(&t);
    buf_free(&text);
    json_free(&tokens);
    json_free(&expect);
}

static void templates(void **state)
{
    (void)state;
    walk(check_chats);
    assert_true(n_chats > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(templates),
    };

    return cmocka_run_group_tests_name("checkpoints", tests, NULL, NULL);
}

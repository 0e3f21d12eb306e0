/* Templates that want too much end with an error, and soon; what is shared is not written. */
#include "base/json.h"
#include "worker/text/chat_template.h"
#include "worker/text/jinja.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int run(const char *text, size_t len, const struct jinja_input *in, struct buf *out,
               struct err *e)
{
    struct jinja *t;
    int rc = jinja_compile(text, len, &t, e);

    if (rc == 0)
        rc = jinja_render(t, in, out, e);
    jinja_free(&t);
    return rc;
}

static void expect(const char *text, int expected, const char *sentence)
{
    struct buf out = {0};
    struct err e = {0};

    buf_add_str(&out, "kept");
    int rc = run(text, strlen(text), &(struct jinja_input){0}, &out, &e);
    if (rc != expected || (sentence != NULL && strstr(e.text, sentence) == NULL))
        fail_msg("%.200s: %d %s", text, rc, e.text);
    if (rc != 0)
        assert_string_equal(buf_text(&out), "kept");
    buf_free(&out);
}

static void bombs(void **state)
{
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
         "steps"},
        {"{% for a in range(100000) %}{% for b in range(99999) if no %}{% endfor %}{% endfor %}",
         "steps"},
        {"{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% "
         "endfor %}",
         "4 MiB of text"},
        {"{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% "
         "endfor %}",
         "4 MiB of text"},
        {"{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor "
         "%}",
         "more than"},
        {"{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% "
         "endfor %}"
         "{{ n.x }}",
         "more than"},
        {"{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% "
         "endfor %}"
         "{{ n.x|tojson }}",
         "more than"},
        {"{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}"
         "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
         "steps"},
        {"{% set n = namespace(x=1) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}",
         "nested more than"},
        {"{% set n = namespace() %}{% set n.n = n %}{{ n }}", "more than"},
        {"{% set n = namespace() %}{% set n.l = [n] %}{{ n }}", "more than"},
        {"{% set n = namespace(x=[1]) %}{% for i in range(9999) %}{% set n.x = n.x|map('abs') %}"
         "{% endfor %}{{ n.x|list }}",
         "more than"},
        {"{{ 'a' * 1000000000000 }}", "4 MiB of text"},
        {"{{ '' * 1000000000000 }}{{ [0] * 1000000000000 }}", "more than"},
        {"{{ [] * 1000000000000 }}{% for i in range(100000) %}{{ 'x' * 100 }}{% endfor %}",
         "4 MiB of text"},
        {"{{ 'a'|center(1000000000) }}", "more than"},
        {"{{ 'a'.ljust(1000000000) }}", "more than"},
        {"{{ 'a'.zfill(1000000000) }}", "more than"},
        {"{{ 'a'|indent(1000000000, true) }}", "4 MiB of text"},
        {"{{ [1]|tojson(indent=1000000000) }}", "4 MiB of text"},
        {"{{ [1]|batch(1000000000, 1)|list }}", "steps"},
        {"{{ [1]|slice(1000000000)|list }}", "steps"},
        {"{% set a = 'a' * 4000000 %}{% for i in range(100000) %}{{ 'b' in a }}{% endfor %}",
         "steps"},
        {"{% set a = 'a' * 4000000 %}{% for i in range(100000) %}{{ a == a + '' }}{% endfor %}",
         "more than"},
        {"{% set a = 'é' * 1000000 %}{% for i in range(100000) %}{{ a[999999] }}{% endfor %}",
         "steps"},
        {"{% set a = 'a' * 2000000 %}{% for i in range(100000) %}{{ a.count('a') }}{% endfor %}",
         "steps"},
        {"{% set a = 'a' * 2000000 %}{% for i in range(100000) %}{{ a.rfind('b') }}{% endfor %}",
         "steps"},
        {"{% set a = 'a' * 2000000 %}{% for i in range(100000) %}{{ a|replace('a', '') }}{% endfor "
         "%}",
         "steps"},
        {"{% set a = 'a' * 2000000 %}{% for i in range(100000) %}{{ a[1:]|length }}{% endfor %}",
         "steps"},
        {"{% set a = 'a' * 2000000 %}{% for i in range(100000) %}{{ a.split('a', 1)|length }}{% "
         "endfor %}",
         "steps"},
        {"{{ ('a' * 1000000)|replace('a', 'aaaaaaaaaa') }}", "4 MiB of text"},
        {"{{ ('a' * 1000000).split('a') | join('bcdefgh') }}", "more than"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "64 deep"},
        {"{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}", "64 deep"},
        {"{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) "
         "}}",
         "steps"},
        {"{% macro f() %}{{ caller }}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}", "64 deep"},
        {"{{ range(99999)|list|sort|reverse|map('string')|list|sort|join|length * 0 }}"
         "{{ range(99999)|map('tojson')|unique|list|length }}{{ range(99999)|list }}",
         "more than"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(rows[i].text, -E2BIG, rows[i].sentence);
}

/* head, n times middle, tail */
static void expect_long(const char *head, const char *middle, size_t n, const char *tail,
                        int expected, const char *sentence)
{
    struct buf text = {0};

    buf_add_str(&text, head);
    for (size_t i = 0; i < n; i++)
        buf_add_str(&text, middle);
    buf_add_str(&text, tail);
    expect(buf_text(&text), expected, sentence);
    buf_free(&text);
}

static void deep_and_long(void **state)
{
    (void)state;
    expect_long("{{ ", "(", 100, "1", -E2BIG, "64 deep");
    expect_long("{{ ", "[", 50000, "", -E2BIG, "64 deep");
    expect_long("", "{% if 1 %}", 100, "", -E2BIG, "64 deep");
    expect_long("{{ ", "not ", 50000, "1 }}", -E2BIG, "deep");
    expect_long("{{ ", "- ", 50000, "1 }}", -E2BIG, "deep");
    expect_long("{{ 1 ", "if 1 else 1 ", 10000, "}}", -E2BIG, "deep");
    expect_long("{{ a", ".a", 50000, "}}", -E2BIG, "deep");
    expect_long("{{ 1", "|abs", 50000, "}}", -E2BIG, "deep");
    expect_long("{{ 1", "|abs", 500, "}}", 0, NULL);
    expect_long("{{ 1", " + 1", 20000, "}}", 0, NULL);
    expect_long("{{ 'a'", " ~ 'a'", 20000, "}}", 0, NULL);
    expect_long("{{ 1", " and 1", 20000, "}}", 0, NULL);
    expect_long("{{ 1", " == 1", 20000, "}}", 0, NULL);
    expect_long("{{ [", "1,", 50000, "] }}", 0, NULL);
    expect_long("{% if 0 %}", "{% elif 0 %}", 10000, "{% endif %}", 0, NULL);
    expect_long("", "{{ a }}{# #}", 20000, "", 0, NULL);
    expect_long("{{ f(", "1,", 50000, ") }}", -E2BIG, "500 arguments");
    expect_long("{% macro f(a", ",a", 50000, ") %}", -EINVAL, "same name");
    expect_long("", "a", JINJA_SOURCE_MAX, "", 0, NULL);
    expect_long("", "a", JINJA_SOURCE_MAX + 1, "", -E2BIG, "262145 bytes");
    expect("\xff", -EINVAL, "not UTF-8");
    expect("a\n\xc3(", -EINVAL, "not UTF-8");
}

/* Conversations as long as they come. */
static void large_inputs(void **state)
{
    static const char text[] =
        "{% for m in messages %}{% if m.role == 'user' and m.content is string %}"
        "{{ '<|' + m.role + '|>' + m.content|trim + '\n' }}"
        "{% elif m.tool_calls %}x{% else %}{{ raise_exception('role') }}{% endif %}"
        "{% endfor %}";
    struct buf json = {0}, out = {0};
    struct json_object *root;
    struct err e = {0};

    (void)state;
    buf_add_str(&json, "[");
    for (int i = 0; i < 10000; i++)
        buf_printf(&json, "%s{\"role\":\"user\",\"content\":\" message %d \"}", i > 0 ? "," : "",
                   i);
    buf_add_str(&json, ",{\"role\":\"user\",\"content\":\"");
    for (int i = 0; i < 300000; i++)
        buf_add_str(&json, "0123456é ");
    buf_add_str(&json, "\"}]");
    assert_int_equal(json_parse(json.data, json.len, &root, &e), 0);
    struct jinja_var var = {.name = "messages", .kind = JINJA_MESSAGES, .json = root};
    struct jinja_input in = {.vars = &var, .n_vars = 1};
    int rc = run(text, strlen(text), &in, &out, &e);
    if (rc != 0)
        fail_msg("%s", e.text);
    assert_true(buf_pending(&out) > 3000000);
    json_free(&root);
    buf_free(&json);
    buf_free(&out);
}

/* --- one template in several threads --- */

struct thread {
    pthread_t id;
    const struct jinja *t;
    const struct json_object *shared;
    bool is_good;
};

static void *render_often(void *arg)
{
    struct thread *th = arg;
    struct jinja_var vars[] = {{.name = "x", .kind = JINJA_JSON, .json = th->shared},
                               {.name = "y", .kind = JINJA_BOOL, .is_true = true}};
    struct jinja_input in = {.vars = vars, .n_vars = 2};

    th->is_good = true;
    for (int i = 0; i < 200; i++) {
        struct buf out = {0};
        struct err e = {0};
        int rc = jinja_render(th->t, &in, &out, &e);
        th->is_good =
            th->is_good && rc == 0 && strcmp(buf_text(&out), "1:a;2:b;{\"k\": \"é\"}[AB]True") == 0;
        buf_free(&out);
    }
    return NULL;
}

static void threads(void **state)
{
    static const char text[] = "{% macro m(v) %}[{{ v|join|upper }}]{% endmacro %}"
                               "{% for i in x.l %}{{ loop.index }}:{{ i }};{% endfor %}"
                               "{{ x.d|tojson }}{{ m(x.l) }}{{ y }}";
    static const char json[] = "{\"l\":[\"a\",\"b\"],\"d\":{\"k\":\"\xc3\xa9\"}}";
    struct thread th[4] = {0};
    struct json_object *root;
    struct jinja *t;

    (void)state;
    assert_int_equal(json_parse(json, strlen(json), &root, NULL), 0);
    assert_int_equal(jinja_compile(text, strlen(text), &t, NULL), 0);
    for (int i = 0; i < 4; i++) {
        th[i].t = t;
        th[i].shared = root;
        assert_int_equal(pthread_create(&th[i].id, NULL, render_often, &th[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(th[i].id, NULL);
        assert_true(th[i].is_good);
    }
    jinja_free(&t);
    json_free(&root);
}

/* --- every beginning of a template --- */

static void truncation(void **state)
{
    static const char text[] =
        "{%- macro f(a, b=[1, 'x'], *c) %}{% endmacro %}"
        "{%- macro g(a, b={'k': (1, 2.5)}) -%}{{ a ~ b.k[::-1] | tojson(indent=2) }}{%- endmacro %}"
        "{% set ns = namespace(x=0) %}{% for k, v in {'a': 1}.items() if v is not none %}"
        "{% set ns.x = ns.x + v ** 2 %}{# note #}{% if loop.last and not k in 'bc' %}"
        "{{ g(k, **{'b': {'k': [v]}}) if ns.x > 0 else 'é\\u00e9' }}{% elif ns %}{% break %}{% "
        "endif %}"
        "{% else %}{% raw %}{{ }}{% endraw %}{% endfor %}{% call(z) g(1) %}{{ z }}{% endcall %}";

    (void)state;
    for (size_t len = 0; len <= strlen(text); len++) {
        char *copy = malloc(len + 1); /* of its own size, so that nothing is read behind it */
        struct buf out = {0};
        struct err e = {0};
        assert_non_null(copy);
        memcpy(copy + 1, text, len);
        int rc = run(copy + 1, len, &(struct jinja_input){0}, &out, &e);
        assert_true(rc == 0 || (rc == -EINVAL && strncmp(e.text, "line 1: ", 8) == 0));
        free(copy);
        buf_free(&out);
    }
}

/* --- chat_template.h --- */

static struct json_object *parse(const char *text)
{
    struct json_object *root;
    struct err e = {0};

    if (json_parse(text, strlen(text), &root, &e) != 0)
        fail_msg("%s", e.text);
    return root;
}

static void check_chat(const char *text, const char *arguments, int expected, const char *said)
{
    struct json_object *messages =
        parse("[{\"role\":\"user\",\"content\":null,\"reasoning\":\"r\"}]");
    struct json_object *tokens =
        parse("{\"bos_token\":{\"content\":\"<s>\",\"special\":true},"
              "\"eos_token\":\"</s>\",\"pad_token\":null,\"other\":\"x\"}");
    struct json_object *args = arguments != NULL ? parse(arguments) : NULL;
    struct chat_input in = {.messages = messages, .arguments = args};
    struct chat_template *t;
    struct buf out = {0};
    struct err e = {0};

    int rc = chat_template_new(text, strlen(text), tokens, &t, &e);
    if (rc == 0)
        rc = chat_template_render(t, &in, &out, &e);
    assert_int_equal(rc, expected);
    assert_string_equal(rc == 0 ? buf_text(&out) : e.text, said);
    chat_template_free(&t);
    json_free(&messages);
    json_free(&tokens);
    json_free(&args);
    buf_free(&out);
}

static void chats(void **state)
{
    (void)state;
    check_chat("{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}{{ other is defined }}",
               NULL, 0, "<s></s>FalseFalse");
    check_chat("{{ bos_token }}{{ k }}", "{\"bos_token\":\"B\",\"k\":[1]}", 0, "B[1]");
    check_chat("{{ messages }}{{ tools }}{{ documents }}{{ add_generation_prompt }}", NULL, 0,
               "[{'thinking': 'r', 'role': 'user', 'reasoning': 'r', 'reasoning_content': 'r'}]"
               "NoneNoneFalse");
    check_chat("x", "{\"messages\":[]}", -EINVAL,
               "chat_template_kwargs: 'messages' is set by the request itself");
    check_chat("x", "[]", -EINVAL, "chat_template_kwargs: found array, expected object");
    check_chat("\n{{ raise_exception('not so') }}", NULL, -EINVAL, "chat template: line 2: not so");
    check_chat("\n{{ x", NULL, -EINVAL, "chat template: line 2: the tag has no end: expected }}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bombs),   cmocka_unit_test(deep_and_long), cmocka_unit_test(large_inputs),
        cmocka_unit_test(threads), cmocka_unit_test(truncation),    cmocka_unit_test(chats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

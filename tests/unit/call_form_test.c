/* What templates write around tool calls, and what the parser makes of what they write. */
#include "worker/engine/call_form.h"

#include "base/json.h"
#include "worker/text/calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct chat_template *compile(const char *text)
{
    struct chat_template *t;
    struct err e = {0};

    if (chat_template_new(text, strlen(text), NULL, &t, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}

static struct chat_template *load(const char *path)
{
    char name[512];
    static char text[64 << 10];

    snprintf(name, sizeof name, "%s/%s", SOURCE, path);
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    return compile(text);
}

static void expect(struct chat_template *t, enum call_form_kind kind, const char *pieces)
{
    struct call_form f;
    struct buf all = {0};

    call_form_find(&f, t);
    assert_int_equal(f.kind, kind);
#define X(name) \
    buf_add_str(&all, buf_text(&f.name)); \
    buf_add_char(&all, '|');
    CALL_FORM_PIECES(X)
#undef X
    assert_string_equal(buf_text(&all), pieces);
    buf_free(&all);
    call_form_free(&f);
    chat_template_free(&t);
}

#define XML \
    "\n|<tool_call>\n<function=|>\n|<parameter=|>\n|\n</parameter>\n|</function>\n</tool_call>|"
#define TAGGED "\n|<tool_call>\n{\"name\": \"|\", \"arguments\": ||||}\n</tool_call>|"
#define NONE   "|||||||"

static void forms(void **state)
{
    (void)state;
    expect(load("models/demo/chat_template.jinja"), CALL_FORM_XML, XML);
    expect(load("tests/golden/templates/thinking.jinja"), CALL_FORM_XML, XML);
    expect(load("tests/golden/templates/chatml.jinja"), CALL_FORM_JSON, TAGGED);
    expect(load("tests/golden/templates/chatml_think.jinja"), CALL_FORM_JSON, TAGGED);
    expect(load("tests/golden/templates/llama.jinja"), CALL_FORM_NONE, NONE);
    /* without content, one call at most, nothing around it */
    expect(
        compile("{{ tools }}{% for m in messages %}{% if m.tool_calls %}"
                "{% if m.tool_calls|length != 1 %}{{ raise_exception('one') }}{% endif %}"
                "{% set f = m.tool_calls[0].function %}"
                "{{ '{\"name\": \"' + f.name + '\", \"parameters\": ' }}"
                "{{ f.arguments|tojson }}}<eot>{% else %}{{ m.content }}{% endif %}{% endfor %}"),
        CALL_FORM_JSON, "|{\"name\": \"|\", \"parameters\": ||||}|");
    /* without content, several */
    expect(compile("{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}"
                   "<tool_call>{{ '{\"name\": \"' + c.function.name + '\", \"arguments\": ' }}"
                   "{{ c.function.arguments|tojson }}}</tool_call> {% endfor %}<eot>"
                   "{% else %}{{ m.content }}{% endif %}{% endfor %}"),
           CALL_FORM_JSON, " |<tool_call>{\"name\": \"|\", \"arguments\": ||||}</tool_call>|");
    /* another form, and a failure */
    expect(compile("{% for m in messages %}{% for c in m.tool_calls or [] %}[CALL]"
                   "{{ c.function|tojson }}{% endfor %}{% endfor %}"),
           CALL_FORM_NONE, NONE);
    expect(compile("{{ raise_exception('no') }}"), CALL_FORM_NONE, NONE);
}

static void abilities(void **state)
{
    static const struct {
        const char *text;
        bool shows_tools, reasons;
    } cases[] = {
        {"{{ messages[0].content }}", false, false},
        {"{{ messages[0].content }}{{ tools }}", true, false},
        {"{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}", false,
         true},
        {"{{ messages[0].content }}{% if enable_thinking is false %}<think></think>{% endif %}",
         false, true},
        {"{{ raise_exception('no') }}", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_template *t = compile(cases[i].text);
        assert_int_equal(call_form_shows_tools(t), cases[i].shows_tools);
        assert_int_equal(call_form_reasons(t), cases[i].reasons);
        chat_template_free(&t);
    }
}

/* What a template writes of a call, the parser reads: the same name, equal arguments. */
static void round_trip(void **state)
{
    static const char *const paths[] = {
        "models/demo/chat_template.jinja", "tests/golden/templates/thinking.jinja",
        "tests/golden/templates/chatml.jinja", "tests/golden/templates/chatml_think.jinja"};
    static const char tools_text[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{"
        "\"s\":{\"type\":\"string\"},\"i\":{\"type\":\"integer\"},\"l\":{\"type\":\"array\"},"
        "\"o\":{\"type\":\"object\"},\"b\":{\"type\":\"boolean\"}}}}}]";
    static const char arguments[] =
        "{\"s\":\" a \\\"b\\\"\\n\\n<c> \\\\ é\",\"i\":-3,\"l\":[1,\"x\\ny\",null],"
        "\"o\":{\"k\":{}},\"b\":true,\"unknown\":\"text\"}";
    struct json_object *tools, *messages;
    struct call_tools t;
    struct buf text = {0};

    (void)state;
    buf_printf(&text,
               "[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"\","
               "\"tool_calls\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
               "%s}},{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{}}}]}]",
               arguments);
    assert_int_equal(json_parse(text.data, text.len, &messages, NULL), 0);
    assert_int_equal(json_parse(tools_text, sizeof tools_text - 1, &tools, NULL), 0);
    assert_int_equal(call_tools_read(&t, tools, NULL), 0);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct chat_template *c = load(paths[i]);
        struct chat_input in = {.messages = messages};
        struct calls parser;
        struct parts parts = {0};
        struct part_view v;
        struct buf found = {0};
        struct err e = {0};
        buf_clear(&text);
        assert_int_equal(chat_template_render(c, &in, &text, &e), 0);
        char *turn = strstr(buf_text(&text), "<tool_call>");
        assert_non_null(turn);
        calls_init(&parser, &t, false);
        calls_push(&parser, turn, strlen(turn), &parts);
        calls_end(&parser, false, &parts);
        for (size_t at = 0; parts_next(&parts, &at, &v);) {
            if (v.channel == CHANNEL_ARGUMENTS) { /* as json_write has it */
                struct json_object *o;
                assert_int_equal(json_parse(v.text, v.len, &o, &e), 0);
                json_write(o, &found);
                json_free(&o);
            } else if (v.channel == CHANNEL_CALL) {
                buf_add(&found, v.text, v.len);
            }
        }
        struct buf wanted = {0};
        buf_printf(&wanted, "f%sf{}", arguments);
        assert_string_equal(buf_text(&found), buf_text(&wanted));
        buf_free(&wanted);
        buf_free(&found);
        parts_free(&parts);
        calls_free(&parser);
        chat_template_free(&c);
    }
    call_tools_free(&t);
    json_free(&tools);
    json_free(&messages);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(abilities),
        cmocka_unit_test(round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

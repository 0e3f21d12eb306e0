#include "worker/params.h"

#include "worker/answer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(struct params *p, const char *text, struct err *e)
{
    struct json_object *root;

    if (json_parse(text, strlen(text), &root, e) != 0)
        fail_msg("%s: %s", text, e->text);
    return params_parse(p, root, e);
}

static void add_text(void *ctx, const char *text, size_t len)
{
    buf_add(ctx, text, len);
    buf_add_char(ctx, '|');
}

static void chat(void **state)
{
    struct params p;
    struct err e = {0};
    struct buf b = {0};

    (void)state;
    assert_int_equal(
        parse(&p,
              "{\"kind\":\"chat\",\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
              "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]},"
              "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one\"},"
              "{\"type\":\"text\",\"text\":\"two\"}]}],"
              "\"max_tokens\":12,\"stop\":[\"\\n\",\"END\"],"
              "\"sampling\":{\"temperature\":0.5,\"top_k\":40,\"logit_bias\":{},"
              "\"reasoning_effort\":\"low\"}}",
              &e),
        0);
    assert_int_equal(p.kind, PROMPT_CHAT);
    assert_int_equal(p.max_tokens, 12);
    assert_int_equal(p.stops.n, 2);
    assert_int_equal(p.stops.len_max, 3);
    assert_true(p.sampling.temperature.is_set && p.sampling.temperature.number == 0.5);
    assert_true(p.sampling.top_k.is_set && p.sampling.top_k.number == 40);
    assert_false(p.sampling.top_p.is_set);
    assert_true(p.sampling.logit_bias.is_set);
    assert_string_equal(json_string(p.sampling.reasoning_effort.value, NULL), "low");
    params_each_text(&p, add_text, &b);
    assert_string_equal(buf_text(&b), "be brief|one|two|");
    buf_free(&b);
    params_free(&p);
}

static void completion(void **state)
{
    struct params p;
    struct err e = {0};
    struct buf b = {0};

    (void)state;
    assert_int_equal(parse(&p, "{\"kind\":\"completion\",\"prompt\":\"once\"}", &e), 0);
    assert_int_equal(p.kind, PROMPT_COMPLETION);
    assert_int_equal(p.max_tokens, ANSWER_UNLIMITED);
    params_each_text(&p, add_text, &b);
    assert_string_equal(buf_text(&b), "once|");
    buf_free(&b);
    params_free(&p);
}

static const struct {
    const char *text;
    int rc;
    const char *says;
} bad[] = {
    {"[]", -EINVAL, "request: found array"},
    {"{}", -EINVAL, "kind: missing"},
    {"{\"kind\":\"song\"}", -EINVAL, "\"song\""},
    {"{\"kind\":\"chat\"}", -EINVAL, "messages: missing"},
    {"{\"kind\":\"chat\",\"messages\":{}}", -EINVAL, "messages: found object"},
    {"{\"kind\":\"chat\",\"messages\":[3]}", -EINVAL, "messages[0]: found number"},
    {"{\"kind\":\"chat\",\"messages\":[{\"content\":3}]}", -EINVAL, "messages[0].content"},
    {"{\"kind\":\"chat\",\"messages\":[{\"content\":[3]}]}", -EINVAL, "not a content part"},
    {"{\"kind\":\"chat\",\"messages\":[{\"content\":[{\"type\":\"image_url\"}]}]}", -ENOTSUP,
     "text only"},
    {"{\"kind\":\"chat\",\"messages\":[{\"content\":[{\"type\":\"text\"}]}]}", -EINVAL, "missing"},
    {"{\"kind\":\"completion\"}", -EINVAL, "prompt: missing"},
    {"{\"kind\":\"completion\",\"prompt\":[]}", -EINVAL, "prompt: found array"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"max_tokens\":-1}", -EINVAL, "max_tokens"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"max_tokens\":1.5}", -EINVAL, "max_tokens"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"max_tokens\":\"9\"}", -EINVAL, "max_tokens"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"stop\":\"x\"}", -EINVAL, "stop: found string"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"stop\":[\"\"]}", -EINVAL, "stop[0]: 0 bytes"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"stop\":[1]}", -EINVAL, "stop[0]: found number"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"sampling\":[]}", -EINVAL, "sampling: found array"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"sampling\":{\"heat\":1}}", -ENOTSUP,
     "sampling.heat"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"sampling\":{\"top_p\":\"1\"}}", -EINVAL,
     "sampling.top_p: found string"},
};

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct params p;
        struct err e = {0};
        assert_int_equal(parse(&p, bad[i].text, &e), bad[i].rc);
        if (strstr(e.text, bad[i].says) == NULL)
            fail_msg("%s: says \"%s\", expected \"%s\"", bad[i].text, e.text, bad[i].says);
        assert_null(p.root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat),
        cmocka_unit_test(completion),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

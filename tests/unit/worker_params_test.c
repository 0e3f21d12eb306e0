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
    assert_int_equal(p.logprobs, -1);
    assert_true(p.add_special_tokens && p.add_generation_prompt);
    assert_false(p.has_echo || p.has_pieces);
    params_each_text(&p, add_text, &b);
    assert_string_equal(buf_text(&b), "once|");
    params_free(&p);

    assert_int_equal(parse(&p,
                           "{\"kind\":\"completion\",\"prompt\":[0,7,2147483647],\"echo\":true,"
                           "\"max_tokens\":0,\"logprobs\":20,\"add_special_tokens\":false,"
                           "\"stop\":null}",
                           &e),
                     0);
    assert_int_equal(json_length(p.prompt), 3);
    assert_int_equal(json_integer(json_at(p.prompt, 2)), INT32_MAX);
    assert_int_equal(p.max_tokens, 0);
    assert_int_equal(p.logprobs, 20);
    assert_true(p.has_echo && !p.add_special_tokens);
    buf_clear(&b);
    params_each_text(&p, add_text, &b);
    assert_int_equal(buf_pending(&b), 0);
    buf_free(&b);
    params_free(&p);
    assert_null(p.prompt);
}

#define TOOLS "\"tools\":[{\"function\":{\"name\":\"f\"}},{\"function\":{\"name\":\"g\"}}]"

/* What a chat may ask for beside its messages. */
static void chat_with_tools(void **state)
{
    struct params p, prompt;
    struct err e = {0};

    (void)state;
    assert_int_equal(
        parse(&p,
              "{\"kind\":\"chat\",\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
              "{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"sampled\":\"0 17 2147483647\","
              "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
              "\"arguments\":{}}}]},"
              "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"name\":\"f\",\"content\":\"x\"}]," TOOLS
              ",\"tool_choice\":{\"name\":\"g\"},\"parallel_tool_calls\":false,\"thinking\":true,"
              "\"thinking_tokens\":0,\"format\":{\"type\":\"json_schema\",\"schema\":{}}}",
              &e),
        0);
    assert_int_equal(p.calls.n, 2);
    assert_int_equal(p.tool_choice, TOOLS_NAMED);
    assert_int_equal(p.tool, 1);
    assert_false(p.has_parallel_calls);
    assert_true(p.has_thinking && p.is_thinking);
    assert_int_equal(p.thinking_tokens, 0);
    assert_int_equal(p.format, FORMAT_SCHEMA);
    assert_non_null(p.schema);
    params_take(&p, &prompt); /* who tokenises gets the tree; what may be called stays */
    assert_int_equal(json_length(prompt.tools), 2);
    assert_non_null(prompt.schema);
    assert_int_equal(prompt.calls.n, 0);
    assert_int_equal(p.calls.n, 2);
    assert_null(p.tools);
    params_free(&prompt);
    params_free(&p);

    assert_int_equal(parse(&p, "{\"kind\":\"chat\",\"messages\":[]," TOOLS "}", &e), 0);
    assert_int_equal(p.tool_choice, TOOLS_AUTO);
    assert_true(p.has_parallel_calls && !p.has_thinking);
    assert_int_equal(p.thinking_tokens, THINKING_UNLIMITED);
    assert_int_equal(p.format, FORMAT_TEXT);
    params_free(&p);
    /* none: neither shown nor called */
    assert_int_equal(
        parse(&p, "{\"kind\":\"chat\",\"messages\":[]," TOOLS ",\"tool_choice\":\"none\"}", &e), 0);
    assert_null(p.tools);
    assert_int_equal(p.calls.n, 0);
    params_free(&p);
    assert_int_equal(parse(&p,
                           "{\"kind\":\"chat\",\"messages\":[],\"tools\":[],\"format\":"
                           "{\"type\":\"json_object\"}}",
                           &e),
                     0);
    assert_int_equal(p.format, FORMAT_JSON);
    params_free(&p);
    assert_int_equal(
        parse(&p, "{\"kind\":\"count\",\"messages\":[]," TOOLS ",\"thinking\":false}", &e), 0);
    assert_int_equal(p.kind, PROMPT_COUNT);
    assert_true(p.has_thinking && !p.is_thinking);
    params_free(&p);
}

/* The kinds that make no new tokens. */
static void texts(void **state)
{
    struct params p;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&p,
                           "{\"kind\":\"tokenize\",\"messages\":[{\"role\":\"user\"}],"
                           "\"tools\":[{\"type\":\"function\"}],\"pieces\":true,"
                           "\"add_special_tokens\":false,\"add_generation_prompt\":false,"
                           "\"sampling\":{\"chat_template_kwargs\":{\"x\":1}}}",
                           &e),
                     0);
    assert_int_equal(p.kind, PROMPT_TOKENIZE);
    assert_int_equal(json_length(p.messages), 1);
    assert_int_equal(json_length(p.tools), 1);
    assert_true(p.has_pieces && !p.add_special_tokens && !p.add_generation_prompt);
    assert_true(p.sampling.chat_template_kwargs.is_set);
    params_free(&p);
    assert_int_equal(parse(&p, "{\"kind\":\"tokenize\",\"prompt\":\"\"}", &e), 0);
    params_free(&p);
    assert_int_equal(parse(&p, "{\"kind\":\"detokenize\",\"prompt\":[]}", &e), 0);
    assert_int_equal(p.kind, PROMPT_DETOKENIZE);
    params_free(&p);
    assert_int_equal(parse(&p, "{\"kind\":\"template\",\"messages\":[]}", &e), 0);
    assert_int_equal(p.kind, PROMPT_TEMPLATE);
    params_free(&p);
}

static void embedding(void **state)
{
    struct params p;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&p, "{\"kind\":\"embed\",\"prompt\":\"x\"}", &e), 0);
    assert_int_equal(p.kind, PROMPT_EMBED);
    assert_int_equal(p.dimensions, 0);
    params_free(&p);
    assert_int_equal(parse(&p, "{\"kind\":\"embed\",\"prompt\":[7],\"dimensions\":5}", &e), 0);
    assert_int_equal(p.dimensions, 5);
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
    {"{\"kind\":\"chat\",\"messages\":[],\"tools\":[{}]}", -EINVAL, "tools[0]"},
    {"{\"kind\":\"chat\",\"messages\":[],\"tool_choice\":\"required\"}", -EINVAL, "without tools"},
    {"{\"kind\":\"chat\",\"messages\":[]," TOOLS ",\"tool_choice\":\"any\"}", -EINVAL,
     "tool_choice: expected"},
    {"{\"kind\":\"chat\",\"messages\":[]," TOOLS ",\"tool_choice\":{}}", -EINVAL,
     "tool_choice.name: missing"},
    {"{\"kind\":\"chat\",\"messages\":[]," TOOLS ",\"tool_choice\":{\"name\":\"h\"}}", -EINVAL,
     "\"h\" is not one of the tools"},
    {"{\"kind\":\"chat\",\"messages\":[]," TOOLS ",\"parallel_tool_calls\":1}", -EINVAL,
     "parallel_tool_calls: found number"},
    {"{\"kind\":\"chat\",\"messages\":[],\"format\":{\"type\":\"xml\"}}", -EINVAL, "\"xml\""},
    {"{\"kind\":\"chat\",\"messages\":[],\"format\":{\"type\":\"json_schema\"}}", -EINVAL,
     "format.schema: missing"},
    {"{\"kind\":\"chat\",\"messages\":[],\"thinking\":1}", -EINVAL, "thinking: found number"},
    {"{\"kind\":\"chat\",\"messages\":[],\"thinking_tokens\":-1}", -EINVAL, "thinking_tokens"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"thinking\":true}", -EINVAL, "thinking: not of"},
    {"{\"kind\":\"chat\",\"messages\":[{\"role\":1}]}", -EINVAL, "messages[0]: role: found number"},
    {"{\"kind\":\"chat\",\"messages\":[{\"tool_calls\":[{}]}]}", -EINVAL,
     "messages[0]: tool_calls[0]: function: missing"},
    {"{\"kind\":\"chat\",\"messages\":[{\"tool_calls\":[{\"function\":{\"name\":\"f\","
     "\"arguments\":\"{}\"}}]}]}",
     -EINVAL, "function.arguments: found string, expected object"},
    {"{\"kind\":\"chat\",\"messages\":[{\"sampled\":\"1  2\"}]}", -EINVAL, "sampled: byte 2"},
    {"{\"kind\":\"chat\",\"messages\":[{\"sampled\":\"1,2\"}]}", -EINVAL, "sampled: byte 1"},
    {"{\"kind\":\"chat\",\"messages\":[{\"sampled\":\"2147483648\"}]}", -EINVAL, "sampled: byte 0"},
    {"{\"kind\":\"chat\",\"messages\":[{\"sampled\":\"1 \"}]}", -EINVAL, "sampled: byte 2"},
    {"{\"kind\":\"completion\"}", -EINVAL, "prompt: missing"},
    {"{\"kind\":\"completion\",\"prompt\":[]}", -EINVAL, "prompt: no token in it"},
    {"{\"kind\":\"completion\",\"prompt\":{}}", -EINVAL, "prompt: found object"},
    {"{\"kind\":\"completion\",\"prompt\":[1,-1]}", -EINVAL, "prompt[1]: expected a token id"},
    {"{\"kind\":\"completion\",\"prompt\":[2147483648]}", -EINVAL, "prompt[0]"},
    {"{\"kind\":\"completion\",\"prompt\":[1.5]}", -EINVAL, "prompt[0]"},
    {"{\"kind\":\"completion\",\"prompt\":[\"1\"]}", -EINVAL, "prompt[0]"},
    {"{\"kind\":\"completion\",\"prompt\":[[1]]}", -EINVAL, "prompt[0]"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"messages\":[]}", -EINVAL,
     "messages: not of a request of kind completion"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"color\":1}", -ENOTSUP, "color"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"max_tokens\":0}", -EINVAL, "0 without echo"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"logprobs\":21}", -EINVAL, "0 to 20"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"logprobs\":true}", -EINVAL, "0 to 20"},
    {"{\"kind\":\"completion\",\"prompt\":\"\",\"echo\":1}", -EINVAL, "echo: found number"},
    {"{\"kind\":\"chat\",\"messages\":[],\"echo\":true}", -EINVAL, "echo: not of"},
    {"{\"kind\":\"chat\",\"messages\":[],\"tools\":{}}", -EINVAL, "tools: found object"},
    {"{\"kind\":\"chat\",\"messages\":[],\"tools\":[1]}", -EINVAL, "tools[0]: found number"},
    {"{\"kind\":\"chat\",\"messages\":[],\"max_tokens\":0}", -EINVAL, "0 without echo"},
    {"{\"kind\":\"tokenize\"}", -EINVAL, "prompt: missing"},
    {"{\"kind\":\"tokenize\",\"prompt\":[1]}", -EINVAL, "prompt: found array"},
    {"{\"kind\":\"tokenize\",\"prompt\":\"\",\"messages\":[]}", -EINVAL, "there are messages, too"},
    {"{\"kind\":\"tokenize\",\"prompt\":\"\",\"tools\":[]}", -EINVAL, "without messages"},
    {"{\"kind\":\"tokenize\",\"prompt\":\"\",\"max_tokens\":1}", -EINVAL, "max_tokens: not of"},
    {"{\"kind\":\"detokenize\",\"prompt\":\"x\"}", -EINVAL, "prompt: found string"},
    {"{\"kind\":\"template\",\"prompt\":\"x\"}", -EINVAL, "prompt: not of"},
    {"{\"kind\":\"embed\"}", -EINVAL, "prompt: missing"},
    {"{\"kind\":\"embed\",\"prompt\":[]}", -EINVAL, "prompt: no token in it"},
    {"{\"kind\":\"embed\",\"prompt\":\"x\",\"dimensions\":0}", -EINVAL, "at least 1"},
    {"{\"kind\":\"embed\",\"prompt\":\"x\",\"dimensions\":2147483648}", -EINVAL, "dimensions"},
    {"{\"kind\":\"embed\",\"prompt\":\"x\",\"max_tokens\":1}", -EINVAL, "max_tokens: not of"},
    {"{\"kind\":\"completion\",\"prompt\":\"x\",\"dimensions\":1}", -EINVAL, "dimensions: not of"},
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
        cmocka_unit_test(chat),  cmocka_unit_test(chat_with_tools), cmocka_unit_test(completion),
        cmocka_unit_test(texts), cmocka_unit_test(embedding),       cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

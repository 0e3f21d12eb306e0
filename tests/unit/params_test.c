/* Every row of the parameter table: what is taken, forwarded, refused, and with which words. */
#include "router/api/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct json_object *parse(const char *text)
{
    struct json_object *root;
    struct err e;

    if (json_parse(text, strlen(text), &root, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return root;
}

/* A body with one more member than the least one. */
static int read_with(const char *member, enum dialect dialect, struct params *p,
                     struct param_error *e)
{
    char text[1024];

    snprintf(text, sizeof text, "{\"model\":\"m\"%s%s}", member[0] ? "," : "", member);
    struct json_object *body = parse(text);
    *e = (struct param_error){0};
    int rc = params_read(p, body, dialect, e);
    json_free(&body);
    return rc;
}

static const struct {
    const char *member;
    enum dialect dialect;
    int error; /* -1 = accepted */
    const char *param;
} rows[] = {
    {"", DIALECT_CHAT, -1, NULL},
    {"\"unknown_field\":[1,2]", DIALECT_CHAT, -1, NULL},
    {"\"stream\":true", DIALECT_CHAT, -1, NULL},
    {"\"stream\":\"true\"", DIALECT_CHAT, ERROR_INVALID_BODY, "stream"},
    {"\"stream\":null", DIALECT_CHAT, -1, NULL},
    {"\"max_tokens\":1", DIALECT_CHAT, -1, NULL},
    {"\"max_tokens\":0", DIALECT_CHAT, ERROR_INVALID_BODY, "max_tokens"},
    {"\"max_tokens\":1.5", DIALECT_CHAT, ERROR_INVALID_BODY, "max_tokens"},
    {"\"max_tokens\":\"5\"", DIALECT_CHAT, ERROR_INVALID_BODY, "max_tokens"},
    {"\"max_tokens\":-3", DIALECT_COMPLETION, ERROR_INVALID_BODY, "max_tokens"},
    {"\"max_completion_tokens\":9", DIALECT_CHAT, -1, NULL},
    {"\"max_completion_tokens\":0", DIALECT_COMPLETION, -1, NULL}, /* not a field there */
    {"\"temperature\":0", DIALECT_CHAT, -1, NULL},
    {"\"temperature\":2", DIALECT_CHAT, -1, NULL},
    {"\"temperature\":2.01", DIALECT_CHAT, ERROR_INVALID_BODY, "temperature"},
    {"\"temperature\":-0.1", DIALECT_CHAT, ERROR_INVALID_BODY, "temperature"},
    {"\"temperature\":true", DIALECT_CHAT, ERROR_INVALID_BODY, "temperature"},
    {"\"top_p\":1.1", DIALECT_CHAT, ERROR_INVALID_BODY, "top_p"},
    {"\"top_k\":40", DIALECT_CHAT, -1, NULL},
    {"\"top_k\":4.5", DIALECT_CHAT, ERROR_INVALID_BODY, "top_k"},
    {"\"seed\":-9223372036854775807", DIALECT_CHAT, -1, NULL},
    {"\"seed\":1.25", DIALECT_CHAT, ERROR_INVALID_BODY, "seed"},
    {"\"stop\":\"x\"", DIALECT_CHAT, -1, NULL},
    {"\"stop\":[\"x\",\"y\"]", DIALECT_CHAT, -1, NULL},
    {"\"stop\":[]", DIALECT_CHAT, -1, NULL},
    {"\"stop\":[1]", DIALECT_CHAT, ERROR_INVALID_BODY, "stop"},
    {"\"stop\":{}", DIALECT_CHAT, ERROR_INVALID_BODY, "stop"},
    {"\"logit_bias\":{\"5\":1}", DIALECT_CHAT, -1, NULL},
    {"\"logit_bias\":[]", DIALECT_CHAT, ERROR_INVALID_BODY, "logit_bias"},
    {"\"logit_bias\":{\"5\":-100,\"4294967295\":100.0}", DIALECT_COMPLETION, -1, NULL},
    {"\"logit_bias\":{\"5\":101}", DIALECT_CHAT, ERROR_INVALID_BODY, "logit_bias"},
    {"\"logit_bias\":{\"5\":\"1\"}", DIALECT_CHAT, ERROR_INVALID_BODY, "logit_bias"},
    {"\"logit_bias\":{\"x\":1}", DIALECT_CHAT, ERROR_INVALID_BODY, "logit_bias"},
    {"\"logit_bias\":{\"5 \":1}", DIALECT_CHAT, ERROR_INVALID_BODY, "logit_bias"},
    {"\"stream_options\":{\"include_usage\":true}", DIALECT_CHAT, -1, NULL},
    {"\"stream_options\":1", DIALECT_CHAT, ERROR_INVALID_BODY, "stream_options"},
    {"\"max_tokens\":5", DIALECT_MESSAGES, -1, NULL},
    {"", DIALECT_MESSAGES, ERROR_INVALID_BODY, "max_tokens"},
    {"\"max_tokens\":0", DIALECT_MESSAGES, ERROR_INVALID_BODY, "max_tokens"},
    {"", DIALECT_COUNT, -1, NULL},
    {"\"max_tokens\":0", DIALECT_COUNT, -1, NULL}, /* not a field there */
    {"\"max_tokens\":5,\"stop_sequences\":[\"x\"]", DIALECT_MESSAGES, -1, NULL},
    {"\"max_tokens\":5,\"stop_sequences\":[1]", DIALECT_MESSAGES, ERROR_INVALID_BODY,
     "stop_sequences"},
    {"\"max_tokens\":5,\"stop\":[1],\"n\":\"x\"", DIALECT_MESSAGES, -1, NULL},
    {"\"max_tokens\":5,\"messages\":[1]", DIALECT_MESSAGES, ERROR_INVALID_BODY, "messages"},
    {"\"tool_choice\":\"auto\"", DIALECT_COUNT, ERROR_INVALID_BODY, "tool_choice"},
    {"\"thinking\":true", DIALECT_COUNT, ERROR_INVALID_BODY, "thinking"},
    {"\"output_config\":{\"effort\":1}", DIALECT_COUNT, ERROR_INVALID_BODY,
     "output_config.effort"},
    {"\"n\":1", DIALECT_CHAT, -1, NULL},
    {"\"n\":128", DIALECT_CHAT, -1, NULL},
    {"\"n\":129", DIALECT_CHAT, ERROR_INVALID_BODY, "n"},
    {"\"n\":0", DIALECT_COMPLETION, ERROR_INVALID_BODY, "n"},
    {"\"n\":\"none\"", DIALECT_CHAT, ERROR_INVALID_BODY, "n"},
    {"\"n\":false", DIALECT_CHAT, ERROR_INVALID_BODY, "n"},
    {"\"best_of\":3,\"n\":3", DIALECT_COMPLETION, -1, NULL},
    {"\"best_of\":1", DIALECT_COMPLETION, -1, NULL},
    {"\"best_of\":3", DIALECT_COMPLETION, ERROR_UNSUPPORTED_PARAMETER, "best_of"},
    {"\"best_of\":3", DIALECT_CHAT, -1, NULL}, /* not a field there */
    {"\"logprobs\":false", DIALECT_CHAT, -1, NULL},
    {"\"logprobs\":true", DIALECT_CHAT, -1, NULL},
    {"\"logprobs\":1", DIALECT_CHAT, ERROR_INVALID_BODY, "logprobs"},
    {"\"logprobs\":\"auto\"", DIALECT_CHAT, ERROR_INVALID_BODY, "logprobs"},
    {"\"logprobs\":true,\"top_logprobs\":20", DIALECT_CHAT, -1, NULL},
    {"\"logprobs\":true,\"top_logprobs\":21", DIALECT_CHAT, ERROR_INVALID_BODY, "top_logprobs"},
    {"\"top_logprobs\":0", DIALECT_CHAT, -1, NULL},
    {"\"top_logprobs\":1", DIALECT_CHAT, ERROR_INVALID_BODY, "top_logprobs"},
    {"\"top_logprobs\":1,\"logprobs\":false", DIALECT_CHAT, ERROR_INVALID_BODY, "top_logprobs"},
    {"\"logprobs\":0", DIALECT_COMPLETION, -1, NULL},
    {"\"logprobs\":20", DIALECT_COMPLETION, -1, NULL},
    {"\"logprobs\":21", DIALECT_COMPLETION, ERROR_INVALID_BODY, "logprobs"},
    {"\"logprobs\":true", DIALECT_COMPLETION, ERROR_INVALID_BODY, "logprobs"},
    {"\"echo\":true", DIALECT_COMPLETION, -1, NULL},
    {"\"echo\":1", DIALECT_COMPLETION, ERROR_INVALID_BODY, "echo"},
    {"\"max_tokens\":0,\"echo\":true", DIALECT_COMPLETION, -1, NULL},
    {"\"max_tokens\":0,\"echo\":false", DIALECT_COMPLETION, ERROR_INVALID_BODY, "max_tokens"},
    {"\"max_tokens\":0,\"echo\":true", DIALECT_CHAT, ERROR_INVALID_BODY, "max_tokens"},
    {"\"add_special_tokens\":false", DIALECT_COMPLETION, -1, NULL},
    {"\"add_special_tokens\":0", DIALECT_TOKENIZE, ERROR_INVALID_BODY, "add_special_tokens"},
    {"\"suffix\":\"\"", DIALECT_COMPLETION, -1, NULL},
    {"\"suffix\":\"x\"", DIALECT_COMPLETION, ERROR_UNSUPPORTED_PARAMETER, "suffix"},
    {"\"suffix\":\"auto\"", DIALECT_COMPLETION, ERROR_UNSUPPORTED_PARAMETER, "suffix"},
    {"\"tools\":\"auto\"", DIALECT_CHAT, ERROR_INVALID_BODY, "tools"},
    {"\"tools\":[{\"type\":\"function\"}]", DIALECT_TOKENIZE, -1, NULL},
    {"\"tools\":[{\"type\":\"function\"}]", DIALECT_TEMPLATE, -1, NULL},
    {"\"tools\":[1]", DIALECT_TEMPLATE, ERROR_INVALID_BODY, "tools"},
    {"\"tools\":{}", DIALECT_TEMPLATE, ERROR_INVALID_BODY, "tools"},
    {"\"tool_choice\":\"required\"", DIALECT_TEMPLATE, -1, NULL},
    {"\"functions\":[{}]", DIALECT_TOKENIZE, ERROR_UNSUPPORTED_PARAMETER, "functions"},
    {"\"chat_template_kwargs\":{}", DIALECT_TEMPLATE, -1, NULL},
    {"\"chat_template_kwargs\":[]", DIALECT_TOKENIZE, ERROR_INVALID_BODY, "chat_template_kwargs"},
    {"\"add_generation_prompt\":false", DIALECT_TEMPLATE, -1, NULL},
    {"\"add_generation_prompt\":1", DIALECT_TOKENIZE, ERROR_INVALID_BODY, "add_generation_prompt"},
    {"\"prompt\":[1]", DIALECT_TOKENIZE, ERROR_INVALID_BODY, "prompt"},
    {"\"content\":1", DIALECT_TOKENIZE, ERROR_INVALID_BODY, "content"},
    {"\"with_pieces\":1", DIALECT_TOKENIZE, ERROR_INVALID_BODY, "with_pieces"},
    {"\"return_token_strs\":\"\"", DIALECT_TOKENIZE, ERROR_INVALID_BODY, "return_token_strs"},
    {"\"tokens\":\"x\"", DIALECT_DETOKENIZE, ERROR_INVALID_BODY, "tokens"},
    {"\"temperature\":9", DIALECT_DETOKENIZE, -1, NULL}, /* not a field there */
    /* r1: a field of the other dialect was read unchecked, and ended the router */
    {"\"max_completion_tokens\":\"a\"", DIALECT_COMPLETION, -1, NULL},
    {"\"max_output_tokens\":16", DIALECT_RESPONSES, -1, NULL},
    {"\"max_output_tokens\":0", DIALECT_RESPONSES, ERROR_INVALID_BODY, "max_output_tokens"},
    {"\"max_tokens\":\"a\",\"n\":\"a\"", DIALECT_RESPONSES, -1, NULL}, /* not fields there */
    {"\"instructions\":[]", DIALECT_RESPONSES, ERROR_INVALID_BODY, "instructions"},
    {"\"reasoning\":\"low\"", DIALECT_RESPONSES, ERROR_INVALID_BODY, "reasoning"},
    {"\"text\":\"x\"", DIALECT_RESPONSES, ERROR_INVALID_BODY, "text"},
    {"\"include\":{}", DIALECT_RESPONSES, ERROR_INVALID_BODY, "include"},
    {"\"top_logprobs\":21", DIALECT_RESPONSES, ERROR_INVALID_BODY, "top_logprobs"},
    {"\"store\":1", DIALECT_RESPONSES, ERROR_INVALID_BODY, "store"},
    {"\"previous_response_id\":\"\"", DIALECT_RESPONSES, ERROR_INVALID_BODY, "previous_response_id"},
    {"\"metadata\":[]", DIALECT_RESPONSES, ERROR_INVALID_BODY, "metadata"},
    {"\"truncation\":1", DIALECT_RESPONSES, ERROR_INVALID_BODY, "truncation"},
    {"\"background\":false", DIALECT_RESPONSES, -1, NULL},
    {"\"background\":true", DIALECT_RESPONSES, ERROR_UNSUPPORTED_PARAMETER, "background"},
    {"\"prompt\":{}", DIALECT_RESPONSES, ERROR_UNSUPPORTED_PARAMETER, "prompt"},
    {"\"conversation\":\"c\"", DIALECT_RESPONSES, ERROR_UNSUPPORTED_PARAMETER, "conversation"},
    {"\"conversation\":null", DIALECT_RESPONSES, -1, NULL},
    {"\"temperature\":3", DIALECT_RESPONSES, ERROR_INVALID_BODY, "temperature"},
    {"\"tools\":[]", DIALECT_CHAT, -1, NULL},
    {"\"tools\":[{\"type\":\"function\"}]", DIALECT_CHAT, -1, NULL},
    {"\"parallel_tool_calls\":false", DIALECT_CHAT, -1, NULL},
    {"\"parallel_tool_calls\":0", DIALECT_CHAT, ERROR_INVALID_BODY, "parallel_tool_calls"},
    {"\"functions\":[{}]", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "functions"},
    {"\"function_call\":\"f\"", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "function_call"},
    {"\"tool_choice\":\"auto\"", DIALECT_CHAT, -1, NULL},
    {"\"tool_choice\":\"required\"", DIALECT_CHAT, -1, NULL},
    {"\"response_format\":{\"type\":\"text\"}", DIALECT_CHAT, -1, NULL},
    {"\"response_format\":{\"type\":\"json_object\"}", DIALECT_CHAT, -1, NULL},
    {"\"response_format\":\"json\"", DIALECT_CHAT, ERROR_INVALID_BODY, "response_format"},
};

static void test_rows(void **state)
{
    struct params p;
    struct param_error e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = read_with(rows[i].member, rows[i].dialect, &p, &e);
        if ((rc == 0) != (rows[i].error < 0))
            fail_msg("%s: rc %d (%s)", rows[i].member, rc, e.text);
        if (rc == 0)
            continue;
        assert_int_equal(e.error, rows[i].error);
        assert_string_equal(e.param, rows[i].param);
        assert_non_null(strstr(e.text, rows[i].param)); /* the sentence names the field */
    }
}

static void test_the_body_itself(void **state)
{
    static const char *const bad[] = {"[]", "1", "{}", "{\"model\":5}", "{\"model\":\"\"}",
                                      "{\"model\":\"\\u0000x\"}", "{\"model\":\"m\\u0000x\"}"};
    struct params p;
    struct param_error e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct json_object *body = parse(bad[i]);
        assert_int_not_equal(params_read(&p, body, DIALECT_CHAT, &e), 0);
        assert_int_equal(e.error, ERROR_INVALID_BODY);
        json_free(&body);
    }
    assert_int_not_equal(params_read(&p, NULL, DIALECT_CHAT, &e), 0);
}

static void test_values(void **state)
{
    struct params p;
    struct param_error e;

    (void)state;
    assert_int_equal(read_with("\"max_tokens\":5,\"max_completion_tokens\":7,\"seed\":-2,"
                               "\"stream\":true",
                               DIALECT_CHAT, &p, &e),
                     0);
    assert_int_equal(p.max_tokens, 7); /* the newer name wins */
    assert_true(p.has_seed && p.seed == (uint64_t)-2);
    assert_true(p.is_stream);
    assert_string_equal(p.model, "m");
    assert_int_equal(p.n, 1);
    assert_int_equal(p.logprobs, -1);
    assert_true(p.add_special_tokens && p.add_generation_prompt && !p.has_echo);

    assert_int_equal(read_with("\"n\":3,\"logprobs\":true", DIALECT_CHAT, &p, &e), 0);
    assert_int_equal(p.n, 3);
    assert_int_equal(p.logprobs, 0);
    assert_int_equal(p.max_tokens, -1);
    assert_int_equal(read_with("\"logprobs\":5,\"echo\":true,\"max_tokens\":0", DIALECT_COMPLETION,
                               &p, &e),
                     0);
    assert_int_equal(p.logprobs, 5);
    assert_int_equal(p.max_tokens, 0);
    assert_true(p.has_echo);

    /* a rendered text has its special tokens already */
    assert_int_equal(read_with("\"prompt\":\"\"", DIALECT_TOKENIZE, &p, &e), 0);
    assert_true(p.add_special_tokens);
    assert_int_equal(read_with("\"messages\":[1]", DIALECT_TOKENIZE, &p, &e), 0);
    assert_false(p.add_special_tokens);
    assert_int_equal(read_with("\"messages\":[1],\"add_special_tokens\":true", DIALECT_TOKENIZE,
                               &p, &e),
                     0);
    assert_true(p.add_special_tokens);
}

/* The texts may do without a model; the others may not. */
static void test_no_model(void **state)
{
    struct json_object *body = parse("{\"prompt\":\"x\",\"messages\":[1],\"tokens\":[]}");
    struct params p;
    struct param_error e;

    (void)state;
    assert_int_not_equal(params_read(&p, body, DIALECT_CHAT, &e), 0);
    assert_int_not_equal(params_read(&p, body, DIALECT_COMPLETION, &e), 0);
    for (int d = DIALECT_TOKENIZE; d <= DIALECT_TEMPLATE; d++) {
        assert_int_equal(params_read(&p, body, (enum dialect)d, &e), 0);
        assert_string_equal(p.model, "");
    }
    json_free(&body);
}

static void test_canonical_form(void **state)
{
    static const struct {
        const char *body;
        enum dialect dialect;
        const char *canonical;
    } cases[] = {
        {"{\"model\":\"m\"}", DIALECT_CHAT, ",\"stop\":[],\"sampling\":{}"},
        {"{\"model\":\"m\",\"max_tokens\":3,\"stop\":\"a\"}", DIALECT_CHAT,
         ",\"max_tokens\":3,\"stop\":[\"a\"],\"sampling\":{}"},
        {"{\"model\":\"m\",\"stop\":[\"\",\"b\",\"c\\n\"]}", DIALECT_CHAT,
         ",\"stop\":[\"b\",\"c\\n\"],\"sampling\":{}"},
        {"{\"model\":\"m\",\"top_k\":5,\"temperature\":0.5,\"user\":\"u\"}", DIALECT_CHAT,
         ",\"stop\":[],\"sampling\":{\"temperature\":0.5,\"top_k\":5}"},
        {"{\"model\":\"m\",\"logprobs\":true,\"top_logprobs\":2,\"n\":2}", DIALECT_CHAT,
         ",\"logprobs\":2,\"stop\":[],\"sampling\":{}"},
        {"{\"model\":\"m\",\"echo\":true,\"max_tokens\":0,\"logprobs\":1,"
         "\"add_special_tokens\":false}",
         DIALECT_COMPLETION,
         ",\"max_tokens\":0,\"logprobs\":1,\"echo\":true,\"add_special_tokens\":false,\"stop\":[],"
         "\"sampling\":{}"},
        {"{\"messages\":[1],\"with_pieces\":true,\"add_generation_prompt\":false,"
         "\"chat_template_kwargs\":{\"a\":1},\"stop\":\"x\",\"temperature\":1}",
         DIALECT_TOKENIZE,
         ",\"pieces\":true,\"add_special_tokens\":false,\"add_generation_prompt\":false,"
         "\"sampling\":{\"chat_template_kwargs\":{\"a\":1}}"},
        {"{\"messages\":[1],\"reasoning_effort\":\"low\"}", DIALECT_TEMPLATE,
         ",\"sampling\":{\"reasoning_effort\":\"low\"}"},
        {"{\"tokens\":[1]}", DIALECT_DETOKENIZE, ",\"sampling\":{}"},
        {"{\"model\":\"m\",\"max_tokens\":3,\"stop_sequences\":[\"\",\"b\"],\"stop\":\"c\",\"top_k\":5,"
         "\"output_config\":{\"effort\":\"low\"},\"reasoning_effort\":\"high\"}",
         DIALECT_MESSAGES,
         ",\"max_tokens\":3,\"stop\":[\"b\"],\"sampling\":{\"top_k\":5,\"reasoning_effort\":\"low\"}"},
        {"{\"model\":\"m\",\"max_tokens\":3,\"top_k\":5,\"output_config\":{\"effort\":\"low\"}}",
         DIALECT_COUNT, ",\"sampling\":{\"reasoning_effort\":\"low\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_object *body = parse(cases[i].body);
        struct params p;
        struct param_error e;
        struct buf out = {0};

        assert_int_equal(params_read(&p, body, cases[i].dialect, &e), 0);
        params_write(&p, body, cases[i].dialect, &out);
        assert_string_equal(buf_text(&out), cases[i].canonical);
        buf_free(&out);
        json_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_the_body_itself),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_no_model),
        cmocka_unit_test(test_canonical_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

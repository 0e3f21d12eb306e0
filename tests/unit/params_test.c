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
    {"\"stream_options\":{\"include_usage\":true}", DIALECT_CHAT, -1, NULL},
    {"\"stream_options\":1", DIALECT_CHAT, ERROR_INVALID_BODY, "stream_options"},
    {"\"n\":1", DIALECT_CHAT, -1, NULL},
    {"\"n\":2", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "n"},
    {"\"best_of\":3", DIALECT_COMPLETION, ERROR_UNSUPPORTED_PARAMETER, "best_of"},
    {"\"logprobs\":false", DIALECT_CHAT, -1, NULL},
    {"\"logprobs\":true", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "logprobs"},
    {"\"logprobs\":5", DIALECT_COMPLETION, ERROR_UNSUPPORTED_PARAMETER, "logprobs"},
    {"\"echo\":true", DIALECT_COMPLETION, ERROR_UNSUPPORTED_PARAMETER, "echo"},
    {"\"suffix\":\"\"", DIALECT_COMPLETION, -1, NULL},
    {"\"suffix\":\"x\"", DIALECT_COMPLETION, ERROR_UNSUPPORTED_PARAMETER, "suffix"},
    {"\"suffix\":\"auto\"", DIALECT_COMPLETION, ERROR_UNSUPPORTED_PARAMETER, "suffix"},
    {"\"n\":\"none\"", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "n"},
    {"\"n\":false", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "n"},
    {"\"tools\":\"auto\"", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "tools"},
    {"\"logprobs\":0", DIALECT_COMPLETION, -1, NULL},
    {"\"logprobs\":\"auto\"", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "logprobs"},
    /* r1: a field of the other dialect was read unchecked, and ended the router */
    {"\"max_completion_tokens\":\"a\"", DIALECT_COMPLETION, -1, NULL},
    {"\"tools\":[]", DIALECT_CHAT, -1, NULL},
    {"\"tools\":[{\"type\":\"function\"}]", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "tools"},
    {"\"tool_choice\":\"auto\"", DIALECT_CHAT, -1, NULL},
    {"\"tool_choice\":\"required\"", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER, "tool_choice"},
    {"\"response_format\":{\"type\":\"text\"}", DIALECT_CHAT, -1, NULL},
    {"\"response_format\":{\"type\":\"json_object\"}", DIALECT_CHAT, ERROR_UNSUPPORTED_PARAMETER,
     "response_format"},
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
}

static void test_canonical_form(void **state)
{
    static const struct {
        const char *body, *canonical;
    } cases[] = {
        {"{\"model\":\"m\"}", ",\"stop\":[],\"sampling\":{}"},
        {"{\"model\":\"m\",\"max_tokens\":3,\"stop\":\"a\"}",
         ",\"max_tokens\":3,\"stop\":[\"a\"],\"sampling\":{}"},
        {"{\"model\":\"m\",\"stop\":[\"\",\"b\",\"c\\n\"]}",
         ",\"stop\":[\"b\",\"c\\n\"],\"sampling\":{}"},
        {"{\"model\":\"m\",\"top_k\":5,\"temperature\":0.5,\"user\":\"u\"}",
         ",\"stop\":[],\"sampling\":{\"temperature\":0.5,\"top_k\":5}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_object *body = parse(cases[i].body);
        struct params p;
        struct param_error e;
        struct buf out = {0};

        assert_int_equal(params_read(&p, body, DIALECT_CHAT, &e), 0);
        params_write(&p, body, DIALECT_CHAT, &out);
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
        cmocka_unit_test(test_canonical_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Each keyword of a schema: what is taken, what is not, what is refused and how. */
#include "tests/unit/grammar_fixture.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct schema_case {
    const char *schema;
    const char *good[8], *bad[10];
};

/* Strings with bytes that C cannot write in one literal are cut. */
static const struct schema_case cases[] = {
    {"{\"type\":\"null\"}", {"null"}, {"", "nul", "nulll", " null", "true"}},
    {"{\"type\":\"boolean\"}", {"true", "false"}, {"True", "0", "tru"}},
    {"{\"type\":\"integer\"}",
     {"0", "-0", "7", "-12", "123456789012345678"},
     {"01", "+1", "1.0", "1e3", "-", "1234567890123456789", "--1"}},
    {"{\"type\":\"number\"}",
     {"0", "-1.5", "10.25e-3", "1E+9", "3e10"},
     {"1.", ".5", "1e", "1e100", "NaN", "0x1", "00"}},
    {"{\"type\":\"string\"}",
     {"\"\"", "\"a\xc3\xa9\"", "\"\\n\\u00e9\\/\"", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
     {"\"", "\"\n\"", "\"\\x\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\xc3\"", "\"\xed\xa0\x80\"",
      "\"\\ud83d\\u0041\"", "\"\\u12\"", "\"\xc0\x80\""}},
    {"true",
     {"1", "{\"a\": [1, {}]}", "[]", "[\n  1,\n  2\n]", "\"x\""},
     {"[1 ]x", "[,]", "{1:2}"}},
    {"{}", {"null", "{}", "{ }", "[ ]"}, {"[1  ]", "{\"a\" :1}", "[1 , 2]"}},
    {"{\"type\":\"array\"}", {"[]", "[1,2, \"a\"]"}, {"{}", "[1,]", "[1 2]"}},
    {"{\"type\":\"object\"}",
     {"{}", "{\"a\":1}", "{\"a\": {\"b\": []}}"},
     {"[]", "{\"a\":}", "{,}"}},
    {"{\"type\":[\"string\",\"null\"]}", {"null", "\"a\""}, {"1", "[]"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"null\"},"
     "\"ab\":{\"type\":\"boolean\"}},\"required\":[\"b\"],\"additionalProperties\":false}",
     {"{\"b\":null}", "{\"a\":1,\"b\":null}", "{ \"a\": 1, \"b\": null, \"ab\": true }",
      "{\n  \"b\": null,\n  \"ab\": false\n}"},
     {"{}", "{\"a\":1}", "{\"b\":null,\"a\":1}", "{\"b\":null,}", "{\"b\":null,\"c\":1}",
      "{\"b\":null \"ab\":true}", "{\"b\":null,\"b\":null}", "{\"a\":\"1\",\"b\":null}"}},
    {"{\"properties\":{\"a\":{\"type\":\"integer\"}}}", {"{}", "{\"a\":3}"}, {"3", "{\"c\":3}"}},
    {"{\"properties\":{\"ab\":{\"type\":\"null\"}},\"additionalProperties\":{\"type\":\"integer\"}"
     "}",
     {"{}", "{\"ab\":null}", "{\"a\":1}", "{\"abc\":1,\"\":2}", "{\"ab\":null,\"x\":1,\"y\":2}"},
     {"{\"ab\":1}", "{\"a\":null}", "{\"x\":1,\"ab\":null}", "{\"\\u0061b\":1}"}},
    {"{\"properties\":{},\"required\":[\"x\"],\"additionalProperties\":{\"type\":\"integer\"}}",
     {"{\"x\":1}", "{\"x\":1,\"y\":2}"},
     {"{}", "{\"y\":2}", "{\"x\":null}"}},
    {"{\"properties\":{\"a\":false,\"b\":true}}", {"{}", "{\"b\":[]}"}, {"{\"a\":1}"}},
    {"{\"items\":{\"type\":\"integer\"}}", {"[]", "[1]", "[1, 2,3]"}, {"[null]", "[1,]", "1"}},
    {"{\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}",
     {"[1,2]", "[1,2,3]"},
     {"[]", "[1]", "[1,2,3,4]", "[1,2,]"}},
    {"{\"items\":{\"type\":\"integer\"},\"minItems\":3}", {"[1,2,3]", "[1,2,3,4,5]"}, {"[1,2]"}},
    {"{\"maxItems\":0,\"type\":\"array\"}", {"[]", "[ ]"}, {"[1]"}},
    {"{\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"boolean\"}],\"items\":{\"type\":"
     "\"integer\"}}",
     {"[]", "[null]", "[null,true]", "[null,true,1,2]"},
     {"[true]", "[null,1]", "[null,true,null]"}},
    {"{\"items\":[{\"type\":\"null\"}],\"additionalItems\":false}", {"[]", "[null]"}, {"[null,1]"}},
    {"{\"type\":\"array\",\"items\":false}", {"[]"}, {"[1]"}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"\xe6\x97\xa5\xe6\x9c\xac\"", "\"\\n\\n\\n\"", "\"\\ud83d\\ude00x\""},
     {"\"a\"", "\"abcd\"", "\"\\ud83d\\ude00\"", "\"\\n\""}},
    {"{\"type\":\"string\",\"maxLength\":0}", {"\"\""}, {"\"a\""}},
    {"{\"pattern\":\"^[a-c]+$\"}", {"\"abc\""}, {"\"\"", "\"abd\"", "\"\\u0061\""}},
    {"{\"pattern\":\"b\"}", {"\"b\"", "\"abc\"", "\"\\nb\""}, {"\"\"", "\"ac\""}},
    {"{\"pattern\":\"^a|b$\"}", {"\"ac\"", "\"cb\""}, {"\"cac\"", "\"bc\""}},
    {"{\"pattern\":\"^(?:x|yz){2,3}?$\"}", {"\"xx\"", "\"yzxyz\""}, {"\"x\"", "\"xxxx\""}},
    {"{\"pattern\":\"^\\\\d{2}\\\\.\\\\w$\"}", {"\"12.a\"", "\"00._\""}, {"\"12xa\"", "\"1.a\""}},
    {"{\"pattern\":\"^[^\\\\x00-\\\\x7f]$\"}", {"\"\xc3\xa9\""}, {"\"a\"", "\"\""}},
    {"{\"pattern\":\"^[\\\\u00e0-\\\\u00ef\xe6\x97\xa5]$\"}",
     {"\"\xc3\xa9\"", "\"\xe6\x97\xa5\""},
     {"\"\xc3\xb1\"", "\"a\""}},
    {"{\"pattern\":\"^[\\\"\\\\\\\\\\\\n]{3}$\"}",
     {"\"\\\"\\\\\\n\""},
     {"\"\\\"\\\"\"", "\"abc\""}},
    {"{\"pattern\":\"^a{0}b$\"}", {"\"b\""}, {"\"ab\"", "\"\""}},
    {"{\"pattern\":\"^[a-z]*$\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"abc\""},
     {"\"a\"", "\"abcd\"", "\"A1\""}},
    {"{\"format\":\"date\"}",
     {"\"2024-02-28\"", "\"1999-12-31\""},
     {"\"2024-02-30\"", "\"24-1-1\""}},
    {"{\"format\":\"uuid\"}",
     {"\"123e4567-e89b-12d3-a456-426614174000\""},
     {"\"123e4567e89b12d3a456426614174000\""}},
    {"{\"format\":\"ipv4\"}", {"\"127.0.0.1\"", "\"255.1.20.0\""}, {"\"256.0.0.1\"", "\"1.2.3\""}},
    {"{\"type\":\"integer\",\"format\":\"int32\"}", {"5"}, {"\"5\""}},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":123}",
     {"-5", "0", "9", "10", "99", "123"},
     {"-6", "124", "-0", "200", "1000", "01"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":9,\"exclusiveMaximum\":101}",
     {"10", "100"},
     {"9", "101", "-50"}},
    {"{\"type\":\"integer\",\"minimum\":0.5,\"maximum\":2.5}", {"1", "2"}, {"0", "3"}},
    {"{\"type\":\"integer\",\"maximum\":9223372036854775807,\"minimum\":1}", {"1", "77"}, {"0"}},
    {"{\"type\":\"integer\",\"maximum\":-3}", {"-3", "-10"}, {"-2", "0", "3"}},
    {"{\"type\":\"number\",\"minimum\":0.25,\"exclusiveMaximum\":2}",
     {"0.25", "0.3", "1", "1.99", "0.250"},
     {"0.24", "2", "2.0", "0.2", "-1", "1e0", "0"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":-1.5,\"maximum\":0}",
     {"-1.4", "-0.5", "0", "0.0", "-0"},
     {"-1.5", "-1.50", "-2", "0.1", "1"}},
    {"{\"type\":\"number\",\"minimum\":1.25,\"maximum\":1.5}",
     {"1.25", "1.3", "1.5"},
     {"1.2", "1.51"}},
    {"{\"type\":\"number\",\"minimum\":1e-3}", {"0.001", "1", "2000.5"}, {"0", "0.0009", "-1"}},
    {"{\"enum\":[\"a\",1,null,{\"k\":[true]}]}",
     {"\"a\"", "1", "null", "{\"k\":[true]}"},
     {"\"b\"", "2", "{\"k\":[]}"}},
    {"{\"const\":null}", {"null"}, {"1"}},
    {"{\"type\":\"string\",\"enum\":[\"a\",1]}", {"\"a\""}, {"1"}},
    {"{\"type\":\"integer\",\"enum\":[1,5,9],\"minimum\":4}", {"5", "9"}, {"1"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}",
     {"12", "\"a\""},
     {"\"ab\"", "null"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"anyOf\":[{\"required\":"
     "[\"a\"]},{\"properties\":{\"b\":{\"const\":1}},\"required\":[\"b\"]}]}",
     {"{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":1}"},
     {"{}", "{\"b\":2}"}},
    {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]}", {"\"a\"", "1.5"}, {"null"}},
    {"{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},"
     "{\"properties\":{\"a\":{\"minimum\":3},\"b\":{\"type\":\"null\"}}}]}",
     {"{\"a\":3}", "{\"a\":4,\"b\":null}"},
     {"{\"a\":2}", "{}", "{\"a\":3,\"b\":1}"}},
    {"{\"allOf\":[{\"additionalProperties\":false,\"properties\":{\"a\":{}}},{\"properties\":{"
     "\"b\":"
     "{}}}]}",
     {"{}", "{\"a\":1}"},
     {"{\"b\":1}"}},
    {"{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"type\":\"null\"}}}", {"null"}, {"1"}},
    {"{\"$ref\":\"#/definitions/n\",\"definitions\":{\"n\":{\"properties\":{\"v\":{\"type\":"
     "\"integer\"},\"next\":{\"$ref\":\"#/definitions/n\"}},\"required\":[\"v\"]}}}",
     {"{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3}}}"},
     {"{\"next\":{\"v\":1}}", "{\"v\":1,\"next\":{}}"}},
    {"{\"properties\":{\"c\":{\"items\":{\"$ref\":\"#\"}}}}",
     {"{}", "{\"c\":[]}", "{\"c\":[{\"c\":[]},{}]}"},
     {"{\"c\":[1]}", "[]"}},
    {"{\"$ref\":\"#/$defs/a\",\"minimum\":3,\"$defs\":{\"a\":{\"type\":\"integer\"}}}",
     {"3"},
     {"2"}},
    {"{\"title\":\"t\",\"description\":\"d\",\"default\":1,\"examples\":[1],\"$comment\":\"c\","
     "\"x-order\":3,\"type\":\"null\",\"uniqueItems\":false}",
     {"null"},
     {"1"}},
};

static void test_cases(void **state)
{
    const struct grammar_vocab *v = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *g = fixture_compile(v, cases[i].schema);
        for (size_t k = 0; k < 8 && cases[i].good[k] != NULL; k++)
            if (!fixture_takes(g, cases[i].good[k], strlen(cases[i].good[k])))
                fail_msg("%s does not take %s", cases[i].schema, cases[i].good[k]);
        for (size_t k = 0; k < 10 && cases[i].bad[k] != NULL; k++)
            if (fixture_takes(g, cases[i].bad[k], strlen(cases[i].bad[k])))
                fail_msg("%s takes %s", cases[i].schema, cases[i].bad[k]);
        grammar_unref(&g);
    }
}

static const struct {
    const char *schema, *text;
    int code;
} refusals[] = {
    {"3", "#: found number, expected a schema", EINVAL},
    {"{\"type\":\"strin\"}", "#: 'type' is not one of", EINVAL},
    {"{\"properties\":{\"a\":{\"multipleOf\":2}}}", "#/properties/a: 'multipleOf' is not supported",
     EINVAL},
    {"{\"items\":{\"anyOf\":[{},{\"not\":{}}]}}", "#/items/anyOf/1: 'not' is not supported",
     EINVAL},
    {"{\"allOf\":[{},{\"if\":{}}]}", "#/allOf/1: 'if' is not supported", EINVAL},
    {"{\"uniqueItems\":true}", "#: 'uniqueItems' is not supported", EINVAL},
    {"{\"frobnicate\":1}", "#: 'frobnicate' is not a keyword", EINVAL},
    {"{\"minProperties\":1}", "'minProperties' is not supported", EINVAL},
    {"{\"patternProperties\":{}}", "'patternProperties' is not supported", EINVAL},
    {"false", "no value is of this schema", EINVAL},
    {"{\"type\":\"integer\",\"const\":\"a\"}", "no value is of this schema", EINVAL},
    {"{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "no value is of this schema",
     EINVAL},
    {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\"}}}",
     "no value is of this schema", EINVAL},
    {"{\"$ref\":\"#/$defs/b\"}", "#/$ref: '#/$defs/b' is not in the schema", EINVAL},
    {"{\"$ref\":\"other.json\"}", "expected a pointer into this schema", EINVAL},
    {"{\"allOf\":[{\"$ref\":\"#\"}]}", "more than 16 schemas for one value", E2BIG},
    {"{\"type\":\"string\",\"format\":\"color\"}", "#/format: 'color' is not a format", EINVAL},
    {"{\"pattern\":\"(?=a)b\"}", "#/pattern: pattern, byte 2: lookahead", EINVAL},
    {"{\"pattern\":\"(a)\\\\1\"}", "this escape is not supported", EINVAL},
    {"{\"pattern\":\"\\\\bx\"}", "\\b is not supported", EINVAL},
    {"{\"pattern\":\"[z-a]\"}", "a range of a class that is none", EINVAL},
    {"{\"pattern\":\"a**\"}", "nothing to repeat", EINVAL},
    {"{\"pattern\":\"(a\"}", "expected ')'", EINVAL},
    {"{\"pattern\":\"a)\"}", "unexpected ')'", EINVAL},
    {"{\"pattern\":\"(a{1000}){1000}\"}", "too large", E2BIG},
    {"{\"pattern\":\"(.*a){20}.{20}\"}", "too large", E2BIG},
    {"{\"pattern\":\"a{3000}\"}", "more than 2000 repetitions", E2BIG},
    {"{\"minLength\":-1}", "#/minLength: found another number, expected a count", EINVAL},
    {"{\"maxLength\":1000000}", "more than 50000 characters", E2BIG},
    {"{\"type\":\"integer\",\"minimum\":1e30}", "more than 18 digits", EINVAL},
    {"{\"minimum\":\"3\"}", "#/minimum: found string, expected a number", EINVAL},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}",
     "#/oneOf: alternatives 0 and 1 may both be satisfied", EINVAL},
    {"{\"anyOf\":[]}", "#/anyOf: expected an array of schemas, at least one", EINVAL},
    {"{\"enum\":3}", "'enum' is number, expected an array", EINVAL},
    {"{\"required\":[1]}", "'required' is not an array of strings", EINVAL},
    {"{\"properties\":[]}", "'properties' is array, expected an object", EINVAL},
    {"{\"items\":{\"type\":\"object\"},\"maxItems\":100000000}", "too large", E2BIG},
};

static void refuse(const struct grammar_vocab *v, const char *schema, const char *text, int code)
{
    struct json_object *o;
    struct grammar *g;
    struct err e = {0};

    assert_int_equal(json_parse(schema, strlen(schema), &o, &e), 0);
    int rc = grammar_compile_schema(v, o, NULL, &g, &e);
    json_free(&o);
    if (rc == 0)
        fail_msg("%.200s is not refused", schema);
    if (strstr(e.text, text) == NULL || rc != -code)
        fail_msg("%.200s: found '%s' (%d), expected '%s' (%d)", schema, e.text, rc, text, -code);
    assert_null(g);
}

static void test_refusals(void **state)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        refuse(*state, refusals[i].schema, refusals[i].text, refusals[i].code);
}

/* n times the middle, nested in itself. */
static char *nest(const char *begin, const char *middle, const char *end, int n)
{
    struct buf b = {0};

    for (int i = 0; i < n; i++)
        buf_add_str(&b, begin);
    buf_add_str(&b, middle);
    for (int i = 0; i < n; i++)
        buf_add_str(&b, end);
    return buf_text(&b);
}

static void test_depth(void **state)
{
    struct grammar_limits limits = GRAMMAR_LIMITS_DEFAULT;
    char *deep = nest("{\"items\":", "{}", "}", 30);
    struct json_object *o;
    struct grammar *g;
    struct err e = {0};

    assert_int_equal(json_parse(deep, strlen(deep), &o, &e), 0);
    assert_int_equal(grammar_compile_schema(*state, o, &limits, &g, &e), 0);
    grammar_unref(&g);
    limits.depth_max = 20;
    assert_int_equal(grammar_compile_schema(*state, o, &limits, &g, &e), -E2BIG);
    assert_non_null(strstr(e.text, "/items: schemas are nested more than 20 deep"));
    json_free(&o);
    free(deep);
}

/* Each definition has two of the next: written out, 2^40. */
static void test_doubling(void **state)
{
    struct buf b = {0};
    struct grammar *g;

    buf_add_str(&b, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 40; i++)
        buf_printf(&b,
                   "\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"items\":{\"$ref\":"
                   "\"#/$defs/d%d\"}}]},",
                   i, i + 1, i + 1);
    buf_add_str(&b, "\"d40\":{\"type\":\"null\"}}}");
    g = fixture_compile(*state, buf_text(&b));
    assert_true(fixture_takes(g, "[[null]]", 8));
    grammar_unref(&g);
    buf_free(&b);
}

/* Thirty unions that all name each other: written out, each in each. */
static void test_unions_of_unions(void **state)
{
    struct buf b = {0};
    struct grammar *g;

    buf_add_str(&b, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 30; i++) {
        buf_printf(&b, "%s\"d%d\":{\"items\":{\"anyOf\":[{\"type\":\"null\"}", i > 0 ? "," : "", i);
        for (int k = 0; k < 30; k++)
            buf_printf(&b, ",{\"$ref\":\"#/$defs/d%d\"}", k);
        buf_add_str(&b, "]}}");
    }
    buf_add_str(&b, "}}");
    g = fixture_compile(*state, buf_text(&b));
    assert_true(fixture_takes(g, "[[[null],[]],null]", 18));
    assert_false(fixture_takes(g, "[[[null],[1]],null]", 19));
    grammar_unref(&g);
    buf_free(&b);
}

/* Alternatives of alternatives of one value: 12 to the power of 12 together. */
static void test_combinations(void **state)
{
    struct buf b = {0};

    buf_add_str(&b, "{\"allOf\":[");
    for (int i = 0; i < 12; i++) {
        buf_add_str(&b, i > 0 ? ",{\"anyOf\":[" : "{\"anyOf\":[");
        for (int k = 0; k < 12; k++)
            buf_printf(&b, "%s{\"minimum\":%d}", k > 0 ? "," : "", i * 100 + k);
        buf_add_str(&b, "]}");
    }
    buf_add_str(&b, "]}");
    refuse(*state, buf_text(&b), "too large", E2BIG);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_doubling),
        cmocka_unit_test(test_unions_of_unions),
        cmocka_unit_test(test_combinations),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

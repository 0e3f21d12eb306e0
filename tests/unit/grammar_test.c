/* Masks against trying each token, states, tool calls, larger forms, the cache, threads. */
#include "tests/unit/grammar_fixture.h"

#include "base/check.h"
#include "base/hash.h"
#include "worker/text/grammar_compiled.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const schemas[] = {
    "{}",
    "{\"type\":\"string\"}",
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"a\":{\"type\":"
    "\"integer\"},"
    "\"value\":{\"type\":[\"number\",\"null\"]}},\"required\":[\"a\"]}",
    "{\"type\":\"string\",\"minLength\":3,\"maxLength\":12}",
    "{\"type\":\"string\",\"pattern\":\"^[a-z]{2,9}( [A-Z]+)?$\"}",
    "{\"type\":\"string\",\"pattern\":\"^[^\\\"a]*\\\"?$\"}",
    "{\"type\":\"string\",\"pattern\":\"^.{0,5}\\\\n$\"}",
    "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}},"
    "\"minItems\":1,\"maxItems\":3}",
    "{\"type\":\"integer\",\"minimum\":-120,\"maximum\":2024}",
    "{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":100.5}",
    "{\"enum\":[\"abc\",\"abcd\",\"the\",\"name\",12,123,true,null]}",
    "{\"anyOf\":[{\"type\":\"string\",\"maxLength\":4},{\"type\":\"string\",\"pattern\":\"^ab\"},"
    "{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}]}",
    "{\"properties\":{\"a\":{\"$ref\":\"#\"},\"name\":{}},\"additionalProperties\":{\"type\":"
    "\"null\"}}",
    "{\"anyOf\":[{\"$ref\":\"#/$defs/x\"},{\"$ref\":\"#/$defs/y\"}],\"$defs\":{\"x\":{\"type\":"
    "\"array\",\"items\":{\"$ref\":\"#\"}},\"y\":{\"type\":\"array\",\"items\":{\"anyOf\":[{\"$"
    "ref\":"
    "\"#/$defs/y\"},{\"type\":\"integer\"}]}}}}",
};
#define N_SCHEMAS (sizeof schemas / sizeof *schemas)

static uint32_t n_vocab = FIXTURE_N;
static uint64_t n_drawn;
static uint32_t draw(uint32_t n)
{
    return (uint32_t)(hash_mix(7, n_drawn++) % n);
}

static bool has_bit(const uint32_t *bits, uint32_t id)
{
    return (bits[id / 32] >> id % 32 & 1) != 0;
}

/* Each token of the vocabulary: allowed if and only if the state behind `text` takes it. */
static uint32_t check_mask(struct grammar *g, struct grammar_state *s, const struct buf *text)
{
    uint32_t bits[GRAMMAR_MASK_WORDS(FIXTURE_LARGE)], n = 0;
    struct grammar_state *other = grammar_state_new(g);
    struct buf token = {0};

    assert_true(grammar_state_advance(other, text->data, text->len));
    grammar_state_mask(s, bits);
    for (uint32_t id = 0; id < n_vocab; id++) {
        buf_clear(&token);
        fixture_bytes(NULL, id, &token);
        bool takes = token.len > 0 && grammar_state_advance(other, token.data, token.len);
        if (takes) {
            grammar_state_reset(other);
            grammar_state_advance(other, text->data, text->len);
        }
        if (takes != has_bit(bits, id))
            fail_msg("behind '%.*s' token %u '%s': taken %d, allowed %d", (int)text->len,
                     text->data, id, buf_text(&token), takes, !takes);
        n += takes;
    }
    grammar_state_free(&other);
    buf_free(&token);
    return n;
}

static uint32_t choose(struct grammar_state *s, uint32_t n)
{
    uint32_t bits[GRAMMAR_MASK_WORDS(FIXTURE_LARGE)], nth = draw(n);

    grammar_state_mask(s, bits);
    for (uint32_t id = 0;; id++)
        if (has_bit(bits, id) && nth-- == 0)
            return id;
}

/* A random walk; at each step the mask is compared with trying, and the state with one that has got
 * all the bytes at once. */
static void walk(struct grammar *g, int n_tokens)
{
    struct grammar_state *s = grammar_state_new(g), *again = grammar_state_new(g);
    struct buf text = {0}, token = {0};

    buf_reserve(&text, 1);
    for (int i = 0; i < n_tokens; i++) {
        uint32_t n = check_mask(g, s, &text);
        assert_true(n > 0 || grammar_state_is_complete(s));
        if (n == 0)
            break;
        buf_clear(&token);
        fixture_bytes(NULL, choose(s, n), &token);
        assert_true(grammar_state_advance(s, token.data, token.len));
        buf_add(&text, token.data, token.len);
        grammar_state_reset(again);
        assert_true(grammar_state_advance(again, text.data, text.len));
        assert_int_equal(grammar_state_is_complete(s), grammar_state_is_complete(again));
    }
    grammar_state_free(&s);
    grammar_state_free(&again);
    buf_free(&text);
    buf_free(&token);
}

static void test_masks(void **state)
{
    for (size_t i = 0; i < N_SCHEMAS; i++) {
        struct grammar *g = fixture_compile(*state, schemas[i]);
        for (int k = 0; k < 4; k++)
            walk(g, 25);
        grammar_unref(&g);
    }
}

/* Where groups of tokens are taken without a look at each. */
static void test_masks_of_groups(void **state)
{
    static const char *const grouped[] = {
        "{\"type\":\"string\"}",
        "{\"type\":\"string\",\"minLength\":2,\"maxLength\":5}",
        "{\"type\":\"string\",\"pattern\":\"^[a-z]{3,6}[A-Z ]*$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[a-z]{2}([a-z]{2})*$\"}",
        "{\"type\":\"string\",\"pattern\":\"^([a-z]{3}|[a-z]{4} )$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[^x-z]{1,4}$\"}",
        "{\"type\":\"string\",\"pattern\":\"[0-9].[A-Z]\"}",
        "{\"anyOf\":[{\"type\":\"string\",\"maxLength\":3},{\"type\":\"string\",\"pattern\":\"^[a-"
        "z]+$\"}"
        "]}",
        "{\"type\":\"integer\"}",
        "{}",
    };
    (void)state;
    struct grammar_vocab *v = grammar_vocab_new(FIXTURE_LARGE, fixture_bytes, NULL);

    n_vocab = FIXTURE_LARGE;
    for (size_t i = 0; i < sizeof grouped / sizeof *grouped; i++) {
        struct grammar *g = fixture_compile(v, grouped[i]);
        for (int k = 0; k < 6; k++)
            walk(g, 5);
        grammar_unref(&g);
    }
    n_vocab = FIXTURE_N;
    grammar_vocab_free(&v);
}

/* States of a long count have one mask as long as no token reaches its end, and then their own. */
static void test_long_count(void **state)
{
    static const char schema[] = "{\"anyOf\":[{\"type\":\"string\",\"maxLength\":300},"
                                 "{\"type\":\"string\",\"pattern\":\"^x{250}[A-Z]{2}$\"}]}";
    struct grammar *g = fixture_compile(*state, schema);
    struct grammar_state *s = grammar_state_new(g);
    struct buf text = {0};
    uint32_t n_own = 0;

    for (uint32_t i = 0; i < g->automaton.n_states; i++)
        n_own += g->automaton.states[i].twin == i;
    assert_true(n_own < g->automaton.n_states / 2);
    buf_add_char(&text, '"');
    assert_true(grammar_state_advance(s, "\"", 1));
    for (int i = 0; i < 300; i++) {
        if (i < 3 || i % 16 == 0 || i > 240)
            check_mask(g, s, &text);
        assert_true(grammar_state_advance(s, "x", 1));
        buf_add_char(&text, 'x');
    }
    check_mask(g, s, &text);
    grammar_state_free(&s);
    grammar_unref(&g);
    buf_free(&text);
}

/* No mask is remembered: they are the same. */
static void test_masks_without_memory(void **state)
{
    struct grammar_limits limits = GRAMMAR_LIMITS_DEFAULT;
    struct json_object *o;
    struct grammar *g;

    limits.mask_bytes = 0;
    assert_int_equal(json_parse(schemas[4], strlen(schemas[4]), &o, NULL), 0);
    assert_int_equal(grammar_compile_schema(*state, o, &limits, &g, NULL), 0);
    json_free(&o);
    size_t before = grammar_memory(g);
    walk(g, 10);
    assert_int_equal(grammar_memory(g), before);
    grammar_unref(&g);
}

static void test_refused_token_changes_nothing(void **state)
{
    struct grammar *g = fixture_compile(*state, schemas[2]);
    struct grammar_state *s = grammar_state_new(g);

    assert_true(grammar_state_advance(s, "{\"a\":1", 6));
    assert_false(grammar_state_advance(s, "2,\"b\"", 5));
    assert_false(grammar_state_advance(s, "}}", 2));
    assert_true(grammar_state_advance(s, "2}", 2));
    assert_true(grammar_state_is_complete(s));
    assert_false(grammar_state_advance(s, " ", 1));
    grammar_state_free(&s);
    grammar_unref(&g);
}

static void test_nothing_but_the_end(void **state)
{
    uint32_t bits[GRAMMAR_MASK_WORDS(FIXTURE_N)];
    struct grammar *g = fixture_compile(*state, "{\"const\":\"abc\"}");
    struct grammar_state *s = grammar_state_new(g);

    assert_false(grammar_state_is_complete(s));
    assert_true(grammar_state_advance(s, "\"abc\"", 5));
    assert_true(grammar_state_is_complete(s));
    grammar_state_mask(s, bits);
    for (size_t i = 0; i < GRAMMAR_MASK_WORDS(FIXTURE_N); i++)
        assert_int_equal(bits[i], 0);
    grammar_state_free(&s);
    grammar_unref(&g);
}

/* A long, deep answer: what is not needed any more is given back, and nothing is lost. */
static void test_long_answer(void **state)
{
    struct grammar *g = fixture_compile(*state, "{}");
    struct grammar_state *s = grammar_state_new(g);

    for (int i = 0; i < 500; i++)
        assert_true(grammar_state_advance(s, "[{\"a\":", 6));
    for (int i = 0; i < 20000; i++)
        assert_true(grammar_state_advance(s, i == 0 ? "[1" : ",\"x\"", i == 0 ? 2 : 4));
    assert_true(grammar_state_advance(s, "]", 1));
    for (int i = 0; i < 500; i++) {
        assert_false(grammar_state_is_complete(s));
        assert_true(grammar_state_advance(s, "}]", 2));
    }
    assert_true(grammar_state_is_complete(s));
    grammar_state_free(&s);
    grammar_unref(&g);
}

static void test_object(void **state)
{
    struct grammar *g;

    assert_int_equal(grammar_compile_object(*state, &g, NULL), 0);
    assert_true(fixture_takes(g, "{\"a\": [1, {}]}", 14));
    assert_false(fixture_takes(g, "[]", 2));
    assert_false(fixture_takes(g, "{}\n", 3));
    grammar_unref(&g);
}

/* --- tool calls --- */

#define PARAMETERS \
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":" \
    "\"integer\"},\"unit\":{\"enum\":[\"C\",\"F\"]},\"zip\":{\"type\":\"string\",\"pattern\":" \
    "\"^[0-9]{5}$\"},\"tags\":{\"$ref\":\"#/$defs/tags\"}},\"required\":[\"city\"]," \
    "\"additionalProperties\":false,\"$defs\":{\"tags\":{\"type\":\"array\",\"items\":{\"type\":" \
    "\"string\"}}}}"

struct calls_fixture {
    struct json_object *parameters;
    struct grammar_tool tools[2];
    struct grammar *grammar;
};

static void compile_calls(struct calls_fixture *f, const struct grammar_vocab *v,
                          struct grammar_calls calls)
{
    struct err e = {0};

    assert_int_equal(json_parse(PARAMETERS, strlen(PARAMETERS), &f->parameters, &e), 0);
    f->tools[0] = (struct grammar_tool){
        .name = "get", .name_len = 3, .parameters = f->parameters, .is_strict = true};
    f->tools[1] = (struct grammar_tool){.name = "any", .name_len = 3, .parameters = f->parameters};
    calls.tools = f->tools;
    calls.n_tools = 2;
    if (grammar_compile_calls(v, &calls, NULL, &f->grammar, &e) != 0)
        fail_msg("%s", e.text);
}

static void free_calls(struct calls_fixture *f)
{
    grammar_unref(&f->grammar);
    json_free(&f->parameters);
}

static bool takes(struct calls_fixture *f, const char *text)
{
    return fixture_takes(f->grammar, text, strlen(text));
}

#define JSON_CALL(name, arguments) \
    "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"

static void test_json_calls(void **state)
{
    struct calls_fixture f;

    compile_calls(&f, *state, (struct grammar_calls){.form = GRAMMAR_CALL_JSON});
    assert_true(takes(&f, JSON_CALL("get", "{\"city\": \"Oslo\", \"unit\": \"C\"}")));
    assert_true(takes(&f, JSON_CALL("any", "{\"whatever\": [1]}")));
    assert_false(takes(&f, JSON_CALL("get", "{\"unit\": \"C\"}")));
    assert_false(takes(&f, JSON_CALL("get", "{\"city\": \"Oslo\", \"unit\": \"K\"}")));
    assert_false(takes(&f, JSON_CALL("set", "{}")));
    assert_false(takes(&f, "text"));
    assert_false(takes(&f, JSON_CALL("any", "{}") "\n" JSON_CALL("any", "{}")));
    walk(f.grammar, 12);
    free_calls(&f);
}

static void test_optional_parallel_calls(void **state)
{
    struct calls_fixture f;

    compile_calls(&f, *state,
                  (struct grammar_calls){
                      .form = GRAMMAR_CALL_JSON, .is_optional = true, .is_parallel = true});
    assert_true(takes(&f, ""));
    assert_true(takes(&f, "No call, <tool> <tool_cal\xc3\xa9 at all.\n"));
    assert_true(takes(&f, "So:\n" JSON_CALL("any", "{}")));
    assert_true(takes(&f, JSON_CALL("any", "{}") "\n" JSON_CALL("get", "{\"city\":\"\"}")));
    assert_false(takes(&f, "So <tool_call> is what"));
    assert_false(takes(&f, JSON_CALL("any", "{}") " and more"));
    assert_false(takes(&f, "broken \xc3 text"));
    for (int i = 0; i < 3; i++)
        walk(f.grammar, 12);
    free_calls(&f);
}

#define XML_CALL(name, parameters) \
    "<tool_call>\n<function=" name ">\n" parameters "</function>\n</tool_call>"
#define XML_PARAMETER(name, value) "<parameter=" name ">\n" value "\n</parameter>\n"

static void test_xml_calls(void **state)
{
    struct calls_fixture f;

    compile_calls(&f, *state, (struct grammar_calls){.form = GRAMMAR_CALL_XML});
    assert_true(takes(&f, XML_CALL("get", XML_PARAMETER("city", "a \"b\" </parameter> \n\\ c"))));
    assert_true(takes(&f, XML_CALL("get", XML_PARAMETER("city", "") XML_PARAMETER("days", "3")
                                              XML_PARAMETER("unit", "F"))));
    assert_true(takes(&f, XML_CALL("get", XML_PARAMETER("city", "x") XML_PARAMETER("zip", "12345")
                                              XML_PARAMETER("tags", "[\"a\"]"))));
    assert_true(takes(&f, XML_CALL("any", "")));
    assert_true(takes(&f, XML_CALL("any", XML_PARAMETER("who", "x") XML_PARAMETER("y", "{"))));
    assert_false(takes(&f, XML_CALL("get", "")));
    assert_false(takes(&f, XML_CALL("get", XML_PARAMETER("city", "x") XML_PARAMETER("days", "x"))));
    assert_false(
        takes(&f, XML_CALL("get", XML_PARAMETER("city", "x") XML_PARAMETER("unit", "\"F\""))));
    assert_false(takes(&f, XML_CALL("get", XML_PARAMETER("city", "x") XML_PARAMETER("zip", "1"))));
    assert_false(takes(&f, XML_CALL("get", XML_PARAMETER("days", "3") XML_PARAMETER("city", "x"))));
    for (int i = 0; i < 3; i++)
        walk(f.grammar, 12);
    free_calls(&f);
}

static void test_calls_are_refused_by_name(void **state)
{
    static const char schema[] = "{\"properties\":{\"a\":{\"not\":{}}}}";
    struct grammar_tool tool = {.name = "f", .name_len = 1, .is_strict = true};
    struct grammar_calls calls = {.tools = &tool, .n_tools = 1};
    struct json_object *o;
    struct grammar *g;
    struct err e = {0};

    assert_int_equal(json_parse(schema, strlen(schema), &o, NULL), 0);
    tool.parameters = o;
    assert_int_equal(grammar_compile_calls(*state, &calls, NULL, &g, &e), -EINVAL);
    assert_string_equal(e.text, "tool f, #/properties/a: 'not' is not supported");
    calls.form = GRAMMAR_CALL_XML;
    assert_int_equal(grammar_compile_calls(*state, &calls, NULL, &g, &e), -EINVAL);
    assert_string_equal(e.text, "tool f, #/properties/a: 'not' is not supported");
    json_free(&o);
}

static void test_form(void **state)
{
    struct grammar_form *f = grammar_form_new();
    struct grammar *g;
    grammar_node parts[3] = {grammar_form_literal(f, "<a>", 3), grammar_form_text(f, "|", false)};

    parts[2] = grammar_form_object(f);
    parts[2] = grammar_form_choice(f, &parts[1], 2);
    grammar_node both = grammar_form_sequence(f, (grammar_node[]){parts[0], parts[2]}, 2);
    grammar_node root = grammar_form_repeat(f, both, 1, 2);
    assert_int_equal(grammar_compile_form(*state, f, root, NULL, &g, NULL), 0);
    grammar_form_free(&f);
    assert_true(fixture_takes(g, "<a>x|", 5));
    assert_true(fixture_takes(g, "<a>{}", 5));
    assert_true(fixture_takes(g, "<a>{}<a>y|", 10));
    assert_false(fixture_takes(g, "<a>x", 4));
    assert_false(fixture_takes(g, "", 0));
    assert_false(fixture_takes(g, "<a>x|<a>x|<a>x|", 15));
    walk(g, 10);
    grammar_unref(&g);
}

/* --- cache --- */

struct counted {
    const char *schema;
    int n;
};

static int make_counted(const void *ctx, const struct grammar_vocab *v, struct grammar **out,
                        struct err *e)
{
    struct counted *c = (struct counted *)ctx;
    struct json_object *o;

    c->n++;
    assert_int_equal(json_parse(c->schema, strlen(c->schema), &o, NULL), 0);
    int rc = grammar_compile_schema(v, o, NULL, out, e);
    json_free(&o);
    return rc;
}

static struct grammar *get(struct grammar_cache *cache, struct counted *c)
{
    struct grammar *g;

    assert_int_equal(
        grammar_cache_get(cache, c->schema, strlen(c->schema), make_counted, c, &g, NULL), 0);
    return g;
}

static void test_cache(void **state)
{
    struct counted a = {.schema = schemas[0]}, b = {.schema = schemas[2]},
                   c = {.schema = schemas[4]};
    struct grammar_cache *cache = grammar_cache_new(*state, (size_t)64 << 20);
    struct grammar *first = get(cache, &a), *second = get(cache, &a);

    assert_ptr_equal(first, second);
    assert_int_equal(a.n, 1);
    size_t one = grammar_memory(first);
    grammar_unref(&second);
    grammar_cache_free(&cache);
    walk(first, 3); /* it lives on */
    grammar_unref(&first);

    cache = grammar_cache_new(*state, one * 5 / 2); /* two of them */
    struct counted *order[] = {&a, &b, &a, &c, &a, &b};
    a.n = 0;
    for (size_t i = 0; i < 6; i++) {
        first = get(cache, order[i]);
        grammar_unref(&first);
    }
    assert_int_equal(a.n, 1); /* always used again before the others pushed it out */
    assert_int_equal(b.n, 2);
    assert_int_equal(c.n, 1);
    grammar_cache_free(&cache);
}

static void test_cache_passes_errors(void **state)
{
    struct counted bad = {.schema = "{\"not\":{}}"};
    struct grammar_cache *cache = grammar_cache_new(*state, 1000000);
    struct grammar *g;
    struct err e = {0};

    for (int i = 1; i <= 2; i++) {
        assert_int_equal(grammar_cache_get(cache, "k", 1, make_counted, &bad, &g, &e), -EINVAL);
        assert_null(g);
        assert_int_equal(bad.n, i);
    }
    grammar_cache_free(&cache);
}

/* --- threads --- */

struct thread_work {
    struct grammar_cache *cache;
    struct counted schema;
    uint64_t sum;
};

static void *walk_in_thread(void *arg)
{
    struct thread_work *w = arg;
    uint32_t bits[GRAMMAR_MASK_WORDS(FIXTURE_N)];
    static const char text[] = "{\"a\":[\"Hello world\",{\"b\":-12.5e3,\"c\":true}, null ,0]}";

    for (int round = 0; round < 5; round++) {
        struct grammar *g = get(w->cache, &w->schema);
        struct grammar_state *s = grammar_state_new(g);
        grammar_unref(&g);
        for (size_t i = 0; i < sizeof text - 1; i++) {
            grammar_state_mask(s, bits);
            for (size_t k = 0; k < GRAMMAR_MASK_WORDS(FIXTURE_N); k++)
                w->sum = w->sum * 31 + bits[k];
            if (!grammar_state_advance(s, text + i, 1))
                w->sum++;
        }
        grammar_state_free(&s);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct grammar_vocab *v = grammar_vocab_new(FIXTURE_N, fixture_bytes, NULL);
    struct grammar_cache *cache = grammar_cache_new(v, (size_t)16 << 20);
    struct thread_work work[4];
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        work[i] = (struct thread_work){.cache = cache, .schema = {.schema = schemas[0]}};
        assert_int_equal(pthread_create(&threads[i], NULL, walk_in_thread, &work[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 1; i < 4; i++)
        assert_true(work[i].sum == work[0].sum);
    grammar_cache_free(&cache);
    grammar_vocab_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_masks_of_groups),
        cmocka_unit_test(test_long_count),
        cmocka_unit_test(test_masks_without_memory),
        cmocka_unit_test(test_refused_token_changes_nothing),
        cmocka_unit_test(test_nothing_but_the_end),
        cmocka_unit_test(test_long_answer),
        cmocka_unit_test(test_object),
        cmocka_unit_test(test_json_calls),
        cmocka_unit_test(test_optional_parallel_calls),
        cmocka_unit_test(test_xml_calls),
        cmocka_unit_test(test_calls_are_refused_by_name),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cache_passes_errors),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

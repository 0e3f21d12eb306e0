/* A Responses body as the canonical request of a worker, or what is wrong with it. */
#include "router/api/responses.h"

#include "router/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct router router;
static struct exchange exchange = {.key = KEY_NONE};
static const struct form form = {.id_prefix = "resp_"};

static struct generation *open_call(const char *text)
{
    struct generation *g = calloc(1, sizeof *g + sizeof g->choice[0]);
    struct err e;

    assert_non_null(g);
    if (json_parse(text, strlen(text), &g->body, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    g->router = &router;
    g->x = &exchange;
    g->form = &form;
    strcpy(g->id, "resp_00");
    g->members = json_new_object();
    return g;
}

static void close_call(struct generation *g)
{
    responses_forget(g);
    json_free(&g->members);
    json_free(&g->body);
    free(g);
}

static int prepare(struct generation *g, struct param_error *e)
{
    int rc;

    *e = (struct param_error){0};
    while ((rc = responses_prepare(g, e)) == 0)
        ;
    return rc;
}

static int open_store(void **state)
{
    (void)state;
    responses_store_init(&router.responses);
    responses_store_limit(&router.responses, 1 << 20, 100);
    return 0;
}

static int close_store(void **state)
{
    (void)state;
    responses_store_free(&router.responses);
    return router.responses.bytes == 0 && LIST_EMPTY(&router.responses.running) ? 0 : -1;
}

static void check_members(const char *body, const char *expected)
{
    struct generation *g = open_call(body);
    struct param_error e;
    struct buf text = {0};

    if (prepare(g, &e) != 1)
        fail_msg("%s: %s", body, e.text);
    json_write(g->members, &text);
    assert_string_equal(buf_text(&text), expected);
    buf_free(&text);
    close_call(g);
}

#define USER "{\"role\":\"user\",\"content\":\"u\"}"
#define CALL \
    "{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}" \
    "\"}"
#define CALL2 "{\"type\":\"function_call\",\"call_id\":\"c2\",\"name\":\"g\",\"arguments\":\"{}\"}"
#define DONE  "{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"r\"}"
#define THOUGHT \
    "{\"type\":\"reasoning\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":" \
    "\"t\"}]}"
#define SAID \
    "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\"," \
    "\"text\":\"s\"}]}"
#define IN(items)     "{\"input\":[" items "]}"
#define OUT(messages) "{\"messages\":[" messages "]}"
#define MADE1 \
    "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}"
#define MADE2  "{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":{}}}"
#define RESULT "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"r\"}"

static const struct {
    const char *body, *members;
} conversations[] = {
    {"{\"input\":\"u\"}", OUT(USER)},
    {"{\"input\":\"u\",\"instructions\":\"i\"}",
     OUT("{\"role\":\"system\",\"content\":\"i\"}," USER)},
    {"{\"input\":[{\"role\":\"developer\",\"content\":\"d\"}," USER "],\"instructions\":\"i\"}",
     OUT("{\"role\":\"system\",\"content\":\"i\\n\\nd\"}," USER)},
    {IN(USER ",{\"role\":\"developer\",\"content\":\"d\"}"),
     OUT(USER ",{\"role\":\"system\",\"content\":\"d\"}")},
    {IN(USER "," SAID "," CALL),
     OUT(USER ",{\"role\":\"assistant\",\"content\":\"s\",\"tool_calls\":[" MADE1 "]}")},
    {IN(THOUGHT "," CALL "," CALL2 "," DONE),
     OUT("{\"role\":\"assistant\",\"reasoning_content\":\"t\",\"tool_calls\":[" MADE1 "," MADE2
         "]}," RESULT)},
    {IN(SAID "," SAID), OUT("{\"role\":\"assistant\",\"content\":\"s\"},"
                            "{\"role\":\"assistant\",\"content\":\"s\"}")},
    {IN(CALL "," SAID), OUT("{\"role\":\"assistant\",\"tool_calls\":[" MADE1
                            "]},{\"role\":\"assistant\",\"content\":\"s\"}")},
    {IN(CALL "," THOUGHT "," CALL2),
     OUT("{\"role\":\"assistant\",\"tool_calls\":[" MADE1 "]},"
         "{\"role\":\"assistant\",\"reasoning_content\":\"t\",\"tool_calls\":[" MADE2 "]}")},
    {IN(THOUGHT "," USER),
     OUT("{\"role\":\"assistant\",\"reasoning_content\":\"t\",\"content\":\"\"}," USER)},
    {IN(THOUGHT), OUT("{\"role\":\"assistant\",\"reasoning_content\":\"t\",\"content\":\"\"}")},
    {IN("{\"type\":\"reasoning\",\"encrypted_content\":\"x\",\"summary\":[{\"type\":\"summary_"
        "text\","
        "\"text\":\"a\"},{\"type\":\"summary_text\",\"text\":\"b\"}]}," SAID),
     OUT("{\"role\":\"assistant\",\"reasoning_content\":\"a\\nb\",\"content\":\"s\"}")},
    {IN("{\"type\":\"custom_tool_call\",\"call_id\":\"c1\",\"name\":\"f\",\"input\":\"x\"},"
        "{\"type\":\"custom_tool_call_output\",\"call_id\":\"c1\",\"output\":[{\"type\":"
        "\"input_text\",\"text\":\"r\"}]}"),
     OUT("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\","
         "\"function\":"
         "{\"name\":\"f\",\"arguments\":{\"input\":\"x\"}}}]}," RESULT)},
    {IN("{\"type\":\"web_search_call\",\"id\":\"w\"}," USER), OUT(USER)},
    {IN("{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"},{\"type\":"
        "\"input_text\",\"text\":\"b\"}]}"),
     OUT("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
         "\"text\":\"b\"}]}")},
    {IN("{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}"),
     OUT("{\"role\":\"assistant\",\"content\":\"no\"}")},
    {IN(""), OUT("")},
};

#define F "{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}}"
#define G \
    "{\"type\":\"custom\",\"name\":\"g\",\"description\":\"d\",\"format\":{\"type\":" \
    "\"grammar\",\"syntax\":\"lark\",\"definition\":\"start: x\"}}"
#define MADE_F "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}"
#define MADE_G \
    "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"description\":\"d\"," \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"," \
    "\"description\":\"start: x\"}},\"required\":[\"input\"]," \
    "\"additionalProperties\":false}}}"
#define WITH(more) "{\"input\":[],\"tools\":[" F "," G ",{\"type\":\"web_search\"}]" more "}"
#define BOTH       "{\"messages\":[],\"tools\":[" MADE_F "," MADE_G "]"

static const struct {
    const char *body, *members;
} requests[] = {
    {WITH(""), BOTH "}"},
    {WITH(",\"tool_choice\":\"auto\""), BOTH "}"},
    {WITH(",\"tool_choice\":\"none\""), BOTH ",\"tool_choice\":\"none\"}"},
    {WITH(",\"tool_choice\":\"required\""), BOTH ",\"tool_choice\":\"required\"}"},
    {WITH(",\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}"),
     BOTH ",\"tool_choice\":{\"name\":\"f\"}}"},
    {WITH(",\"tool_choice\":{\"type\":\"custom\",\"name\":\"g\"}"),
     BOTH ",\"tool_choice\":{\"name\":\"g\"}}"},
    {WITH(",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"required\",\"tools\":"
          "[{\"type\":\"function\",\"name\":\"f\"}]}"),
     "{\"messages\":[],\"tools\":[" MADE_F "],\"tool_choice\":\"required\"}"},
    {"{\"input\":[],\"tool_choice\":\"auto\",\"tools\":[{\"type\":\"web_search\"}]}",
     "{\"messages\":[]}"},
    {WITH(",\"parallel_tool_calls\":false"),
     "{\"messages\":[],\"parallel_tool_calls\":false,\"tools\":[" MADE_F "," MADE_G "]}"},
    {"{\"input\":[],\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{}}}}",
     "{\"messages\":[],\"format\":{\"type\":\"json_schema\",\"schema\":{}}}"},
    {"{\"input\":[],\"text\":{\"format\":{\"type\":\"json_object\"},\"verbosity\":\"low\"}}",
     "{\"messages\":[],\"format\":{\"type\":\"json_object\"}}"},
    {"{\"input\":[],\"text\":{\"format\":{\"type\":\"text\"}},\"truncation\":\"auto\","
     "\"include\":[\"reasoning.encrypted_content\"],\"metadata\":{\"a\":\"b\"}}",
     "{\"messages\":[]}"},
};

static const struct {
    const char *body;
    enum api_error error;
    const char *param;
} refused[] = {
    {"{}", ERROR_INVALID_BODY, "input"},
    {"{\"input\":5}", ERROR_INVALID_BODY, "input"},
    {IN("5"), ERROR_INVALID_BODY, "input[0]"},
    {IN("{}"), ERROR_INVALID_BODY, "input[0].type"},
    {IN("{\"role\":\"tool\",\"content\":\"x\"}"), ERROR_INVALID_BODY, "input[0].role"},
    {IN("{\"role\":\"user\"}"), ERROR_INVALID_BODY, "input[0].content"},
    {IN(USER ",{\"role\":\"user\",\"content\":[5]}"), ERROR_INVALID_BODY, "input[1].content[0]"},
    {IN("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"x\"}]}"),
     ERROR_UNSUPPORTED_PARAMETER, "input[0].content[0]"},
    {IN("{\"type\":\"function_call\",\"name\":\"f\"}"), ERROR_INVALID_BODY, "input[0].call_id"},
    {IN("{\"type\":\"function_call\",\"call_id\":\"c\"}"), ERROR_INVALID_BODY, "input[0]"},
    {IN(CALL "," CALL), ERROR_INVALID_BODY, "input[1].call_id"},
    {IN(DONE), ERROR_INVALID_BODY, "input[0].call_id"},
    {IN(CALL "," DONE "," DONE), ERROR_INVALID_BODY, "input[2].call_id"},
    {IN(CALL ",{\"type\":\"function_call_output\",\"call_id\":\"c1\"}"), ERROR_INVALID_BODY,
     "input[1].output"},
    {IN("{\"type\":\"custom_tool_call\",\"call_id\":\"c\",\"name\":\"f\"}"), ERROR_INVALID_BODY,
     "input[0].input"},
    {IN("{\"type\":\"reasoning\",\"summary\":5}"), ERROR_INVALID_BODY, "input[0].summary"},
    {IN("{\"type\":\"reasoning\",\"content\":[{\"type\":\"reasoning_text\"}]}"), ERROR_INVALID_BODY,
     "input[0].content[0]"},
    {IN("{\"type\":\"item_reference\",\"id\":5}"), ERROR_INVALID_BODY, "input[0]"},
    {IN("{\"type\":\"item_reference\",\"id\":\"msg_1_0\"}"), ERROR_ITEM_NOT_FOUND, "input[0]"},
    {IN("{\"type\":\"item_reference\",\"id\":\"\"}"), ERROR_ITEM_NOT_FOUND, "input[0]"},
    {"{\"input\":[],\"previous_response_id\":\"resp_1\"}", ERROR_PREVIOUS_RESPONSE,
     "previous_response_id"},
    {WITH(",\"tool_choice\":\"any\""), ERROR_INVALID_BODY, "tool_choice"},
    {WITH(",\"tool_choice\":{\"type\":\"function\",\"name\":\"x\"}"), ERROR_INVALID_BODY,
     "tool_choice"},
    {WITH(",\"tool_choice\":{\"type\":\"web_search\"}"), ERROR_UNSUPPORTED_PARAMETER,
     "tool_choice"},
    {WITH(",\"tool_choice\":{\"type\":\"allowed_tools\"}"), ERROR_INVALID_BODY,
     "tool_choice.tools"},
    {WITH(",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"none\",\"tools\":[]}"),
     ERROR_INVALID_BODY, "tool_choice.mode"},
    {WITH(",\"tool_choice\":{\"type\":\"allowed_tools\",\"tools\":[{\"name\":\"x\"}]}"),
     ERROR_INVALID_BODY, "tool_choice.tools[0]"},
    {"{\"input\":[],\"tool_choice\":\"required\"}", ERROR_INVALID_BODY, "tool_choice"},
    {"{\"input\":[],\"tools\":[{\"name\":\"f\"}]}", ERROR_INVALID_BODY, "tools[0]"},
    {"{\"input\":[],\"tools\":[{\"type\":\"custom\",\"name\":\"f\",\"format\":1}]}",
     ERROR_INVALID_BODY, "tools[0]"},
    {"{\"input\":[],\"tools\":[" F "," F "]}", ERROR_INVALID_BODY, "tools[1]"},
    {"{\"input\":[],\"text\":{\"format\":{\"type\":\"x\"}}}", ERROR_INVALID_BODY, "text.format"},
    {"{\"input\":[],\"text\":{\"format\":{\"type\":\"json_schema\"}}}", ERROR_INVALID_BODY,
     "text.format.schema"},
    {"{\"input\":[],\"metadata\":{\"a\":5}}", ERROR_INVALID_BODY, "metadata"},
    {"{\"input\":[],\"truncation\":\"x\"}", ERROR_INVALID_BODY, "truncation"},
    {"{\"input\":[],\"reasoning\":{\"summary\":\"x\"}}", ERROR_INVALID_BODY, "reasoning.summary"},
    {"{\"input\":[],\"reasoning\":{\"effort\":1}}", ERROR_INVALID_BODY, "reasoning.effort"},
    {"{\"input\":[],\"top_logprobs\":1}", ERROR_UNSUPPORTED_PARAMETER, "top_logprobs"},
    {"{\"input\":[],\"include\":[\"message.output_text.logprobs\"]}", ERROR_UNSUPPORTED_PARAMETER,
     "include"},
};

static void test_conversations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof conversations / sizeof conversations[0]; i++)
        check_members(conversations[i].body, conversations[i].members);
}

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        check_members(requests[i].body, requests[i].members);
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct generation *g = open_call(refused[i].body);
        struct param_error e;
        if (prepare(g, &e) >= 0)
            fail_msg("%s was taken", refused[i].body);
        if (e.error != refused[i].error || strcmp(e.param, refused[i].param) != 0)
            fail_msg("%s: %s: \"%s\"", refused[i].body, e.param, e.text);
        close_call(g);
    }
}

/* ---- what is kept ---- */

static void keep(const char *id, const char *body, const char *output)
{
    struct generation *g = open_call(body);
    struct responses_call *r;
    struct param_error e;

    strcpy(g->id, id);
    assert_int_equal(prepare(g, &e), 1);
    r = g->own;
    struct response_texts texts = {.input = r->input, .item_at = r->item_at};
    r->input = r->item_at = (struct buf){0};
    buf_add_str(&texts.output, output);
    responses_store_add(&router.responses, id, r->owner, r->previous, &texts);
    close_call(g);
}

static void test_continued(void **state)
{
    (void)state;
    keep("resp_01", "{\"input\":\"u\",\"instructions\":\"i\"}", "[" CALL "]");
    keep("resp_02", "{\"input\":[" DONE "],\"previous_response_id\":\"resp_01\"}", "[" SAID "]");
    check_members("{\"input\":\"v\",\"instructions\":\"j\",\"previous_response_id\":\"resp_02\"}",
                  OUT("{\"role\":\"system\",\"content\":\"j\"}," USER
                      ",{\"role\":\"assistant\",\"tool_calls\":[" MADE1 "]}," RESULT
                      ",{\"role\":\"assistant\",\"content\":\"s\"},"
                      "{\"role\":\"user\",\"content\":\"v\"}"));
}

static void test_kept_items(void **state)
{
    (void)state;
    keep("resp_01", IN(USER ",{\"role\":\"user\",\"content\":\"w\",\"id\":\"mine\"}"), "[]");
    struct stored_response *r = responses_store_find(&router.responses, "resp_01", (uint64_t)-1);
    static const char expected[] =
        "[{\"id\":\"msg_01_i0\",\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":"
        "\"input_text\",\"text\":\"u\"}]},"
        "{\"id\":\"mine\",\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":"
        "\"input_text\",\"text\":\"w\"}]}]";
    assert_non_null(r);
    assert_int_equal(r->turn->input.len, sizeof expected - 1);
    assert_memory_equal(r->turn->input.data, expected, sizeof expected - 1);
    assert_int_equal(r->turn->item_at.len, 2 * sizeof(size_t));
}

/* A reference is what it names, also for who continues the response that was given it. */
static void test_references(void **state)
{
    (void)state;
    keep("resp_01", IN(USER),
         "[{\"id\":\"msg_01_0\",\"type\":\"message\",\"role\":\"assistant\",\"content\":\"s\"}]");
    keep("resp_02",
         IN("{\"type\":\"item_reference\",\"id\":\"msg_01_i0\"},"
            "{\"id\":\"msg_01_0\",\"type\":\"item_reference\"}"),
         "[]");
    responses_store_remove(&router.responses,
                           responses_store_find(&router.responses, "resp_01", (uint64_t)-1));
    check_members("{\"input\":[],\"previous_response_id\":\"resp_02\"}",
                  OUT(USER ",{\"role\":\"assistant\",\"content\":\"s\"}"));
}

/* ---- inputs of custom tools ---- */

static const struct {
    const char *arguments, *input;
} inputs[] = {
    {"{\"input\":\"abc\"}", "abc"},
    {" {\n\"input\" : \"abc\" } ", "abc"},
    {"{\"input\":\"\"}", ""},
    {"{\"input\":\"a\\n\\\"\\\\\\/\\t\\u00e9\\ud83d\\ude42ü\"}", "a\n\"\\/\té🙂ü"},
    {"{\"input\":\"\\ud83d\\ud83d\\ude42\\udc00x\"}", "\xef\xbf\xbd🙂\xef\xbf\xbdx"},
    {"{\"input\":\"cut o", "cut o"},
    {"{\"input\":\"cut\\u00", "cut"},
    {"{\"input\":\"a\",\"more\":1}", "a"},
    {"{\"more\":1,\"input\":\"a\"}", "a"},
    {"{\"input\":5}", "{\"input\":5}"},
    {"{\"inp", "{\"inp"},
    {"no object", "no object"},
    {"", ""},
};

/* However the arguments are cut up. */
static void test_custom_inputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        size_t len = strlen(inputs[i].arguments);
        for (size_t step = 1; step <= len + 1; step++) {
            struct custom_input c = {0};
            for (size_t n = 0; n < len; n += step)
                custom_input_read(&c, inputs[i].arguments, n);
            custom_input_end(&c, inputs[i].arguments, len);
            assert_string_equal(buf_text(&c.text), inputs[i].input);
            buf_free(&c.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_conversations, open_store, close_store),
        cmocka_unit_test_setup_teardown(test_requests, open_store, close_store),
        cmocka_unit_test_setup_teardown(test_refused, open_store, close_store),
        cmocka_unit_test_setup_teardown(test_continued, open_store, close_store),
        cmocka_unit_test_setup_teardown(test_kept_items, open_store, close_store),
        cmocka_unit_test_setup_teardown(test_references, open_store, close_store),
        cmocka_unit_test(test_custom_inputs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

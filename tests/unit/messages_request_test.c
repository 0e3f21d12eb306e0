/* Anthropic's requests as conversations: what goes to the worker, and what is refused with which
 * words. */
#include "router/api/messages_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Members of a body -> members of the canonical request, or the sentence. */
static void convert(const char *body, enum dialect dialect, size_t budget, struct buf *out)
{
    struct json_object *members = json_new_object();
    struct messages_request r;
    struct param_error e = {0};
    struct params p;
    struct buf text = {0};
    int rc = 0;

    buf_printf(&text, "{\"model\":\"m\",\"max_tokens\":9,%s}", body);
    struct json_object *root = parse(buf_text(&text));
    buf_free(&text);
    messages_request_init(&r, root, members, dialect);
    rc = params_read(&p, root, dialect, &e);
    while (rc == 0)
        rc = messages_request_step(&r, budget, &e);
    buf_clear(out);
    if (rc > 0)
        json_write(members, out);
    else
        buf_add_str(out, e.text);
    buf_text(out);
    messages_request_free(&r);
    json_free(&members);
    json_free(&root);
}

/* In steps of any size the same. */
static void check_in(enum dialect dialect, const char *body, const char *expected)
{
    static const size_t budgets[] = {1, 2, 3, 7, 1000};
    struct buf out = {0};

    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        convert(body, dialect, budgets[i], &out);
        assert_string_equal(buf_text(&out), expected);
    }
    buf_free(&out);
}

static void check(const char *body, const char *expected)
{
    check_in(DIALECT_MESSAGES, body, expected);
}

#define USER "{\"role\":\"user\",\"content\":\"hi\"}"
#define SAID "{\"role\":\"user\",\"content\":\"hi\"}"

static void texts(void **state)
{
    (void)state;
    check("\"messages\":[" USER "]", "{\"messages\":[" SAID "]}");
    check("\"messages\":[" USER "," USER "]", "{\"messages\":[" SAID "," SAID "]}");
    check("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\","
          "\"cache_control\":{\"type\":\"ephemeral\"}}]}]",
          "{\"messages\":[" SAID "]}");
    check("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
          "{\"type\":\"text\",\"text\":\"b\",\"citations\":null}]}]",
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
          "{\"type\":\"text\",\"text\":\"b\"}]}]}");
    check("\"messages\":[{\"role\":\"user\",\"content\":[]}]",
          "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}");
    check("\"messages\":[{\"role\":\"user\",\"content\":\"\"}]",
          "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}");
}

#define BILLING "{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: cc_version=2\"}"
#define SYSTEM  "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"}," SAID "]}"

static void system_prompts(void **state)
{
    (void)state;
    check("\"system\":\"be brief\",\"messages\":[" USER "]", SYSTEM);
    check("\"system\":[{\"type\":\"text\",\"text\":\"be brief\"}],\"messages\":[" USER "]", SYSTEM);
    check("\"system\":[" BILLING ",{\"type\":\"text\",\"text\":\"be brief\"}],\"messages\":[" USER
          "]",
          SYSTEM);
    check("\"system\":[" BILLING "],\"messages\":[" USER "]", "{\"messages\":[" SAID "]}");
    check("\"system\":[],\"messages\":[" USER "]", "{\"messages\":[" SAID "]}");
    check("\"system\":\"\",\"messages\":[" USER "]", "{\"messages\":[" SAID "]}");
    check("\"system\":null,\"messages\":[" USER "]", "{\"messages\":[" SAID "]}");
    /* only the first block, and only of the system prompt */
    check("\"system\":[{\"type\":\"text\",\"text\":\"a\"}," BILLING "],\"messages\":["
          "{\"role\":\"user\",\"content\":[" BILLING "]}]",
          "{\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}"
          "," BILLING "]},{\"role\":\"user\",\"content\":\"x-anthropic-billing-header: "
          "cc_version=2\"}]}");
    check("\"messages\":[" USER ",{\"role\":\"system\",\"content\":\"now\"}," USER "]",
          "{\"messages\":[" SAID ",{\"role\":\"system\",\"content\":\"now\"}," SAID "]}");
}

#define CALL(id) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":{\"a\":1}}"
#define CALLED(id) \
    "{\"id\":\"" id \
    "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}"
#define RESULT(id, content) \
    "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":" content "}"
#define GOT(id, content) \
    "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"name\":\"f\",\"content\":" content "}"

static void calls_and_results(void **state)
{
    (void)state;
    /* results first, whatever stands before them */
    check(
        "\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":["
        "{\"type\":\"text\",\"text\":\"look\"}," CALL("t1") "," CALL(
            "t2") "]},"
                  "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"so\"}," RESULT(
                      "t2", "\"two\"") "," RESULT("t1",
                                                  "[{\"type\":\"text\",\"text\":\"one\"}]") "]}]",
        "{\"messages\":[" SAID ",{\"role\":\"assistant\",\"tool_calls\":[" CALLED("t1") "," CALLED(
            "t2") "],\"content\":\"look\"}," GOT("t2", "\"two\"") "," GOT("t1",
                                                                          "\"one\"") ",{\"role\":"
                                                                                     "\"user\","
                                                                                     "\"content\":"
                                                                                     "\"so\"}]}");
    /* nothing but a result: no message of the user */
    check("\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":[" CALL(
              "t1") "]},"
                    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
                    "\"t1\","
                    "\"is_error\":true}]}]",
          "{\"messages\":[" SAID ",{\"role\":\"assistant\",\"tool_calls\":[" CALLED(
              "t1") "],"
                    "\"content\":\"\"}," GOT("t1", "\"\"") "]}");
    /* lists within lists */
    check("\"messages\":[{\"role\":\"assistant\",\"content\":[" CALL(
              "t1") "]},"
                    "{\"role\":\"user\",\"content\":[" RESULT(
                        "t1", "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"search_result\","
                              "\"source\":\"s\","
                              "\"title\":\"t\",\"content\":[{\"type\":\"text\",\"text\":\"b\"}]},"
                              "{\"type\":\"text\",\"text\":\"c\"}]") ",{\"type\":\"text\",\"text\":"
                                                                     "\"d\"}]}]",
          "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[" CALLED(
              "t1") "],"
                    "\"content\":\"\"}," GOT(
                        "t1", "[{\"type\":\"text\",\"text\":\"a\"},"
                              "{\"type\":\"text\",\"text\":\"t\"},{\"type\":\"text\",\"text\":"
                              "\"\\n\"},"
                              "{\"type\":\"text\",\"text\":\"s\"},{\"type\":\"text\",\"text\":"
                              "\"\\n\"},"
                              "{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":"
                              "\"c\"}]") ",{\"role\":\"user\",\"content\":\"d\"}]}");
}

static void documents(void **state)
{
    (void)state;
    check("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\",\"source\":"
          "{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"hi\"}}]}]",
          "{\"messages\":[" SAID "]}");
    check("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\",\"source\":"
          "{\"type\":\"content\",\"content\":\"hi\"}}]}]",
          "{\"messages\":[" SAID "]}");
    check("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\",\"title\":\"t\","
          "\"context\":\"c\",\"source\":{\"type\":\"content\",\"content\":["
          "{\"type\":\"text\",\"text\":\"hi\"}]}}]}]",
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"t\"},"
          "{\"type\":\"text\",\"text\":\"\\n\"},{\"type\":\"text\",\"text\":\"c\"},"
          "{\"type\":\"text\",\"text\":\"\\n\"},{\"type\":\"text\",\"text\":\"hi\"}]}]}");
}

#define THOUGHT(text, more) "{\"type\":\"thinking\",\"thinking\":\"" text "\"" more "}"

static void thoughts(void **state)
{
    (void)state;
    check("\"messages\":[{\"role\":\"assistant\",\"content\":[" THOUGHT(
              "hm", ",\"signature\":\"of somebody\"") ",{\"type\":\"redacted_thinking\","
                                                      "\"data\":\"xyz\"},{\"type\":\"text\","
                                                      "\"text\":\"yes\"}]}," USER "]",
          "{\"messages\":[{\"role\":\"assistant\",\"reasoning_content\":\"hm\","
          "\"content\":\"yes\"}," SAID "]}");
    check("\"messages\":[{\"role\":\"assistant\",\"content\":[" THOUGHT("a", "") "," THOUGHT(
              "b", "") "]}," USER "]",
          "{\"messages\":[{\"role\":\"assistant\",\"reasoning_content\":\"ab\",\"content\":\"\"}"
          "," SAID "]}");
    check("\"messages\":[{\"role\":\"assistant\",\"content\":[" THOUGHT(
              "", ",\"signature\":\"x\"") ",{\"type\":\"text\",\"text\":\"yes\"}]}," USER "]",
          "{\"messages\":[{\"role\":\"assistant\",\"content\":\"yes\"}," SAID "]}");
}

#define TOOL "{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}}"
#define MADE \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\"," \
    "\"parameters\":{\"type\":\"object\"}}}]"
#define WITH_TOOL(more) "\"messages\":[" USER "],\"tools\":[" TOOL "]," more
#define HAS_TOOL(more)  "{\"messages\":[" SAID "]" MADE more "}"

static void tools(void **state)
{
    (void)state;
    check(WITH_TOOL("\"tool_choice\":{\"type\":\"auto\"}"), HAS_TOOL(""));
    check(WITH_TOOL("\"tool_choice\":{\"type\":\"any\"}"),
          HAS_TOOL(",\"tool_choice\":\"required\""));
    check(WITH_TOOL("\"tool_choice\":{\"type\":\"none\"}"), HAS_TOOL(",\"tool_choice\":\"none\""));
    check(WITH_TOOL("\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}"),
          HAS_TOOL(",\"tool_choice\":{\"name\":\"f\"}"));
    check(WITH_TOOL("\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"),
          HAS_TOOL(",\"parallel_tool_calls\":false"));
    check(WITH_TOOL("\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":false}"),
          HAS_TOOL(",\"tool_choice\":\"required\""));
    check("\"messages\":[" USER
          "],\"tools\":[{\"type\":\"custom\",\"name\":\"f\",\"input_schema\":{},"
          "\"strict\":true,\"cache_control\":{\"type\":\"ephemeral\"}}]",
          "{\"messages\":[" SAID "],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
          "\"parameters\":{},\"strict\":true}}]}");
    /* Anthropic's own are not there */
    check("\"messages\":[" USER
          "],\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}," TOOL
          ",{\"type\":\"bash_20250124\",\"name\":\"bash\"}]",
          HAS_TOOL(""));
    check("\"messages\":[" USER "],\"tools\":[],\"tool_choice\":{\"type\":\"auto\"}",
          "{\"messages\":[" SAID "]}");
    check("\"messages\":[" USER "],\"tool_choice\":{\"type\":\"none\"}",
          "{\"messages\":[" SAID "]}");
}

#define MODE(mode) "\"messages\":[" USER "],\"thinking\":{" mode "}"

static void thinking(void **state)
{
    (void)state;
    check(MODE("\"type\":\"disabled\""), "{\"messages\":[" SAID "],\"thinking\":false}");
    check(MODE("\"type\":\"adaptive\""), "{\"messages\":[" SAID "],\"thinking\":true}");
    check(MODE("\"type\":\"enabled\",\"budget_tokens\":2048"),
          "{\"messages\":[" SAID "],\"thinking\":true,\"thinking_tokens\":2048}");
    check_in(DIALECT_COUNT, MODE("\"type\":\"enabled\",\"budget_tokens\":2048"),
             "{\"messages\":[" SAID "],\"thinking\":true}");
}

#define SCHEMA "{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}"

static void formats(void **state)
{
    (void)state;
    check("\"messages\":[" USER "],\"output_config\":{\"format\":" SCHEMA ",\"effort\":\"low\"}",
          "{\"messages\":[" SAID "],\"format\":" SCHEMA "}");
    check("\"messages\":[" USER "],\"output_format\":" SCHEMA,
          "{\"messages\":[" SAID "],\"format\":" SCHEMA "}");
    check("\"messages\":[" USER "],\"output_config\":{}", "{\"messages\":[" SAID "]}");
    check_in(DIALECT_COUNT, "\"messages\":[" USER "],\"output_format\":" SCHEMA,
             "{\"messages\":[" SAID "]}");
}

#define BLOCKS(blocks) "\"messages\":[{\"role\":\"user\",\"content\":[" blocks "]}]"
#define ASSISTANT(blocks) \
    "\"messages\":[{\"role\":\"assistant\",\"content\":[" blocks "]}," USER "]"

static const struct {
    const char *body, *text;
} refused[] = {
    {"\"system\":\"x\"", "messages: Field required"},
    {"\"messages\":[{\"content\":\"hi\"}]",
     "messages.0.role: expected \"user\", \"assistant\" or \"system\""},
    {"\"messages\":[" USER ",{\"role\":\"tool\",\"content\":\"hi\"}]",
     "messages.1.role: expected \"user\", \"assistant\" or \"system\""},
    {"\"messages\":[{\"role\":\"user\"}]", "messages.0.content: Field required"},
    {"\"messages\":[{\"role\":\"user\",\"content\":5}]",
     "messages.0.content: found number, expected a string or an array"},
    {"\"system\":5,\"messages\":[" USER "]", "system: found number, expected a string or an array"},
    {"\"system\":[5],\"messages\":[" USER "]", "system.0: found number, expected an object"},
    {"\"system\":[{\"type\":\"image\"}],\"messages\":[" USER "]",
     "system.0: blocks of type \"image\" are not supported by this version"},
    {"\"system\":[{\"type\":\"tool_use\"}],\"messages\":[" USER "]",
     "system.0: a block of type \"tool_use\" cannot be here"},
    {BLOCKS("null"), "messages.0.content.0: Field required"},
    {BLOCKS("{\"text\":\"x\"}"), "messages.0.content.0.type: Field required"},
    {BLOCKS("{\"type\":7}"), "messages.0.content.0.type: found number, expected a string"},
    {BLOCKS("{\"type\":\"text\"}"), "messages.0.content.0.text: Field required"},
    {BLOCKS("{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\",\"source\":{}}"),
     "messages.0.content.1: blocks of type \"image\" are not supported by this version"},
    {BLOCKS("{\"type\":\"document\"}"), "messages.0.content.0.source: Field required"},
    {BLOCKS("{\"type\":\"document\",\"source\":{\"type\":\"base64\"}}"),
     "messages.0.content.0.source: documents are supported by this version as text only"},
    {BLOCKS("{\"type\":\"document\",\"source\":{\"type\":\"text\"}}"),
     "messages.0.content.0.source.data: Field required"},
    {BLOCKS("{\"type\":\"document\",\"title\":1,\"source\":{\"type\":\"text\",\"data\":\"\"}}"),
     "messages.0.content.0.title: found number, expected a string"},
    {BLOCKS(
         "{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":\"text\","
         "\"text\":\"a\"},{\"type\":\"document\"}]}}"),
     "messages.0.content.0.source.content.1: a block of type \"document\" cannot be here"},
    {BLOCKS("{\"type\":\"search_result\"}"), "messages.0.content.0.content: Field required"},
    {BLOCKS(CALL("t1")), "messages.0.content.0: a block of type \"tool_use\" cannot be here"},
    {BLOCKS(RESULT("t1", "\"x\"")), "messages.0.content.0.tool_use_id: no call with the id \"t1\" "
                                    "comes before it"},
    {BLOCKS("{\"type\":\"tool_result\"}"), "messages.0.content.0.tool_use_id: Field required"},
    {ASSISTANT(RESULT("t1", "\"x\"")),
     "messages.0.content.0: a block of type \"tool_result\" cannot be here"},
    {ASSISTANT("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\"}"),
     "messages.0.content.0.input: Field required"},
    {ASSISTANT("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":\"{}\"}"),
     "messages.0.content.0.input: found \"{}\", expected an object"},
    {ASSISTANT("{\"type\":\"tool_use\",\"id\":\"t\",\"input\":{}}"),
     "messages.0.content.0.name: expected a string"},
    {ASSISTANT(THOUGHT("x", ",\"signature\":5")),
     "messages.0.content.0.signature: found number, expected a string"},
    {ASSISTANT("{\"type\":\"thinking\"}"), "messages.0.content.0.thinking: Field required"},
    {ASSISTANT("{\"type\":\"server_tool_use\"}"),
     "messages.0.content.0: blocks of type \"server_tool_use\" are not supported by this version"},
    {"\"messages\":[{\"role\":\"assistant\",\"content\":[" CALL(
         "t1") "]},{\"role\":\"user\","
               "\"content\":[" RESULT(
                   "t1", "[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image\"}]") "]}]",
     "messages.1.content.0.content.1: blocks of type \"image\" are not supported by this version"},
    {"\"messages\":[{\"role\":\"assistant\",\"content\":[" CALL(
         "t1") "]},{\"role\":\"user\","
               "\"content\":[" RESULT("t1", "\"\"") "," RESULT("t1", "\"\"") "]}]",
     "messages.1.content.1.tool_use_id: the call with the id \"t1\" has its result already"},
    {"\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"Sure\"}]",
     "messages: the last one is the assistant's, and this version cannot continue it (prefill); "
     "the "
     "conversation must end with a user message"},
    {"\"messages\":[" USER "],\"tools\":[{\"name\":\"f\"}]",
     "tools.0.input_schema: Field required"},
    {"\"messages\":[" USER "],\"tools\":[{\"input_schema\":{}}]",
     "tools.0.name: expected a string"},
    {"\"messages\":[" USER "],\"tools\":[{\"type\":1,\"name\":\"f\"}]",
     "tools.0.type: found number, expected a string"},
    {WITH_TOOL("\"tool_choice\":{\"type\":\"tool\",\"name\":\"g\"}"),
     "tool_choice: there is no tool \"g\" in tools"},
    {WITH_TOOL("\"tool_choice\":{\"type\":\"must\"}"),
     "tool_choice.type: found \"must\", expected auto, any, tool or none"},
    {WITH_TOOL("\"tool_choice\":{}"), "tool_choice.type: Field required"},
    {WITH_TOOL("\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":1}"),
     "tool_choice.disable_parallel_tool_use: found number, expected true or false"},
    {"\"messages\":[" USER "],\"tool_choice\":{\"type\":\"any\"}",
     "tool_choice: there is no tool to choose among"},
    {MODE("\"budget_tokens\":5"), "thinking.type: Field required"},
    {MODE("\"type\":\"sometimes\""),
     "thinking.type: found \"sometimes\", expected enabled, adaptive or disabled"},
    {MODE("\"type\":\"enabled\""), "thinking.budget_tokens: Field required"},
    {MODE("\"type\":\"enabled\",\"budget_tokens\":0"),
     "thinking.budget_tokens: expected 1 or more"},
    {MODE("\"type\":\"enabled\",\"budget_tokens\":1.5"),
     "thinking.budget_tokens: found number, expected an integer"},
    {MODE("\"type\":\"adaptive\",\"display\":\"loud\""),
     "thinking.display: found \"loud\", expected summarized or omitted"},
    {"\"messages\":[" USER "],\"output_config\":{\"format\":{\"type\":\"xml\"}}",
     "output_config.format.type: found \"xml\", expected json_schema"},
    {"\"messages\":[" USER "],\"output_config\":{\"format\":[]}",
     "output_config.format: found array, expected an object"},
    {"\"messages\":[" USER "],\"output_format\":{\"type\":\"json_schema\"}",
     "output_format.schema: Field required"},
    {"\"messages\":[" USER "],\"output_config\":{\"effort\":3}",
     "output_config.effort: found number, expected a string"},
    {"\"messages\":[" USER "],\"stop_sequences\":[3]",
     "stop_sequences[0]: found number, expected a string"},
};

static void what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        check(refused[i].body, refused[i].text);
}

/* A prefill is no mistake where nothing is to be continued. */
static void the_last_turn_of_a_count(void **state)
{
    (void)state;
    check_in(DIALECT_COUNT, "\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"Sure\"}]",
             "{\"messages\":[" SAID ",{\"role\":\"assistant\",\"content\":\"Sure\"}]}");
}

/* Blocks that have to be joined are bounded; one alone is only limited by the body. */
static void much_thinking(void **state)
{
    size_t half = (4u << 20) + 1;
    char *text = malloc(half + 1);
    struct buf body = {0}, out = {0};

    (void)state;
    assert_non_null(text);
    memset(text, 'x', half);
    text[half] = '\0';
    buf_printf(&body, ASSISTANT("%s%s%s"), "{\"type\":\"thinking\",\"thinking\":\"", text, "\"}");
    convert(buf_text(&body), DIALECT_MESSAGES, 1000, &out);
    assert_int_equal(buf_text(&out)[0], '{');
    buf_clear(&body);
    buf_printf(&body, ASSISTANT("%s%s%s,%s%s%s"), "{\"type\":\"thinking\",\"thinking\":\"", text,
               "\"}", "{\"type\":\"thinking\",\"thinking\":\"", text, "\"}");
    convert(buf_text(&body), DIALECT_MESSAGES, 1000, &out);
    assert_string_equal(buf_text(&out),
                        "messages.0: more than 8388608 bytes of thinking in several blocks");
    free(text);
    buf_free(&body);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(system_prompts),
        cmocka_unit_test(calls_and_results),
        cmocka_unit_test(documents),
        cmocka_unit_test(thoughts),
        cmocka_unit_test(tools),
        cmocka_unit_test(thinking),
        cmocka_unit_test(formats),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(the_last_turn_of_a_count),
        cmocka_unit_test(much_thinking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "worker/text/calls.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{\"type\":"
    "\"object\","
    "\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},"
    "\"ratio\":{\"type\":\"number\"},\"exact\":{\"type\":\"boolean\"},\"none\":{\"type\":\"null\"},"
    "\"list\":{\"type\":\"array\"},\"map\":{\"type\":\"object\"},\"free\":{},"
    "\"maybe\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]},"
    "\"many\":{\"type\":[\"integer\",\"array\"]},\"kind\":{\"enum\":[\"a\",\"b\"]},"
    "\"ref\":{\"$ref\":\"#/$defs/Size\"}},"
    "\"$defs\":{\"Size\":{\"enum\":[1,2,null]}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now_utc\",\"parameters\":{}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"Größe\"}}]";

static struct call_tools tools;

static int set_up(void **state)
{
    struct json_object *root;

    (void)state;
    if (json_parse(tools_text, sizeof tools_text - 1, &root, NULL) != 0)
        return -1;
    int rc = call_tools_read(&tools, root, NULL);
    json_free(&root);
    return rc;
}

static int tear_down(void **state)
{
    (void)state;
    call_tools_free(&tools);
    return 0;
}

/* --- a text, cut somewhere, and what comes of it --- */

/* A text in which "\x0e" and "\x0f" stand for the beginning and the end of reasoning. */
#define THINK "\x0e"
#define END   "\x0f"

static void push(struct calls *c, const char *text, size_t len, struct parts *out)
{
    while (len > 0) {
        size_t n = 0;
        if (*text == THINK[0] || *text == END[0]) {
            calls_turn(c, *text == THINK[0] ? CHANNEL_REASONING : CHANNEL_CONTENT, out);
            n = 1;
        } else {
            while (n < len && text[n] != THINK[0] && text[n] != END[0])
                n++;
            calls_push(c, text, n, out);
        }
        text += n;
        len -= n;
    }
}

/* "c:text|r:text|call:name|args:text|" */
static void describe(const struct parts *p, struct buf *out)
{
    static const char *const names[] = {"c:", "r:", "call:", "args:"};
    struct part_view v;

    for (size_t at = 0; parts_next(p, &at, &v);) {
        assert_true(v.len > 0 && utf8_valid(v.text, v.len));
        buf_add_str(out, names[v.channel]);
        buf_add(out, v.text, v.len);
        buf_add_char(out, '|');
    }
}

/* The blocks of a text that is cut where is_cut says. Between the pieces nothing but what is held
 * may be missing: parts are joined only here. */
static char *run(const char *text, size_t len, const bool *is_cut, bool is_single, bool ends_early)
{
    struct calls c;
    struct parts all = {0};
    struct buf out = {0};

    calls_init(&c, &tools, is_single);
    for (size_t from = 0, to; from < len; from = to) {
        struct parts some = {0};
        struct part_view v;
        for (to = from + 1; to < len && !is_cut[to]; to++)
            ;
        push(&c, text + from, to - from, &some);
        for (size_t at = 0; parts_next(&some, &at, &v);)
            parts_add(&all, v.channel, v.text, v.len);
        parts_free(&some);
        assert_true(c.hold.len + c.arguments.len <= CALLS_HOLD_MAX + 16);
    }
    calls_end(&c, ends_early, &all);
    describe(&all, &out);
    calls_free(&c);
    parts_free(&all);
    char *text_out = strdup(buf_text(&out));
    buf_free(&out);
    assert_non_null(text_out);
    return text_out;
}

static bool may_cut(const char *text, size_t at)
{
    return ((unsigned char)text[at] & 0xc0) != 0x80;
}

/* The same for every cut in two, for single characters, and for cuts by chance. */
static void expect_of(const char *text, const char *wanted, bool is_single, bool ends_early)
{
    size_t len = strlen(text);
    bool *cut = calloc(len + 1, sizeof *cut);
    uint64_t draw = 0;

    assert_non_null(cut);
    for (size_t way = 0; way < len + 22; way++) {
        memset(cut, 0, len + 1);
        if (way < len)
            cut[way] = may_cut(text, way);
        for (size_t i = 0; way >= len && i < len; i++)
            cut[i] = may_cut(text, i) && (way == len || hash_mix(len, draw++) % 5 == 0);
        char *found = run(text, len, cut, is_single, ends_early);
        assert_string_equal(found, wanted);
        free(found);
        if (way == 0 && len > 600) /* the others take too long */
            way = len;
    }
    free(cut);
}

static void expect(const char *text, const char *wanted)
{
    expect_of(text, wanted, false, false);
}

/* --- the forms --- */

#define CALL(text) "<tool_call>\n" text "\n</tool_call>"

static void json_form(void **state)
{
    (void)state;
    expect(CALL("{\"name\": \"weather\", \"arguments\": {\"city\": \"Bonn\"}}"),
           "call:weather|args:{\"city\": \"Bonn\"}|");
    expect("Let me see.\n\n" CALL("{\"name\": \"now\", \"arguments\": {}}") "\n",
           "c:Let me see.\n\n|call:now|args:{}|");
    /* several, and text behind them */
    expect(CALL("{\"name\":\"now\",\"arguments\":{}}") "\n" CALL(
               "{\"name\":\"now_utc\",\"arguments\":{\"a\":[1,{\"b\":null}]}}") "\n\n",
           "call:now|args:{}|call:now_utc|args:{\"a\":[1,{\"b\":null}]}|");
    expect(CALL("{\"name\":\"now\",\"arguments\":{}}") "\n\nDone.",
           "call:now|args:{}|c:\n\nDone.|");
    /* arguments first, otherwise named, as a string, none, others beside */
    expect(CALL("{\"arguments\": {\"city\": \"K\\u00f6ln\"}, \"name\": \"weather\"}"),
           "call:weather|args:{\"city\": \"Köln\"}|");
    expect(CALL("{\"name\": \"weather\", \"parameters\": {\"days\": 2}}"),
           "call:weather|args:{\"days\": 2}|");
    expect(CALL("{\"name\": \"weather\", \"arguments\": \"{\\\"city\\\": \\\"a\\\\nb\\\"}\"}"),
           "call:weather|args:{\"city\": \"a\\nb\"}|");
    expect(CALL("{\"arguments\": \"{\\\"days\\\": 1}\", \"name\": \"weather\"}"),
           "call:weather|args:{\"days\": 1}|");
    expect(CALL("{\"name\": \"now\"}"), "call:now|args:{}|");
    expect(CALL("{\"name\": \"now\", \"arguments\": null}"), "call:now|args:{}|");
    expect(CALL("{\"name\": \"now\", \"arguments\": \"\"}"), "call:now|args:{}|");
    expect(
        CALL("{\"id\": 12, \"name\": \"now\", \"x\": [1, \"}\"], \"arguments\": {}, \"y\": true}"),
        "call:now|args:{}|");
    /* a name with an escape, and one that is the beginning of another */
    expect(CALL("{\"name\": \"Gr\\u00f6\\u00dfe\", \"arguments\": {}}"), "call:Größe|args:{}|");
    expect(CALL("{\"name\": \"now_utc\", \"arguments\": {}}"), "call:now_utc|args:{}|");
}

static void json_repairs(void **state)
{
    (void)state;
    /* a line end that stands bare, a backslash that escapes nothing, half a pair, a whole one */
    expect(CALL("{\"name\":\"now\",\"arguments\":{\"a\":\"x\ny\\d\\ud83d!\\ud83d\\ude00\"}}"),
           "call:now|args:{\"a\":\"x\\ny\\\\d\xef\xbf\xbd!😀\"}|");
    expect(CALL("{\"name\":\"now\",\"arguments\":{\"a\":\"\\ud83d\\ud83d\\u12x\\\"\"}}"),
           "call:now|args:{\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\\\\u12x\\\"\"}|");
    /* no outer brace; one too many; no closing tag, at the end and before another */
    expect("<tool_call>{\"name\":\"now\",\"arguments\":{\"a\":1}\n</tool_call>",
           "call:now|args:{\"a\":1}|");
    expect(CALL("{\"name\":\"now\",\"arguments\":{\"a\":1}}}"), "call:now|args:{\"a\":1}|");
    expect("<tool_call>{\"name\":\"now\",\"arguments\":{\"a\":1}}", "call:now|args:{\"a\":1}|");
    expect("<tool_call>{\"name\":\"now\",\"arguments\":{}}\n<tool_call>{\"name\":\"now\"}",
           "call:now|args:{}|call:now|args:{}|");
    expect("<tool_call>{\"name\":\"now\",\"arguments\":{}}\nHello", "call:now|args:{}|c:\nHello|");
    /* arguments that are no JSON: as the model says them */
    expect(CALL("{\"name\":\"now\",\"arguments\":{\"a\": None, 'b'}}"),
           "call:now|args:{\"a\": None, 'b'}}|");
    expect("<tool_call>{\"name\":\"now\",\"arguments\":{\"a\":1\n</tool_call> so",
           "call:now|args:{\"a\":1\n|c: so|");
    expect("<tool_call>{\"name\":\"now\",\"arguments\":{\"a\":<b>\n</b>\n\n</tool_call>",
           "call:now|args:{\"a\":<b>\n</b>\n|");
    expect(CALL("{\"name\":\"now\",\"arguments\":\"{\\\"a\\\": oh}\"}"),
           "call:now|args:{\"a\": oh}|");
    /* cut short */
    expect("<tool_call>{\"name\":\"now\",\"arguments\":{\"a\":\"x\\u00",
           "call:now|args:{\"a\":\"x|");
}

static void no_opening(void **state)
{
    (void)state;
    expect("{\"name\": \"now\", \"arguments\": {\"a\": 1}}", "call:now|args:{\"a\": 1}|");
    expect("\n {\"name\": \"now\", \"arguments\": {}}\n{\"name\": \"now\", \"parameters\": {}}\n",
           "call:now|args:{}|call:now|args:{}|");
    expect("{\"id\":\"1\",\"type\":\"function\",\"name\":\"now\",\"arguments\":{}}\n</tool_call>",
           "call:now|args:{}|c:\n</tool_call>|");
    expect("<function=now>\n</function>\n</tool_call>", "call:now|args:{}|c:\n</tool_call>|");
    expect("ok <function=weather><parameter=days>3</parameter></function>",
           "c:ok |call:weather|args:{\"days\": 3}|");
    /* not at the beginning, not a tool, no arguments, something else */
    static const char *const texts[] = {
        "see {\"name\": \"now\", \"arguments\": {}}",
        " {\"name\": \"nobody\", \"arguments\": {}}",
        "{\"name\": \"now\"}",
        "{\"name\": \"now\", \"age\": 3}",
        "{\"city\": \"Bonn\"}",
        "{\"city\": \"Bonn\", \"name\": \"now\", \"arguments\": {}}",
        "{}",
        "{\"name\": \"now\", \"arguments\": [1]}",
        "{\"name\": \"now\", \"arguments\": \"[1]\"}",
        "{\"arguments\": {\"a\": oh}, \"name\": \"now\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf wanted = {0};
        buf_printf(&wanted, "c:%s|", texts[i]);
        expect(texts[i], buf_text(&wanted));
        buf_free(&wanted);
    }
}

static void xml_form(void **state)
{
    (void)state;
    expect("<tool_call>\n<function=weather>\n<parameter=city>\nBonn\n</parameter>\n"
           "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
           "call:weather|args:{\"city\": \"Bonn\", \"days\": 3}|");
    expect("<tool_call>\n<function=now>\n</function>\n</tool_call>\n"
           "<tool_call>\n<function=now>\n</tool_call>",
           "call:now|args:{}|call:now|args:{}|");
    /* white space is kept but for one line end at each side */
    expect("<function=weather>\n<parameter=city>\n\n  a\n\tb \n\n</parameter>\n</function>",
           "call:weather|args:{\"city\": \"\\n  a\\n\\tb \\n\"}|");
    expect("<function=weather><parameter=city></parameter></function>",
           "call:weather|args:{\"city\": \"\"}|");
    expect("<function=weather><parameter=city>\n\n</parameter></function>",
           "call:weather|args:{\"city\": \"\"}|");
    expect("<function=weather><parameter=city>\n\n\n</parameter></function>",
           "call:weather|args:{\"city\": \"\\n\"}|");
    /* tags in a text */
    expect("<function=weather><parameter=city>a</param>\n<b>\n</function>\n</tool_call>\n\\\"é"
           "</parameter></function>",
           "call:weather|args:{\"city\": "
           "\"a</param>\\n<b>\\n</function>\\n</tool_call>\\n\\\\\\\"é\"}|");
    expect("<function=weather><parameter=city></</parameter></parameter></function>",
           "call:weather|args:{\"city\": \"</\"}|c:</parameter></function>|");
    expect("<function=weather><parameter=a\"b>1</parameter></function>",
           "call:weather|args:{\"a\\\"b\": 1}|");
    /* what is missing at the end */
    expect("<tool_call><function=weather><parameter=city>\nBonn\n</parameter>",
           "call:weather|args:{\"city\": \"Bonn\"}|");
    expect("<tool_call><function=weather><parameter=city>\nBonn\n",
           "call:weather|args:{\"city\": \"Bonn\"}|");
    expect("<tool_call><function=weather><parameter=city>\nBonn <",
           "call:weather|args:{\"city\": \"Bonn <\"}|");
    expect("<tool_call><function=now>\n", "call:now|args:{}|");
    expect_of("<tool_call><function=now>\n", "c:<tool_call><function=now>\n|", false, true);
    expect_of("<tool_call><function=weather><parameter=city>\nBonn\n",
              "call:weather|args:{\"city\": \"Bonn|", false, true);
    expect_of("<function=weather><parameter=days>12", "call:weather|args:{\"days\": |", false,
              true);
    /* the next one before this one is closed; text instead of a parameter */
    expect("<tool_call><function=weather><parameter=days>1</parameter>\n<tool_call>"
           "<function=now></function></tool_call>",
           "call:weather|args:{\"days\": 1}|call:now|args:{}|");
    expect("<function=weather><parameter=days>1</parameter>\n<function=now></function>",
           "call:weather|args:{\"days\": 1}|call:now|args:{}|");
    expect("<function=weather><parameter=days>1</parameter>\nwell <i>",
           "call:weather|args:{\"days\": 1}|c:well <i>|");
    expect("<function=weather><parameter=days>1</parameter><parameter=\n>",
           "call:weather|args:{\"days\": 1}|c:<parameter=\n>|");
}

static void typed(void **state)
{
    static const struct {
        const char *name, *text, *json;
    } cases[] = {
        {"city", "12", "\"12\""},
        {"city", "null", "\"null\""},
        {"city", "\"q\"", "\"\\\"q\\\"\""},
        {"days", "12", "12"},
        {"days", " \n -12\n", "-12"},
        {"days", "1.5", "\"1.5\""},
        {"days", "012", "\"012\""},
        {"days", "-", "\"-\""},
        {"days", "twelve", "\"twelve\""},
        {"days", "true", "\"true\""},
        {"days", "", "\"\""},
        {"ratio", "1.5e-3", "1.5e-3"},
        {"ratio", "12", "12"},
        {"ratio", "1.", "\"1.\""},
        {"exact", "true", "true"},
        {"exact", "False", "false"},
        {"exact", "tru", "\"tru\""},
        {"exact", "truex", "\"truex\""},
        {"exact", "1", "\"1\""},
        {"none", "null", "null"},
        {"none", "None", "null"},
        {"none", "nil", "\"nil\""},
        {"list", "[1, \"a\nb\", {\"c\": []}]", "[1, \"a\\nb\", {\"c\": []}]"},
        {"list", "[1", "\"[1\""},
        {"list", "{}", "\"{}\""},
        {"map", "{\"a\": {\"b\": 1.5}}", "{\"a\": {\"b\": 1.5}}"},
        {"map", "{a: 1}", "\"{a: 1}\""},
        {"map", "{} {}", "\"{} {}\""},
        {"map", "[]", "\"[]\""},
        {"free", "text", "\"text\""},
        {"free", "12", "12"},
        {"free", "1.5", "1.5"},
        {"free", "\"q\"", "\"\\\"q\\\"\""},
        {"free", "null", "null"},
        {"free", "None", "\"None\""},
        {"free", "{\"a\": 1}", "{\"a\": 1}"},
        {"unknown", "[true]", "[true]"},
        {"maybe", "null", "null"},
        {"maybe", "nullify", "\"nullify\""},
        {"maybe", "12", "\"12\""},
        {"many", "12", "12"},
        {"many", "[1]", "[1]"},
        {"many", "{}", "\"{}\""},
        {"kind", "1", "\"1\""},
        {"ref", "2", "2"},
        {"ref", "null", "null"},
        {"ref", "\"2\"", "\"\\\"2\\\"\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text = {0}, wanted = {0};
        buf_printf(&text, "<function=weather>\n<parameter=%s>\n%s\n</parameter>\n</function>",
                   cases[i].name, cases[i].text);
        buf_printf(&wanted, "call:weather|args:{\"%s\": %s}|", cases[i].name, cases[i].json);
        expect(buf_text(&text), buf_text(&wanted));
        buf_free(&text);
        buf_free(&wanted);
    }
}

/* Text that is no call comes out as it came. */
static void verbatim(void **state)
{
    static const char *const texts[] = {
        "",
        " \n\t ",
        "\n\nHello <b>world</b> \n",
        "<",
        "a < b <= c",
        "<tool_call",
        "<tool_call>",
        " \n<tool_call>\n",
        "<tool_call> is how calls begin </tool_call>",
        "<tool_call>\n{\"name\": \"nobody\", \"arguments\": {\"a\": 1}}\n</tool_call>\n",
        "<tool_call>\n{\"nam\": \"now\"}\n</tool_call>",
        "<tool_call>\n{\"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"now\", \"arguments\": [1]}\n</tool_call>",
        "<tool_call>\n{\"name\": 3}\n</tool_call>",
        "<tool_call>{}</tool_call>",
        "<tool_call>{\"name\" \"now\"}",
        "<tool_call>{\"name\": \"now\" \"b\"}",
        "<tool_call>{\"x\": \xc3\xa9}",
        "<tool_call>\n<function=nobody>\n</function>\n</tool_call>",
        "<tool_call>\n<function=no>\n</function>\n</tool_call>",
        "<tool_call>\n<function=now is",
        "<tool_call>\n<function=now>\nwhat",
        "<tool_call>\n<function=now>\n<parameter=>",
        "<tool_call>\n<function=now>\n<parameter=<",
        "</tool_call></function></parameter>",
        "<function=",
        "<function=now",
        "<<<<tool_call><<",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf wanted = {0};
        if (texts[i][0] != '\0')
            buf_printf(&wanted, "c:%s|", texts[i]);
        expect(texts[i], buf_text(&wanted));
        expect_of(texts[i], buf_text(&wanted), false, true);
        buf_free(&wanted);
    }
    /* what comes behind it may still be one */
    expect("<tool_call><tool_call>{\"name\":\"now\"}", "c:<tool_call>|call:now|args:{}|");
    expect("<tool_call><function=n<function=now></function>",
           "c:<tool_call><function=n|call:now|args:{}|");
    expect("<<function=now></function>", "c:<|call:now|args:{}|");
}

static void reasoning(void **state)
{
    (void)state;
    expect(THINK "hm {\"name\":\"now\",\"arguments\":{}}" END "\n" CALL("{\"name\":\"now\"}"),
           "r:hm {\"name\":\"now\",\"arguments\":{}}|call:now|args:{}|");
    /* a call ends it, until it begins again */
    expect(THINK "I call\n" CALL("{\"name\":\"now\"}") "\nthat" END "\n\nit" THINK "well" END "so",
           "r:I call\n|call:now|args:{}|c:\nthat\n\nit|r:well|c:so|");
    expect(THINK "x<function=weather><parameter=city>a" END "b</parameter></function>" END " ",
           "r:x|call:weather|args:{\"city\": \"ab\"}|");
    /* what is undecided where it ends is none */
    expect(THINK "a<tool_call>\n" END "{\"name\":\"now\",\"arguments\":{}}",
           "r:a<tool_call>\n|call:now|args:{}|");
    expect(THINK " \n" END " b", "r: \n|c: b|");
    expect("a<tool" THINK "_call>", "c:a<tool|r:_call>|");
}

static void single(void **state)
{
    (void)state;
    expect_of("a " CALL("{\"name\":\"now\"}") " b", "c:a |call:now|args:{}|", true, false);
    expect_of("<tool_call>{\"name\":\"now\"}\n<tool_call>{\"name\":\"now\"}", "call:now|args:{}|",
              true, false);
    expect_of("<function=now></function>\n<function=now></function>", "call:now|args:{}|", true,
              false);
    expect_of("<tool_call>{\"name\":\"nobody\"}", "c:<tool_call>{\"name\":\"nobody\"}|", true,
              false);
}

/* --- limits --- */

static void fill(struct buf *b, const char *begin, char c, size_t n, const char *end)
{
    buf_clear(b);
    buf_add_str(b, begin);
    for (size_t i = 0; i < n; i++)
        buf_add_char(b, c);
    buf_add_str(b, end);
}

static void limits(void **state)
{
    struct buf text = {0}, wanted = {0};

    (void)state;
    /* undecided for too long */
    static const char *const begins[] = {"<tool_call>", "", "<tool_call>{\"x\": \"",
                                         "<tool_call>{\"arguments\": {\"a\": \""};
    static const char fills[] = {' ', ' ', 'x', 'x'};
    for (size_t i = 0; i < 4; i++) {
        fill(&text, begins[i], fills[i], CALLS_HOLD_MAX, "\"}, \"name\": \"now\"}");
        fill(&wanted, "c:", ' ', 0, "");
        buf_add(&wanted, text.data, text.len);
        buf_add_char(&wanted, '|');
        expect(buf_text(&text), buf_text(&wanted));
    }
    /* a long value: an object stays one, what is neither is a string */
    fill(&text, "<function=weather><parameter=map>{\"a\": \"", 'x', 3 * CALLS_HOLD_MAX,
         "\"}</parameter></function>");
    fill(&wanted, "call:weather|args:{\"map\": {\"a\": \"", 'x', 3 * CALLS_HOLD_MAX, "\"}}|");
    expect(buf_text(&text), buf_text(&wanted));
    fill(&text, "<function=weather><parameter=days>", '1', 3 * CALLS_HOLD_MAX,
         "</parameter></function>");
    fill(&wanted, "call:weather|args:{\"days\": \"", '1', 3 * CALLS_HOLD_MAX, "\"}|");
    expect(buf_text(&text), buf_text(&wanted));
    fill(&text, "<function=weather><parameter=days>", ' ', 3 * CALLS_HOLD_MAX,
         "1</parameter></function>");
    fill(&wanted, "call:weather|args:{\"days\": \"", ' ', 3 * CALLS_HOLD_MAX, "1\"}|");
    expect(buf_text(&text), buf_text(&wanted));
    /* and one that breaks late is as the model says it */
    fill(&text, "<function=weather><parameter=map>{\"a\": \"", 'x', 3 * CALLS_HOLD_MAX,
         "\" oh\n</parameter></function>");
    fill(&wanted, "call:weather|args:{\"map\": {\"a\": \"", 'x', 3 * CALLS_HOLD_MAX, "\" oh}|");
    expect(buf_text(&text), buf_text(&wanted));
    /* a name that is too long */
    fill(&text, "<function=weather><parameter=days>1</parameter><parameter=", 'x', 300, ">");
    fill(&wanted, "call:weather|args:{\"days\": 1}|c:<parameter=", 'x', 300, ">|");
    expect(buf_text(&text), buf_text(&wanted));
    /* too deep */
    fill(&text, "<function=weather><parameter=list>", '[', 65, "</parameter></function>");
    fill(&wanted, "call:weather|args:{\"list\": \"", '[', 65, "\"}|");
    expect(buf_text(&text), buf_text(&wanted));
    /* too many */
    fill(&text, "", ' ', 0, "");
    fill(&wanted, "", ' ', 0, "");
    for (int i = 0; i < CALLS_MAX; i++) {
        buf_add_str(&text, "<function=now></function>");
        buf_add_str(&wanted, "call:now|args:{}|");
    }
    buf_add_str(&text, " <function=now></function>");
    buf_add_str(&wanted, "c: <function=now></function>|");
    expect(buf_text(&text), buf_text(&wanted));
    buf_free(&text);
    buf_free(&wanted);
}

/* --- texts by chance, out of what calls are made of --- */

static void near_calls(void **state)
{
    static const char *const pieces[] = {
        "<tool_call>",
        "</tool_call>",
        "<function=",
        "now",
        "weather",
        ">",
        "</function>",
        "<parameter=",
        "city",
        "map",
        "</parameter>",
        "\n",
        " ",
        "{",
        "}",
        "\"",
        "\"name\"",
        ":",
        "\"now\"",
        "\"arguments\"",
        ",",
        "{}",
        "1",
        "null",
        "\\u00e9",
        "\\ud83d",
        "\\",
        "é",
        "<",
        "{\"name\": \"now\", \"arguments\": {",
        "\"a\": [1, \"x",
        "<tool_call>\n{\"name\": \"weather\",",
        THINK,
        END,
        "text",
        "<function=weather>\n<parameter=free>\n",
    };
    enum { N = sizeof pieces / sizeof pieces[0] };
    struct buf text = {0};

    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        uint64_t draw = 0;
        buf_clear(&text);
        for (uint64_t n = 1 + hash_mix(seed, draw++) % 24; n > 0; n--)
            buf_add_str(&text, pieces[hash_mix(seed, draw++) % N]);
        bool *cut = calloc(text.len + 1, sizeof *cut);
        assert_non_null(cut);
        bool is_single = seed % 7 == 0, ends_early = seed % 3 == 0;
        char *whole = run(text.data, text.len, cut, is_single, ends_early);
        for (int way = 0; way < 4; way++) {
            for (size_t i = 0; i < text.len; i++)
                cut[i] = may_cut(text.data, i) && (way == 0 || hash_mix(seed, draw++) % 4 == 0);
            char *parts = run(text.data, text.len, cut, is_single, ends_early);
            assert_string_equal(parts, whole);
            free(parts);
        }
        free(whole);
        free(cut);
    }
    buf_free(&text);
}

/* Without tools everything is text. */
static void no_tools(void **state)
{
    struct calls c;
    struct parts out = {0};
    struct buf text = {0};

    (void)state;
    calls_init(&c, NULL, false);
    push(&c, " <tool_call>", 12, &out);
    push(&c, "{\"name\":\"now\"}", 14, &out);
    describe(&out, &text);
    assert_string_equal(buf_text(&text), "c: <tool_call>{\"name\":\"now\"}|");
    calls_end(&c, false, &out);
    calls_free(&c);
    parts_free(&out);
    buf_free(&text);
}

static void bad_tools(void **state)
{
    static const char *const texts[] = {
        "[{}]",
        "[{\"function\":3}]",
        "[{\"function\":{\"name\":\"\"}}]",
        "[3]",
        "[{\"function\":{\"name\":7}}]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json_object *root;
        struct call_tools t;
        struct err e = {0};
        assert_int_equal(json_parse(texts[i], strlen(texts[i]), &root, &e), 0);
        assert_int_equal(call_tools_read(&t, root, &e), -EINVAL);
        assert_non_null(strstr(e.text, "tools[0]"));
        json_free(&root);
    }
}

/* What a schema may cost: many tools, references that go round, long lists that are named often. */
static void large_tools(void **state)
{
    struct buf text = {0};
    struct json_object *root;
    struct call_tools t;
    struct err e = {0};

    (void)state;
    for (int i = 0; i <= CALL_TOOLS_MAX; i++)
        buf_printf(&text, "%s{\"function\":{\"name\":\"f%d\"}}", i == 0 ? "[" : ",", i);
    buf_add_char(&text, ']');
    assert_int_equal(json_parse(text.data, text.len, &root, &e), 0);
    assert_int_equal(call_tools_read(&t, root, &e), -EINVAL);
    assert_non_null(strstr(e.text, "at most 1024"));
    json_free(&root);

    buf_clear(&text);
    buf_add_str(&text,
                "[{\"function\":{\"name\":\"f\",\"parameters\":{\"$defs\":{"
                "\"round\":{\"anyOf\":[{\"$ref\":\"#/$defs/round\"},{\"$ref\":\"#/$defs/round\"}]},"
                "\"long\":{\"enum\":[1");
    for (int i = 0; i < 20000; i++)
        buf_add_str(&text, ",1");
    buf_add_str(&text, "]}},\"properties\":{\"first\":{\"$ref\":\"#/$defs/long\"}");
    for (int i = 0; i < 2000; i++)
        buf_printf(&text, ",\"p%d\":{\"$ref\":\"#/$defs/%s\"}", i, i % 2 == 0 ? "round" : "long");
    buf_add_str(&text, "}}}}]");
    assert_int_equal(json_parse(text.data, text.len, &root, &e), 0);
    assert_int_equal(call_tools_read(&t, root, &e), 0);
    assert_int_equal(t.n_parameters, 2001);
    assert_int_equal(call_tools_types(&t, t.tool, "first", 5), CALL_INTEGER);
    assert_int_equal(call_tools_types(&t, t.tool, "p0", 2), CALL_ANY);
    assert_int_equal(call_tools_types(&t, t.tool, "p1999", 5), CALL_ANY);
    call_tools_free(&t);
    json_free(&root);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_form),   cmocka_unit_test(json_repairs), cmocka_unit_test(no_opening),
        cmocka_unit_test(xml_form),    cmocka_unit_test(typed),        cmocka_unit_test(verbatim),
        cmocka_unit_test(reasoning),   cmocka_unit_test(single),       cmocka_unit_test(limits),
        cmocka_unit_test(near_calls),  cmocka_unit_test(no_tools),     cmocka_unit_test(bad_tools),
        cmocka_unit_test(large_tools),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

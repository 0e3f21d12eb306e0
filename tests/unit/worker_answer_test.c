#include "worker/answer.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TOKENS_MAX 64
#define DRAW(n)    (hash_mix(seed, draw++) % (n))

struct rec {
    struct token token[TOKENS_MAX];
    char text[TOKENS_MAX][TOKEN_TEXT_MAX + 1];
    uint32_t n, n_echo; /* the first ones are echoed */
};

/* A record without tokens whose first n_echo will be of the prompt. */
static void clear(struct rec *r, uint32_t n_echo)
{
    r->n = 0;
    r->n_echo = n_echo;
}

static void add_token(struct rec *r, enum channel channel, const char *text, size_t len)
{
    memcpy(r->text[r->n], text, len);
    r->token[r->n] = (struct token){
        .channel = channel, .text = r->text[r->n], .len = len, .is_prompt = r->n < r->n_echo};
    r->n++;
}

/* Every part is well-formed, and together they are at most one record's text. */
static size_t check_parts(const struct buf *b, uint8_t n)
{
    const char *at = b->data + b->pos;
    const char *end = at + buf_pending(b);
    size_t text = 0;

    for (; n > 0; n--) {
        struct part_head head;
        assert_true((size_t)(end - at) >= sizeof head);
        memcpy(&head, at, sizeof head);
        at += sizeof head;
        assert_true(head.len > 0 && head.len <= end - at);
        assert_true(head.channel < channel_count && head.reserved == 0);
        assert_true(utf8_valid(at, head.len));
        at += head.len;
        text += head.len;
    }
    assert_ptr_equal(at, end);
    assert_true(text <= PARTS_TEXT_MAX);
    return text;
}

/* The parts of tokens [from, n) and of the end, one after another. */
static void run(struct answer *a, const struct rec *r, uint32_t from, struct buf *out)
{
    enum finish_reason reason;

    for (uint32_t i = from; i <= r->n; i++) {
        struct buf parts = {0};
        bool is_over = answer_is_over(a, &reason);
        bool is_last = i == r->n || is_over;
        if (is_last)
            reason = answer_end(a, is_over ? reason : FINISH_STOP);
        else
            answer_add(a, &r->token[i]);
        uint8_t n = answer_take(a, &parts);
        if (n > 0)
            check_parts(&parts, n);
        buf_add(out, &i, sizeof i);
        buf_add(out, &n, sizeof n);
        if (n > 0)
            buf_add(out, parts.data + parts.pos, buf_pending(&parts));
        buf_free(&parts);
        if (is_last) {
            buf_add(out, &reason, sizeof reason);
            break;
        }
    }
    assert_int_equal(a->ready.n, 0);
}

static struct call_tools tools; /* none, or what a test reads */

static void init(struct answer *a, const struct stop_list *stops, uint32_t n_max)
{
    answer_init(a, &(struct answer_rules){.stops = stops, .tools = &tools, .n_max = n_max});
}

static void begin(struct answer *a, const struct rec *r, const struct stop_list *stops,
                  uint32_t n_max)
{
    init(a, stops, n_max);
    answer_echo(a, r->n_echo);
}

static void read_tools(void)
{
    static const char text[] = "[{\"function\":{\"name\":\"now\"}},"
                               "{\"function\":{\"name\":\"add\",\"parameters\":{\"properties\":"
                               "{\"n\":{\"type\":\"integer\"},\"s\":{\"type\":\"string\"}}}}}]";
    struct json_object *root;

    assert_int_equal(json_parse(text, sizeof text - 1, &root, NULL), 0);
    assert_int_equal(call_tools_read(&tools, root, NULL), 0);
    json_free(&root);
}

/* The state after tokens [0, k) of somebody else. */
static void replay(struct answer *a, const struct rec *r, uint32_t k)
{
    for (uint32_t i = 0; i < k; i++) {
        struct buf parts = {0};
        answer_add(a, &r->token[i]);
        answer_take(a, &parts);
        buf_free(&parts);
    }
}

/* For every k: what a fresh state says after replaying k tokens is the rest of what the first one
 * said. */
static void check_replay(const struct rec *r, const struct stop_list *stops, uint32_t n_max)
{
    struct answer whole;
    struct buf all = {0};

    begin(&whole, r, stops, n_max);
    run(&whole, r, 0, &all);
    for (uint32_t k = 0; k <= whole.n_tokens; k++) {
        struct answer a;
        struct buf rest = {0};
        begin(&a, r, stops, n_max);
        replay(&a, r, k);
        run(&a, r, k, &rest);
        size_t n = buf_pending(&rest);
        assert_true(n > 0 && n <= buf_pending(&all));
        assert_memory_equal(rest.data + rest.pos, all.data + all.len - n, n);
        assert_int_equal(a.n_tokens, whole.n_tokens);
        assert_int_equal(a.is_stopped, whole.is_stopped);
        answer_free(&a);
        buf_free(&rest);
    }
    answer_free(&whole);
    buf_free(&all);
}

static void replay_is_the_state(void **state)
{
    static const char *const pieces[] = {"a",    "b",        "ab",   "é", "\xc3", "\xa9",
                                         "日",   "\xe6\x97", "",     " ", "aba",  "bb",
                                         "🙂", "\xf0\x9f", "\x82", "x"};
    static struct rec r;

    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        uint64_t draw = 0;
        struct stop_list stops = {0};
        clear(&r, 0);
        for (uint64_t n = DRAW(4); n > 0; n--) {
            static const char *const some[] = {"abab", "é日", "bbb", "xab ", "aé"};
            const char *stop = some[DRAW(5)];
            assert_int_equal(stop_list_add(&stops, stop, strlen(stop)), 0);
        }
        uint64_t n_tokens = DRAW(40);
        r.n_echo = DRAW(2) == 0 ? (uint32_t)DRAW(n_tokens + 1) : 0;
        for (uint64_t n = 0; n < n_tokens; n++) {
            const char *piece = pieces[DRAW(16)];
            bool thinks = DRAW(5) == 0 && n >= r.n_echo;
            add_token(&r, thinks ? CHANNEL_REASONING : CHANNEL_CONTENT, piece, strlen(piece));
        }
        check_replay(&r, &stops, DRAW(3) == 0 ? (uint32_t)DRAW(10) : ANSWER_UNLIMITED);
        stop_list_free(&stops);
    }
}

/* What was held back comes on top of a token's own text, in one record, escaped as far as it can
 * be. */
static void long_texts(void **state)
{
    static struct rec r;
    static char text[TOKEN_TEXT_MAX];
    struct stop_list stops = {0};
    struct answer a;
    struct buf out = {0};
    size_t most = 0;

    (void)state;
    read_tools();
    memset(text, 'y', sizeof text);
    assert_int_equal(stop_list_add(&stops, text, STOP_LEN_MAX), 0); /* 1024 times y */
    clear(&r, 0);
    add_token(&r, CHANNEL_CONTENT, "z", 1);
    add_token(&r, CHANNEL_CONTENT, text, STOP_LEN_MAX - 1);
    add_token(&r, CHANNEL_CONTENT, "<function=add><parameter=n>", 27);
    memset(text, '1', sizeof text);
    add_token(&r, CHANNEL_CONTENT, text, CALLS_HOLD_MAX);
    memset(text, 1, sizeof text); /* six bytes each */
    add_token(&r, CHANNEL_CONTENT, text, sizeof text);
    add_token(&r, CHANNEL_CONTENT, "</parameter></function><tool_call>", 34);
    memset(text, ' ', sizeof text);
    add_token(&r, CHANNEL_CONTENT, text, CALLS_HOLD_MAX - 11);
    memset(text, 0xff, sizeof text); /* three bytes each */
    add_token(&r, CHANNEL_CONTENT, text, sizeof text);
    check_replay(&r, &stops, ANSWER_UNLIMITED);

    init(&a, &stops, ANSWER_UNLIMITED);
    for (uint32_t i = 0; i <= r.n; i++) {
        if (i < r.n)
            answer_add(&a, &r.token[i]);
        else
            answer_end(&a, FINISH_STOP);
        buf_clear(&out);
        uint8_t n = answer_take(&a, &out);
        size_t len = n > 0 ? check_parts(&out, n) : 0;
        most = len > most ? len : most;
    }
    assert_true(most > 6 * TOKEN_TEXT_MAX);
    answer_free(&a);
    buf_free(&out);
    stop_list_free(&stops);
    call_tools_free(&tools);
}

/* As many parts as can be: a call in as few bytes as it needs, text between them. */
static void many_parts(void **state)
{
    static struct rec r;
    struct stop_list stops = {0};
    struct buf text = {0}, out = {0};

    (void)state;
    read_tools();
    for (int i = 0; text.len + 26 < TOKEN_TEXT_MAX; i++)
        buf_printf(&text, "<function=now></function>%c", 'a' + i % 26);
    clear(&r, 0);
    add_token(&r, CHANNEL_REASONING, "x", 1);
    add_token(&r, CHANNEL_CONTENT, text.data, text.len);
    check_replay(&r, &stops, ANSWER_UNLIMITED);
    buf_free(&text);
    buf_free(&out);
    call_tools_free(&tools);
}

/* Tokens by chance out of what calls are made of. */
static void calls_are_replayed(void **state)
{
    static const char *const pieces[] = {"<tool_call>",
                                         "\n",
                                         "{\"name\": \"now\", ",
                                         "\"arguments\": {",
                                         "\"a\": \"x",
                                         "\"}",
                                         "}",
                                         "</tool_call>",
                                         "<function=add>",
                                         "<parameter=n>",
                                         "12",
                                         "</parameter>",
                                         "<parameter=s>",
                                         "</function>",
                                         "\xc3",
                                         "\xa9",
                                         "<",
                                         "text ",
                                         "\\u00",
                                         "e9",
                                         "abab"};
    static struct rec r;

    (void)state;
    read_tools();
    for (uint64_t seed = 0; seed < 600; seed++) {
        uint64_t draw = 0;
        struct stop_list stops = {0};
        clear(&r, 0);
        if (DRAW(2) == 0)
            assert_int_equal(stop_list_add(&stops, "xt ab", 5), 0);
        for (uint64_t n = DRAW(30); n > 0; n--) {
            const char *piece = pieces[DRAW(sizeof pieces / sizeof pieces[0])];
            bool thinks = n > 15 && seed % 3 == 0;
            add_token(&r, thinks ? CHANNEL_REASONING : CHANNEL_CONTENT, piece, strlen(piece));
        }
        check_replay(&r, &stops, DRAW(3) == 0 ? (uint32_t)DRAW(20) : ANSWER_UNLIMITED);
        stop_list_free(&stops);
    }
    call_tools_free(&tools);
}

static void ends(void **state)
{
    struct stop_list stops = {0};
    struct answer a;
    struct buf out = {0};
    enum finish_reason reason;

    (void)state;
    init(&a, &stops, 0);
    assert_true(answer_is_over(&a, &reason));
    assert_int_equal(reason, FINISH_LENGTH);
    answer_free(&a);

    /* a stop string that is complete with the last allowed token is a stop */
    stop_list_add(&stops, "xy", 2);
    init(&a, &stops, 2);
    answer_add(&a, &(struct token){.text = "ax", .len = 2});
    assert_false(answer_is_over(&a, &reason));
    answer_add(&a, &(struct token){.text = "yz", .len = 2});
    assert_true(answer_is_over(&a, &reason));
    assert_int_equal(reason, FINISH_STOP);
    assert_int_equal(answer_take(&a, &out), 1);
    assert_int_equal(check_parts(&out, 1), 1);
    assert_int_equal(out.data[sizeof(struct part_head)], 'a');
    assert_int_equal(answer_end(&a, reason), FINISH_STOP);
    assert_int_equal(answer_stop(&a), 1);
    assert_int_equal(answer_take(&a, &out), 0);
    answer_free(&a);

    /* nothing of the content is held over reasoning, be it without a word */
    init(&a, &stops, ANSWER_UNLIMITED);
    answer_add(&a, &(struct token){.text = "ax", .len = 2});
    answer_add(&a, &(struct token){.channel = CHANNEL_REASONING, .text = "", .len = 0});
    answer_add(&a, &(struct token){.text = "yz", .len = 2});
    assert_false(answer_is_over(&a, &reason));
    answer_free(&a);

    /* reasoning is not searched, and what was held before it comes first */
    init(&a, &stops, ANSWER_UNLIMITED);
    buf_clear(&out);
    answer_add(&a, &(struct token){.text = "ax", .len = 2});
    answer_add(&a, &(struct token){.channel = CHANNEL_REASONING, .text = "xyxy", .len = 4});
    assert_false(answer_is_over(&a, &reason));
    uint8_t n = answer_take(&a, &out);
    assert_int_equal(n, 2); /* "ax", and the reasoning */
    assert_int_equal(check_parts(&out, n), 6);
    answer_free(&a);
    buf_free(&out);
    stop_list_free(&stops);
}

/* What tokens [0, n) of the record say, and how it ends. */
static void expect_text(const struct rec *r, const struct stop_list *stops, uint32_t n_max,
                        uint32_t n, const char *text, enum finish_reason reason)
{
    struct answer a;
    struct buf parts = {0}, said = {0};
    enum finish_reason found;

    begin(&a, r, stops, n_max);
    for (uint32_t i = 0; i < n; i++) {
        assert_false(answer_is_over(&a, &found));
        answer_add(&a, &r->token[i]);
    }
    assert_true(answer_is_over(&a, &found));
    assert_int_equal(found, reason);
    answer_end(&a, found);
    answer_take(&a, &parts);
    for (size_t at = 0; at < parts.len;) {
        struct part_head head;
        memcpy(&head, parts.data + at, sizeof head);
        buf_add(&said, parts.data + at + sizeof head, head.len);
        at += sizeof head + head.len;
    }
    assert_string_equal(buf_text(&said), text);
    buf_free(&said);
    buf_free(&parts);
    answer_free(&a);
}

/* Echoed tokens: in the count, not in n_max; a stop string in them is no end, nor is one that
 * begins in them; a character that begins in them is whole. */
static void echo(void **state)
{
    static struct rec r;
    struct stop_list stops = {0};

    (void)state;
    assert_int_equal(stop_list_add(&stops, "stop", 4), 0);
    clear(&r, 3);
    add_token(&r, CHANNEL_CONTENT, "a stop", 6);
    add_token(&r, CHANNEL_CONTENT, " st", 3);
    add_token(&r, CHANNEL_CONTENT, "\xc3", 1);
    add_token(&r, CHANNEL_CONTENT, "\xa9op", 3);
    add_token(&r, CHANNEL_CONTENT, "s", 1);
    add_token(&r, CHANNEL_CONTENT, "top!", 4);
    check_replay(&r, &stops, ANSWER_UNLIMITED);
    check_replay(&r, &stops, 0);
    expect_text(&r, &stops, 0, 3, "a stop st\xef\xbf\xbd", FINISH_LENGTH);
    expect_text(&r, &stops, 1, 4, "a stop st\xc3\xa9op", FINISH_LENGTH);
    expect_text(&r, &stops, 2, 5, "a stop st\xc3\xa9ops", FINISH_LENGTH);
    expect_text(&r, &stops, ANSWER_UNLIMITED, 6, "a stop st\xc3\xa9op", FINISH_STOP);

    clear(&r, 1); /* "st" + "op" */
    add_token(&r, CHANNEL_CONTENT, "st", 2);
    add_token(&r, CHANNEL_CONTENT, "op", 2);
    expect_text(&r, &stops, 1, 2, "stop", FINISH_LENGTH);
    stop_list_free(&stops);
}

/* One answer of the text as one token and then an end, in the form "channel:text|". */
static enum finish_reason tell(const char *text, bool is_single, enum finish_reason reason,
                               struct answer *a, const struct stop_list *stops, struct buf *out)
{
    struct part_view v;
    struct parts parts = {0};

    answer_init(a, &(struct answer_rules){.stops = stops,
                                          .tools = &tools,
                                          .has_single_call = is_single,
                                          .n_max = ANSWER_UNLIMITED});
    answer_add(a, &(struct token){.text = text, .len = strlen(text)});
    enum finish_reason over;
    if (answer_is_over(a, &over))
        reason = over;
    reason = answer_end(a, reason);
    parts.n = answer_take(a, &parts.buf);
    buf_clear(out);
    for (size_t at = 0; parts_next(&parts, &at, &v);) {
        buf_printf(out, "%s:", channel_name(v.channel));
        buf_add(out, v.text, v.len);
        buf_add_char(out, '|');
    }
    parts_free(&parts);
    return reason;
}

/* How an answer with calls ends, and what stop strings are to them. */
static void calls(void **state)
{
    struct stop_list stops = {0};
    struct answer a;
    struct buf out = {0};

    (void)state;
    read_tools();
    assert_int_equal(stop_list_add(&stops, "never", 5), 0);
    assert_int_equal(stop_list_add(&stops, "now", 3), 0);
    assert_int_equal(stop_list_add(&stops, "bc", 2), 0);
    static const char call[] = "ab<tool_call>{\"name\":\"now\",\"arguments\":{\"now\":1}}";
    assert_int_equal(tell(call, false, FINISH_STOP, &a, &stops, &out), FINISH_TOOL_CALLS);
    assert_string_equal(buf_text(&out), "content:ab|call:now|arguments:{\"now\":1}|");
    assert_int_equal(answer_stop(&a), 0);
    assert_true(a.has_shown);
    answer_free(&a);
    assert_int_equal(tell(call, false, FINISH_LENGTH, &a, &stops, &out), FINISH_LENGTH);
    answer_free(&a);
    /* behind a call a stop string is one; what was held before it is shown */
    static const char stop[] = "b<function=now></function>c bc";
    assert_int_equal(tell(stop, false, FINISH_LENGTH, &a, &stops, &out), FINISH_TOOL_CALLS);
    assert_string_equal(buf_text(&out), "content:b|call:now|arguments:{}|content:c |");
    assert_int_equal(answer_stop(&a), 3);
    answer_free(&a);
    /* the end may complete one */
    assert_int_equal(tell("ab<tool_call>now", false, FINISH_LENGTH, &a, &stops, &out), FINISH_STOP);
    assert_string_equal(buf_text(&out), "content:ab<tool_call>|");
    assert_int_equal(answer_stop(&a), 2);
    answer_free(&a);
    assert_int_equal(tell("<function=now></function> and", true, FINISH_LENGTH, &a, &stops, &out),
                     FINISH_TOOL_CALLS);
    assert_string_equal(buf_text(&out), "call:now|arguments:{}|");
    assert_true(a.is_stopped);
    answer_free(&a);
    tell("", false, FINISH_STOP, &a, &stops, &out);
    assert_false(a.has_shown);
    answer_free(&a);
    buf_free(&out);
    stop_list_free(&stops);
    call_tools_free(&tools);
}

/* A call ends the reasoning; the next one begins where the model says so. */
static void reasoning(void **state)
{
    struct stop_list stops = {0};
    struct answer a;
    static const struct {
        enum channel channel;
        const char *text;
        bool is_reasoning;
    } tokens[] = {
        {CHANNEL_REASONING, "so", true},
        {CHANNEL_REASONING, "<function=now>", true},
        {CHANNEL_REASONING, "</function>", false},
        {CHANNEL_REASONING, "well", false},
        {CHANNEL_CONTENT, "", false},
        {CHANNEL_CONTENT, "then", false},
        {CHANNEL_REASONING, "hm", true},
    };

    (void)state;
    read_tools();
    init(&a, &stops, ANSWER_UNLIMITED);
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        answer_add(&a, &(struct token){.channel = tokens[i].channel,
                                       .text = tokens[i].text,
                                       .len = strlen(tokens[i].text)});
        assert_int_equal(answer_is_reasoning(&a), tokens[i].is_reasoning);
    }
    answer_free(&a);
    call_tools_free(&tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo),
        cmocka_unit_test(replay_is_the_state),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(many_parts),
        cmocka_unit_test(calls_are_replayed),
        cmocka_unit_test(calls),
        cmocka_unit_test(reasoning),
        cmocka_unit_test(ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

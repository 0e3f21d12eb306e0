/* Every rule of a worker's records that needs no request: what is let through, and what is said of
 * the rest. */
#include "router/route/record.h"

#include "base/buf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct buf rec;

static void add_part(uint8_t channel, const char *text)
{
    struct part_head head = {.len = (uint16_t)strlen(text), .channel = channel};

    buf_add(&rec, &head, sizeof head);
    buf_add_str(&rec, text);
}

static void add_top(uint32_t token, float logprob, const char *text)
{
    struct top_head head = {.token = token, .logprob = logprob, .len = (uint16_t)strlen(text)};

    buf_add(&rec, &head, sizeof head);
    buf_add_str(&rec, text);
}

static void begin(struct token_head head)
{
    buf_clear(&rec);
    buf_add(&rec, &head, sizeof head);
}

static const char *read_token(struct token_head *head, struct part *parts, struct top *tops)
{
    struct ring_record r = {.type = RING_TOKEN, .data = (uint8_t *)rec.data, .len = rec.len};

    return record_read_token(&r, head, parts, tops);
}

/* The record as it stands is refused with this. */
static void expect_refusal(const char *says)
{
    struct token_head head;
    struct part parts[PARTS_MAX];
    struct top tops[TOPS_MAX];
    const char *why = read_token(&head, parts, tops);

    assert_non_null(why);
    if (strstr(why, says) == NULL)
        fail_msg("says \"%s\", expected \"%s\"", why, says);
}

static void expect_token(void)
{
    struct token_head head;
    struct part parts[PARTS_MAX];
    struct top tops[TOPS_MAX];
    const char *why = read_token(&head, parts, tops);

    if (why != NULL)
        fail_msg("refused: %s", why);
}

static void test_a_token(void **state)
{
    struct token_head head;
    struct part parts[PARTS_MAX];
    struct top tops[TOPS_MAX];

    (void)state;
    begin((struct token_head){.index = 3, .token = 7, .logprob = -1, .n_parts = 2, .n_tops = 3});
    add_part(CHANNEL_REASONING, "h\xc3\xa9");
    add_part(CHANNEL_CONTENT, "y");
    add_top(7, -1, "\xa9y"); /* bytes, not UTF-8 */
    add_top(9, -0.5f, "no");
    add_top(8, -INFINITY, "");
    assert_null(read_token(&head, parts, tops));
    assert_int_equal(head.index, 3);
    assert_int_equal(parts[0].channel, CHANNEL_REASONING);
    assert_int_equal(parts[0].len, 3);
    assert_memory_equal(parts[1].text, "y", 1);
    assert_int_equal(tops[0].token, 7);
    assert_memory_equal(tops[0].text, "\xa9y", 2);
    assert_true(tops[1].logprob == -0.5f && isinf(tops[2].logprob));
    assert_int_equal(tops[2].len, 0);
    for (size_t len = 0; len < rec.len; len++) { /* cut anywhere it is none */
        struct ring_record r = {.type = RING_TOKEN, .data = (uint8_t *)rec.data, .len = len};
        assert_non_null(record_read_token(&r, &head, parts, tops));
    }
    buf_add_char(&rec, 'x');
    expect_refusal("bytes behind its end");
}

static void test_parts(void **state)
{
    static char text[PARTS_TEXT_MAX + 1], name[CALL_NAME_MAX + 2];

    (void)state;
    begin((struct token_head){.n_parts = 1});
    expect_refusal("parts end early");
    add_part(channel_count, "x");
    expect_refusal("channel is out of range");
    begin((struct token_head){.n_parts = 1});
    add_part(CHANNEL_CONTENT, "\xc3(");
    expect_refusal("not UTF-8");
    begin((struct token_head){.n_parts = PARTS_MAX});
    for (int i = 0; i < PARTS_MAX; i++)
        add_part(CHANNEL_CONTENT, "x");
    expect_token();
    begin((struct token_head){.n_parts = 1});
    add_part(CHANNEL_CALL, "");
    expect_refusal("name is out of range");
    memset(name, 'x', CALL_NAME_MAX);
    begin((struct token_head){.n_parts = 1});
    add_part(CHANNEL_CALL, name);
    expect_token();
    name[CALL_NAME_MAX] = 'x';
    begin((struct token_head){.n_parts = 1});
    add_part(CHANNEL_CALL, name);
    expect_refusal("name is out of range");
    memset(text, 'x', PARTS_TEXT_MAX);
    begin((struct token_head){.n_parts = 1});
    add_part(CHANNEL_CONTENT, text);
    expect_token();
    begin((struct token_head){.n_parts = 2});
    add_part(CHANNEL_CONTENT, text);
    add_part(CHANNEL_CONTENT, "x");
    expect_refusal("too much text");
}

static void test_tops(void **state)
{
    static char text[TOP_TEXT_MAX + 2];

    (void)state;
    begin((struct token_head){.token = 5, .n_tops = 1});
    expect_refusal("tops end early");
    add_top(6, 0, "");
    expect_refusal("not the token itself");
    begin((struct token_head){.token = 5, .logprob = -1, .n_tops = 1});
    add_top(5, -2, "");
    expect_refusal("not the token itself");
    memset(text, 'x', TOP_TEXT_MAX);
    begin((struct token_head){.n_tops = 1});
    add_top(0, 0, text);
    expect_token();
    text[TOP_TEXT_MAX] = 'x';
    begin((struct token_head){.n_tops = 1});
    add_top(0, 0, text);
    expect_refusal("a top's length");
    begin((struct token_head){.n_tops = TOPS_MAX});
    for (int i = 0; i < TOPS_MAX; i++)
        add_top(0, 0, "");
    expect_token();
    begin((struct token_head){.n_tops = TOPS_MAX + 1});
    for (int i = 0; i <= TOPS_MAX; i++)
        add_top(0, 0, "");
    expect_refusal("too many tops");
}

static void test_flags_and_numbers(void **state)
{
    (void)state;
    begin((struct token_head){.flags = TOKEN_PROMPT});
    expect_token();
    begin((struct token_head){.flags = TOKEN_FLAGS + 1});
    expect_refusal("unknown flags");

    begin((struct token_head){.logprob = -INFINITY, .n_tops = 1});
    add_top(0, -INFINITY, "");
    expect_token();
    begin((struct token_head){.logprob = INFINITY});
    expect_refusal("log-probability");
    begin((struct token_head){.logprob = NAN});
    expect_refusal("log-probability");
    begin((struct token_head){.logprob = NAN, .index = 1, .flags = TOKEN_PROMPT});
    expect_refusal("log-probability");

    begin((struct token_head){.logprob = NAN, .flags = TOKEN_PROMPT, .n_tops = 1});
    add_top(0, NAN, "x");
    expect_token();
    begin((struct token_head){.logprob = NAN, .flags = TOKEN_PROMPT, .n_tops = 2});
    add_top(0, NAN, "x");
    add_top(1, NAN, "x");
    expect_refusal("log-probability");
    begin((struct token_head){.n_tops = 2});
    add_top(0, 0, "");
    add_top(0, INFINITY, "");
    expect_refusal("log-probability");
}

static void test_the_others(void **state)
{
    struct accept_body accept = {5, 2, 0};
    struct done_head done = {.index = 3, .reason = FINISH_LENGTH};
    struct fail_head fail = {.code = FAIL_MEMORY, .len = 2};
    struct part parts[PARTS_MAX];
    char text[FAIL_TEXT_MAX + 1];
    struct ring_record r = {.type = RING_ACCEPT, .data = (uint8_t *)&accept, .len = sizeof accept};

    (void)state;
    assert_null(record_read_accept(&r, &accept));
    r.len--;
    assert_non_null(record_read_accept(&r, &accept));

    r = (struct ring_record){.type = RING_DONE, .data = (uint8_t *)&done, .len = sizeof done};
    struct done_head head;
    assert_null(record_read_done(&r, &head, parts));
    assert_int_equal(head.index, 3);
    done.reason = finish_reason_count;
    assert_string_equal(record_read_done(&r, &head, parts), "unknown reason");
    done = (struct done_head){.n_parts = 1};
    assert_string_equal(record_read_done(&r, &head, parts), "parts end early");

    buf_clear(&rec);
    buf_add(&rec, &fail, sizeof fail);
    buf_add_str(&rec, "no");
    r = (struct ring_record){.type = RING_FAIL, .data = (uint8_t *)rec.data, .len = rec.len};
    assert_null(record_read_fail(&r, &fail, text));
    assert_string_equal(text, "no");
    rec.data[sizeof fail] = '\xff';
    assert_non_null(record_read_fail(&r, &fail, text));
    r.len--;
    assert_non_null(record_read_fail(&r, &fail, text));
}

static int end(void **state)
{
    (void)state;
    buf_free(&rec);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_tops),    cmocka_unit_test(test_flags_and_numbers),
        cmocka_unit_test(test_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}

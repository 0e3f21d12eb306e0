#include "worker/answer.h"

#include "base/hash.h"
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
    assert_true(text <= TOKEN_TEXT_MAX);
    return text;
}

/* The parts of tokens [from, n) and of the end, one after another. */
static void run(struct answer *a, const struct rec *r, uint32_t from, struct buf *out)
{
    enum finish_reason reason;

    for (uint32_t i = from; i <= r->n; i++) {
        struct buf parts = {0};
        bool is_last = i == r->n || answer_is_over(a, &reason);
        if (is_last)
            answer_end(a);
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
        if (is_last)
            break;
    }
    assert_int_equal(buf_pending(&a->ready), 0);
}

static void begin(struct answer *a, const struct rec *r, const struct stop_list *stops,
                  uint32_t n_max)
{
    answer_init(a, stops, n_max);
    answer_echo(a, r->n_echo);
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

/* What was held back comes on top of a token's own text: no record may grow beyond its limit. */
static void long_texts_wait(void **state)
{
    static struct rec r;
    static char text[TOKEN_TEXT_MAX];
    struct stop_list stops = {0};
    struct answer a;
    struct buf out = {0};
    size_t shown = 0, fed = 0;
    bool has_waited = false;

    (void)state;
    memset(text, 'y', sizeof text);
    assert_int_equal(stop_list_add(&stops, text, STOP_LEN_MAX), 0); /* 1024 times y */
    clear(&r, 0);
    add_token(&r, CHANNEL_CONTENT, "yyy", 3);
    for (int i = 0; i < 5; i++) {
        /* the end of every other one is held back, an odd number of bytes, and comes on top of the
         * next, so that its letters of two bytes lie across the limit */
        bool is_held = i % 2 == 0;
        memset(text, is_held ? 'y' : 'z', sizeof text);
        memcpy(text, "z日zzz", 7);
        for (size_t k = is_held ? 7 : 6; k + 1 < (is_held ? 3100 : sizeof text); k += 2)
            memcpy(text + k, "é", 2);
        add_token(&r, CHANNEL_CONTENT, text, sizeof text);
    }
    check_replay(&r, &stops, ANSWER_UNLIMITED);

    answer_init(&a, &stops, ANSWER_UNLIMITED);
    for (uint32_t i = 0; i <= r.n; i++) {
        if (i < r.n) {
            answer_add(&a, &r.token[i]);
            fed += r.token[i].len;
        } else {
            answer_end(&a);
        }
        buf_clear(&out);
        uint8_t n = answer_take(&a, &out);
        if (n > 0)
            shown += check_parts(&out, n);
        has_waited |= buf_pending(&a.ready) > 0;
    }
    assert_int_equal(shown, fed);
    assert_true(has_waited);
    answer_free(&a);
    buf_free(&out);
    stop_list_free(&stops);
}

static void ends(void **state)
{
    struct stop_list stops = {0};
    struct answer a;
    struct buf out = {0};
    enum finish_reason reason;

    (void)state;
    answer_init(&a, &stops, 0);
    assert_true(answer_is_over(&a, &reason));
    assert_int_equal(reason, FINISH_LENGTH);
    answer_free(&a);

    /* a stop string that is complete with the last allowed token is a stop */
    stop_list_add(&stops, "xy", 2);
    answer_init(&a, &stops, 2);
    answer_add(&a, &(struct token){.text = "ax", .len = 2});
    assert_false(answer_is_over(&a, &reason));
    answer_add(&a, &(struct token){.text = "yz", .len = 2});
    assert_true(answer_is_over(&a, &reason));
    assert_int_equal(reason, FINISH_STOP);
    assert_int_equal(answer_take(&a, &out), 1);
    assert_int_equal(check_parts(&out, 1), 1);
    assert_int_equal(out.data[sizeof(struct part_head)], 'a');
    answer_end(&a);
    assert_int_equal(answer_take(&a, &out), 0);
    answer_free(&a);

    /* reasoning is not searched, and what was held before it comes first */
    answer_init(&a, &stops, ANSWER_UNLIMITED);
    buf_clear(&out);
    answer_add(&a, &(struct token){.text = "ax", .len = 2});
    answer_add(&a, &(struct token){.channel = CHANNEL_REASONING, .text = "xyxy", .len = 4});
    assert_false(answer_is_over(&a, &reason));
    uint8_t n = answer_take(&a, &out);
    assert_int_equal(n, 3); /* "a", "x", and the reasoning */
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
    answer_end(&a);
    while (answer_take(&a, &parts) > 0)
        ;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo),
        cmocka_unit_test(replay_is_the_state),
        cmocka_unit_test(long_texts_wait),
        cmocka_unit_test(ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

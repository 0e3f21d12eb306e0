/* Any bytes as an answer's text, of which the first ones say how it is cut into tokens: the same
 * blocks as in one piece, within the limits of the protocol, and of an answer without a call the
 * very text. */
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"
#include "worker/answer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char tools_text[] =
    "[{\"function\":{\"name\":\"now\"}},{\"function\":{\"name\":\"f\",\"parameters\":{"
    "\"properties\":{"
    "\"s\":{\"type\":\"string\"},\"i\":{\"type\":\"integer\"},\"b\":{\"type\":[\"boolean\","
    "\"null\"]},"
    "\"a\":{\"type\":\"array\"},\"o\":{\"type\":\"object\"},\"x\":{}}}}}]";

static const struct call_tools *get_tools(void)
{
    static struct call_tools tools;
    struct json_object *root;

    if (tools.n == 0) {
        CHECK(json_parse(tools_text, sizeof tools_text - 1, &root, NULL) == 0);
        CHECK(call_tools_read(&tools, root, NULL) == 0);
        json_free(&root);
    }
    return &tools;
}

struct told {
    struct parts parts;
    enum finish_reason reason;
    uint32_t n_calls;
};

/* What the last token made ready joins what was told before. */
static void take(struct answer *a, struct told *t)
{
    struct parts some = {0};
    struct part_view v;
    enum channel before = channel_count;

    some.n = answer_take(a, &some.buf);
    if (t->parts.n > 0) {
        struct part_head head;
        memcpy(&head, t->parts.buf.data + t->parts.last, sizeof head);
        before = (enum channel)head.channel;
    }
    for (size_t at = 0; parts_next(&some, &at, &v); before = v.channel) {
        CHECK(v.len > 0 && utf8_valid(v.text, v.len));
        CHECK(v.channel != CHANNEL_CALL || v.len <= CALL_NAME_MAX);
        CHECK(v.channel != CHANNEL_ARGUMENTS || before == CHANNEL_CALL ||
              before == CHANNEL_ARGUMENTS);
        t->n_calls += v.channel == CHANNEL_CALL;
        parts_add(&t->parts, v.channel, v.text, v.len);
    }
    parts_free(&some);
}

/* The text in tokens of at most `most` bytes, of lengths by chance. */
static void tell(const char *text, size_t len, const struct answer_rules *rules, size_t most,
                 bool is_cut, struct told *t)
{
    struct answer a;
    enum finish_reason reason;

    *t = (struct told){.reason = is_cut ? FINISH_LENGTH : FINISH_STOP};
    answer_init(&a, rules);
    for (size_t i = 0; i < len && !answer_is_over(&a, &reason);) {
        size_t n = most == TOKEN_TEXT_MAX ? most : 1 + hash_mix(most, i) % most;
        n = n < len - i ? n : len - i;
        answer_add(&a, &(struct token){.text = text + i, .len = n});
        take(&a, t);
        i += n;
    }
    if (answer_is_over(&a, &reason))
        t->reason = reason;
    t->reason = answer_end(&a, t->reason);
    take(&a, t);
    CHECK(t->n_calls <= CALLS_MAX);
    answer_free(&a);
}

static void check_verbatim(const struct told *t, const char *text, size_t len)
{
    struct part_view v;
    size_t at = 0;

    if (t->n_calls > 0 || !utf8_valid(text, len))
        return;
    CHECK(t->reason != FINISH_TOOL_CALLS);
    CHECK(t->parts.text_len == len);
    CHECK(len == 0 || (parts_next(&t->parts, &at, &v) && memcmp(v.text, text, len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct stop_list stops = {0};
    struct told whole, cut;

    if (size < 2 || size > (8u << 10)) /* one joined part of all must fit in one */
        return 0;
    const char *text = (const char *)bytes + 2;
    size_t len = size - 2;
    bool is_cut = (bytes[1] & 1) != 0, has_stop = (bytes[1] & 2) != 0;
    struct answer_rules rules = {.stops = &stops,
                                 .tools = get_tools(),
                                 .has_single_call = (bytes[1] & 4) != 0,
                                 .n_max = ANSWER_UNLIMITED};
    if (has_stop)
        CHECK(stop_list_add(&stops, "stop", 4) == 0);
    tell(text, len, &rules, TOKEN_TEXT_MAX, is_cut, &whole);
    tell(text, len, &rules, 1 + bytes[0] % 32, is_cut, &cut);
    CHECK(whole.reason == cut.reason);
    CHECK(whole.parts.n == cut.parts.n && whole.parts.buf.len == cut.parts.buf.len);
    CHECK(whole.parts.n == 0 ||
          memcmp(whole.parts.buf.data, cut.parts.buf.data, whole.parts.buf.len) == 0);
    if (!has_stop)
        check_verbatim(&whole, text, len);
    parts_free(&whole.parts);
    parts_free(&cut.parts);
    stop_list_free(&stops);
    return 0;
}

#include "worker/answer.h"

#include "base/check.h"

static const struct stop_list no_stops;

void answer_init(struct answer *a, const struct answer_rules *rules)
{
    *a = (struct answer){.rules = *rules};
    stop_init(&a->bytes, &no_stops);
    calls_init(&a->calls, rules->tools, rules->has_single_call);
    stop_init(&a->content, rules->stops);
}

void answer_echo(struct answer *a, uint32_t n_echo)
{
    CHECK(a->n_tokens == 0);
    a->n_echo = n_echo;
    a->content.list = n_echo > 0 ? &no_stops : a->rules.stops;
}

void answer_free(struct answer *a)
{
    stop_free(&a->bytes);
    calls_free(&a->calls);
    stop_free(&a->content);
    parts_free(&a->read);
    buf_free(&a->text);
    buf_free(&a->shown);
    parts_free(&a->ready);
}

static void show(struct answer *a, enum channel channel, const char *text, size_t len)
{
    parts_add(&a->ready, channel, text, len);
    a->has_shown |= len > 0;
    a->has_call |= channel == CHANNEL_CALL;
}

static void flush_content(struct answer *a)
{
    buf_clear(&a->shown);
    stop_flush(&a->content, &a->shown);
    show(a, CHANNEL_CONTENT, a->shown.data, buf_pending(&a->shown));
    a->is_stopped |= a->content.is_over;
}

static void show_content(struct answer *a, const char *text, size_t len)
{
    buf_clear(&a->shown);
    a->is_stopped |= stop_push(&a->content, text, len, &a->shown) != 0;
    show(a, CHANNEL_CONTENT, a->shown.data, buf_pending(&a->shown));
}

/* What came out of calls: its content goes through the stop strings. */
static void show_read(struct answer *a)
{
    struct part_view v;

    for (size_t at = 0; !a->is_stopped && parts_next(&a->read, &at, &v);) {
        if (v.channel == CHANNEL_CONTENT) {
            show_content(a, v.text, v.len);
            continue;
        }
        flush_content(a);
        if (!a->is_stopped)
            show(a, v.channel, v.text, v.len);
    }
    parts_clear(&a->read);
}

static void read_text(struct answer *a)
{
    if (buf_pending(&a->text) > 0)
        calls_push(&a->calls, a->text.data, buf_pending(&a->text), &a->read);
    buf_clear(&a->text);
}

/* Another channel: half a character is none, what may be a call is none, nor a stop string. */
static void turn(struct answer *a, enum channel channel)
{
    bool changes = calls_channel(&a->calls, channel) != a->calls.channel;

    if (changes) {
        stop_flush(&a->bytes, &a->text);
        read_text(a);
    }
    calls_turn(&a->calls, channel, &a->read);
    show_read(a);
    if (changes)
        flush_content(a);
}

static bool is_full(const struct answer *a)
{
    return a->n_tokens >= a->n_echo && a->n_tokens - a->n_echo >= a->rules.n_max;
}

void answer_add(struct answer *a, const struct token *token)
{
    CHECK(!a->is_stopped && !is_full(a));
    CHECK(token->len <= TOKEN_TEXT_MAX);
    CHECK(token->is_prompt == (a->n_tokens < a->n_echo));
    if (a->n_tokens++ == a->n_echo) /* nothing is held back then but half a character */
        a->content.list = a->rules.stops;
    turn(a, token->channel);
    if (a->is_stopped)
        return;
    stop_push(&a->bytes, token->text, token->len, &a->text);
    read_text(a);
    show_read(a);
    a->is_stopped |= a->calls.is_over;
}

enum finish_reason answer_end(struct answer *a, enum finish_reason reason)
{
    if (!a->is_stopped) {
        stop_flush(&a->bytes, &a->text);
        read_text(a);
        calls_end(&a->calls, reason == FINISH_LENGTH, &a->read);
        show_read(a);
    }
    if (!a->is_stopped)
        flush_content(a);
    if (a->is_stopped)
        reason = FINISH_STOP;
    return reason == FINISH_STOP && a->has_call ? FINISH_TOOL_CALLS : reason;
}

uint8_t answer_take(struct answer *a, struct buf *out)
{
    uint32_t n = a->ready.n;

    CHECK(n <= PARTS_MAX && a->ready.text_len <= PARTS_TEXT_MAX);
    buf_add(out, a->ready.buf.data, buf_pending(&a->ready.buf));
    parts_clear(&a->ready);
    return (uint8_t)n;
}

bool answer_is_over(const struct answer *a, enum finish_reason *reason)
{
    *reason = a->is_stopped ? FINISH_STOP : FINISH_LENGTH;
    return a->is_stopped || is_full(a);
}

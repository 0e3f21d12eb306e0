#include "worker/answer.h"

#include "base/check.h"
#include "base/utf8.h"

#include <string.h>

static const struct stop_list no_stops;

void answer_init(struct answer *a, const struct stop_list *stops, uint32_t n_max)
{
    *a = (struct answer){.stops = stops, .n_max = n_max, .channel = CHANNEL_CONTENT};
    stop_init(&a->content, stops);
    stop_init(&a->reasoning, &no_stops);
}

void answer_echo(struct answer *a, uint32_t n_echo)
{
    CHECK(a->n_tokens == 0);
    a->n_echo = n_echo;
    a->content.list = n_echo > 0 ? &no_stops : a->stops;
}

void answer_free(struct answer *a)
{
    stop_free(&a->content);
    stop_free(&a->reasoning);
    buf_free(&a->ready);
}

/* A part is opened with an empty head, filled by stop.c, and closed; an empty one is taken back. */
static size_t open_part(struct answer *a)
{
    size_t at = buf_pending(&a->ready);
    struct part_head head = {.channel = (uint8_t)a->channel};

    buf_add(&a->ready, &head, sizeof head);
    return at;
}

static void close_part(struct answer *a, size_t at)
{
    size_t len = buf_pending(&a->ready) - at - sizeof(struct part_head);

    if (len == 0) {
        a->ready.len -= sizeof(struct part_head);
        return;
    }
    CHECK(len <= UINT16_MAX);
    struct part_head head = {.len = (uint16_t)len, .channel = (uint8_t)a->channel};
    memcpy(a->ready.data + a->ready.pos + at, &head, sizeof head);
}

static struct stop *current_stop(struct answer *a)
{
    return a->channel == CHANNEL_CONTENT ? &a->content : &a->reasoning;
}

static void flush_channel(struct answer *a)
{
    size_t at = open_part(a);

    stop_flush(current_stop(a), &a->ready);
    a->is_stopped |= a->content.is_over;
    close_part(a, at);
}

static bool is_full(const struct answer *a)
{
    return a->n_tokens >= a->n_echo && a->n_tokens - a->n_echo >= a->n_max;
}

void answer_add(struct answer *a, const struct token *token)
{
    CHECK(!a->is_stopped && !is_full(a));
    CHECK(token->len <= TOKEN_TEXT_MAX);
    CHECK(token->is_prompt == (a->n_tokens < a->n_echo));
    if (a->n_tokens++ == a->n_echo) /* nothing is held back then but half a character */
        a->content.list = a->stops;
    if (token->channel != a->channel) {
        flush_channel(a);
        a->channel = token->channel;
    }
    if (token->len == 0 || a->is_stopped)
        return;
    size_t at = open_part(a);
    if (stop_push(current_stop(a), token->text, token->len, &a->ready) != 0)
        a->is_stopped = true;
    close_part(a, at);
}

void answer_end(struct answer *a)
{
    if (!a->is_stopped)
        flush_channel(a);
}

/* The longest beginning of at most max bytes that does not cut a sequence. */
static size_t cut_text(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}

uint8_t answer_take(struct answer *a, struct buf *out)
{
    size_t room = TOKEN_TEXT_MAX;
    uint8_t n = 0;

    while (buf_pending(&a->ready) > 0 && n < UINT8_MAX) {
        char *front = a->ready.data + a->ready.pos;
        struct part_head head;
        memcpy(&head, front, sizeof head);
        const char *text = front + sizeof head;
        size_t len = cut_text(text, head.len, room);
        if (len == 0)
            break;
        struct part_head taken = {.len = (uint16_t)len, .channel = head.channel};
        buf_add(out, &taken, sizeof taken);
        buf_add(out, text, len);
        n++;
        room -= len;
        if (len < head.len) {
            /* the head moves up to the rest of its text */
            head.len = (uint16_t)(head.len - len);
            memcpy(front + len, &head, sizeof head);
            buf_consume(&a->ready, len);
            break;
        }
        buf_consume(&a->ready, sizeof head + len);
    }
    return n;
}

bool answer_is_over(const struct answer *a, enum finish_reason *reason)
{
    *reason = a->is_stopped ? FINISH_STOP : FINISH_LENGTH;
    return a->is_stopped || is_full(a);
}

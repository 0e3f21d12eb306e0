#include "worker/text/parts.h"

#include "base/check.h"

#include <string.h>

static void write_head(struct parts *p, enum channel channel, size_t len)
{
    struct part_head head = {.len = (uint16_t)len, .channel = (uint8_t)channel};

    CHECK(len <= UINT16_MAX);
    memcpy(p->buf.data + p->last, &head, sizeof head);
}

void parts_add(struct parts *p, enum channel channel, const char *text, size_t len)
{
    struct part_head head = {0};

    if (len == 0)
        return;
    if (p->n > 0)
        memcpy(&head, p->buf.data + p->last, sizeof head);
    if (p->n == 0 || head.channel != channel || channel == CHANNEL_CALL) {
        head = (struct part_head){0};
        p->last = p->buf.len;
        p->n++;
        buf_add(&p->buf, &head, sizeof head);
    }
    buf_add(&p->buf, text, len);
    write_head(p, channel, head.len + len);
    p->text_len += len;
}

void parts_clear(struct parts *p)
{
    buf_clear(&p->buf);
    p->n = 0;
    p->text_len = 0;
}

void parts_free(struct parts *p)
{
    buf_free(&p->buf);
    *p = (struct parts){0};
}

bool parts_next(const struct parts *p, size_t *at, struct part_view *part)
{
    struct part_head head;

    if (*at == buf_pending(&p->buf))
        return false;
    memcpy(&head, p->buf.data + *at, sizeof head);
    *part =
        (struct part_view){(enum channel)head.channel, p->buf.data + *at + sizeof head, head.len};
    *at += sizeof head + head.len;
    return true;
}

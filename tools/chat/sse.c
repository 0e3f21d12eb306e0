#include "tools/chat/sse.h"

#include <errno.h>
#include <string.h>

#define DATA "data:"

static int end_event(struct sse *s, sse_event_fn *fn, void *ctx, struct err *e)
{
    int rc = s->has_data ? fn(ctx, buf_text(&s->data), buf_pending(&s->data), e) : 0;

    buf_clear(&s->data);
    s->has_data = false;
    return rc;
}

static int end_line(struct sse *s, sse_event_fn *fn, void *ctx, struct err *e)
{
    const char *line = buf_text(&s->line);
    size_t len = buf_pending(&s->line), skip = sizeof DATA - 1;
    int rc = 0;

    if (len == 0) {
        rc = end_event(s, fn, ctx, e);
    } else if (len >= skip && memcmp(line, DATA, skip) == 0) {
        skip += len > skip && line[skip] == ' ';
        if (s->has_data)
            buf_add_char(&s->data, '\n');
        buf_add(&s->data, line + skip, len - skip);
        s->has_data = true;
    }
    buf_clear(&s->line);
    return rc;
}

int sse_feed(struct sse *s, const char *bytes, size_t len, sse_event_fn *fn, void *ctx,
             struct err *e)
{
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        bool is_second = c == '\n' && s->after_cr; /* of one line's end */
        int rc = 0;
        s->after_cr = c == '\r';
        if (is_second)
            continue;
        if (c == '\n' || c == '\r')
            rc = end_line(s, fn, ctx, e);
        else
            buf_add_char(&s->line, c);
        if (rc != 0)
            return rc;
        if (buf_pending(&s->line) + buf_pending(&s->data) > SSE_EVENT_MAX)
            return err_set(e, EPROTO, "an event of more than %u bytes", SSE_EVENT_MAX);
    }
    return 0;
}

void sse_free(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->data);
    *s = (struct sse){0};
}

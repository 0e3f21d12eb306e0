#include "router/route/record.h"

#include "base/utf8.h"

#include <float.h>
#include <stdbool.h>
#include <string.h>

/* What is left of a record. */
struct rest {
    const uint8_t *data;
    size_t len;
};

static bool take(struct rest *r, void *to, size_t n)
{
    if (r->len < n)
        return false;
    memcpy(to, r->data, n);
    r->data += n;
    r->len -= n;
    return true;
}

static const char *read_parts(struct rest *r, size_t n, struct part *parts)
{
    size_t text = 0;

    for (size_t i = 0; i < n; i++) {
        struct part_head head;
        if (!take(r, &head, sizeof head))
            return "parts end early";
        if (head.len > r->len || head.channel >= channel_count)
            return "a part's length or channel is out of range";
        if (!utf8_valid((const char *)r->data, head.len))
            return "a part's text is not UTF-8";
        if (head.channel == CHANNEL_CALL && (head.len == 0 || head.len > CALL_NAME_MAX))
            return "the length of a call's name is out of range";
        parts[i] = (struct part){(enum channel)head.channel, (const char *)r->data, head.len};
        text += head.len;
        r->data += head.len;
        r->len -= head.len;
    }
    return text > PARTS_TEXT_MAX ? "too much text" : NULL;
}

/* Only the first echoed token has none. */
static const char *check_logprob(float logprob, bool may_lack)
{
    if (logprob <= FLT_MAX || (may_lack && logprob != logprob))
        return NULL;
    return "a log-probability is not a number, or infinite";
}

static const char *read_tops(struct rest *r, const struct token_head *t, struct top *tops)
{
    bool is_first = t->index == 0 && (t->flags & TOKEN_PROMPT) != 0;
    const char *why = check_logprob(t->logprob, is_first);

    if (why == NULL && t->n_tops > TOPS_MAX)
        why = "too many tops";
    for (int i = 0; i < t->n_tops && why == NULL; i++) {
        struct top_head head;
        if (!take(r, &head, sizeof head))
            return "tops end early";
        if (head.len > r->len || head.len > TOP_TEXT_MAX)
            return "a top's length is out of range";
        if (i == 0 && (head.token != t->token ||
                       memcmp(&head.logprob, &t->logprob, sizeof head.logprob) != 0))
            return "the first top is not the token itself";
        why = check_logprob(head.logprob, is_first && i == 0);
        tops[i] = (struct top){head.token, head.logprob, (const char *)r->data, head.len};
        r->data += head.len;
        r->len -= head.len;
    }
    return why;
}

const char *record_read_accept(const struct ring_record *rec, struct accept_body *body)
{
    struct rest r = {rec->data, rec->len};

    if (!take(&r, body, sizeof *body) || r.len != 0)
        return "wrong length";
    return (body->flags & ~ACCEPT_FLAGS) != 0 ? "unknown flags" : NULL;
}

const char *record_read_token(const struct ring_record *rec, struct token_head *head,
                              struct part parts[PARTS_MAX], struct top tops[TOPS_MAX])
{
    struct rest r = {rec->data, rec->len};

    if (!take(&r, head, sizeof *head))
        return "too short";
    if ((head->flags & ~TOKEN_FLAGS) != 0)
        return "unknown flags";
    const char *why = read_parts(&r, head->n_parts, parts);
    if (why == NULL)
        why = read_tops(&r, head, tops);
    if (why == NULL && r.len > 0)
        why = "bytes behind its end";
    return why;
}

const char *record_read_done(const struct ring_record *rec, struct done_head *head,
                             struct part parts[PARTS_MAX])
{
    struct rest r = {rec->data, rec->len};

    if (!take(&r, head, sizeof *head))
        return "too short";
    if (head->reason >= finish_reason_count)
        return "unknown reason";
    const char *why = read_parts(&r, head->n_parts, parts);
    if (why == NULL && r.len > 0)
        why = "bytes behind its end";
    return why;
}

const char *record_read_fail(const struct ring_record *rec, struct fail_head *head,
                             char text[FAIL_TEXT_MAX + 1])
{
    struct rest r = {rec->data, rec->len};

    if (!take(&r, head, sizeof *head))
        return "too short";
    if (head->code >= FAIL_CODES_N || head->len > FAIL_TEXT_MAX || r.len != head->len ||
        !utf8_valid((const char *)r.data, head->len))
        return "code or text out of range";
    memcpy(text, r.data, head->len);
    text[head->len] = '\0';
    return NULL;
}

/* A worker's record with any content: it is refused with a sentence, or what comes out of it lies
 * within it, without a gap, and keeps every rule.
 *
 * First byte: the type of the record; the rest is the record. */
#include "router/route/record.h"

#include "base/check.h"
#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_inside(const struct ring_record *rec, const char *text, size_t len)
{
    const char *data = (const char *)rec->data;

    CHECK(text >= data && text + len <= data + rec->len);
}

/* Their length in the record. */
static size_t check_parts(const struct ring_record *rec, const struct part *parts, size_t n)
{
    size_t text = 0;

    for (size_t i = 0; i < n; i++) {
        check_inside(rec, parts[i].text, parts[i].len);
        CHECK(utf8_valid(parts[i].text, parts[i].len) && parts[i].channel < channel_count);
        CHECK(parts[i].channel != CHANNEL_CALL ||
              (parts[i].len > 0 && parts[i].len <= CALL_NAME_MAX));
        text += parts[i].len;
    }
    CHECK(text <= PARTS_TEXT_MAX);
    return n * sizeof(struct part_head) + text;
}

static size_t check_tops(const struct ring_record *rec, const struct token_head *t,
                         const struct top *tops)
{
    size_t text = 0;

    CHECK(t->n_tops <= TOPS_MAX && (t->n_tops == 0 || tops[0].token == t->token));
    for (size_t i = 0; i < t->n_tops; i++) {
        check_inside(rec, tops[i].text, tops[i].len);
        CHECK(tops[i].len <= TOP_TEXT_MAX);
        CHECK(tops[i].logprob < INFINITY ||
              (isnan(tops[i].logprob) && i == 0 && t->index == 0 &&
               (t->flags & TOKEN_PROMPT) != 0));
        text += tops[i].len;
    }
    return t->n_tops * sizeof(struct top_head) + text;
}

static void read_token(const struct ring_record *rec)
{
    struct token_head head;
    struct part parts[PARTS_MAX];
    struct top tops[TOPS_MAX];

    if (record_read_token(rec, &head, parts, tops) != NULL)
        return;
    CHECK((head.flags & ~TOKEN_FLAGS) == 0);
    size_t len = check_parts(rec, parts, head.n_parts);
    CHECK(sizeof head + len + check_tops(rec, &head, tops) == rec->len);
}

static void read_done(const struct ring_record *rec)
{
    struct done_head head;
    struct part parts[PARTS_MAX];

    if (record_read_done(rec, &head, parts) != NULL)
        return;
    CHECK(head.reason < finish_reason_count);
    CHECK(sizeof head + check_parts(rec, parts, head.n_parts) == rec->len);
}

static void read_rest(const struct ring_record *rec)
{
    struct accept_body accept;
    struct fail_head fail;
    char text[FAIL_TEXT_MAX + 1];

    if (record_read_accept(rec, &accept) == NULL)
        CHECK(rec->len == sizeof accept);
    if (record_read_fail(rec, &fail, text) == NULL)
        CHECK(fail.code < FAIL_CODES_N && utf8_valid(text, fail.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    /* of its own size, so that a read behind its end is seen */
    uint8_t *data = malloc(size - 1 + (size == 1));
    struct ring_record rec = {.type = bytes[0], .data = data, .len = size - 1};

    CHECK(data != NULL);
    memcpy(data, bytes + 1, size - 1);
    if (rec.type == RING_TOKEN)
        read_token(&rec);
    else if (rec.type == RING_DONE)
        read_done(&rec);
    else
        read_rest(&rec);
    free(data);
    return 0;
}

/* The chunk decoder over any bytes: result, consumed length and decoded bytes do not depend on how
 * the body is cut, and http-parser decodes an accepted body to the same bytes and the same end. */
#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"
#include "router/http/chunked.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct outcome {
    enum chunked_result result;
    size_t used;
    struct buf text;
};

static void feed(struct chunked *c, const char *piece, size_t len, struct outcome *o)
{
    size_t at = 0;

    do {
        const char *data = NULL;
        size_t used = 0, data_len = 0;
        o->result = chunked_next(c, piece + at, len - at, &used, &data, &data_len);
        CHECK(used <= len - at);
        if (o->result == CHUNKED_DATA) {
            CHECK(data_len > 0 && data >= piece + at && data + data_len == piece + at + used);
            buf_add(&o->text, data, data_len);
        }
        CHECK(o->result != CHUNKED_MORE || used == len - at);
        CHECK(o->result != CHUNKED_REFUSED || c->why != NULL);
        at += used;
    } while (o->result == CHUNKED_DATA);
    o->used += at;
}

static struct outcome decode(const char *body, size_t len, size_t first, size_t step)
{
    struct chunked c;
    struct outcome o = {.result = CHUNKED_MORE};

    chunked_init(&c);
    for (size_t at = 0, n = first; o.result == CHUNKED_MORE;
         n = len - at < step ? len - at : step) {
        char *copy = malloc(n + 1); /* nothing to read behind what has arrived */
        CHECK(copy != NULL);
        memcpy(copy + 1, body + at, n);
        feed(&c, copy + 1, n, &o);
        free(copy);
        at += n;
        if (at == len)
            break;
    }
    return o;
}

static void check_same(struct outcome a, const struct outcome *b)
{
    CHECK(a.result == b->result && a.used == b->used);
    CHECK(buf_pending(&a.text) == buf_pending(&b->text));
    CHECK(buf_pending(&a.text) == 0 ||
          memcmp(a.text.data, b->text.data, buf_pending(&a.text)) == 0);
    buf_free(&a.text);
}

static int see_body(http_parser *p, const char *at, size_t len)
{
    buf_add(p->data, at, len);
    return 0;
}

static int see_end(http_parser *p)
{
    http_parser_pause(p, 1);
    return 0;
}

static void check_agreement(const char *body, const struct outcome *o)
{
    static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct buf text = {0};
    http_parser p = {.data = &text};
    http_parser_settings settings;

    http_parser_settings_init(&settings);
    settings.on_body = see_body;
    settings.on_message_complete = see_end;
    http_parser_init(&p, HTTP_REQUEST);
    CHECK(http_parser_execute(&p, &settings, head, sizeof head - 1) == sizeof head - 1);
    /* A paused parser has not counted the byte that paused it. */
    CHECK(http_parser_execute(&p, &settings, body, o->used) >= o->used - 1);
    CHECK(HTTP_PARSER_ERRNO(&p) == HPE_PAUSED);
    CHECK(buf_pending(&text) == buf_pending(&o->text));
    CHECK(buf_pending(&text) == 0 || memcmp(text.data, o->text.data, buf_pending(&text)) == 0);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *body = (const char *)bytes;
    struct outcome whole = decode(body, size, size, size);
    size_t cut = size > 0 ? hash_mix(size, bytes[size / 2]) % size : 0;

    check_same(decode(body, size, cut, size), &whole);
    if (size <= 4096)
        check_same(decode(body, size, size < 1 ? size : 1, 1), &whole);
    if (whole.result == CHUNKED_END)
        check_agreement(body, &whole);
    buf_free(&whole.text);
    return 0;
}

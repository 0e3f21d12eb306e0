/* A row per rule of the gate and per thing the packaged http-parser lets through. Every row is fed
 * whole, byte by byte, and in two pieces split at each position: the verdict must be the same. */
#include "router/http/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *what;
    const char *head; /* without the empty line at the end unless is_raw */
    size_t len;
    bool is_raw;
    int status; /* 0 = accepted */
    /* of an accepted head, checked when given */
    const char *path, *query, *host;
    uint64_t content_length;
    bool is_chunked, expects_continue;
};

#define TEXT(s)    .head = (s), .len = sizeof(s) - 1
#define LINE(s)    TEXT(s "\r\nHost: localhost")                     /* a request line */
#define FIELD(s)   TEXT("POST /x HTTP/1.1\r\nHost: localhost\r\n" s) /* more fields */
#define FIELD10(s) TEXT("POST /x HTTP/1.0\r\n" s)
#define HOST(s)    TEXT("GET /x HTTP/1.1\r\nHost: " s)
#define RAW(s)     TEXT(s), .is_raw = true
#define GET        "GET / HTTP/1.1\r\nHost: localhost\r\n"

static const char *const our_names[] = {"cortex.example", "box:8080", "[2001:db8::1]"};
static const struct gate_hosts our_hosts = {.names = our_names, .n_names = 3};

/* clang-format off */
static const struct row rows[] = {
    /* G1: request line */
    {"plain GET", LINE("GET / HTTP/1.1"), .path = "/", .query = "", .host = "localhost"},
    {"HTTP/1.0 without Host", TEXT("GET / HTTP/1.0"), .path = "/"},
    {"query", LINE("GET /a/b?c=d/../%2f&e=? HTTP/1.1"), .path = "/a/b", .query = "c=d/../%2f&e=?"},
    {"empty query", LINE("GET /a? HTTP/1.1"), .path = "/a", .query = ""},
    {"escapes decoded once", LINE("GET /%41%2541%c3%bc HTTP/1.1"), .path = "/A%41\xc3\xbc"},
    {"escapes of all digits", LINE("GET /%39%4a%4F%20%60%Aa%fF HTTP/1.1"), .path = "/9JO `\xaa\xff"},
    {"escaped question mark is path", LINE("GET /a%3fb HTTP/1.1"), .path = "/a?b", .query = ""},
    {"names that start with dots", LINE("GET /..a/.b/c../... HTTP/1.1"), .path = "/..a/.b/c../..."},
    {"every known method: HEAD", LINE("HEAD / HTTP/1.1")},
    {"every known method: POST", LINE("POST / HTTP/1.1")},
    {"every known method: PUT", LINE("PUT / HTTP/1.1")},
    {"every known method: DELETE", LINE("DELETE / HTTP/1.1")},
    {"every known method: OPTIONS", LINE("OPTIONS / HTTP/1.1")},
    {"every known method: PATCH", LINE("PATCH / HTTP/1.1")},
    {"CONNECT", TEXT("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost"), .status = 501},
    {"TRACE", LINE("TRACE / HTTP/1.1"), .status = 501},
    {"method in lower case", LINE("get / HTTP/1.1"), .status = 501},
    {"method with a prefix of a known one", LINE("GETS / HTTP/1.1"), .status = 501},
    {"no method", LINE(" / HTTP/1.1"), .status = 400},
    {"method with a separator", LINE("GE(T / HTTP/1.1"), .status = 400},
    {"HTTP/0.9", RAW("GET /\r\n\r\n"), .status = 400},
    {"HTTP/0.9 with fields", LINE("GET /"), .status = 400},
    {"no target", LINE("GET HTTP/1.1"), .status = 400},
    {"empty target", LINE("GET  HTTP/1.1"), .status = 400},
    {"two spaces before the target", LINE("GET  / HTTP/1.1"), .status = 400},
    {"two spaces before the version", LINE("GET /  HTTP/1.1"), .status = 400},
    {"tab as separator", LINE("GET\t/ HTTP/1.1"), .status = 400},
    {"space after the version", LINE("GET / HTTP/1.1 "), .status = 400},
    {"space inside the target", LINE("GET /a b HTTP/1.1"), .status = 400},
    {"HTTP/1.2", LINE("GET / HTTP/1.2"), .status = 505},
    {"HTTP/2.0", LINE("GET / HTTP/2.0"), .status = 505},
    {"HTTP/3", LINE("GET / HTTP/3"), .status = 400},
    {"HTTP/0.9, said", LINE("GET / HTTP/0.9"), .status = 505},
    {"HTTP/9.9", LINE("GET / HTTP/9.9"), .status = 505},
    {"HTTP/1.9", LINE("GET / HTTP/1.9"), .status = 505},
    {"HTTP/x.1", LINE("GET / HTTP/x.1"), .status = 400},
    {"HTTP//.1", LINE("GET / HTTP//.1"), .status = 400},
    {"HTTP/1.x", LINE("GET / HTTP/1.x"), .status = 400},
    {"HTTP/1./", LINE("GET / HTTP/1./"), .status = 400},
    {"HTTP/01.1", LINE("GET / HTTP/01.1"), .status = 400},
    {"HTTP/1.10", LINE("GET / HTTP/1.10"), .status = 400},
    {"http/1.1", LINE("GET / http/1.1"), .status = 400},
    {"ICE/1.0", LINE("GET / ICE/1.0"), .status = 400},
    {"HTTP/1,1", LINE("GET / HTTP/1,1"), .status = 400},
    {"fragment", LINE("GET /a#b HTTP/1.1"), .status = 400},
    {"backslash", LINE("GET /a\\b HTTP/1.1"), .status = 400},
    {"byte over 0x7e in the target", LINE("GET /\xc3\xbc HTTP/1.1"), .status = 400},
    {"DEL in the target", LINE("GET /\x7f HTTP/1.1"), .status = 400},
    {"%00", LINE("GET /a%00 HTTP/1.1"), .status = 400},
    {"%2f", LINE("GET /a%2fb HTTP/1.1"), .status = 400},
    {"%2F", LINE("GET /a%2Fb HTTP/1.1"), .status = 400},
    {"%2F in an id", LINE("GET /v1/models/org%2Fname HTTP/1.1"), .path = "/v1/models/org/name"},
    {"%2f before an id", LINE("GET /v1%2fmodels/x HTTP/1.1"), .status = 400},
    {"%2f at the end of the prefix", LINE("GET /v1/models%2fx HTTP/1.1"), .status = 400},
    {"dot segment behind %2f", LINE("GET /v1/models/a%2f..%2fb HTTP/1.1"), .status = 400},
    {"dot segment between %2f", LINE("GET /v1/models/%2e%2e%2fx HTTP/1.1"), .status = 400},
    {"%5c", LINE("GET /a%5cb HTTP/1.1"), .status = 400},
    {"%5C", LINE("GET /a%5Cb HTTP/1.1"), .status = 400},
    {"escaped CR LF", LINE("GET /a%0d%0ab HTTP/1.1"), .status = 400},
    {"escaped DEL", LINE("GET /a%7f HTTP/1.1"), .status = 400},
    {"escape without digits", LINE("GET /a% HTTP/1.1"), .status = 400},
    {"escape with one digit", LINE("GET /a%4 HTTP/1.1"), .status = 400},
    {"escape cut by the query", LINE("GET /a%4?1 HTTP/1.1"), .status = 400},
    {"escape with a bad digit", LINE("GET /a%4g HTTP/1.1"), .status = 400},
    {"escape with a sign", LINE("GET /a%-1 HTTP/1.1"), .status = 400},
    {"..", LINE("GET /.. HTTP/1.1"), .status = 400},
    {".", LINE("GET /. HTTP/1.1"), .status = 400},
    {".. in the middle", LINE("GET /a/../b HTTP/1.1"), .status = 400},
    {". in the middle", LINE("GET /a/./b HTTP/1.1"), .status = 400},
    {".. before the query", LINE("GET /a/..?b HTTP/1.1"), .status = 400},
    {"%2e%2e", LINE("GET /a/%2e%2e/b HTTP/1.1"), .status = 400},
    {".%2E", LINE("GET /a/.%2E HTTP/1.1"), .status = 400},
    {"%2e", LINE("GET /%2e/b HTTP/1.1"), .status = 400},
    {"absolute-form, ours", LINE("GET http://cortex.example/a?b HTTP/1.1"), .path = "/a", .query = "b", .host = "cortex.example"},
    {"absolute-form, loopback, no path", LINE("GET http://127.0.0.1:31313 HTTP/1.1"), .path = "/", .host = "127.0.0.1:31313"},
    {"absolute-form, https, query only", LINE("GET HTTPS://localhost?q HTTP/1.1"), .path = "/", .query = "q"},
    {"absolute-form, foreign", LINE("GET http://evil.example/a HTTP/1.1"), .status = 421},
    {"absolute-form beats Host, which must be ours too", TEXT("GET http://localhost/ HTTP/1.1\r\nHost: evil.example"), .status = 421},
    {"absolute-form with a user", LINE("GET http://u@localhost/ HTTP/1.1"), .status = 400},
    {"absolute-form without authority", LINE("GET http:/// HTTP/1.1"), .status = 400},
    {"absolute-form, nothing after the scheme", LINE("GET http:// HTTP/1.1"), .status = 400},
    {"absolute-form, dot segment", LINE("GET http://localhost/../a HTTP/1.1"), .status = 400},
    {"absolute-form without Host", TEXT("GET http://localhost/ HTTP/1.1"), .status = 400},
    {"other scheme", LINE("GET ftp://localhost/ HTTP/1.1"), .status = 400},
    {"authority-form", LINE("GET localhost:80 HTTP/1.1"), .status = 400},
    {"relative path", LINE("GET a HTTP/1.1"), .status = 400},
    {"OPTIONS *", LINE("OPTIONS * HTTP/1.1"), .path = "*"},
    {"GET *", LINE("GET * HTTP/1.1"), .status = 400},
    {"OPTIONS **", LINE("OPTIONS ** HTTP/1.1"), .status = 400},

    /* G2: fields */
    {"all separators a name may have", FIELD("!#$%&'*+-.^_`|~09azAZ: x")},
    {"empty value", FIELD("X:")},
    {"value of spaces", FIELD("X: \t ")},
    {"value with tab and obs-text", FIELD("X: a\tb \x80\xff")},
    {"no space before the value", FIELD("X:y")},
    {"same field twice", FIELD("X: a\r\nX: b")},
    {"space before the colon", FIELD("Transfer-Encoding : chunked"), .status = 400},
    {"tab before the colon", FIELD("Content-Length\t: 5"), .status = 400},
    {"space inside a name", FIELD("Content Length: 5"), .status = 400},
    {"folded line", FIELD("X: a\r\n b"), .status = 400},
    {"folded line with a tab", FIELD("X: a\r\n\tb"), .status = 400},
    {"folded line first", TEXT("GET / HTTP/1.1\r\n Host: localhost"), .status = 400},
    {"line of one space", FIELD("X: a\r\n "), .status = 400},
    {"name missing", FIELD(": x"), .status = 400},
    {"colon missing", FIELD("X"), .status = 400},
    {"byte over 0x7f in a name", FIELD("X\xc3\xbc: y"), .status = 400},
    {"control byte in a name", FIELD("X\x01: y"), .status = 400},
    {"quote in a name", FIELD("\"X\": y"), .status = 400},
    {"control byte in a value", FIELD("X: a\x01z"), .status = 400},
    {"DEL in a value", FIELD("X: a\x7f"), .status = 400},
    {"vertical tab before a value", FIELD("Transfer-Encoding: \x0b" "chunked"), .status = 400},
    {"NUL in a value", FIELD("X: a\0b"), .status = 400},
    {"NUL in a name", FIELD("X\0: b"), .status = 400},
    {"NUL in the target", LINE("GET /\0 HTTP/1.1"), .status = 400},
    {"CR in a value", FIELD("X: a\rb"), .status = 400},
    {"CR as line end between fields", FIELD("X: a\rbY: c"), .status = 400},
    {"CR before CR LF", FIELD("X: a\r"), .status = 400},
    {"CR as line end", RAW("GET / HTTP/1.1\rHost: localhost\r\n\r\n"), .status = 400},
    {"CR after the version", RAW("GET / HTTP/1.0\rXA: b\r\n\r\n"), .status = 400},
    {"CR at the start of a line", FIELD("\rX: y"), .status = 400},
    {"LF as line end", RAW("GET / HTTP/1.1\nHost: localhost\r\n\r\n"), .status = 400},
    {"LF between fields", FIELD("X: a\nY: b"), .status = 400},
    {"LF before the empty line", RAW(GET "X: a\n\r\n"), .status = 400},
    {"LF as empty line", RAW(GET "\n"), .status = 400},
    {"LF first", RAW("\n" GET "\r\n"), .status = 400},
    {"one empty line first", RAW("\r\n" GET "\r\n"), .path = "/"},
    {"two empty lines first", RAW("\r\n\r\n" GET "\r\n"), .path = "/"},
    {"three empty lines first", RAW("\r\n\r\n\r\n" GET "\r\n"), .status = 400},
    {"three empty lines, nothing yet", RAW("\r\n\r\n\r\n"), .status = 400},
    {"a space first", RAW(" " GET "\r\n"), .status = 400},
    {"TLS hello", RAW("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"), .status = 400},

    /* G3: Host */
    {"Host missing", TEXT("GET / HTTP/1.1"), .status = 400},
    {"Host twice", FIELD("Host: localhost"), .status = 400},
    {"Host twice in 1.0", FIELD10("Host: localhost\r\nhost: localhost"), .status = 400},
    {"Host in 1.0 is checked", FIELD10("Host: evil.example"), .status = 421},
    {"Host, any case", HOST("LocalHost"), .host = "LocalHost"},
    {"Host, configured", HOST("cortex.example"), .host = "cortex.example"},
    {"Host, configured, with a port", HOST("Cortex.Example:31313"), .host = "Cortex.Example:31313"},
    {"Host, configured with its port", HOST("box:8080")},
    {"Host, configured with another port", HOST("box:8081"), .status = 421},
    {"Host, configured with a port, none given", HOST("box"), .status = 421},
    {"Host, IPv6", HOST("[2001:DB8::1]:80")},
    {"Host, IPv6 loopback", HOST("[::1]:31313"), .host = "[::1]:31313"},
    {"Host, any address of 127/8", HOST("127.12.255.1")},
    {"Host, empty port", HOST("localhost:")},
    {"Host, foreign", HOST("evil.example"), .status = 421},
    {"Host, foreign address", HOST("10.0.0.1"), .status = 421},
    {"Host, foreign IPv6", HOST("[::2]"), .status = 421},
    {"Host, ours as prefix", HOST("localhost.evil.example"), .status = 421},
    {"Host, ours as suffix", HOST("evil.cortex.example"), .status = 421},
    {"Host, final dot", HOST("localhost."), .status = 421},
    {"Host, short form of 127.0.0.1", HOST("127.1"), .status = 421},
    {"Host, part over 255", HOST("127.0.0.256"), .status = 421},
    {"Host, loopback as prefix", HOST("127.0.0.1.evil.example"), .status = 421},
    {"Host, five parts", HOST("127.0.0.0.1"), .status = 421},
    {"Host, part missing", HOST("127.0..1"), .status = 421},
    {"Host, last part missing", HOST("127.0.0."), .status = 421},
    {"Host, only the first part", HOST("127."), .status = 421},
    {"Host, part of four digits", HOST("127.0.0.0001"), .status = 421},
    {"Host, 128/8", HOST("128.0.0.1"), .status = 421},
    {"Host, letters in the address", HOST("127.0.0.a"), .status = 421},
    {"Host, as long as localhost", HOST("localhos1"), .status = 421},
    {"Host, short", HOST("a"), .status = 421},
    {"Host, any IPv6 address", HOST("[::]"), .status = 421},
    {"Host, IPv6 of one colon", HOST("[:]"), .status = 400},
    {"Host, port with a 9", HOST("127.0.0.9:9090")},
    {"Host, empty", HOST(""), .status = 400},
    {"Host, port only", HOST(":80"), .status = 400},
    {"Host, letters in the port", HOST("localhost:http"), .status = 400},
    {"Host, port of six digits", HOST("localhost:313130"), .status = 400},
    {"Host, two ports", HOST("localhost:1:2"), .status = 400},
    {"Host, user", HOST("u@localhost"), .status = 400},
    {"Host, path", HOST("localhost/a"), .status = 400},
    {"Host, list", HOST("localhost, localhost"), .status = 400},
    {"Host, IPv6 not closed", HOST("[::1"), .status = 400},
    {"Host, IPv6 with junk", HOST("[::1]x"), .status = 400},
    {"Host, IPv6 with junk for its end", HOST("[::1x:80"), .status = 400},
    {"Host, IPv6 empty", HOST("[]"), .status = 400},
    {"Host, IPv6 with a zone", HOST("[fe80::1%25eth0]"), .status = 400},

    /* G4: length of the body */
    {"Content-Length", FIELD("Content-Length: 5"), .content_length = 5},
    {"Content-Length 0", FIELD("Content-Length: 0")},
    {"Content-Length, leading zeros, spaces around", FIELD("content-length: \t 0005  "), .content_length = 5},
    {"Content-Length, tab behind it", FIELD("Content-Length: 5 \t"), .status = 400},
    {"Content-Length, 19 digits", FIELD("Content-Length: 9999999999999999999"), .content_length = 9999999999999999999u},
    {"Content-Length, 20 digits", FIELD("Content-Length: 10000000000000000000"), .status = 400},
    {"Content-Length, 20 digits with zeros", FIELD("Content-Length: 00000000000000000005"), .status = 400},
    {"Content-Length, empty", FIELD("Content-Length:"), .status = 400},
    {"Content-Length +5", FIELD("Content-Length: +5"), .status = 400},
    {"Content-Length -5", FIELD("Content-Length: -5"), .status = 400},
    {"Content-Length 0x5", FIELD("Content-Length: 0x5"), .status = 400},
    {"Content-Length 5,5", FIELD("Content-Length: 5,5"), .status = 400},
    {"Content-Length 5, 5", FIELD("Content-Length: 5, 5"), .status = 400},
    {"Content-Length 5 5", FIELD("Content-Length: 5 5"), .status = 400},
    {"Content-Length 5.0", FIELD("Content-Length: 5.0"), .status = 400},
    {"Content-Length 1e3", FIELD("Content-Length: 1e3"), .status = 400},
    {"Content-Length twice, equal", FIELD("Content-Length: 5\r\nContent-Length: 5"), .status = 400},
    {"Content-Length twice, different", FIELD("Content-Length: 5\r\ncontent-length: 6"), .status = 400},
    {"chunked", FIELD("Transfer-Encoding: chunked"), .is_chunked = true},
    {"chunked, any case", FIELD("transfer-encoding:\tChunked "), .is_chunked = true},
    {"chunked and Content-Length", FIELD("Transfer-Encoding: chunked\r\nContent-Length: 5"), .status = 400},
    {"Content-Length and chunked", FIELD("Content-Length: 5\r\nTransfer-Encoding: chunked"), .status = 400},
    {"Content-Length 0 and chunked", FIELD("Content-Length: 0\r\nTransfer-Encoding: chunked"), .status = 400},
    {"gzip", FIELD("Transfer-Encoding: gzip"), .status = 400},
    {"gzip, chunked", FIELD("Transfer-Encoding: gzip, chunked"), .status = 400},
    {"chunked, chunked", FIELD("Transfer-Encoding: chunked, chunked"), .status = 400},
    {"identity", FIELD("Transfer-Encoding: identity"), .status = 400},
    {"identity and Content-Length", FIELD("Transfer-Encoding: identity\r\nContent-Length: 5"), .status = 400},
    {"xchunked", FIELD("Transfer-Encoding: xchunked"), .status = 400},
    {"chunkedx", FIELD("Transfer-Encoding: chunkedx"), .status = 400},
    {"chunked;q=1", FIELD("Transfer-Encoding: chunked;q=1"), .status = 400},
    {"\"chunked\"", FIELD("Transfer-Encoding: \"chunked\""), .status = 400},
    {"Transfer-Encoding, empty", FIELD("Transfer-Encoding:"), .status = 400},
    {"Transfer-Encoding twice", FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), .status = 400},
    {"Transfer-Encodingx", FIELD("Transfer-EncodingX: gzip"), .status = 400},
    {"Transfer-Encoding-x", FIELD("transfer-encoding-x: chunked\r\nContent-Length: 5"), .status = 400},
    {"Transfer-Encodin", FIELD("Transfer-Encodin: gzip")},
    {"Content-Length-x", FIELD("Content-Length-x: 5")},
    {"chunked with 1.0", FIELD10("Transfer-Encoding: chunked"), .status = 400},
    {"Content-Length with 1.0", FIELD10("Content-Length: 7"), .content_length = 7},
    {"body of a GET", TEXT(GET "Content-Length: 3"), .content_length = 3},

    /* G5: Content-Encoding */
    {"Content-Encoding identity", FIELD("Content-Encoding: Identity")},
    {"Content-Encoding gzip", FIELD("Content-Encoding: gzip"), .status = 415},
    {"Content-Encoding list", FIELD("Content-Encoding: identity, gzip"), .status = 415},
    {"Content-Encoding second", FIELD("Content-Encoding: identity\r\nContent-Encoding: br"), .status = 415},
    {"Content-Encoding, empty", FIELD("Content-Encoding:"), .status = 415},

    /* G6: Expect */
    {"100-continue", FIELD("Expect: 100-continue\r\nContent-Length: 5"), .content_length = 5, .expects_continue = true},
    {"100-continue, any case, chunked", FIELD("expect: 100-Continue\r\nTransfer-Encoding: chunked"), .is_chunked = true, .expects_continue = true},
    {"100-continue without a body", FIELD("Expect: 100-continue")},
    {"100-continue in 1.0", FIELD10("Expect: 100-continue\r\nContent-Length: 5"), .content_length = 5},
    {"100-continue twice", FIELD("Expect: 100-continue\r\nExpect: 100-continue"), .status = 417},
    {"100-continue in a list", FIELD("Expect: 100-continue, x"), .status = 417},
    {"100-continue with a parameter", FIELD("Expect: 100-continue;q=1"), .status = 417},
    {"200-ok", FIELD("Expect: 200-ok"), .status = 417},
    {"Expect, empty", FIELD("Expect:"), .status = 417},
};
/* clang-format on */

struct verdict {
    enum gate_result result;
    size_t head_len;
    int status;
    const char *text;
};

/* Show the first n bytes, and nothing behind them. */
static enum gate_result show(const char *data, size_t n, size_t *scanned, struct verdict *v)
{
    char *copy = malloc(n > 0 ? n : 1); /* exactly sized, so that a sanitizer sees a read past it */
    struct gate_refusal why = {0, NULL};

    assert_non_null(copy);
    memcpy(copy, data, n);
    *v = (struct verdict){.result = GATE_MORE};
    v->result = gate_find_head(copy, n, scanned, &v->head_len, &why);
    if (v->result == GATE_REFUSED)
        *v = (struct verdict){GATE_REFUSED, 0, why.status, why.text};
    free(copy);
    return v->result;
}

static struct verdict find_in_pieces(const char *data, size_t len, size_t first, size_t step)
{
    struct verdict v = {.result = GATE_MORE};
    size_t scanned = 0;

    for (size_t n = first; n < len && v.result == GATE_MORE; n += step)
        show(data, n, &scanned, &v);
    if (v.result == GATE_MORE)
        show(data, len, &scanned, &v);
    return v;
}

static void assert_same(const char *what, struct verdict a, struct verdict b, size_t split)
{
    if (a.result == b.result && a.head_len == b.head_len && a.status == b.status &&
        a.text == b.text)
        return;
    fail_msg("%s, split at %zu: %d/%zu/%d %s, whole: %d/%zu/%d %s", what, split, a.result,
             a.head_len, a.status, a.text ? a.text : "", b.result, b.head_len, b.status,
             b.text ? b.text : "");
}

/* The verdict on the bytes, the same for every way of cutting them. Long texts are cut at `stride`
 * positions, always also at the last few. */
static struct verdict judge(const char *what, const char *data, size_t len, size_t stride,
                            const struct gate_hosts *hosts, struct gate_head *head)
{
    struct verdict whole = find_in_pieces(data, len, len, 1);
    struct gate_refusal why;

    assert_same(what, find_in_pieces(data, len, 0, 1), whole, 0);
    for (size_t split = 1; split < len; split += split + 64 < len ? stride : 1)
        assert_same(what, find_in_pieces(data, len, split, len), whole, split);
    if (whole.result != GATE_OK)
        return whole;

    char *copy = malloc(whole.head_len);
    assert_non_null(copy);
    memcpy(copy, data, whole.head_len);
    if (gate_check(copy, whole.head_len, hosts, head, &why) == GATE_REFUSED)
        whole = (struct verdict){GATE_REFUSED, 0, why.status, why.text};
    free(copy);
    return whole;
}

static void assert_span(const char *what, const char *data, struct gate_span span, const char *text)
{
    if (text != NULL && (strlen(text) != span.len || memcmp(data + span.at, text, span.len) != 0))
        fail_msg("%s: found \"%.*s\", expected \"%s\"", what, (int)span.len, data + span.at, text);
}

static void assert_accepted(const struct row *row, const char *data, size_t head_len,
                            const struct gate_head *head)
{
    for (uint32_t i = 0; i < head->n_fields; i++) {
        struct gate_span value = head->field[i].value;
        assert_true(value.at + value.len <= head_len - 4);
        assert_null(value.len > 0 ? strchr(" \t", data[value.at]) : NULL);
        assert_null(value.len > 0 ? strchr(" \t", data[value.at + value.len - 1]) : NULL);
    }
    if (row->path != NULL && strcmp(head->path, row->path) != 0)
        fail_msg("%s: path \"%s\", expected \"%s\"", row->what, head->path, row->path);
    assert_span(row->what, data, head->query, row->query);
    assert_span(row->what, data, head->host, row->host);
    if (head->content_length != row->content_length || head->is_chunked != row->is_chunked ||
        head->expects_continue != row->expects_continue ||
        head->has_body != (row->is_chunked || row->content_length > 0))
        fail_msg("%s: length %ju, chunked %d, continue %d, body %d", row->what,
                 (uintmax_t)head->content_length, head->is_chunked, head->expects_continue,
                 head->has_body);
}

static void test_rows(void **state)
{
    (void)state;
    /* What follows a head is not the gate's: it may hold anything. */
    static const char *const followers[] = {"", "GET /next HTTP/1.1\r\n\r\n", "\n\x01{"};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        for (size_t f = 0; f < sizeof followers / sizeof followers[0]; f++) {
            char data[1024];
            size_t len = row->len;
            memcpy(data, row->head, len);
            if (!row->is_raw) {
                memcpy(data + len, "\r\n\r\n", 4);
                len += 4;
            }
            size_t head_len = len;
            memcpy(data + len, followers[f], strlen(followers[f]));
            len += strlen(followers[f]);

            struct gate_head head;
            struct verdict v = judge(row->what, data, len, 1, &our_hosts, &head);
            if (row->status != v.status || v.result != (row->status ? GATE_REFUSED : GATE_OK))
                fail_msg("%s: %d %s, expected %d", row->what, v.status, v.text ? v.text : "",
                         row->status);
            if (v.result == GATE_OK) {
                assert_int_equal(v.head_len, head_len);
                assert_accepted(row, data, head_len, &head);
            }
        }
    }
}

/* --- sizes --- */

struct text {
    char *data;
    size_t len;
};

static void add(struct text *t, const char *s)
{
    memcpy(t->data + t->len, s, strlen(s));
    t->len += strlen(s);
}

static void fill(struct text *t, char c, size_t n)
{
    memset(t->data + t->len, c, n);
    t->len += n;
}

static void assert_status(const char *what, struct text t, int status)
{
    struct gate_head head;
    struct verdict v = judge(what, t.data, t.len, 997, NULL, &head);
    if (v.status != status || (status == 0 && v.result != GATE_OK))
        fail_msg("%s: %d %d %s, expected %d", what, v.result, v.status, v.text ? v.text : "",
                 status);
}

static void assert_request_line(struct text t, size_t len, int status)
{
    t.len = 0;
    add(&t, "GET /?");
    fill(&t, 'q', len - strlen("GET /? HTTP/1.1"));
    add(&t, " HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_status("request line", t, status);
}

/* No end in sight: which limit was it? */
static void assert_endless_fields(struct text t, size_t line_len, int status)
{
    t.len = 0;
    add(&t, "\r\nGET /");
    fill(&t, 'q', line_len - strlen("GET /"));
    add(&t, "\r\nX: ");
    fill(&t, 'v', GATE_HEAD_MAX);
    assert_status("endless fields", t, status);
}

static void assert_path(struct text t, size_t len, int status)
{
    t.len = 0;
    add(&t, "GET /");
    fill(&t, 'p', len - 1);
    add(&t, " HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_status("path", t, status);
}

static void assert_field(struct text t, size_t len, int status)
{
    t.len = 0;
    add(&t, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
    fill(&t, 'v', len - strlen("X: "));
    add(&t, "\r\n\r\n");
    assert_status("field", t, status);
}

static void assert_fields(struct text t, int n, int status)
{
    t.len = 0;
    add(&t, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 1; i < n; i++)
        add(&t, "A:b\r\n");
    add(&t, "\r\n");
    assert_status("fields", t, status);
}

static void assert_head(struct text t, size_t len, int status)
{
    t.len = 0;
    add(&t, "GET / HTTP/1.1\r\nHost: x\r\n");
    while (len - t.len > 9000) {
        add(&t, "X: ");
        fill(&t, 'v', 4091);
        add(&t, "\r\n");
    }
    add(&t, "X: ");
    fill(&t, 'v', len - t.len - 4);
    add(&t, "\r\n\r\n");
    assert_int_equal(t.len, len);
    assert_status("head", t, status);
}

static void test_sizes(void **state)
{
    struct text t = {malloc(2 * GATE_HEAD_MAX), 0};

    (void)state;
    assert_non_null(t.data);
    assert_request_line(t, GATE_REQUEST_LINE_MAX, 0);
    assert_request_line(t, GATE_REQUEST_LINE_MAX + 1, 414);
    assert_request_line(t, GATE_HEAD_MAX + 100, 414);
    assert_endless_fields(t, GATE_REQUEST_LINE_MAX, 431);
    assert_endless_fields(t, GATE_REQUEST_LINE_MAX + 1, 414);
    assert_path(t, 1023, 0);
    assert_path(t, 1024, 414);
    assert_field(t, GATE_FIELD_MAX, 0);
    assert_field(t, GATE_FIELD_MAX + 1, 431);
    assert_fields(t, GATE_FIELDS_MAX, 0);
    assert_fields(t, GATE_FIELDS_MAX + 1, 431);
    assert_head(t, GATE_HEAD_MAX, 0);
    assert_head(t, GATE_HEAD_MAX + 1, 431);

    t.len = 0;
    fill(&t, 'x', GATE_HEAD_MAX);
    struct verdict v = find_in_pieces(t.data, t.len, t.len, 1);
    assert_int_equal(v.result, GATE_MORE);
    fill(&t, 'x', 1);
    assert_status("no line at all", t, 414);
    t.data[100] = '\0';
    assert_status("NUL in an endless line", t, 400);
    free(t.data);
}

/* --- every byte, against the rule in other words --- */

static void test_byte_classes(void **state)
{
    static const char separators[] = "\"(),/:;<=>?@[\\]{}";

    (void)state;
    for (int b = 0; b < 256; b++) {
        bool is_visible = b > 0x20 && b < 0x7f;
        bool is_name = is_visible && strchr(separators, b) == NULL;
        bool is_value = is_visible || b == ' ' || b == '\t' || b >= 0x80;
        bool is_target = is_visible && b != '#' && b != '\\' && b != '%';
        char data[64];
        struct gate_head head;
        struct gate_refusal why;

        assert_int_equal(gate_is_name_byte((unsigned char)b), is_name);
        assert_int_equal(gate_is_value_byte((unsigned char)b), is_value);

        int n = snprintf(data, sizeof data, "GET / HTTP/1.0\r\na%cc: d\r\n\r\n", b ? b : 1);
        bool is_ok = gate_check(data, (size_t)n, NULL, &head, &why) == GATE_OK;
        assert_int_equal(is_ok, is_name || b == ':');
        n = snprintf(data, sizeof data, "GET / HTTP/1.0\r\nabc: d%ce\r\n\r\n", b ? b : 1);
        is_ok = gate_check(data, (size_t)n, NULL, &head, &why) == GATE_OK;
        assert_int_equal(is_ok, is_value);
        n = snprintf(data, sizeof data, "GET /a%cb HTTP/1.0\r\n\r\n", b ? b : 1);
        is_ok = gate_check(data, (size_t)n, NULL, &head, &why) == GATE_OK;
        assert_int_equal(is_ok, is_target);
    }
}

/* --- the rest of the interface --- */

static void test_find(void **state)
{
    static const char data[] =
        "GET / HTTP/1.1\r\nHost: x\r\nAccept:\r\nAuthorization: \t a b \t\r\n"
        "AUTHORIZATION: second\r\n\r\n";
    struct gate_head head;
    struct gate_refusal why;
    bool found;

    (void)state;
    assert_int_equal(gate_check(data, sizeof data - 1, NULL, &head, &why), GATE_OK);
    assert_int_equal(head.n_fields, 4);
    assert_int_equal(head.minor, 1);
    assert_span("value", data, gate_find(&head, data, "authorization", &found), "a b");
    assert_true(found);
    assert_span("empty value", data, gate_find(&head, data, "accept", &found), "");
    assert_true(found);
    assert_span("absent", data, gate_find(&head, data, "accep", &found), "");
    assert_false(found);
}

static void test_method_names(void **state)
{
    (void)state;
    for (int m = 0; m < METHODS_N; m++) {
        char data[64];
        struct gate_head head;
        struct gate_refusal why;
        int n = snprintf(data, sizeof data, "%s / HTTP/1.0\r\n\r\n",
                         gate_method_name((enum gate_method)m));
        assert_int_equal(gate_check(data, (size_t)n, NULL, &head, &why), GATE_OK);
        assert_int_equal(head.method, m);
    }
}

static void test_any_host(void **state)
{
    static const char good[] = "GET / HTTP/1.1\r\nHost: any.example:1\r\n\r\n";
    static const char bad[] = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n";
    static const struct gate_hosts any = {.is_any = true};
    struct gate_head head;
    struct gate_refusal why;

    (void)state;
    assert_int_equal(gate_check(good, sizeof good - 1, &any, &head, &why), GATE_OK);
    assert_int_equal(gate_check(good, sizeof good - 1, NULL, &head, &why), GATE_OK);
    assert_int_equal(gate_check(bad, sizeof bad - 1, &any, &head, &why), GATE_REFUSED);
    assert_int_equal(why.status, 400);
}

/* gate_check stands on its own: bytes that gate_find_head would not have called a head. */
static void test_incomplete_head(void **state)
{
    static const char *const heads[] = {
        "",
        "\r\n",
        "\r\n\r\n",
        "\r\n\r\n\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\n",
        "GET / HTTP/1.0",
        "GET / HTTP/1.0\r\nA: b\r\n\r\nB: c\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct gate_head head;
        struct gate_refusal why;
        enum gate_result result = gate_check(heads[i], strlen(heads[i]), NULL, &head, &why);
        if (result != GATE_REFUSED || why.status != 400)
            fail_msg("head %zu accepted or refused with %d", i, why.status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_byte_classes),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_method_names),
        cmocka_unit_test(test_any_host),
        cmocka_unit_test(test_incomplete_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

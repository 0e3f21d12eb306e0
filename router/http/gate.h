/* The gate: strict checks of a request head before http-parser sees it, because the packaged
 * http-parser is a lenient build (reliability.md names what it lets through). Pure functions over
 * bytes; no I/O, no allocation.
 *
 * Rules (tests/unit/gate_test.c has a row for each):
 *  G1 request line METHOD SP target SP HTTP/1.[01], at most 8 KiB, known methods; target in
 *     origin-form, bytes 0x21-0x7E, no '#' and no '\', percent-decoded once, no %00 %2f %5c
 *     (but %2f in a model's id, behind GATE_ID_PREFIX, where SDKs escape the slash of org/name)
 *     or other escaped control bytes, no "." or ".." segments; absolute-form only when its
 *     authority is one of ours; OPTIONS *
 *  G2 field names are tokens; no obs-fold, no space before ':'; CRLF only; no NUL or control bytes
 *     in values; at most 64 fields, 16 KiB each, 32 KiB together (431)
 *  G3 exactly one Host in HTTP/1.1 (at most one in 1.0), and it is one of ours (421)
 *  G4 one Content-Length of at most 19 digits, or Transfer-Encoding exactly "chunked" with
 *     HTTP/1.1; both, one of them twice, or anything else: 400. Also what http-parser would
 *     misread: a tab behind Content-Length, a name that merely begins with Transfer-Encoding
 *  G5 Content-Encoding other than identity: 415; announced body over the limit: the caller (413)
 *  G6 Expect other than one 100-continue: 417; without a body, or in HTTP/1.0, it is ignored
 */
#ifndef ROUTER_HTTP_GATE_H
#define ROUTER_HTTP_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_REQUEST_LINE_MAX 8192
#define GATE_FIELD_MAX        16384
#define GATE_FIELDS_MAX       64
#define GATE_HEAD_MAX         32768
#define GATE_ID_PREFIX        "/v1/models/"

#define GATE_METHODS(X)                                                                            \
    X(METHOD_GET, "GET") X(METHOD_HEAD, "HEAD") X(METHOD_POST, "POST") X(METHOD_PUT, "PUT")        \
    X(METHOD_DELETE, "DELETE") X(METHOD_OPTIONS, "OPTIONS") X(METHOD_PATCH, "PATCH")

#define X(constant, text) constant,
enum gate_method { GATE_METHODS(X) METHODS_N };
#undef X
const char *gate_method_name(enum gate_method m);

/* A piece of the head, by position. */
struct gate_span {
    uint32_t at, len;
};

struct gate_field {
    struct gate_span name, value; /* value without surrounding spaces and tabs */
};

struct gate_head {
    enum gate_method method;
    uint8_t minor; /* of HTTP/1.x */
    bool has_body; /* chunked, or content_length > 0 */
    bool is_chunked;
    bool has_content_length;
    bool expects_continue;
    uint64_t content_length;
    char path[1024]; /* percent-decoded, without the query, NUL-terminated */
    struct gate_span query; /* raw, without '?', len 0 when none */
    struct gate_span host;
    uint32_t n_fields;
    struct gate_field field[GATE_FIELDS_MAX];
};

/* What a Host (or absolute-form authority) must be. NULL accepts any. */
struct gate_hosts {
    bool is_any;
    const char *const *names; /* lower case, IPv6 in brackets, without port unless it has one */
    size_t n_names;           /* loopback names and addresses are always accepted */
};

enum gate_result { GATE_MORE, GATE_OK, GATE_REFUSED };

struct gate_refusal {
    int status;       /* 400, 414, 417, 421, 431, 501, 505, 415 */
    const char *text; /* one sentence, static */
};

/* Length of the head in data (to and including the empty line) when it is complete. Incremental:
 * *scanned (0 at first) remembers how far earlier calls looked, so that a head arriving byte by
 * byte costs linear time. Leading empty lines (CRLF, at most 2) before a request are skipped and
 * counted in the length. GATE_REFUSED already for a bare LF, a NUL, or too much without an end. */
enum gate_result gate_find_head(const char *data, size_t len, size_t *scanned, size_t *head_len,
                                struct gate_refusal *why);

/* Check a complete head. */
enum gate_result gate_check(const char *data, size_t head_len, const struct gate_hosts *hosts,
                            struct gate_head *head, struct gate_refusal *why);

/* Bytes of a field name, and of a field value (SP, HT, visible ASCII, obs-text): nothing else. */
bool gate_is_name_byte(unsigned char c);
bool gate_is_value_byte(unsigned char c);

/* Value of a hexadecimal digit, or -1. */
int gate_hex_value(char c);

/* The value of a field by lower-case name, or a span of length 0 (found tells the difference). */
struct gate_span gate_find(const struct gate_head *head, const char *data, const char *name,
                           bool *found);

#endif

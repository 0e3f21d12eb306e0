#include "router/http/gate.h"

#include <string.h>
#include <strings.h>

/* The classes of RFC 9110 §5.6 and RFC 3986 that a head is made of. None of them holds LF, the last
 * byte of every head, so a loop over one class needs no other end. */
enum {
    IN_NAME = 1,   /* token */
    IN_VALUE = 2,  /* SP, HT, VCHAR, obs-text */
    IN_TARGET = 4, /* 0x21-0x7E without '#' and '\' */
    IN_HOST = 8,   /* letters, digits, '-', '.', '_' */
};

/* clang-format off */
static const uint8_t classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,                 /* 00 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                 /* 10 */
    2, 7, 6, 3, 7, 7, 7, 7, 6, 6, 7, 7, 6, 15, 15, 6,               /* 20 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 6, 6, 6, 6, 6, 6,       /* 30 */
    6, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  /* 40 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 6, 2, 6, 7, 15,     /* 50 */
    7, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  /* 60 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 6, 7, 6, 7, 0,      /* 70 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,                 /* 80 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,                 /* 90 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,                 /* a0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,                 /* b0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,                 /* c0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,                 /* d0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,                 /* e0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,                 /* f0 */
};
/* clang-format on */

static const struct {
    const char *text;
    size_t len;
} methods[METHODS_N] = {
#define X(constant, text) [constant] = {text, sizeof text - 1},
    GATE_METHODS(X)
#undef X
};

#define LEADING_LINES_MAX 2

/* One check in progress. What the fields have said so far is judged when all are known. */
struct check {
    const char *data;
    uint32_t at;
    uint32_t end;
    const struct gate_hosts *hosts;
    struct gate_head *head;
    struct gate_refusal *why;
    uint32_t n_hosts, n_expects;
    bool has_transfer_encoding;
    bool is_target_absolute; /* head->host is the target's authority, which beats Host */
};

static enum gate_result refuse(struct gate_refusal *why, int status, const char *text)
{
    *why = (struct gate_refusal){status, text};
    return GATE_REFUSED;
}

static bool is_in(int class, char c)
{
    return (classes[(unsigned char)c] & class) != 0;
}

bool gate_is_name_byte(unsigned char c)
{
    return (classes[c] & IN_NAME) != 0;
}

bool gate_is_value_byte(unsigned char c)
{
    return (classes[c] & IN_VALUE) != 0;
}

int gate_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *gate_method_name(enum gate_method m)
{
    return methods[m].text;
}

/* First byte after the empty lines (CRLF) in front of a request; is_over: there are too many. */
static size_t skip_leading_lines(const char *data, size_t len, bool *is_over)
{
    size_t at = 0;

    while (len - at >= 2 && data[at] == '\r' && data[at + 1] == '\n')
        at += 2;
    *is_over = at > 2 * LEADING_LINES_MAX;
    return *is_over ? 2 * (LEADING_LINES_MAX + 1) : at;
}

/* --- where the head ends --- */

/* The verdict at data[end - 1], unless a NUL came before it: whatever the pieces were in which the
 * head arrived, the first offence decides. */
static enum gate_result settle(const char *data, size_t from, size_t end, enum gate_result result,
                               int status, const char *text, struct gate_refusal *why)
{
    if (memchr(data + from, '\0', end - from) != NULL)
        return refuse(why, 400, "NUL byte in the request head");
    return result == GATE_REFUSED ? refuse(why, status, text) : result;
}

enum gate_result gate_find_head(const char *data, size_t len, size_t *scanned, size_t *head_len,
                                struct gate_refusal *why)
{
    size_t window = len < GATE_HEAD_MAX ? len : GATE_HEAD_MAX;
    size_t from = *scanned;
    size_t at = from;
    bool is_over;
    size_t start = skip_leading_lines(data, window, &is_over);

    if (at < start)
        at = start;
    if (is_over)
        return settle(data, from, start, GATE_REFUSED, 400, "too many empty lines", why);
    while (at < window) {
        const char *lf = memchr(data + at, '\n', window - at);
        if (lf == NULL)
            break;
        at = (size_t)(lf - data) + 1;
        if (at < 2 || data[at - 2] != '\r')
            return settle(data, from, at, GATE_REFUSED, 400, "line ends with LF, not CRLF", why);
        if (at >= start + 4 && data[at - 3] == '\n') {
            *scanned = at;
            *head_len = at;
            return settle(data, from, at, GATE_OK, 0, NULL, why);
        }
    }
    *scanned = window;
    if (len <= GATE_HEAD_MAX)
        return settle(data, from, window, GATE_MORE, 0, NULL, why);
    if (memchr(data + start, '\n', GATE_REQUEST_LINE_MAX + 2) == NULL)
        return settle(data, from, window, GATE_REFUSED, 414, "request line too long", why);
    return settle(data, from, window, GATE_REFUSED, 431, "request head too large", why);
}

/* --- request line --- */

static enum gate_result check_method(struct check *c)
{
    const char *method = c->data + c->at;
    size_t len = 0;

    while (is_in(IN_NAME, method[len]))
        len++;
    if (len == 0 || method[len] != ' ')
        return refuse(c->why, 400, "malformed method in the request line");
    c->at += (uint32_t)len + 1;
    for (int m = 0; m < METHODS_N; m++) {
        if (methods[m].len == len && memcmp(methods[m].text, method, len) == 0) {
            c->head->method = (enum gate_method)m;
            return GATE_OK;
        }
    }
    return refuse(c->why, 501, "unknown method");
}

static bool is_dot_segment(const char *segment, size_t len)
{
    return (len == 1 && segment[0] == '.') || (len == 2 && segment[0] == '.' && segment[1] == '.');
}

/* One percent escape at s, of which n bytes belong to the path. The byte, or -1 when it is not one
 * or hides what would be read differently after decoding. */
static int decode_escape(const char *s, size_t n, bool may_be_slash)
{
    int high = n >= 3 ? gate_hex_value(s[1]) : -1;
    int low = n >= 3 ? gate_hex_value(s[2]) : -1;
    int byte = high * 16 + low;

    if (high < 0 || low < 0 || byte < 0x20 || byte == 0x7f || byte == '\\' ||
        (byte == '/' && !may_be_slash))
        return -1;
    return byte;
}

/* raw[0..n) starts with '/': the path, decoded once into head->path. */
static enum gate_result check_path(struct check *c, const char *raw, size_t n)
{
    char *path = c->head->path;
    size_t out = 0, segment = 0;

    for (size_t i = 0; i < n; i++) {
        char ch = raw[i];
        if (ch == '%') {
            bool is_id = n > sizeof GATE_ID_PREFIX - 1 && i >= sizeof GATE_ID_PREFIX - 1 &&
                         memcmp(raw, GATE_ID_PREFIX, sizeof GATE_ID_PREFIX - 1) == 0;
            int byte = decode_escape(raw + i, n - i, is_id);
            if (byte < 0)
                return refuse(c->why, 400, "forbidden percent escape in the path");
            ch = (char)byte;
            i += 2;
        }
        if (ch == '/') {
            if (is_dot_segment(path + segment, out - segment))
                return refuse(c->why, 400, "dot segment in the path");
            segment = out + 1;
        }
        if (out == sizeof c->head->path - 1)
            return refuse(c->why, 414, "path too long");
        path[out++] = ch;
    }
    if (is_dot_segment(path + segment, out - segment))
        return refuse(c->why, 400, "dot segment in the path");
    path[out] = '\0';
    return GATE_OK;
}

/* Path and query of target[from..to). An absent path (after an authority) is "/". */
static enum gate_result check_origin(struct check *c, uint32_t from, uint32_t to)
{
    const char *query = memchr(c->data + from, '?', to - from);
    uint32_t path_end = query == NULL ? to : (uint32_t)(query - c->data);

    if (query != NULL)
        c->head->query = (struct gate_span){path_end + 1, to - path_end - 1};
    if (path_end == from)
        return check_path(c, "/", 1);
    return check_path(c, c->data + from, path_end - from);
}

static enum gate_result check_authority(struct check *c, struct gate_span authority);

static enum gate_result check_target(struct check *c)
{
    const char *target = c->data + c->at;
    uint32_t len = 0, scheme;

    while (is_in(IN_TARGET, target[len]))
        len++;
    if (len == 0 || target[len] != ' ')
        return refuse(c->why, 400, "malformed target in the request line");
    uint32_t at = c->at, end = at + len;
    c->at = end + 1;

    if (target[0] == '/')
        return check_origin(c, at, end);
    if (len == 1 && target[0] == '*' && c->head->method == METHOD_OPTIONS) {
        memcpy(c->head->path, "*", 2);
        return GATE_OK;
    }
    if (len > 7 && strncasecmp(target, "http://", 7) == 0)
        scheme = 7;
    else if (len > 8 && strncasecmp(target, "https://", 8) == 0)
        scheme = 8;
    else
        return refuse(c->why, 400, "target is neither a path nor a URL of this server");
    uint32_t slash = scheme;
    while (slash < len && target[slash] != '/' && target[slash] != '?')
        slash++;
    c->is_target_absolute = true;
    c->head->host = (struct gate_span){at + scheme, slash - scheme};
    if (check_authority(c, c->head->host) != GATE_OK)
        return GATE_REFUSED;
    return check_origin(c, at + slash, end);
}

static enum gate_result check_version(struct check *c)
{
    const char *version = c->data + c->at;

    if (c->end - c->at < 10 || memcmp(version, "HTTP/", 5) != 0 || version[8] != '\r' ||
        version[9] != '\n' || version[6] != '.' || version[5] < '0' || version[5] > '9' ||
        version[7] < '0' || version[7] > '9')
        return refuse(c->why, 400, "malformed version in the request line");
    if (version[5] != '1' || version[7] > '1')
        return refuse(c->why, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    c->head->minor = (uint8_t)(version[7] - '0');
    c->at += 10;
    return GATE_OK;
}

static enum gate_result check_request_line(struct check *c)
{
    const char *line = c->data + c->at;
    const char *lf = memchr(line, '\n', c->end - c->at);

    if (lf == NULL || lf - line > GATE_REQUEST_LINE_MAX + 1)
        return refuse(c->why, 414, "request line too long");
    if (check_method(c) != GATE_OK || check_target(c) != GATE_OK)
        return GATE_REFUSED;
    return check_version(c);
}

/* --- whom the request is for --- */

/* Length of the host part of "host[:port]", or 0 when the text is malformed. */
static size_t host_part(const char *s, size_t n)
{
    size_t len = 0;

    if (n > 0 && s[0] == '[') {
        for (len = 1; len < n && (gate_hex_value(s[len]) >= 0 || s[len] == ':' || s[len] == '.');)
            len++;
        if (len == n || s[len] != ']' || len < 3)
            return 0;
        len++;
    } else {
        while (len < n && is_in(IN_HOST, s[len]))
            len++;
    }
    if (len < n && (s[len] != ':' || n - len > 6))
        return 0;
    for (size_t i = len + 1; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return 0;
    return len;
}

static bool is_loopback(const char *s, size_t n)
{
    int parts = 1, digits = 0, value = 0;

    if ((n == 9 && strncasecmp(s, "localhost", n) == 0) || (n == 5 && memcmp(s, "[::1]", n) == 0))
        return true;
    if (n < 4 || memcmp(s, "127.", 4) != 0)
        return false;
    for (size_t i = 4; i < n; i++) {
        if (s[i] == '.' && digits > 0) {
            parts++;
            digits = value = 0;
        } else if (s[i] >= '0' && s[i] <= '9' && digits < 3) {
            value = value * 10 + (s[i] - '0');
            digits++;
        } else {
            return false;
        }
        if (value > 255)
            return false;
    }
    return parts == 3 && digits > 0;
}

static bool has_port(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon != NULL && (name[0] != '[' || colon[-1] == ']');
}

static enum gate_result check_authority(struct check *c, struct gate_span authority)
{
    const char *s = c->data + authority.at;
    size_t host_len = host_part(s, authority.len);
    const struct gate_hosts *hosts = c->hosts;

    if (host_len == 0)
        return refuse(c->why, 400, "malformed host name");
    if (hosts == NULL || hosts->is_any || is_loopback(s, host_len))
        return GATE_OK;
    for (size_t i = 0; i < hosts->n_names; i++) {
        size_t n = has_port(hosts->names[i]) ? authority.len : host_len;
        if (strlen(hosts->names[i]) == n && strncasecmp(hosts->names[i], s, n) == 0)
            return GATE_OK;
    }
    return refuse(c->why, 421, "this server does not answer for that host");
}

/* --- fields --- */

static bool value_is(const struct check *c, struct gate_span value, const char *lower)
{
    return strlen(lower) == value.len && strncasecmp(c->data + value.at, lower, value.len) == 0;
}

static enum gate_result take_host(struct check *c, struct gate_span value)
{
    if (c->n_hosts++ > 0)
        return refuse(c->why, 400, "more than one Host field");
    if (!c->is_target_absolute)
        c->head->host = value;
    return check_authority(c, value);
}

static enum gate_result take_content_length(struct check *c, struct gate_span value)
{
    uint64_t n = 0; /* 19 digits fit */

    if (c->head->has_content_length)
        return refuse(c->why, 400, "more than one Content-Length field");
    if (value.len == 0 || value.len > 19)
        return refuse(c->why, 400, "Content-Length is not a number of 1 to 19 digits");
    for (uint32_t i = 0; i < value.len; i++) {
        char digit = c->data[value.at + i];
        if (digit < '0' || digit > '9')
            return refuse(c->why, 400, "Content-Length is not a number of 1 to 19 digits");
        n = n * 10 + (uint64_t)(digit - '0');
    }
    /* Legal, but http-parser would refuse it later. */
    for (uint32_t i = value.at + value.len; c->data[i] != '\r'; i++)
        if (c->data[i] == '\t')
            return refuse(c->why, 400, "tab after Content-Length");
    c->head->has_content_length = true;
    c->head->content_length = n;
    return GATE_OK;
}

static enum gate_result take_transfer_encoding(struct check *c, struct gate_span value)
{
    if (c->has_transfer_encoding)
        return refuse(c->why, 400, "more than one Transfer-Encoding field");
    if (!value_is(c, value, "chunked"))
        return refuse(c->why, 400, "Transfer-Encoding is not exactly \"chunked\"");
    if (c->head->minor == 0)
        return refuse(c->why, 400, "Transfer-Encoding in an HTTP/1.0 request");
    c->has_transfer_encoding = true;
    c->head->is_chunked = true;
    return GATE_OK;
}

static enum gate_result take_content_encoding(struct check *c, struct gate_span value)
{
    if (!value_is(c, value, "identity"))
        return refuse(c->why, 415, "Content-Encoding other than identity");
    return GATE_OK;
}

static enum gate_result take_expect(struct check *c, struct gate_span value)
{
    if (c->n_expects++ > 0 || !value_is(c, value, "100-continue"))
        return refuse(c->why, 417, "Expect other than one 100-continue");
    return GATE_OK;
}

static const struct {
    const char *name;
    uint32_t len;
    enum gate_result (*take)(struct check *c, struct gate_span value);
} known_fields[] = {
    {"host", 4, take_host},
    {"expect", 6, take_expect},
    {"content-length", 14, take_content_length},
    {"content-encoding", 16, take_content_encoding},
    {"transfer-encoding", 17, take_transfer_encoding},
};

static enum gate_result take_field(struct check *c, const struct gate_field *field)
{
    for (size_t i = 0; i < sizeof known_fields / sizeof known_fields[0]; i++) {
        if (known_fields[i].len == field->name.len &&
            strncasecmp(c->data + field->name.at, known_fields[i].name, field->name.len) == 0)
            return known_fields[i].take(c, field->value);
    }
    /* http-parser takes Transfer-Encodingx for a transfer coding, and refuses it half-way. */
    if (field->name.len > 17 && strncasecmp(c->data + field->name.at, "transfer-encoding", 17) == 0)
        return refuse(c->why, 400, "field name that begins with Transfer-Encoding");
    return GATE_OK;
}

static enum gate_result check_name(struct check *c, struct gate_span *name)
{
    const char *s = c->data + c->at;
    uint32_t len = 0;

    while (is_in(IN_NAME, s[len]))
        len++;
    if (len == 0 && (s[0] == ' ' || s[0] == '\t'))
        return refuse(c->why, 400, "folded field line");
    if (len > 0 && (s[len] == ' ' || s[len] == '\t'))
        return refuse(c->why, 400, "space between field name and colon");
    if (len == 0 || s[len] != ':')
        return refuse(c->why, 400, "malformed field name");
    *name = (struct gate_span){c->at, len};
    c->at += len + 1;
    return GATE_OK;
}

static enum gate_result check_value(struct check *c, struct gate_span *value)
{
    const char *s = c->data;
    uint32_t from = c->at, to;

    while (s[from] == ' ' || s[from] == '\t')
        from++;
    for (to = from; is_in(IN_VALUE, s[to]);)
        to++;
    if (s[to] == '\n')
        return refuse(c->why, 400, "line ends with LF, not CRLF");
    if (s[to] != '\r' || s[to + 1] != '\n')
        return refuse(c->why, 400, "control byte in a field value");
    c->at = to + 2;
    while (to > from && (s[to - 1] == ' ' || s[to - 1] == '\t'))
        to--;
    *value = (struct gate_span){from, to - from};
    return GATE_OK;
}

static enum gate_result check_fields(struct check *c)
{
    struct gate_head *head = c->head;

    while (c->data[c->at] != '\r') {
        struct gate_field *field = &head->field[head->n_fields];
        uint32_t line = c->at;

        if (head->n_fields == GATE_FIELDS_MAX)
            return refuse(c->why, 431, "more than 64 fields");
        if (check_name(c, &field->name) != GATE_OK || check_value(c, &field->value) != GATE_OK)
            return GATE_REFUSED;
        if (c->at - line > GATE_FIELD_MAX + 2)
            return refuse(c->why, 431, "field larger than 16 KiB");
        head->n_fields++;
        if (take_field(c, field) != GATE_OK)
            return GATE_REFUSED;
    }
    if (c->end - c->at != 2)
        return refuse(c->why, 400, "request head does not end with its only empty line");
    return GATE_OK;
}

static enum gate_result check_framing(struct check *c)
{
    struct gate_head *head = c->head;

    if (c->n_hosts == 0 && head->minor == 1)
        return refuse(c->why, 400, "Host field missing");
    if (head->is_chunked && head->has_content_length)
        return refuse(c->why, 400, "both Content-Length and Transfer-Encoding");
    head->has_body = head->is_chunked || head->content_length > 0;
    /* HTTP/1.0 knows no interim answers, and without a body there is nothing to continue. */
    head->expects_continue = c->n_expects > 0 && head->minor == 1 && head->has_body;
    return GATE_OK;
}

enum gate_result gate_check(const char *data, size_t head_len, const struct gate_hosts *hosts,
                            struct gate_head *head, struct gate_refusal *why)
{
    struct check c = {.data = data, .hosts = hosts, .head = head, .why = why};
    bool is_over;

    head->method = METHOD_GET;
    head->minor = 0;
    head->has_body = head->is_chunked = head->has_content_length = head->expects_continue = false;
    head->content_length = 0;
    head->path[0] = '\0';
    head->query = head->host = (struct gate_span){0, 0};
    head->n_fields = 0;

    if (head_len > GATE_HEAD_MAX)
        return refuse(why, 431, "request head too large");
    /* No line reaches beyond these four bytes, so no loop below can. */
    if (head_len < 4 || memcmp(data + head_len - 4, "\r\n\r\n", 4) != 0)
        return refuse(why, 400, "request head does not end with its only empty line");
    c.at = (uint32_t)skip_leading_lines(data, head_len, &is_over);
    c.end = (uint32_t)head_len;
    if (is_over || c.at == c.end)
        return refuse(why, 400, "too many empty lines");
    if (check_request_line(&c) != GATE_OK || check_fields(&c) != GATE_OK)
        return GATE_REFUSED;
    return check_framing(&c);
}

struct gate_span gate_find(const struct gate_head *head, const char *data, const char *name,
                           bool *found)
{
    size_t len = strlen(name);

    for (uint32_t i = 0; i < head->n_fields; i++) {
        const struct gate_field *field = &head->field[i];
        if (field->name.len == len && strncasecmp(data + field->name.at, name, len) == 0) {
            *found = true;
            return field->value;
        }
    }
    *found = false;
    return (struct gate_span){0, 0};
}

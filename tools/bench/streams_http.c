#include "tools/bench/streams_http.h"

#include <string.h>
#include <strings.h>

#define HEAD_MAX 8192
#define LINE_MAX (1u << 20)

void response_init(struct response *r)
{
    buf_clear(&r->head);
    *r = (struct response){.head = r->head};
}

void response_free(struct response *r)
{
    buf_free(&r->head);
}

/* --- head --- */

/* Value of a field of the head, without spaces, in lower case; "" when absent. */
static void find_field(const char *head, const char *name, char *value, size_t size)
{
    size_t n = strlen(name), used = 0;
    const char *line = strstr(head, "\r\n");

    for (; line != NULL; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, n) != 0 || line[2 + n] != ':')
            continue;
        for (const char *p = line + 3 + n; *p != '\r' && used < size - 1; p++)
            if (*p != ' ')
                value[used++] = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
        break;
    }
    value[used] = '\0';
}

static enum fault read_length(struct response *r, const char *digits)
{
    if (digits[0] == '\0' || strlen(digits) > 18)
        return FAULT_HTTP;
    for (r->left = 0; *digits != '\0'; digits++) {
        if (*digits < '0' || *digits > '9')
            return FAULT_HTTP;
        r->left = r->left * 10 + (uint64_t)(*digits - '0');
    }
    r->state = r->left > 0 ? IN_LENGTH : RESPONSE_OVER;
    return FAULT_NONE;
}

static enum fault read_head(struct response *r)
{
    char *head = buf_text(&r->head);
    char coding[32], length[32], type[64], connection[32], id[64];

    if (strlen(head) != buf_pending(&r->head) || strncmp(head, "HTTP/1.1 ", 9) != 0)
        return FAULT_HTTP;
    for (int i = 9; i < 12; i++) {
        if (head[i] < '0' || head[i] > '9')
            return FAULT_HTTP;
        r->status = r->status * 10 + (head[i] - '0');
    }
    find_field(head, "transfer-encoding", coding, sizeof coding);
    find_field(head, "content-length", length, sizeof length);
    find_field(head, "content-type", type, sizeof type);
    find_field(head, "connection", connection, sizeof connection);
    find_field(head, "x-request-id", id, sizeof id);
    r->is_event_stream = strncmp(type, "text/event-stream", 17) == 0;
    r->is_last = strcmp(connection, "close") == 0;
    if (id[0] == '\0' || (coding[0] != '\0') == (length[0] != '\0'))
        return FAULT_HTTP;
    if (length[0] != '\0')
        return read_length(r, length);
    if (strcmp(coding, "chunked") != 0)
        return FAULT_HTTP;
    r->state = IN_SIZE;
    return FAULT_NONE;
}

static enum fault take_head(struct response *r, const char **data, size_t *len)
{
    size_t before = buf_pending(&r->head);
    size_t n = *len < HEAD_MAX - before ? *len : HEAD_MAX - before;

    buf_add(&r->head, *data, n);
    const char *end = memmem(r->head.data, buf_pending(&r->head), "\r\n\r\n", 4);
    if (end != NULL) {
        r->head.len = (size_t)(end - r->head.data) + 4;
        n = r->head.len - before;
    }
    *data += n;
    *len -= n;
    if (end != NULL)
        return read_head(r);
    return before + n < HEAD_MAX ? FAULT_NONE : FAULT_HTTP;
}

/* --- body --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum fault take_size(struct response *r, char c)
{
    int digit = hex_value(c);

    if (digit < 0 || r->left >> 56 != 0) {
        r->state = IN_SIZE_LF;
        return r->has_digit && c == '\r' ? FAULT_NONE : FAULT_HTTP;
    }
    r->has_digit = true;
    r->left = r->left * 16 + (uint64_t)digit;
    return FAULT_NONE;
}

static enum fault expect(struct response *r, char c, char expected, enum response_state next)
{
    r->state = next;
    r->has_digit = false;
    return c == expected ? FAULT_NONE : FAULT_HTTP;
}

static enum fault take_framing(struct response *r, char c)
{
    switch (r->state) {
    case IN_SIZE:
        return take_size(r, c);
    case IN_SIZE_LF:
        return expect(r, c, '\n', r->left > 0 ? IN_CHUNK : IN_LAST_CR);
    case IN_CHUNK_CR:
        return expect(r, c, '\r', IN_CHUNK_LF);
    case IN_CHUNK_LF:
        return expect(r, c, '\n', IN_SIZE);
    case IN_LAST_CR:
        return expect(r, c, '\r', IN_LAST_LF);
    case IN_LAST_LF:
        return expect(r, c, '\n', RESPONSE_OVER);
    case IN_HEAD:
    case IN_LENGTH:
    case IN_CHUNK:
    case RESPONSE_OVER:
        break;
    }
    return FAULT_HTTP;
}

enum fault response_next(struct response *r, const char **data, size_t *len, const char **piece,
                         size_t *piece_len)
{
    enum fault fault = FAULT_NONE;

    *piece_len = 0;
    if (r->state == IN_HEAD)
        fault = take_head(r, data, len);
    while (fault == FAULT_NONE && *len > 0 && r->state != IN_LENGTH && r->state != IN_CHUNK &&
           r->state != RESPONSE_OVER) {
        fault = take_framing(r, *(*data)++);
        --*len;
    }
    if (fault != FAULT_NONE || *len == 0 || r->state == RESPONSE_OVER)
        return fault;

    *piece = *data;
    *piece_len = *len < r->left ? *len : (size_t)r->left;
    r->left -= *piece_len;
    *data += *piece_len;
    *len -= *piece_len;
    if (r->left == 0)
        r->state = r->state == IN_LENGTH ? RESPONSE_OVER : IN_CHUNK_CR;
    return FAULT_NONE;
}

/* --- events --- */

void sse_free(struct sse *s)
{
    buf_free(&s->line);
}

static enum fault take_line(struct sse *s, const char *line, size_t len, enum sse_kind *kind,
                            const char **text, size_t *text_len)
{
    if (len == 0) {
        s->is_after_data = false;
        return FAULT_NONE;
    }
    if (s->is_after_data)
        return FAULT_SSE;
    if (line[0] == ':') {
        *kind = SSE_COMMENT;
    } else if (len > 6 && memcmp(line, "data: ", 6) == 0) {
        *kind = SSE_EVENT;
        s->is_after_data = true;
    } else {
        return FAULT_SSE;
    }
    *text = line + (*kind == SSE_EVENT ? 6 : 1);
    *text_len = len - (*kind == SSE_EVENT ? 6 : 1);
    return FAULT_NONE;
}

/* A whole line; most come in one piece. 0 when it is not complete. */
static int find_line(struct sse *s, const char **data, size_t *len, const char **line, size_t *n)
{
    const char *lf = memchr(*data, '\n', *len);

    if (s->has_taken)
        buf_free(&s->line);
    s->has_taken = false;
    *n = lf == NULL ? *len : (size_t)(lf - *data);
    *line = *data;
    if (lf == NULL || buf_pending(&s->line) > 0) {
        buf_add(&s->line, *data, *n);
        *line = s->line.data;
    }
    *data += *n + (lf != NULL);
    *len -= *n + (lf != NULL);
    if (lf != NULL && buf_pending(&s->line) > 0) {
        *n = buf_pending(&s->line);
        s->has_taken = true;
    }
    return lf != NULL;
}

enum fault sse_next(struct sse *s, const char **data, size_t *len, enum sse_kind *kind,
                    const char **text, size_t *text_len)
{
    *kind = SSE_NOTHING;
    while (*len > 0 && *kind == SSE_NOTHING) {
        const char *line;
        size_t n;
        if (find_line(s, data, len, &line, &n)) {
            enum fault fault = take_line(s, line, n, kind, text, text_len);
            if (fault != FAULT_NONE)
                return fault;
        } else if (buf_pending(&s->line) > LINE_MAX) {
            return FAULT_SSE;
        }
    }
    return FAULT_NONE;
}

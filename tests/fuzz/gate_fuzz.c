/* The gate over any bytes: the same verdict for every way of cutting them; what is accepted holds
 * its promises, checked here in plainer words; and http-parser reads an accepted head as the gate
 * does, so that nothing between the two can be smuggled. */
#include "base/check.h"
#include "base/hash.h"
#include "router/http/gate.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct verdict {
    enum gate_result result;
    size_t head_len;
    struct gate_refusal why;
};

static struct verdict find_in_pieces(const char *data, size_t len, size_t first, size_t step)
{
    struct verdict v = {.result = GATE_MORE};
    size_t scanned = 0;

    for (size_t n = first; v.result == GATE_MORE; n = len - n > step ? n + step : len) {
        char *copy = malloc(n + 1); /* nothing to read behind what has arrived */
        CHECK(copy != NULL);
        memcpy(copy + 1, data, n);
        v.result = gate_find_head(copy + 1, n, &scanned, &v.head_len, &v.why);
        free(copy);
        if (n == len)
            break;
    }
    return v;
}

static void check_same(struct verdict a, struct verdict b)
{
    CHECK(a.result == b.result);
    CHECK(a.result != GATE_OK || a.head_len == b.head_len);
    CHECK(a.result != GATE_REFUSED || (a.why.status == b.why.status && a.why.text == b.why.text));
}

/* --- what an accepted head promises --- */

static void check_path(const char *path)
{
    CHECK(path[0] == '/' || strcmp(path, "*") == 0);
    for (const char *p = path; *p != '\0'; p++) {
        CHECK((unsigned char)*p >= 0x20 && *p != 0x7f && *p != '\\');
        if (*p != '/')
            continue;
        size_t n = strcspn(p + 1, "/");
        CHECK(!(n == 1 && p[1] == '.') && !(n == 2 && p[1] == '.' && p[2] == '.'));
    }
}

static void check_field(const char *data, size_t head_len, const struct gate_field *field)
{
    struct gate_span name = field->name, value = field->value;

    CHECK(name.len > 0 && name.at + name.len < value.at && value.at + value.len + 4 <= head_len);
    CHECK(name.len + value.len < GATE_FIELD_MAX);
    CHECK(data[name.at + name.len] == ':');
    for (uint32_t i = 0; i < name.len; i++)
        CHECK(strchr(" \t:\r\n\"(),/;<=>?@[\\]{}", data[name.at + i]) == NULL);
    for (uint32_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)data[value.at + i];
        CHECK(c == '\t' || (c >= 0x20 && c != 0x7f));
    }
}

static uint32_t count_fields(const char *data, const struct gate_head *head, const char *name)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < head->n_fields; i++) {
        const struct gate_span span = head->field[i].name;
        n += span.len == strlen(name) && strncasecmp(data + span.at, name, span.len) == 0;
    }
    return n;
}

static void check_promises(const char *data, size_t head_len, const struct gate_head *head)
{
    CHECK(head_len <= GATE_HEAD_MAX && head->n_fields <= GATE_FIELDS_MAX);
    CHECK(memcmp(data + head_len - 4, "\r\n\r\n", 4) == 0);
    check_path(head->path);
    for (uint32_t i = 0; i < head->n_fields; i++)
        check_field(data, head_len, &head->field[i]);

    uint32_t n_hosts = count_fields(data, head, "host");
    uint32_t n_lengths = count_fields(data, head, "content-length");
    uint32_t n_codings = count_fields(data, head, "transfer-encoding");
    CHECK(head->minor == 1 ? n_hosts == 1 : n_hosts <= 1);
    CHECK(n_lengths + n_codings <= 1);
    CHECK(head->has_content_length == (n_lengths == 1) && head->is_chunked == (n_codings == 1));
    CHECK(head->has_body == (head->is_chunked || head->content_length > 0));
    CHECK(!head->is_chunked || head->minor == 1);
}

/* --- what http-parser makes of it --- */

struct reading {
    uint32_t n_fields, is_value, is_complete;
    uint64_t content_length;
};

static int see_field(http_parser *p, const char *at, size_t len)
{
    struct reading *r = p->data;
    (void)at;
    (void)len;
    r->n_fields += r->is_value == 0;
    r->is_value = 1;
    return 0;
}

static int see_value(http_parser *p, const char *at, size_t len)
{
    struct reading *r = p->data;
    (void)at;
    (void)len;
    r->is_value = 0;
    return 0;
}

static int see_headers_complete(http_parser *p)
{
    struct reading *r = p->data;
    r->is_complete = 1;
    r->content_length = p->content_length;
    return 0;
}

static void check_agreement(const char *data, size_t head_len, const struct gate_head *head)
{
    struct reading r = {0};
    http_parser p = {.data = &r};
    http_parser_settings settings;

    http_parser_settings_init(&settings);
    settings.on_header_field = see_field;
    settings.on_header_value = see_value;
    settings.on_headers_complete = see_headers_complete;
    http_parser_init(&p, HTTP_REQUEST);

    CHECK(http_parser_execute(&p, &settings, data, head_len) == head_len);
    CHECK(HTTP_PARSER_ERRNO(&p) == HPE_OK && r.is_complete == 1);
    CHECK(strcmp(http_method_str(p.method), gate_method_name(head->method)) == 0);
    CHECK(p.http_major == 1 && p.http_minor == head->minor);
    CHECK(r.n_fields == head->n_fields);
    CHECK(((p.flags & F_CHUNKED) != 0) == head->is_chunked);
    CHECK(head->has_content_length ? r.content_length == head->content_length
                                   : r.content_length == UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = {"cortex.example", "box:8080"};
    static const struct gate_hosts hosts = {.names = names, .n_names = 2};
    const char *data = (const char *)bytes;
    struct gate_head head;
    struct gate_refusal why;

    struct verdict whole = find_in_pieces(data, size, size, 1);
    size_t cut = size > 0 ? hash_mix(size, bytes[size / 2]) % size : 0;
    check_same(find_in_pieces(data, size, cut, size), whole);
    if (size <= 2048)
        check_same(find_in_pieces(data, size, 0, 1), whole);
    if (whole.result != GATE_OK) {
        CHECK(whole.result != GATE_MORE || size <= GATE_HEAD_MAX);
        (void)gate_check(data, size, &hosts, &head, &why); /* must stand anything */
        return 0;
    }
    CHECK(whole.head_len <= size);
    if (gate_check(data, whole.head_len, &hosts, &head, &why) == GATE_REFUSED) {
        CHECK(why.status >= 400 && why.status <= 505 && why.text != NULL);
        return 0;
    }
    check_promises(data, whole.head_len, &head);
    check_agreement(data, whole.head_len, &head);
    return 0;
}

/* The input of a custom tool: the one string among the arguments of the function that the model
 * sees. It is decoded as it comes, so that a long one is streamed. */
#include "router/api/responses.h"

#include "base/utf8.h"

#include <string.h>

/* Behind {"input":" in the arguments; 0: there is not enough of them, or they are others. */
static size_t find_input(const char *s, size_t len, bool *is_other)
{
    static const char *const words[] = {"{", "\"input\"", ":", "\""};
    size_t at = 0;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i]);
        while (at < len && strchr(" \t\r\n", s[at]) != NULL && s[at] != '\0')
            at++;
        size_t have = len - at < n ? len - at : n;
        *is_other = memcmp(s + at, words[i], have) != 0;
        if (*is_other || have < n)
            return 0;
        at += n;
    }
    return at;
}

static void add_code_point(struct buf *out, uint32_t c)
{
    char text[4];

    buf_add(out, text, utf8_encode(c, text));
}

/* Four digits as a number, or -1. */
static int32_t read_hex(const char *s)
{
    int32_t value = 0;

    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = s[i] != '\0' ? strchr(digits, s[i]) : NULL;
        if (digit == NULL)
            return -1;
        value = value << 4 | (int32_t)((digit - digits) & 15);
    }
    return value;
}

/* One \u at s, with the second half of a pair. Bytes used; 0: there is more to come. */
static size_t read_unicode(const char *s, size_t len, struct buf *out)
{
    int32_t high = len >= 6 ? read_hex(s + 2) : 0, low = -1;

    if (len < 6)
        return 0;
    if (high < 0xd800 || high > 0xdbff) {
        add_code_point(out,
                       high < 0 || (high >= 0xdc00 && high <= 0xdfff) ? 0xfffd : (uint32_t)high);
        return 6;
    }
    if (len < 12 && (len < 7 || s[6] == '\\') && (len < 8 || s[7] == 'u'))
        return 0;
    if (len >= 12 && s[6] == '\\' && s[7] == 'u')
        low = read_hex(s + 8);
    if (low < 0xdc00 || low > 0xdfff) {
        add_code_point(out, 0xfffd);
        return 6;
    }
    add_code_point(out, 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
    return 12;
}

/* One escape at s. Bytes used; 0: there is more to come. */
static size_t read_escape(const char *s, size_t len, struct buf *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *name;

    if (len < 2)
        return 0;
    if (s[1] == 'u')
        return read_unicode(s, len, out);
    name = s[1] != '\0' ? strchr(names, s[1]) : NULL;
    buf_add_char(out, name != NULL ? values[name - names] : s[1]);
    return 2;
}

void custom_input_read(struct custom_input *c, const char *s, size_t len)
{
    if (c->where == CUSTOM_BEFORE) {
        bool is_other;
        c->at = find_input(s, len, &is_other);
        if (c->at > 0)
            c->where = CUSTOM_INSIDE;
        else if (is_other)
            c->where = CUSTOM_OTHER;
    }
    while (c->where == CUSTOM_INSIDE && c->at < len) {
        const char *from = s + c->at, *to = from;
        while (to < s + len && *to != '"' && *to != '\\')
            to++;
        buf_add(&c->text, from, (size_t)(to - from));
        c->at += (size_t)(to - from);
        if (c->at == len)
            break;
        if (*to == '"') {
            c->where = CUSTOM_BEHIND;
            break;
        }
        size_t used = read_escape(to, len - c->at, &c->text);
        if (used == 0)
            break;
        c->at += used;
    }
}

void custom_input_end(struct custom_input *c, const char *s, size_t len)
{
    struct json_object *arguments = NULL;
    const char *text = s;

    custom_input_read(c, s, len);
    if (c->where == CUSTOM_INSIDE || c->where == CUSTOM_BEHIND)
        return;
    if (json_parse(s, len, &arguments, NULL) == 0 && json_type_of(arguments) == JSON_OBJECT) {
        const struct json_object *input = json_get(arguments, "input");
        if (input != NULL && json_type_of(input) == JSON_STRING)
            text = json_string(input, &len);
    }
    buf_add(&c->text, text, len);
    json_free(&arguments);
}

#include "worker/text/calls_parts.h"

#include "base/utf8.h"

#include <string.h>

enum member { MEMBER_NAME, MEMBER_ARGUMENTS, MEMBER_OTHER };

static void keep(struct calls *c, const char *s, size_t n)
{
    if (!c->is_certain)
        buf_add(&c->hold, s, n);
}

/* White space, or the character that leads on. */
static void expect(struct calls *c, const char *s, size_t n, char one, enum calls_state state)
{
    if (*s != one && !json_is_space(*s)) {
        calls_give_up(c, s, n);
        return;
    }
    keep(c, s, n);
    if (*s == one) {
        c->state = state;
        c->chars = (struct json_chars){0};
        buf_clear(&c->name);
    }
}

/* --- members --- */

void calls_first_key(struct calls *c, const char *s, size_t n)
{
    expect(c, s, n, '"', CALLS_KEY);
}

void calls_next_key(struct calls *c, const char *s, size_t n)
{
    expect(c, s, n, '"', CALLS_KEY);
}

static bool is_named(const struct calls *c, const char *name)
{
    return c->name.len == strlen(name) && memcmp(c->name.data, name, c->name.len) == 0;
}

/* A member that comes twice, or late, is another one. */
static enum member find_member(const struct calls *c)
{
    if (is_named(c, "name") && c->tool == NULL)
        return MEMBER_NAME;
    if ((is_named(c, "arguments") || is_named(c, "parameters")) && !c->has_arguments)
        return MEMBER_ARGUMENTS;
    return MEMBER_OTHER;
}

/* An object that nothing announced must look like a call from its first member on. */
static bool is_strange(const struct calls *c)
{
    return !c->is_tagged && !c->is_certain && c->member == MEMBER_OTHER && !is_named(c, "id") &&
           !is_named(c, "type");
}

void calls_key(struct calls *c, const char *s, size_t n)
{
    bool is_end = json_chars_push(&c->chars, s, n, &c->name);

    if (is_end)
        c->member = (uint8_t)find_member(c);
    if (c->name.len > CALLS_NAME_MAX || (is_end && is_strange(c))) {
        calls_give_up(c, s, n);
        return;
    }
    keep(c, s, n);
    if (is_end)
        c->state = CALLS_COLON;
}

void calls_colon(struct calls *c, const char *s, size_t n)
{
    if (*s != ':' && !json_is_space(*s)) {
        calls_give_up(c, s, n);
        return;
    }
    keep(c, s, n);
    if (*s == ':')
        c->state = CALLS_MEMBER;
}

static void begin(struct calls *c, enum calls_state state)
{
    c->scan = (struct json_scan){0};
    c->chars = (struct json_chars){0};
    c->state = state;
}

void calls_member(struct calls *c, const char *s, size_t n)
{
    if (json_is_space(*s)) {
        keep(c, s, n);
    } else if (c->member == MEMBER_NAME && *s == '"') {
        keep(c, s, n);
        buf_clear(&c->name);
        begin(c, CALLS_NAME);
    } else if (c->member == MEMBER_ARGUMENTS && *s == '"') {
        keep(c, s, n);
        begin(c, CALLS_ARGUMENTS_STRING);
    } else if (c->member == MEMBER_ARGUMENTS && *s == '{') {
        begin(c, CALLS_ARGUMENTS);
        calls_arguments(c, s, n);
    } else if (c->member == MEMBER_OTHER || (c->member == MEMBER_ARGUMENTS && *s == 'n')) {
        begin(c, CALLS_SKIP); /* null: it has none */
        calls_skip(c, s, n);
    } else {
        calls_give_up(c, s, n);
    }
}

void calls_name(struct calls *c, const char *s, size_t n)
{
    bool is_end = json_chars_push(&c->chars, s, n, &c->name);

    if (is_end)
        c->tool = call_tools_find(c->tools, c->name.data, c->name.len);
    if (is_end ? c->tool == NULL : !call_tools_may_be(c->tools, c->name.data, c->name.len)) {
        calls_give_up(c, s, n);
        return;
    }
    keep(c, s, n);
    if (!is_end)
        return;
    c->state = CALLS_NEXT;
    if (c->has_arguments) {
        calls_commit(c);
        calls_say(c, c->arguments.data, c->arguments.len);
        buf_clear(&c->arguments);
    }
}

/* --- arguments --- */

/* They have begun: with the name known the call is certain, and they go out. */
static void say_arguments(struct calls *c)
{
    if (c->tool == NULL)
        return;
    if (!c->is_certain)
        calls_commit(c);
    calls_say(c, c->arguments.data, c->arguments.len);
    buf_clear(&c->arguments);
}

void calls_arguments(struct calls *c, const char *s, size_t n)
{
    enum json_scan_result rc = json_scan_push(&c->scan, s, n, &c->arguments);

    if (rc == JSON_SCAN_BROKEN) {
        if (!c->is_certain) {
            calls_give_up(c, s, n);
            return;
        }
        c->has_arguments = true;
        c->state = CALLS_RAW;
        calls_take(c, s, n);
        return;
    }
    keep(c, s, n);
    say_arguments(c);
    if (rc == JSON_SCAN_DONE) {
        c->has_arguments = true;
        c->state = CALLS_NEXT;
    }
}

/* A decoded character of arguments in a string. False: this is no object. */
static bool add_decoded(struct calls *c, const char *s, size_t n)
{
    if (c->scan.kind == JSON_KIND_NONE && !json_is_space(*s) && *s != '{')
        return false;
    if (c->has_arguments || json_scan_push(&c->scan, s, n, &c->arguments) == JSON_SCAN_BROKEN) {
        if (!c->is_certain)
            return false;
        c->has_arguments = true; /* broken: the rest is as the model says it */
        buf_add(&c->arguments, s, n);
    }
    return true;
}

static bool add_all_decoded(struct calls *c, const struct buf *text)
{
    for (size_t i = 0, n; i < text->len; i += n) {
        n = utf8_sequence(text->data + i, text->len - i);
        if (!add_decoded(c, text->data + i, n))
            return false;
    }
    return true;
}

void calls_arguments_string(struct calls *c, const char *s, size_t n)
{
    bool is_end = json_chars_push(&c->chars, s, n, &c->value);
    bool is_good = add_all_decoded(c, &c->value);
    bool is_begun = c->scan.kind != JSON_KIND_NONE;

    buf_clear(&c->value);
    if (is_end && is_begun && !c->is_certain && c->tool == NULL)
        is_good &= json_scan_is_whole(&c->scan);
    if (!is_good) {
        calls_give_up(c, s, n);
        return;
    }
    keep(c, s, n);
    if (is_begun)
        say_arguments(c);
    if (is_end) {
        c->has_arguments = is_begun;
        c->state = CALLS_NEXT;
    }
}

/* --- the rest --- */

void calls_skip(struct calls *c, const char *s, size_t n)
{
    bool is_whole = json_scan_is_whole(&c->scan);

    if (is_whole && (*s == ',' || *s == '}')) {
        c->state = CALLS_NEXT;
        calls_next(c, s, n);
        return;
    }
    enum json_scan_result rc = json_scan_push(&c->scan, s, n, &c->value);
    buf_clear(&c->value);
    if (rc == JSON_SCAN_BROKEN ||
        (c->member == MEMBER_ARGUMENTS && c->scan.kind != JSON_KIND_NULL)) {
        calls_give_up(c, s, n);
        return;
    }
    keep(c, s, n);
    if (rc == JSON_SCAN_DONE)
        c->state = CALLS_NEXT;
}

/* The object is complete. */
static void end_object(struct calls *c)
{
    if (!c->is_certain && (c->tool == NULL || !c->is_tagged)) {
        calls_give_up(c, "}", 1);
        return;
    }
    if (!c->is_certain) { /* a call without arguments */
        calls_commit(c);
        calls_say(c, "{}", 2);
    }
    calls_finish(c, false);
}

void calls_next(struct calls *c, const char *s, size_t n)
{
    if (*s == '}')
        end_object(c);
    else
        expect(c, s, n, ',', CALLS_NEXT_KEY);
}

#include "worker/text/calls_parts.h"

#include "base/check.h"

#include <string.h>

/* --- <function=name> --- */

void calls_function(struct calls *c, const char *s, size_t n)
{
    if (*s == '>') {
        c->tool = call_tools_find(c->tools, c->name.data, c->name.len);
        if (c->tool != NULL) {
            buf_add_char(&c->hold, '>');
            c->state = CALLS_BODY;
            return;
        }
    } else {
        buf_add(&c->name, s, n);
        if (call_tools_may_be(c->tools, c->name.data, c->name.len)) {
            buf_add(&c->hold, s, n);
            return;
        }
    }
    calls_give_up(c, s, n);
}

/* --- between its parameters --- */

void calls_body(struct calls *c, const char *s, size_t n)
{
    if (*s == '<')
        calls_begin_tag(c,
                        TAG_BIT(TAG_PARAMETER) | TAG_BIT(TAG_FUNCTION_END) | TAG_BIT(TAG_CALL_END));
    else if (!json_is_space(*s))
        calls_give_up(c, s, n);
    else if (!c->is_certain)
        buf_add(&c->hold, s, n);
}

static void end_function(struct calls *c, bool is_closed)
{
    if (!c->is_certain)
        calls_commit(c);
    if (!c->has_parameter)
        calls_say(c, "{", 1);
    calls_say(c, "}", 1);
    calls_finish(c, is_closed);
}

void calls_body_tag(struct calls *c, enum tag tag)
{
    if (tag == TAG_PARAMETER) {
        buf_clear(&c->name);
        c->state = CALLS_PARAMETER;
    } else {
        end_function(c, tag == TAG_CALL_END);
    }
}

/* --- <parameter=name> --- */

static bool may_be_json(const struct calls *c)
{
    return c->types != CALL_STRING;
}

static void begin_value(struct calls *c)
{
    struct buf text = {0};

    if (!c->is_certain)
        calls_commit(c);
    buf_clear(&c->hold);
    buf_add_str(&text, c->has_parameter ? ", \"" : "{\"");
    json_escape(&text, c->name.data, c->name.len);
    buf_add_str(&text, "\": ");
    c->has_parameter = true;
    c->types = call_tools_types(c->tools, c->tool, c->name.data, c->name.len);
    c->mode = may_be_json(c) ? VALUE_OPEN : VALUE_STRING;
    c->scan = (struct json_scan){.takes_python = c->types != CALL_ANY};
    c->is_value_fresh = true;
    c->value_escaped = 0;
    if (c->mode == VALUE_STRING)
        buf_add_char(&text, '"');
    calls_say(c, text.data, text.len);
    buf_free(&text);
    c->state = CALLS_VALUE;
}

void calls_parameter(struct calls *c, const char *s, size_t n)
{
    if (*s == '>' && c->name.len > 0) {
        begin_value(c);
    } else if (*s == '>' || *s == '<' || *s == '\n' || c->name.len + n > CALLS_NAME_MAX) {
        calls_give_up(c, s, n);
    } else {
        buf_add(&c->name, s, n);
        buf_add(&c->hold, s, n);
    }
}

/* --- its value --- */

static void say_escaped(struct calls *c, const char *text, size_t len)
{
    json_escape(&c->arguments, text, len);
    calls_say(c, c->arguments.data, c->arguments.len);
    buf_clear(&c->arguments);
}

static void become_string(struct calls *c)
{
    buf_clear(&c->arguments);
    calls_say(c, "\"", 1);
    say_escaped(c, c->value.data, c->value.len);
    buf_clear(&c->value);
    c->mode = VALUE_STRING;
}

/* Whether a value of the kind that has begun may be JSON. */
static bool is_kind_wanted(const struct calls *c)
{
    static const unsigned types[] = {
        [JSON_KIND_NONE] = ~0u,
        [JSON_KIND_OBJECT] = CALL_OBJECT,
        [JSON_KIND_ARRAY] = CALL_ARRAY,
        [JSON_KIND_STRING] = 0,
        [JSON_KIND_NUMBER] = CALL_NUMBER | CALL_INTEGER,
        [JSON_KIND_BOOL] = CALL_BOOLEAN,
        [JSON_KIND_NULL] = CALL_NULL,
    };

    if (c->scan.kind == JSON_KIND_NUMBER && c->scan.has_fraction && c->types != CALL_ANY)
        return (c->types & CALL_NUMBER) != 0;
    return c->types == CALL_ANY ? types[c->scan.kind] != 0 : (c->types & types[c->scan.kind]) != 0;
}

static void add_open(struct calls *c, const char *s, size_t n)
{
    bool is_broken = json_scan_push(&c->scan, s, n, &c->arguments) == JSON_SCAN_BROKEN;

    buf_add(&c->value, s, n);
    c->value_escaped += (unsigned char)*s < 0x20 ? 6 : n + (*s == '"' || *s == '\\');
    if (is_broken || !is_kind_wanted(c)) {
        become_string(c);
    } else if (c->value_escaped > CALLS_HOLD_MAX || c->arguments.len > CALLS_HOLD_MAX) {
        bool is_nested = c->scan.kind == JSON_KIND_OBJECT || c->scan.kind == JSON_KIND_ARRAY;
        if (!is_nested) {
            become_string(c);
            return;
        }
        c->mode = VALUE_JSON;
        calls_say(c, c->arguments.data, c->arguments.len);
        buf_clear(&c->arguments);
        buf_clear(&c->value);
    }
}

static void add_json(struct calls *c, const char *s, size_t n)
{
    if (json_scan_push(&c->scan, s, n, &c->arguments) == JSON_SCAN_BROKEN) {
        c->mode = VALUE_BROKEN;
        calls_say(c, s, n);
        return;
    }
    calls_say(c, c->arguments.data, c->arguments.len);
    buf_clear(&c->arguments);
}

static void add_character(struct calls *c, const char *s, size_t n)
{
    bool is_first = c->is_value_fresh;

    c->is_value_fresh = false;
    if (is_first && *s == '\n' && c->state == CALLS_VALUE)
        return;
    if (c->state == CALLS_RAW || c->mode == VALUE_BROKEN)
        calls_say(c, s, n);
    else if (c->mode == VALUE_STRING)
        say_escaped(c, s, n);
    else if (c->mode == VALUE_OPEN)
        add_open(c, s, n);
    else
        add_json(c, s, n);
}

/* What is held is ASCII, or one character. */
void calls_value_add(struct calls *c, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        add_character(c, text + i, 1);
}

/* The line end before the closing tag is not of the value. */
void calls_value(struct calls *c, const char *s, size_t n)
{
    bool is_first = c->is_value_fresh && c->state == CALLS_VALUE;
    bool has_end = c->state == CALLS_VALUE || c->is_tagged;

    if (*s == '<' && has_end) {
        calls_begin_tag(c, TAG_BIT(c->state == CALLS_VALUE ? TAG_PARAMETER_END : TAG_CALL_END));
        return;
    }
    calls_value_add(c, c->hold.data, c->hold.len);
    buf_clear(&c->hold);
    if (*s == '\n' && !is_first && has_end)
        buf_add_char(&c->hold, '\n');
    else
        add_character(c, s, n);
}

void calls_value_end(struct calls *c)
{
    buf_clear(&c->hold);
    if (c->mode == VALUE_OPEN) {
        if (json_scan_is_whole(&c->scan) && is_kind_wanted(c))
            calls_say(c, c->arguments.data, c->arguments.len);
        else
            become_string(c);
    }
    if (c->mode == VALUE_STRING)
        calls_say(c, "\"", 1);
    buf_clear(&c->arguments);
    buf_clear(&c->value);
    c->state = CALLS_BODY;
}

void calls_xml_end(struct calls *c, bool is_cut)
{
    bool is_call = c->is_certain || (c->state == CALLS_BODY && c->tags == 0);

    if (!is_cut && c->state == CALLS_VALUE) {
        if (c->tags != 0) /* no closing tag after all */
            calls_value_add(c, c->hold.data, c->hold.len);
        calls_value_end(c);
    }
    if (!is_cut && is_call)
        end_function(c, false);
    else if (c->is_certain)
        calls_finish(c, false);
}

#include "router/api/messages.h"

#include <string.h>

#define MESSAGES_AT_ONCE 1000

static bool equals(const struct json_object *v, const char *text)
{
    size_t len;

    if (v == NULL || json_type_of(v) != JSON_STRING)
        return false;
    const char *s = json_string(v, &len);
    return len == strlen(text) && memcmp(s, text, len) == 0;
}

static bool is_role(const struct json_object *v)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool",
                                        "function"};

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (equals(v, roles[i]))
            return true;
    return false;
}

static int check_parts(size_t at, const struct json_object *content, struct param_error *e)
{
    for (size_t i = 0; i < json_length(content); i++) {
        const struct json_object *part = json_at(content, i);
        const struct json_object *type =
            json_type_of(part) == JSON_OBJECT ? json_get(part, "type") : NULL;

        if (type == NULL || json_type_of(type) != JSON_STRING)
            return param_refuse(e, ERROR_INVALID_BODY, "messages",
                                "messages[%zu].content[%zu]: expected an object with a type", at,
                                i);
        if (!equals(type, "text"))
            return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, "messages",
                                "messages[%zu].content[%zu]: only text is supported by this "
                                "version", at, i);
        const struct json_object *text = json_get(part, "text");
        if (text == NULL || json_type_of(text) != JSON_STRING)
            return param_refuse(e, ERROR_INVALID_BODY, "messages",
                                "messages[%zu].content[%zu].text: expected a string", at, i);
    }
    return 0;
}

static int check_message(size_t at, const struct json_object *m, struct param_error *e)
{
    if (json_type_of(m) != JSON_OBJECT)
        return param_refuse(e, ERROR_INVALID_BODY, "messages",
                            "messages[%zu]: found %s, expected an object", at,
                            json_type_name(json_type_of(m)));
    if (!is_role(json_get(m, "role")))
        return param_refuse(e, ERROR_INVALID_BODY, "messages",
                            "messages[%zu].role: expected system, developer, user, assistant or "
                            "tool", at);
    const struct json_object *content = json_get(m, "content");
    if (content == NULL) {
        if (equals(json_get(m, "role"), "assistant")) /* only tool calls */
            return 0;
        return param_refuse(e, ERROR_INVALID_BODY, "messages", "messages[%zu].content: missing",
                            at);
    }
    if (json_type_of(content) == JSON_STRING)
        return 0;
    if (json_type_of(content) == JSON_ARRAY)
        return check_parts(at, content, e);
    return param_refuse(e, ERROR_INVALID_BODY, "messages",
                        "messages[%zu].content: found %s, expected a string or an array", at,
                        json_type_name(json_type_of(content)));
}

int messages_check(const struct json_object *body, size_t *cursor, struct param_error *e)
{
    const struct json_object *messages = json_get(body, "messages");

    if (messages == NULL)
        return param_refuse(e, ERROR_INVALID_BODY, "messages", "messages: missing");
    size_t n = json_length(messages);
    size_t end = *cursor + MESSAGES_AT_ONCE < n ? *cursor + MESSAGES_AT_ONCE : n;
    for (; *cursor < end; ++*cursor) {
        int rc = check_message(*cursor, json_at(messages, *cursor), e);
        if (rc != 0)
            return rc;
    }
    return end == n;
}

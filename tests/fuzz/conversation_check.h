/* What the messages of a canonical request are (shm/protocol.h), whatever dialect they came in. */
#ifndef TESTS_FUZZ_CONVERSATION_CHECK_H
#define TESTS_FUZZ_CONVERSATION_CHECK_H

#include "base/check.h"
#include "base/json.h"

/* May be missing where there is something else. */
static inline void check_content(const struct json_object *message)
{
    const struct json_object *content = json_get(message, "content");

    if (content == NULL) {
        CHECK(json_length(json_get(message, "tool_calls")) > 0 ||
              json_get(message, "reasoning_content") != NULL);
        return;
    }
    CHECK(json_is(content, JSON_STRING) || json_is(content, JSON_ARRAY));
    for (size_t i = 0; i < json_length(content); i++) {
        CHECK(json_is_string(json_get(json_at(content, i), "type"), "text"));
        CHECK(json_is(json_get(json_at(content, i), "text"), JSON_STRING));
    }
}

static inline void check_calls(const struct json_object *message)
{
    const struct json_object *calls = json_get(message, "tool_calls");

    for (size_t i = 0; i < json_length(calls); i++) {
        const struct json_object *call = json_at(calls, i), *f = json_get(call, "function");
        CHECK(json_is(json_get(call, "id"), JSON_STRING));
        CHECK(json_is(json_get(f, "name"), JSON_STRING));
        CHECK(json_is(json_get(f, "arguments"), JSON_OBJECT));
    }
}

static inline void check_message(const struct json_object *m)
{
    const struct json_object *role = json_get(m, "role");
    bool is_tool = json_is_string(role, "tool"), is_assistant = json_is_string(role, "assistant");

    CHECK(is_tool || is_assistant || json_is_string(role, "user") ||
          json_is_string(role, "system"));
    check_content(m);
    CHECK(!is_tool || (json_is(json_get(m, "tool_call_id"), JSON_STRING) &&
                       json_is(json_get(m, "name"), JSON_STRING)));
    CHECK(is_assistant ||
          (json_get(m, "tool_calls") == NULL && json_get(m, "reasoning_content") == NULL));
    check_calls(m);
}

static inline void check_conversation(const struct json_object *members)
{
    const struct json_object *messages = json_get(members, "messages");

    CHECK(json_length(messages) > 0);
    for (size_t i = 0; i < json_length(messages); i++)
        check_message(json_at(messages, i));
}

#endif

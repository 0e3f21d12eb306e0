/* A chat body of any content: it is refused with a sentence that names the place, or what comes out
 * is what shm/protocol.h calls messages, tools and a choice among them. */
#include "router/api/conversation.h"
#include "router/api/generate.h"
#include "tests/fuzz/conversation_check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_choice(const struct json_object *members)
{
    const struct json_object *choice = json_get(members, "tool_choice");
    const struct json_object *tools = json_get(members, "tools");

    if (choice == NULL || json_is_string(choice, "none"))
        return;
    CHECK(json_length(tools) > 0);
    CHECK(json_is_string(choice, "required") || json_is(json_get(choice, "name"), JSON_STRING));
}

static void convert(struct json_object *body)
{
    struct generation g = {.body = body, .members = json_new_object()};
    struct param_error e = {0};
    int rc = 0;

    while (rc == 0)
        rc = conversation_from_chat(&g, &e);
    CHECK((rc > 0) == (e.text[0] == '\0'));
    if (rc > 0) {
        check_conversation(g.members);
        check_choice(g.members);
    }
    conversation_forget(&g);
    json_free(&g.members);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct json_object *body;
    struct param_error e = {0};
    struct params p;
    struct buf out = {0};

    if (json_parse((const char *)bytes, size, &body, NULL) != 0)
        return 0;
    if (params_read(&p, body, DIALECT_CHAT, &e) == 0) {
        params_write(&p, body, DIALECT_CHAT, &out);
        convert(body);
    }
    buf_free(&out);
    json_free(&body);
    return 0;
}

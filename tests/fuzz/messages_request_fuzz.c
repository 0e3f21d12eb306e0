/* Anthropic's request as a conversation, from any body: it is refused with a sentence that names
 * the place, or what comes out is what shm/protocol.h calls messages; in steps of any size the
 * same.
 *
 * First byte: bit 0 = a count, the rest the size of a step; then the body. */
#include "router/api/messages_request.h"

#include "base/check.h"
#include "tests/fuzz/conversation_check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static int convert(const struct json_object *body, enum dialect dialect, size_t budget,
                   struct json_object *members, struct param_error *e)
{
    struct messages_request r;
    int rc = 0;

    messages_request_init(&r, body, members, dialect);
    while (rc == 0)
        rc = messages_request_step(&r, budget, e);
    messages_request_free(&r);
    return rc;
}

static void check_body(const struct json_object *body, enum dialect dialect, size_t budget)
{
    struct json_object *all = json_new_object(), *stepped = json_new_object();
    struct param_error e_all = {0}, e_stepped = {0};
    struct buf text = {0}, again = {0};
    int rc = convert(body, dialect, SIZE_MAX, all, &e_all);

    CHECK(convert(body, dialect, budget, stepped, &e_stepped) == rc);
    CHECK(strcmp(e_all.text, e_stepped.text) == 0 && (rc > 0) == (e_all.text[0] == '\0'));
    json_write(all, &text);
    json_write(stepped, &again);
    CHECK(text.len == again.len && memcmp(text.data, again.data, text.len) == 0);
    if (rc > 0)
        check_conversation(all);
    buf_free(&text);
    buf_free(&again);
    json_free(&all);
    json_free(&stepped);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct json_object *body;
    struct param_error e = {0};
    struct params p;
    struct buf out = {0};

    if (size == 0 || json_parse((const char *)bytes + 1, size - 1, &body, NULL) != 0)
        return 0;
    enum dialect dialect = (bytes[0] & 1) != 0 ? DIALECT_COUNT : DIALECT_MESSAGES;
    if (params_read(&p, body, dialect, &e) == 0) {
        params_write(&p, body, dialect, &out);
        check_body(body, dialect, 1 + (bytes[0] >> 1));
    }
    buf_free(&out);
    json_free(&body);
    return 0;
}

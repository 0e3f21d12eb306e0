/* A Responses body of any content: it is refused with a sentence, or becomes a conversation whose
 * messages have roles and whose items, as they are kept, are found where the index says.
 *
 * First byte: how many of the remaining bytes, in hundreds, are arguments of a custom tool's call;
 * the rest is the body. */
#include "router/api/responses.h"

#include "base/check.h"
#include "router/router.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct router router;
static struct exchange exchange = {.key = KEY_NONE};
static const struct form form = {.id_prefix = "resp_"};

/* One response that may be continued, with items that may be referred to. */
static void keep_one(void)
{
    struct response_texts texts = {0};
    size_t at = 1;

    responses_store_init(&router.responses);
    responses_store_limit(&router.responses, 1 << 20, 10);
    buf_add_str(&texts.input, "[{\"id\":\"msg_0_i0\",\"role\":\"user\",\"content\":\"u\"}]");
    buf_add(&texts.item_at, &at, sizeof at);
    buf_add_str(&texts.output, "[{\"id\":\"fc_0_0\",\"type\":\"function_call\",\"call_id\":\"c\","
                               "\"name\":\"f\",\"arguments\":\"{}\"}]");
    responses_store_add(&router.responses, "resp_0", (uint64_t)KEY_NONE, NULL, &texts);
}

static void check_messages(const struct generation *g)
{
    const struct json_object *messages = json_get(g->members, "messages");

    CHECK(messages != NULL && json_type_of(messages) == JSON_ARRAY);
    for (size_t i = 0; i < json_length(messages); i++) {
        const struct json_object *m = json_at(messages, i);
        const struct json_object *content = json_get(m, "content");
        CHECK(json_get(m, "role") != NULL);
        CHECK(content != NULL || json_length(json_get(m, "tool_calls")) > 0);
    }
}

static void check_kept(struct responses_call *r)
{
    struct json_object *items = NULL;
    const size_t *at = (const size_t *)(const void *)r->item_at.data;

    CHECK(json_parse_large(r->input.data, r->input.len, 1000000, &items, NULL) == 0);
    CHECK(json_length(items) == r->item_at.len / sizeof *at);
    for (size_t i = 0; i < json_length(items); i++) {
        CHECK(at[i] < r->input.len && memcmp(r->input.data + at[i], "{\"id\":\"", 7) == 0);
        CHECK(json_type_of(json_get(json_at(items, i), "id")) == JSON_STRING);
    }
    json_free(&items);
}

static void prepare_body(const char *text, size_t len)
{
    struct json_object *body = NULL;
    struct params p;
    struct param_error e = {0};
    int rc;

    if (json_parse(text, len, &body, NULL) != 0)
        return;
    if (params_read(&p, body, DIALECT_RESPONSES, &e) != 0) {
        CHECK(e.text[0] != '\0');
        json_free(&body);
        return;
    }
    struct generation *g = calloc(1, sizeof *g + sizeof g->choice[0]);
    CHECK(g != NULL);
    g->router = &router;
    g->x = &exchange;
    g->form = &form;
    g->params = p;
    strcpy(g->id, "resp_1");
    g->body = body;
    g->members = json_new_object();
    while ((rc = responses_prepare(g, &e)) == 0)
        ;
    if (rc == 1) {
        check_messages(g);
        if (responses_of(g)->is_kept)
            check_kept(g->own);
    } else {
        CHECK(e.text[0] != '\0');
    }
    responses_forget(g);
    json_free(&g->members);
    json_free(&g->body);
    free(g);
}

/* Read at once or byte by byte, the input is the same. */
static void read_custom(const char *text, size_t len)
{
    struct custom_input once = {0}, slow = {0};

    for (size_t n = 0; n < len; n++)
        custom_input_read(&slow, text, n);
    custom_input_end(&slow, text, len);
    custom_input_end(&once, text, len);
    CHECK(once.text.len == slow.text.len &&
          memcmp(buf_text(&once.text), buf_text(&slow.text), once.text.len) == 0);
    buf_free(&once.text);
    buf_free(&slow.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (router.responses.n == 0)
        keep_one();
    if (size == 0)
        return 0;
    size_t n_arguments = (size_t)bytes[0] * 100 < size - 1 ? (size_t)bytes[0] * 100 : size - 1;
    const char *text = (const char *)bytes + 1;
    read_custom(text, n_arguments);
    prepare_body(text + n_arguments, size - 1 - n_arguments);
    CHECK(LIST_EMPTY(&router.responses.running));
    return 0;
}

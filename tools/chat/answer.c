#include "tools/chat/answer.h"

#include "base/json.h"

#include <errno.h>
#include <string.h>

#define REFUSAL_MAX 65536
#define DONE        "[DONE]"

void answer_open(struct answer *a, struct screen *screen)
{
    *a = (struct answer){.screen = screen};
}

void answer_close(struct answer *a)
{
    sse_free(&a->sse);
    buf_free(&a->content);
    buf_free(&a->refusal);
}

static const char *string_of(const struct json_object *o, const char *key, size_t *len)
{
    const struct json_object *value = json_get(o, key);

    *len = 0;
    return value != NULL && json_type_of(value) == JSON_STRING ? json_string(value, len) : NULL;
}

/* {"error":{"message":…}}: its sentence; 0 when it is none. */
static int read_error(const struct json_object *root, struct err *e)
{
    const struct json_object *error = json_get(root, "error");
    size_t len;

    if (error == NULL || json_type_of(error) != JSON_OBJECT)
        return 0;
    const char *text = string_of(error, "message", &len);
    return err_set(e, EREMOTEIO, "%s", text != NULL ? text : "an error without a message");
}

static void show_delta(struct answer *a, const struct json_object *delta)
{
    size_t len;
    const char *text = string_of(delta, "reasoning_content", &len);

    if (text != NULL)
        screen_reasoning(a->screen, text, len);
    text = string_of(delta, "content", &len);
    if (text == NULL)
        return;
    screen_content(a->screen, text, len);
    buf_add(&a->content, text, len);
}

static void take_chunk(struct answer *a, const struct json_object *root)
{
    const struct json_object *choices = json_get(root, "choices");
    size_t len;

    if (choices == NULL || json_type_of(choices) != JSON_ARRAY || json_length(choices) == 0)
        return; /* usage, or something newer than we are */
    const struct json_object *choice = json_at(choices, 0);
    if (choice == NULL || json_type_of(choice) != JSON_OBJECT)
        return;
    const struct json_object *delta = json_get(choice, "delta");
    if (delta != NULL && json_type_of(delta) == JSON_OBJECT)
        show_delta(a, delta);
    const char *reason = string_of(choice, "finish_reason", &len);
    a->is_cut |= reason != NULL && strcmp(reason, "length") == 0;
}

static int take_event(void *ctx, const char *data, size_t len, struct err *e)
{
    struct answer *a = ctx;
    struct json_object *root = NULL;

    if (len == strlen(DONE) && memcmp(data, DONE, len) == 0) {
        a->is_done = true;
        return 0;
    }
    int rc = json_parse(data, len, &root, e);
    if (rc != 0)
        return err_prefix(e, "an event of the answer");
    if (json_type_of(root) == JSON_OBJECT)
        rc = read_error(root, e);
    else
        rc = err_set(e, EPROTO, "an event of the answer: found %s, expected an object",
                     json_type_name(json_type_of(root)));
    if (rc == 0)
        take_chunk(a, root);
    if (rc == 0 && a->screen->is_broken)
        rc = err_set(e, EPIPE, "write: nobody reads the answer");
    json_free(&root);
    return rc;
}

int answer_take(void *answer, long status, const char *bytes, size_t len, struct err *e)
{
    struct answer *a = answer;

    a->status = status;
    if (status == 200)
        return sse_feed(&a->sse, bytes, len, take_event, a, e);
    if (buf_pending(&a->refusal) + len <= REFUSAL_MAX)
        buf_add(&a->refusal, bytes, len);
    return 0;
}

static bool may_pass(long status)
{
    return status == 408 || status == 429 || status >= 500;
}

int answer_end(struct answer *a, bool *is_passing, struct err *e)
{
    struct json_object *root = NULL;

    *is_passing = a->status == 200 || may_pass(a->status);
    if (a->status == 200)
        return a->is_done ? 0 : err_set(e, EPROTO, "the answer broke off");
    int rc = json_parse(buf_text(&a->refusal), buf_pending(&a->refusal), &root, NULL);
    if (rc == 0 && json_type_of(root) == JSON_OBJECT && read_error(root, e) != 0)
        rc = -EREMOTEIO;
    else
        rc =
            err_set(e, EREMOTEIO, "HTTP status %ld without a reason; is that a Cortex?", a->status);
    if (root != NULL)
        json_free(&root);
    return rc;
}

#include "worker/engine/system_turns.h"

#include "base/check.h"

#include <string.h>

#define PROBE \
    "[{\"role\":\"user\",\"content\":\"qzuser\"},{\"role\":\"system\",\"content\":\"qzsystem\"}," \
    "{\"role\":\"assistant\",\"content\":\"qzanswer\"},{\"role\":\"user\",\"content\":\"qzmore\"}" \
    "]"

#define ROLE    "user"
#define GAP_MAX 32 /* bytes between the role and the text, white space left aside */

bool system_turns_are_known(const struct chat_template *t)
{
    struct json_object *messages;
    struct buf text = {0};
    struct err ignored = {0};

    CHECK(json_parse(PROBE, strlen(PROBE), &messages, NULL) == 0);
    struct chat_input in = {.messages = messages};
    bool is_known = chat_template_render(t, &in, &text, &ignored) == 0 &&
                    strstr(buf_text(&text), "qzsystem") != NULL;
    json_free(&messages);
    buf_free(&text);
    return is_known;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The mark stands behind white space, which a template may strip. */
static void mark_text(struct json_object *o, const char *name, const char *mark)
{
    struct buf marked = {0};
    size_t len, skipped = 0;
    const char *text = json_string(json_get(o, name), &len);

    while (skipped < len && is_space(text[skipped]))
        skipped++;
    buf_add(&marked, text, skipped);
    buf_add(&marked, mark, SYSTEM_MARK_LEN);
    buf_add(&marked, text + skipped, len - skipped);
    json_put_string(o, name, marked.data, marked.len);
    buf_free(&marked);
}

static bool mark_message(struct json_object *message, const char *mark)
{
    struct json_object *content = json_get(message, "content");

    if (content == NULL)
        return false;
    if (json_type_of(content) == JSON_STRING)
        mark_text(message, "content", mark);
    else if (json_length(content) > 0)
        mark_text(json_at(content, 0), "text", mark);
    else
        return false;
    json_put_string(message, "role", ROLE, strlen(ROLE));
    return true;
}

size_t system_turns_mark(struct json_object *messages, const char *mark)
{
    size_t n = 0, length = json_length(messages);

    for (size_t i = 1; i < length; i++) {
        struct json_object *message = json_at(messages, i);
        if (json_is_string(json_get(message, "role"), "system"))
            n += mark_message(message, mark);
    }
    return n;
}

/* The role in front of a text, with what a template puts between: line ends, a special token. NULL
 * when something else stands there. */
static const char *find_role(const char *begin, const char *at)
{
    size_t gap = 0;

    while (at > begin && gap < GAP_MAX) {
        if ((size_t)(at - begin) >= strlen(ROLE) &&
            memcmp(at - strlen(ROLE), ROLE, strlen(ROLE)) == 0)
            return at - strlen(ROLE);
        gap += !is_space(*--at);
    }
    return NULL;
}

void system_turns_restore(struct buf *text, const char *mark)
{
    struct buf out = {0};
    const char *at = text->data + text->pos, *end = text->data + text->len, *found;

    while ((found = memmem(at, (size_t)(end - at), mark, SYSTEM_MARK_LEN)) != NULL) {
        const char *role = find_role(at, found);
        buf_add(&out, at, (size_t)((role != NULL ? role : found) - at));
        if (role != NULL) {
            buf_add_str(&out, "system");
            buf_add(&out, role + strlen(ROLE), (size_t)(found - role) - strlen(ROLE));
        }
        at = found + SYSTEM_MARK_LEN;
    }
    buf_add(&out, at, (size_t)(end - at));
    buf_free(text);
    *text = out;
}

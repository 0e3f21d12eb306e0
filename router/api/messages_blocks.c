/* What is in the turns of Anthropic's request: blocks, and blocks within them. */
#include "router/api/messages_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AT_SIZE      96
#define THOUGHTS_MAX (8u << 20) /* bytes of several blocks, which have to be joined */

static const char *const roles[] = {
    [PLACE_SYSTEM] = "system", [PLACE_USER] = "user", [PLACE_ASSISTANT] = "assistant"};

/* ---- texts ---- */

static void add_text(struct json_object *texts, struct json_object *text)
{
    struct json_object *part = json_new_object();

    json_put_string(part, "type", "text", strlen("text"));
    json_put(part, "text", text);
    json_append(texts, part);
}

/* One text is a string, which every template takes; several are parts. */
static void put_texts(struct json_object *message, struct json_object **texts)
{
    if (json_length(*texts) == 0)
        json_put_string(message, "content", "", 0);
    else if (json_length(*texts) == 1)
        json_put(message, "content", json_share(json_get(json_at(*texts, 0), "text")));
    else
        json_put(message, "content", json_share(*texts));
    json_free(texts);
}

/* Of what is open, the innermost. */
static struct json_object *find_texts(const struct messages_request *r)
{
    return r->result_texts != NULL ? r->result_texts : r->texts;
}

/* ---- lists of blocks ---- */

/* A string, or a list that the next steps walk. */
static int open_content(struct messages_request *r, enum place place,
                        const struct json_object *content, const char *name, const char *at,
                        struct param_error *e)
{
    if (json_is(content, JSON_STRING)) {
        add_text(find_texts(r), json_share(content));
        content = NULL; /* a level all the same: its end closes what it belongs to */
    } else if (!json_is(content, JSON_ARRAY)) {
        return messages_refuse(e, at, name, content, "a string or an array");
    }
    r->levels[r->n_levels++] = (struct block_level){.place = place, .list = content, .name = name};
    return 0;
}

/* Of the block that the innermost level is at: "messages.1.content.0.content.3". */
static void write_path(const struct messages_request *r, char at[AT_SIZE])
{
    size_t n = 0;

    if (r->turn > 0)
        n = (size_t)snprintf(at, AT_SIZE, "messages.%zu.", r->turn - 1);
    for (uint32_t i = 0; i < r->n_levels && n < AT_SIZE; i++)
        n += (size_t)snprintf(at + n, AT_SIZE - n, "%s%s.%zu", i > 0 ? "." : "", r->levels[i].name,
                              r->levels[i].next);
}

/* ---- the blocks ---- */

static int take_text(struct messages_request *r, const struct json_object *block, const char *at,
                     struct param_error *e)
{
    static const char header[] = "x-anthropic-billing-header";
    const struct json_object *text = json_get(block, "text");
    size_t len;

    if (!json_is(text, JSON_STRING))
        return messages_refuse(e, at, "text", text, "a string");
    const char *s = json_string(text, &len);
    bool is_first = r->turn == 0 && r->levels[0].next == 0;
    if (is_first && len >= sizeof header - 1 && memcmp(s, header, sizeof header - 1) == 0)
        return 0; /* changes with every call: metadata of the transport, not a prompt */
    add_text(find_texts(r), json_share(text));
    return 0;
}

/* A member that says where a text is from, as a line in front of it. */
static int add_line(struct messages_request *r, const struct json_object *block, const char *name,
                    const char *at, struct param_error *e)
{
    const struct json_object *v = json_get(block, name);

    if (v == NULL)
        return 0;
    if (!json_is(v, JSON_STRING))
        return messages_refuse(e, at, name, v, "a string");
    add_text(find_texts(r), json_share(v));
    add_text(find_texts(r), json_new_string("\n", 1));
    return 0;
}

static int take_document(struct messages_request *r, const struct json_object *block,
                         const char *at, struct param_error *e)
{
    const struct json_object *source = json_get(block, "source");

    if (!json_is(source, JSON_OBJECT))
        return messages_refuse(e, at, "source", source, "an object");
    const struct json_object *type = json_get(source, "type");
    if (!json_is_string(type, "text") && !json_is_string(type, "content"))
        return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, at,
                            "%s.source: documents are supported by this version as text only", at);
    if (add_line(r, block, "title", at, e) != 0 || add_line(r, block, "context", at, e) != 0)
        return -EINVAL;
    if (json_is_string(type, "content"))
        return open_content(r, PLACE_DOCUMENT, json_get(source, "content"), "source.content", at,
                            e);
    const struct json_object *data = json_get(source, "data");
    if (!json_is(data, JSON_STRING))
        return messages_refuse(e, at, "source.data", data, "a string");
    add_text(find_texts(r), json_share(data));
    return 0;
}

static int take_search_result(struct messages_request *r, const struct json_object *block,
                              const char *at, struct param_error *e)
{
    if (add_line(r, block, "title", at, e) != 0 || add_line(r, block, "source", at, e) != 0)
        return -EINVAL;
    return open_content(r, PLACE_DOCUMENT, json_get(block, "content"), "content", at, e);
}

static int take_thinking(struct messages_request *r, const struct json_object *block,
                         const char *at, struct param_error *e)
{
    const struct json_object *text = json_get(block, "thinking");
    const struct json_object *signature = json_get(block, "signature");
    size_t len;

    if (!json_is(text, JSON_STRING))
        return messages_refuse(e, at, "thinking", text, "a string");
    if (signature != NULL && !json_is(signature, JSON_STRING))
        return messages_refuse(e, at, "signature", signature, "a string");
    json_string(text, &len);
    if (len > 0) /* thinking.display: omitted */
        json_append(r->thoughts, json_share(text));
    return 0;
}

/* What another server has hidden from us. */
static int skip_block(struct messages_request *r, const struct json_object *block, const char *at,
                      struct param_error *e)
{
    (void)r;
    (void)block;
    (void)at;
    (void)e;
    return 0;
}

static int take_call(struct messages_request *r, const struct json_object *block, const char *at,
                     struct param_error *e)
{
    const struct json_object *input = json_get(block, "input");

    if (!json_is(input, JSON_OBJECT))
        return messages_refuse(e, at, "input", input, "an object");
    return conversation_call(&r->v, r->message, json_get(block, "id"), json_get(block, "name"),
                             input, at, e);
}

static int take_result(struct messages_request *r, const struct json_object *block, const char *at,
                       struct param_error *e)
{
    const struct json_object *is_error = json_get(block, "is_error");
    const struct json_object *content = json_get(block, "content");
    char id[AT_SIZE + sizeof ".tool_use_id"];

    if (is_error != NULL && !json_is(is_error, JSON_BOOL))
        return messages_refuse(e, at, "is_error", is_error, "true or false");
    snprintf(id, sizeof id, "%s.tool_use_id", at);
    if (json_get(block, "tool_use_id") == NULL)
        return messages_refuse(e, id, "", NULL, "");
    if (conversation_result(&r->v, json_get(block, "tool_use_id"), id, &r->result, e) != 0)
        return -EINVAL;
    r->has_results = true;
    r->result_texts = json_new_array();
    if (content != NULL)
        return open_content(r, PLACE_RESULT, content, "content", at, e);
    put_texts(r->result, &r->result_texts);
    return 0;
}

#define IN(place) (1u << PLACE_##place)

static const struct block_type {
    const char *name;
    unsigned places;
    int (*take)(struct messages_request *r, const struct json_object *block, const char *at,
                struct param_error *e);
} block_types[] = {
    {"text", IN(SYSTEM) | IN(USER) | IN(ASSISTANT) | IN(RESULT) | IN(DOCUMENT), take_text},
    {"document", IN(USER) | IN(RESULT), take_document},
    {"search_result", IN(USER) | IN(RESULT), take_search_result},
    {"tool_use", IN(ASSISTANT), take_call},
    {"tool_result", IN(USER), take_result},
    {"thinking", IN(ASSISTANT), take_thinking},
    {"redacted_thinking", IN(ASSISTANT), skip_block},
};

static int take_block(struct messages_request *r, enum place place, const struct json_object *block,
                      struct param_error *e)
{
    const struct json_object *type = json_is(block, JSON_OBJECT) ? json_get(block, "type") : NULL;
    char at[AT_SIZE];

    write_path(r, at);
    if (!json_is(block, JSON_OBJECT))
        return messages_refuse(e, at, "", block, "an object");
    if (!json_is(type, JSON_STRING))
        return messages_refuse(e, at, "type", type, "a string");
    for (size_t i = 0; i < sizeof block_types / sizeof block_types[0]; i++) {
        const struct block_type *t = &block_types[i];
        if (!json_is_string(type, t->name))
            continue;
        if ((t->places & 1u << place) != 0)
            return t->take(r, block, at, e);
        return param_refuse(e, ERROR_INVALID_BODY, at, "%s: a block of type \"%s\" cannot be here",
                            at, t->name);
    }
    return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, at,
                        "%s: blocks of type \"%.40s\" are not supported by this version", at,
                        json_string(type, NULL));
}

/* ---- the turns ---- */

static const struct json_object *find_turn(const struct messages_request *r)
{
    return json_at(json_get(r->body, "messages"), r->turn - 1);
}

int messages_open_turn(struct messages_request *r, struct param_error *e)
{
    const struct json_object *turn = find_turn(r);
    enum place place = PLACE_SYSTEM;
    char at[AT_SIZE];

    r->texts = json_new_array();
    r->thoughts = json_new_array();
    r->has_results = false;
    if (r->turn == 0)
        return open_content(r, place, json_get(r->body, "system"), "system", "", e);
    snprintf(at, sizeof at, "messages.%zu", r->turn - 1);
    const struct json_object *role = json_get(turn, "role");
    while (place <= PLACE_ASSISTANT && !json_is_string(role, roles[place]))
        place++;
    if (place > PLACE_ASSISTANT)
        return param_refuse(e, ERROR_INVALID_BODY, at,
                            "%s.role: expected \"user\", \"assistant\" or \"system\"", at);
    if (place == PLACE_ASSISTANT)
        r->message = conversation_add(&r->v, "assistant");
    return open_content(r, place, json_get(turn, "content"), "content", at, e);
}

static int put_thoughts(struct messages_request *r, struct param_error *e)
{
    struct buf joined = {0};
    size_t n = json_length(r->thoughts), len;

    for (size_t i = 0; n > 1 && i < n; i++) {
        const char *text = json_string(json_at(r->thoughts, i), &len);
        buf_add(&joined, text, len);
        if (buf_pending(&joined) <= THOUGHTS_MAX)
            continue;
        buf_free(&joined);
        return param_refuse(e, ERROR_INVALID_BODY, "messages",
                            "messages.%zu: more than %u bytes of thinking in several blocks",
                            r->turn - 1, THOUGHTS_MAX);
    }
    if (n == 1)
        json_put(r->message, "reasoning_content", json_share(json_at(r->thoughts, 0)));
    else if (n > 1)
        json_put_string(r->message, "reasoning_content", buf_text(&joined), buf_pending(&joined));
    buf_free(&joined);
    return 0;
}

static int close_turn(struct messages_request *r, enum place place, struct param_error *e)
{
    bool is_empty = json_length(r->texts) == 0;

    if (place == PLACE_ASSISTANT && put_thoughts(r, e) != 0)
        return -EINVAL;
    if (place == PLACE_ASSISTANT)
        put_texts(r->message, &r->texts);
    else if (!is_empty || (r->turn > 0 && !r->has_results))
        put_texts(conversation_add(&r->v, roles[place]), &r->texts);
    json_free(&r->texts);
    json_free(&r->thoughts);
    r->turn++;
    return 0;
}

/* The innermost list has come to its end. */
static int close_level(struct messages_request *r, struct param_error *e)
{
    enum place place = r->levels[--r->n_levels].place;

    if (r->n_levels == 0)
        return close_turn(r, place, e);
    if (place == PLACE_RESULT)
        put_texts(r->result, &r->result_texts);
    r->levels[r->n_levels - 1].next++;
    return 0;
}

int messages_step_in_turn(struct messages_request *r, struct param_error *e)
{
    uint32_t n_levels = r->n_levels;
    struct block_level *level = &r->levels[n_levels - 1];

    if (level->next == json_length(level->list))
        return close_level(r, e);
    if (take_block(r, level->place, json_at(level->list, level->next), e) != 0)
        return -EINVAL;
    if (r->n_levels == n_levels)
        level->next++;
    return 0;
}

/* The body of a Responses request, checked and turned into a conversation over as many turns of the
 * loop as it takes: fields and tools, what it continues, its own items, what is kept of them. */
#include "router/api/responses.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/json_check.h"
#include "router/router.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_AT_ONCE 500
#define ITEMS_MAX     100000       /* of a conversation: what a chat may have as messages */
#define READ_AT_ONCE  (128u << 10) /* bytes of kept texts */
#define WRITE_AT_ONCE (256u << 10) /* of items being kept */
#define METADATA_MAX  16
/* A conversation that is continued, as text; and values in one of its texts: what a body may have,
 * and what is added to each of its items when it is kept. */
#define CONVERSATION_MAX (192u << 20)
#define KEPT_NODES_MAX   (10u * JSON_NODES_MAX)

/* ---- fields ---- */

static int check_metadata(const struct json_object *metadata, struct param_error *e)
{
    if (json_length(metadata) > METADATA_MAX)
        return param_refuse(e, ERROR_INVALID_BODY, "metadata",
                            "metadata: %zu pairs, at most %d are allowed", json_length(metadata),
                            METADATA_MAX);
    for (struct json_iterator it = json_members(metadata); json_next(&it);) {
        size_t len = 0;
        if (json_type_of(it.value) != JSON_STRING)
            return responses_refuse(e, "metadata", it.value, "strings as its values");
        json_string(it.value, &len);
        if (strlen(it.key) > 64 || len > 512)
            return param_refuse(e, ERROR_INVALID_BODY, "metadata",
                                "metadata: at most 64 bytes as a name and 512 as a value");
    }
    return 0;
}

static int check_logprobs(const struct json_object *body, struct param_error *e)
{
    const struct json_object *include = json_get(body, "include");
    const struct json_object *top = json_get(body, "top_logprobs");

    for (size_t i = 0; i < json_length(include); i++)
        if (json_is_string(json_at(include, i), "message.output_text.logprobs"))
            return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, "include",
                                "include: log-probabilities are not supported here; chat "
                                "completions have them");
    if (top != NULL && json_integer(top) > 0)
        return param_refuse(e, ERROR_UNSUPPORTED_PARAMETER, "top_logprobs",
                            "top_logprobs: not supported here; chat completions have them");
    return 0;
}

static int put_format(struct generation *g, struct param_error *e)
{
    const struct json_object *format = json_get(json_get(g->body, "text"), "format");
    const struct json_object *type = json_get(format, "type");

    if (format == NULL || json_is_string(type, "text"))
        return 0;
    struct json_object *made = json_new_object();
    json_put(g->members, "format", made);
    if (json_is_string(type, "json_object")) {
        json_put_string(made, "type", "json_object", strlen("json_object"));
        return 0;
    }
    if (!json_is_string(type, "json_schema"))
        return param_refuse(e, ERROR_INVALID_BODY, "text.format",
                            "text.format.type: expected text, json_object or json_schema");
    struct json_object *schema = json_get(format, "schema");
    if (schema == NULL || json_type_of(schema) != JSON_OBJECT)
        return responses_refuse(e, "text.format.schema", schema, "an object");
    json_put_string(made, "type", "json_schema", strlen("json_schema"));
    json_put(made, "schema", json_share(schema));
    return 0;
}

static int check_fields(struct generation *g, struct param_error *e)
{
    static const char *const truncations[] = {"auto", "disabled", NULL};
    static const char *const summaries[] = {"auto", "concise", "detailed", NULL};
    const struct json_object *body = g->body, *input = json_get(body, "input");

    if (input == NULL || (json_type_of(input) != JSON_STRING && json_type_of(input) != JSON_ARRAY))
        return responses_refuse(e, "input", input, "a string or an array of items");
    const struct json_object *effort = json_get(json_get(body, "reasoning"), "effort");
    if (effort != NULL && json_type_of(effort) != JSON_STRING)
        return responses_refuse(e, "reasoning.effort", effort, "a string");
    const struct json_object *parallel = json_get(body, "parallel_tool_calls");
    if (parallel != NULL && !json_bool(parallel))
        json_put_bool(g->members, "parallel_tool_calls", false);
    if (check_metadata(json_get(body, "metadata"), e) != 0 ||
        responses_check_word(json_get(body, "truncation"), "truncation", truncations, e) != 0 ||
        responses_check_word(json_get(json_get(body, "reasoning"), "summary"), "reasoning.summary",
                             summaries, e) != 0 ||
        check_logprobs(body, e) != 0)
        return -EINVAL;
    return put_format(g, e);
}

/* ---- what is continued ---- */

static int list_turns(struct responses_call *r, struct param_error *e)
{
    size_t bytes = 0, n = 0;

    for (const struct turn *t = r->previous; t != NULL; t = t->parent, n++)
        bytes += t->input.len + t->output.len;
    if (bytes > CONVERSATION_MAX)
        return param_refuse(e, ERROR_BODY_TOO_LARGE, "previous_response_id",
                            "the conversation has become too long: %zu bytes, at most %u are "
                            "allowed",
                            bytes, CONVERSATION_MAX);
    r->turns = calloc(n, sizeof(struct turn *));
    CHECK(r->turns != NULL);
    r->n_turns = n;
    for (struct turn *t = r->previous; t != NULL; t = t->parent)
        r->turns[--n] = t;
    return 0;
}

static int find_previous(struct responses_call *r, struct param_error *e)
{
    const struct json_object *id = json_get(r->generation->body, "previous_response_id");
    const struct stored_response *found;

    if (id == NULL)
        return 0;
    if (r->store->bytes_max == 0)
        return param_refuse(e, ERROR_PREVIOUS_RESPONSE, "previous_response_id",
                            "this server keeps no responses (gateway.responses_store_mb is 0)");
    found = responses_store_find(r->store, json_string(id, NULL), r->owner);
    if (found == NULL)
        return param_refuse(e, ERROR_PREVIOUS_RESPONSE, "previous_response_id",
                            "no response \"%.128s\" is kept here (any more); send the whole "
                            "conversation as input",
                            json_string(id, NULL));
    r->previous = turn_share(found->turn);
    return list_turns(r, e);
}

/* A slice of a kept text: 1 = *items is the array, 0 = there is more, negative = refused. */
static int read_text(struct responses_call *r, const struct buf *text, struct json_object **items,
                     struct param_error *e)
{
    struct turn_reading *t = &r->reading;
    size_t n = text->len - t->at < READ_AT_ONCE ? text->len - t->at : READ_AT_ONCE;
    struct err why;
    int rc;

    if (t->reader == NULL)
        t->reader = json_reader_new_large(KEPT_NODES_MAX);
    rc = json_reader_feed(t->reader, text->data + t->at, n, &why);
    t->at += n;
    if (rc == 0 && t->at < text->len)
        return 0;
    if (rc == 0)
        rc = json_reader_finish(t->reader, items, &why);
    json_reader_free(&t->reader);
    t->at = 0;
    return rc == 0 ? 1 : param_refuse(e, ERROR_INTERNAL, NULL, "a kept response: %s", why.text);
}

/* ---- items ---- */

/* The reference becomes what it names, once that is read: 1, 0 = there is more to do, negative. */
static int follow_reference(struct responses_call *r, struct json_object *reference, const char *at,
                            struct param_error *e)
{
    const struct json_object *id = json_get(reference, "id");
    const struct stored_response *found = NULL;
    char response[RESPONSE_ID_MAX];
    size_t index;
    bool is_input;

    if (id == NULL || json_type_of(id) != JSON_STRING)
        return responses_refuse(e, at, id, "a string as id");
    if (responses_split_id(json_string(id, NULL), response, &is_input, &index))
        found = responses_store_find(r->store, response, r->owner);
    if (found != NULL && found->turn != r->referred) {
        turn_drop(&r->referred);
        json_free(&r->referred_items[0]);
        json_free(&r->referred_items[1]);
        r->referred = turn_share(found->turn);
    }
    if (found != NULL && r->referred_items[is_input] == NULL) {
        int rc = read_text(r, is_input ? &found->turn->input : &found->turn->output,
                           &r->referred_items[is_input], e);
        if (rc != 1)
            return rc;
    }
    struct json_object *item = found != NULL ? json_at(r->referred_items[is_input], index) : NULL;
    if (item != NULL && json_is_string(json_get(item, "id"), json_string(id, NULL))) {
        for (struct json_iterator it = json_members(item); json_next(&it);)
            json_put(reference, it.key, json_share(it.value));
        return 1;
    }
    return param_refuse(e, ERROR_ITEM_NOT_FOUND, at, "%s: no item \"%.128s\" is kept here", at,
                        json_string(id, NULL));
}

/* A slice of an array of items: 1 when all are taken. */
static int take_items(struct responses_call *r, const struct json_object *items, const char *name,
                      struct param_error *e)
{
    size_t n = json_length(items), end = r->item + ITEMS_AT_ONCE;

    for (; r->item < n && r->item < end; r->item++) {
        struct json_object *item = json_at(items, r->item);
        char at[RESPONSES_AT_SIZE];
        int rc = 1;
        snprintf(at, sizeof at, "%s[%zu]", name, r->item);
        if (json_type_of(item) == JSON_OBJECT &&
            json_is_string(json_get(item, "type"), "item_reference"))
            rc = follow_reference(r, item, at, e);
        if (rc != 1)
            return rc;
        if (++r->n_taken > ITEMS_MAX)
            return param_refuse(e, ERROR_BODY_TOO_LARGE, "input",
                                "the conversation has become too long: at most %d items are "
                                "allowed",
                                ITEMS_MAX);
        if (responses_take_item(r, item, at, e) != 0)
            return -EINVAL;
    }
    if (r->item < n)
        return 0;
    r->item = 0;
    return 1;
}

/* ---- what is kept ---- */

static struct json_object *make_part(const char *type, const struct json_object *text)
{
    struct json_object *part = json_new_object(), *parts = json_new_array();

    json_put_string(part, "type", type, strlen(type));
    json_put(part, "text", json_share(text));
    json_append(parts, part);
    return parts;
}

/* A copy of an item as it is listed later: with id and type, a message's content as parts. */
static struct json_object *make_kept(const struct responses_call *r, const struct json_object *item,
                                     size_t i)
{
    struct json_object *made = json_new_object();
    const struct json_object *content = json_get(item, "content");
    bool is_assistant = json_is_string(json_get(item, "role"), "assistant");
    bool is_message =
        json_get(item, "type") == NULL || json_is_string(json_get(item, "type"), "message");
    char id[RESPONSES_ITEM_ID_MAX];

    responses_item_id(r->generation, is_message ? "msg" : "item", "i", i, id);
    json_put_string(made, "id", id, strlen(id));
    if (is_message)
        json_put_string(made, "type", "message", strlen("message"));
    for (struct json_iterator it = json_members(item); json_next(&it);)
        if (strcmp(it.key, "id") != 0 || json_type_of(it.value) == JSON_STRING)
            json_put(made, it.key, json_share(it.value));
    if (is_message && content != NULL && json_type_of(content) == JSON_STRING)
        json_put(made, "content", make_part(is_assistant ? "output_text" : "input_text", content));
    return made;
}

/* A slice of the items as text: 1 when all are written. */
static int keep_items(struct responses_call *r, const struct json_object *items)
{
    size_t n = json_length(items), start = r->input.len;

    while (r->item < n && r->input.len - start < WRITE_AT_ONCE) {
        if (r->writer == NULL) {
            buf_add_char(&r->input, r->item == 0 ? '[' : ',');
            buf_add(&r->item_at, &r->input.len, sizeof r->input.len);
            r->keeping = make_kept(r, json_at(items, r->item), r->item);
            r->writer = json_writer_new(r->keeping);
        }
        if (json_writer_step(r->writer, &r->input, WRITE_AT_ONCE) == 0)
            return 0;
        json_writer_free(&r->writer);
        json_free(&r->keeping);
        r->item++;
    }
    if (r->item < n)
        return 0;
    buf_add_str(&r->input, n == 0 ? "[]" : "]");
    return 1;
}

/* ---- the phases ---- */

/* A string is one message of the user. */
static void make_items(struct generation *g)
{
    const struct json_object *input = json_get(g->body, "input");

    if (json_type_of(input) != JSON_STRING)
        return;
    struct json_object *items = json_new_array(), *item = json_new_object();
    json_put_string(item, "role", "user", strlen("user"));
    json_put(item, "content", json_share(input));
    json_append(items, item);
    json_put(g->body, "input", items);
}

static int begin(struct responses_call *r, struct param_error *e)
{
    struct generation *g = r->generation;
    const struct json_object *instructions = json_get(g->body, "instructions");

    if (check_fields(g, e) != 0 || responses_take_tools(r, e) != 0 || find_previous(r, e) != 0)
        return -EINVAL;
    r->has_summary = json_get(json_get(g->body, "reasoning"), "summary") != NULL;
    if (instructions != NULL)
        responses_add_lead(r, instructions);
    make_items(g);
    return 1;
}

static int take_turns(struct responses_call *r, struct param_error *e)
{
    if (r->text == 2 * r->n_turns)
        return 1;
    const struct turn *t = r->turns[r->text / 2];
    if (r->items == NULL) {
        int rc = read_text(r, r->text % 2 == 0 ? &t->input : &t->output, &r->items, e);
        return rc < 0 ? rc : 0;
    }
    int rc = take_items(r, r->items, "previous_response_id", e);
    if (rc == 1) { /* what the conversation shares of them stays */
        json_free(&r->items);
        r->text++;
    }
    return rc < 0 ? rc : 0;
}

static int take_input(struct responses_call *r, struct param_error *e)
{
    int rc = take_items(r, json_get(r->generation->body, "input"), "input", e);

    if (rc == 1)
        responses_end_items(r);
    return rc;
}

static int keep_input(struct responses_call *r, struct param_error *e)
{
    (void)e;
    return r->is_kept ? keep_items(r, json_get(r->generation->body, "input")) : 1;
}

static int write_echo(struct responses_call *r, struct param_error *e)
{
    (void)e;
    responses_write_echo(r);
    return 1;
}

static struct responses_call *new_call(struct generation *g)
{
    struct responses_call *r = calloc(1, sizeof *r);
    const struct json_object *store = json_get(g->body, "store");

    CHECK(r != NULL);
    r->generation = g;
    r->store = &g->router->responses;
    r->owner = responses_owner(g->x);
    r->is_kept = (store == NULL || json_bool(store)) && r->store->bytes_max > 0;
    r->customs = json_new_object();
    r->said_ns = clock_now_ns();
    conversation_init(&r->conversation, g->members);
    LIST_INSERT_HEAD(&r->store->running, r, running);
    return r;
}

int responses_prepare(struct generation *g, struct param_error *e)
{
    static int (*const phases[])(struct responses_call * r, struct param_error * e) = {
        begin, take_turns, take_input, keep_input, write_echo,
    };

    if (g->own == NULL)
        g->own = new_call(g);
    struct responses_call *r = responses_of(g);
    int rc = 1;
    while (rc == 1 && r->phase < sizeof phases / sizeof phases[0]) {
        rc = phases[r->phase](r, e);
        r->phase += rc == 1;
    }
    r->is_prepared = rc == 1;
    return rc;
}

/* GET, DELETE and cancel of a response, and the list of its input items. */
#include "router/api/responses.h"

#include "router/api/api.h"
#include "router/api/errors.h"
#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT   20
#define LIST_MAX       100
#define LIST_BYTES_MAX (1u << 20) /* a page ends behind the item that goes beyond this */

static struct responses_store *store_of(const struct exchange *x)
{
    struct router *rt = x->server->context;

    return &rt->responses;
}

/* "ID" or "ID/rest": the id, and the rest. */
static const char *split_parameter(const struct exchange *x, char id[RESPONSE_ID_MAX])
{
    size_t len = strcspn(x->parameter, "/");

    snprintf(id, RESPONSE_ID_MAX, "%.*s", len < RESPONSE_ID_MAX ? (int)len : 0, x->parameter);
    return x->parameter + len;
}

static struct responses_call *find_running(const struct exchange *x, const char *id)
{
    struct responses_call *r;

    LIST_FOREACH (r, &store_of(x)->running, running) {
        if (r->is_prepared && r->owner == responses_owner(x) && strcmp(r->generation->id, id) == 0)
            return r;
    }
    return NULL;
}

static enum handler_result refuse(struct exchange *x, enum api_error error, const char *text)
{
    error_respond(x, error, NULL, text, 0);
    return HANDLER_DONE;
}

static enum handler_result refuse_missing(struct exchange *x, const char *id)
{
    char text[160];

    snprintf(text, sizeof text, "no response \"%.64s\" is kept here (any more)", id);
    return refuse(x, ERROR_RESPONSE_NOT_FOUND, text);
}

static enum handler_result respond(struct exchange *x, struct buf *body)
{
    exchange_respond(x, 200, "application/json", "", body->data, body->len);
    buf_free(body);
    return HANDLER_DONE;
}

static void add_response(struct buf *body, const struct stored_response *r)
{
    buf_add(body, r->before.data, r->before.len);
    buf_add(body, r->turn->output.data, r->turn->output.len);
    buf_add(body, r->after.data, r->after.len);
}

static void add_running(struct buf *body, struct responses_call *r)
{
    responses_write_before(r, RESPONSE_IN_PROGRESS, NULL, body);
    buf_add_str(body, "[]");
    responses_write_after(r, RESPONSE_IN_PROGRESS, body);
}

/* ---- the query ---- */

/* The value of a name in the query; "" when it is not there. */
static void find_query(const struct exchange *x, const char *name, char *value, size_t size)
{
    size_t n = strlen(name);

    value[0] = '\0';
    for (const char *p = x->query; *p != '\0'; p += strcspn(p, "&"), p += *p == '&')
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            snprintf(value, size, "%.*s", (int)strcspn(p + n + 1, "&"), p + n + 1);
}

/* ---- the list of input items ---- */

struct page {
    const struct turn *turn;
    const size_t *at; /* where its items begin */
    size_t n;
    bool is_descending;
    size_t first; /* place in the list, not in the text */
    size_t limit;
};

static size_t index_at(const struct page *p, size_t place)
{
    return p->is_descending ? p->n - 1 - place : place;
}

static void item_at(const struct page *p, size_t place, const char **text, size_t *len)
{
    size_t i = index_at(p, place);
    size_t end = i + 1 < p->n ? p->at[i + 1] : p->turn->input.len;

    *text = p->turn->input.data + p->at[i];
    *len = end - 1 - p->at[i]; /* without the comma or bracket behind it */
}

/* Every item is kept with its id first: the literal. */
static void id_at(const struct page *p, size_t place, const char **id, size_t *len)
{
    static const char name[] = "{\"id\":\"";
    const char *text;
    size_t text_len;

    item_at(p, place, &text, &text_len);
    *id = text + sizeof name - 2;
    *len = 1;
    while ((*id)[*len] != '"')
        *len += (*id)[*len] == '\\' ? 2 : 1;
    ++*len;
}

static bool read_page(const struct exchange *x, struct page *p, char why[160])
{
    char value[128], *end = value;

    find_query(x, "order", value, sizeof value);
    p->is_descending = strcmp(value, "asc") != 0;
    if (p->is_descending && value[0] != '\0' && strcmp(value, "desc") != 0) {
        snprintf(why, 160, "order: expected asc or desc");
        return false;
    }
    find_query(x, "limit", value, sizeof value);
    p->limit = value[0] != '\0' ? strtoul(value, &end, 10) : LIST_DEFAULT;
    if (p->limit < 1 || p->limit > LIST_MAX || (value[0] != '\0' && *end != '\0')) {
        snprintf(why, 160, "limit: expected 1 to %d", LIST_MAX);
        return false;
    }
    find_query(x, "after", value, sizeof value);
    for (size_t i = 0; value[0] != '\0' && i < p->n; i++) {
        const char *id;
        size_t len;
        id_at(p, i, &id, &len);
        if (len == strlen(value) + 2 && memcmp(id + 1, value, len - 2) == 0)
            p->first = i + 1;
    }
    if (value[0] != '\0' && p->first == 0) {
        snprintf(why, 160, "after: no item \"%.64s\" in this list", value);
        return false;
    }
    return true;
}

static void add_id(struct buf *body, const char *name, const struct page *p, size_t place)
{
    const char *id = "null";
    size_t len = strlen(id);

    if (place < p->n)
        id_at(p, place, &id, &len);
    buf_printf(body, ",\"%s\":", name);
    buf_add(body, id, len);
}

static enum handler_result list_input(struct exchange *x, const struct turn *t)
{
    struct page p = {.turn = t,
                     .at = (const size_t *)(const void *)t->item_at.data,
                     .n = t->item_at.len / sizeof(size_t)};
    struct buf body = {0};
    size_t end;
    char why[160];

    if (!read_page(x, &p, why))
        return refuse(x, ERROR_INVALID_BODY, why);
    buf_add_str(&body, "{\"object\":\"list\",\"data\":[");
    for (end = p.first; end < p.n && end - p.first < p.limit && body.len < LIST_BYTES_MAX; end++) {
        const char *text;
        size_t len;
        item_at(&p, end, &text, &len);
        if (end > p.first)
            buf_add_char(&body, ',');
        buf_add(&body, text, len);
    }
    buf_add_char(&body, ']');
    add_id(&body, "first_id", &p, p.first);
    add_id(&body, "last_id", &p, end > p.first ? end - 1 : p.n);
    buf_printf(&body, ",\"has_more\":%s}", end < p.n ? "true" : "false");
    return respond(x, &body);
}

/* ---- the routes ---- */

enum handler_result responses_show(struct exchange *x)
{
    char id[RESPONSE_ID_MAX], stream[8];
    const char *rest = split_parameter(x, id);
    bool is_list = strcmp(rest, "/input_items") == 0;
    struct buf body = {0};

    if (rest[0] != '\0' && !is_list)
        return refuse(x, ERROR_NO_ROUTE,
                      "no such route: GET /v1/responses/ID or "
                      "/v1/responses/ID/input_items");
    find_query(x, "stream", stream, sizeof stream);
    if (strcmp(stream, "true") == 0)
        return refuse(x, ERROR_UNSUPPORTED_PARAMETER,
                      "stream: a response that is over cannot be streamed again");
    struct stored_response *found = responses_store_find(store_of(x), id, responses_owner(x));
    if (found != NULL && is_list)
        return list_input(x, found->turn);
    struct responses_call *running = find_running(x, id);
    if (found != NULL)
        add_response(&body, found);
    else if (running != NULL && !is_list)
        add_running(&body, running);
    else
        return refuse_missing(x, id);
    return respond(x, &body);
}

enum handler_result responses_delete(struct exchange *x)
{
    char id[RESPONSE_ID_MAX];
    const char *rest = split_parameter(x, id);
    struct stored_response *found = responses_store_find(store_of(x), id, responses_owner(x));
    struct responses_call *running = find_running(x, id);
    struct buf body = {0};

    if (rest[0] != '\0')
        return refuse(x, ERROR_NO_ROUTE, "no such route: DELETE /v1/responses/ID");
    if (found == NULL && running == NULL)
        return refuse_missing(x, id);
    if (found != NULL)
        responses_store_remove(store_of(x), found);
    if (running != NULL) /* it ends as it would, and is not kept */
        running->is_kept = false;
    buf_printf(&body, "{\"id\":\"%s\",\"object\":\"response\",\"deleted\":true}", id);
    return respond(x, &body);
}

/* Of one that runs: its client gets the end of it as a failure. Of one that is over nothing is left
 * to cancel. */
static enum handler_result cancel(struct exchange *x, const char *id)
{
    struct responses_call *running = find_running(x, id);
    struct buf body = {0};

    if (running == NULL && responses_store_find(store_of(x), id, responses_owner(x)) != NULL)
        return refuse(x, ERROR_INVALID_BODY,
                      "the response is over: only one that is in progress "
                      "can be cancelled");
    if (running == NULL)
        return refuse_missing(x, id);
    responses_write_before(running, RESPONSE_CANCELLED, NULL, &body);
    responses_write_output(running, RESPONSE_CANCELLED, &body);
    responses_write_after(running, RESPONSE_CANCELLED, &body);
    responses_keep(running, RESPONSE_CANCELLED);
    generation_fail(running->generation, ERROR_CANCELLED, "the response was cancelled");
    return respond(x, &body);
}

enum handler_result responses_post(struct exchange *x)
{
    char id[RESPONSE_ID_MAX];
    const char *rest = split_parameter(x, id);

    if (strcmp(rest, "/cancel") != 0)
        return refuse(x, ERROR_NO_ROUTE, "no such route: POST /v1/responses/ID/cancel");
    return cancel(x, id);
}

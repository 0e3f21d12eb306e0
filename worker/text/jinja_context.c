#include "worker/text/jinja_context.h"

#include "base/json.h"
#include "base/utf8.h"

#include <string.h>

static struct jval from_json(struct jrun *r, const struct json_object *o);

static struct jval from_number(const struct json_object *o)
{
    uint64_t wide;

    if (json_is_double(o))
        return jval_float(json_number(o));
    if (json_is_integer(o))
        return jval_int(json_integer(o));
    wide = json_unsigned(o);
    return (struct jval){.type = JVAL_WIDE, .u.w = wide};
}

static struct jval from_string(struct jrun *r, const char *p, size_t len)
{
    if (!utf8_valid(p, len))
        jrun_fail(r, "a string of the conversation is not UTF-8");
    return jval_string(jstr_borrow(r, p, len));
}

static struct jdict *from_members(struct jrun *r, const struct json_object *o)
{
    struct jdict *d = jdict_new(r);

    for (struct json_iterator it = json_members(o); json_next(&it);)
        jdict_set(r, d, from_string(r, it.key, strlen(it.key)), from_json(r, it.value));
    return d;
}

static struct jval from_json(struct jrun *r, const struct json_object *o)
{
    struct jlist *l;
    const char *p;
    size_t len;

    switch (json_type_of(o)) {
    case JSON_NULL:
        return jval_none();
    case JSON_BOOL:
        return jval_bool(json_bool(o));
    case JSON_NUMBER:
        return from_number(o);
    case JSON_STRING:
        p = json_string(o, &len);
        return from_string(r, p, len);
    case JSON_ARRAY:
        l = jlist_new(r, json_length(o));
        for (size_t i = 0; i < json_length(o); i++)
            jlist_add(r, l, from_json(r, json_at(o, i)));
        return jval_list(l);
    case JSON_OBJECT:
        return jval_dict(from_members(r, o));
    }
    return jval_none();
}

/* --- messages --- */

/* A member that is null is as good as none. */
static struct jdict *drop_nulls(struct jrun *r, const struct jdict *from)
{
    struct jdict *d = jdict_new(r);

    for (size_t i = 0; i < from->n; i++)
        if (from->pair[i].value.type != JVAL_NONE)
            jdict_set(r, d, from->pair[i].key, from->pair[i].value);
    return d;
}

/* Reasoning under every name that templates read it by. */
static struct jdict *spread_reasoning(struct jrun *r, const struct jdict *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    const struct jval *reasoning = NULL;
    struct jdict *d = jdict_new(r);

    for (size_t i = 0; reasoning == NULL && i < sizeof names / sizeof names[0]; i++)
        reasoning = jdict_get_str(r, message, jstr_of(r, names[i]));
    if (reasoning != NULL)
        jdict_set(r, d, jval_string(jstr_of(r, "thinking")), *reasoning);
    for (size_t i = 0; i < message->n; i++)
        jdict_set(r, d, message->pair[i].key, message->pair[i].value);
    if (reasoning != NULL)
        jdict_set(r, d, jval_string(jstr_of(r, "reasoning_content")), *reasoning);
    return d;
}

static struct jval from_messages(struct jrun *r, const struct json_object *o)
{
    struct jval all = from_json(r, o);

    if (all.type != JVAL_LIST || all.u.list->n == 0)
        jrun_fail(r, "messages: found %s, expected at least one message",
                  all.type == JVAL_LIST ? "none" : json_type_name(json_type_of(o)));
    for (size_t i = 0; i < all.u.list->n; i++) {
        struct jval *message = &all.u.list->v[i];
        if (message->type != JVAL_DICT)
            jrun_fail(r, "messages: found a %s, expected an object", jval_type_name(*message));
        *message = jval_dict(spread_reasoning(r, drop_nulls(r, message->u.dict)));
    }
    return all;
}

struct jval jcontext_value(struct jrun *r, const struct jinja_var *var)
{
    switch (var->kind) {
    case JINJA_JSON:
        return from_json(r, var->json);
    case JINJA_MESSAGES:
        return from_messages(r, var->json);
    case JINJA_TEXT:
        return from_string(r, var->text, var->text_len);
    case JINJA_BOOL:
        return jval_bool(var->is_true);
    }
    return jval_none();
}

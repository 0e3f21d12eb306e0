#include "worker/engine/sampled.h"

#include "base/check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THINK  "<think>"
#define PASSES 2 /* all that might fit, then those that did */

/* --- what the request has --- */

/* Numbers with a space between: params_parse has checked the form. False: none of this model. */
static bool parse_ids(const char *text, uint32_t vocab, struct token_ids *ids)
{
    char *end;

    for (;; text = end + 1) {
        unsigned long id = strtoul(text, &end, 10);
        if (id >= vocab)
            return false;
        token_ids_add(ids, (uint32_t)id);
        if (*end == '\0')
            return true;
    }
}

struct saying {
    struct buf text; /* of the tokens */
    bool is_complete;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void look_for(void *ctx, const char *text, size_t len)
{
    struct saying *s = ctx;

    for (; len > 0 && is_space(text[0]); len--)
        text++;
    while (len > 0 && is_space(text[len - 1]))
        len--;
    s->is_complete &=
        len == 0 || memmem(buf_text(&s->text), buf_pending(&s->text), text, len) != NULL;
}

static bool has_reasoning(const struct json_object *message)
{
    const struct json_object *reasoning = json_get(message, "reasoning_content");
    size_t len = 0;

    if (reasoning != NULL)
        json_string(reasoning, &len);
    return len > 0;
}

/* Whether the tokens say what the message does: they may be of a model that had its name before. */
static bool says(const struct language *l, const struct token_ids *ids,
                 const struct json_object *message)
{
    struct saying s = {.is_complete = true};
    const struct json_object *reasoning = json_get(message, "reasoning_content");
    struct detokenizer d;
    size_t len;

    detokenizer_init(&d, l->tokenizer, true);
    for (size_t i = 0; i < ids->n; i++)
        detokenizer_push(&d, ids->id[i], &s.text);
    params_message_text(message, look_for, &s);
    if (has_reasoning(message)) {
        const char *text = json_string(reasoning, &len);
        look_for(&s, text, len);
    }
    buf_free(&s.text);
    return s.is_complete;
}

/* False: what begins the reasoning, or ends it, is not among the tokens. */
static bool find_start(const struct language *l, const struct json_object *message,
                       struct sampled *s)
{
    s->start = SAMPLED_IN_ANSWER;
    for (size_t i = 0; i < s->ids.n; i++) {
        if (s->ids.id[i] != l->think_start && s->ids.id[i] != l->think_end)
            continue;
        s->start = s->ids.id[i] == l->think_end ? SAMPLED_IN_THOUGHT : SAMPLED_BEFORE_THOUGHT;
        return true;
    }
    return !has_reasoning(message);
}

void sampled_take(struct sampled_list *s, const struct language *l, struct json_object *messages)
{
    *s = (struct sampled_list){0};
    for (size_t i = 0; i < json_length(messages); i++) {
        struct json_object *message = json_at(messages, i);
        const struct json_object *value = json_get(message, "sampled");
        struct sampled one = {.message = i};
        if (value == NULL)
            continue;
        one.is_used = parse_ids(json_string(value, NULL), l->vocab, &one.ids) &&
                      find_start(l, message, &one) && says(l, &one.ids, message);
        s->at = reallocarray(s->at, s->n + 1, sizeof *s->at);
        CHECK(s->at != NULL);
        s->at[s->n++] = one;
        json_remove(message, "sampled");
    }
}

void sampled_free(struct sampled_list *s)
{
    for (size_t i = 0; i < s->n; i++)
        token_ids_free(&s->at[i].ids);
    free(s->at);
    buf_free(&s->text);
    *s = (struct sampled_list){0};
}

/* --- marks --- */

struct mark {
    char text[32];
    size_t len;
};

/* which: of reasoning or content */
static struct mark make_mark(const char *point, size_t message, char which)
{
    struct mark m;

    m.len = (size_t)snprintf(m.text, sizeof m.text, "%.3s%c%zu%.3s", point, which, message, point);
    return m;
}

static void put_mark(struct json_object *message, const char *name, const struct mark *m)
{
    json_put_string(message, name, m->text, m->len);
}

static void mark_messages(const struct sampled_list *s, struct json_object *messages,
                          const char *point)
{
    for (size_t i = 0; i < s->n; i++) {
        struct json_object *message = json_at(messages, s->at[i].message);
        struct mark reasoning = make_mark(point, i, 'r'), content = make_mark(point, i, 'c');
        if (!s->at[i].is_used)
            continue;
        json_remove(message, "thinking");
        json_remove(message, "reasoning");
        json_remove(message, "tool_calls");
        put_mark(message, "reasoning_content", &reasoning);
        put_mark(message, "content", &content);
    }
}

/* A copy of the messages, marked, through the template. */
static bool render_marked(const struct sampled_list *s, const struct json_object *messages,
                          const char *point, sampled_render_fn *render, void *ctx, struct buf *text)
{
    struct buf json = {0};
    struct json_object *copy = NULL;

    buf_clear(text);
    json_write(messages, &json);
    bool is_rendered = json_parse(json.data + json.pos, buf_pending(&json), &copy, NULL) == 0;
    if (is_rendered) {
        mark_messages(s, copy, point);
        is_rendered = render(ctx, copy, text) == 0;
    }
    json_free(&copy);
    buf_free(&json);
    return is_rendered;
}

/* --- what comes out --- */

struct place {
    const char *reasoning; /* its mark, or NULL: the template drops it */
    const char *content;   /* its mark, or NULL */
    bool is_twice;         /* one of them */
    const char *from, *to; /* what the tokens stand for */
};

static void note_mark(struct place *p, char which, const char *at)
{
    const char **to = which == 'r' ? &p->reasoning : &p->content;

    p->is_twice |= *to != NULL;
    *to = at;
}

/* All marks of the text; those of a template that changes them are none. */
static void find_marks(const struct sampled_list *s, const struct buf *text, const char *point,
                       struct place *places)
{
    const char *at = text->data + text->pos, *end = text->data + text->len;

    memset(places, 0, s->n * sizeof *places);
    while ((at = memmem(at, (size_t)(end - at), point, SAMPLED_MARK_LEN)) != NULL) {
        const char *p = at + SAMPLED_MARK_LEN;
        size_t i = 0;
        char which = p < end ? *p++ : '\0';
        for (; p < end && isdigit((unsigned char)*p) && i < s->n; p++)
            i = 10 * i + (size_t)(*p - '0');
        if (i < s->n && (which == 'r' || which == 'c') && end - p >= SAMPLED_MARK_LEN)
            note_mark(&places[i], which, at);
        at = end - p >= SAMPLED_MARK_LEN ? p + SAMPLED_MARK_LEN : end;
    }
}

/* The <think> and the line ends in front of a mark; NULL: something else is there. */
static const char *find_think(const char *begin, const char *at)
{
    while (at > begin && is_space(at[-1]))
        at--;
    size_t len = strlen(THINK);
    return (size_t)(at - begin) >= len && memcmp(at - len, THINK, len) == 0 ? at - len : NULL;
}

static bool find_place(const struct buf *text, const char *point, size_t i, const struct sampled *s,
                       struct place *p)
{
    if (p->content == NULL || p->is_twice || p->reasoning > p->content)
        return false;
    p->from = p->content;
    p->to = p->content + make_mark(point, i, 'c').len;
    if (s->start == SAMPLED_IN_ANSWER)
        return true;
    p->from = p->reasoning;
    if (p->reasoning != NULL && s->start == SAMPLED_BEFORE_THOUGHT)
        p->from = find_think(text->data + text->pos, p->reasoning);
    return p->from != NULL;
}

/* The text without marks and what they stand for; where the tokens belong. */
static void cut_out(struct sampled_list *s, const struct buf *text, const struct place *places,
                    const char *point)
{
    const char *at = text->data + text->pos;

    buf_clear(&s->text);
    for (size_t i = 0; i < s->n; i++) {
        const struct place *p = &places[i];
        if (!s->at[i].is_used)
            continue;
        if (s->at[i].start == SAMPLED_IN_ANSWER && p->reasoning != NULL) { /* it had none */
            buf_add(&s->text, at, (size_t)(p->reasoning - at));
            at = p->reasoning + make_mark(point, i, 'r').len;
        }
        buf_add(&s->text, at, (size_t)(p->from - at));
        s->at[i].at = s->text.len;
        at = p->to;
    }
    buf_add(&s->text, at, (size_t)(text->data + text->len - at));
}

/* All between the tokens is in the normal prompt, in this order, from its beginning to its end. */
static bool is_around(const struct sampled_list *s, const struct buf *normal)
{
    const char *at = normal->data + normal->pos, *end = normal->data + normal->len;
    size_t from = s->text.pos;
    bool is_first = true;

    for (size_t i = 0; i < s->n; i++) {
        size_t len = s->at[i].at - from;
        if (!s->at[i].is_used)
            continue;
        const char *found =
            len == 0 ? at : memmem(at, (size_t)(end - at), s->text.data + from, len);
        if (found == NULL || (is_first && found != at))
            return false;
        at = found + len;
        from += len;
        is_first = false;
    }
    size_t rest = s->text.len - from;
    return (size_t)(end - at) >= rest && memcmp(end - rest, s->text.data + from, rest) == 0;
}

/* False: not all that are used have a place; then those are not used any more. */
static bool find_places(struct sampled_list *s, const struct buf *text, const char *point,
                        struct place *places)
{
    bool is_complete = true;
    const char *last = NULL;

    find_marks(s, text, point, places);
    for (size_t i = 0; i < s->n; i++) {
        if (!s->at[i].is_used)
            continue;
        s->at[i].is_used = find_place(text, point, i, &s->at[i], &places[i]) &&
                           (last == NULL || places[i].from >= last);
        is_complete &= s->at[i].is_used;
        if (s->at[i].is_used)
            last = places[i].to;
    }
    return is_complete;
}

static bool is_any_used(const struct sampled_list *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->at[i].is_used)
            return true;
    return false;
}

bool sampled_place(struct sampled_list *s, const struct json_object *messages, const char *point,
                   const struct buf *normal, sampled_render_fn *render, void *ctx)
{
    struct place *places = calloc(s->n > 0 ? s->n : 1, sizeof *places);
    struct buf text = {0};
    bool is_placed = false;

    CHECK(places != NULL);
    for (int i = 0; i < PASSES && !is_placed && is_any_used(s); i++)
        is_placed = render_marked(s, messages, point, render, ctx, &text) &&
                    find_places(s, &text, point, places);
    if (is_placed) {
        cut_out(s, &text, places, point);
        is_placed = is_around(s, normal);
    }
    free(places);
    buf_free(&text);
    return is_placed;
}

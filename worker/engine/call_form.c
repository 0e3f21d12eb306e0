#include "worker/engine/call_form.h"

#include "base/check.h"
#include "base/json.h"

#include <string.h>

/* Words that no template has. */
#define NAME_1  "qzfirst"
#define NAME_2  "qzsecond"
#define KEY_1   "qzkeya"
#define KEY_2   "qzkeyb"
#define VALUE_1 "qzvaluea"
#define VALUE_2 "qzvalueb"
#define CONTENT "qzcontent"

#define USER "qzuser"

#define USER_MESSAGE "{\"role\":\"user\",\"content\":\"" USER "\"}"
#define FUNCTION(name, arguments) \
    "{\"id\":\"qz1234567\",\"type\":\"function\",\"function\":{\"name\":\"" name \
    "\",\"arguments\":" arguments "}}"

static const char probe_text[] =
    "[" USER_MESSAGE ",{\"role\":\"assistant\",\"content\":\"" CONTENT
    "\",\"tool_calls\":[" FUNCTION(NAME_1, "{\"" KEY_1 "\":\"" VALUE_1 "\",\"" KEY_2 "\":\"" VALUE_2
                                           "\"}") "," FUNCTION(NAME_2, "{\"" KEY_1 "\":\"" VALUE_1
                                                                       "\"}") "]}]";

static const char single_text[] =
    "[" USER_MESSAGE ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[" FUNCTION(
        NAME_2, "{\"" KEY_1 "\":\"" VALUE_1 "\"}") "]}]";

static const char user_text[] = "[" USER_MESSAGE "]";

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"" NAME_1 "\",\"description\":\"qz\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"" KEY_1 "\":{\"type\":\"string\"}},"
    "\"required\":[\"" KEY_1 "\"]}}}]";

static struct json_object *parse(const char *text)
{
    struct json_object *root;

    CHECK(json_parse(text, strlen(text), &root, NULL) == 0);
    return root;
}

/* NULL for what is not given. False: the template fails. */
static bool render(const struct chat_template *t, const char *messages, const char *tools,
                   const char *arguments, struct buf *out)
{
    struct json_object *m = parse(messages);
    struct json_object *a = arguments != NULL ? parse(arguments) : NULL;
    struct json_object *l = tools != NULL ? parse(tools) : NULL;
    struct chat_input in = {
        .messages = m, .tools = l, .arguments = a, .add_generation_prompt = messages == user_text};
    struct err e = {0};

    buf_clear(out);
    bool is_good = chat_template_render(t, &in, out, &e) == 0;
    json_free(&m);
    json_free(&a);
    json_free(&l);
    buf_text(out);
    return is_good;
}

/* --- the pieces --- */

/* Text between two words, from *at on; *at moves behind the second. */
struct span {
    const char *text;
    size_t len;
};

static bool take_span(const char **at, const char *word, struct span *s)
{
    const char *found = strstr(*at, word);

    if (found == NULL)
        return false;
    *s = (struct span){*at, (size_t)(found - *at)};
    *at = found + strlen(word);
    return true;
}

static size_t common_end(struct span a, struct span b)
{
    size_t n = 0;

    while (n < a.len && n < b.len && a.text[a.len - 1 - n] == b.text[b.len - 1 - n])
        n++;
    return n;
}

static bool has(struct span s, const char *word)
{
    return memmem(s.text, s.len, word, strlen(word)) != NULL;
}

static bool ends_with(struct span s, const char *word)
{
    size_t n = strlen(word);

    return s.len >= n && memcmp(s.text + s.len - n, word, n) == 0;
}

static bool begins_with(struct span s, const char *word)
{
    size_t n = strlen(word);

    return s.len >= n && memcmp(s.text, word, n) == 0;
}

/* The words of the probe, and what stands between them. */
struct probe {
    struct span lead;   /* content (or user, where calls have none), first name */
    struct span name;   /* first name, first key */
    struct span key;    /* first key, first value */
    struct span value;  /* first value, second key */
    struct span middle; /* second value, second name */
};

static bool take_probe(const char *text, struct probe *p)
{
    struct span skipped;
    bool is_found = take_span(&text, CONTENT, &skipped) || take_span(&text, USER, &skipped);

    return is_found && take_span(&text, NAME_1, &p->lead) && take_span(&text, KEY_1, &p->name) &&
           take_span(&text, VALUE_1, &p->key) && take_span(&text, KEY_2, &p->value) &&
           take_span(&text, VALUE_2, &skipped) && take_span(&text, NAME_2, &p->middle);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What stands before both names is the beginning of a call, perhaps with white space before it;
 * what is left behind the first call is its end. */
static bool split_middle(struct call_form *f, const struct probe *p, struct span *end)
{
    size_t begin = p->middle.len - common_end(p->lead, p->middle);
    const char *text = p->middle.text;

    while (begin < p->middle.len && is_space(text[begin]))
        begin++;
    if (begin == p->middle.len || (text[begin] != '<' && text[begin] != '{'))
        return false;
    size_t space = begin;
    while (space > 0 && is_space(text[space - 1]))
        space--;
    buf_add(&f->between, text + space, begin - space);
    buf_add(&f->begin, text + begin, p->middle.len - begin);
    *end = (struct span){text, space};
    return true;
}

/* "arguments": {"key": "value"} */
static bool take_json(struct call_form *f, const struct probe *p, struct span end)
{
    if (!has(p->lead, "\"name\"") || !ends_with(p->name, "{\"") || !begins_with(end, "\"}") ||
        (!has(p->name, "\"arguments\"") && !has(p->name, "\"parameters\"")))
        return false;
    buf_add(&f->behind_name, p->name.text, p->name.len - 2);
    buf_add(&f->end, end.text + 2, end.len - 2);
    return true;
}

/* <parameter=key>value</parameter>; behind the last one there is what is behind the first one, too.
 */
static bool take_xml(struct call_form *f, const struct probe *p, struct span end)
{
    static const char tag[] = "<parameter=";
    size_t n = sizeof tag - 1;

    if (!ends_with(p->lead, "<function=") || !ends_with(p->name, tag) ||
        !ends_with(p->value, tag) || !has(p->value, "</parameter>"))
        return false;
    size_t behind = p->value.len - n;
    if (end.len < behind || memcmp(end.text, p->value.text, behind) != 0)
        return false;
    buf_add(&f->behind_name, p->name.text, p->name.len - n);
    buf_add(&f->parameter, tag, n);
    buf_add(&f->behind_key, p->key.text, p->key.len);
    buf_add(&f->behind_value, p->value.text, behind);
    buf_add(&f->end, end.text + behind, end.len - behind);
    return true;
}

/* Templates that write one call at most, and nothing around it: {"name": …, "parameters": {…}} */
static bool find_bare(struct call_form *f, const struct chat_template *t, struct buf *text)
{
    static const char begin[] = "{\"name\": \"";
    struct probe p;

    if (!render(t, single_text, tools_text, NULL, text))
        return false;
    const char *at = buf_text(text);
    if (!take_span(&at, USER, &p.lead) || !take_span(&at, NAME_2, &p.lead) ||
        !take_span(&at, KEY_1, &p.name) || !take_span(&at, VALUE_1, &p.key) ||
        !ends_with(p.lead, begin))
        return false;
    struct span end = {at, strlen(at)};
    if (!begins_with(end, "\"}}") || !take_json(f, &p, end))
        return false;
    buf_add(&f->begin, begin, sizeof begin - 1);
    f->end.len = 1; /* what comes behind the brace is the end of the turn */
    return true;
}

void call_form_find(struct call_form *f, const struct chat_template *t)
{
    struct buf text = {0};
    struct probe p;
    struct span end;

    *f = (struct call_form){0};
    if (render(t, probe_text, tools_text, NULL, &text) && take_probe(buf_text(&text), &p) &&
        split_middle(f, &p, &end)) {
        if (take_json(f, &p, end))
            f->kind = CALL_FORM_JSON;
        else if (take_xml(f, &p, end))
            f->kind = CALL_FORM_XML;
    }
    if (f->kind == CALL_FORM_NONE) {
        call_form_free(f);
        if (find_bare(f, t, &text))
            f->kind = CALL_FORM_JSON;
    }
    if (f->kind == CALL_FORM_NONE)
        call_form_free(f);
    buf_free(&text);
}

void call_form_free(struct call_form *f)
{
#define X(name) buf_free(&f->name);
    CALL_FORM_PIECES(X)
#undef X
    *f = (struct call_form){0};
}

/* --- what else it does --- */

bool call_form_shows_tools(const struct chat_template *t)
{
    struct buf text = {0};
    bool shows =
        render(t, user_text, tools_text, NULL, &text) && strstr(buf_text(&text), NAME_1) != NULL;

    buf_free(&text);
    return shows;
}

static bool ends_in_think(const struct buf *text)
{
    size_t end = text->len;

    while (end > 0 && is_space(text->data[end - 1]))
        end--;
    return ends_with((struct span){text->data, end}, "<think>");
}

bool call_form_reasons(const struct chat_template *t)
{
    struct buf with = {0}, without = {0};
    bool reasons = render(t, user_text, NULL, "{\"enable_thinking\":true}", &with);

    if (reasons && !ends_in_think(&with))
        reasons = render(t, user_text, NULL, "{\"enable_thinking\":false}", &without) &&
                  (with.len != without.len || memcmp(with.data, without.data, with.len) != 0);
    buf_free(&with);
    buf_free(&without);
    return reasons;
}

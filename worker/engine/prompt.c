#include "worker/engine/prompt.h"

#include "base/check.h"
#include "base/clock.h"
#include "worker/engine/sampled.h"
#include "worker/engine/system_turns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* U+FDD0 to U+FDEF are no characters and never will be: one that no text of the request has breaks
 * the look-alikes. In UTF-8: EF B7 90 to EF B7 AF. */
#define BREAK_LEN   3
#define BREAKS      32
#define BREAK_FIRST 0x90

struct specials {
    struct special {
        const char *text; /* borrowed from the tokenizer */
        size_t len;
    } * at; /* owned */
    size_t n, cap;
    bool is_first[256]; /* bytes one of them begins with */
};

static void add_special(void *ctx, const char *text, size_t len)
{
    struct specials *s = ctx;

    if (s->n == s->cap) {
        s->cap = s->cap != 0 ? 2 * s->cap : 64;
        s->at = realloc(s->at, s->cap * sizeof *s->at);
        CHECK(s->at != NULL);
    }
    s->at[s->n++] = (struct special){text, len};
    s->is_first[(unsigned char)text[0]] = true;
}

static bool is_special_at(const struct specials *s, const char *text, size_t len)
{
    if (!s->is_first[(unsigned char)text[0]])
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (s->at[i].len <= len && memcmp(s->at[i].text, text, s->at[i].len) == 0)
            return true;
    return false;
}

/* Walk every string of a tree: the fn of a value may change it, keys come with value NULL. */
typedef int string_fn(void *ctx, struct json_object *value, const char *text, size_t len);

static int walk_strings(struct json_object *o, string_fn *fn, void *ctx)
{
    enum json_type type = json_type_of(o);
    int rc = 0;

    if (type == JSON_STRING) {
        size_t len;
        const char *text = json_string(o, &len);
        return fn(ctx, o, text, len);
    }
    for (size_t i = 0; type == JSON_ARRAY && rc == 0 && i < json_length(o); i++)
        rc = walk_strings(json_at(o, i), fn, ctx);
    if (type == JSON_OBJECT)
        for (struct json_iterator it = json_members(o); rc == 0 && json_next(&it);) {
            rc = fn(ctx, NULL, it.key, strlen(it.key));
            if (rc == 0)
                rc = walk_strings(it.value, fn, ctx);
        }
    return rc;
}

/* All that the template may see: a format is for the answer. */
static int walk_shown(struct json_object *root, string_fn *fn, void *ctx)
{
    int rc = 0;

    for (struct json_iterator it = json_members(root); rc == 0 && json_next(&it);)
        if (strcmp(it.key, "format") != 0)
            rc = walk_strings(it.value, fn, ctx);
    return rc;
}

struct breaker {
    struct specials specials;
    uint32_t seen; /* bit i: the request has U+FDD0 + i */
    char mark[BREAK_LEN];
    char point[BREAK_LEN]; /* another one, for sampled.h */
    bool has_point;
    char system_mark[BREAK_LEN]; /* likewise */
    bool has_system_mark;
    struct buf text; /* scratch */
    struct err *e;
};

static int note_marks(void *ctx, struct json_object *value, const char *text, size_t len)
{
    struct breaker *b = ctx;

    (void)value;
    for (const char *p = text; (p = memmem(p, len - (size_t)(p - text), "\xef\xb7", 2)) != NULL;
         p += 2) {
        if (p + 2 == text + len)
            break;
        unsigned last = (unsigned char)p[2] - (unsigned)BREAK_FIRST;
        if (last < BREAKS)
            b->seen |= UINT32_C(1) << last;
    }
    return 0;
}

static size_t sequence_len(unsigned char first)
{
    return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static int break_string(void *ctx, struct json_object *value, const char *text, size_t len)
{
    struct breaker *b = ctx;
    size_t copied = 0;

    buf_clear(&b->text);
    for (size_t i = 0; i < len; i++) {
        if (!is_special_at(&b->specials, text + i, len - i))
            continue;
        if (value == NULL)
            return err_set(b->e, EINVAL, "the name \"%.40s\" holds a special token of this model",
                           text);
        size_t end = i + sequence_len((unsigned char)text[i]);
        buf_add(&b->text, text + copied, end - copied);
        buf_add(&b->text, b->mark, BREAK_LEN);
        copied = end;
    }
    if (copied == 0)
        return 0;
    buf_add(&b->text, text + copied, len - copied);
    json_set_string(value, b->text.data, b->text.len);
    return 0;
}

/* One that the request does not have. */
static bool take_point(struct breaker *b, char point[BREAK_LEN])
{
    int free_bit = __builtin_ffs((int)~b->seen) - 1;

    if (free_bit < 0)
        return false;
    b->seen |= UINT32_C(1) << free_bit;
    memcpy(point, "\xef\xb7", 2);
    point[2] = (char)(BREAK_FIRST + free_bit);
    return true;
}

/* Break the look-alikes in all the template will see. */
static int break_specials(struct breaker *b, struct json_object *root)
{
    int rc = walk_shown(root, note_marks, b);

    if (rc != 0)
        return rc;
    if (!take_point(b, b->mark))
        return err_set(b->e, EINVAL,
                       "the messages use all of U+FDD0 to U+FDEF, which are no "
                       "characters");
    b->has_point = take_point(b, b->point);
    b->has_system_mark = take_point(b, b->system_mark);
    return walk_shown(root, break_string, b);
}

/* Take the marks out again and note where they were. */
static size_t *find_cuts(struct buf *text, const char *mark, size_t *n)
{
    size_t *cuts = NULL, cap = 0, to = 0, from = 0;

    *n = 0;
    for (;;) {
        char *found = memmem(text->data + from, text->len - from, mark, BREAK_LEN);
        size_t end = found != NULL ? (size_t)(found - text->data) : text->len;
        memmove(text->data + to, text->data + from, end - from);
        to += end - from;
        if (found == NULL)
            break;
        if (*n == cap) {
            cap = cap != 0 ? 2 * cap : 16;
            cuts = realloc(cuts, cap * sizeof *cuts);
            CHECK(cuts != NULL);
        }
        cuts[(*n)++] = to;
        from = end + BREAK_LEN;
    }
    text->len = to;
    return cuts;
}

/* Content of text parts as one string, for templates that know no parts. */
static void join_parts(struct json_object *messages)
{
    struct buf text = {0};

    for (size_t i = 0; i < json_length(messages); i++) {
        struct json_object *m = json_at(messages, i);
        const struct json_object *content = json_get(m, "content");
        if (content == NULL || json_type_of(content) != JSON_ARRAY)
            continue;
        buf_clear(&text);
        for (size_t k = 0; k < json_length(content); k++) {
            size_t len;
            const char *part = json_string(json_get(json_at(content, k), "text"), &len);
            if (k > 0)
                buf_add_char(&text, '\n');
            buf_add(&text, part, len);
        }
        json_put_string(m, "content", buf_text(&text), text.len);
    }
    buf_free(&text);
}

/* What the request gives its template: chat_template_kwargs, thinking, and reasoning_effort as
 * templates know it; "none" is what enable_thinking = false means to the Qwen family. The first of
 * these that says something counts. */
static struct json_object *find_arguments(const struct params *p, struct json_object **owned)
{
    const struct sampling_value *effort = &p->sampling.reasoning_effort;
    struct json_object *arguments = p->sampling.chat_template_kwargs.value;

    if (!effort->is_set && !p->has_thinking)
        return arguments;
    if (arguments == NULL)
        arguments = *owned = json_new_object();
    if (p->has_thinking && json_get(arguments, "enable_thinking") == NULL)
        json_put_bool(arguments, "enable_thinking", p->is_thinking);
    if (!effort->is_set)
        return arguments;
    size_t len;
    const char *text = json_string(effort->value, &len);
    if (json_get(arguments, "reasoning_effort") == NULL)
        json_put_string(arguments, "reasoning_effort", text, len);
    if (strcmp(text, "none") == 0 && json_get(arguments, "enable_thinking") == NULL)
        json_put_bool(arguments, "enable_thinking", false);
    return arguments;
}

/* What the prompt is rendered from, but for the messages. */
struct rendering {
    const struct language *language;
    const struct params *params;
    struct json_object *arguments; /* borrowed, or owned below */
    struct json_object *owned;
    int64_t now_s; /* one clock for all that is rendered of a request */
    const char *system_mark; /* borrowed; NULL: no message has it */
    struct err *e;
};

static int begin_rendering(struct rendering *r, const struct language *l, const struct params *p,
                           struct err *e)
{
    *r = (struct rendering){.language = l, .params = p, .e = e};
    if (l->chat_template == NULL)
        return err_set(e, EINVAL, "this model has no chat template: use /v1/completions");
    if (!l->takes_parts)
        join_parts(p->messages);
    r->arguments = find_arguments(p, &r->owned);
    r->now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
    return 0;
}

static int render(void *ctx, const struct json_object *messages, struct buf *text)
{
    const struct rendering *r = ctx;
    struct chat_input in = {.messages = messages,
                            .tools = r->params->tools,
                            .arguments = r->arguments,
                            .add_generation_prompt = r->params->add_generation_prompt,
                            .now_s = r->now_s};

    int rc = chat_template_render(r->language->chat_template, &in, text, r->e);
    if (rc == 0 && r->system_mark != NULL)
        system_turns_restore(text, r->system_mark);
    return rc;
}

static bool ends_in_think(const struct buf *text)
{
    size_t end = text->len;

    while (end > 0 && strchr(" \t\r\n", text->data[end - 1]) != NULL)
        end--;
    return end >= 7 && memcmp(text->data + end - 7, "<think>", 7) == 0;
}

/* What this model cannot do, of what a chat asks for. */
static int check_abilities(const struct language *l, const struct params *p, struct err *e)
{
    bool may_think = l->reasons && p->thinking_tokens != THINKING_UNLIMITED;

    if (l->chat_template != NULL && json_length(p->tools) > 0 && !l->shows_tools)
        return err_set(e, ENOTSUP,
                       "tools: this model's chat template takes none, or calls them "
                       "in a form that is not known here");
    if (may_think && l->think_end == TOKENIZER_NOT_FOUND)
        return err_set(e, ENOTSUP,
                       "thinking_tokens: the vocabulary of this model has no </think> that would "
                       "end its reasoning");
    return 0;
}

/* The last special token of a prompt is what opens the answer, or a part of that; so do messages
 * begin. */
static uint32_t find_opener(const struct language *l, const struct token_ids *ids)
{
    for (size_t i = ids->n; i-- > 0;) {
        uint32_t id = ids->id[i];
        if (tokenizer_is_special(l->tokenizer, id) && id != l->think_start && id != l->think_end)
            return id;
    }
    return PROMPT_NO_OPENER;
}

/* Appends the ids of a text of the template's, in which look-alikes are broken. */
static int encode_rendered(const struct language *l, const struct breaker *b, struct buf *text,
                           struct token_ids *ids, struct err *e)
{
    size_t n_cuts;
    size_t *cuts = find_cuts(text, b->mark, &n_cuts);
    struct tokenizer_input in = {
        .text = text->data, .len = text->len, .cuts = cuts, .n_cuts = n_cuts};
    int rc = tokenizer_encode(l->tokenizer, &in, ids, e);

    free(cuts);
    return rc;
}

static void add_sampled(const struct sampled *s, struct token_ids *ids)
{
    for (size_t i = 0; i < s->ids.n; i++)
        token_ids_add(ids, s->ids.id[i]);
}

/* The text around sampled tokens piece by piece, as the prompts were that they are answers to.
 * False, and no ids: a piece behind tokens does not begin with a special one, so that its own might
 * be others without them. */
static bool encode_pieces(const struct language *l, const struct breaker *b,
                          const struct sampled_list *s, struct token_ids *ids)
{
    struct buf piece = {0};
    struct err ignored = {0};
    size_t from = s->text.pos;
    bool is_encoded = true;

    for (size_t i = 0; i <= s->n && is_encoded; i++) {
        size_t end = i < s->n ? s->at[i].at : s->text.len, n_before = ids->n;
        if (i < s->n && !s->at[i].is_used)
            continue;
        buf_clear(&piece);
        buf_add(&piece, s->text.data + from, end - from);
        if (end > from)
            is_encoded = encode_rendered(l, b, &piece, ids, &ignored) == 0;
        if (n_before > 0 && ids->n > n_before)
            is_encoded &= tokenizer_is_special(l->tokenizer, ids->id[n_before]);
        if (i < s->n)
            add_sampled(&s->at[i], ids);
        from = end;
    }
    buf_free(&piece);
    if (!is_encoded)
        ids->n = 0;
    return is_encoded;
}

static int encode_prompt(const struct breaker *b, struct sampled_list *s, struct rendering *r,
                         struct prompt *out)
{
    const struct language *l = r->language;
    struct err ignored = {0};

    r->e = &ignored; /* what goes wrong with marks is no fault of the request */
    if (b->has_point && sampled_place(s, r->params->messages, b->point, &out->text, render, r) &&
        encode_pieces(l, b, s, &out->ids))
        return 0;
    return encode_rendered(l, b, &out->text, &out->ids, &out->error);
}

static int make_from_messages(const struct language *l, struct params *p, struct prompt *out)
{
    struct err *e = &out->error;
    struct breaker b = {.e = e};
    struct sampled_list sampled;
    struct rendering r = {0};

    if (check_abilities(l, p, e) != 0)
        return -e->code;
    /* before the look-alikes are broken: in schemas they are as they are */
    if (p->kind == PROMPT_CHAT && forms_find(l->forms, p, l->call_form.kind, &out->grammar,
                                             &out->is_unconstrained, e) != 0)
        return -e->code;
    tokenizer_each_special(l->tokenizer, add_special, &b.specials);
    sampled_take(&sampled, l, p->messages);
    int rc = break_specials(&b, p->root);
    if (rc == 0)
        rc = begin_rendering(&r, l, p, e);
    if (rc == 0 && !l->takes_system_turns && b.has_system_mark &&
        system_turns_mark(p->messages, b.system_mark) > 0)
        r.system_mark = b.system_mark;
    if (rc == 0)
        rc = render(&r, p->messages, &out->text);
    if (rc == 0 && p->kind == PROMPT_TEMPLATE) {
        size_t n_cuts;
        free(find_cuts(&out->text, b.mark, &n_cuts));
    } else if (rc == 0) {
        rc = encode_prompt(&b, &sampled, &r, out);
        out->opener = find_opener(l, &out->ids);
        out->starts_reasoning = p->kind == PROMPT_CHAT && ends_in_think(&out->text);
        buf_free(&out->text);
    }
    json_free(&r.owned);
    sampled_free(&sampled);
    free(b.specials.at);
    buf_free(&b.text);
    return rc;
}

static int make_from_text(const struct language *l, const struct params *p, struct prompt *out)
{
    struct tokenizer_input in = {.add_special = p->add_special_tokens};

    in.text = json_string(p->prompt, &in.len);
    return tokenizer_encode(l->tokenizer, &in, &out->ids, &out->error);
}

static int make_from_ids(const struct language *l, const struct params *p, struct prompt *out)
{
    for (size_t i = 0; i < json_length(p->prompt); i++) {
        int64_t id = json_integer(json_at(p->prompt, i)); /* params_parse has checked the type */
        if (id < 0 || id >= l->vocab)
            return err_set(&out->error, EINVAL,
                           "prompt[%zu]: found token %lld, expected one below %u", i, (long long)id,
                           l->vocab);
        token_ids_add(&out->ids, (uint32_t)id);
    }
    return 0;
}

/* Ids to text: what PROMPT_DETOKENIZE recites. */
static void detokenize(const struct language *l, struct prompt *out)
{
    struct detokenizer d;

    detokenizer_init(&d, l->tokenizer, true);
    for (size_t i = 0; i < out->ids.n; i++)
        detokenizer_push(&d, out->ids.id[i], &out->text);
}

void prompt_make(const struct language *l, struct params *p, struct prompt *out)
{
    int rc;

    out->opener = PROMPT_NO_OPENER;
    if (p->messages != NULL)
        rc = make_from_messages(l, p, out);
    else if (json_type_of(p->prompt) == JSON_STRING)
        rc = make_from_text(l, p, out);
    else
        rc = make_from_ids(l, p, out);
    if (rc == 0 && p->kind == PROMPT_DETOKENIZE)
        detokenize(l, out);
    if (rc != 0)
        out->code = rc == -ENOTSUP ? FAIL_UNSUPPORTED : FAIL_INVALID_REQUEST;
}

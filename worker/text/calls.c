#include "worker/text/calls.h"

#include "base/check.h"
#include "base/utf8.h"
#include "worker/text/calls_parts.h"

#include <string.h>

static const struct {
    const char *text;
    size_t len;
} tag_texts[] = {
#define X(constant, text) {text, sizeof(text) - 1},
    TAGS(X)
#undef X
};

void calls_init(struct calls *c, const struct call_tools *tools, bool is_single)
{
    *c = (struct calls){.tools = tools != NULL && tools->n > 0 ? tools : NULL,
                        .is_single = is_single,
                        .channel = CHANNEL_CONTENT,
                        .is_fresh = true};
}

void calls_free(struct calls *c)
{
    buf_free(&c->hold);
    buf_free(&c->name);
    buf_free(&c->arguments);
    buf_free(&c->value);
}

/* --- text --- */

static void say_text(struct calls *c, const char *text, size_t len)
{
    if (len == 0)
        return;
    if (c->is_single && c->n_calls > 0) {
        c->is_over = true;
        return;
    }
    c->is_fresh = c->may_close = false;
    parts_add(c->out, c->channel, text, len);
}

/* What is held is text. */
static void release(struct calls *c, size_t len)
{
    say_text(c, c->hold.data, len);
    buf_clear(&c->hold);
}

static unsigned tags_of_text(const struct calls *c)
{
    unsigned tags = c->may_close ? TAG_BIT(TAG_CALL_END) : 0;

    if (c->n_calls < (c->is_single ? 1 : CALLS_MAX))
        tags |= TAG_BIT(TAG_CALL) | TAG_BIT(TAG_FUNCTION);
    return tags;
}

static void take_text(struct calls *c, const char *s, size_t n)
{
    unsigned tags = tags_of_text(c);
    bool may_call = (tags & TAG_BIT(TAG_CALL)) != 0;

    if (c->may_close && *s == '}')
        return; /* one too many behind the object */
    if (*s == '<' && tags != 0) {
        calls_begin_tag(c, tags);
    } else if (c->is_fresh && json_is_space(*s)) {
        buf_add(&c->hold, s, n);
    } else if (c->is_fresh && *s == '{' && may_call) {
        buf_add(&c->hold, s, n);
        c->is_tagged = false;
        c->state = CALLS_FIRST_KEY;
    } else {
        release(c, c->hold.len);
        say_text(c, s, n);
    }
}

static void take_opened(struct calls *c, const char *s, size_t n)
{
    if (*s == '<') {
        calls_begin_tag(c, TAG_BIT(TAG_FUNCTION));
    } else if (*s == '{' || json_is_space(*s)) {
        buf_add(&c->hold, s, n);
        if (*s == '{')
            c->state = CALLS_FIRST_KEY;
    } else {
        calls_give_up(c, s, n);
    }
}

/* --- tags --- */

void calls_begin_tag(struct calls *c, unsigned tags)
{
    c->tags = tags;
    c->tag_at = c->hold.len;
    buf_add_char(&c->hold, '<');
}

static void end_text_tag(struct calls *c, enum tag tag)
{
    if (tag == TAG_CALL_END) {
        buf_clear(&c->hold);
        c->may_close = false;
        c->is_over = c->is_single;
        return;
    }
    c->is_tagged = tag == TAG_CALL || c->state == CALLS_OPENED;
    c->state = tag == TAG_CALL ? CALLS_OPENED : CALLS_FUNCTION;
    buf_clear(&c->name);
}

static void end_tag(struct calls *c, enum tag tag)
{
    if (c->state == CALLS_BODY)
        calls_body_tag(c, tag);
    else if (c->state == CALLS_VALUE)
        calls_value_end(c);
    else if (c->state == CALLS_RAW)
        calls_finish(c, true);
    else
        end_text_tag(c, tag);
}

/* The character is not of the tag that began. */
static void break_tag(struct calls *c, const char *s, size_t n)
{
    bool is_text = c->state == CALLS_TEXT;

    if (!is_text && c->state != CALLS_VALUE && c->state != CALLS_RAW) {
        calls_give_up(c, s, n);
        return;
    }
    c->tags = 0;
    if (is_text)
        release(c, c->hold.len);
    else
        calls_value_add(c, c->hold.data, c->hold.len);
    buf_clear(&c->hold);
    calls_take(c, s, n);
}

static void take_tag(struct calls *c, const char *s, size_t n)
{
    size_t at = c->hold.len - c->tag_at;
    unsigned left = 0;

    for (unsigned tag = 0; tag < TAGS_N; tag++)
        if ((c->tags & TAG_BIT(tag)) != 0 && tag_texts[tag].text[at] == *s)
            left |= TAG_BIT(tag);
    if (left == 0) {
        break_tag(c, s, n);
        return;
    }
    buf_add(&c->hold, s, n);
    c->tags = left;
    for (unsigned tag = 0; tag < TAGS_N; tag++)
        if ((left & TAG_BIT(tag)) != 0 && tag_texts[tag].len == at + 1) {
            c->tags = 0; /* none is the beginning of another */
            end_tag(c, (enum tag)tag);
            return;
        }
}

/* --- calls --- */

static void forget_call(struct calls *c)
{
    c->state = CALLS_TEXT;
    c->tags = 0;
    c->is_certain = c->has_arguments = c->has_parameter = false;
    c->tool = NULL;
    buf_clear(&c->hold);
    buf_clear(&c->name);
    buf_clear(&c->arguments);
    buf_clear(&c->value);
}

/* A tag that has just begun may be the beginning of a call of its own: it is read once more. Behind
 * a certain call that is all that is held. */
void calls_give_up(struct calls *c, const char *s, size_t n)
{
    char again[CALLS_NAME_MAX + 32];
    size_t shown = c->tags != 0 ? c->tag_at : c->hold.len;

    if (c->is_certain)
        shown = 0;
    size_t n_again = c->hold.len - shown;
    CHECK(n_again <= sizeof again);
    if (n_again > 0)
        memcpy(again, c->hold.data + shown, n_again);
    if (c->is_certain) {
        if (c->has_parameter)
            calls_say(c, "}", 1);
        calls_finish(c, false);
    } else {
        release(c, shown);
        forget_call(c);
    }
    for (size_t i = 0; i < n_again;) {
        size_t len = utf8_sequence(again + i, n_again - i);
        calls_take(c, again + i, len);
        i += len;
    }
    if (n > 0)
        calls_take(c, s, n);
}

void calls_commit(struct calls *c)
{
    size_t len;
    const char *name = call_tools_name(c->tools, c->tool, &len);

    CHECK(!c->is_certain && c->tool != NULL);
    parts_add(c->out, CHANNEL_CALL, name, len);
    c->has_left_reasoning |= c->channel == CHANNEL_REASONING;
    c->channel = CHANNEL_CONTENT;
    c->is_certain = true;
    c->n_calls++;
    buf_clear(&c->hold);
}

void calls_say(struct calls *c, const char *text, size_t len)
{
    parts_add(c->out, CHANNEL_ARGUMENTS, text, len);
}

void calls_finish(struct calls *c, bool is_closed)
{
    CHECK(c->is_certain);
    c->may_close = c->is_tagged && !is_closed;
    forget_call(c);
    c->is_fresh = true;
    c->is_over = c->is_single && !c->may_close;
}

/* --- characters --- */

static calls_step *const steps[CALLS_STATES_N] = {
    [CALLS_TEXT] = take_text,
    [CALLS_OPENED] = take_opened,
    [CALLS_FUNCTION] = calls_function,
    [CALLS_BODY] = calls_body,
    [CALLS_PARAMETER] = calls_parameter,
    [CALLS_VALUE] = calls_value,
    [CALLS_FIRST_KEY] = calls_first_key,
    [CALLS_KEY] = calls_key,
    [CALLS_COLON] = calls_colon,
    [CALLS_MEMBER] = calls_member,
    [CALLS_NAME] = calls_name,
    [CALLS_ARGUMENTS] = calls_arguments,
    [CALLS_ARGUMENTS_STRING] = calls_arguments_string,
    [CALLS_SKIP] = calls_skip,
    [CALLS_NEXT] = calls_next,
    [CALLS_NEXT_KEY] = calls_next_key,
    [CALLS_RAW] = calls_value,
};

void calls_take(struct calls *c, const char *s, size_t n)
{
    if (c->is_over)
        return;
    if (c->tags != 0)
        take_tag(c, s, n);
    else
        steps[c->state](c, s, n);
    if (!c->is_certain && c->hold.len + c->arguments.len > CALLS_HOLD_MAX)
        calls_give_up(c, "", 0);
}

/* How many bytes need no looking at. */
static size_t count_plain(const struct calls *c, const char *text, size_t len)
{
    if (c->state != CALLS_TEXT || c->is_fresh || c->tags != 0 || c->is_over ||
        (c->is_single && c->n_calls > 0))
        return 0;
    const char *tag = memchr(text, '<', len);
    return tag != NULL ? (size_t)(tag - text) : len;
}

void calls_push(struct calls *c, const char *text, size_t len, struct parts *out)
{
    if (c->tools == NULL) {
        parts_add(out, c->channel, text, len);
        return;
    }
    c->out = out;
    for (size_t i = 0; i < len && !c->is_over;) {
        size_t n = count_plain(c, text + i, len - i);
        if (n > 0) {
            say_text(c, text + i, n);
        } else {
            n = utf8_sequence(text + i, len - i);
            CHECK(n > 0);
            calls_take(c, text + i, n);
        }
        i += n;
    }
}

/* --- channels and the end --- */

enum channel calls_channel(const struct calls *c, enum channel channel)
{
    return channel == CHANNEL_REASONING && c->has_left_reasoning ? CHANNEL_CONTENT : channel;
}

void calls_end(struct calls *c, bool is_cut, struct parts *out)
{
    c->out = out;
    if (c->is_over)
        return;
    if (c->state == CALLS_BODY || c->state == CALLS_PARAMETER || c->state == CALLS_VALUE)
        calls_xml_end(c, is_cut);
    else if (c->is_certain)
        calls_finish(c, false);
    bool is_rest = c->is_fresh && c->n_calls > 0 && c->tags == 0 && c->state == CALLS_TEXT;
    if (!is_rest)
        release(c, c->hold.len);
    forget_call(c);
}

void calls_turn(struct calls *c, enum channel channel, struct parts *out)
{
    enum channel to = calls_channel(c, channel);

    c->has_left_reasoning &= channel == CHANNEL_REASONING;
    if (to == c->channel)
        return;
    calls_end(c, false, out);
    c->channel = to;
    c->is_fresh = to == CHANNEL_CONTENT;
    c->may_close = false;
}

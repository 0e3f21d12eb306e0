#include "tools/chat/talk.h"

#include "base/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text, size_t len)
{
    char *to = malloc(len + 1);

    CHECK(to != NULL);
    memcpy(to, text, len);
    to[len] = '\0';
    return to;
}

void talk_free(struct talk *t)
{
    talk_clear(t);
    free(t->turn);
    free(t->model);
    free(t->system);
    *t = (struct talk){0};
}

void talk_set_system(struct talk *t, const char *text)
{
    free(t->system);
    t->system = text != NULL && text[0] != '\0' ? copy(text, strlen(text)) : NULL;
}

void talk_add(struct talk *t, enum talk_role role, const char *text, size_t len)
{
    t->turn = realloc(t->turn, (t->n_turns + 1) * sizeof *t->turn);
    CHECK(t->turn != NULL);
    t->turn[t->n_turns++] = (struct talk_turn){role, copy(text, len), len};
}

void talk_drop_last(struct talk *t)
{
    CHECK(t->n_turns > 0);
    free(t->turn[--t->n_turns].text);
}

void talk_clear(struct talk *t)
{
    while (t->n_turns > 0)
        talk_drop_last(t);
}

static void add_message(struct buf *out, const char *role, const char *text, size_t len)
{
    buf_printf(out, "{\"role\":\"%s\",\"content\":", role);
    buf_add_json_string(out, text, len);
    buf_add_char(out, '}');
}

static void add_wishes(const struct talk_wishes *w, struct buf *out)
{
    if (w->max_tokens > 0)
        buf_printf(out, ",\"max_tokens\":%" PRId64, w->max_tokens);
    if (!isnan(w->temperature))
        buf_printf(out, ",\"temperature\":%.15g", w->temperature);
    if (w->has_seed)
        buf_printf(out, ",\"seed\":%" PRIu64, w->seed);
    if (w->no_thinking)
        buf_add_str(out, ",\"chat_template_kwargs\":{\"enable_thinking\":false}");
}

void talk_write_request(const struct talk *t, struct buf *out)
{
#define X(constant, text) text,
    static const char *const roles[] = { TALK_ROLES(X) };
#undef X
    buf_add_str(out, "{\"model\":");
    buf_add_json_string(out, t->model, strlen(t->model));
    buf_add_str(out, ",\"stream\":true,\"messages\":[");
    if (t->system != NULL)
        add_message(out, "system", t->system, strlen(t->system));
    for (size_t i = 0; i < t->n_turns; i++) {
        if (i > 0 || t->system != NULL)
            buf_add_char(out, ',');
        add_message(out, roles[t->turn[i].role], t->turn[i].text, t->turn[i].len);
    }
    buf_add_char(out, ']');
    add_wishes(&t->wishes, out);
    buf_add_char(out, '}');
}

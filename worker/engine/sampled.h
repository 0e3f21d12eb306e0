/* Messages that repeat an answer of the model as the very tokens it was: "sampled" of the canonical
 * request. The model reads again what it has written, and the prefix cache knows it.
 *
 * Such a message goes through the template with marks in place of its reasoning and its content,
 * and without its calls. Where the marks come out the tokens belong; what stands around them must
 * be what stands around the message otherwise. A template that drops earlier reasoning drops its
 * mark: then, and whenever anything else does not fit, the message is the text that the client has
 * sent. */
#ifndef WORKER_ENGINE_SAMPLED_H
#define WORKER_ENGINE_SAMPLED_H

#include "base/json.h"
#include "worker/engine/prompt.h"

#define SAMPLED_MARK_LEN 3 /* bytes of a code point that the request does not have */

/* Where in a message its tokens begin. */
enum sampled_start {
    SAMPLED_IN_ANSWER,
    SAMPLED_IN_THOUGHT,    /* the prompt had opened it */
    SAMPLED_BEFORE_THOUGHT /* they open it themselves */
};

struct sampled {
    size_t message; /* index */
    struct token_ids ids;
    enum sampled_start start;
    bool is_used; /* in the text below */
    size_t at;    /* of the text: they stand in front of this byte */
};

struct sampled_list {
    struct sampled *at; /* owned, in order */
    size_t n;
    struct buf text; /* of the prompt, without what they stand for */
};

/* Takes "sampled" out of all messages. */
void sampled_take(struct sampled_list *s, const struct language *l, struct json_object *messages);
void sampled_free(struct sampled_list *s);

/* Renders messages to text: 0, or an error. */
typedef int sampled_render_fn(void *ctx, const struct json_object *messages, struct buf *text);

/* Fills text, and says which are used where. False: none; the prompt is `normal`, rendered from the
 * same messages. Does not change them. */
bool sampled_place(struct sampled_list *s, const struct json_object *messages, const char *mark,
                   const struct buf *normal, sampled_render_fn *render, void *ctx);

#endif

/* System messages behind the first, for chat templates that take one at the beginning only. Such a
 * message goes through the template as a user's, with a mark where its text begins; in what comes
 * out, "user" in front of the mark becomes "system". Where the template writes no such word it
 * stays a user's turn; it is in its place in any case. */
#ifndef WORKER_ENGINE_SYSTEM_TURNS_H
#define WORKER_ENGINE_SYSTEM_TURNS_H

#include "base/buf.h"
#include "base/json.h"
#include "worker/text/chat_template.h"

#define SYSTEM_MARK_LEN 3 /* bytes of a code point that the request does not have */

/* Whether a template renders them by itself. */
bool system_turns_are_known(const struct chat_template *t);

/* Changes the messages; the number of those that were. */
size_t system_turns_mark(struct json_object *messages, const char *mark);
void system_turns_restore(struct buf *text, const char *mark);

#endif

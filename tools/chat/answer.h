/* An answer as it comes over HTTP: shown piece by piece, kept for the conversation; or the sentence
 * why there is none. */
#ifndef TOOLS_CHAT_ANSWER_H
#define TOOLS_CHAT_ANSWER_H

#include "tools/chat/screen.h"
#include "tools/chat/sse.h"

struct answer {
    struct screen *screen; /* borrowed */
    struct sse sse;
    struct buf content; /* owned: what was said, without the reasoning */
    struct buf refusal; /* owned: the body of an answer with another status than 200 */
    long status;
    bool is_done; /* its end was announced */
    bool is_cut;  /* by a limit of tokens */
};

void answer_open(struct answer *a, struct screen *screen);
void answer_close(struct answer *a);

/* Bytes of the body under an HTTP status. 0, or -errno with the sentence, which ends it: -EREMOTEIO
 * when the server says so in the stream, -EPIPE when nobody reads what is shown, -EPROTO. */
int answer_take(void *answer, long status, const char *bytes, size_t len, struct err *e);

/* The connection is at its end: 0 when the answer is whole; -EREMOTEIO with the server's sentence;
 * -EPROTO when it broke off. is_passing: the same may work later. */
int answer_end(struct answer *a, bool *is_passing, struct err *e);

#endif

/* The text state of one answer: what each token adds to what the client reads.
 *
 * A pure function of the tokens so far: a fresh state that is given the first k tokens again is the
 * state after k tokens, which is how a request goes on in another worker. Stop strings apply to the
 * content channel; where the channel changes, what was held back is shown first.
 *
 * Echoed tokens of the prompt come before all others: they have a place and text like any other,
 * but no stop string applies to them and they do not count against n_max.
 */
#ifndef WORKER_ANSWER_H
#define WORKER_ANSWER_H

#include "shm/protocol.h"
#include "worker/text/stop.h"

#define ANSWER_UNLIMITED UINT32_MAX

struct answer {
    const struct stop_list *stops;  /* borrowed */
    struct stop content, reasoning; /* reasoning has no stop strings */
    struct buf ready;               /* owned: encoded parts not taken yet */
    uint32_t n_tokens;              /* echoed ones included */
    uint32_t n_echo;                /* the first tokens: of the prompt */
    uint32_t n_max;                 /* generated ones; ends with FINISH_LENGTH there */
    enum channel channel;
    bool is_stopped; /* a stop string is complete */
};

/* What could have stood in a token's place; of the list of a token the first is the token itself,
 * then come the likeliest ones, itself again where it is among them. */
struct token_top {
    uint32_t id;
    float logprob;
    const char *text; /* borrowed; bytes, not always whole UTF-8 sequences */
    size_t len;       /* cut at TOP_TEXT_MAX when it is sent */
};

/* One token, as an engine gives it. Text that is not UTF-8 counts three times. */
struct token {
    uint32_t id;
    float logprob;
    bool is_prompt; /* echoed, not generated: no stop string, not counted against n_max */
    uint8_t n_tops; /* at most TOPS_MAX; 0 unless asked for */
    enum channel channel;
    const struct token_top *tops; /* borrowed */
    const char *text;             /* borrowed */
    size_t len;                   /* at most TOKEN_TEXT_MAX */
};

void answer_init(struct answer *a, const struct stop_list *stops, uint32_t n_max);
/* Before the first token: the prompt's n_echo tokens come first. */
void answer_echo(struct answer *a, uint32_t n_echo);
void answer_free(struct answer *a);

/* The next token came. */
void answer_add(struct answer *a, const struct token *token);

/* The generation is over: show what was held back. */
void answer_end(struct answer *a);

/* Append to out, as parts of shm/protocol.h, what may be shown, at most TOKEN_TEXT_MAX bytes of
 * text; the rest waits for the next call. The number of parts. */
uint8_t answer_take(struct answer *a, struct buf *out);

/* Whether no token may follow, and why. */
bool answer_is_over(const struct answer *a, enum finish_reason *reason);

#endif

/* The text state of one answer: what each token adds to what the client reads.
 *
 *     bytes -> whole characters -> text and tool calls (worker/text/calls.h)
 *                                    content -> stop strings -> parts
 *                                    reasoning, calls --------> parts
 *
 * A pure function of the tokens so far: a fresh state that is given the first k tokens again is the
 * state after k tokens, which is how a request goes on in another worker. Stop strings apply to the
 * content alone; where it ends, what was held back of it is shown first.
 *
 * Echoed tokens of the prompt come before all others: they have a place and text like any other,
 * but no stop string applies to them and they do not count against n_max.
 */
#ifndef WORKER_ANSWER_H
#define WORKER_ANSWER_H

#include "shm/protocol.h"
#include "worker/text/calls.h"
#include "worker/text/stop.h"

#define ANSWER_UNLIMITED UINT32_MAX

struct answer_rules {
    const struct stop_list *stops;  /* borrowed */
    const struct call_tools *tools; /* borrowed; NULL: nothing is a call */
    bool has_single_call;           /* it ends with its first call */
    uint32_t n_max;                 /* generated tokens; ends with FINISH_LENGTH there */
};

struct answer {
    struct answer_rules rules;
    struct stop bytes; /* without stop strings: makes whole characters of them */
    struct calls calls;
    struct stop content;
    struct parts read;      /* owned: scratch, out of calls */
    struct buf text, shown; /* owned: scratch */
    struct parts ready;     /* owned: not taken yet */
    uint32_t n_tokens;      /* echoed ones included */
    uint32_t n_echo;        /* the first tokens: of the prompt */
    bool is_stopped;        /* a stop string is complete, or the only call */
    bool has_call, has_shown;
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
    bool is_prompt;       /* echoed, not generated: no stop string, not counted against n_max */
    uint8_t n_tops;       /* at most TOPS_MAX; 0 unless asked for */
    enum channel channel; /* content or reasoning */
    const struct token_top *tops; /* borrowed */
    const char *text;             /* borrowed */
    size_t len;                   /* at most TOKEN_TEXT_MAX */
};

void answer_init(struct answer *a, const struct answer_rules *rules);
/* Before the first token: the prompt's n_echo tokens come first. */
void answer_echo(struct answer *a, uint32_t n_echo);
void answer_free(struct answer *a);

/* The next token came. */
void answer_add(struct answer *a, const struct token *token);

/* The generation is over, for that reason: show what was held back. The reason to tell. */
enum finish_reason answer_end(struct answer *a, enum finish_reason reason);

/* Append to out, as parts of shm/protocol.h, all that the last token, or the end, made ready. The
 * number of parts. */
uint8_t answer_take(struct answer *a, struct buf *out);

/* Whether no token may follow, and why. */
bool answer_is_over(const struct answer *a, enum finish_reason *reason);

/* The stop string that ended it, from 1; 0: none did. */
static inline uint8_t answer_stop(const struct answer *a)
{
    return a->content.is_over ? (uint8_t)(a->content.which + 1) : 0;
}

/* Whether what comes now is reasoning. */
static inline bool answer_is_reasoning(const struct answer *a)
{
    return a->calls.channel == CHANNEL_REASONING;
}

#endif

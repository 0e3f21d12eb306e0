/* One request on its way through the worker's three threads.
 *
 *   loop     makes it, and says what comes of it to the router; owns everything until it is
 *            handed on, and frees it when nobody else has it any more
 *   front    has it between front_give and has_text: turns the request into ids
 *   compute  has it between compute_give and is_returned: turns ids into more ids
 *
 * Handing on is a lock of the taker's queue; handing back is a release store of the flag, which the
 * loop reads with acquire. Only the atomic members are touched by two threads at a time.
 */
#ifndef WORKER_ENGINE_SEQUENCE_H
#define WORKER_ENGINE_SEQUENCE_H

#include "worker/engine/constraint.h"
#include "worker/engine/prefix.h"
#include "worker/engine/sampler.h"
#include "worker/engine/thinking.h"
#include "worker/request.h"
#include "worker/text/tokenizer.h"

#include <stdatomic.h>
#include <sys/queue.h>

#define SEQUENCE_AHEAD 4   /* tokens computed before the first of them is taken */
#define SEQUENCE_RING  128 /* results that fit: a power of two, more than those of one step */
_Static_assert((SEQUENCE_RING & (SEQUENCE_RING - 1)) == 0, "indices wrap by masking");

#define PROMPT_NO_OPENER TOKENIZER_NOT_FOUND

/* What the front thread makes of a request. */
struct prompt {
    struct token_ids ids;  /* owned */
    uint32_t opener;       /* the special token that opens messages, or PROMPT_NO_OPENER */
    struct buf text;       /* owned: what is recited in pieces, of PROMPT_EMBED once it is there */
    bool starts_reasoning; /* the answer begins inside <think> */
    struct grammar *grammar; /* owned reference: the form of the answer; NULL: none */
    bool is_unconstrained;   /* a tool's schema was beyond what can be compiled */
    enum fail_code code;   /* when error.code is set: it is refused */
    struct err error;
};

/* What the compute thread says of one position. */
struct result {
    uint32_t token;
    float logprob;
    uint32_t n_tops; /* of top: the likeliest, without the token itself */
    bool is_prompt;  /* an echoed one */
};

struct result_top {
    uint32_t token;
    float logprob;
};

/* worker/engine/marks.h: positions in the prompt, 0: none. */
struct marks {
    uint32_t begin;   /* of what had to be read */
    uint32_t last;    /* mark that was passed, or begin */
    uint32_t opening; /* of the last message */
    uint32_t branch;  /* where it left what is known */
};

enum sequence_end { END_NONE, END_EOS, END_LENGTH, END_FAILED };

struct sequence {
    LIST_ENTRY(sequence) all; /* loop */

    /* --- loop --- */
    struct request *request; /* NULL: forgotten, to be freed once it has come back */
    bool is_with_front, is_with_compute;
    bool is_accepted; /* said */
    struct detokenizer detokenizer;
    enum channel channel;
    bool is_fresh; /* of this channel nothing was shown yet: line ends are left out */

    /* --- made by the loop before it is handed on, then read only --- */
    enum prompt_kind kind;
    struct params params; /* owned: the tree and what is read by front; the rest stays in request */
    uint32_t *resume;     /* owned: tokens of the journal */
    uint32_t n_resume;
    bool has_echo, has_logprobs;
    uint32_t n_top;

    /* --- front --- */
    struct prompt prompt;
    STAILQ_ENTRY(sequence) queued; /* in the queue of front or compute */
    _Atomic bool has_text;

    /* --- compute; made by the loop before --- */
    uint32_t *tokens; /* owned: [n_limit] prompt and answer */
    double *sum;      /* owned: [hidden] of the rows that count, for an embedding; else NULL */
    uint32_t n_prompt, n_tokens, n_limit;
    uint32_t n_out;  /* position of the next result: behind what the journal has */
    uint32_t n_done; /* tokens the model has read */
    int32_t slot;    /* DeltaNet state; -1: none */
    int32_t *pages;  /* owned: [n_pages_max] */
    int32_t n_pages, n_pages_max;
    int32_t n_shared; /* of these, whole ones that the prefix cache knows */
    struct marks marks;
    uint64_t age; /* smaller: admitted earlier */
    struct sampler sampler;
    struct thinking thinking;
    struct constraint constraint;
    TAILQ_ENTRY(sequence) scheduled; /* waiting or running */
    bool is_running;

    /* --- results: compute writes, loop reads --- */
    _Atomic bool is_admitted;      /* from here on the next three are fixed */
    uint32_t n_cached;             /* tokens found in the prefix cache at first */
    uint32_t n_matched;            /* tokens it knew, with a state or without */
    enum prefix_miss miss;         /* why not more */
    struct result *results;        /* owned: [SEQUENCE_RING] */
    struct result_top *tops;       /* owned: [SEQUENCE_RING][n_top], NULL without */
    _Atomic uint32_t results_head; /* loop: next to read */
    _Atomic uint32_t results_tail; /* compute: next to write */
    _Atomic int end;               /* enum sequence_end; compute, after the last result */
    struct err error;              /* of END_FAILED */
    float *vector;                 /* owned: [n_vector] of an embedding, before its end */
    uint32_t n_vector;             /* made by the loop before */

    /* --- loop writes, the others read --- */
    _Atomic bool is_cancelled;
    /* --- the other way --- */
    _Atomic bool is_returned; /* compute has let it go */
};
LIST_HEAD(sequence_list, sequence);
STAILQ_HEAD(sequence_queue, sequence);
TAILQ_HEAD(sequence_order, sequence);

struct sequence *sequence_new(void);

/* The prompt is known and fits: memory for n_max more tokens, and for pages of page_tokens (0: it
 * needs none). */
void sequence_begin(struct sequence *s, uint32_t n_max, uint32_t vocab, int32_t page_tokens);
/* The same of a prompt whose embedding is wanted: n_vector numbers out of rows of `hidden`, from
 * the result of the token at n_first on. */
void sequence_begin_embedding(struct sequence *s, uint32_t n_first, uint32_t n_vector,
                              uint32_t hidden, int32_t page_tokens);
void sequence_free(struct sequence *s);

/* Positions that have a result are below: nothing comes behind the limit, but the last row of an
 * embedding counts like the others. */
static inline uint32_t sequence_results_end(const struct sequence *s)
{
    return s->sum != NULL ? s->n_limit + 1 : s->n_limit;
}

/* Results that are not taken yet. Called by compute. */
static inline uint32_t sequence_untaken(const struct sequence *s)
{
    return atomic_load_explicit(&s->results_tail, memory_order_relaxed) -
           atomic_load_explicit(&s->results_head, memory_order_acquire);
}

/* Position of the journal's first token. */
static inline uint32_t sequence_base(const struct sequence *s)
{
    return s->has_echo ? 0 : s->n_prompt;
}

#endif

#include "worker/engine/llm.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "worker/engine/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOAD_LOOK_NS (20 * NS_PER_MS) /* how often the progress of loading is shown */

static struct llm *llm_of(struct engine *g)
{
    return (struct llm *)g;
}

/* --- loading --- */

static void log_loaded(const struct loader *l)
{
    struct buf text = {0};
    const struct reader_stats *st = &l->stats;

    weights_plan_describe(&l->checkpoint.plan, &text);
    log_info(LOG_MODEL, "%s", buf_text(&text));
    buf_clear(&text);
    memory_plan_describe(&l->memory, &text);
    log_info(LOG_MODEL, "%s", buf_text(&text));
    if (st->elapsed_ns > 0)
        log_info(LOG_MODEL,
                 "read %" PRIu64 " MiB in %" PRIu64 " ms, %.2f GB/s (%" PRIu64
                 " MiB past the page cache, %" PRIu64 " out of it, %" PRIu64 " through it)",
                 st->bytes >> 20, (uint64_t)(st->elapsed_ns / NS_PER_MS),
                 (double)st->bytes / (double)st->elapsed_ns, st->bytes_direct >> 20,
                 st->bytes_cached >> 20, st->bytes_through >> 20);
    else
        log_info(LOG_MODEL, "the weights were kept in memory: nothing was read");
    if (l->checkpoint.generation.ignored[0] != '\0')
        log_warning(LOG_MODEL, "generation_config.json: not followed: %s",
                    l->checkpoint.generation.ignored);
    buf_free(&text);
}

/* Whether what sequences have read is kept for others. */
static bool is_keeping(const struct llm *m)
{
    return m->loader.settings->prefix_cache_percent > 0;
}

static int start_threads(struct llm *m, struct err *e)
{
    struct loader *l = &m->loader;
    const struct forward_shape *shape = &l->memory.shape;
    struct compute_setup setup = {.forward = l->forward,
                                  .pool = l->pool,
                                  .threads = shape->threads,
                                  .generation = &l->checkpoint.generation,
                                  .pooling = l->checkpoint.pooling.kind != POOLING_NONE
                                                 ? &l->checkpoint.pooling
                                                 : NULL,
                                  .vocab = l->checkpoint.config.vocab_size,
                                  .hidden = l->checkpoint.config.hidden_size,
                                  .limits = {.rows = shape->rows,
                                             .spans = shape->spans,
                                             .picks = shape->picks,
                                             .prefix = {.pages = shape->pages,
                                                        .page_tokens = shape->page_tokens,
                                                        .slots = shape->slots,
                                                        .is_keeping = is_keeping(m)}},
                                  .bytes = l->memory.bytes,
                                  .weights_bytes = l->memory.weights,
                                  .stall_ns = (uint64_t)l->settings->decode_stall_ms * NS_PER_MS,
                                  .wake_fd = m->engine.wake_fd};
    int rc = front_start(&m->front, &l->checkpoint.language, m->engine.wake_fd, e);

    return rc != 0 ? rc : compute_start(&m->compute, &setup, e);
}

static int become_loaded(struct llm *m, struct engine_facts *facts, struct err *e)
{
    const struct loader *l = &m->loader;
    const struct language *language = &l->checkpoint.language;
    bool has_text = l->checkpoint.pooling.kind == POOLING_NONE;
    int rc = start_threads(m, e);

    if (rc != 0)
        return rc;
    log_loaded(l);
    speaker_init(&m->speaker, language);
    m->seat = calloc(l->memory.seats, sizeof *m->seat);
    CHECK(m->seat != NULL);
    *facts = (struct engine_facts){
        .memory = {.weights_bytes = l->memory.weights,
                   .kv_bytes = l->memory.kv,
                   .state_bytes = l->memory.states,
                   .work_bytes = l->memory.activations + l->memory.sampling},
        .seats = l->memory.seats,
        .vocab = l->checkpoint.config.vocab_size,
        .context = l->memory.context,
        .has_text = has_text,
        .has_chat = has_text && language->chat_template != NULL,
        .has_tools = has_text && language->shows_tools,
        .has_reasoning =
            has_text && language->reasons && language->think_end != TOKENIZER_NOT_FOUND,
        .has_embedding = !has_text};
    m->is_loaded = true;
    return 1;
}

static int load(struct engine *g, uint64_t now_ns, struct engine_load *progress,
                struct engine_facts *facts, struct err *e)
{
    struct llm *m = llm_of(g);
    struct loader *l = &m->loader;

    (void)now_ns;
    g->is_woken = false;
    *progress = (struct engine_load){
        .bytes = atomic_load_explicit(&l->bytes, memory_order_relaxed),
        .bytes_total = atomic_load_explicit(&l->bytes_total, memory_order_relaxed),
        .is_waiting = atomic_load_explicit(&l->is_waiting, memory_order_relaxed)};
    /* acquire: pairs with the loader's release */
    switch (atomic_load_explicit(&l->state, memory_order_acquire)) {
    case LOADER_FAILED:
        *e = l->error;
        return -e->code;
    case LOADER_READY:
        return become_loaded(m, facts, e);
    default:
        return 0;
    }
}

static void grant(struct engine *g, const struct control_msg *msg, int fds[CONTROL_FDS])
{
    loader_grant(&llm_of(g)->loader, msg, fds);
}

/* --- the life of a sequence --- */

/* Its request wants nothing more of it. It is freed once it has come back. */
static void detach(struct llm *m, struct sequence *s)
{
    m->seat[s->request->seat] = NULL;
    s->request = NULL;
    atomic_store_explicit(&s->is_cancelled, true, memory_order_relaxed);
    if (s->is_with_compute)
        compute_kick(&m->compute);
}

static void finish(struct llm *m, struct sequence *s, enum finish_reason reason, uint64_t now_ns)
{
    struct request *r = s->request;

    detach(m, s);
    reply_done(m->engine.reply, r, reason, now_ns);
}

static void refuse(struct llm *m, struct sequence *s, enum fail_code code, const char *text)
{
    struct request *r = s->request;

    detach(m, s);
    reply_fail(m->engine.reply, r, code, text);
}

static bool is_with_front(struct sequence *s)
{
    /* acquire: pairs with the front's release */
    return s->is_with_front && !atomic_load_explicit(&s->has_text, memory_order_acquire);
}

static bool is_with_compute(struct sequence *s)
{
    /* acquire: pairs with let_go */
    return s->is_with_compute && !atomic_load_explicit(&s->is_returned, memory_order_acquire);
}

static void free_returned(struct llm *m)
{
    struct sequence *s, *next;

    for (s = LIST_FIRST(&m->all); s != NULL; s = next) {
        next = LIST_NEXT(s, all);
        if (s->request != NULL || is_with_front(s) || is_with_compute(s))
            continue;
        LIST_REMOVE(s, all);
        sequence_free(s);
    }
}

static bool is_recited(const struct sequence *s)
{
    return s->kind != PROMPT_CHAT && s->kind != PROMPT_COMPLETION;
}

/* Whether the model is one for what is asked, or a refusal. */
static enum fail_code check_kind(const struct llm *m, const struct request *r, struct err *e)
{
    const struct checkpoint *c = &m->loader.checkpoint;
    enum prompt_kind kind = r->params.kind;

    if (c->pooling.kind == POOLING_NONE && kind == PROMPT_EMBED)
        err_set(e, ENOTSUP, "this model generates text: it makes no embeddings");
    else if (c->pooling.kind != POOLING_NONE && (kind == PROMPT_CHAT || kind == PROMPT_COMPLETION))
        err_set(e, ENOTSUP, "this is an embedding model: it generates no text, ask /v1/embeddings");
    if (e->code != 0)
        return FAIL_UNSUPPORTED;
    if (r->params.dimensions <= c->config.hidden_size)
        return FAIL_CODES_N;
    err_set(e, EINVAL, "dimensions: found %u, expected 1 to %u, all that this model's vectors have",
            r->params.dimensions, c->config.hidden_size);
    return FAIL_INVALID_REQUEST;
}

static void submit(struct engine *g, struct request *r, uint64_t now_ns)
{
    struct llm *m = llm_of(g);
    struct sequence *s = sequence_new();
    const struct checkpoint *c = &m->loader.checkpoint;
    struct err e = {0};

    (void)now_ns;
    s->request = r;
    s->kind = r->params.kind;
    s->has_echo = r->params.has_echo;
    s->has_logprobs = r->params.logprobs >= 0;
    s->n_top = s->has_logprobs ? (uint32_t)r->params.logprobs : 0;
    LIST_INSERT_HEAD(&m->all, s, all);
    m->seat[r->seat] = s;
    enum fail_code code = check_kind(m, r, &e);
    if (code != FAIL_CODES_N) {
        refuse(m, s, code, e.text);
        return;
    }
    if (sampler_init(&s->sampler, &r->params.sampling, &c->generation, c->config.vocab_size,
                     r->seed, &e) != 0) {
        refuse(m, s, FAIL_INVALID_REQUEST, e.text);
        return;
    }
    params_take(&r->params, &s->params);
    s->resume = r->resume;
    s->n_resume = r->n_resume;
    r->resume = NULL;
    s->is_with_front = true;
    front_give(&m->front, s);
}

/* --- the prompt has come back as ids --- */

/* What the journal has, said once more to nobody. */
static int replay(struct llm *m, struct sequence *s, struct err *e)
{
    struct request *r = s->request;
    enum finish_reason reason;
    struct token token;

    for (uint32_t i = 0; i < s->n_resume; i++) {
        bool is_prompt = s->has_echo && i < s->n_prompt;
        if (!is_recited(s) && !is_prompt && answer_is_over(&r->answer, &reason))
            return err_set(e, EINVAL, "resumed after %u tokens, but the answer has %u", s->n_resume,
                           i);
        if (is_recited(s))
            speaker_recite(&m->speaker, s, i, &token);
        else
            speaker_say(&m->speaker, s,
                        &(struct result){.token = s->resume[i], .is_prompt = is_prompt}, NULL,
                        &token);
        if (token.id != s->resume[i])
            return err_set(e, EINVAL, "resumed token %u: found %u, expected %u", i, s->resume[i],
                           token.id);
        reply_replay(m->engine.reply, r, &token);
    }
    return 0;
}

static void accept(struct llm *m, struct sequence *s, uint32_t n_prompt, uint32_t n_cached)
{
    s->is_accepted = true;
    reply_accept(m->engine.reply, s->request,
                 &(struct accept_body){.prompt_tokens = n_prompt,
                                       .cached_tokens = n_cached,
                                       .flags = s->prompt.is_unconstrained ? ACCEPT_UNCONSTRAINED
                                                                           : 0});
}

static void count_hit(struct worker_counters *c, const struct sequence *s)
{
    counter_add(&c->prefix_hits, s->n_cached > 0);
    counter_add(&c->prefix_hit_tokens, s->n_cached);
#define X(constant, counter, text) counter_add(&c->counter, s->miss == (constant));
    PREFIX_MISSES(X)
#undef X
}

static void log_hit(const struct sequence *s)
{
    static const char *const misses[] = {
        [PREFIX_WHOLE] = "known",
#define X(constant, counter, text) [constant] = text,
        PREFIX_MISSES(X)
#undef X
    };

    log_event(LOG_REQUEST, LOG_DEBUG, s->request->id, "%u of %u prompt tokens cached, %s=%u",
              s->n_cached, s->n_prompt, misses[s->miss], s->n_matched);
}

/* Compute has found out how much of it is in the prefix cache. */
static bool is_admitted(struct llm *m, struct sequence *s)
{
    /* acquire: pairs with the scheduler's release */
    if (!atomic_load_explicit(&s->is_admitted, memory_order_acquire))
        return false;
    count_hit(m->engine.reply->counters, s);
    log_hit(s);
    accept(m, s, s->n_prompt, s->n_cached);
    return true;
}

/* How many tokens may be generated, or a refusal. */
static enum fail_code check_context(const struct llm *m, const struct sequence *s, uint32_t *n_max,
                                    struct err *e)
{
    uint64_t n = s->prompt.ids.n, context = m->loader.memory.context;
    uint32_t wanted = s->kind == PROMPT_EMBED ? 0 : s->request->params.max_tokens;

    if (n == 0) {
        err_set(e, EINVAL, "the prompt has no tokens: this model needs at least one");
        return FAIL_INVALID_REQUEST;
    }
    if (n > context || (n == context && wanted > 0)) {
        err_set(e, E2BIG, "prompt is too long: %" PRIu64 " tokens > %" PRIu64 " maximum", n,
                wanted > 0 ? context - 1 : context);
        return FAIL_CONTEXT_LENGTH;
    }
    *n_max = wanted < context - n ? wanted : (uint32_t)(context - n);
    return FAIL_CODES_N;
}

/* All that is to be recited is there. False: refused. */
static bool catch_up(struct llm *m, struct sequence *s)
{
    struct err e = {0};

    if (s->n_resume > speaker_places(s))
        err_set(&e, EINVAL, "resumed behind the end of the text");
    else
        replay(m, s, &e);
    if (e.code != 0)
        refuse(m, s, FAIL_INTERNAL, e.text);
    return e.code == 0;
}

static void begin_recital(struct llm *m, struct sequence *s)
{
    struct request *r = s->request;

    request_begin_answer(r, ANSWER_UNLIMITED);
    if (catch_up(m, s))
        accept(m, s, s->kind == PROMPT_COUNT ? (uint32_t)s->prompt.ids.n : 0, 0);
}

static int32_t page_tokens(const struct llm *m)
{
    const struct forward_shape *shape = &m->loader.memory.shape;

    return shape->pages > 0 ? shape->page_tokens : 0;
}

static void give_to_compute(struct llm *m, struct sequence *s)
{
    s->is_with_compute = true;
    compute_give(&m->compute, s);
}

/* What the journal has of the vector is said again once it is computed again. */
static void begin_embedding(struct llm *m, struct sequence *s)
{
    struct request *r = s->request;
    const struct checkpoint *c = &m->loader.checkpoint;
    uint32_t hidden = c->config.hidden_size, n_max;
    struct err e = {0};
    enum fail_code code = check_context(m, s, &n_max, &e);

    if (code != FAIL_CODES_N) {
        refuse(m, s, code, e.text);
        return;
    }
    request_begin_answer(r, ANSWER_UNLIMITED);
    sequence_begin_embedding(s, pooling_first(&c->pooling, (uint32_t)s->prompt.ids.n) + 1,
                             r->params.dimensions > 0 ? r->params.dimensions : hidden, hidden,
                             page_tokens(m));
    give_to_compute(m, s);
}

/* Without </think> in the vocabulary the model does not reason: the prompt was refused else. */
static struct thinking limit_thinking(const struct llm *m, const struct sequence *s)
{
    const struct language *l = &m->loader.checkpoint.language;
    bool may_end = s->kind == PROMPT_CHAT && l->think_end != TOKENIZER_NOT_FOUND;

    return (struct thinking){
        .start = l->think_start,
        .end = l->think_end,
        .n_left = may_end ? s->request->params.thinking_tokens : THINKING_UNLIMITED,
        .is_open = s->prompt.starts_reasoning,
    };
}

static void begin_answer(struct llm *m, struct sequence *s)
{
    struct request *r = s->request;
    struct err e = {0};
    uint32_t n_max = 0;
    enum fail_code code = check_context(m, s, &n_max, &e);

    if (code != FAIL_CODES_N) {
        refuse(m, s, code, e.text);
        return;
    }
    request_begin_answer(r, n_max);
    s->thinking = limit_thinking(m, s);
    constraint_begin(&s->constraint, &m->loader.checkpoint.language, s->prompt.grammar,
                     &s->thinking);
    sequence_begin(s, n_max, m->loader.checkpoint.config.vocab_size, page_tokens(m));
    if (s->constraint.has_failed) {
        refuse(m, s, FAIL_INTERNAL, "the resumed tokens do not keep the form");
        return;
    }
    if (s->has_echo)
        answer_echo(&r->answer, s->n_prompt);
    speaker_begin(&m->speaker, s);
    if (replay(m, s, &e) != 0) {
        refuse(m, s, FAIL_INTERNAL, e.text);
        return;
    }
    if (s->n_out >= s->n_limit) {
        /* nothing to compute: no new token, and no log-probability of an old one */
        accept(m, s, s->n_prompt, 0);
        return;
    }
    give_to_compute(m, s);
}

static void take_prompt(struct llm *m, struct sequence *s)
{
    s->is_with_front = false;
    if (s->prompt.error.code != 0)
        refuse(m, s, s->prompt.code, s->prompt.error.text);
    else if (s->kind == PROMPT_EMBED)
        begin_embedding(m, s);
    else if (is_recited(s))
        begin_recital(m, s);
    else
        begin_answer(m, s);
}

/* --- tokens --- */

/* The vector's text, as soon as there is one. */
static bool take_vector(struct llm *m, struct sequence *s)
{
    if (s->prompt.text.len > 0)
        return true;
    /* acquire: pairs with let_go of compute */
    int end = atomic_load_explicit(&s->end, memory_order_acquire);
    if (end == END_FAILED)
        refuse(m, s, FAIL_INTERNAL, s->error.text);
    if (end != END_LENGTH)
        return false;
    speaker_write_vector(s);
    return catch_up(m, s);
}

static bool take_recital(struct llm *m, struct sequence *s, uint64_t now_ns)
{
    struct request *r = s->request;
    struct token token;

    if (s->kind == PROMPT_EMBED && !take_vector(m, s))
        return false;
    if (r->answer.n_tokens == speaker_places(s)) {
        finish(m, s, FINISH_STOP, now_ns);
        return false;
    }
    if (!reply_may_go(m->engine.reply, r))
        return false;
    speaker_recite(&m->speaker, s, r->answer.n_tokens, &token);
    reply_token(m->engine.reply, r, &token, now_ns);
    return true;
}

static void say(struct llm *m, struct sequence *s, const struct result *result,
                const struct result_top *tops, uint64_t now_ns)
{
    struct token token;

    speaker_say(&m->speaker, s, result, tops, &token);
    reply_token(m->engine.reply, s->request, &token, now_ns);
}

/* The echo of a token that compute says nothing of: all without log-probabilities, else the first.
 */
static bool is_own_echo(const struct sequence *s, uint32_t place)
{
    return s->has_echo && place < s->n_prompt && (place == 0 || !s->has_logprobs);
}

/* What compute has said last, when all its results are taken. */
static void take_end(struct llm *m, struct sequence *s, uint64_t now_ns)
{
    /* acquire: pairs with let_go of compute; results before it are visible, so look again */
    int end = atomic_load_explicit(&s->end, memory_order_acquire);

    if (end == END_NONE || atomic_load_explicit(&s->results_head, memory_order_relaxed) !=
                               atomic_load_explicit(&s->results_tail, memory_order_acquire))
        return;
    if (end == END_FAILED)
        refuse(m, s, FAIL_INTERNAL, s->error.text);
    else
        finish(m, s, end == END_EOS ? FINISH_STOP : FINISH_LENGTH, now_ns);
}

/* One token of s, if there is one and it may go. */
static bool take_token(struct llm *m, struct sequence *s, uint64_t now_ns)
{
    struct request *r = s->request;
    uint32_t place = r->answer.n_tokens;
    uint32_t head = atomic_load_explicit(&s->results_head, memory_order_relaxed);
    uint32_t slot = head & (SEQUENCE_RING - 1);
    bool is_echo = s->has_echo && place < s->n_prompt;
    enum finish_reason reason;

    if (!is_echo && answer_is_over(&r->answer, &reason)) {
        finish(m, s, reason, now_ns);
        return false;
    }
    if (is_own_echo(s, place)) {
        if (!reply_may_go(m->engine.reply, r))
            return false;
        say(m, s,
            &(struct result){.token = s->prompt.ids.id[place],
                             .is_prompt = true,
                             .logprob = place == 0 ? NAN : 0},
            NULL, now_ns);
        return true;
    }
    /* acquire: pairs with settle of compute */
    if (head == atomic_load_explicit(&s->results_tail, memory_order_acquire)) {
        take_end(m, s, now_ns);
        return false;
    }
    if (!reply_may_go(m->engine.reply, r))
        return false;
    say(m, s, &s->results[slot], s->tops != NULL ? &s->tops[(size_t)slot * s->n_top] : NULL,
        now_ns);
    /* release: the slot may be written again */
    atomic_store_explicit(&s->results_head, head + 1, memory_order_release);
    return true;
}

#define TURN_TOKENS 256 /* of one sequence, before the next one's turn */

/* False when the turn ended although there may be more. */
static bool take_turn(struct llm *m, struct sequence *s, bool *has_taken, uint64_t now_ns)
{
    for (int i = 0; i < TURN_TOKENS; i++) {
        bool goes_on = is_recited(s) ? take_recital(m, s, now_ns) : take_token(m, s, now_ns);
        if (!goes_on)
            return true;
        *has_taken |= s->is_with_compute;
    }
    return false;
}

static void show_prefix(struct llm *m)
{
    struct worker_counters *to = m->engine.reply->counters;

    counter_set(&to->prefix_cached_bytes,
                atomic_load_explicit(&m->compute.prefix_bytes, memory_order_relaxed));
    uint64_t n = atomic_load_explicit(&m->compute.prefix_evictions, memory_order_relaxed);
    counter_add(&to->prefix_evictions, n - m->n_evictions);
    m->n_evictions = n;
}

static void step(struct engine *g, uint64_t now_ns)
{
    struct llm *m = llm_of(g);
    struct sequence *s, *next;
    bool has_taken = false, is_done = true;

    g->is_woken = false;
    for (s = LIST_FIRST(&m->all); s != NULL; s = next) {
        next = LIST_NEXT(s, all);
        if (s->request == NULL || is_with_front(s))
            continue;
        if (s->is_with_front)
            take_prompt(m, s);
        if (s->request != NULL && (s->is_accepted || is_admitted(m, s)))
            is_done &= take_turn(m, s, &has_taken, now_ns);
    }
    free_returned(m);
    show_prefix(m);
    if (has_taken)
        compute_kick(&m->compute);
    if (!is_done)
        g->is_woken = true;
}

static void resume(struct engine *g, struct request *r, uint64_t now_ns)
{
    (void)r;
    (void)now_ns;
    g->is_woken = true;
}

static void forget(struct engine *g, struct request *r)
{
    struct llm *m = llm_of(g);

    if (m->seat[r->seat] != NULL && m->seat[r->seat]->request == r)
        detach(m, m->seat[r->seat]);
}

static uint64_t deadline_ns(const struct engine *g)
{
    const struct llm *m = (const struct llm *)g;

    if (g->is_woken)
        return 0;
    return m->is_loaded ? ENGINE_NEVER : clock_now_ns() + LOAD_LOOK_NS;
}

static bool is_alive(const struct engine *g, uint64_t now_ns)
{
    return compute_is_alive(&((const struct llm *)g)->compute, now_ns);
}

/* --- the whole --- */

static const struct engine_ops llm_ops = {
    .device = "cpu",
    .load = load,
    .grant = grant,
    .submit = submit,
    .resume = resume,
    .forget = forget,
    .step = step,
    .deadline_ns = deadline_ns,
    .is_alive = is_alive,
};

static uint32_t count_workers(const struct config *c)
{
    uint32_t n = 0;

    for (size_t i = 0; i < c->n_models; i++)
        if (!c->models[i].simulate)
            n += (uint32_t)c->models[i].workers;
    return n;
}

int llm_init(struct llm *m, struct heritage *h, struct err *e)
{
    *m = (struct llm){.engine = {.ops = &llm_ops}, .heritage = h};
    LIST_INIT(&m->all);
    m->engine.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->engine.wake_fd < 0)
        return err_set(e, errno, "eventfd: %s", strerror(errno));
    return loader_start(&m->loader, h->model, count_workers(&h->config), h->control, h->args.epoch,
                        m->engine.wake_fd, e);
}

void llm_free(struct llm *m)
{
    struct sequence *s;

    front_stop(&m->front);
    compute_stop(&m->compute);
    while ((s = LIST_FIRST(&m->all)) != NULL) {
        LIST_REMOVE(s, all);
        sequence_free(s);
    }
    loader_stop(&m->loader);
    speaker_free(&m->speaker);
    free(m->seat);
    close(m->engine.wake_fd);
}

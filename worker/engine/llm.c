#include "worker/engine/llm_parts.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "worker/engine/thread.h"

#include <errno.h>
#include <inttypes.h>
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
    struct compute_setup setup = {
        .forward = l->forward,
        .pool = l->pool,
        .threads = shape->threads,
        .generation = &l->checkpoint.generation,
        .pooling = l->checkpoint.pooling.kind != POOLING_NONE ? &l->checkpoint.pooling : NULL,
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
    *facts =
        (struct engine_facts){.memory = {.weights_bytes = l->memory.weights,
                                         .kv_bytes = l->memory.kv,
                                         .state_bytes = l->memory.states,
                                         .work_bytes = l->memory.activations + l->memory.sampling},
                              .seats = l->memory.seats,
                              .vocab = l->checkpoint.config.vocab_size,
                              .context = l->memory.context,
                              .has_text = has_text,
                              .has_chat = has_text && language->chat_template != NULL,
                              .has_tools = has_text && language->shows_tools,
                              .has_reasoning = has_text && language->reasons &&
                                               language->think_end != TOKENIZER_NOT_FOUND,
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

void llm_finish(struct llm *m, struct sequence *s, enum finish_reason reason, uint64_t now_ns)
{
    struct request *r = s->request;

    detach(m, s);
    reply_done(m->engine.reply, r, reason, now_ns);
}

void llm_refuse(struct llm *m, struct sequence *s, enum fail_code code, const char *text)
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

bool llm_is_recited(const struct sequence *s)
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
        llm_refuse(m, s, code, e.text);
        return;
    }
    if (sampler_init(&s->sampler, &r->params.sampling, &c->generation, c->config.vocab_size,
                     r->seed, &e) != 0) {
        llm_refuse(m, s, FAIL_INVALID_REQUEST, e.text);
        return;
    }
    params_take(&r->params, &s->params);
    s->resume = r->resume;
    s->n_resume = r->n_resume;
    r->resume = NULL;
    s->is_with_front = true;
    front_give(&m->front, s);
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
            llm_take_prompt(m, s);
        if (s->request != NULL && (s->is_accepted || llm_is_admitted(m, s)))
            is_done &= llm_take_turn(m, s, &has_taken, now_ns);
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

#include "worker/sim/sim.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "worker/sim/token.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LOAD_PIECE_NS     (10 * NS_PER_MS)
#define LOAD_BYTES_PER_MS (1u << 20) /* what the record shows: a disk of 1 GiB/s */
#define TURN_TOKENS       32         /* of one request before the next one's turn */
#define STEP_TOKENS       4096       /* of all requests in one step */

static struct sim *sim_of(struct engine *g)
{
    return (struct sim *)g;
}

static void fire(struct sim *s, const struct fault *f)
{
    if (f == NULL)
        return;
    if (s->place.request != 0)
        ring_publish(s->place.ring); /* what was said before counts as said */
    fault_fire(f, &s->place);
}

/* --- loading --- */

static bool has_habit(const struct sim *s, enum fault_kind kind)
{
    return fault_find(&s->faults, kind) != NULL;
}

static void show_load(const struct sim *s, uint64_t spent_ns, struct engine_load *progress)
{
    uint64_t total_ms = (uint64_t)s->model->simulate_load_ms;
    uint64_t spent_ms = spent_ns / NS_PER_MS;

    if (has_habit(s, FAULT_LOAD_STALL) && 2 * spent_ms >= total_ms)
        spent_ms = total_ms / 2;
    if (spent_ms > total_ms) /* only one that is never ready comes here */
        total_ms = spent_ms + 1;
    progress->bytes = spent_ms * LOAD_BYTES_PER_MS;
    progress->bytes_total = total_ms * LOAD_BYTES_PER_MS;
}

static int load(struct engine *g, uint64_t now_ns, struct engine_load *progress,
                struct engine_facts *facts, struct err *e)
{
    struct sim *s = sim_of(g);
    uint64_t total_ns = (uint64_t)s->model->simulate_load_ms * NS_PER_MS;
    const struct fault *refusal = fault_find(&s->faults, FAULT_REFUSE);

    if (refusal != NULL)
        return err_set(e, EINVAL, "%s", refusal->text);
    if (s->load_begun_ns == 0)
        s->load_begun_ns = now_ns;
    uint64_t spent_ns = now_ns - s->load_begun_ns;
    if (2 * spent_ns >= total_ns && !s->has_loaded_half) {
        s->has_loaded_half = true;
        fire(s, fault_at(&s->faults, WHEN_LOAD, 0));
    }
    show_load(s, spent_ns, progress);
    if (spent_ns < total_ns || s->is_never_ready) {
        uint64_t end_ns = s->load_begun_ns + total_ns;
        s->load_due_ns = now_ns + LOAD_PIECE_NS;
        if (now_ns < end_ns && end_ns < s->load_due_ns)
            s->load_due_ns = end_ns;
        return 0;
    }
    s->is_loaded = true;
    *facts = (struct engine_facts){.seats = (uint32_t)s->model->seats,
                                   .vocab = SIM_VOCAB,
                                   .context = (uint32_t)s->model->limit_context,
                                   .has_text = true,
                                   .has_chat = true,
                                   .has_tools = true,
                                   .has_reasoning = true,
                                   .has_embedding = true};
    return 1;
}

/* --- the prompt --- */

struct prompt_facts {
    const struct sim *sim;
    const struct fault *poison;
    uint32_t answer; /* first answer of the script whose match was found */
};

static void look_at_text(void *ctx, const char *text, size_t len)
{
    struct prompt_facts *p = ctx;
    const struct script *script = &p->sim->script;

    if (p->poison == NULL && p->sim->faults.has_prompt)
        p->poison = fault_in_text(&p->sim->faults, text, len);
    for (uint32_t i = 0; i < p->answer; i++) {
        const struct script_answer *a = &script->answer[i];
        if (a->match_len == 0 || memmem(text, len, a->match, a->match_len) != NULL)
            p->answer = i;
    }
}

static struct prompt_facts look_at_prompt(const struct sim *s, const struct params *params)
{
    struct prompt_facts p = {.sim = s, .answer = s->script.n_answers};

    look_at_text(&p, "", 0); /* answers that match anything match a prompt without text too */
    params_each_text(params, look_at_text, &p);
    return p;
}

/* --- tokens --- */

/* What others have said before us. */
static int replay(struct sim *s, struct sim_seat *seat, struct err *e)
{
    struct request *r = seat->request;
    struct sim_token t;
    enum finish_reason reason;

    for (uint32_t i = 0; i < r->n_resume; i++) {
        if (i >= seat->n_tokens || answer_is_over(&r->answer, &reason))
            return err_set(e, EINVAL, "resumed after %u tokens, but the answer has %u", r->n_resume,
                           i);
        sim_token_make(seat, i, &t);
        if (t.token.id != r->resume[i])
            return err_set(e, EINVAL, "resumed token %u: found %u, expected %u", i, r->resume[i],
                           t.token.id);
        reply_replay(s->engine.reply, r, &t.token);
    }
    return 0;
}

/* When the next token of this seat is due. */
static uint64_t token_due_ns(const struct sim *s, const struct sim_seat *seat)
{
    uint64_t rate = (uint64_t)s->model->simulate_rate;
    uint32_t index = seat->request->answer.n_tokens;

    if (rate == 0 || index <= seat->base_index)
        return seat->base_ns;
    return schedule_token_ns(seat->base_ns, index - seat->base_index, rate);
}

/* The pace starts anew at that time, with the next token that has one. */
static void set_base(struct sim_seat *seat, uint64_t base_ns)
{
    uint32_t index = seat->request->answer.n_tokens;

    seat->base_ns = base_ns;
    seat->base_index = index > seat->n_said ? index : seat->n_said;
}

static void wait_for_piece(const struct sim *s, struct sim_seat *seat, uint64_t now_ns)
{
    uint32_t index = seat->request->answer.n_tokens;

    if (seat->answer == NULL || index < seat->n_said || index >= seat->n_tokens)
        return;
    uint64_t delay_ms = seat->answer->piece[index - seat->n_said].delay_ms;
    if (delay_ms == 0)
        return;
    uint64_t due_ns = token_due_ns(s, seat);
    set_base(seat, (due_ns > now_ns ? due_ns : now_ns) + delay_ms * NS_PER_MS);
}

static void leave_seat(struct sim *s, uint32_t i)
{
    schedule_remove(&s->schedule, i);
    sim_prompt_free(&s->seat[i].prompt);
    s->seat[i] = (struct sim_seat){0};
}

/* --- requests --- */

/* An answer of new tokens, after the prompt where that is echoed. */
static int admit_answer(struct sim *s, struct sim_seat *seat, uint32_t answer, struct err *e,
                        enum fail_code *code)
{
    struct request *r = seat->request;
    uint64_t context = (uint64_t)s->model->limit_context;
    uint32_t words = seat->prompt.n;

    seat->n_said = r->params.has_echo ? words : 0;
    uint32_t generated = r->n_resume > seat->n_said ? r->n_resume - seat->n_said : 0;
    if ((uint64_t)words + generated > context) {
        *code = FAIL_CONTEXT_LENGTH;
        return err_set(e, EINVAL, "prompt is too long: %u tokens > %" PRIu64 " maximum",
                       words + generated, context);
    }
    if (s->script.n_answers > 0 && answer == s->script.n_answers) {
        *code = FAIL_INVALID_REQUEST;
        return err_set(e, EINVAL, "no answer of the script matches the prompt");
    }
    seat->n_tokens = seat->n_said + (uint32_t)s->model->simulate_tokens;
    if (s->script.n_answers > 0) {
        seat->answer = &s->script.answer[answer];
        seat->n_tokens = seat->n_said + seat->answer->n_pieces;
    }
    uint64_t n_max = context - words;
    if (n_max > r->params.max_tokens)
        n_max = r->params.max_tokens;
    request_begin_answer(r, (uint32_t)n_max);
    answer_echo(&r->answer, seat->n_said);
    return 0;
}

/* The vector becomes what is said. */
static int embed(const struct sim *s, struct sim_seat *seat, struct err *e, enum fail_code *code)
{
    uint64_t context = (uint64_t)s->model->limit_context;

    if (seat->prompt.n > context) {
        *code = FAIL_CONTEXT_LENGTH;
        return err_set(e, EINVAL, "prompt is too long: %u tokens > %" PRIu64 " maximum",
                       seat->prompt.n, context);
    }
    return sim_prompt_embed(&seat->prompt, seat->request->params.dimensions, e);
}

/* Nothing new: the prompt itself is what is said. */
static int admit_text(struct sim_seat *seat, struct err *e, enum fail_code *code)
{
    struct request *r = seat->request;

    if (seat->prompt.n > ANSWER_TOKENS_MAX) {
        *code = FAIL_INVALID_REQUEST;
        return err_set(e, EINVAL, "%u tokens; at most %u at once", seat->prompt.n,
                       ANSWER_TOKENS_MAX);
    }
    seat->n_said = seat->n_tokens = r->params.kind != PROMPT_COUNT ? seat->prompt.n : 0;
    request_begin_answer(r, ANSWER_UNLIMITED);
    return 0;
}

/* The tokens of the prompt are counted in *n_prompt. */
static int admit(struct sim *s, struct request *r, uint32_t *n_prompt, struct err *e,
                 enum fail_code *code)
{
    struct sim_seat *seat = &s->seat[r->seat];
    struct prompt_facts p = look_at_prompt(s, &r->params);
    bool is_answer = r->params.kind <= PROMPT_COMPLETION;

    *seat = (struct sim_seat){.request = r, .poison = p.poison};
    *code = FAIL_INVALID_REQUEST;
    if (sim_prompt_read(&seat->prompt, &r->params, e) != 0)
        return -e->code;
    *n_prompt = is_answer || r->params.kind == PROMPT_COUNT || r->params.kind == PROMPT_EMBED
                    ? seat->prompt.n
                    : 0;
    if (r->params.kind == PROMPT_EMBED && embed(s, seat, e, code) != 0)
        return -e->code;
    int rc = is_answer ? admit_answer(s, seat, p.answer, e, code) : admit_text(seat, e, code);
    if (rc != 0)
        return rc;
    if (seat->n_said == 0)
        sim_prompt_free(&seat->prompt);
    *code = FAIL_INTERNAL;
    return replay(s, seat, e);
}

static void submit(struct engine *g, struct request *r, uint64_t now_ns)
{
    struct sim *s = sim_of(g);
    struct sim_seat *seat = &s->seat[r->seat];
    enum fail_code code;
    uint32_t n_prompt = 0;
    struct err e = {0};

    s->n_requests++;
    s->place.request = r->id;
    s->place.index = 0;
    fire(s, fault_at(&s->faults, WHEN_REQUEST, s->n_requests));
    if (admit(s, r, &n_prompt, &e, &code) != 0) {
        leave_seat(s, r->seat);
        reply_fail(g->reply, r, code, e.text);
        return;
    }
    reply_accept(g->reply, r, &(struct accept_body){.prompt_tokens = n_prompt});
    uint64_t wait_ms = (uint64_t)s->model->simulate_prefill_ms;
    if (seat->answer != NULL)
        wait_ms += seat->answer->delay_ms;
    set_base(seat, now_ns + wait_ms * NS_PER_MS);
    wait_for_piece(s, seat, now_ns);
    schedule_set(&s->schedule, r->seat, token_due_ns(s, seat));
}

/* A request that was held gets no arrears. */
static void resume(struct engine *g, struct request *r, uint64_t now_ns)
{
    struct sim *s = sim_of(g);
    struct sim_seat *seat = &s->seat[r->seat];

    CHECK(seat->request == r);
    if (token_due_ns(s, seat) < now_ns)
        set_base(seat, now_ns);
    schedule_set(&s->schedule, r->seat, token_due_ns(s, seat));
}

static void forget(struct engine *g, struct request *r)
{
    struct sim *s = sim_of(g);

    if (s->seat[r->seat].request == r)
        leave_seat(s, r->seat);
}

/* --- the step --- */

static bool end_if_over(struct sim *s, struct sim_seat *seat, uint64_t now_ns)
{
    struct request *r = seat->request;
    enum finish_reason reason;

    if (!answer_is_over(&r->answer, &reason)) {
        if (r->answer.n_tokens < seat->n_tokens)
            return false;
        reason = seat->answer != NULL ? seat->answer->finish : FINISH_STOP;
    }
    leave_seat(s, r->seat);
    reply_done(s->engine.reply, r, reason, now_ns);
    return true;
}

static void give_token(struct sim *s, struct sim_seat *seat, uint64_t now_ns)
{
    struct request *r = seat->request;
    struct sim_token t;

    sim_token_make(seat, r->answer.n_tokens, &t);
    reply_token(s->engine.reply, r, &t.token, now_ns);
    s->place.request = r->id;
    s->place.index = r->answer.n_tokens;
    s->n_tokens++;
    fire(s, fault_at(&s->faults, WHEN_TOKEN, s->n_tokens));
}

/* What is due of one request, up to TURN_TOKENS. */
static uint32_t take_turn(struct sim *s, uint32_t i, uint64_t now_ns)
{
    struct sim_seat *seat = &s->seat[i];
    uint32_t n = 0;

    fire(s, seat->poison);
    seat->poison = NULL;
    for (;;) {
        if (end_if_over(s, seat, now_ns))
            return n;
        uint64_t due_ns = token_due_ns(s, seat);
        if (due_ns > now_ns || n == TURN_TOKENS) {
            if (due_ns <= now_ns)
                due_ns = now_ns + 1; /* behind everybody who is due now */
            schedule_set(&s->schedule, i, due_ns);
            return n;
        }
        if (!reply_may_go(s->engine.reply, seat->request)) {
            schedule_remove(&s->schedule, i);
            return n;
        }
        give_token(s, seat, now_ns);
        wait_for_piece(s, seat, now_ns);
        n++;
    }
}

static void step(struct engine *g, uint64_t now_ns)
{
    struct sim *s = sim_of(g);
    uint32_t n = 0;
    uint32_t seat;
    uint64_t due_ns;

    while (n < STEP_TOKENS && !reply_is_blocked(g->reply) &&
           schedule_first(&s->schedule, &seat, &due_ns) && due_ns <= now_ns)
        n += take_turn(s, seat, now_ns);
}

static uint64_t deadline_ns(const struct engine *g)
{
    const struct sim *s = (const struct sim *)g;
    uint32_t seat;
    uint64_t due_ns;

    if (!s->is_loaded)
        return s->load_due_ns;
    return schedule_first(&s->schedule, &seat, &due_ns) ? due_ns : ENGINE_NEVER;
}

/* --- life --- */

static const struct engine_ops sim_ops = {
    .device = "simulated",
    .load = load,
    .submit = submit,
    .resume = resume,
    .forget = forget,
    .step = step,
    .deadline_ns = deadline_ns,
};

static int plan_faults(struct sim *s, uint32_t spawns, struct err *e)
{
    const struct fault *hello;

    if (fault_plan_parse(&s->faults, s->model->simulate_fault, e) != 0)
        return -e->code;
    if (fault_plan_needs_spawns(&s->faults) && spawns == 0)
        return err_set(e, EAGAIN, "simulate_fault: @once, but the process record is not readable");
    if (spawns > 1)
        fault_plan_drop_once(&s->faults);
    hello = fault_find(&s->faults, FAULT_BAD_HELLO);
    s->is_never_ready = has_habit(s, FAULT_NO_READY) || has_habit(s, FAULT_NO_HELLO) ||
                        has_habit(s, FAULT_LOAD_STALL) ||
                        (hello != NULL && hello->argument == LIE_JUNK);
    return 0;
}

int sim_init(struct sim *s, const struct config_model *model, uint32_t spawns, struct ring *ring,
             struct err *e)
{
    uint32_t seats = (uint32_t)model->seats;

    *s = (struct sim){.engine = {.ops = &sim_ops, .wake_fd = -1},
                      .model = model,
                      .place = {.ring = ring, .vocab = SIM_VOCAB}};
    if (plan_faults(s, spawns, e) != 0)
        return -e->code;
    if (model->simulate_script[0] != '\0' &&
        script_load(&s->script, model->simulate_script, e) != 0)
        return -e->code;
    s->seat = calloc(seats, sizeof *s->seat);
    CHECK(s->seat != NULL);
    schedule_init(&s->schedule, seats);
    return 0;
}

void sim_free(struct sim *s)
{
    script_free(&s->script);
    schedule_free(&s->schedule);
    free(s->seat);
    *s = (struct sim){0};
}

bool sim_spoil_hello(const struct sim *s, int control, struct control_msg *hello)
{
    const struct fault *f = fault_find(&s->faults, FAULT_BAD_HELLO);

    if (has_habit(s, FAULT_NO_HELLO))
        return false;
    if (f == NULL)
        return true;
    log_warning(LOG_CHILD, "fault on demand: bad hello");
    switch ((enum hello_lie)f->argument) {
    case LIE_EPOCH:
        hello->epoch++;
        break;
    case LIE_HASH:
        hello->layout_hash++;
        break;
    case LIE_PID:
        hello->pid++;
        break;
    case LIE_JUNK:
        (void)send(control, "junk", 4, MSG_NOSIGNAL);
        return false;
    case HELLO_LIES_N:
        break;
    }
    return true;
}

void sim_start(struct sim *s)
{
    fire(s, fault_at(&s->faults, WHEN_START, 0));
}

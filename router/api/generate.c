/* A generation until its requests are on their way: parameters, admission, the body checked, the prompts
 * written as canonical requests. */
#include "router/api/generate.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "router/api/auth.h"
#include "router/api/errors.h"
#include "router/api/replay.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENCODE_SLICE (256u << 10) /* bytes of the canonical requests written in one turn */
#define PROMPT_COST  1024         /* and of each its parameters, about */
/* What a SUBMIT has room for beside head and journal. */
#define CANONICAL_MAX    (SUBMIT_MAX - ANSWER_TOKENS_MAX * sizeof(uint32_t))
#define WINDOW_MIN       16   /* tokens that each of many choices may be ahead of a slow reader */
#define LEADING_MESSAGES 2    /* they name the conversation when no header does */
#define LEADING_IDS      64
#define RECALLS_AT_ONCE  32 /* each reads what was said once more */

static struct router *router_of(const struct exchange *x)
{
    return x->server->context;
}

/* ---- the conversation: the client's header, else leading messages, which later turns repeat ---- */

static uint64_t hash_value(uint64_t h, const struct json_object *v)
{
    size_t len;

    if (v == NULL)
        return h;
    if (json_type_of(v) == JSON_STRING) {
        const char *s = json_string(v, &len);
        return hash_mix(h, hash_xxh3(s, len));
    }
    if (json_type_of(v) == JSON_NUMBER && json_is_integer(v))
        return hash_mix(h, (uint64_t)json_integer(v));
    if (json_type_of(v) == JSON_OBJECT)
        return hash_value(h, json_get(v, "text"));
    if (json_type_of(v) == JSON_ARRAY)
        for (size_t i = 0; i < json_length(v) && i < LEADING_IDS; i++)
            h = hash_value(h, json_at(v, i));
    return h;
}

/* Member i of the canonical request, without a dialect's own view of it. */
static struct json_object *find_member(const struct generation *g, uint32_t i, const char **name)
{
    struct json_iterator it = json_members(g->members);

    while (json_next(&it)) {
        *name = it.key;
        if (i-- == 0)
            return it.value;
    }
    return NULL;
}

static struct json_object *find_value(const struct generation *g, uint32_t prompt, uint32_t i,
                                      const char **name)
{
    return g->form->value != NULL ? g->form->value(g, prompt, i, name) : find_member(g, i, name);
}

static uint64_t find_session(const struct generation *g, uint32_t prompt)
{
    uint64_t h = (uint64_t)g->x->key;
    const char *name;

    if (g->x->session != 0)
        return g->x->session;
    struct json_object *value = find_value(g, prompt, 0, &name);
    if (strcmp(name, "messages") != 0)
        return hash_value(h, value) | 1;
    for (size_t i = 0; i < json_length(value) && i < LEADING_MESSAGES; i++)
        h = hash_value(h, json_get(json_at(value, i), "content"));
    return h | 1;
}

/* ---- admission ---- */

/* The model that a request may leave out: the only one there is. */
static int choose_model(struct params *p, const struct config *c, struct param_error *e)
{
    if (p->model[0] != '\0')
        return 0;
    if (c->n_models != 1)
        return param_refuse(e, ERROR_INVALID_BODY, "model",
                            "model: missing, and there are %zu to choose from", c->n_models);
    snprintf(p->model, sizeof p->model, "%s", c->models[0].id);
    return 0;
}

/* The model, after every reason to refuse n requests; NULL = refused. */
static struct model *admit(struct exchange *x, const struct params *p, uint32_t n)
{
    struct router *rt = router_of(x);
    struct model *m = model_find(rt, p->model);
    enum api_error error;
    char text[400];

    if (m == NULL) {
        error_unknown_model(x, p->model);
        return NULL;
    }
    if (!auth_may_use(x, m->name) && !auth_may_use(x, p->model)) {
        snprintf(text, sizeof text, "this key may not use model \"%s\"", p->model);
        error_respond(x, ERROR_MODEL_FORBIDDEN, "model", text, 0);
        return NULL;
    }
    if (dispatch_admit(rt, m, n, p->is_stream, &error, text, sizeof text) != 0) {
        if (error == ERROR_QUEUE_FULL)
            counter_add(&m->counters->requests_rejected, n);
        error_respond(x, error, NULL, text, error == ERROR_QUEUE_FULL ? 1 : 5);
        return NULL;
    }
    if (n > rt->requests.n_free) {
        counter_add(&m->counters->requests_rejected, n);
        error_respond(x, ERROR_QUEUE_FULL, NULL, "this node has no slot for another request", 1);
        return NULL;
    }
    return m;
}

/* ---- the requests ---- */

/* Choice i of a seeded prompt has the seed itself for i = 0, else splitmix64(seed, i): the same
 * whatever other prompts come with it. Without a seed no two choices have anything in common. */
static uint64_t derive_seed(const struct generation *g, uint64_t seed, uint32_t index)
{
    uint32_t i = g->params.has_seed ? index % g->params.n : index;

    return i == 0 ? seed : hash_mix(seed, i);
}

static void open_choice(struct generation *g, struct model *m, uint64_t seed, uint32_t index)
{
    struct choice *c = &g->choice[index];
    const struct params *p = &g->params;
    struct request *r = request_new(g->router, m, &generation_request_ops, c);

    CHECK(r != NULL); /* admitted */
    *c = (struct choice){.generation = g, .request = r, .index = index};
    r->dialect = g->form->dialect;
    r->kind = g->form->kind;
    r->is_stream = p->is_stream;
    r->has_echo = p->has_echo;
    r->seed = derive_seed(g, seed, index);
    if (p->logprobs >= 0) {
        r->tops_max = (uint8_t)(1 + p->logprobs);
        c->logprobs = calloc(1, sizeof *c->logprobs);
        CHECK(c->logprobs != NULL);
    } else if (p->with_pieces || p->with_strings) {
        r->tops_max = 1;
    }
    if (g->n_choices > 1)
        r->window = CREDIT_TOKENS / g->n_choices < WINDOW_MIN ? WINDOW_MIN
                                                              : CREDIT_TOKENS / g->n_choices;
}

/* The name of its first request is the generation's, which the client knows. */
static void name_requests(struct generation *g)
{
    snprintf(g->id, sizeof g->id, "%s%08x%016llx", g->form->id_prefix,
             (uint32_t)g->router->boot_id, (unsigned long long)g->choice[0].request->id);
    for (uint32_t i = 0; i < g->n_choices; i++) {
        struct request *r = g->choice[i].request;
        if (g->n_choices == 1)
            memcpy(r->name, g->id, sizeof r->name);
        else
            snprintf(r->name, sizeof r->name, "%.40s.%u", g->id, i);
    }
}

static struct generation *new_generation(struct exchange *x, const struct form *form,
                                         const struct params *p, struct model *m,
                                         uint32_t n_prompts)
{
    uint32_t n = n_prompts * p->n;
    struct generation *g = calloc(1, sizeof *g + n * sizeof g->choice[0]);
    uint64_t seed = p->has_seed ? p->seed : hash_random64();

    CHECK(g != NULL);
    g->router = router_of(x);
    g->x = x;
    g->form = form;
    g->params = *p;
    g->created = clock_wall_ns() / NS_PER_S;
    g->n_prompts = n_prompts;
    g->n_choices = n;
    for (uint32_t i = 0; i < n; i++)
        open_choice(g, m, seed, i);
    name_requests(g);
    g->body = x->body;
    g->members = json_new_object();
    g->keeps_blocks = form->keeps_blocks || !p->is_stream ||
                      (form->call_prefix != NULL && json_get(x->body, "tools") != NULL);
    x->body = NULL;
    x->call = g;
    x->ops = &generation_exchange_ops;
    return g;
}

/* ---- the canonical requests ---- */

static void begin_prompt(struct generation *g)
{
    g->canonical = canonical_new();
    buf_add_str(&g->canonical->json, "{\"kind\":\"");
    buf_add_str(&g->canonical->json, prompt_kind_name(g->form->kind));
    buf_add_char(&g->canonical->json, '"');
}

static int refuse_size(struct param_error *e)
{
    return param_refuse(e, ERROR_BODY_TOO_LARGE, NULL, "the request is too large for a worker");
}

/* What is written of the current prompt belongs to its choices from here on. */
static int finish_prompt(struct generation *g, struct param_error *e)
{
    struct buf *json = &g->canonical->json;
    uint64_t session = find_session(g, g->prompt);

    params_write(&g->params, g->body, g->form->dialect, json);
    buf_add_char(json, '}');
    if (json->len > CANONICAL_MAX)
        return refuse_size(e);
    for (uint32_t i = 0; i < g->params.n; i++) {
        struct request *r = g->choice[g->prompt * g->params.n + i].request;
        r->session = session;
        r->canonical = canonical_share(g->canonical);
    }
    canonical_drop(&g->canonical);
    g->prompt++;
    g->value = 0;
    return 0;
}

/* The next value of the current prompt: false when it has no further one. */
static bool begin_value(struct generation *g)
{
    const char *name;
    struct json_object *value = find_value(g, g->prompt, g->value++, &name);

    if (value == NULL)
        return false;
    buf_add_str(&g->canonical->json, ",\"");
    buf_add_str(&g->canonical->json, name);
    buf_add_str(&g->canonical->json, "\":");
    g->writer = json_writer_new(value);
    return true;
}

/* One slice. 1 = all prompts are written, 0 = there is more, negative = refused. */
static int encode(struct generation *g, struct param_error *e)
{
    size_t written = 0;

    while (g->prompt < g->n_prompts && written < ENCODE_SLICE) {
        if (g->canonical == NULL)
            begin_prompt(g);
        if (g->writer != NULL) {
            struct buf *json = &g->canonical->json;
            size_t before = json->len;
            if (json_writer_step(g->writer, json, ENCODE_SLICE - written) == 1)
                json_writer_free(&g->writer);
            written += json->len - before;
            if (json->len > CANONICAL_MAX)
                return refuse_size(e);
        } else if (!begin_value(g)) {
            written += PROMPT_COST;
            if (finish_prompt(g, e) != 0)
                return -1;
        }
    }
    return g->prompt == g->n_prompts;
}

/* ---- answers that come back ---- */

uint64_t generation_owner(const struct generation *g)
{
    const struct config *c = &g->router->config;
    const char *key = g->x->key >= 0 ? c->keys[g->x->key].id : "";

    return hash_mix(hash_xxh3(key, strlen(key)), hash_xxh3(g->params.model, strlen(g->params.model)));
}

/* The tokens of messages that repeat answers. One slice; false when there is more. */
static bool recall(struct generation *g)
{
    const struct json_object *messages = json_get(g->members, "messages");
    size_t n = g->form->call_prefix != NULL ? json_length(messages) : 0;
    uint64_t owner = generation_owner(g);
    unsigned known = 0;

    for (; g->n_recalled < n && known < RECALLS_AT_ONCE; g->n_recalled++) {
        struct json_object *message = json_at(messages, g->n_recalled);
        struct json_object *tokens = replay_find(g->router->replay, message, owner);
        if (tokens == NULL)
            continue;
        json_put(message, "sampled", json_share(tokens));
        known++;
    }
    return g->n_recalled >= n;
}

/* One slice of the work before the start: the body is checked, then the prompts are written. 1 = complete, 0 =
 * there is more, negative = refused. */
static int prepare(struct generation *g, struct param_error *e)
{
    if (!g->is_checked) {
        int rc = g->form->prepare(g, e);
        if (rc != 1)
            return rc;
        g->is_checked = true;
    }
    return recall(g) ? encode(g, e) : 0;
}

/* What they share is emptied twice, which is once too often only when somebody still reads it. */
void generation_drop_body(struct generation *g)
{
    http_server_discard(g->x->server, &g->members);
    http_server_discard(g->x->server, &g->body);
}

static void start(struct generation *g)
{
    generation_drop_body(g);
    if (g->params.is_stream)
        deadline_arm(&g->router->hold_due, &g->hold_due, g, clock_now_ns());
    for (uint32_t i = 0; i < g->n_choices; i++) {
        counter_add(&g->choice[i].request->model->counters->requests, 1);
        dispatch_start(g->choice[i].request);
    }
    for (uint32_t i = 0; i < g->n_choices; i++)
        dispatch_send(g->choice[i].request);
}

static void refuse(struct generation *g, const struct param_error *e)
{
    for (uint32_t i = 0; i < g->n_choices; i++)
        request_free(g->choice[i].request);
    error_respond(g->x, e->error, e->param[0] != '\0' ? e->param : NULL, e->text, 0);
    generation_free(g);
}

/* As prepare, with the consequences. */
static int prepare_and_start(struct generation *g)
{
    struct param_error e = {0};
    int rc = prepare(g, &e);

    if (rc > 0)
        start(g);
    else if (rc < 0)
        refuse(g, &e);
    return rc;
}

static void on_preparing(evutil_socket_t fd, short what, void *arg)
{
    struct generation *g = arg;
    struct http_server *s = g->x->server;

    (void)fd;
    (void)what;
    if (prepare_and_start(g) == 0)
        event_active(g->preparing, EV_TIMEOUT, 0);
    http_server_flush(s);
}

/* The parameters, and how many prompts there are; 0 = refused, *e says why. */
static uint32_t read_request(struct exchange *x, const struct form *form, struct params *p,
                             struct param_error *e)
{
    uint32_t n = 1;

    if (params_read(p, x->body, form->dialect, e) != 0 ||
        choose_model(p, &router_of(x)->config, e) != 0)
        return 0;
    if (form->count != NULL)
        n = form->count(x->body, e);
    if (n <= CHOICES_MAX / p->n)
        return n;
    param_refuse(e, ERROR_INVALID_BODY, "n", "%u prompts with %u answers each; at most %d answers",
                 n, p->n, CHOICES_MAX);
    return 0;
}

enum handler_result generate(struct exchange *x, const struct form *form)
{
    struct params p;
    struct param_error e = {0};
    uint32_t n_prompts = read_request(x, form, &p, &e);

    if (n_prompts == 0) {
        error_respond(x, e.error, e.param[0] != '\0' ? e.param : NULL, e.text, 0);
        return HANDLER_DONE;
    }
    struct model *m = admit(x, &p, n_prompts * p.n);
    if (m == NULL)
        return HANDLER_DONE;
    struct generation *g = new_generation(x, form, &p, m, n_prompts);
    int rc = prepare_and_start(g);
    if (rc < 0)
        return HANDLER_DONE;
    if (rc == 0) {
        g->preparing = event_new(g->router->base, -1, 0, on_preparing, g);
        CHECK(g->preparing != NULL);
        event_active(g->preparing, EV_TIMEOUT, 0);
    }
    return HANDLER_PENDING;
}

/* GET /v1/models and /v1/models/{id}: the catalogue, aliases included, in the configuration's
 * order. Entries and list are OpenAI's and Anthropic's at once. */
#include "router/api/api.h"
#include "router/api/auth.h"
#include "router/api/errors.h"
#include "router/router.h"

#include "base/clock.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static void add_string(struct buf *out, const char *s)
{
    buf_add_json_string(out, s, strlen(s));
}

/* When it came into being, for both: seconds, and a date. */
static void write_created(uint64_t wall_ns, struct buf *out)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    char date[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_printf(out, ",\"created\":%llu,\"created_at\":\"%s\"", (unsigned long long)seconds, date);
}

/* What a worker of it has said it can; before that, what any model can. */
static void write_capabilities(const struct model_record *rec, struct buf *out)
{
    bool is_known = rec->context != 0;
    const struct {
        bool has;
        const char *name;
    } all[] = {{!is_known || rec->has_text, "completion"},
               {!is_known || rec->has_chat, "chat"},
               {rec->has_tools, "tools"},
               {rec->has_reasoning, "reasoning"},
               {rec->has_embedding, "embedding"}};
    const char *comma = "";

    buf_add_str(out, "\"capabilities\":[");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!all[i].has)
            continue;
        buf_printf(out, "%s\"%s\"", comma, all[i].name);
        comma = ",";
    }
    buf_printf(out, "],\"tool_call\":%s,\"reasoning\":%s", rec->has_tools ? "true" : "false",
               rec->has_reasoning ? "true" : "false");
}

static void write_entry(struct router *rt, const char *id, struct buf *out)
{
    const struct model *m = model_find(rt, id);
    const struct config_model *c = &rt->config.models[config_find_model(&rt->config, id)];
    struct model_record rec = {.state = MODEL_ABSENT};
    char node[65] = "";

    if (m != NULL)
        model_status(rt, m, &rec);
    gethostname(node, sizeof node - 1);
    buf_add_str(out, "{\"id\":");
    add_string(out, id);
    buf_add_str(out, ",\"object\":\"model\",\"type\":\"model\"");
    write_created(rt->node->header.created_wall_ns, out);
    buf_add_str(out, ",\"owned_by\":\"cortex\",\"display_name\":");
    add_string(out, id);
    buf_printf(out, ",\"loaded\":%s,\"status\":\"%s\"", rec.state == MODEL_READY ? "true" : "false",
               model_state_name(rec.state));
    if (rec.state == MODEL_FAILED) {
        buf_add_str(out, ",\"reason\":");
        add_string(out, rec.reason);
    }
    buf_add_str(out, ",\"feasible_on\":[");
    add_string(out, node);
    buf_add_str(out, "],\"locations\":[");
    if (rec.state != MODEL_ABSENT) {
        buf_add_str(out, "{\"node\":");
        add_string(out, node);
        buf_printf(out, ",\"status\":\"%s\"}", model_state_name(rec.state));
    }
    long long context = m != NULL ? model_context(rt, m) : c->limit_context;
    buf_add_str(out, "],");
    write_capabilities(&rec, out);
    buf_printf(out, ",\"limit\":{\"context\":%lld,\"input\":%lld,\"output\":%lld},"
                    "\"max_model_len\":%lld,\"max_input_tokens\":%lld,\"max_output_tokens\":%lld,"
                    "\"max_tokens\":%lld,\"meta\":{\"n_ctx\":%lld}}",
               context, context, context, context, context, context, context, context);
}

static bool is_visible(const struct exchange *x, const struct config *c, const char *id)
{
    int i = config_find_model(c, id);

    return i >= 0 && (auth_may_use(x, id) || auth_may_use(x, c->models[i].id));
}

/* A member of the list: the id of its first or last entry. */
static void write_end(const char *name, const char *id, struct buf *out)
{
    buf_printf(out, ",\"%s\":", name);
    if (id != NULL)
        add_string(out, id);
    else
        buf_add_str(out, "null");
}

enum handler_result models_list(struct exchange *x)
{
    struct router *rt = x->server->context;
    const struct config *c = &rt->config;
    struct buf out = {0};
    const char *first = NULL, *last = NULL;

    buf_add_str(&out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < c->n_models + c->n_aliases; i++) {
        const char *id = i < c->n_models ? c->models[i].id : c->aliases[i - c->n_models].id;
        if (!is_visible(x, c, id))
            continue;
        if (first == NULL)
            first = id;
        else
            buf_add_char(&out, ',');
        write_entry(rt, id, &out);
        last = id;
    }
    buf_add_str(&out, "],\"has_more\":false");
    write_end("first_id", first, &out);
    write_end("last_id", last, &out);
    /* Codex wants its own form of the list. An entry there replaces the instructions that Codex has
     * for a model, and we have none to give: no entry leaves it with its own. */
    if (strstr(x->query, "client_version=") != NULL)
        buf_add_str(&out, ",\"models\":[]");
    buf_add_char(&out, '}');
    exchange_respond(x, 200, "application/json", "", out.data, out.len);
    buf_free(&out);
    return HANDLER_DONE;
}

enum handler_result models_retrieve(struct exchange *x)
{
    struct router *rt = x->server->context;
    struct buf out = {0};

    if (!is_visible(x, &rt->config, x->parameter)) {
        error_unknown_model(x, x->parameter);
        return HANDLER_DONE;
    }
    write_entry(rt, x->parameter, &out);
    exchange_respond(x, 200, "application/json", "", out.data, out.len);
    buf_free(&out);
    return HANDLER_DONE;
}

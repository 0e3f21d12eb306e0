/* GET /health, HEAD /: quick, no key. ok = every model can be served, impaired = some cannot,
 * degraded = none can; 503 only while draining. */
#include "router/api/api.h"
#include "router/router.h"

#include <string.h>
#include <unistd.h>

enum handler_result health_show(struct exchange *x)
{
    struct router *rt = x->server->context;
    const struct config *c = &rt->config;
    struct buf unservable = {0}, out = {0};
    size_t n_bad = 0;
    char node[65] = "";

    for (size_t i = 0; i < c->n_models; i++) {
        const struct model *m = model_find(rt, c->models[i].id);
        struct model_record rec = {.state = MODEL_ABSENT};

        if (m != NULL)
            model_status(rt, m, &rec);
        if (m != NULL && (rec.state == MODEL_READY || model_links(rt, m) > 0))
            continue;
        buf_add_str(&unservable, n_bad++ ? ",{\"model\":" : "{\"model\":");
        buf_add_json_string(&unservable, c->models[i].id, strlen(c->models[i].id));
        buf_printf(&unservable, ",\"status\":\"%s\"}", model_state_name(rec.state));
    }
    const char *status = rt->is_draining  ? "draining"
                         : n_bad == 0          ? "ok"
                         : n_bad < c->n_models ? "impaired"
                                               : "degraded";
    gethostname(node, sizeof node - 1);
    buf_printf(&out, "{\"status\":\"%s\",\"version\":\"%s\",\"nodes\":[{\"name\":", status,
               CORTEX_VERSION);
    buf_add_json_string(&out, node, strlen(node));
    buf_printf(&out, ",\"status\":\"%s\"}],\"unservable\":[", status);
    buf_add(&out, unservable.data, unservable.len);
    buf_add_str(&out, "]}");
    exchange_respond(x, rt->is_draining ? 503 : 200, "application/json", "", out.data, out.len);
    buf_free(&unservable);
    buf_free(&out);
    return HANDLER_DONE;
}

enum handler_result health_probe(struct exchange *x)
{
    exchange_respond(x, 200, "text/plain", "", "", 0);
    return HANDLER_DONE;
}

#include "router/route/model.h"

#include "router/router.h"

#include <string.h>

void models_refresh(struct router *rt)
{
    for (uint32_t i = 0; i < SHM_MODELS_MAX; i++) {
        struct model *m = &rt->models[i];
        struct model_record rec;

        if (seqlock_copy(&rt->node->model[i], &rec) != 0)
            continue;
        rec.name[sizeof rec.name - 1] = '\0';
        if (m->counters == NULL) {
            m->index = i;
            m->counters = &rt->node->model_counters[i];
            m->histograms = &rt->node->model_histograms[i];
            TAILQ_INIT(&m->waiting);
            TAILQ_INIT(&m->trials);
            counter_set(&m->counters->model_in_flight, 0);
            counter_set(&m->counters->model_queue_depth, 0);
        }
        if (strcmp(m->name, rec.name) != 0) {
            dispatch_abandon(m, ERROR_MODEL_NOT_FOUND, "the model was removed from this node");
            memcpy(m->name, rec.name, sizeof m->name);
            m->was_ready = false;
        }
        m->is_configured = m->name[0] != '\0' && config_find_model(&rt->config, m->name) >= 0;
    }
}

struct model *model_find(struct router *rt, const char *name)
{
    int i = config_find_model(&rt->config, name);

    if (i < 0)
        return NULL;
    for (uint32_t k = 0; k < SHM_MODELS_MAX; k++)
        if (rt->models[k].is_configured && strcmp(rt->models[k].name, rt->config.models[i].id) == 0)
            return &rt->models[k];
    return NULL;
}

void model_status(struct router *rt, const struct model *m, struct model_record *out)
{
    if (seqlock_copy(&rt->node->model[m->index], out) != 0)
        *out = (struct model_record){.state = MODEL_ABSENT};
    out->name[sizeof out->name - 1] = '\0';
    out->reason[sizeof out->reason - 1] = '\0';
}

uint32_t model_context(struct router *rt, const struct model *m)
{
    int i = config_find_model(&rt->config, m->name);
    struct model_record rec;

    model_status(rt, m, &rec);
    if (rec.context != 0 || i < 0)
        return (uint32_t)rec.context;
    return (uint32_t)rt->config.models[i].limit_context;
}

uint32_t model_links(struct router *rt, const struct model *m)
{
    uint32_t n = 0;

    for (int i = 0; i < SHM_WORKERS_MAX; i++)
        n += rt->links[i].model == m && link_is_usable(&rt->links[i]);
    return n;
}

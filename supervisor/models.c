/* The models of the catalogue: their indices, and their records in the segment. */
#include "base/log.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The model's own index, else a fresh one, else the one out of use for longest; -1 = none. */
static int find_index(struct tree *t, const char *name, const bool *is_taken)
{
    int found = -1;

    for (int i = 0; i < SHM_MODELS_MAX; i++) {
        const struct model *m = &t->model[i];
        if (strcmp(m->name, name) == 0)
            return i;
        if (m->name[0] == '\0')
            return i;
        if (!is_taken[i] && (found < 0 || m->left_ns < t->model[found].left_ns))
            found = i;
    }
    return found;
}

static void mark_taken(struct tree *t, const struct config *c, bool *is_taken)
{
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        const struct child *w = tree_worker(t, slot);
        if (w->is_assigned)
            is_taken[w->model] = true;
    }
    for (uint32_t i = 0; i < SHM_MODELS_MAX; i++)
        for (size_t k = 0; k < c->n_models; k++)
            if (strcmp(t->model[i].name, c->models[k].id) == 0)
                is_taken[i] = true;
}

int models_apply(struct tree *t, const struct config *c, const uint8_t *replace, struct err *e)
{
    bool is_taken[SHM_MODELS_MAX] = {false};
    int index[CONFIG_MODELS_MAX];

    mark_taken(t, c, is_taken);
    for (size_t k = 0; k < c->n_models; k++) {
        index[k] = find_index(t, c->models[k].id, is_taken);
        if (index[k] < 0)
            return err_set(e, EBUSY, "model %s: all %d places are taken by models that still drain",
                           c->models[k].id, SHM_MODELS_MAX);
        struct model *m = &t->model[index[k]];
        is_taken[index[k]] = true;
        if (strcmp(m->name, c->models[k].id) != 0) { /* harmless if we fail: nobody uses it yet */
            *m = (struct model){0};
            snprintf(m->name, sizeof m->name, "%s", c->models[k].id);
        }
    }
    for (uint32_t i = 0; i < SHM_MODELS_MAX; i++) {
        if (t->model[i].is_configured)
            t->model[i].left_ns = t->now_ns;
        t->model[i].is_configured = false;
    }
    for (size_t k = 0; k < c->n_models; k++) {
        struct model *m = &t->model[index[k]];
        m->is_configured = true;
        m->workers = (uint32_t)c->models[k].workers;
        m->generation += replace[k] != 0;
    }
    t->is_dirty = true;
    return 0;
}

struct tally {
    uint32_t assigned, ready, ending, stuck;
    uint32_t context;
    bool has_text, has_chat, has_tools, has_reasoning, has_embedding;
    uint64_t retry_ns;
    const struct child *culprit; /* the one whose words explain the state */
};

static struct tally tally_workers(struct tree *t, uint32_t model)
{
    struct tally n = {0};

    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        const struct child *c = tree_worker(t, slot);
        if (!c->is_assigned || c->model != model)
            continue;
        n.assigned++;
        n.ending += !c->is_wanted;
        if (c->state == CHILD_READY) {
            n.ready++;
            if (n.context == 0 || c->context < n.context)
                n.context = c->context;
            n.has_text |= c->has_text;
            n.has_chat |= c->has_chat;
            n.has_tools |= c->has_tools;
            n.has_reasoning |= c->has_reasoning;
            n.has_embedding |= c->has_embedding;
        }
        if (c->state == CHILD_OPEN || c->state == CHILD_FAILED) {
            n.stuck++;
            n.culprit = c;
        }
        if (c->next_start_ns != 0 && (n.retry_ns == 0 || c->next_start_ns < n.retry_ns))
            n.retry_ns = c->next_start_ns;
    }
    return n;
}

static enum model_state state_of(const struct tree *t, const struct model *m, const struct tally *n)
{
    if (!m->is_configured || t->phase == TREE_STOPPING)
        return n->assigned > 0 ? MODEL_DRAINING : MODEL_ABSENT;
    if (n->ready > 0)
        return MODEL_READY;
    return n->stuck > 0 && n->stuck + n->ending >= n->assigned ? MODEL_FAILED : MODEL_LOADING;
}

static void publish(struct tree *t, uint32_t index)
{
    struct model *m = &t->model[index];
    struct tally n = tally_workers(t, index);
    enum model_state before = m->published.state, state = state_of(t, m, &n);
    struct model_record r = {
        .state = state,
        .workers = m->is_configured ? m->workers : 0,
        .workers_ready = n.ready,
        .context = n.context,
        .has_text = n.has_text,
        .has_chat = n.has_chat,
        .has_tools = n.has_tools,
        .has_reasoning = n.has_reasoning,
        .has_embedding = n.has_embedding,
        .retry_ns = state == MODEL_READY ? 0 : n.retry_ns,
    };
    snprintf(r.name, sizeof r.name, "%s", m->name);
    if (state == MODEL_FAILED)
        snprintf(r.reason, sizeof r.reason, "%.*s", (int)sizeof r.reason - 1,
                 n.culprit->state == CHILD_FAILED && n.culprit->why[0] != '\0'
                     ? n.culprit->why
                     : n.culprit->obituary);
    if (memcmp(&r, &m->published, sizeof r) == 0)
        return;
    m->published = r;
    seqlock_publish(&t->node->model[index], &r);
    if (state != before)
        log_event(LOG_MODEL, state == MODEL_FAILED ? LOG_ERROR : LOG_INFO, 0, "%s: %s%s%s", m->name,
                  model_state_name(state), r.reason[0] != '\0' ? ": " : "", r.reason);
}

void models_publish(struct tree *t)
{
    for (uint32_t i = 0; i < SHM_MODELS_MAX && t->model[i].name[0] != '\0'; i++)
        publish(t, i);
}

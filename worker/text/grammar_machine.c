#include "worker/text/grammar_machine.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

void machine_init(struct machine *m, const struct automaton *a)
{
    *m = (struct machine){.automaton = a};
    machine_clear(m);
}

static uint32_t add_node(struct machine *m, uint32_t rule)
{
    m->nodes = grammar_grow(m->nodes, m->n_nodes, &m->cap_nodes, sizeof *m->nodes);
    m->nodes[m->n_nodes] = (struct machine_node){.rule = rule, .edges = GRAMMAR_NONE};
    return m->n_nodes++;
}

void machine_clear(struct machine *m)
{
    m->n_nodes = m->n_edges = m->n_configs = 0;
    add_node(m, GRAMMAR_NONE);
}

void machine_free(struct machine *m)
{
    free(m->nodes);
    free(m->edges);
    free(m->configs);
    free(m->sources);
    *m = (struct machine){0};
}

/* --- sets --- */

static void add_config(struct machine *m, struct machine_set *set, uint32_t state, uint32_t node)
{
    for (uint32_t i = set->first; i < m->n_configs; i++)
        if (m->configs[i].state == state && m->configs[i].node == node)
            return;
    if (m->n_configs - set->first == MACHINE_CONFIGS_MAX)
        return;
    m->configs = grammar_grow(m->configs, m->n_configs, &m->cap_configs, sizeof *m->configs);
    m->configs[m->n_configs++] = (struct machine_config){.state = state, .node = node};
}

/* Calls that have ended give those that made them; then what cannot go on by itself may leave. */
static void end_calls(struct machine *m, struct machine_set *set)
{
    const struct auto_state *states = m->automaton->states;
    uint32_t kept = set->first;

    for (uint32_t i = set->first; i < m->n_configs; i++) {
        const struct machine_config c = m->configs[i];
        if (!states[c.state].is_end)
            continue;
        if (c.node == MACHINE_BOTTOM)
            set->has_emptied = true;
        for (uint32_t e = m->nodes[c.node].edges; e != GRAMMAR_NONE; e = m->edges[e].next)
            add_config(m, set, m->edges[e].to, m->edges[e].parent);
    }
    set->is_alive = m->n_configs > set->first;
    for (uint32_t i = set->first; i < m->n_configs; i++) {
        const struct auto_state *s = &states[m->configs[i].state];
        if (s->n_ranges > 0 || s->n_calls > 0)
            m->configs[kept++] = m->configs[i];
    }
    m->n_configs = kept;
    set->n = kept - set->first;
}

struct machine_set machine_begin(struct machine *m, uint32_t state)
{
    struct machine_set set = {.first = m->n_configs};

    add_config(m, &set, state, MACHINE_BOTTOM);
    end_calls(m, &set);
    return set;
}

struct machine_set machine_put(struct machine *m, struct machine_config c)
{
    struct machine_set set = {.first = m->n_configs, .n = 1, .is_alive = true};

    m->configs = grammar_grow(m->configs, m->n_configs, &m->cap_configs, sizeof *m->configs);
    m->configs[m->n_configs++] = c;
    return set;
}

struct machine_set machine_return(struct machine *m, uint32_t node)
{
    struct machine_set set = {.first = m->n_configs};

    for (uint32_t e = m->nodes[node].edges; e != GRAMMAR_NONE; e = m->edges[e].next)
        add_config(m, &set, m->edges[e].to, m->edges[e].parent);
    end_calls(m, &set);
    return set;
}

/* --- a byte --- */

static void add_source(struct machine *m, uint32_t state, uint32_t node)
{
    m->sources = grammar_grow(m->sources, m->n_sources, &m->cap_sources, sizeof *m->sources);
    m->sources[m->n_sources++] = (struct machine_config){.state = state, .node = node};
}

static bool has_edge(const struct machine *m, uint32_t node, uint32_t to, uint32_t parent)
{
    for (uint32_t e = m->nodes[node].edges; e != GRAMMAR_NONE; e = m->edges[e].next)
        if (m->edges[e].to == to && m->edges[e].parent == parent)
            return true;
    return false;
}

static void call_rule(struct machine *m, uint32_t first_node, const struct auto_call *call,
                      uint32_t caller)
{
    uint32_t node = first_node;

    while (node < m->n_nodes && m->nodes[node].rule != call->rule)
        node++;
    if (node == m->n_nodes) {
        add_node(m, call->rule);
        add_source(m, m->automaton->rules[call->rule].start, node);
    } else if (has_edge(m, node, call->to, caller)) {
        return;
    }
    m->edges = grammar_grow(m->edges, m->n_edges, &m->cap_edges, sizeof *m->edges);
    m->edges[m->n_edges] =
        (struct machine_edge){.to = call->to, .parent = caller, .next = m->nodes[node].edges};
    m->nodes[node].edges = m->n_edges++;
}

/* All calls are made before any rule takes the byte: one of a single byte ends with it, for all
 * that called it. */
static void make_calls(struct machine *m, uint8_t byte)
{
    const struct automaton *a = m->automaton;
    uint32_t first_node = m->n_nodes;

    for (uint32_t i = 0; i < m->n_sources; i++) {
        const struct auto_state *s = &a->states[m->sources[i].state];
        for (uint32_t k = 0; k < s->n_calls; k++) {
            const struct auto_call *call = &a->calls[s->calls + k];
            if (byte_set_has(&a->rules[call->rule].first, byte))
                call_rule(m, first_node, call, m->sources[i].node);
        }
    }
}

struct machine_set machine_step(struct machine *m, const struct machine_set *from, uint8_t byte)
{
    const struct automaton *a = m->automaton;
    struct machine_set set = {.first = m->n_configs};

    m->n_sources = 0;
    for (uint32_t i = 0; i < from->n; i++)
        add_source(m, m->configs[from->first + i].state, m->configs[from->first + i].node);
    make_calls(m, byte);
    for (uint32_t i = 0; i < m->n_sources; i++) {
        uint32_t to = automaton_next(a, &a->states[m->sources[i].state], byte);
        if (to != GRAMMAR_NONE)
            add_config(m, &set, to, m->sources[i].node);
    }
    end_calls(m, &set);
    return set;
}

/* --- what is still needed --- */

static void need(uint32_t *number, uint32_t *order, uint32_t *n, uint32_t node)
{
    if (number[node] != GRAMMAR_NONE)
        return;
    number[node] = 0;
    order[(*n)++] = node;
}

/* Marks the nodes that the set needs, then gives them new numbers in their old order. */
static uint32_t number_nodes(const struct machine *m, const struct machine_set *set,
                             uint32_t *number, uint32_t *order)
{
    uint32_t n = 0, count = 0;

    memset(number, 0xff, m->n_nodes * sizeof *number);
    need(number, order, &n, MACHINE_BOTTOM);
    for (uint32_t i = 0; i < set->n; i++)
        need(number, order, &n, m->configs[set->first + i].node);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t e = m->nodes[order[i]].edges; e != GRAMMAR_NONE; e = m->edges[e].next)
            need(number, order, &n, m->edges[e].parent);
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (number[i] != GRAMMAR_NONE)
            number[i] = count++;
    return count;
}

void machine_collect(struct machine *m, struct machine_set *set)
{
    uint32_t *number = calloc(m->n_nodes, sizeof *number);
    uint32_t *order = calloc(m->n_nodes, sizeof *order);
    struct machine_edge *edges = calloc(m->n_edges + 1, sizeof *edges);

    CHECK(number != NULL);
    CHECK(order != NULL);
    CHECK(edges != NULL);
    uint32_t n_nodes = number_nodes(m, set, number, order), n_edges = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (number[i] == GRAMMAR_NONE)
            continue;
        struct machine_node node = {.rule = m->nodes[i].rule, .edges = GRAMMAR_NONE};
        for (uint32_t e = m->nodes[i].edges; e != GRAMMAR_NONE; e = m->edges[e].next) {
            edges[n_edges] = (struct machine_edge){
                .to = m->edges[e].to, .parent = number[m->edges[e].parent], .next = node.edges};
            node.edges = n_edges++;
        }
        m->nodes[number[i]] = node;
    }
    m->n_nodes = n_nodes;
    if (n_edges > 0)
        memcpy(m->edges, edges, n_edges * sizeof *edges);
    m->n_edges = n_edges;
    for (uint32_t i = 0; i < set->n; i++) {
        m->configs[i] = m->configs[set->first + i];
        m->configs[i].node = number[m->configs[i].node];
    }
    set->first = 0;
    m->n_configs = set->n;
    free(number);
    free(order);
    free(edges);
}

/* The stacks of an automaton, all that are possible at once, as a graph: a call that several stacks
 * make at the same place is one node, with an edge for each of them. So there are never more nodes
 * for a place in the text than rules, however ambiguous they are.
 *
 * Nodes and edges are only added, and edges only to nodes of the same byte; so going back to a
 * place before is to cut the arrays. */
#ifndef WORKER_TEXT_GRAMMAR_MACHINE_H
#define WORKER_TEXT_GRAMMAR_MACHINE_H

#include "worker/text/grammar_automaton.h"

/* Stacks that differ on top; more are forgotten. No schema that anybody means comes near. */
#define MACHINE_CONFIGS_MAX 512

#define MACHINE_BOTTOM 0 /* the node of a rule that nobody called */

struct machine_node {
    uint32_t rule;
    uint32_t edges; /* the first, or GRAMMAR_NONE */
};
struct machine_edge {
    uint32_t to, parent; /* where the caller goes on */
    uint32_t next;
};
/* The top of stacks: a state within the call that is the node. */
struct machine_config {
    uint32_t state, node;
};

struct machine {
    const struct automaton *automaton; /* borrowed */
    struct machine_node *nodes;        /* all owned */
    struct machine_edge *edges;
    struct machine_config *configs; /* sets, one behind the other */
    struct machine_config *sources; /* of the step in work */
    uint32_t n_nodes, n_edges, n_configs, n_sources;
    uint32_t cap_nodes, cap_edges, cap_configs, cap_sources;
};

/* A part of configs: those from first to n. */
struct machine_set {
    uint32_t first, n;
    bool is_alive;    /* the bytes so far are the beginning of something */
    bool has_emptied; /* they are all of a call of the bottom rule */
};

struct machine_mark {
    uint32_t n_nodes, n_edges, n_configs;
};

/* Nothing on the stack. */
void machine_init(struct machine *m, const struct automaton *a);
void machine_free(struct machine *m);
void machine_clear(struct machine *m);

/* The set of one state, with the bottom as its node. */
struct machine_set machine_begin(struct machine *m, uint32_t state);
/* The set of one configuration as it is; behind all others in configs. */
struct machine_set machine_put(struct machine *m, struct machine_config c);
/* What the set becomes with the byte; behind all others in configs. */
struct machine_set machine_step(struct machine *m, const struct machine_set *from, uint8_t byte);
/* What follows when the calls that are `node` have just ended. */
struct machine_set machine_return(struct machine *m, uint32_t node);

static inline struct machine_mark machine_mark(const struct machine *m)
{
    return (struct machine_mark){
        .n_nodes = m->n_nodes, .n_edges = m->n_edges, .n_configs = m->n_configs};
}
static inline void machine_cut(struct machine *m, struct machine_mark mark)
{
    m->n_nodes = mark.n_nodes;
    m->n_edges = mark.n_edges;
    m->n_configs = mark.n_configs;
}

/* Keep this set alone, and of the nodes those it needs. */
void machine_collect(struct machine *m, struct machine_set *set);

#endif

/* The tree of one node: the segment, the children, their links, the models they serve.
 *
 * One thread, one event loop (loop.c). What happens comes in as events for a child (child.c); what
 * follows for the others is settled afterwards, in tree_settle: posts are filled, links made, model
 * records published. So no event handler calls back into another child's.
 */
#ifndef SUPERVISOR_TREE_H
#define SUPERVISOR_TREE_H

#include "base/config.h"
#include "shm/control.h"
#include "shm/link.h"
#include "shm/node.h"
#include "supervisor/child.h"
#include "supervisor/keeper.h"
#include "supervisor/options.h"

#define TREE_CHILDREN   (1 + SHM_WORKERS_MAX) /* 0 = the router, 1 + slot = workers */
#define TREE_TICK_NS    (100 * NS_PER_MS)
#define TREE_LATE_NS    (500 * NS_PER_MS) /* a tick later than this says nothing about children */
#define LINK_MAP_NS     (10 * NS_PER_S)   /* LINK_WRITE to LINK_MAPPED */
#define LINK_RETRY_NS   NS_PER_S          /* after memory or descriptors ran out */
#define CONTROL_LOST_NS NS_PER_S          /* end of file on the control socket to reaped */

enum link_state { LINK_NONE, LINK_MAPPING, LINK_UP };

struct link {
    enum link_state state;
    uint64_t epoch;
    struct link_fds fds; /* open while MAPPING */
    bool is_router_mapped, is_worker_mapped;
    uint64_t deadline_ns; /* of MAPPING */
    uint64_t retry_ns;    /* no attempt before */
};

/* A model keeps its index in the segment as long as it is configured or a worker of it lives, and
 * gets the same one back when it returns; other models take a used index only when no fresh one is
 * left. */
struct model {
    char name[CONFIG_ID_MAX]; /* "" = never used */
    bool is_configured;
    uint32_t workers;    /* wanted */
    uint32_t generation; /* moves when its workers must be replaced */
    bool has_weights;
    uint64_t weights_key; /* what its workers map, and will when they start again */
    uint64_t left_ns;    /* when it was last taken out of the configuration */
    struct model_record published;
};

enum tree_phase { TREE_RUNNING, TREE_DRAINING, TREE_STOPPING };

struct tree {
    const struct options *options; /* borrowed */
    struct config config;          /* owned */
    int config_fd;           /* owned: sealed, the effective configuration */
    struct node_owner owner;
    struct shm_node *node;           /* = owner.node */
    uint64_t epoch;                  /* last one given out */
    char *router_path, *worker_path; /* owned */
    char **envp;                     /* owned: the children's environment */
    int listen_fd, metrics_fd;       /* owned; -1 = none */

    struct child child[TREE_CHILDREN];
    struct link link[SHM_WORKERS_MAX];
    struct model model[SHM_MODELS_MAX];
    struct keeper keeper;

    enum tree_phase phase;
    bool is_dirty;   /* something changed since the last tree_settle */
    uint64_t now_ns; /* of the turn of the loop */
    uint64_t last_tick_ns;
    uint64_t watchdog_ns, watched_ns; /* period, last ping */
    uint64_t spawned_ns, ready_ns;    /* READY=1 was said; 0 = not yet */
    char status[160];                 /* last STATUS= */
    int exit_code;

    int epoll_fd, signal_fd, timer_fd; /* owned */
};

static inline struct child *tree_router(struct tree *t)
{
    return &t->child[0];
}
static inline struct child *tree_worker(struct tree *t, uint32_t slot)
{
    return &t->child[1 + slot];
}

/* Children and links in their first state; the caller has filled the rest. */
void tree_init(struct tree *t);

/* Rules that need the segment's limits. 0 or -EINVAL with the sentence. */
int tree_check_config(const struct config *c, struct err *e);

uint64_t tree_next_epoch(struct tree *t);

/* The [model] section of a model in the segment, NULL when it has none (any more). */
const struct config_model *tree_model_config(const struct tree *t, uint32_t model);

/* A message to a child that lives. One that does not read its socket is killed as hung. */
void tree_send(struct tree *t, struct child *c, const struct control_msg *msg, const int *fds,
               int n);

/* Whatever follows from the events so far, until nothing follows any more. */
void tree_settle(struct tree *t);
void tree_tick(struct tree *t); /* every TREE_TICK_NS */

/* SIGTERM: drain, then stop. Again: kill. */
void tree_shut_down(struct tree *t);
void tree_stop_all(struct tree *t);

/* Nobody is left, or only who cannot be ended. */
bool tree_is_over(const struct tree *t);

/* --- process.c: the children as processes --- */

extern const struct child_ops process_ops;
void process_publish(struct child *c);
/* Its pidfd became readable: reap it, if it is so. */
void process_reap(struct tree *t, struct child *c);

/* --- inbox.c: what children say --- */

void inbox_read(struct tree *t, struct child *c);
/* The last words of a dead one: only a refusal still counts. */
void inbox_read_refusal(struct tree *t, struct child *c);

/* --- links.c --- */

void links_make(struct tree *t);
void links_mapped(struct tree *t, struct child *from, uint64_t epoch);
void links_worker_gone(struct tree *t, struct child *worker);
void links_router_gone(struct tree *t);
void links_tick(struct tree *t);
/* Ask the router to finish what runs there; -ENOTCONN when nothing does. */
int links_drain(struct tree *t, struct child *worker, uint64_t deadline_ns);
/* The worker at the other end of the router's link, NULL when it is no current one. */
struct child *links_find(struct tree *t, uint32_t slot, uint64_t epoch);

/* --- posts.c: which slot works for which model --- */

void posts_fill(struct tree *t);

/* --- models.c --- */

/* Take over a configuration's models. replace[i]: the workers of models[i] must be new ones. */
int models_apply(struct tree *t, const struct config *c, const uint8_t *replace, struct err *e);
void models_publish(struct tree *t);

/* --- health.c --- */

void health_tick(struct tree *t, bool is_late);

/* --- reload.c --- */

void tree_reload(struct tree *t);
/* A sealed memfd with the effective configuration, or -errno with the sentence. */
int tree_write_config(const struct config *c, struct err *e);

/* --- loop.c --- */

enum loop_source { LOOP_SIGNAL, LOOP_TIMER, LOOP_CONTROL, LOOP_PIDFD, LOOP_KEEPER };

int loop_open(struct tree *t, struct err *e);
int loop_watch(struct tree *t, int fd, enum loop_source source, uint32_t index, struct err *e);
void loop_unwatch(struct tree *t, int fd);
void loop_run(struct tree *t);
void loop_close(struct tree *t);

#endif

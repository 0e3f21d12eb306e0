#include "supervisor/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/memory.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BYTES_PER_MB 1000000

int keeper_open(struct tree *t, struct err *e)
{
    t->keeper.done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (t->keeper.done_fd < 0)
        return err_set(e, errno, "eventfd: %s", strerror(errno));
    return loop_watch(t, t->keeper.done_fd, LOOP_KEEPER, 0, e);
}

void keeper_close(struct tree *t)
{
    keeper_stop(t);
    /* A thread that still gives memory back writes to it; the process ends with them. */
    if (t->keeper.done_fd >= 0 && t->keeper.n_leaving == 0)
        close(t->keeper.done_fd);
    t->keeper.done_fd = -1;
}

static struct keeper_client *client_of(struct tree *t, const struct child *c)
{
    return &t->keeper.client[c->slot];
}

static struct keeper_piece *piece_of(struct tree *t, const struct child *c)
{
    return &t->keeper.piece[client_of(t, c)->piece];
}

static bool uses(const struct tree *t, uint32_t slot, const struct keeper_piece *p)
{
    const struct keeper_client *client = &t->keeper.client[slot];

    return client->use != USE_NONE && &t->keeper.piece[client->piece] == p;
}

/* ---- what there is ---- */

static struct keeper_piece *find_piece(struct tree *t, uint64_t key)
{
    for (uint32_t i = 0; i < SHM_WEIGHTS_MAX; i++)
        if (t->keeper.piece[i].state != KEPT_NONE && t->keeper.piece[i].key == key)
            return &t->keeper.piece[i];
    return NULL;
}

static struct keeper_piece *make_piece(struct tree *t, uint64_t key, uint64_t bytes)
{
    for (uint32_t i = 0; i < SHM_WEIGHTS_MAX; i++) {
        struct keeper_piece *p = &t->keeper.piece[i];
        if (p->state != KEPT_NONE)
            continue;
        p->state = KEPT_WANTED;
        p->key = key;
        p->bytes = bytes;
        p->fd = -1;
        p->granted_ns = p->filled_ns = 0;
        return p;
    }
    return NULL;
}

/* The memory goes; whoever wants the piece starts from nothing. */
static void give_back(struct tree *t, struct keeper_piece *p, enum kept_state next)
{
    if (p->fd >= 0 && memory_discard(p->fd, t->keeper.done_fd) == 1)
        t->keeper.n_leaving++;
    p->fd = -1;
    p->filled_ns = 0;
    p->state = next;
    t->is_dirty = true;
}

static bool is_key_of(const struct model *m, uint64_t key)
{
    return m->is_configured && m->has_weights && m->weights_key == key;
}

/* A model whose workers would ask for it again, else one that still uses it; -1 = none. */
static int find_model(const struct tree *t, const struct keeper_piece *p)
{
    for (int i = 0; i < SHM_MODELS_MAX; i++)
        if (is_key_of(&t->model[i], p->key))
            return i;
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++)
        if (uses(t, slot, p))
            return (int)t->child[1 + slot].model;
    return -1;
}

static bool has_clients(const struct tree *t, const struct keeper_piece *p)
{
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++)
        if (uses(t, slot, p))
            return true;
    return false;
}

/* ---- answers ---- */

static void refuse(struct tree *t, struct child *c, uint64_t key, const char *why)
{
    struct control_msg msg = {.type = CONTROL_WEIGHTS_GRANT, .weights_key = key};

    snprintf(msg.text, sizeof msg.text, "%s", why);
    client_of(t, c)->use = USE_NONE;
    t->is_dirty = true;
    tree_send(t, c, &msg, NULL, 0);
}

static void grant(struct tree *t, struct child *c, enum keeper_use use)
{
    struct keeper_piece *p = piece_of(t, c);
    struct control_msg msg = {
        .type = CONTROL_WEIGHTS_GRANT,
        .weights_key = p->key,
        .weights_bytes = p->bytes,
        .is_filled = p->state == KEPT_FILLED,
    };

    client_of(t, c)->use = use;
    tree_send(t, c, &msg, &p->fd, 1);
}

/* Whose turn it is; not one that was told to stop meanwhile. */
static struct child *first_waiting(struct tree *t, const struct keeper_piece *p)
{
    struct child *first = NULL;

    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        struct child *c = tree_worker(t, slot);
        if (uses(t, slot, p) && client_of(t, c)->use == USE_WAITS && c->state == CHILD_STARTING &&
            (first == NULL || client_of(t, c)->turn < client_of(t, first)->turn))
            first = c;
    }
    return first;
}

/* What pieces that are being filled will still take. */
static uint64_t count_promised(const struct tree *t)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < SHM_WEIGHTS_MAX; i++) {
        const struct keeper_piece *p = &t->keeper.piece[i];
        if (p->state == KEPT_FILLING)
            bytes += memory_unwritten(p->fd, p->bytes);
    }
    return bytes;
}

static void let_fill(struct tree *t, struct keeper_piece *p, struct child *c)
{
    struct err e = {0};
    int fd = memory_create(p->bytes, count_promised(t), &e);

    if (fd < 0) {
        refuse(t, c, p->key, e.text);
        return;
    }
    p->fd = fd;
    p->state = KEPT_FILLING;
    p->maker = c->slot;
    p->granted_ns = t->now_ns;
    grant(t, c, USE_FILLS);
    log_info(LOG_MODEL, "%s: fills %" PRIu64 " MB of weights %016" PRIx64, c->name,
             p->bytes / BYTES_PER_MB, p->key);
}

static void drop_unneeded(struct tree *t, struct keeper_piece *p)
{
    if (p->state == KEPT_FILLING && tree_worker(t, p->maker)->is_quarantined) {
        /* It will not end, and may write for ever: what it has is its own from now on. */
        t->keeper.client[p->maker].use = USE_NONE;
        give_back(t, p, KEPT_WANTED);
    }
    if (p->state == KEPT_WANTED && !has_clients(t, p))
        p->state = KEPT_NONE; /* there is nothing to keep */
    if (p->state != KEPT_FILLED || find_model(t, p) >= 0)
        return;
    log_info(LOG_MODEL, "weights %016" PRIx64 ": needed no more, %" PRIu64 " MB given back", p->key,
             p->bytes / BYTES_PER_MB);
    give_back(t, p, KEPT_NONE);
}

static void serve_waiting(struct tree *t, struct keeper_piece *p)
{
    struct child *c;

    while (p->state == KEPT_FILLED && (c = first_waiting(t, p)) != NULL)
        grant(t, c, USE_HAS);
    while (p->state == KEPT_WANTED && t->keeper.n_leaving == 0 && (c = first_waiting(t, p)) != NULL)
        let_fill(t, p, c);
}

/* First what goes, then who comes: the former's memory may be what the latter needs. */
void keeper_settle(struct tree *t)
{
    for (uint32_t i = 0; i < SHM_WEIGHTS_MAX; i++)
        drop_unneeded(t, &t->keeper.piece[i]);
    for (uint32_t i = 0; i < SHM_WEIGHTS_MAX; i++)
        serve_waiting(t, &t->keeper.piece[i]);
}

/* ---- what workers say ---- */

/* Whether the message is to be acted on: one of this incarnation, while it loads. What crosses our
 * order to stop comes too late; anything else ends it. */
static bool is_in_place(struct tree *t, struct child *c, const struct control_msg *m)
{
    if (c->state == CHILD_STOPPING)
        return false;
    if (c->kind != PROCESS_WORKER)
        child_accuse(c, EV_VIOLATION, t->now_ns, "it sent %s, which is a worker's word",
                     control_type_name(m->type));
    else if (m->epoch != c->epoch)
        child_accuse(c, EV_VIOLATION, t->now_ns, "%s of incarnation %llx, expected %llx",
                     control_type_name(m->type), (unsigned long long)m->epoch,
                     (unsigned long long)c->epoch);
    else if (c->state != CHILD_STARTING)
        child_accuse(c, EV_VIOLATION, t->now_ns, "it sent %s after it was ready",
                     control_type_name(m->type));
    else
        return true;
    return false;
}

static void remember_key(struct tree *t, const struct child *c, uint64_t key)
{
    struct model *m = &t->model[c->model];

    if (m->has_weights && c->generation != m->generation)
        return; /* one of the former configuration, which nobody will be started with again */
    m->has_weights = true;
    m->weights_key = key;
}

void keeper_want(struct tree *t, struct child *c, const struct control_msg *m)
{
    char why[sizeof m->text];

    if (!is_in_place(t, c, m))
        return;
    if (client_of(t, c)->use != USE_NONE) {
        child_accuse(c, EV_VIOLATION, t->now_ns, "it asked for weights twice");
        return;
    }
    if (m->weights_bytes == 0 || m->weights_bytes > MEMORY_BYTES_MAX) {
        snprintf(why, sizeof why, "weights of %" PRIu64 " bytes: expected 1 to %" PRIu64,
                 m->weights_bytes, MEMORY_BYTES_MAX);
        refuse(t, c, m->weights_key, why);
        return;
    }
    struct keeper_piece *p = find_piece(t, m->weights_key);
    if (p == NULL)
        p = make_piece(t, m->weights_key, m->weights_bytes);
    if (p == NULL || p->bytes != m->weights_bytes) {
        if (p == NULL)
            snprintf(why, sizeof why, "weights: all %d places are taken", SHM_WEIGHTS_MAX);
        else
            snprintf(why, sizeof why,
                     "weights %016" PRIx64 ": wanted with %" PRIu64 " bytes, they have %" PRIu64,
                     p->key, m->weights_bytes, p->bytes);
        refuse(t, c, m->weights_key, why);
        return;
    }
    remember_key(t, c, p->key);
    *client_of(t, c) = (struct keeper_client){
        .use = USE_WAITS, .piece = (uint32_t)(p - t->keeper.piece), .turn = ++t->keeper.turn};
    t->is_dirty = true;
}

void keeper_filled(struct tree *t, struct child *c, const struct control_msg *m)
{
    struct keeper_piece *p = piece_of(t, c);

    if (!is_in_place(t, c, m))
        return;
    if (client_of(t, c)->use != USE_FILLS || p->key != m->weights_key) {
        child_accuse(c, EV_VIOLATION, t->now_ns,
                     "it filled weights %016" PRIx64 ", which it does not", m->weights_key);
        return;
    }
    if (!memory_is_sealed(p->fd)) {
        child_accuse(c, EV_VIOLATION, t->now_ns,
                     "weights %016" PRIx64 " are said to be filled and can still be written",
                     p->key);
        return; /* the memory goes with the worker */
    }
    p->state = KEPT_FILLED;
    p->filled_ns = t->now_ns;
    client_of(t, c)->use = USE_WAITS; /* for the same memory once more, like all the others */
    t->is_dirty = true;
    log_info(LOG_MODEL, "%s: filled weights %016" PRIx64 " in %.3f s; kept", c->name, p->key,
             (double)(p->filled_ns - p->granted_ns) / (double)NS_PER_S);
}

void keeper_worker_gone(struct tree *t, struct child *c)
{
    struct keeper_client *client = client_of(t, c);
    struct keeper_piece *p = piece_of(t, c);

    if (client->use == USE_FILLS) {
        log_warning(LOG_MODEL, "%s: gone before weights %016" PRIx64 " were filled; given back",
                    c->name, p->key);
        give_back(t, p, KEPT_WANTED);
    }
    client->use = USE_NONE;
    t->is_dirty = true;
}

bool keeper_is_waiting(const struct tree *t, const struct child *c)
{
    return c->kind == PROCESS_WORKER && t->keeper.client[c->slot].use == USE_WAITS;
}

bool keeper_is_unsettled(const struct tree *t, const struct child *c)
{
    return keeper_is_waiting(t, c) ||
           (c->kind == PROCESS_WORKER && t->keeper.client[c->slot].use == USE_FILLS);
}

void keeper_freed(struct tree *t)
{
    uint64_t n;

    if (read(t->keeper.done_fd, &n, sizeof n) != (ssize_t)sizeof n)
        return;
    t->keeper.n_leaving -= n;
    t->is_dirty = true;
}

void keeper_stop(struct tree *t)
{
    for (uint32_t i = 0; i < SHM_WEIGHTS_MAX; i++) {
        struct keeper_piece *p = &t->keeper.piece[i];
        if (p->state != KEPT_NONE)
            give_back(t, p, KEPT_NONE);
    }
    memset(t->keeper.client, 0, sizeof t->keeper.client);
}

/* ---- what people see ---- */

static void publish_piece(struct tree *t, uint32_t i)
{
    struct keeper_piece *p = &t->keeper.piece[i];
    struct weights_record r = {.state = p->state};

    if (p->state != KEPT_NONE) {
        int model = find_model(t, p);
        r.key = p->key;
        r.bytes = p->bytes;
        r.model = model >= 0 ? (uint32_t)model : 0;
        r.filled_ns = p->filled_ns;
        for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
            if (!uses(t, slot, p))
                continue;
            r.waiting += t->keeper.client[slot].use == USE_WAITS;
            r.users += t->keeper.client[slot].use != USE_WAITS;
        }
    }
    if (memcmp(&r, &p->published, sizeof r) == 0)
        return;
    p->published = r;
    seqlock_publish(&t->node->weights[i], &r);
}

void keeper_publish(struct tree *t)
{
    for (uint32_t i = 0; i < SHM_WEIGHTS_MAX; i++)
        publish_piece(t, i);
}

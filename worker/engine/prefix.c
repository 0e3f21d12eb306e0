#include "worker/engine/prefix.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static void *take(int32_t n, size_t size)
{
    void *p = calloc(n > 0 ? (size_t)n : 1, size);

    CHECK(p != NULL);
    return p;
}

static void fill_stack(int32_t *stack, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        stack[i] = n - 1 - i;
}

static int32_t root_of(const struct prefix *p)
{
    return p->limits.pages;
}

static bool is_known(const struct prefix *p, int32_t page)
{
    return p->nodes[page].n_tokens > 0;
}

void prefix_init(struct prefix *p, const struct prefix_limits *limits)
{
    int32_t pages = limits->pages, slots = limits->slots;

    *p = (struct prefix){.limits = *limits, .n_free_pages = pages, .n_free_slots = slots};
    if (pages == 0)
        p->limits.is_keeping = false;
    p->free_pages = take(pages, sizeof *p->free_pages);
    p->free_slots = take(slots, sizeof *p->free_slots);
    fill_stack(p->free_pages, pages);
    fill_stack(p->free_slots, slots);
    p->nodes = take(pages + 1, sizeof *p->nodes);
    p->tokens = take(pages, (size_t)limits->page_tokens * sizeof *p->tokens);
    p->checkpoints = take(slots, sizeof *p->checkpoints);
    p->ghosts = take(PREFIX_GHOSTS, sizeof *p->ghosts);
    TAILQ_INIT(&p->idle);
    p->nodes[root_of(p)] =
        (struct prefix_node){.first_child = PREFIX_NONE, .first_checkpoint = PREFIX_NONE};
    for (int32_t i = 0; i < slots; i++)
        p->checkpoints[i].page = PREFIX_NONE;
}

void prefix_free(struct prefix *p)
{
    free(p->free_pages);
    free(p->free_slots);
    free(p->nodes);
    free(p->tokens);
    free(p->checkpoints);
    free(p->ghosts);
    *p = (struct prefix){0};
}

/* --- the tree --- */

static uint32_t *tokens_of(const struct prefix *p, int32_t page)
{
    return p->tokens + (size_t)page * (size_t)p->limits.page_tokens;
}

static bool is_whole(const struct prefix *p, int32_t page)
{
    return p->nodes[page].n_tokens == p->limits.page_tokens;
}

static uint64_t hash_page(const struct prefix *p, int32_t parent, const uint32_t *tokens)
{
    uint64_t own = hash_xxh3(tokens, (size_t)p->limits.page_tokens * sizeof *tokens);

    return hash_mix(p->nodes[parent].hash, own) | 1; /* 0: no ghost */
}

static void link_child(struct prefix *p, int32_t parent, int32_t page)
{
    struct prefix_node *n = &p->nodes[page], *above = &p->nodes[parent];

    n->parent = parent;
    n->previous = PREFIX_NONE;
    n->next = above->first_child;
    if (n->next != PREFIX_NONE)
        p->nodes[n->next].previous = page;
    above->first_child = page;
}

static void unlink_child(struct prefix *p, int32_t page)
{
    const struct prefix_node *n = &p->nodes[page];

    if (n->previous != PREFIX_NONE)
        p->nodes[n->previous].next = n->next;
    else
        p->nodes[n->parent].first_child = n->next;
    if (n->next != PREFIX_NONE)
        p->nodes[n->next].previous = n->previous;
}

/* By the time of use. Mostly a parent whose last child is gone: as old as the oldest. */
static void add_idle(struct prefix *p, int32_t page)
{
    struct prefix_node *n = &p->nodes[page], *last = TAILQ_LAST(&p->idle, prefix_idle), *other;

    if (last == NULL || last->used <= n->used) {
        TAILQ_INSERT_TAIL(&p->idle, n, idle);
        return;
    }
    TAILQ_FOREACH (other, &p->idle, idle)
        if (other->used >= n->used)
            break;
    TAILQ_INSERT_BEFORE(other, n, idle);
}

static bool is_idle(const struct prefix *p, int32_t page)
{
    const struct prefix_node *n = &p->nodes[page];

    return page != root_of(p) && n->users == 0 && n->first_child == PREFIX_NONE;
}

static void hold(struct prefix *p, int32_t page)
{
    struct prefix_node *n = &p->nodes[page];

    if (n->users++ > 0)
        return;
    p->n_unused--;
    if (n->first_child == PREFIX_NONE)
        TAILQ_REMOVE(&p->idle, n, idle);
}

static void add_node(struct prefix *p, int32_t parent, int32_t page)
{
    CHECK(!is_known(p, page));
    p->nodes[page] = (struct prefix_node){
        .first_child = PREFIX_NONE, .first_checkpoint = PREFIX_NONE, .users = 1, .used = p->tick};
    link_child(p, parent, page);
}

/* The first child of parent whose first n tokens are these, but `except`. */
static int32_t find_child(const struct prefix *p, int32_t parent, const uint32_t *tokens, int32_t n,
                          int32_t except)
{
    int32_t page = p->nodes[parent].first_child;

    for (; page != PREFIX_NONE; page = p->nodes[page].next)
        if (page != except && p->nodes[page].n_tokens >= n &&
            memcmp(tokens_of(p, page), tokens, (size_t)n * sizeof *tokens) == 0)
            break;
    return page;
}

/* --- checkpoints --- */

static void unlink_checkpoint(struct prefix *p, int32_t slot)
{
    struct prefix_checkpoint *c = &p->checkpoints[slot];
    int32_t *at = &p->nodes[c->page].first_checkpoint;

    while (*at != slot)
        at = &p->checkpoints[*at].next;
    *at = c->next;
    c->page = PREFIX_NONE;
    p->n_checkpoints--;
}

static void link_checkpoint(struct prefix *p, int32_t page, int32_t slot)
{
    struct prefix_checkpoint *c = &p->checkpoints[slot];

    c->page = page;
    c->next = p->nodes[page].first_checkpoint;
    p->nodes[page].first_checkpoint = slot;
    p->n_checkpoints++;
}

bool prefix_has_checkpoint(const struct prefix *p, int32_t page, int32_t offset)
{
    int32_t slot = p->nodes[page].first_checkpoint;

    while (slot != PREFIX_NONE && p->checkpoints[slot].offset != offset)
        slot = p->checkpoints[slot].next;
    return slot != PREFIX_NONE;
}

static void free_checkpoints(struct prefix *p, int32_t page)
{
    int32_t slot;

    while ((slot = p->nodes[page].first_checkpoint) != PREFIX_NONE) {
        unlink_checkpoint(p, slot);
        p->free_slots[p->n_free_slots++] = slot;
    }
}

/* The other page has the same tokens and more. */
static void move_checkpoints(struct prefix *p, int32_t page, int32_t to)
{
    int32_t slot;

    while ((slot = p->nodes[page].first_checkpoint) != PREFIX_NONE) {
        unlink_checkpoint(p, slot);
        if (prefix_has_checkpoint(p, to, p->checkpoints[slot].offset))
            p->free_slots[p->n_free_slots++] = slot;
        else
            link_checkpoint(p, to, slot);
    }
}

void prefix_keep(struct prefix *p, int32_t page, int32_t offset, int32_t slot, uint32_t saves)
{
    CHECK(offset > 0 && offset <= p->nodes[page].n_tokens);
    p->checkpoints[slot] =
        (struct prefix_checkpoint){.offset = offset, .saves = saves, .used = p->tick};
    link_checkpoint(p, page, slot);
}

static double worth(const struct prefix *p, uint32_t saves, uint64_t used)
{
    return (double)saves / (double)(p->tick - used + 1);
}

static int32_t find_worst(const struct prefix *p, int32_t except, double *worst)
{
    int32_t found = PREFIX_NONE;

    for (int32_t i = 0; i < p->limits.slots; i++) {
        const struct prefix_checkpoint *c = &p->checkpoints[i];
        if (c->page == PREFIX_NONE || i == except)
            continue;
        double value = worth(p, c->saves, c->used);
        if (found == PREFIX_NONE || value < *worst) {
            found = i;
            *worst = value;
        }
    }
    return found;
}

static void evict_checkpoint(struct prefix *p, int32_t slot)
{
    p->nodes[p->checkpoints[slot].page].has_lost_checkpoint = true;
    unlink_checkpoint(p, slot);
    p->n_evicted++;
}

int32_t prefix_checkpoint_slot(struct prefix *p, uint32_t saves)
{
    double worst = 0;

    if (p->n_free_slots > 0)
        return p->free_slots[--p->n_free_slots];
    int32_t slot = find_worst(p, PREFIX_NONE, &worst);
    if (slot == PREFIX_NONE || worst > worth(p, saves, p->tick))
        return PREFIX_NONE;
    evict_checkpoint(p, slot);
    return slot;
}

/* --- pages and slots --- */

static int32_t evict_page(struct prefix *p)
{
    struct prefix_node *n = TAILQ_FIRST(&p->idle);

    CHECK(n != NULL);
    int32_t page = (int32_t)(n - p->nodes), parent = n->parent;
    free_checkpoints(p, page);
    unlink_child(p, page);
    TAILQ_REMOVE(&p->idle, n, idle);
    if (is_whole(p, page))
        p->ghosts[n->hash & (PREFIX_GHOSTS - 1)] = n->hash;
    n->n_tokens = 0;
    p->n_unused--;
    p->n_evicted++;
    if (is_idle(p, parent))
        add_idle(p, parent);
    return page;
}

int32_t prefix_new_page(struct prefix *p)
{
    if (p->n_free_pages > 0)
        return p->free_pages[--p->n_free_pages];
    return evict_page(p);
}

void prefix_drop(struct prefix *p, int32_t page)
{
    struct prefix_node *n = &p->nodes[page];

    if (!is_known(p, page)) {
        p->free_pages[p->n_free_pages++] = page;
        return;
    }
    CHECK(n->users > 0);
    n->used = p->tick;
    if (--n->users > 0)
        return;
    p->n_unused++;
    if (n->first_child == PREFIX_NONE)
        add_idle(p, page);
}

int32_t prefix_new_slot(struct prefix *p, int32_t except)
{
    double worst = 0;

    if (p->n_free_slots > 0)
        return p->free_slots[--p->n_free_slots];
    int32_t slot = find_worst(p, except, &worst);
    if (slot != PREFIX_NONE)
        evict_checkpoint(p, slot);
    return slot;
}

void prefix_drop_slot(struct prefix *p, int32_t slot)
{
    p->free_slots[p->n_free_slots++] = slot;
}

void prefix_take_slot(struct prefix *p, int32_t slot)
{
    evict_checkpoint(p, slot);
}

/* --- looking --- */

static int32_t count_common(const uint32_t *a, const uint32_t *b, int32_t n)
{
    int32_t i = 0;

    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* The first n tokens of the page, which come behind `before` others, are as asked. */
static void note(const struct prefix *p, struct prefix_hit *hit, int32_t page, uint32_t before,
                 int32_t n)
{
    int32_t best = n, best_slot = PREFIX_NONE;

    if (p->limits.slots > 0) {
        best = 0;
        for (int32_t s = p->nodes[page].first_checkpoint; s != PREFIX_NONE;
             s = p->checkpoints[s].next)
            if (p->checkpoints[s].offset <= n && p->checkpoints[s].offset > best)
                best = p->checkpoints[best_slot = s].offset;
    }
    if (best == 0 || before + (uint32_t)best <= hit->n_tokens)
        return;
    hit->n_tokens = before + (uint32_t)best;
    hit->page = page;
    hit->slot = best_slot;
    hit->is_all = n == p->nodes[page].n_tokens;
}

static bool was_evicted(const struct prefix *p, int32_t parent, const uint32_t *tokens)
{
    uint64_t hash = hash_page(p, parent, tokens);

    return p->ghosts[hash & (PREFIX_GHOSTS - 1)] == hash;
}

/* The children of a node against the tokens from `at` on. The one to go on from, or PREFIX_NONE. */
static int32_t look_below(const struct prefix *p, int32_t parent, const uint32_t *tokens,
                          uint32_t at, int32_t n, struct prefix_hit *hit, bool *has_lost)
{
    int32_t next = PREFIX_NONE, most = 0;

    for (int32_t c = p->nodes[parent].first_child; c != PREFIX_NONE; c = p->nodes[c].next) {
        int32_t known = p->nodes[c].n_tokens < n ? p->nodes[c].n_tokens : n;
        int32_t common = count_common(tokens_of(p, c), tokens + at, known);
        note(p, hit, c, at, common);
        *has_lost |= common > 0 && p->nodes[c].has_lost_checkpoint;
        most = common > most ? common : most;
        if (common == p->limits.page_tokens)
            next = c;
    }
    hit->n_matched = at + (uint32_t)most;
    return next;
}

struct prefix_hit prefix_find(struct prefix *p, const uint32_t *tokens, uint32_t n)
{
    struct prefix_hit hit = {.page = PREFIX_NONE, .slot = PREFIX_NONE};
    uint32_t whole = (uint32_t)p->limits.page_tokens, at = 0;
    int32_t parent = root_of(p), next;
    bool has_lost = false;

    if (!p->limits.is_keeping)
        return hit;
    p->tick++;
    while ((next = look_below(p, parent, tokens, at, (int32_t)(n - at < whole ? n - at : whole),
                              &hit, &has_lost)) != PREFIX_NONE) {
        parent = next;
        at += whole;
    }
    if (hit.n_tokens == n)
        hit.miss = PREFIX_WHOLE;
    else if (hit.n_tokens < hit.n_matched)
        hit.miss = has_lost ? PREFIX_EVICTED : PREFIX_NO_CHECKPOINT;
    else
        hit.miss = n - at >= whole && was_evicted(p, parent, tokens + at) ? PREFIX_EVICTED
                                                                          : PREFIX_DIVERGED;
    return hit;
}

int32_t prefix_take(struct prefix *p, const struct prefix_hit *hit, int32_t *pages)
{
    uint32_t whole = (uint32_t)p->limits.page_tokens;
    int32_t n = (int32_t)((hit->n_tokens + whole - 1) / whole), page = hit->page;

    if (hit->n_tokens == 0)
        return 0;
    for (int32_t i = n; i-- > 0; page = p->nodes[page].parent) {
        hold(p, page);
        pages[i] = page;
    }
    if (hit->slot != PREFIX_NONE)
        p->checkpoints[hit->slot].used = p->tick;
    return n;
}

bool prefix_may_write(const struct prefix *p, const struct prefix_hit *hit)
{
    return hit->is_all && !is_whole(p, hit->page) && p->nodes[hit->page].users == 1;
}

/* --- keeping --- */

int32_t prefix_put(struct prefix *p, int32_t parent, int32_t page, const uint32_t *tokens)
{
    int32_t whole = p->limits.page_tokens;

    if (parent == PREFIX_NONE)
        parent = root_of(p);
    int32_t other = find_child(p, parent, tokens, whole, page);
    if (other != PREFIX_NONE) {
        hold(p, other);
        if (is_known(p, page)) {
            CHECK(p->nodes[page].users == 1);
            move_checkpoints(p, page, other);
            unlink_child(p, page);
            p->nodes[page].n_tokens = 0;
        }
        prefix_drop(p, page);
        return other;
    }
    if (!is_known(p, page))
        add_node(p, parent, page);
    p->nodes[page].n_tokens = whole;
    p->nodes[page].hash = hash_page(p, parent, tokens);
    memcpy(tokens_of(p, page), tokens, (size_t)whole * sizeof *tokens);
    return page;
}

int32_t prefix_put_part(struct prefix *p, int32_t parent, int32_t page, const uint32_t *tokens,
                        int32_t n)
{
    if (parent == PREFIX_NONE)
        parent = root_of(p);
    if (!is_known(p, page)) {
        int32_t other = find_child(p, parent, tokens, n, page);
        if (other != PREFIX_NONE)
            return other;
        add_node(p, parent, page);
    }
    if (p->nodes[page].n_tokens < n) {
        p->nodes[page].n_tokens = n;
        memcpy(tokens_of(p, page), tokens, (size_t)n * sizeof *tokens);
    }
    return page;
}

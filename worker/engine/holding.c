#include "worker/engine/holding.h"

#include "base/check.h"
#include "worker/engine/marks.h"

void holdings_init(struct holdings *h, const struct prefix_limits *limits,
                   const struct holding_memory *memory)
{
    *h = (struct holdings){.memory = *memory};
    prefix_init(&h->prefix, limits);
}

void holdings_free(struct holdings *h)
{
    prefix_free(&h->prefix);
}

static int32_t pages_for(const struct holdings *h, uint32_t tokens)
{
    const struct prefix_limits *l = &h->prefix.limits;

    if (l->pages == 0)
        return 0;
    return ((int32_t)tokens + l->page_tokens - 1) / l->page_tokens;
}

static bool has_slots(const struct holdings *h)
{
    return h->prefix.limits.slots > 0;
}

/* --- beginning --- */

/* Tokens that need not be read: but those whose rows bring results, and one at least. */
static uint32_t reusable(const struct sequence *q)
{
    return (q->n_out < q->n_tokens ? q->n_out : q->n_tokens) - 1;
}

/* The pages of a hit, when there is room for the others. */
static bool take_pages(struct holdings *h, struct sequence *q, const struct prefix_hit *hit)
{
    uint32_t tokens = q->n_tokens < q->n_limit ? q->n_tokens + 1 : q->n_tokens;
    uint32_t whole = (uint32_t)h->prefix.limits.page_tokens;

    q->n_pages = prefix_take(&h->prefix, hit, q->pages);
    q->n_shared = q->n_pages;
    bool is_last_part = q->n_pages > 0 && hit->n_tokens % whole != 0;
    bool is_copied = is_last_part && !prefix_may_write(&h->prefix, hit);
    q->n_shared -= is_last_part;
    if (prefix_room(&h->prefix) < pages_for(h, tokens) - q->n_pages + is_copied) {
        while (q->n_pages > 0)
            prefix_drop(&h->prefix, q->pages[--q->n_pages]);
        q->n_shared = 0;
        return false;
    }
    if (is_copied) {
        int32_t *last = &q->pages[q->n_pages - 1], page = prefix_new_page(&h->prefix);
        h->memory.copy_page(h->memory.to, page, *last);
        prefix_drop(&h->prefix, *last);
        *last = page;
    }
    return true;
}

static void take_slot(struct holdings *h, struct sequence *q, int32_t checkpoint)
{
    q->slot = prefix_new_slot(&h->prefix, checkpoint);
    if (q->slot == PREFIX_NONE) { /* there is no other: it goes on in the checkpoint itself */
        prefix_take_slot(&h->prefix, checkpoint);
        q->slot = checkpoint;
    } else if (checkpoint != PREFIX_NONE) {
        h->memory.copy_slot(h->memory.to, q->slot, checkpoint);
    } else {
        h->memory.clear_slot(h->memory.to, q->slot);
    }
}

bool holding_begin(struct holdings *h, struct sequence *q, bool is_alone)
{
    if (has_slots(h) && !prefix_has_slot(&h->prefix))
        return false;
    struct prefix_hit hit = prefix_find(&h->prefix, q->tokens, reusable(q));
    if (!take_pages(h, q, &hit)) {
        if (!is_alone)
            return false;
        /* no page is left to copy its last one to: then it reads all */
        hit = (struct prefix_hit){.page = PREFIX_NONE, .slot = PREFIX_NONE, .miss = PREFIX_EVICTED};
        CHECK(take_pages(h, q, &hit));
    }
    if (has_slots(h))
        take_slot(h, q, hit.slot);
    q->n_done = hit.n_tokens;
    marks_begin(q, hit.n_tokens, hit.n_matched);
    if (!atomic_load_explicit(&q->is_admitted, memory_order_relaxed)) { /* it had not given way */
        q->n_cached = hit.n_tokens < q->n_prompt ? hit.n_tokens : q->n_prompt;
        q->n_matched = hit.n_matched;
        q->miss = hit.miss;
    }
    return true;
}

/* --- reading --- */

int32_t holding_extend(struct holdings *h, struct sequence *q, uint32_t tokens)
{
    int32_t want = pages_for(h, tokens), missing = want - q->n_pages - prefix_room(&h->prefix);

    CHECK(want <= q->n_pages_max);
    if (missing > 0)
        return missing;
    while (q->n_pages < want)
        q->pages[q->n_pages++] = prefix_new_page(&h->prefix);
    return 0;
}

static bool has_marks(const struct holdings *h)
{
    return has_slots(h) && h->prefix.limits.is_keeping;
}

uint32_t holding_cut(const struct holdings *h, const struct sequence *q, uint32_t n)
{
    uint32_t mark = has_marks(h) ? marks_next(q, q->n_done, q->n_done + n) : 0;

    return mark > 0 ? mark - q->n_done : n;
}

static int32_t parent_of(const struct sequence *q)
{
    return q->n_shared > 0 ? q->pages[q->n_shared - 1] : PREFIX_NONE;
}

/* The pages that are whole now. */
static void share_pages(struct holdings *h, struct sequence *q)
{
    const struct prefix_limits *l = &h->prefix.limits;

    while (l->is_keeping && (uint32_t)((q->n_shared + 1) * l->page_tokens) <= q->n_done) {
        const uint32_t *tokens = q->tokens + q->n_shared * l->page_tokens;
        q->pages[q->n_shared] = prefix_put(&h->prefix, parent_of(q), q->pages[q->n_shared], tokens);
        q->n_shared++;
    }
}

/* The node of the last token read and its place there; whole pages are shared already. */
static int32_t put_last(struct holdings *h, struct sequence *q, int32_t *offset)
{
    int32_t whole = h->prefix.limits.page_tokens;

    *offset = (int32_t)q->n_done - q->n_shared * whole;
    if (*offset > 0)
        return prefix_put_part(&h->prefix, parent_of(q), q->pages[q->n_shared],
                               q->tokens + q->n_shared * whole, *offset);
    *offset = whole;
    return parent_of(q);
}

static uint32_t saved_by(const struct sequence *q)
{
    return q->n_done - q->marks.last;
}

/* A mark: the state as it is now. */
static void keep_state(struct holdings *h, struct sequence *q)
{
    int32_t offset, node = put_last(h, q, &offset);

    if (!prefix_has_checkpoint(&h->prefix, node, offset)) {
        int32_t slot = prefix_checkpoint_slot(&h->prefix, saved_by(q));
        if (slot != PREFIX_NONE) {
            h->memory.copy_slot(h->memory.to, slot, q->slot);
            prefix_keep(&h->prefix, node, offset, slot, saved_by(q));
        }
    }
    q->marks.last = q->n_done;
}

void holding_advance(struct holdings *h, struct sequence *q, uint32_t n)
{
    q->n_done += n;
    share_pages(h, q);
    if (has_marks(h) && marks_next(q, q->n_done - 1, q->n_done) > 0)
        keep_state(h, q);
}

/* --- ending --- */

/* All it has read, and the slot itself. */
static void leave(struct holdings *h, struct sequence *q)
{
    int32_t offset, node = put_last(h, q, &offset);

    if (q->slot == PREFIX_NONE || prefix_has_checkpoint(&h->prefix, node, offset))
        return;
    prefix_keep(&h->prefix, node, offset, q->slot, saved_by(q));
    q->slot = PREFIX_NONE;
}

void holding_end(struct holdings *h, struct sequence *q)
{
    if (h->prefix.limits.is_keeping && q->n_done > 0)
        leave(h, q);
    while (q->n_pages > 0)
        prefix_drop(&h->prefix, q->pages[--q->n_pages]);
    if (q->slot != PREFIX_NONE)
        prefix_drop_slot(&h->prefix, q->slot);
    q->slot = PREFIX_NONE;
    q->n_shared = 0;
    q->n_done = 0;
}

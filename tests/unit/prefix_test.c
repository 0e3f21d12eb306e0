/* The prefix cache: what is found, who holds what, and what goes first when there is no room. */
#include "worker/engine/prefix.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TOKENS = 4, LONG = 64, PAGES = 40, SLOTS = 12 }; /* of a page; of a text */

/* A reader of one text: what a sequence does to the cache. */
struct reader {
    uint32_t text[LONG];
    int32_t pages[LONG / TOKENS];
    int32_t n_pages, n_done, n_shared;
    struct prefix_hit hit;
    bool is_copied; /* its last page */
};

static void open_cache(struct prefix *p, int32_t pages, int32_t slots)
{
    prefix_init(p, &(struct prefix_limits){pages, TOKENS, slots, true});
}

static struct prefix_hit find(struct prefix *p, const char *text)
{
    uint32_t tokens[LONG];
    uint32_t n = (uint32_t)strlen(text);

    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (uint32_t)text[i];
    return prefix_find(p, tokens, n);
}

static int32_t parent_of(const struct reader *r)
{
    return r->n_shared > 0 ? r->pages[r->n_shared - 1] : PREFIX_NONE;
}

/* Go on behind a hit; the last page is copied unless it may be written to. */
static void begin(struct prefix *p, struct reader *r, uint32_t n)
{
    r->hit = prefix_find(p, r->text, n);
    r->n_pages = prefix_take(p, &r->hit, r->pages);
    r->n_done = (int32_t)r->hit.n_tokens;
    r->n_shared = r->n_done / TOKENS;
    r->is_copied = r->n_shared < r->n_pages && !prefix_may_write(p, &r->hit);
    if (r->is_copied) {
        int32_t page = prefix_new_page(p);
        prefix_drop(p, r->pages[r->n_shared]);
        r->pages[r->n_shared] = page;
    }
}

static void read_to(struct prefix *p, struct reader *r, int32_t n)
{
    for (; r->n_done < n; r->n_done++) {
        if (r->n_done == r->n_pages * TOKENS)
            r->pages[r->n_pages++] = prefix_new_page(p);
        if ((r->n_done + 1) % TOKENS != 0)
            continue;
        r->pages[r->n_shared] = prefix_put(p, parent_of(r), r->pages[r->n_shared],
                                           r->text + (size_t)r->n_shared * TOKENS);
        r->n_shared++;
    }
}

/* The node of the last token. */
static int32_t put_last(struct prefix *p, struct reader *r, int32_t *offset)
{
    *offset = r->n_done - r->n_shared * TOKENS;
    if (*offset > 0)
        return prefix_put_part(p, parent_of(r), r->pages[r->n_shared],
                               r->text + (size_t)r->n_shared * TOKENS, *offset);
    *offset = TOKENS;
    return parent_of(r);
}

/* The slot of a checkpoint behind all that is read, or PREFIX_NONE. */
static int32_t keep(struct prefix *p, struct reader *r, uint32_t saves)
{
    int32_t offset, node = put_last(p, r, &offset);

    if (prefix_has_checkpoint(p, node, offset))
        return PREFIX_NONE;
    int32_t slot = prefix_checkpoint_slot(p, saves);
    if (slot != PREFIX_NONE)
        prefix_keep(p, node, offset, slot, saves);
    return slot;
}

static void leave(struct prefix *p, struct reader *r)
{
    int32_t offset;

    if (r->n_done > 0)
        put_last(p, r, &offset);
    while (r->n_pages > 0)
        prefix_drop(p, r->pages[--r->n_pages]);
}

static void set_text(struct reader *r, const char *text)
{
    *r = (struct reader){0};
    for (size_t i = 0; text[i] != '\0'; i++)
        r->text[i] = (uint32_t)text[i];
}

/* Read a text from its beginning, or from what is there; then leave. */
static void read_text(struct prefix *p, const char *text)
{
    struct reader r;

    set_text(&r, text);
    begin(p, &r, (uint32_t)strlen(text));
    read_to(p, &r, (int32_t)strlen(text));
    leave(p, &r);
}

static int32_t read_and_keep(struct prefix *p, const char *text, uint32_t saves)
{
    struct reader r;

    set_text(&r, text);
    begin(p, &r, (uint32_t)strlen(text));
    read_to(p, &r, (int32_t)strlen(text));
    int32_t slot = keep(p, &r, saves);
    leave(p, &r);
    return slot;
}

static void expect(struct prefix_hit hit, uint32_t n_tokens, uint32_t n_matched,
                   enum prefix_miss miss)
{
    assert_int_equal(hit.n_tokens, n_tokens);
    assert_int_equal(hit.n_matched, n_matched);
    assert_int_equal(hit.miss, miss);
}

/* --- what is found --- */

static void every_position_counts_without_states(void **state)
{
    struct prefix p;

    (void)state;
    open_cache(&p, 10, 0);
    expect(find(&p, "abc"), 0, 0, PREFIX_DIVERGED);
    read_text(&p, "abcdefghij");
    assert_int_equal(p.n_free_pages, 7);
    assert_int_equal(prefix_room(&p), 10);
    expect(find(&p, "abcdefghij"), 10, 10, PREFIX_WHOLE);
    expect(find(&p, "abcdefghijkl"), 10, 10, PREFIX_DIVERGED);
    expect(find(&p, "abcdefghi"), 9, 9, PREFIX_WHOLE);
    expect(find(&p, "abcdefgh"), 8, 8, PREFIX_WHOLE);
    expect(find(&p, "abcdeXXX"), 5, 5, PREFIX_DIVERGED);
    expect(find(&p, "Xbcd"), 0, 0, PREFIX_DIVERGED);
    expect(find(&p, ""), 0, 0, PREFIX_WHOLE);
    prefix_free(&p);
}

static void the_same_is_kept_once(void **state)
{
    struct prefix p;
    struct reader a, b;

    (void)state;
    open_cache(&p, 10, 0);
    set_text(&a, "abcdefghXX");
    set_text(&b, "abcdefghYY");
    begin(&p, &a, 10); /* both before anything is known */
    begin(&p, &b, 10);
    read_to(&p, &a, 10);
    read_to(&p, &b, 10);
    assert_int_equal(a.pages[0], b.pages[0]);
    assert_int_equal(a.pages[1], b.pages[1]);
    assert_int_not_equal(a.pages[2], b.pages[2]);
    assert_int_equal(p.nodes[a.pages[1]].users, 2);
    assert_int_equal(p.n_free_pages, 6);
    leave(&p, &a);
    assert_int_equal(p.nodes[b.pages[1]].users, 1);
    assert_int_equal(p.n_unused, 1);
    leave(&p, &b);
    assert_int_equal(p.n_unused, 4);
    prefix_free(&p);
}

static void a_page_in_use_is_copied(void **state)
{
    struct prefix p;
    struct reader a, b, c;

    (void)state;
    open_cache(&p, 10, 0);
    read_text(&p, "abcdef");
    set_text(&a, "abcdefgh");
    set_text(&b, "abcdefgi");
    begin(&p, &a, 8); /* goes on writing where the first one ended */
    assert_false(a.is_copied);
    begin(&p, &b, 8); /* that is taken */
    assert_true(b.is_copied);
    assert_int_equal(a.pages[0], b.pages[0]);
    assert_int_not_equal(a.pages[1], b.pages[1]);
    read_to(&p, &a, 8);
    read_to(&p, &b, 8);
    leave(&p, &a);
    leave(&p, &b);
    expect(find(&p, "abcdefgh"), 8, 8, PREFIX_WHOLE);
    expect(find(&p, "abcdefgi"), 8, 8, PREFIX_WHOLE);
    read_text(&p, "abcdxy");
    set_text(&c, "abcdxz");
    begin(&p, &c, 6); /* nobody has it, but behind x is a y that somebody may want */
    assert_int_equal(c.n_done, 5);
    assert_true(c.is_copied);
    read_to(&p, &c, 6);
    leave(&p, &c);
    expect(find(&p, "abcdxy"), 6, 6, PREFIX_WHOLE);
    expect(find(&p, "abcdxz"), 6, 6, PREFIX_WHOLE);
    prefix_free(&p);
}

static void states_only_count_where_they_are(void **state)
{
    struct prefix p;

    (void)state;
    open_cache(&p, 20, 8);
    read_text(&p, "abcdefghij");
    expect(find(&p, "abcdefghij"), 0, 10, PREFIX_NO_CHECKPOINT);
    int32_t six = read_and_keep(&p, "abcdef", 6), eight = read_and_keep(&p, "abcdefgh", 2);
    expect(find(&p, "abcde"), 0, 5, PREFIX_NO_CHECKPOINT);
    expect(find(&p, "abcdef"), 6, 6, PREFIX_WHOLE);
    expect(find(&p, "abcdefgX"), 6, 7, PREFIX_NO_CHECKPOINT);
    expect(find(&p, "abcdefXX"), 6, 6, PREFIX_DIVERGED);
    assert_int_equal(find(&p, "abcdefXX").slot, six);
    expect(find(&p, "abcdefghij"), 8, 10, PREFIX_NO_CHECKPOINT);
    assert_int_equal(find(&p, "abcdefghij").slot, eight);
    /* a second one at the same place is not needed, in whichever page that is */
    assert_int_equal(read_and_keep(&p, "abcdef", 6), PREFIX_NONE);
    prefix_free(&p);
}

/* A part that becomes what is there already brings its checkpoints along. */
static void parts_that_meet_are_one(void **state)
{
    struct prefix p;
    struct reader a, b;

    (void)state;
    open_cache(&p, 10, 4);
    set_text(&a, "abcd");
    set_text(&b, "abcd");
    begin(&p, &a, 4);
    begin(&p, &b, 4);
    read_to(&p, &a, 2);
    int32_t slot = keep(&p, &a, 2);
    read_to(&p, &b, 4);
    assert_int_not_equal(a.pages[0], b.pages[0]);
    read_to(&p, &a, 4);
    assert_int_equal(a.pages[0], b.pages[0]);
    assert_int_equal(find(&p, "abX").slot, slot);
    leave(&p, &a);
    leave(&p, &b);
    assert_int_equal(p.n_free_pages, 9);
    prefix_free(&p);
}

static void nothing_is_kept_when_it_is_off(void **state)
{
    struct prefix p;

    (void)state;
    prefix_init(&p, &(struct prefix_limits){4, TOKENS, 1, false});
    int32_t page = prefix_new_page(&p);
    expect(find(&p, "abcd"), 0, 0, PREFIX_WHOLE);
    prefix_drop(&p, page);
    assert_int_equal(p.n_free_pages, 4);
    prefix_free(&p);
}

/* --- what goes first --- */

static void longest_unused_pages_go_first(void **state)
{
    struct prefix p;

    (void)state;
    open_cache(&p, 6, 0);
    read_text(&p, "aaaabbbb");
    read_text(&p, "ccccdddd");
    read_text(&p, "eeeeffff");
    read_text(&p, "aaaabbbb");
    assert_int_equal(p.n_free_pages, 0);
    prefix_new_page(&p); /* the leaf of the oldest, then what is above */
    expect(find(&p, "ccccdddd"), 4, 4, PREFIX_EVICTED);
    prefix_new_page(&p);
    expect(find(&p, "ccccdddd"), 0, 0, PREFIX_EVICTED);
    expect(find(&p, "eeeeffff"), 8, 8, PREFIX_WHOLE);
    prefix_new_page(&p);
    prefix_new_page(&p);
    expect(find(&p, "eeeeffff"), 0, 0, PREFIX_EVICTED);
    expect(find(&p, "aaaabbbb"), 8, 8, PREFIX_WHOLE);
    assert_int_equal(prefix_room(&p), 2);
    assert_int_equal(p.n_evicted, 4);
    prefix_free(&p);
}

static void what_is_held_stays(void **state)
{
    struct prefix p;
    struct reader a;

    (void)state;
    open_cache(&p, 4, 0);
    set_text(&a, "aaaabbbb");
    begin(&p, &a, 8);
    read_to(&p, &a, 8);
    read_text(&p, "aaaacccc");
    assert_int_equal(prefix_room(&p), 2);
    prefix_new_page(&p);
    prefix_new_page(&p);
    assert_int_equal(prefix_room(&p), 0);
    expect(find(&p, "aaaabbbb"), 8, 8, PREFIX_WHOLE);
    leave(&p, &a);
    assert_int_equal(prefix_room(&p), 2);
    prefix_free(&p);
}

static void states_go_by_what_they_save(void **state)
{
    struct prefix p;

    (void)state;
    open_cache(&p, 20, 3);
    int32_t much = read_and_keep(&p, "aaaaaaaa", 1000), little = read_and_keep(&p, "bbbb", 4),
            some = read_and_keep(&p, "cccc", 100);
    assert_int_equal(p.n_free_slots, 0);
    assert_int_equal(read_and_keep(&p, "dddd", 1), PREFIX_NONE); /* worth less than any */
    assert_int_equal(read_and_keep(&p, "eeee", 50), little);
    expect(find(&p, "bbbb"), 0, 4, PREFIX_EVICTED);
    for (int i = 0; i < 30; i++) /* time passes, and one is used */
        read_text(&p, "cccc");
    assert_int_equal(prefix_new_slot(&p, PREFIX_NONE), little);
    for (int i = 0; i < 30; i++)
        read_text(&p, "cccc");
    assert_int_equal(prefix_new_slot(&p, PREFIX_NONE), much);
    assert_int_equal(prefix_new_slot(&p, some), PREFIX_NONE);
    assert_true(prefix_has_slot(&p));
    prefix_take_slot(&p, some);
    assert_false(prefix_has_slot(&p));
    prefix_drop_slot(&p, some);
    assert_int_equal(p.n_free_slots, 1);
    prefix_free(&p);
}

static void a_page_takes_its_states_along(void **state)
{
    struct prefix p;

    (void)state;
    open_cache(&p, 2, 4);
    read_and_keep(&p, "aaa", 3);
    read_and_keep(&p, "aaaaaa", 3);
    assert_int_equal(p.n_free_slots, 2);
    prefix_new_page(&p);
    assert_int_equal(p.n_free_slots, 3);
    prefix_new_page(&p);
    assert_int_equal(p.n_free_slots, 4);
    assert_int_equal(p.n_checkpoints, 0);
    prefix_free(&p);
}

/* --- against a list of all that is known --- */

struct model {
    struct prefix p;
    uint64_t seed, draws;
    struct reader live[4];
    bool is_live[4];
    uint32_t prefix[PAGES][LONG], state[SLOTS][LONG]; /* all tokens up to their end */
    int32_t n_prefix[PAGES], n_state[SLOTS];
    uint64_t n_hits;
};

static uint32_t draw(struct model *m, uint32_t below)
{
    return (uint32_t)(hash_mix(m->seed, m->draws++) % below);
}

static uint32_t count_common(const uint32_t *a, uint32_t n, const uint32_t *b, int32_t n_b)
{
    uint32_t i = 0;

    while (i < n && i < (uint32_t)n_b && a[i] == b[i])
        i++;
    return i;
}

static void expect_of_list(const struct model *m, const uint32_t *text, uint32_t n,
                           uint32_t *n_tokens, uint32_t *n_matched)
{
    *n_tokens = *n_matched = 0;
    for (int32_t i = 0; i < m->p.limits.pages; i++) {
        if (m->p.nodes[i].n_tokens == 0)
            continue;
        uint32_t common = count_common(text, n, m->prefix[i], m->n_prefix[i]);
        *n_matched = common > *n_matched ? common : *n_matched;
    }
    if (m->p.limits.slots == 0)
        *n_tokens = *n_matched;
    for (int32_t i = 0; i < m->p.limits.slots; i++) {
        uint32_t len = (uint32_t)m->n_state[i];
        if (m->p.checkpoints[i].page != PREFIX_NONE && len <= n && len > *n_tokens &&
            count_common(text, n, m->state[i], (int32_t)len) == len)
            *n_tokens = len;
    }
}

/* What the list knows of the pages of a reader: those that are whole, and one that is not. */
static void list_pages(struct model *m, const struct reader *r)
{
    for (int32_t k = 0; k < r->n_pages; k++) {
        int32_t page = r->pages[k], n = m->p.nodes[page].n_tokens;
        if (n == 0)
            continue;
        m->n_prefix[page] = k * TOKENS + n;
        memcpy(m->prefix[page], r->text, (size_t)m->n_prefix[page] * sizeof(uint32_t));
    }
}

static void start(struct model *m, struct reader *r)
{
    uint32_t n = 1 + draw(m, LONG - 1), n_tokens, n_matched;

    *r = (struct reader){0};
    for (uint32_t i = 0; i < LONG; i++)
        r->text[i] = draw(m, 12) == 0 ? 1 + draw(m, 2) : 0; /* most begin alike */
    expect_of_list(m, r->text, n, &n_tokens, &n_matched);
    begin(&m->p, r, n);
    assert_int_equal(r->hit.n_tokens, n_tokens);
    assert_int_equal(r->hit.n_matched, n_matched);
    m->n_hits += n_tokens > 0;
}

static void go_on(struct model *m, struct reader *r)
{
    int32_t to = r->n_done + 1 + (int32_t)draw(m, 9);
    int32_t more = ((to < LONG ? to : LONG) + TOKENS - 1) / TOKENS - r->n_pages;

    if (to > LONG || more > prefix_room(&m->p))
        return;
    read_to(&m->p, r, to);
    if (m->p.limits.slots > 0 && draw(m, 2) == 0) {
        int32_t slot = keep(&m->p, r, draw(m, 20));
        if (slot != PREFIX_NONE) {
            m->n_state[slot] = r->n_done;
            memcpy(m->state[slot], r->text, sizeof r->text);
        }
    }
    list_pages(m, r);
}

static void end(struct model *m, struct reader *r)
{
    struct reader before = *r;

    leave(&m->p, r);
    list_pages(m, &before);
}

static void check_model(const struct model *m)
{
    const struct prefix *p = &m->p;
    int32_t held[PAGES] = {0}, n_own = 0, n_idle = 0, n_unused = 0;
    const struct prefix_node *n;

    for (int32_t i = 0; i < 4; i++)
        for (int32_t k = 0; m->is_live[i] && k < m->live[i].n_pages; k++) {
            held[m->live[i].pages[k]]++;
            n_own += p->nodes[m->live[i].pages[k]].n_tokens == 0;
        }
    for (int32_t i = 0; i < p->limits.pages; i++) {
        n = &p->nodes[i];
        if (n->n_tokens == 0)
            continue;
        assert_int_equal(n->users, held[i]);
        n_unused += n->users == 0;
        n_idle += n->users == 0 && n->first_child == PREFIX_NONE;
        /* only whole pages have pages below */
        assert_true(n->parent == p->limits.pages || p->nodes[n->parent].n_tokens == TOKENS);
    }
    TAILQ_FOREACH (n, &p->idle, idle) {
        const struct prefix_node *next = TAILQ_NEXT(n, idle);
        assert_true(next == NULL || n->used <= next->used);
        n_idle--;
    }
    assert_int_equal(n_idle, 0);
    assert_int_equal(p->n_unused, n_unused);
    int32_t n_known = 0;
    for (int32_t i = 0; i < p->limits.pages; i++)
        n_known += p->nodes[i].n_tokens > 0;
    assert_int_equal(p->n_free_pages + n_own + n_known, p->limits.pages);
    assert_int_equal(p->n_free_slots + p->n_checkpoints, p->limits.slots);
}

static void run_model(uint64_t seed, int32_t slots)
{
    static struct model m;

    m = (struct model){.seed = seed};
    open_cache(&m.p, PAGES, slots);
    for (int turn = 0; turn < 3000; turn++) {
        uint32_t i = draw(&m, 4);
        struct reader *r = &m.live[i];
        if (!m.is_live[i]) {
            if (prefix_room(&m.p) < LONG / TOKENS + 1)
                continue;
            start(&m, r);
            m.is_live[i] = true;
        } else if (draw(&m, 6) == 0) {
            end(&m, r);
            m.is_live[i] = false;
        } else {
            go_on(&m, r);
        }
        check_model(&m);
    }
    assert_true(m.n_hits > 50 && m.p.n_evicted > 100);
    prefix_free(&m.p);
}

static void it_finds_what_a_list_would(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        run_model(seed, 0);
        run_model(seed, SLOTS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_position_counts_without_states),
        cmocka_unit_test(the_same_is_kept_once),
        cmocka_unit_test(a_page_in_use_is_copied),
        cmocka_unit_test(states_only_count_where_they_are),
        cmocka_unit_test(parts_that_meet_are_one),
        cmocka_unit_test(nothing_is_kept_when_it_is_off),
        cmocka_unit_test(longest_unused_pages_go_first),
        cmocka_unit_test(what_is_held_stays),
        cmocka_unit_test(states_go_by_what_they_save),
        cmocka_unit_test(a_page_takes_its_states_along),
        cmocka_unit_test(it_finds_what_a_list_would),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

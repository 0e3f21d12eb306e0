/* Kept responses: whose they are, which go first, and what conversations share. */
#include "router/api/responses_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define OWNER 7

static struct responses_store store;

static int open_store(void **state)
{
    (void)state;
    responses_store_init(&store);
    responses_store_limit(&store, 1 << 20, 100);
    return 0;
}

/* Whatever was in it: nothing is left of it. */
static int close_store(void **state)
{
    (void)state;
    responses_store_free(&store);
    return store.bytes == 0 && store.n == 0 ? 0 : -1;
}

/* A response whose texts take at least so many bytes. */
static struct stored_response *add(const char *id, const char *parent, size_t bytes)
{
    struct stored_response *before =
        parent != NULL ? responses_store_find(&store, parent, OWNER) : NULL;
    struct response_texts texts = {0};

    buf_add_str(&texts.before, "{\"output\":");
    buf_printf(&texts.output, "[\"%s says\"]", id);
    buf_add_str(&texts.after, "}");
    buf_reserve(&texts.input, bytes);
    buf_printf(&texts.input, "[\"%s heard\"]", id);
    responses_store_add(&store, id, OWNER, before != NULL ? before->turn : NULL, &texts);
    assert_null(texts.input.data);
    return responses_store_find(&store, id, OWNER);
}

static bool has(const char *id)
{
    return responses_store_find(&store, id, OWNER) != NULL;
}

static void test_found_by_its_owner(void **state)
{
    (void)state;
    struct stored_response *r = add("a", NULL, 0);

    assert_non_null(r);
    assert_int_equal(r->turn->output.len, strlen("[\"a says\"]"));
    assert_memory_equal(r->turn->output.data, "[\"a says\"]", r->turn->output.len);
    assert_null(responses_store_find(&store, "a", OWNER + 1));
    assert_null(responses_store_find(&store, "b", OWNER));
    responses_store_remove(&store, r);
    assert_false(has("a"));
    assert_int_equal(store.bytes, 0);
}

static void test_the_least_recently_used_goes_first(void **state)
{
    (void)state;
    responses_store_limit(&store, 1 << 20, 3);
    add("a", NULL, 0);
    add("b", NULL, 0);
    add("c", NULL, 0);
    assert_true(has("a")); /* used just now: b is the oldest */
    add("d", NULL, 0);
    assert_int_equal(store.n, 3);
    assert_false(has("b"));
    assert_true(has("a") && has("c") && has("d"));
}

static void test_bounded_by_bytes(void **state)
{
    (void)state;
    char id[16];

    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "r%d", i);
        assert_non_null(add(id, NULL, 60000));
        assert_true(store.bytes <= store.bytes_max);
    }
    assert_false(has("r0"));
    assert_true(store.n >= 10);
    assert_null(add("huge", NULL, 2 << 20)); /* larger than all of it: not kept */
    assert_true(store.bytes <= store.bytes_max);
}

static void test_turns_are_shared_and_outlive_responses(void **state)
{
    (void)state;
    size_t alone;

    add("a", NULL, 30000);
    alone = store.bytes;
    add("b", "a", 0);
    struct stored_response *c = add("c", "b", 0);
    assert_true(store.bytes < alone + 4096); /* what a heard is not copied */
    responses_store_remove(&store, responses_store_find(&store, "a", OWNER));
    responses_store_remove(&store, responses_store_find(&store, "b", OWNER));
    assert_true(store.bytes > 30000);
    const struct turn *first = c->turn->parent->parent;
    assert_memory_equal(first->input.data, "[\"a heard\"]", first->input.len);
    assert_null(first->parent);
}

/* A request under way needs what it continues, although the store is full of others. */
static void test_a_turn_in_use(void **state)
{
    (void)state;
    struct turn *used = turn_share(add("a", NULL, 30000)->turn);

    responses_store_limit(&store, 0, 100);
    assert_int_equal(store.n, 0);
    assert_memory_equal(used->input.data, "[\"a heard\"]", used->input.len);
    assert_true(store.bytes > 30000);
    turn_drop(&used);
    assert_null(used);
    assert_int_equal(store.bytes, 0);
}

static void test_a_long_conversation(void **state)
{
    (void)state;
    char id[16], before[16] = "";

    responses_store_limit(&store, (size_t)1 << 30, 1000000);
    for (int i = 0; i < 50000; i++) {
        snprintf(id, sizeof id, "r%d", i);
        add(id, i > 0 ? before : NULL, 0);
        memcpy(before, id, sizeof id);
    }
    assert_int_equal(store.n, 50000);
    responses_store_limit(&store, (size_t)1 << 30, 1); /* the last one, and all it continues */
    assert_true(has("r49999"));
    assert_int_equal(store.n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found_by_its_owner, open_store, close_store),
        cmocka_unit_test_setup_teardown(test_the_least_recently_used_goes_first, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(test_bounded_by_bytes, open_store, close_store),
        cmocka_unit_test_setup_teardown(test_turns_are_shared_and_outlive_responses, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(test_a_turn_in_use, open_store, close_store),
        cmocka_unit_test_setup_teardown(test_a_long_conversation, open_store, close_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

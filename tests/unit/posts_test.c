/* Which slot works for which model, and what is said of the models, with children that only count.
 */
#include "supervisor/tree.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tree *tree;

static int world_spawn(struct child *c, struct err *e)
{
    (void)e;
    c->pid = 1000 + (pid_t)c->slot;
    if (c->kind == PROCESS_WORKER)
        c->generation = tree->model[c->model].generation;
    return 0;
}

static void world_nothing(struct child *c)
{
    (void)c;
}

static int world_drain(struct child *c, uint64_t deadline_ns)
{
    (void)c;
    (void)deadline_ns;
    return 0;
}

static void world_last_words(struct child *c, char *text, size_t size)
{
    (void)c;
    snprintf(text, size, "%s", "");
}

static void world_changed(struct child *c)
{
    (void)c;
    tree->is_dirty = true;
}

static const struct child_ops ops = {
    .spawn = world_spawn,
    .stop = world_nothing,
    .kill = world_nothing,
    .drain = world_drain,
    .last_words = world_last_words,
    .buried = world_nothing,
    .changed = world_changed,
};

static int set_up(void **state)
{
    (void)state;
    tree = calloc(1, sizeof *tree);
    tree->node = aligned_alloc(64, (sizeof *tree->node + 63) / 64 * 64);
    memset(tree->node, 0, sizeof *tree->node);
    tree->now_ns = 1000 * NS_PER_S;
    tree->config.supervisor = (struct config_supervisor){
        .backoff_max_ms = 30000,
        .fault_budget = 1,
        .fault_forgive_s = 300,
        .circuit_open_ms = 60000,
        .drain_timeout_s = 30,
        .stop_timeout_ms = 5000,
    };
    tree_init(tree);
    for (uint32_t i = 0; i < TREE_CHILDREN; i++)
        tree->child[i].ops = &ops;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(tree->node);
    free(tree);
    return 0;
}

/* What posts_fill leads to, until nothing more follows. */
static void settle(void)
{
    do {
        tree->is_dirty = false;
        posts_fill(tree);
    } while (tree->is_dirty);
    models_publish(tree);
}

/* names: one letter a model; its workers in counts. replace: names whose workers are to be new. */
static int apply(const char *names, const int *counts, const char *replace)
{
    static struct config_model models[CONFIG_MODELS_MAX];
    uint8_t action[CONFIG_MODELS_MAX] = {0};
    struct config c = {.models = models, .n_models = strlen(names)};
    struct err e = {0};

    for (size_t i = 0; i < c.n_models; i++) {
        models[i] = (struct config_model){.workers = counts[i]};
        snprintf(models[i].id, sizeof models[i].id, "%c", names[i]);
        action[i] = strchr(replace, names[i]) != NULL ? 2 : 0;
    }
    tree->now_ns++;
    int rc = models_apply(tree, &c, action, &e);
    if (rc == 0)
        settle();
    return rc;
}

static void event(uint32_t slot, enum child_event ev)
{
    child_event(tree_worker(tree, slot), ev, ++tree->now_ns);
    settle();
}

static void become_ready(uint32_t slot)
{
    event(slot, EV_HELLO);
    event(slot, EV_READY);
}

static void dies(uint32_t slot, int status)
{
    tree_worker(tree, slot)->wait_status = status;
    event(slot, EV_EXITED);
}

/* One letter a slot: model's name, upper case when ready, '-' draining or stopping, '.' free. */
static const char *posts(void)
{
    static char text[SHM_WORKERS_MAX + 1];
    size_t end = 0;

    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++) {
        const struct child *c = tree_worker(tree, slot);
        char name = c->is_assigned ? tree->model[c->model].name[0] : '.';
        bool is_leaving = c->is_assigned && !c->is_wanted;
        text[slot] = is_leaving ? '-' : c->state == CHILD_READY ? (char)(name - 'a' + 'A') : name;
        end = c->is_assigned ? slot + 1 : end;
    }
    text[end] = '\0';
    return text;
}

static struct model_record record(uint32_t model)
{
    struct model_record r;
    assert_int_equal(seqlock_copy(&tree->node->model[model], &r), 0);
    return r;
}

static void posts_are_filled_in_order(void **state)
{
    (void)state;
    apply("ab", (int[]){2, 1}, "");
    assert_string_equal(posts(), "aab");
    assert_string_equal(tree_worker(tree, 1)->name, "a#1");
    assert_string_equal(tree_worker(tree, 2)->name, "b#0");
}

static void more_and_fewer(void **state)
{
    (void)state;
    apply("a", (int[]){3}, "");
    become_ready(1);
    apply("a", (int[]){4}, "");
    assert_string_equal(posts(), "aAaa");
    /* Those that do not serve go first. */
    apply("a", (int[]){1}, "");
    assert_string_equal(posts(), "-A--");
    assert_int_equal(tree_worker(tree, 0)->state, CHILD_STOPPING);
    dies(0, 0);
    dies(2, 0);
    dies(3, 0);
    assert_string_equal(posts(), ".A");
    /* A free ordinal is used again. */
    apply("a", (int[]){2}, "");
    assert_string_equal(tree_worker(tree, 0)->name, "a#0");
}

static void new_ones_first(void **state)
{
    (void)state;
    apply("a", (int[]){2}, "");
    become_ready(0);
    become_ready(1);
    apply("a", (int[]){2}, "a");
    assert_string_equal(posts(), "AAaa");
    become_ready(2);
    assert_string_equal(posts(), "A-Aa");
    dies(1, SIGKILL);
    assert_string_equal(posts(), "A.Aa");
    become_ready(3);
    assert_string_equal(posts(), "-.AA");
    assert_string_equal(tree_worker(tree, 3)->name, "a#3");
}

static void an_old_one_that_dies_is_not_missed(void **state)
{
    (void)state;
    apply("a", (int[]){1}, "");
    become_ready(0);
    apply("a", (int[]){1}, "a");
    assert_string_equal(posts(), "Aa");
    dies(0, SIGKILL); /* its successor is on the way */
    assert_string_equal(posts(), ".a");
    become_ready(1);
    assert_string_equal(posts(), ".A");
}

static void without_a_free_slot_one_makes_room(void **state)
{
    (void)state;
    apply("a", (int[]){SHM_WORKERS_MAX}, "");
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++)
        become_ready(slot);
    apply("a", (int[]){SHM_WORKERS_MAX}, "a");
    for (int i = 0; i < SHM_WORKERS_MAX; i++) {
        uint32_t left = SHM_WORKERS_MAX, slot = 0, leaving = 0;
        for (uint32_t k = 0; k < SHM_WORKERS_MAX; k++)
            if (!tree_worker(tree, k)->is_wanted) {
                leaving++;
                slot = k;
            } else {
                left -= tree_worker(tree, k)->state != CHILD_READY;
            }
        assert_int_equal(leaving, 1);
        assert_int_equal(left - leaving, SHM_WORKERS_MAX - 1);
        event(slot, EV_DRAINED);
        dies(slot, 0);
        become_ready(slot);
    }
    for (uint32_t k = 0; k < SHM_WORKERS_MAX; k++)
        assert_int_equal(tree_worker(tree, k)->generation, 1);
}

static void a_quarantined_slot_is_left_alone(void **state)
{
    (void)state;
    apply("a", (int[]){1}, "");
    become_ready(0);
    event(0, EV_HANG);
    assert_string_equal(posts(), "a"); /* it will be reaped in a moment */
    event(0, EV_TIMEOUT);
    assert_string_equal(posts(), "-a");
    assert_string_equal(tree_worker(tree, 1)->name, "a#1");
    apply("ab", (int[]){1, 1}, "");
    assert_string_equal(posts(), "-ab");
    dies(0, SIGKILL);
    assert_string_equal(posts(), ".ab");
    apply("abc", (int[]){1, 1, 1}, "");
    assert_string_equal(posts(), "cab");
}

static void removed_models_keep_their_index(void **state)
{
    (void)state;
    apply("ab", (int[]){1, 1}, "");
    become_ready(0);
    apply("b", (int[]){1}, "");
    assert_int_equal(record(0).state, MODEL_DRAINING);
    assert_int_equal(record(0).workers, 0);
    event(0, EV_DRAINED);
    dies(0, 0);
    assert_int_equal(record(0).state, MODEL_ABSENT);
    assert_string_equal(record(0).name, "a");
    apply("bc", (int[]){1, 1}, "");
    assert_string_equal(record(2).name, "c"); /* a fresh one, while there is one */
    apply("bca", (int[]){1, 1, 1}, "");
    assert_int_equal(record(0).state, MODEL_LOADING);
    assert_int_equal(tree_worker(tree, 2)->model, 0);
}

static void used_indices_are_the_last_resort(void **state)
{
    (void)state;

    /* One model after the other; 'a' stays all the time. */
    apply("a", (int[]){1}, "");
    for (int i = 0; i < SHM_MODELS_MAX - 1; i++) {
        char names[3] = {'a', (char)(0x80 + i), '\0'};
        assert_int_equal(apply(names, (int[]){1, 1}, ""), 0);
        if (i > 0) { /* the one before drains */
            for (uint32_t slot = 1; slot < 4; slot++)
                if (tree_worker(tree, slot)->state == CHILD_STOPPING)
                    dies(slot, 0);
        }
    }
    assert_string_equal(tree->model[SHM_MODELS_MAX - 1].name, "\xbe");
    /* The one out of use for longest gives its place, not 'a', not the one that still stops. */
    assert_int_equal(apply("az", (int[]){1, 1}, ""), 0);
    assert_string_equal(tree->model[1].name, "z");
    assert_string_equal(tree->model[0].name, "a");
    assert_int_equal(tree->model[1].generation, 0);
    assert_string_equal(record(1).name, "z");
}

static void no_index_left_changes_nothing(void **state)
{
    (void)state;
    char names[SHM_MODELS_MAX + 1] = {0}, others[SHM_MODELS_MAX + 1] = {0};
    int one[SHM_MODELS_MAX];

    for (int i = 0; i < SHM_MODELS_MAX; i++) {
        names[i] = (char)(0x80 + i);
        others[i] = (char)(0x81 + i);
        one[i] = 1;
    }
    assert_int_equal(apply(names, one, ""), 0);
    /* All are still there (draining would be the same): no place for one more. */
    assert_int_equal(apply(others, one, ""), -EBUSY);
    for (int i = 0; i < SHM_MODELS_MAX; i++) {
        assert_true(tree->model[i].is_configured);
        assert_int_equal(tree->model[i].name[0], names[i]);
    }
    settle();
    for (uint32_t slot = 0; slot < SHM_WORKERS_MAX; slot++)
        assert_true(tree_worker(tree, slot)->is_wanted);
}

static void what_is_said_of_a_model(void **state)
{
    (void)state;
    apply("a", (int[]){2}, "");
    assert_int_equal(record(0).state, MODEL_LOADING);
    assert_int_equal(record(0).workers, 2);
    tree_worker(tree, 0)->context = 4096;
    tree_worker(tree, 1)->context = 2048;
    become_ready(0);
    assert_int_equal(record(0).state, MODEL_READY);
    assert_int_equal(record(0).workers_ready, 1);
    assert_int_equal(record(0).context, 4096);
    become_ready(1);
    assert_int_equal(record(0).context, 2048); /* what every worker can do */
    dies(0, 70 << 8);                          /* the budget is one: circuit open */
    assert_int_equal(record(0).state, MODEL_READY);
    assert_int_equal(record(0).retry_ns, 0);
    dies(1, 100 << 8);
    struct model_record r = record(0);
    assert_int_equal(r.state, MODEL_FAILED);
    assert_int_equal(r.retry_ns, tree_worker(tree, 0)->next_start_ns);
    assert_non_null(strstr(r.reason, "exit code"));
    event(0, EV_RETRY_DUE);
    assert_int_equal(record(0).state, MODEL_LOADING);
    assert_string_equal(record(0).reason, "");
}

static void the_refusal_is_the_reason(void **state)
{
    (void)state;
    apply("a", (int[]){1}, "");
    snprintf(tree_worker(tree, 0)->why, sizeof tree_worker(tree, 0)->why, "no such checkpoint");
    dies(0, 100 << 8);
    assert_string_equal(record(0).reason, "no such checkpoint");
    assert_int_equal(record(0).retry_ns, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(posts_are_filled_in_order),
        TEST(more_and_fewer),
        TEST(new_ones_first),
        TEST(an_old_one_that_dies_is_not_missed),
        TEST(without_a_free_slot_one_makes_room),
        TEST(a_quarantined_slot_is_left_alone),
        TEST(removed_models_keep_their_index),
        TEST(used_indices_are_the_last_resort),
        TEST(no_index_left_changes_nothing),
        TEST(what_is_said_of_a_model),
        TEST(the_refusal_is_the_reason),
    };
    log_init("test", "text", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

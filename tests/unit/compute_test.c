/* The compute thread over a small checkpoint: where answers end, where their reasoning does, and
 * that both are the same when an answer is taken up in the middle. */
#include "worker/engine/compute.h"

#include "kernels/kern.h"
#include "tests/unit/model_open.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define N_PROMPT 6
#define N_ANSWER 12
#define WAIT_MS  20000

static struct model_open model;

static int set_up(void **state)
{
    (void)state;
    model_open(&model, CHECKPOINTS "/qwen3_5_tied", WEIGHTS_AUTO);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    model_close(&model);
    return 0;
}

struct run {
    enum prompt_kind kind;
    double temperature;
    struct generation generation; /* where it ends */
    struct thinking thinking;
    const uint32_t *resume;
    uint32_t n_resume;
    uint32_t ids[N_ANSWER]; /* what came, behind resume */
    uint32_t n;
    enum sequence_end end;
};

static struct sequence *make_sequence(const struct run *run)
{
    struct sequence *s = sequence_new();
    struct sampling sampling = {.temperature = {true, run->temperature, NULL}};
    struct err e = {0};

    s->kind = run->kind;
    for (uint32_t i = 0; i < N_PROMPT; i++)
        token_ids_add(&s->prompt.ids, 20 + i);
    assert_int_equal(
        sampler_init(&s->sampler, &sampling, &run->generation, model.config.vocab_size, 7, &e), 0);
    s->thinking = run->thinking;
    s->n_resume = run->n_resume;
    if (run->n_resume > 0) {
        s->resume = malloc(run->n_resume * sizeof *s->resume);
        assert_non_null(s->resume);
        memcpy(s->resume, run->resume, run->n_resume * sizeof *s->resume);
    }
    sequence_begin(s, N_ANSWER, model.config.vocab_size, 16);
    return s;
}

/* Take results until it is let go. */
static void take_all(struct compute *c, struct sequence *s, int wake_fd, struct run *run)
{
    struct pollfd p = {.fd = wake_fd, .events = POLLIN};

    for (bool is_returned = false; !is_returned;) {
        uint64_t count;
        is_returned = atomic_load(&s->is_returned);
        while (atomic_load(&s->results_head) != atomic_load(&s->results_tail)) {
            uint32_t head = atomic_load(&s->results_head);
            run->ids[run->n++] = s->results[head % SEQUENCE_RING].token;
            atomic_store(&s->results_head, head + 1);
        }
        compute_kick(c);
        if (is_returned)
            break;
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        assert_int_equal(read(wake_fd, &count, sizeof count), sizeof count);
    }
    run->end = (enum sequence_end)atomic_load(&s->end);
}

static void run_answer(struct run *run)
{
    struct forward_shape shape = {.rows = 32,
                                  .spans = 2,
                                  .picks = 4,
                                  .slots = 2,
                                  .pages = 8,
                                  .page_tokens = 16,
                                  .context = 64,
                                  .threads = 1,
                                  .kv_type = KERN_F32};
    struct model_pass pass;
    struct compute c;
    struct err e = {0};

    model_pass_open(&pass, &model, kern_cpu_best(), &shape);
    int wake_fd = eventfd(0, EFD_CLOEXEC);
    struct compute_setup setup = {.forward = pass.forward,
                                  .pool = pass.pool,
                                  .threads = 1,
                                  .generation = &run->generation,
                                  .vocab = model.config.vocab_size,
                                  .limits = {.rows = 32,
                                             .spans = 2,
                                             .picks = 4,
                                             .prefix = {.pages = 8, .page_tokens = 16, .slots = 2}},
                                  .weights_bytes = 1 << 20,
                                  .stall_ns = 50000000,
                                  .wake_fd = wake_fd};
    assert_int_equal(compute_start(&c, &setup, &e), 0);
    struct sequence *s = make_sequence(run);
    run->n = 0;
    compute_give(&c, s);
    take_all(&c, s, wake_fd, run);
    compute_stop(&c);
    sequence_free(s);
    close(wake_fd);
    model_pass_close(&pass);
}

/* Resumed after each k the rest is the same, and so is the end. */
static void check_resume(const struct run *whole)
{
    for (uint32_t k = 1; k < whole->n; k++) {
        struct run rest = *whole;
        rest.resume = whole->ids;
        rest.n_resume = k;
        run_answer(&rest);
        assert_int_equal(rest.n, whole->n - k);
        assert_memory_equal(rest.ids, whole->ids + k, rest.n * sizeof *rest.ids);
        assert_int_equal(rest.end, whole->end);
    }
}

static struct run begin(enum prompt_kind kind, double temperature)
{
    return (struct run){.kind = kind,
                        .temperature = temperature,
                        .generation = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
                        .thinking = {.n_left = THINKING_UNLIMITED}};
}

/* A chat whose first token would be the end is drawn once more; a completion ends. */
static void never_an_empty_turn(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct run plain = begin(PROMPT_CHAT, i == 0 ? 0 : 0.8);
        run_answer(&plain);
        assert_int_equal(plain.end, END_LENGTH);
        assert_int_equal(plain.n, N_ANSWER);

        struct run run = begin(PROMPT_CHAT, plain.temperature);
        run.generation.eos[run.generation.n_eos++] = plain.ids[0];
        run_answer(&run);
        assert_true(run.n > 0);
        assert_int_not_equal(run.ids[0], plain.ids[0]);
        check_resume(&run);

        struct run completion = begin(PROMPT_COMPLETION, plain.temperature);
        completion.generation = run.generation;
        run_answer(&completion);
        assert_int_equal(completion.n, 0);
        assert_int_equal(completion.end, END_EOS);
    }
}

#define START 300u
#define STOP  301u

static void reasoning_ends_at_its_limit(void **state)
{
    (void)state;
    for (uint32_t limit = 0; limit < 4; limit++) {
        struct run run = begin(PROMPT_CHAT, 0.8);
        run.thinking =
            (struct thinking){.start = START, .end = STOP, .n_left = limit, .is_open = true};
        run_answer(&run);
        uint32_t n = 0;
        while (n < run.n && run.ids[n] != STOP)
            n++;
        assert_int_equal(n, limit);
        check_resume(&run);
    }
}

/* What counts, told by the tokens. */
static void thinking_is_counted(void **state)
{
    struct thinking t = {.start = START, .end = STOP, .n_left = 3};

    (void)state;
    thinking_see(&t, 1);
    assert_false(thinking_is_over(&t) || t.is_open);
    thinking_see(&t, START);
    thinking_see(&t, 1);
    thinking_see(&t, START); /* text, inside */
    assert_false(thinking_is_over(&t));
    thinking_see(&t, STOP);
    thinking_see(&t, 2);
    thinking_see(&t, START);
    assert_false(thinking_is_over(&t));
    thinking_see(&t, 2);
    assert_true(thinking_is_over(&t));
    thinking_see(&t, STOP);
    assert_false(thinking_is_over(&t));
    thinking_see(&t, START); /* nothing is left */
    assert_true(thinking_is_over(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_an_empty_turn),
        cmocka_unit_test(reasoning_ends_at_its_limit),
        cmocka_unit_test(thinking_is_counted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

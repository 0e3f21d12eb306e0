/* grammar -- times of compiling schemas and of masks, for run-grammar.
 *
 * Standard input: the number of tokens, each token behind its length; then cases, each a number of
 * rounds, a schema behind its length, a number of answers, and each answer as a number of ids and
 * the ids.  All numbers are uint32_t of this machine.  A line of output for the vocabulary:
 * seconds, bytes. For each case one line: nanoseconds of each mask, first those of the first round,
 * when none is remembered, then those of the others; at the end seconds of compiling and bytes of
 * the grammar. */
#include "worker/text/grammar.h"
#include "base/check.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct tokens {
    struct buf text;
    uint32_t *at; /* n + 1 */
    uint32_t n;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool read_u32(uint32_t *v)
{
    return fread(v, sizeof *v, 1, stdin) == 1;
}

static uint32_t read_bytes(struct buf *out)
{
    uint32_t len;

    CHECK(read_u32(&len));
    CHECK(fread(buf_reserve(out, len + 1), 1, len, stdin) == len);
    buf_commit(out, len);
    return len;
}

static void read_tokens(struct tokens *t)
{
    CHECK(read_u32(&t->n));
    t->at = calloc((size_t)t->n + 1, sizeof *t->at);
    CHECK(t->at != NULL);
    for (uint32_t i = 0; i < t->n; i++)
        t->at[i + 1] = t->at[i] + read_bytes(&t->text);
}

static void add_bytes(void *ctx, uint32_t id, struct buf *out)
{
    const struct tokens *t = ctx;

    buf_add(out, t->text.data + t->at[id], t->at[id + 1] - t->at[id]);
}

struct answer {
    uint32_t n, *ids;
};

static void read_answers(struct answer *answers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        CHECK(read_u32(&answers[i].n));
        answers[i].ids = calloc((size_t)answers[i].n + 1, sizeof *answers[i].ids);
        CHECK(answers[i].ids != NULL);
        CHECK(fread(answers[i].ids, sizeof *answers[i].ids, answers[i].n, stdin) == answers[i].n);
    }
}

/* A mask before each token of the answer, and the one behind the last. */
static void time_answer(struct grammar *g, const struct tokens *t, const struct answer *a,
                        uint32_t *bits)
{
    struct grammar_state *s = grammar_state_new(g);

    for (uint32_t i = 0; i <= a->n; i++) {
        uint64_t began = cpu_ns();
        grammar_state_mask(s, bits);
        printf(" %" PRIu64, cpu_ns() - began);
        if (i == a->n)
            break;
        uint32_t id = a->ids[i];
        CHECK((bits[id / 32] >> id % 32 & 1) != 0);
        CHECK(grammar_state_advance(s, t->text.data + t->at[id], t->at[id + 1] - t->at[id]));
    }
    CHECK(grammar_state_is_complete(s));
    grammar_state_free(&s);
}

static void run_case(const struct grammar_vocab *v, const struct tokens *t, uint32_t rounds)
{
    struct buf schema = {0};
    struct json_object *o;
    struct grammar *g;
    struct err e = {0};
    uint32_t n;
    uint32_t *bits = calloc(GRAMMAR_MASK_WORDS(t->n), sizeof *bits);

    CHECK(bits != NULL);
    read_bytes(&schema);
    CHECK(read_u32(&n));
    struct answer *answers = calloc((size_t)n + 1, sizeof *answers);
    CHECK(answers != NULL);
    read_answers(answers, n);
    CHECK(json_parse(schema.data, schema.len, &o, &e) == 0);
    uint64_t began = cpu_ns();
    if (grammar_compile_schema(v, o, NULL, &g, &e) != 0) {
        fprintf(stderr, "grammar: %s\n", e.text);
        exit(EXIT_PERMANENT);
    }
    double compile_s = 1e-9 * (double)(cpu_ns() - began);
    for (uint32_t i = 0; i < rounds * n; i++)
        time_answer(g, t, &answers[i % n], bits);
    printf(" %.9f %zu\n", compile_s, grammar_memory(g));
    fflush(stdout);
    for (uint32_t i = 0; i < n; i++)
        free(answers[i].ids);
    free(answers);
    grammar_unref(&g);
    json_free(&o);
    buf_free(&schema);
    free(bits);
}

int main(void)
{
    struct tokens t = {0};
    uint32_t rounds;

    read_tokens(&t);
    uint64_t began = cpu_ns();
    struct grammar_vocab *v = grammar_vocab_new(t.n, add_bytes, &t);
    printf("%.6f %zu\n", 1e-9 * (double)(cpu_ns() - began), grammar_vocab_memory(v));
    fflush(stdout);
    while (read_u32(&rounds))
        run_case(v, &t, rounds);
    grammar_vocab_free(&v);
    buf_free(&t.text);
    free(t.at);
    return EXIT_OK;
}

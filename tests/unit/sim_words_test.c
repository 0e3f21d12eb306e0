#include "worker/sim/words.h"

#include "base/utf8.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The words are a promise: what a client has half of must be finished by any later version. */
static void golden(void **state)
{
    char word[SIM_WORD_MAX];
    char text[512] = "";

    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        sim_word(42, i, word);
        strcat(text, word);
    }
    assert_string_equal(text, "nije bibo zahi vaja lisi schön hole zona");
}

static void shape(void **state)
{
    static uint8_t seen[SIM_VOCAB];
    char word[SIM_WORD_MAX];
    size_t n_seen = 0;

    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t token = sim_token(7, i);
        size_t len = sim_word(7, i, word);
        assert_true(token < SIM_VOCAB);
        assert_true(len > 0 && len < SIM_WORD_MAX && strlen(word) == len);
        assert_true(utf8_valid(word, len));
        assert_int_equal(word[0] == ' ', i > 0);
        n_seen += !seen[token];
        seen[token] = 1;
    }
    assert_int_equal(n_seen, SIM_VOCAB);
}

static void seeds_differ(void **state)
{
    uint32_t same = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        same += sim_token(1, i) == sim_token(2, i);
    assert_true(same < 5);
}

static void words_have_tokens(void **state)
{
    char word[SIM_WORD_MAX];

    (void)state;
    for (uint32_t token = 0; token < SIM_VOCAB; token++) {
        size_t len = sim_token_text(token, true, word);
        assert_int_equal(sim_word_token(word, len), token);
        assert_int_equal(sim_token_text(token, false, word), len + 1);
    }
    assert_true(sim_word_token("", 0) < SIM_VOCAB);
    assert_true(sim_word_token("baxe", 4) < SIM_VOCAB);
}

/* The token itself is one of the four likeliest, with its own log-probability; they descend. */
static void likeliest(void **state)
{
    (void)state;
    for (uint32_t token = 0; token < SIM_VOCAB; token += 7)
        for (uint32_t index = 0; index < 5; index++) {
            uint32_t at = SIM_RANKS;
            float last = 0;
            for (uint32_t rank = 0; rank < 20; rank++) {
                float logprob;
                uint32_t id = sim_likeliest(token, index, rank, &logprob);
                assert_true(id < SIM_VOCAB);
                assert_true(rank < SIM_RANKS ? logprob > -INFINITY : isinf(logprob));
                assert_true(logprob <= last);
                last = logprob;
                if (id != token)
                    continue;
                assert_int_equal(at, SIM_RANKS);
                at = rank;
                assert_true(logprob == sim_logprob(token, index));
            }
            assert_true(at < 4);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_have_tokens),
        cmocka_unit_test(likeliest),
        cmocka_unit_test(golden),
        cmocka_unit_test(shape),
        cmocka_unit_test(seeds_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "worker/sim/words.h"

#include "base/utf8.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(shape),
        cmocka_unit_test(seeds_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

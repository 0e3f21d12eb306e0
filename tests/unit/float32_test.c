/* Against the C library's own conversions. */
#include "base/float32.h"

#include "base/hash.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *written(float x)
{
    static char text[64];
    struct buf b = {0};

    float32_write(x, &b);
    snprintf(text, sizeof text, "%s", buf_text(&b));
    buf_free(&b);
    return text;
}

static int count_digits(const char *text)
{
    const char *from = text + strspn(text, "-0.");
    int n = 0, trailing = 0;

    for (const char *c = from; *c != '\0' && *c != 'e'; c++) {
        n += *c != '.';
        trailing = *c == '0' ? trailing + 1 : *c == '.' ? trailing : 0;
    }
    return n - trailing;
}

static bool has_same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void check(float x)
{
    char least[32];
    const char *text = written(x);
    int n = 0;

    if (!has_same_bits(strtof(text, NULL), x) || !has_same_bits((float)strtod(text, NULL), x))
        fail_msg("%a is written as %s", (double)x, text);
    do
        snprintf(least, sizeof least, "%.*e", n++, (double)x);
    while (strtof(least, NULL) != x);
    if (x != 0 && count_digits(text) != count_digits(least))
        fail_msg("%a is written as %s, where %s would do", (double)x, text, least);
}

static void reads_back_the_same_with_as_few_digits(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 40000; i++) {
        uint32_t bits = (uint32_t)hash_mix(1, i);
        float x, small = (float)((double)(int32_t)bits / 2147483648.0);
        memcpy(&x, &bits, sizeof x);
        if (isfinite(x))
            check(x);
        check(small); /* as the elements of vectors are */
        check(small * 0.03125f);
        check((float)(bits % 100000) / 1000.0f); /* short ones */
    }
    for (int power = -149; power < 128; power++) {
        float x = ldexpf(1, power);
        check(x);
        check(nextafterf(x, 0));
        check(nextafterf(x, INFINITY));
    }
    for (int power = -45; power <= 38; power++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", power);
        float x = strtof(text, NULL);
        check(x);
        check(nextafterf(x, 0));
        check(nextafterf(x, INFINITY));
    }
}

static void looks_like_a_json_number(void **state)
{
    static const struct {
        float x;
        const char *text;
    } rows[] = {
        {0, "0"},
        {-0.0f, "-0"},
        {1, "1"},
        {-1.5f, "-1.5"},
        {0.1f, "0.1"},
        {123456.789f, "123456.79"},
        {100, "100"},
        {123000000, "123000000"},
        {1e9f, "1e9"},
        {1.5e10f, "1.5e10"},
        {0.000012f, "0.000012"},
        {-0.000001f, "-1e-6"},
        {1.25e-7f, "1.25e-7"},
        {FLT_MAX, "3.4028235e38"},
        {FLT_MIN, "1.1754944e-38"},
        {1.4e-45f, "1e-45"},
        {0.3333333333f, "0.33333334"},
        {16777216, "16777216"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(written(rows[i].x), rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_the_same_with_as_few_digits),
        cmocka_unit_test(looks_like_a_json_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

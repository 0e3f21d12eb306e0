#include "base/float32.h"

#include "base/check.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX  9  /* tell any two of them apart */
#define EXACT_POWER 22 /* powers of ten that a double has exactly */

/* digits * 10^power; digits do not end with 0, but for 0 itself. */
struct decimal {
    uint64_t digits;
    int power;
};

static double power_of_ten(int n)
{
    static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

    return powers[n];
}

/* x * 10^power, rounded once. */
static double scale(double x, int power)
{
    return power < 0 ? x / power_of_ten(-power) : x * power_of_ten(power);
}

/* The double next to a decimal becomes the float next to the decimal, unless it lies in the middle
 * between two floats: then the decimal itself may be on either side. */
static bool is_decisive(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t rest = bits & ((UINT64_C(1) << 29) - 1), middle = UINT64_C(1) << 28;

    return rest < middle - 1 || rest > middle + 1;
}

static struct decimal strip(uint64_t digits, int power)
{
    while (digits != 0 && digits % 10 == 0) {
        digits /= 10;
        power++;
    }
    return (struct decimal){digits, digits == 0 ? 0 : power};
}

/* In double, where it is exact enough to be sure. */
static bool find_quickly(float x, struct decimal *out)
{
    int first = (int)floor(log10((double)x)); /* of the first digit */

    if (x < 1e-12f || x > 1e12f)
        return false;
    for (int n = 1; n <= DIGITS_MAX; n++) {
        int power = first - n + 1;
        double digits = rint(scale((double)x, -power));
        double back = scale(digits, power);
        if ((float)back != x)
            continue;
        *out = strip((uint64_t)digits, power);
        return is_decisive(back);
    }
    return false;
}

static void find_surely(float x, struct decimal *out)
{
    char text[32];
    int n = 0;

    do
        snprintf(text, sizeof text, "%.*e", n++, (double)x);
    while (strtof(text, NULL) != x && n < DIGITS_MAX);
    uint64_t digits = 0;
    for (const char *c = text; *c != 'e'; c++)
        if (*c != '.')
            digits = digits * 10 + (uint64_t)(*c - '0');
    *out = strip(digits, atoi(strchr(text, 'e') + 1) - (n - 1));
}

static void write_decimal(const struct decimal *d, struct buf *out)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)d->digits);
    int first = d->power + n - 1; /* of the first digit */

    if (d->power >= 0 && first < DIGITS_MAX)
        buf_printf(out, "%s%.*s", digits, d->power, "000000000");
    else if (first >= 0 && d->power < 0)
        buf_printf(out, "%.*s.%s", n + d->power, digits, digits + n + d->power);
    else if (first < 0 && first >= -5)
        buf_printf(out, "0.%.*s%s", -first - 1, "0000", digits);
    else
        buf_printf(out, "%c%s%se%d", digits[0], n > 1 ? "." : "", digits + 1, first);
}

void float32_write(float x, struct buf *out)
{
    struct decimal d = {0};

    CHECK(isfinite(x));
    if (signbit(x))
        buf_add_char(out, '-');
    x = fabsf(x);
    if (x != 0 && !find_quickly(x, &d))
        find_surely(x, &d);
    write_decimal(&d, out);
}

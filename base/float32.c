#include "base/float32.h"

#include "base/check.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX  9  /* tell any two of them apart */
#define DIGITS_SIZE 20 /* of any 64 bits */
#define EXACT_POWER 22 /* powers of ten that a double has exactly */

/* digits * 10^power */
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

/* The float that so many digits of x stand for; false when double is not sure. */
static bool round_trip(float x, int power, struct decimal *d, bool *is_same)
{
    double digits = rint(scale((double)x, -power)), back = scale(digits, power);

    *d = (struct decimal){(uint64_t)digits, power};
    *is_same = (float)back == x;
    return is_decisive(back);
}

/* In double, where that is exact enough to be sure. More digits are never worse but beside a power
 * of two, where the next float below is nearer than the one above. */
static bool find_quickly(float x, struct decimal *out)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    if (x < 1e-12f || x > 1e12f || (bits & 0x7fffff) == 0)
        return false;
    int first = (int)floor(log10((double)x)); /* of the first digit */
    for (int n = DIGITS_MAX; n >= 1; n--) {
        struct decimal d;
        bool is_same;
        if (!round_trip(x, first - n + 1, &d, &is_same))
            return false;
        if (!is_same)
            return n < DIGITS_MAX;
        *out = d;
    }
    return true;
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
    *out = (struct decimal){digits, atoi(strchr(text, 'e') + 1) - (n - 1)};
}

/* From the back. The number of digits. */
static int write_digits(uint64_t digits, char text[DIGITS_SIZE])
{
    char reversed[DIGITS_SIZE];
    int n = 0;

    do
        reversed[n++] = (char)('0' + digits % 10);
    while ((digits /= 10) != 0);
    for (int i = 0; i < n; i++)
        text[i] = reversed[n - 1 - i];
    return n;
}

static void write_decimal(const struct decimal *d, struct buf *out)
{
    static const char zeros[] = "00000000";
    char digits[DIGITS_SIZE];
    int n = write_digits(d->digits, digits), first = d->power + n - 1; /* of the first digit */

    if (d->power >= 0 && first < DIGITS_MAX) {
        buf_add(out, digits, (size_t)n);
        buf_add(out, zeros, (size_t)d->power);
    } else if (first >= 0 && d->power < 0) {
        buf_add(out, digits, (size_t)(first + 1));
        buf_add_char(out, '.');
        buf_add(out, digits + first + 1, (size_t)(n - first - 1));
    } else if (first < 0 && first >= -5) {
        buf_add_str(out, "0.");
        buf_add(out, zeros, (size_t)(-first - 1));
        buf_add(out, digits, (size_t)n);
    } else {
        buf_add_char(out, digits[0]);
        if (n > 1)
            buf_add_char(out, '.');
        buf_add(out, digits + 1, (size_t)(n - 1));
        buf_printf(out, "e%d", first);
    }
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
    d = strip(d.digits, d.power);
    write_decimal(&d, out);
}

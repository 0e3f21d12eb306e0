/* Numbers: bounds as automata over decimal digits. */
#include "worker/text/schema.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18 /* before and behind the point */
#define WHOLE_MAX  999999999999999999

/* One side of a range. As a magnitude it has no sign. */
struct bound {
    bool is_set, is_negative, is_exclusive;
    int64_t whole;
    char fraction[DIGITS_MAX + 1]; /* digits, the last one not 0 */
};

/* --- reading --- */

/* The digits of a number as json_write gives them, the point moved by its exponent: *n_whole of
 * them stand before it. */
static bool move_point(const char *text, char *digits, size_t size, size_t *n_whole)
{
    const char *e = strpbrk(text, "eE"), *end = e != NULL ? e : text + strlen(text);
    const char *point = memchr(text, '.', (size_t)(end - text));
    long exponent = e != NULL ? strtol(e + 1, NULL, 10) : 0;
    size_t n = 0;

    text += *text == '-';
    long whole = (point != NULL ? point : end) - text + exponent;
    if (labs(whole) > 40 || (size_t)(end - text) + 80 > size)
        return false;
    for (; whole < 0; whole++)
        digits[n++] = '0';
    for (; text < end; text++)
        if (*text != '.')
            digits[n++] = *text;
    while (n < (size_t)whole)
        digits[n++] = '0';
    digits[n] = '\0';
    *n_whole = (size_t)whole;
    return true;
}

static bool split_number(const char *text, struct bound *b)
{
    char digits[128];
    size_t n_whole, n;

    b->is_negative = text[0] == '-';
    if (!move_point(text, digits, sizeof digits, &n_whole))
        return false;
    b->whole = 0;
    for (size_t i = 0; i < n_whole; i++) {
        b->whole = b->whole * 10 + (digits[i] - '0');
        if (b->whole > WHOLE_MAX)
            return false;
    }
    for (n = strlen(digits); n > n_whole && digits[n - 1] == '0'; n--)
        ;
    if (n - n_whole > DIGITS_MAX)
        return false;
    memcpy(b->fraction, digits + n_whole, n - n_whole);
    b->fraction[n - n_whole] = '\0';
    return true;
}

static int compare_magnitudes(const struct bound *a, const struct bound *b)
{
    if (a->whole != b->whole)
        return a->whole < b->whole ? -1 : 1;
    return strcmp(a->fraction, b->fraction); /* digits: a longer one with the same start is more */
}

static int compare_bounds(const struct bound *a, const struct bound *b)
{
    if (a->is_negative != b->is_negative)
        return a->is_negative ? -1 : 1;
    return a->is_negative ? compare_magnitudes(b, a) : compare_magnitudes(a, b);
}

/* The tighter of both; sign 1 for lower bounds, -1 for upper ones. */
static void tighten(struct bound *b, const struct bound *other, int sign)
{
    int order = b->is_set ? compare_bounds(other, b) * sign : 1;

    if (order > 0 || (order == 0 && other->is_exclusive))
        *b = *other;
}

static int read_keyword(struct schema_compiler *c, const struct schema_all *all,
                        const char *keyword, bool is_exclusive, int sign, struct bound *b)
{
    const struct schema_part *part;
    struct json_object *o;

    for (size_t i = 0; (part = schema_next(all, &i, keyword, &o)) != NULL;) {
        const struct schema_place at = {.up = part->place, .name = keyword};
        struct bound own = {.is_set = true, .is_exclusive = is_exclusive};
        struct buf text = {0};
        if (json_type_of(o) != JSON_NUMBER)
            return schema_refuse(c, &at, EINVAL, "found %s, expected a number",
                                 json_type_name(json_type_of(o)));
        double value = json_number(o) * sign;
        if (value <= -(double)(WHOLE_MAX + (int64_t)1))
            continue; /* beyond all numbers that are ever written */
        json_write(o, &text);
        bool fits = split_number(buf_text(&text), &own);
        int rc = fits ? 0
                      : schema_refuse(c, &at, EINVAL,
                                      "%.40s has more than %d digits before or "
                                      "behind the point",
                                      buf_text(&text), DIGITS_MAX);
        buf_free(&text);
        if (rc != 0)
            return rc;
        if (own.whole == 0 && own.fraction[0] == '\0')
            own.is_negative = false;
        tighten(b, &own, sign);
    }
    return 0;
}

static int read_bounds(struct schema_compiler *c, const struct schema_all *all, struct bound *low,
                       struct bound *high)
{
    int rc = read_keyword(c, all, "minimum", false, 1, low);

    if (rc == 0)
        rc = read_keyword(c, all, "exclusiveMinimum", true, 1, low);
    if (rc == 0)
        rc = read_keyword(c, all, "maximum", false, -1, high);
    if (rc == 0)
        rc = read_keyword(c, all, "exclusiveMaximum", true, -1, high);
    return rc;
}

/* --- whole numbers --- */

/* States by position and by whether the digits so far are those of the lower, the upper bound. */
struct digits {
    struct nfa *n;
    uint32_t state[2 * DIGITS_MAX + 2][2][2];
};

static uint32_t digit_state(struct digits *d, size_t at, bool is_low, bool is_high)
{
    uint32_t *state = &d->state[at][is_low][is_high];

    if (*state == 0) /* never the first state of an NFA: that is a built-in rule's */
        *state = nfa_state(d->n);
    return *state;
}

/* Numbers of as many digits as both bounds have. */
static void add_same_length(struct nfa *n, uint32_t from, uint32_t to, const char *low,
                            const char *high)
{
    struct digits d = {.n = n};
    size_t len = strlen(low);

    d.state[0][1][1] = from;
    for (size_t i = 0; i < len; i++)
        for (int l = 0; l < 2; l++)
            for (int h = 0; h < 2; h++) {
                if (d.state[i][l][h] == 0)
                    continue;
                char first = l ? low[i] : '0', last = h ? high[i] : '9';
                for (char c = first; c <= last; c++) {
                    uint32_t next =
                        i + 1 == len ? to : digit_state(&d, i + 1, l && c == first, h && c == last);
                    nfa_byte(n, d.state[i][l][h], next, c);
                }
            }
}

/* low to high, both from 0 to WHOLE_MAX. */
static void add_whole(struct nfa *n, uint32_t from, uint32_t to, int64_t low, int64_t high)
{
    char a[24], b[24];
    int64_t power = 10; /* the smallest number with more digits */

    while (low <= high) {
        while (power <= low)
            power *= 10;
        int64_t last = power - 1 < high ? power - 1 : high;
        snprintf(a, sizeof a, "%lld", (long long)low);
        snprintf(b, sizeof b, "%lld", (long long)last);
        add_same_length(n, from, to, a, b);
        low = last + 1;
    }
}

/* The smallest integer that a lower bound allows, or the largest one for an upper bound. */
static int64_t round_bound(const struct bound *b, int sign)
{
    int64_t value = b->is_negative ? -b->whole : b->whole;

    if (b->fraction[0] != '\0') {
        if (b->is_negative == (sign < 0))
            value += sign;
        return value;
    }
    return b->is_exclusive ? value + sign : value;
}

static void add_integer(struct nfa *n, const struct bound *low, const struct bound *high,
                        uint32_t from, uint32_t to)
{
    int64_t min = low->is_set ? round_bound(low, 1) : -WHOLE_MAX;
    int64_t max = high->is_set ? round_bound(high, -1) : WHOLE_MAX;

    min = min < -WHOLE_MAX ? -WHOLE_MAX : min;
    max = max > WHOLE_MAX ? WHOLE_MAX : max;
    if (min < 0 && min <= max) {
        uint32_t minus = nfa_state(n);
        nfa_byte(n, from, minus, '-');
        add_whole(n, minus, to, max < 0 ? -max : 1, -min);
    }
    if (max >= 0)
        add_whole(n, from, to, min > 0 ? min : 0, max);
}

/* --- numbers with fractions --- */

static bool may_end(const struct bound *low, const struct bound *high, size_t at, bool is_low,
                    bool is_high)
{
    if (is_low && (at < strlen(low->fraction) || low->is_exclusive))
        return false;
    return !is_high || at < strlen(high->fraction) || !high->is_exclusive;
}

static void add_fraction_digit(struct digits *d, const struct bound *low, const struct bound *high,
                               size_t at, bool is_low, bool is_high)
{
    char first = is_low && at < strlen(low->fraction) ? low->fraction[at] : '0';
    char last = !is_high ? '9' : at < strlen(high->fraction) ? high->fraction[at] : '0';
    uint32_t from = d->state[at][is_low][is_high];

    for (char c = first; c <= last; c++)
        nfa_byte(d->n, from, digit_state(d, at + 1, is_low && c == first, is_high && c == last), c);
}

/* What may follow whole digits: nothing, or a point and digits. is_low, is_high: those are the
 * bound's, whose fraction then counts. */
static void add_fraction(struct nfa *n, uint32_t from, uint32_t to, const struct bound *low,
                         const struct bound *high, bool is_low, bool is_high)
{
    struct digits d = {.n = n};

    if (may_end(low, high, 0, is_low, is_high))
        nfa_empty(n, from, to);
    nfa_byte(n, from, digit_state(&d, 0, is_low, is_high), '.');
    for (size_t at = 0; at <= DIGITS_MAX; at++)
        for (int l = 0; l < 2; l++)
            for (int h = 0; h < 2; h++) {
                if (d.state[at][l][h] == 0)
                    continue;
                if (at > 0 && may_end(low, high, at, l, h))
                    nfa_empty(n, d.state[at][l][h], to);
                if (at < DIGITS_MAX)
                    add_fraction_digit(&d, low, high, at, l, h);
            }
}

/* Numbers without a sign. */
static void add_magnitudes(struct nfa *n, uint32_t from, uint32_t to, const struct bound *low,
                           const struct bound *high)
{
    uint32_t first = nfa_state(n), inner = nfa_state(n), last = nfa_state(n);
    int64_t max = high->is_set ? high->whole : WHOLE_MAX + (int64_t)1;

    if (low->whole > max)
        return;
    add_whole(n, from, first, low->whole, low->whole);
    if (low->whole == max) {
        add_fraction(n, first, to, low, high, true, true);
        return;
    }
    add_fraction(n, first, to, low, high, true, false);
    if (low->whole + 1 <= max - 1) {
        add_whole(n, from, inner, low->whole + 1, max - 1);
        add_fraction(n, inner, to, low, high, false, false);
    }
    if (high->is_set) {
        add_whole(n, from, last, max, max);
        add_fraction(n, last, to, low, high, false, true);
    }
}

static void add_number(struct nfa *n, const struct bound *low, const struct bound *high,
                       uint32_t from, uint32_t to)
{
    const struct bound zero = {.is_set = true};
    bool is_low_negative = !low->is_set || low->is_negative;
    bool is_high_negative = high->is_set && high->is_negative;

    if (is_low_negative) {
        uint32_t minus = nfa_state(n);
        struct bound most = *low, least = is_high_negative ? *high : zero;
        if (high->is_set && compare_bounds(high, &zero) == 0)
            least.is_exclusive = high->is_exclusive;
        nfa_byte(n, from, minus, '-');
        add_magnitudes(n, minus, to, &least, &most);
    }
    if (!is_high_negative)
        add_magnitudes(n, from, to, is_low_negative ? &zero : low, high);
}

int schema_add_number(struct schema_compiler *c, const struct schema_all *all, bool is_integer,
                      uint32_t from, uint32_t to)
{
    struct bound low = {0}, high = {0};
    int rc = read_bounds(c, all, &low, &high);

    if (rc != 0)
        return rc;
    if (!low.is_set && !high.is_set)
        nfa_call(c->n, from, to, is_integer ? RULE_INTEGER : RULE_NUMBER);
    else if (is_integer)
        add_integer(c->n, &low, &high, from, to);
    else
        add_number(c->n, &low, &high, from, to);
    return 0;
}

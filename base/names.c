#include "base/names.h"

#include <string.h>

#define LENGTH_MAX 255 /* longer names are no misspelling of anything; rows fit the stack */

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The distance, or some number above limit as soon as it cannot be within it. */
static size_t measure(const char *a, size_t a_len, const char *b, size_t b_len, size_t limit)
{
    size_t rows[3][LENGTH_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_len; j++)
        above[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t least = row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            char ca = fold(a[i - 1]), cb = fold(b[j - 1]);
            size_t d = smaller(above[j - 1] + (ca != cb), smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && ca == fold(b[j - 2]) && cb == fold(a[i - 2]))
                d = smaller(d, before[j - 2] + 1);
            row[j] = d;
            least = smaller(least, d);
        }
        if (least > limit + 1) /* a transposition reaches back over one row */
            return limit + 1;
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_len];
}

size_t names_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    size_t longer = a_len > b_len ? a_len : b_len;

    if (longer > LENGTH_MAX)
        return strcmp(a, b) == 0 ? 0 : longer;
    return measure(a, a_len, b, b_len, longer);
}

const char *names_nearest(const char *name, const char *const *candidates, size_t n)
{
    size_t len = strlen(name);
    size_t limit = len / 3 < 2 ? 2 : len / 3;
    const char *nearest = NULL;

    if (len == 0 || len > LENGTH_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(candidates[i]);
        if (other > len + limit || other + limit < len || other > LENGTH_MAX)
            continue;
        size_t d = measure(name, len, candidates[i], other, limit);
        if (d > limit)
            continue;
        nearest = candidates[i];
        if (d == 0)
            break;
        limit = d - 1; /* from here on only a nearer one counts */
    }
    return nearest;
}

/* The nearest known name, for "unknown X; did you mean Y?". */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stddef.h>

/* Damerau-Levenshtein distance (adjacent transpositions count 1), letters compared without case. */
size_t names_distance(const char *a, const char *b);

/* The candidate nearest to name, or NULL when none is within a third of its length (at least 2). */
const char *names_nearest(const char *name, const char *const *candidates, size_t n);

#endif

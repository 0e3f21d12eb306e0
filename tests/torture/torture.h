/* What the torture tests share: --seed and --seconds, chance, and failing with the seed in hand. */
#ifndef TESTS_TORTURE_TORTURE_H
#define TESTS_TORTURE_TORTURE_H

#include <stdint.h>

/* Read the options and print the seed. */
void torture_start(const char *name, double seconds, int argc, char **argv);

/* In the test or in a process it made: exit code 1, with the sentence and the seed. */
_Noreturn void torture_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The next random number of a sequence; sequences that start far apart are different ones. */
uint64_t torture_random(uint64_t *state);

/* Monotonic time at which this share of the seconds will have passed. */
uint64_t torture_deadline(double share);

#endif

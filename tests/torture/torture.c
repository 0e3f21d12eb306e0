#include "tests/torture/torture.h"

#include "base/clock.h"
#include "base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *test_name = "torture";
static uint64_t test_seed;
static double test_seconds;

void torture_start(const char *name, double seconds, int argc, char **argv)
{
    test_name = name;
    test_seed = hash_random64() >> 32;
    test_seconds = seconds;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            test_seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            test_seconds = strtod(argv[++i], NULL);
        } else {
            fprintf(stderr, "usage: %s [--seed N] [--seconds S]\n", name);
            exit(2);
        }
    }
    printf("%s: seed %llu, %.1f s\n", name, (unsigned long long)test_seed, test_seconds);
    fflush(stdout);
}

_Noreturn void torture_fail(const char *fmt, ...)
{
    char text[500];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s: FAILED, seed %llu, process %d: %s\n", test_name,
            (unsigned long long)test_seed, (int)getpid(), text);
    _exit(1);
}

uint64_t torture_random(uint64_t *state)
{
    return hash_mix(test_seed, (*state)++);
}

uint64_t torture_deadline(double share)
{
    return clock_now_ns() + (uint64_t)(test_seconds * share * 1e9);
}

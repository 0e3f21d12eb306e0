/* The tables of unicode_data.c, for unicode.c alone. Ascending, none overlaps another. */
#ifndef WORKER_TEXT_UNICODE_DATA_H
#define WORKER_TEXT_UNICODE_DATA_H

#include <stddef.h>
#include <stdint.h>

struct unicode_range {
    uint32_t first, last;
};

struct unicode_form {
    uint32_t first, last;
    uint32_t bits; /* 1 << enum unicode_form_name, UNICODE_NEW */
};
#define UNICODE_NEW 16 /* normalised in newer versions of Unicode than the library's */

/* Every stride-th character from first to last, and how far away its lower case is. */
struct unicode_lower {
    uint32_t first, last;
    uint32_t stride;
    int32_t delta;
};

struct unicode_proxy {
    uint32_t first, last;
    uint32_t proxy;
};

extern const struct unicode_range unicode_punctuation[];
extern const size_t unicode_punctuation_n;
extern const struct unicode_range unicode_marks[];
extern const size_t unicode_marks_n;
extern const struct unicode_form unicode_forms[];
extern const size_t unicode_forms_n;
extern const struct unicode_lower unicode_lowers[];
extern const size_t unicode_lowers_n;
extern const struct unicode_proxy unicode_proxies[];
extern const size_t unicode_proxies_n;

#endif

/* The tables of jinja_unicode_data.c, for jinja_unicode.c alone. */
#ifndef WORKER_TEXT_JINJA_UNICODE_DATA_H
#define WORKER_TEXT_JINJA_UNICODE_DATA_H

#include <stddef.h>
#include <stdint.h>

struct juni_range {
    uint32_t first, last;
};

/* Every stride-th character from first to last changes by delta. */
struct juni_run {
    uint32_t first, last;
    uint32_t stride;
    int32_t delta;
};

/* One character that becomes several; zeros behind them. */
struct juni_special {
    uint32_t from;
    uint32_t to[3];
};

/* What str.isspace() and its like say of one character. */
#define JUNI_SETS(X) \
    X(space) \
    X(printable) \
    X(alpha) \
    X(decimal) \
    X(digit) \
    X(numeric) \
    X(upper) \
    X(lower) \
    X(title) \
    X(ignorable)

/* upper() and lower(); title() only where it differs from upper(). */
#define JUNI_CASES(X) \
    X(to_upper) \
    X(to_lower) \
    X(to_title)

#define X(name) \
    extern const struct juni_range juni_##name[]; \
    extern const size_t juni_##name##_n;
JUNI_SETS(X)
#undef X

#define X(name) \
    extern const struct juni_run juni_##name[]; \
    extern const size_t juni_##name##_n; \
    extern const struct juni_special juni_##name##_special[]; \
    extern const size_t juni_##name##_special_n;
JUNI_CASES(X)
#undef X

#endif

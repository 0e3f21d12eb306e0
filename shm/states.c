#include "shm/states.h"

#define STATE_TEXT(constant, text) text,
#define X(set, list)                                                                               \
    const char *set##_name(uint32_t value)                                                         \
    {                                                                                              \
        static const char *const names[] = {list(STATE_TEXT)};                                     \
        return value < set##_count ? names[value] : "?";                                           \
    }
STATE_SETS(X)
#undef X

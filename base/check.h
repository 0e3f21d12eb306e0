/* CHECK(cond): always on, and only for what a bug in this very process can break. Data from a
 * file, the network or another process is input: validate it and return an error instead. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0))                                                          \
            check_failed(__FILE__, __LINE__, __func__, #cond);                                     \
    } while (0)

/* A place that a complete switch never reaches. */
#define CHECK_UNREACHABLE(why) check_failed(__FILE__, __LINE__, __func__, why)

/* Called with the failure before abort(); shm/panic.c records it for the obituary. */
typedef void check_hook(const char *file, int line, const char *func, const char *cond);

void check_set_hook(check_hook *hook);
_Noreturn void check_failed(const char *file, int line, const char *func, const char *cond);

#endif

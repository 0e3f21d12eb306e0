/* Pieces of memory for weights. */
#include "supervisor/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BYTES (8u << 20)

static int create(void)
{
    struct err e = {0};
    int fd = memory_create(BYTES, 0, &e);

    assert_true(fd >= 0);
    return fd;
}

static void the_size_is_for_good(void **state)
{
    int fd = create();
    struct stat st;

    (void)state;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, BYTES);
    assert_int_equal(ftruncate(fd, BYTES - 1), -1);
    assert_int_equal(ftruncate(fd, BYTES + 1), -1);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
}

static void pages_are_taken_when_written(void **state)
{
    int fd = create();
    char *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    (void)state;
    assert_int_equal(memory_unwritten(fd, BYTES), BYTES);
    memset(map, 1, BYTES / 2);
    assert_true(memory_unwritten(fd, BYTES) <= BYTES / 2);
    memset(map, 1, BYTES);
    assert_int_equal(memory_unwritten(fd, BYTES), 0);
    munmap(map, BYTES);
    close(fd);
}

static void sealed_is_what_nobody_can_write(void **state)
{
    int fd = create();
    void *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    (void)state;
    assert_false(memory_is_sealed(fd));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_false(memory_is_sealed(fd));
    munmap(map, BYTES);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    assert_true(memory_is_sealed(fd));
    close(fd);
}

static void more_than_there_is(void **state)
{
    struct err e = {0};
    uint64_t others = UINT64_MAX / 2; /* they will take all there is, whatever that is */

    (void)state;
    assert_int_equal(memory_create(BYTES, others, &e), -ENOMEM);
    assert_string_equal(e.text, "weights need 8388608 bytes of memory, 0 are available beside what "
                                "other models are just loading");
}

/* Whether this process still has a mapping of the memory. */
static bool is_mapped(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool is_found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        is_found |= strstr(line, "cortex-weights") != NULL;
    fclose(maps);
    return is_found;
}

/* The thread is the last holder; the descriptor is gone at once. */
static void given_back(void **state)
{
    int done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fd = create();
    uint64_t n = 0;

    (void)state;
    assert_int_equal(memory_discard(fd, done_fd), 1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    struct pollfd p = {done_fd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(read(done_fd, &n, sizeof n), sizeof n);
    assert_int_equal(n, 1);
    assert_false(is_mapped());
    close(done_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_size_is_for_good),
        cmocka_unit_test(pages_are_taken_when_written),
        cmocka_unit_test(sealed_is_what_nobody_can_write),
        cmocka_unit_test(more_than_there_is),
        cmocka_unit_test(given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

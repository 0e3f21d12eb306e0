/* stamp.so: preloaded into a process, notes when it last told somebody that there is something: a
 * write of one byte (a wake-up of a ring) or a send. This is how the time from the worker's event to the
 * client is measured without a clock in the product. Environment:
 *   BENCH_STAMP_FILE  8 bytes, written here, read by streams --stamp
 *   BENCH_STAMP_NAME  the program that is meant; its relatives inherit the preload too */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t *stamp; /* NULL: not this program */

__attribute__((constructor)) static void map_stamp(void)
{
    const char *file = getenv("BENCH_STAMP_FILE"), *name = getenv("BENCH_STAMP_NAME");

    if (file == NULL || name == NULL || strcmp(name, program_invocation_short_name) != 0)
        return;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *stamp, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        stamp = at;
}

static void note_now(void)
{
    struct timespec now;

    if (stamp == NULL)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store_explicit(stamp, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
                          memory_order_relaxed);
}

ssize_t write(int fd, const void *data, size_t len)
{
    if (len == 1)
        note_now();
    return syscall(SYS_write, fd, data, len);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    note_now();
    return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

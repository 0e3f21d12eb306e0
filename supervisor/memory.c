#include "supervisor/memory.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMINFO      "/proc/meminfo"
#define MEMINFO_WORD "MemAvailable:"
#define PIECE_BYTES  4096 /* of a piece, to hold it by */

static int read_available(uint64_t *bytes, struct err *e)
{
    struct buf text = {0};
    int fd = open(MEMINFO, O_RDONLY | O_CLOEXEC);
    uint64_t kib = 0;

    if (fd < 0)
        return err_set(e, errno, "open " MEMINFO ": %s", strerror(errno));
    int rc = fd_read_all(fd, &text, 1 << 16, e);
    close(fd);
    const char *line = rc == 0 ? strstr(buf_text(&text), MEMINFO_WORD) : NULL;
    if (rc == 0 &&
        (line == NULL || sscanf(line + sizeof MEMINFO_WORD - 1, "%" SCNu64 " kB", &kib) != 1))
        rc = err_set(e, ENOTSUP, MEMINFO " has no " MEMINFO_WORD);
    buf_free(&text);
    *bytes = kib * 1024;
    return rc;
}

static int check_room(uint64_t bytes, uint64_t others, struct err *e)
{
    uint64_t available = 0;
    int rc = read_available(&available, e);

    if (rc != 0)
        return rc;
    uint64_t left = available > others ? available - others : 0;
    if (bytes <= left)
        return 0;
    return err_set(e, ENOMEM,
                   "weights need %" PRIu64 " bytes of memory, %" PRIu64 " are available%s", bytes,
                   left, others > 0 ? " beside what other models are just loading" : "");
}

int memory_create(uint64_t bytes, uint64_t others, struct err *e)
{
    int rc = check_room(bytes, others, e);

    if (rc != 0)
        return rc;
    int fd = memfd_create("cortex-weights", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(e, errno, "memory for weights: memfd_create: %s", strerror(errno));
    if (ftruncate(fd, (off_t)bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
        return fd;
    rc = err_set(e, errno, "memory for weights (%" PRIu64 " bytes): %s", bytes, strerror(errno));
    close(fd);
    return rc;
}

uint64_t memory_unwritten(int fd, uint64_t bytes)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return bytes;
    uint64_t written = (uint64_t)st.st_blocks * 512;
    return written < bytes ? bytes - written : 0;
}

bool memory_is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

struct last_hold {
    void *map;
    int done_fd;
};

static void *release(void *arg)
{
    struct last_hold hold = *(struct last_hold *)arg;
    uint64_t one = 1;

    free(arg);
    munmap(hold.map, PIECE_BYTES);
    ssize_t n = write(hold.done_fd, &one, sizeof one); /* an eventfd with room: it cannot fail */
    (void)n;
    return NULL;
}

/* A mapping and not the descriptor goes to the thread: a child that is forked meanwhile inherits
 * descriptors, and would be the last holder instead. */
int memory_discard(int fd, int done_fd)
{
    struct last_hold *hold = malloc(sizeof *hold);
    void *map = mmap(NULL, PIECE_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
    pthread_attr_t attr;
    pthread_t thread;
    int rc = hold == NULL || map == MAP_FAILED ? ENOMEM : pthread_attr_init(&attr);

    if (rc == 0) {
        *hold = (struct last_hold){map, done_fd};
        madvise(map, PIECE_BYTES, MADV_DONTFORK);
        close(fd);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        rc = pthread_create(&thread, &attr, release, hold);
        pthread_attr_destroy(&attr);
        if (rc == 0)
            return 1;
    } else {
        close(fd);
    }
    /* No thread to be had: then it takes our time, and the tick is late. */
    if (map != MAP_FAILED)
        munmap(map, PIECE_BYTES);
    free(hold);
    return 0;
}

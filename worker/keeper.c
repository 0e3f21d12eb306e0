#include "worker/keeper.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW)

void keeper_init(struct keeper *k, int control, uint64_t epoch)
{
    *k = (struct keeper){.control = control, .epoch = epoch, .fd = -1};
}

static void unmap(struct keeper *k)
{
    if (k->map != NULL)
        CHECK(munmap(k->map, k->bytes) == 0);
    k->map = NULL;
}

static void close_memory(struct keeper *k)
{
    unmap(k);
    if (k->fd >= 0)
        close(k->fd);
    k->fd = -1;
}

void keeper_close(struct keeper *k)
{
    close_memory(k);
    k->state = KEEPER_IDLE;
}

static int say(struct keeper *k, enum control_type type, struct err *e)
{
    struct control_msg msg = {.type = (uint16_t)type,
                              .epoch = k->epoch,
                              .weights_key = k->key,
                              .weights_bytes = k->bytes};
    int rc = control_send(k->control, &msg, NULL, 0);

    if (rc != 0)
        return err_set(e, -rc, "send %s: %s", control_type_name(type), strerror(-rc));
    k->state = KEEPER_WAITING;
    return 0;
}

int keeper_want(struct keeper *k, uint64_t key, uint64_t bytes, struct err *e)
{
    CHECK(k->state == KEEPER_IDLE);
    k->key = key;
    k->bytes = bytes;
    return say(k, CONTROL_WEIGHTS_WANT, e);
}

/* Is it the size we asked for, for good, and written by nobody when it is said to be complete? */
static int check_memory(const struct keeper *k, int fd, bool is_filled, struct err *e)
{
    struct stat st;
    int needed = SEALS_SIZE | (is_filled ? F_SEAL_WRITE : 0);
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || fstat(fd, &st) != 0)
        return err_set(e, errno, "memory for the weights: %s", strerror(errno));
    if ((seals & needed) != needed || (uint64_t)st.st_size != k->bytes)
        return err_set(e, EPROTO,
                       "memory for the weights: %jd bytes with seals %#x, expected %" PRIu64
                       " bytes with seals %#x",
                       (intmax_t)st.st_size, (unsigned)seals, k->bytes, (unsigned)needed);
    return 0;
}

int keeper_take(struct keeper *k, const struct control_msg *msg, int fds[CONTROL_FDS],
                struct err *e)
{
    if (k->state != KEEPER_WAITING || msg->weights_key != k->key)
        return err_set(e, EPROTO, "weights-grant of %016" PRIx64 ": not asked for",
                       msg->weights_key);
    close_memory(k); /* after FILLED: the same memory comes once more */
    if (fds[0] < 0) {
        k->state = KEEPER_IDLE;
        return err_set(e, ENOMEM, "%s", msg->text);
    }
    int rc = check_memory(k, fds[0], msg->is_filled != 0, e);
    if (rc != 0)
        return rc;
    k->fd = fds[0];
    fds[0] = -1;
    k->state = msg->is_filled != 0 ? KEEPER_FILLED : KEEPER_FILLING;
    return 0;
}

/* Read-only as a private mapping, which is the same pages as long as nobody writes: kernels before
 * 6.7 take a shared one for a writer's, and refuse it because of the seal. */
static void *map_memory(const struct keeper *k)
{
    if (k->state == KEEPER_FILLED)
        return mmap(NULL, k->bytes, PROT_READ, MAP_PRIVATE, k->fd, 0);
    return mmap(NULL, k->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
}

int keeper_map(struct keeper *k, struct err *e)
{
    CHECK(k->state == KEEPER_FILLING || k->state == KEEPER_FILLED);
    CHECK(k->map == NULL);
    void *map = map_memory(k);
    if (map == MAP_FAILED)
        return err_set(e, errno, "map %" PRIu64 " bytes for the weights: %s", k->bytes,
                       strerror(errno));
    /* Wishes, and correct without them: huge pages where shmem_enabled says "advise", and core
     * files without gigabytes of what is on the disk anyway. */
    madvise(map, k->bytes, MADV_HUGEPAGE);
    madvise(map, k->bytes, MADV_DONTDUMP);
    k->map = map;
    return 0;
}

int keeper_filled(struct keeper *k, struct err *e)
{
    CHECK(k->state == KEEPER_FILLING);
    unmap(k);
    /* Here and not in the supervisor: the kernel looks at every page for what may still write it.
     */
    if (fcntl(k->fd, F_ADD_SEALS, F_SEAL_WRITE) != 0)
        return err_set(e, errno, "seal %" PRIu64 " bytes of weights: %s", k->bytes,
                       strerror(errno));
    return say(k, CONTROL_WEIGHTS_FILLED, e);
}

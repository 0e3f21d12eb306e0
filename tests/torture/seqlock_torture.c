/* Sequence-locked records whose writers are killed at random moments: whatever a reader accepts is
 * whole. Each writer goes on where its dead predecessor left the record, often half written. */
#include "shm/layout.h"
#include "tests/torture/torture.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct request_slot *slot;

#define WORDS (sizeof(struct request_record) / sizeof(uint64_t))

static _Noreturn void write_for_ever(uint64_t chance)
{
    uint64_t words[WORDS];
    struct request_record record;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        uint64_t key = torture_random(&chance);
        for (uint64_t i = 0; i < WORDS; i++)
            words[i] = hash_mix(key, i);
        words[0] = key;
        memcpy(&record, words, sizeof record);
        seqlock_publish(slot, &record);
    }
}

/* 1 = a whole record, 0 = none to be had; a torn one fails the test. */
static int read_once(void)
{
    struct request_record record;
    uint64_t words[WORDS];

    if (seqlock_copy(slot, &record) != 0)
        return 0;
    memcpy(words, &record, sizeof words);
    for (uint64_t i = 1; i < WORDS; i++)
        if (words[i] != hash_mix(words[0], i))
            torture_fail("torn: word %" PRIu64 " is not of record %" PRIx64, i, words[0]);
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t chance = 0, writers = 0, left_open = 0, reads = 0, busy = 0;

    torture_start("seqlock_torture", 3, argc, argv);
    slot = mmap(NULL, sizeof *slot, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(slot != MAP_FAILED);
    uint64_t words[WORDS] = {0};
    for (uint64_t i = 1; i < WORDS; i++)
        words[i] = hash_mix(0, i);
    struct request_record first;
    memcpy(&first, words, sizeof first);
    seqlock_publish(slot, &first);
    fflush(stdout);

    for (uint64_t deadline = torture_deadline(1); clock_now_ns() < deadline; writers++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            write_for_ever(writers << 32);
        uint64_t until = clock_now_ns() + torture_random(&chance) % (2 * NS_PER_MS);
        while (clock_now_ns() < until)
            for (int i = 0; i < 20; i++)
                *(read_once() ? &reads : &busy) += 1;
        kill(pid, SIGKILL);
        CHECK(waitpid(pid, NULL, 0) == pid);
        left_open += atomic_load(&slot->seq) & 1;
        for (int i = 0; i < 100; i++)
            reads += (uint64_t)read_once();
    }
    printf("%" PRIu64 " writers killed, %" PRIu64 " of them half way; %" PRIu64
           " whole reads, %" PRIu64 " times busy, none torn\n",
           writers, left_open, reads, busy);
    if (left_open == 0 || reads == 0)
        torture_fail("nothing was tested");
    return 0;
}

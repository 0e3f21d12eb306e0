/* The event log ring: the last lines, whole, whoever gets killed while writing. */
#include "shm/eventlog.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct shm_log *ring; /* shared with the children */
static int saved_stderr;

static int make_log(void **state)
{
    (void)state;
    ring = mmap(NULL, sizeof *ring, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        return -1;
    saved_stderr = dup(STDERR_FILENO);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDERR_FILENO);
    close(null);
    eventlog_install(ring);
    return 0;
}

static int free_log(void **state)
{
    (void)state;
    log_set_sink(NULL);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    return munmap(ring, sizeof *ring);
}

static void test_lines(void **state)
{
    struct shm_log_record line;

    (void)state;
    assert_int_equal(eventlog_read(ring, 0, &line), -EAGAIN);
    log_event(LOG_CHILD, LOG_WARNING, 0xabcdef, "worker %d gone", 3);
    assert_int_equal(eventlog_read(ring, 0, &line), 0);
    assert_string_equal(line.text, "worker 3 gone");
    assert_int_equal(line.tag, LOG_CHILD);
    assert_int_equal(line.level, LOG_WARNING);
    assert_int_equal(line.request, 0xabcdef);
    assert_true(line.wall_ns > 1600000000ull * 1000000000ull);
    assert_int_equal(eventlog_read(ring, 1, &line), -EAGAIN);
    log_event(LOG_CHILD, LOG_DEBUG, 0, "below the level of this process");
    assert_int_equal(eventlog_read(ring, 1, &line), -EAGAIN);
}

static void test_overwritten(void **state)
{
    struct shm_log_record line;
    char expected[32];

    (void)state;
    for (unsigned i = 0; i < SHM_LOG_RECORDS + 10; i++)
        log_info(LOG_SYSTEM, "line %u", i);
    /* the oldest place is where the next line goes: not to be trusted any more */
    assert_int_equal(eventlog_read(ring, 0, &line), -ESTALE);
    assert_int_equal(eventlog_read(ring, 10, &line), -ESTALE);
    for (unsigned i = 11; i < SHM_LOG_RECORDS + 10; i++) {
        assert_int_equal(eventlog_read(ring, i, &line), 0);
        snprintf(expected, sizeof expected, "line %u", i);
        assert_string_equal(line.text, expected);
    }
}

static void test_long_text_is_cut_between_characters(void **state)
{
    struct shm_log_record line;
    char text[301];

    (void)state;
    for (int i = 0; i < 100; i++)
        memcpy(text + 3 * i, "\xe2\x82\xac", 3); /* a euro sign */
    text[300] = '\0';
    log_info(LOG_SYSTEM, "%s", text);
    assert_int_equal(eventlog_read(ring, 0, &line), 0);
    assert_int_equal(strlen(line.text), 231 / 3 * 3);
    log_info(LOG_SYSTEM, "x%s", text);
    assert_int_equal(eventlog_read(ring, 1, &line), 0);
    assert_int_equal(strlen(line.text), 1 + 230 / 3 * 3);
    memset(text, 'a', 231);
    text[231] = '\0';
    log_info(LOG_SYSTEM, "%s", text);
    assert_int_equal(eventlog_read(ring, 2, &line), 0);
    assert_string_equal(line.text, text);
}

/* A process killed while it writes; its successor goes on in the same ring. Every line that can be
 * read says its own number. */
static void test_killed_writers(void **state)
{
    const uint64_t seed = hash_random64();
    uint64_t reads = 0;
    struct shm_log_record line;
    char expected[300];

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint64_t round = 0; round < 40; round++) {
        uint64_t before = atomic_load(&ring->written);
        pid_t pid = fork();
        if (pid == 0)
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
        if (pid == 0)
            for (uint64_t n = before;; n++)
                log_info(LOG_SYSTEM, "%0200llu", (unsigned long long)n);
        uint64_t until = before + hash_mix(seed, round) % 2000 + 1;
        while (atomic_load(&ring->written) < until) {
            uint64_t n = atomic_load(&ring->written);
            n -= n < 250 ? n : 250; /* about to be overwritten */
            if (eventlog_read(ring, n, &line) != 0)
                continue;
            snprintf(expected, sizeof expected, "%0200llu", (unsigned long long)n);
            assert_string_equal(line.text, expected);
            reads++;
        }
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    uint64_t end = atomic_load(&ring->written);
    for (uint64_t n = end - (SHM_LOG_RECORDS - 1); n < end; n++) {
        assert_int_equal(eventlog_read(ring, n, &line), 0);
        snprintf(expected, sizeof expected, "%0200llu", (unsigned long long)n);
        assert_string_equal(line.text, expected);
    }
    assert_true(reads > 0);
}

int main(void)
{
#define WITH_LOG(test) cmocka_unit_test_setup_teardown(test, make_log, free_log)
    const struct CMUnitTest tests[] = {
        WITH_LOG(test_lines),
        WITH_LOG(test_overwritten),
        WITH_LOG(test_long_text_is_cut_between_characters),
        WITH_LOG(test_killed_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

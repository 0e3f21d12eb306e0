/* Last words of real processes that die. */
#include "shm/panic.h"

#include "base/check.h"

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
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct shm_panic *slot; /* shared with the children */

static int make_slot(void **state)
{
    (void)state;
    slot = mmap(NULL, sizeof *slot, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return slot == MAP_FAILED ? -1 : 0;
}

static int free_slot(void **state)
{
    (void)state;
    return munmap(slot, sizeof *slot);
}

/* Run die() in a child with the slot installed; its pid in *pid, the signal that ended it returned.
 */
static int run_child(void (*die)(void), pid_t *pid)
{
    int status;

    *pid = fork();
    if (*pid == 0) {
        struct rlimit no_core = {0, 0};
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(null, STDERR_FILENO);
        panic_install(slot);
        die();
        _exit(1);
    }
    assert_int_equal(waitpid(*pid, &status, 0), *pid);
    assert_true(WIFSIGNALED(status));
    return WTERMSIG(status);
}

static void assert_last_words(pid_t pid, const char *part)
{
    char text[500];

    panic_describe(slot, pid, text, sizeof text);
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
    assert_non_null(strstr(text, "frames 0x"));
    panic_describe(slot, pid + 1, text, sizeof text); /* somebody else's */
    assert_string_equal(text, "");
    assert_true(slot->n_frames >= 1 && slot->n_frames <= SHM_PANIC_FRAMES);
    panic_clear(slot);
    panic_describe(slot, pid, text, sizeof text);
    assert_string_equal(text, "");
}

static void fail_check(void)
{
    int links = 3;
    CHECK(links == 4);
}
static void touch_nothing(void)
{
    int *volatile nowhere = (int *)0x10;
    *nowhere = 1;
}
__attribute__((noinline)) static int overflow_stack(volatile char *above)
{
    volatile char frame[4096];
    frame[0] = above[0];
    if (frame[0] != 0)
        return 1;
    return overflow_stack(frame) + frame[0];
}
static void recurse_for_ever(void)
{
    volatile char start[1] = {0};
    overflow_stack(start);
}
static void get_killed_by_bus(void)
{
    kill(getpid(), SIGBUS);
}
static void raise_fpe(void)
{
    raise(SIGFPE);
}

static void test_check(void **state)
{
    pid_t pid;

    (void)state;
    assert_int_equal(run_child(fail_check, &pid), SIGABRT);
    assert_int_equal(slot->signal, 0);
    assert_string_equal(slot->cond, "links == 4");
    assert_last_words(pid, "CHECK(links == 4) at ");
}

static void test_check_says_where(void **state)
{
    char text[500];
    pid_t pid;

    (void)state;
    run_child(fail_check, &pid);
    panic_describe(slot, pid, text, sizeof text);
    assert_non_null(strstr(text, "panic_test.c:"));
    assert_non_null(strstr(text, " fail_check()"));
}

static void test_fault(void **state)
{
    pid_t pid;

    (void)state;
    assert_int_equal(run_child(touch_nothing, &pid), SIGSEGV);
    assert_int_equal(slot->address, 0x10);
    assert_last_words(pid, "SIGSEGV at address 0x10");
}

static void test_stack_overflow(void **state)
{
    pid_t pid;

    (void)state;
    assert_int_equal(run_child(recurse_for_ever, &pid), SIGSEGV);
    assert_last_words(pid, "SIGSEGV");
}

static void test_other_signals(void **state)
{
    pid_t pid;

    (void)state;
    assert_int_equal(run_child(abort, &pid), SIGABRT);
    assert_last_words(pid, "SIGABRT");
    assert_int_equal(run_child(get_killed_by_bus, &pid), SIGBUS);
    assert_last_words(pid, "SIGBUS at address 0");
    assert_int_equal(run_child(raise_fpe, &pid), SIGFPE);
    assert_last_words(pid, "SIGFPE");
}

/* The slot is a stranger's memory: the line is bounded and printable whatever it holds. */
static void test_describe_garbage(void **state)
{
    char text[500], small[12];

    (void)state;
    memset(slot, 0xff, sizeof *slot);
    slot->pid = 9;
    panic_describe(slot, 9, text, sizeof text);
    assert_string_equal(text, ""); /* not marked as filled */
    for (int32_t signal = -1; signal < 200; signal += 67) {
        atomic_store(&slot->filled, 1);
        slot->signal = signal;
        panic_describe(slot, 9, text, sizeof text);
        assert_true(strlen(text) > 0 && strlen(text) < sizeof text);
        for (const char *p = text; *p != '\0'; p++)
            assert_in_range(*p, 0x20, 0x7e);
        panic_describe(slot, 9, small, sizeof small);
        assert_int_equal(strlen(small), sizeof small - 1);
    }
    slot->signal = 0;
    memset(slot->cond, 'c', sizeof slot->cond);
    memset(slot->func, 'f', sizeof slot->func);
    memset(slot->file, 'n', sizeof slot->file);
    panic_describe(slot, 9, text, sizeof text);
    assert_non_null(strstr(text, "cc) at nn"));
}

int main(void)
{
#define WITH_SLOT(test) cmocka_unit_test_setup_teardown(test, make_slot, free_slot)
    const struct CMUnitTest tests[] = {
        WITH_SLOT(test_check),         WITH_SLOT(test_check_says_where),
        WITH_SLOT(test_fault),         WITH_SLOT(test_stack_overflow),
        WITH_SLOT(test_other_signals), WITH_SLOT(test_describe_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

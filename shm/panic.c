#include "shm/panic.h"

#include "base/check.h"

#include <execinfo.h>
#include <inttypes.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PANIC_STACK        (64u << 10)
#define PANIC_FRAMES_SHOWN 8

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define N_FATAL_SIGNALS (sizeof fatal_signals / sizeof fatal_signals[0])

static struct shm_panic *own_slot; /* borrowed: this process's slot in the node segment */
static uintptr_t program_base;     /* frames inside the program are told relative to its base, as */
static uintptr_t program_end;      /* addr2line wants them; those in libraries as they are */
static _Atomic pid_t recorder;     /* thread that writes the slot, 0 = none yet */
static _Alignas(16) char signal_stack[PANIC_STACK];

/* The end of a text: of a long path, the file. */
static void copy_end(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);

    if (len >= size)
        from += len - (size - 1);
    memcpy(to, from, strlen(from) + 1);
}

static void copy_start(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);

    memcpy(to, from, len);
    to[len] = '\0';
}

/* The first caller records; the others of the process must not. Returns 1 to the one who may. */
static int claim_slot(void)
{
    pid_t nobody = 0;

    return atomic_compare_exchange_strong(&recorder, &nobody, gettid());
}

/* Everything from here to the signal handler is async-signal-safe: backtrace() has been called once
 * at installation, so that it does not load libgcc now. */
static void fill_slot(int signal, uint64_t address)
{
    void *frames[SHM_PANIC_FRAMES];
    int n = backtrace(frames, SHM_PANIC_FRAMES);

    own_slot->pid = getpid();
    own_slot->signal = signal;
    own_slot->address = address;
    own_slot->n_frames = (uint32_t)n;
    for (int i = 0; i < n; i++) {
        uintptr_t at = (uintptr_t)frames[i];
        own_slot->frame[i] = at >= program_base && at < program_end ? at - program_base : at;
    }
    atomic_store_explicit(&own_slot->filled, 1, memory_order_release);
}

static void record_check(const char *file, int line, const char *func, const char *cond)
{
    if (!claim_slot())
        return;
    copy_end(own_slot->file, sizeof own_slot->file, file);
    copy_start(own_slot->func, sizeof own_slot->func, func);
    copy_start(own_slot->cond, sizeof own_slot->cond, cond);
    own_slot->line = line;
    fill_slot(0, 0);
}

/* SA_RESETHAND has restored the default action; the signal is blocked until the handler returns and
 * then ends the process. */
static void record_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (claim_slot())
        fill_slot(signal, info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0);
    else if (atomic_load(&recorder) != gettid())
        for (;;)
            pause(); /* the recording thread ends the process when it is done */
    raise(signal);
}

static int find_program(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    program_base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && program_base + p->p_vaddr + p->p_memsz > program_end)
            program_end = program_base + p->p_vaddr + p->p_memsz;
    }
    return 1; /* the program itself comes first */
}

void panic_install(struct shm_panic *slot)
{
    void *frame[1];
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction act = {.sa_sigaction = record_signal,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};

    own_slot = slot;
    backtrace(frame, 1);
    dl_iterate_phdr(find_program, NULL);
    CHECK(sigaltstack(&stack, NULL) == 0);
    for (size_t i = 0; i < N_FATAL_SIGNALS; i++)
        CHECK(sigaction(fatal_signals[i], &act, NULL) == 0);
    check_set_hook(record_check);
}

/* A bounded, printable copy of a text that a stranger wrote. */
static void copy_printable(char *to, const char *from, size_t size)
{
    size_t i = 0;

    for (; i < size - 1 && from[i] != '\0'; i++)
        to[i] = from[i] >= 0x20 && from[i] < 0x7f ? from[i] : '?';
    to[i] = '\0';
}

void panic_describe(const struct shm_panic *slot, int32_t pid, char *text, size_t size)
{
    struct shm_panic p;
    struct buf_text {
        char file[sizeof p.file], func[sizeof p.func], cond[sizeof p.cond];
    } t;
    int n;

    text[0] = '\0';
    /* acquire: pairs with fill_slot */
    if (atomic_load_explicit(&slot->filled, memory_order_acquire) != 1 || slot->pid != pid)
        return;
    memcpy(&p, slot, sizeof p);
    copy_printable(t.file, p.file, sizeof t.file);
    copy_printable(t.func, p.func, sizeof t.func);
    copy_printable(t.cond, p.cond, sizeof t.cond);
    const char *name = p.signal > 0 && p.signal < NSIG ? sigabbrev_np(p.signal) : NULL;
    if (p.signal == 0)
        n = snprintf(text, size, "CHECK(%s) at %s:%" PRId32 " %s()", t.cond, t.file, p.line,
                     t.func);
    else if (name != NULL)
        n = snprintf(text, size, "SIG%s at address %#" PRIx64, name, p.address);
    else
        n = snprintf(text, size, "signal %" PRId32 " at address %#" PRIx64, p.signal, p.address);
    for (uint32_t i = 0; i < p.n_frames && i < PANIC_FRAMES_SHOWN && n >= 0 && (size_t)n < size;
         i++)
        n += snprintf(text + n, size - (size_t)n, "%s%#" PRIx64, i == 0 ? ", frames " : " ",
                      p.frame[i]);
}

void panic_clear(struct shm_panic *slot)
{
    atomic_store_explicit(&slot->filled, 0, memory_order_relaxed);
    memset(slot, 0, sizeof *slot);
}

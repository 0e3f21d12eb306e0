#include "shm/eventlog.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static struct shm_log *own_log; /* borrowed: this process's ring in the node segment */
static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER; /* threads of this process only */

/* Bytes of text that fit, without cutting a UTF-8 sequence. */
static size_t fitting_length(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);

    if (len <= max)
        return len;
    len = max;
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static void append_line(uint64_t wall_ns, enum log_tag tag, enum log_level level, uint64_t request,
                        const char *text)
{
    struct shm_log_record line = {
        .wall_ns = wall_ns, .request = request, .tag = (uint32_t)tag, .level = (uint32_t)level};
    uint64_t words[sizeof line / 8];

    memcpy(line.text, text, fitting_length(text, sizeof line.text - 1));
    memcpy(words, &line, sizeof words);
    pthread_mutex_lock(&own_lock);
    uint64_t n = atomic_load_explicit(&own_log->written, memory_order_relaxed);
    _Atomic uint64_t *to = own_log->record[n % SHM_LOG_RECORDS].word;
    /* `written` of the last line before any word of this one: a reader that sees one of these words
     * then sees that the line it copies is being overwritten. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < sizeof words / 8; i++)
        atomic_store_explicit(&to[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&own_log->written, n + 1, memory_order_release);
    pthread_mutex_unlock(&own_lock);
}

void eventlog_install(struct shm_log *log)
{
    own_log = log;
    log_set_sink(append_line);
}

int eventlog_read(const struct shm_log *log, uint64_t n, struct shm_log_record *out)
{
    uint64_t words[sizeof *out / 8];
    const _Atomic uint64_t *from = log->record[n % SHM_LOG_RECORDS].word;

    if (n >= atomic_load_explicit(&log->written, memory_order_acquire))
        return -EAGAIN;
    for (size_t i = 0; i < sizeof words / 8; i++)
        words[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire); /* every word before the re-check */
    /* Line n + SHM_LOG_RECORDS is written into the same place before it is counted. */
    if (atomic_load_explicit(&log->written, memory_order_relaxed) - n >= SHM_LOG_RECORDS)
        return -ESTALE;
    memcpy(out, words, sizeof *out);
    out->text[sizeof out->text - 1] = '\0';
    return 0;
}

#include "worker/text/jinja_run.h"

#include "base/check.h"
#include "worker/text/jinja.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE     (64u << 10)
#define BYTES_PER_STEP 256

struct jrun_chunk {
    struct jrun_chunk *next;
    size_t used, size;
    _Alignas(16) char data[];
};

void jrun_init(struct jrun *r, uint64_t steps)
{
    memset(r, 0, sizeof *r);
    r->memory_left = JINJA_MEMORY_MAX;
    r->steps_left = steps;
    r->line = 1;
}

void jrun_free(struct jrun *r)
{
    while (r->chunks != NULL) {
        struct jrun_chunk *c = r->chunks;
        r->chunks = c->next;
        free(c);
    }
    buf_free(&r->text);
}

int jrun_guard(struct jrun *r, jrun_body *body, void *arg)
{
    r->err.code = 0;
    if (setjmp(r->door) == 0)
        body(r, arg);
    return -r->err.code;
}

_Noreturn void jrun_fail(struct jrun *r, const char *fmt, ...)
{
    char text[sizeof r->err.text];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(&r->err, EINVAL, "line %u: %s", r->line, text);
    longjmp(r->door, 1);
}

_Noreturn void jrun_exhaust(struct jrun *r, const char *fmt, ...)
{
    char text[sizeof r->err.text];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(&r->err, E2BIG, "line %u: %s", r->line, text);
    longjmp(r->door, 1);
}

static void add_chunk(struct jrun *r, size_t need)
{
    size_t size = need > CHUNK_SIZE ? need : CHUNK_SIZE;

    if (size > r->memory_left)
        jrun_exhaust(r, "the template needs more than %u MiB of memory", JINJA_MEMORY_MAX >> 20);
    struct jrun_chunk *c = calloc(1, sizeof *c + size);
    CHECK(c != NULL);
    r->memory_left -= size;
    c->size = size;
    /* A large piece fills its chunk; what is left of the current one stays in use. */
    if (need > CHUNK_SIZE / 2 && r->chunks != NULL) {
        c->next = r->chunks->next;
        r->chunks->next = c;
    } else {
        c->next = r->chunks;
        r->chunks = c;
    }
}

void *jrun_alloc(struct jrun *r, size_t size)
{
    size_t need = size <= JINJA_MEMORY_MAX ? (size + 15) & ~(size_t)15 : SIZE_MAX;
    struct jrun_chunk *c = r->chunks;

    if (c == NULL || c->size - c->used < need) {
        add_chunk(r, need);
        c = need > CHUNK_SIZE / 2 && r->chunks->next != NULL ? r->chunks->next : r->chunks;
    }
    void *p = c->data + c->used;
    c->used += need;
    return p;
}

void *jrun_alloc_array(struct jrun *r, size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        total = SIZE_MAX;
    return jrun_alloc(r, total);
}

void *jrun_grow_array(struct jrun *r, const void *old, size_t used, size_t *cap, size_t size)
{
    size_t n = *cap < 4 ? 8 : *cap * 2;
    void *p = jrun_alloc_array(r, n, size);

    if (used > 0)
        memcpy(p, old, used * size);
    *cap = n;
    return p;
}

void jrun_step(struct jrun *r, uint64_t n)
{
    if (n > r->steps_left) {
        r->steps_left = 0;
        jrun_exhaust(r, "the template takes more than %u steps", JINJA_STEPS_MAX);
    }
    r->steps_left -= n;
}

void jrun_step_bytes(struct jrun *r, size_t n)
{
    r->bytes += n;
    if (r->bytes >= BYTES_PER_STEP) {
        uint64_t steps = r->bytes / BYTES_PER_STEP;
        r->bytes %= BYTES_PER_STEP;
        jrun_step(r, steps);
    }
}

void jrun_enter(struct jrun *r)
{
    if (r->level >= JRUN_LEVEL_MAX)
        jrun_exhaust(r, "the template nests its calls and expressions more than %d deep",
                     JRUN_LEVEL_MAX);
    r->level++;
}

static void check_room(struct jrun *r, size_t n)
{
    if (n > JINJA_OUTPUT_MAX || r->text.len > JINJA_OUTPUT_MAX - n)
        jrun_exhaust(r, "the template makes more than %u MiB of text", JINJA_OUTPUT_MAX >> 20);
}

void jrun_put(struct jrun *r, const void *data, size_t n)
{
    check_room(r, n);
    jrun_step_bytes(r, n);
    buf_add(&r->text, data, n);
}

void jrun_put_str(struct jrun *r, const char *s)
{
    jrun_put(r, s, strlen(s));
}

void jrun_put_fill(struct jrun *r, char c, size_t n)
{
    check_room(r, n);
    jrun_step_bytes(r, n);
    memset(buf_reserve(&r->text, n), c, n);
    buf_commit(&r->text, n);
}

void jrun_putf(struct jrun *r, const char *fmt, ...)
{
    char text[512]; /* the longest is a double in full: 309 digits and a fraction */
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    CHECK(n >= 0 && (size_t)n < sizeof text);
    jrun_put(r, text, (size_t)n);
}

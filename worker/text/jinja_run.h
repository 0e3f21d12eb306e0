/* What one compilation or one rendering has: memory, a budget of steps, the line it is at, and one
 * way out.
 *
 * Every failure, of the template's author, of the conversation or against a limit, leaves through
 * jrun_fail(), which does not return: it jumps back to jrun_guard(). Between the two nothing but
 * the memory of this run is held, and jrun_free() gives it back in one go; that is what makes the
 * jump safe, and why no function in between has an error path of its own. */
#ifndef WORKER_TEXT_JINJA_RUN_H
#define WORKER_TEXT_JINJA_RUN_H

#include "base/buf.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JRUN_LEVEL_MAX 1000 /* nested evaluations; 256 KiB of stack when optimised */

struct jrun_chunk;

struct jrun {
    struct jrun_chunk *chunks; /* owned */
    size_t memory_left;
    uint64_t steps_left;
    size_t bytes;    /* read or written, not yet charged as a step */
    uint32_t line;   /* of the template, for sentences */
    uint32_t level;  /* nested evaluations */
    uint32_t calls;  /* nested macro calls */
    int64_t now_s;   /* for strftime_now */
    struct buf text; /* owned: the output, and behind it the texts being made */
    struct err err;
    jmp_buf door;
};

typedef void jrun_body(struct jrun *r, void *arg);

void jrun_init(struct jrun *r, uint64_t steps);
void jrun_free(struct jrun *r);

/* Run body until it returns or fails. 0, or -errno with the sentence in r->err. */
int jrun_guard(struct jrun *r, jrun_body *body, void *arg);

/* "line N: sentence", -EINVAL. */
_Noreturn void jrun_fail(struct jrun *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a limit, -E2BIG. */
_Noreturn void jrun_exhaust(struct jrun *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Zeroed memory that lives as long as the run. */
void *jrun_alloc(struct jrun *r, size_t size);
void *jrun_alloc_array(struct jrun *r, size_t n, size_t size);
/* A copy of the first `used` of an array with room for twice as many, 8 at least. */
void *jrun_grow_array(struct jrun *r, const void *old, size_t used, size_t *cap, size_t size);

/* Charge n operations. */
void jrun_step(struct jrun *r, uint64_t n);
/* Charge the reading or writing of so many bytes. */
void jrun_step_bytes(struct jrun *r, size_t n);

/* Enter and leave a nested evaluation. */
void jrun_enter(struct jrun *r);
static inline void jrun_leave(struct jrun *r)
{
    r->level--;
}

/* Append to r->text. */
void jrun_put(struct jrun *r, const void *data, size_t n);
void jrun_put_str(struct jrun *r, const char *s);
void jrun_put_fill(struct jrun *r, char c, size_t n);
void jrun_putf(struct jrun *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

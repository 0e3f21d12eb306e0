/* Going through values, and the iterators that filters make: as lazy as Python's generators, and
 * like them good for one pass. */
#ifndef WORKER_TEXT_JINJA_ITER_H
#define WORKER_TEXT_JINJA_ITER_H

#include "worker/text/jinja_call.h"

struct jiter;

/* The next item into *out, or false. */
typedef bool jiter_fn(struct jrun *r, struct jiter *it, struct jval *out);

struct jiter {
    jiter_fn *next;
    struct jval over;    /* what is gone through */
    size_t at;           /* index or byte offset in it */
    struct jiter *inner; /* of an iterator upon another */
    void *state;         /* of a filter's iterator */
    bool is_over;
};

bool jiter_can(struct jval v);
/* Fails when there is nothing to iterate over. */
void jiter_start(struct jrun *r, struct jiter *it, struct jval v);
bool jiter_next(struct jrun *r, struct jiter *it, struct jval *out);
/* list(v) */
struct jlist *jiter_list(struct jrun *r, struct jval v);
/* An iterator as a value. */
struct jval jiter_value(struct jrun *r, jiter_fn *next, struct jval over, void *state);
struct jval jiter_reversed(struct jrun *r, struct jval v);
/* needle in v */
bool jiter_contains(struct jrun *r, struct jval v, struct jval needle);

/* Stable. before(a, b): a comes first. */
typedef bool jiter_before(struct jrun *r, struct jval a, struct jval b);
void jiter_sort(struct jrun *r, struct jval *v, size_t n, jiter_before *before);
const struct jlist *jiter_sorted_keys(struct jrun *r, const struct jdict *d);

/* The loop of {% for %}. */
struct jloop {
    struct jiter it;
    const struct jnode *node; /* its condition filters */
    struct jscope *scope;     /* around the loop */
    struct jscope *filtering; /* of the condition; NULL until it is needed */
    int64_t index0;
    int64_t length; /* -1: not known yet */
    struct jval current, before, after;
    bool has_after;
    struct jval changed; /* the last arguments of loop.changed */
};

/* jinja_eval.c: the next item that the condition lets pass. */
bool jeval_pull(struct jrun *r, struct jloop *loop, struct jval *out);

bool jiter_loop_next(struct jrun *r, struct jloop *loop, struct jval *out);
/* An attribute of the loop, or false. */
bool jiter_loop_attribute(struct jrun *r, struct jloop *loop, const struct jstr *name,
                          struct jval *out);
void jiter_put_loop(struct jrun *r, struct jloop *loop);

#endif

/* Python's str: what both methods and filters do. Markup in, Markup out. */
#ifndef WORKER_TEXT_JINJA_STR_H
#define WORKER_TEXT_JINJA_STR_H

#include "worker/text/jinja_call.h"

enum jstr_sides { JSTR_LEFT = 1, JSTR_RIGHT = 2, JSTR_BOTH = 3 };

struct jval jstr_upper(struct jrun *r, struct jval v);
struct jval jstr_lower(struct jrun *r, struct jval v);
struct jval jstr_capitalize(struct jrun *r, struct jval v);
struct jval jstr_title(struct jrun *r, struct jval v);
/* Without white space at its ends, or without the characters of a set. */
struct jval jstr_strip(struct jrun *r, struct jval v, const struct jstr *set,
                       enum jstr_sides sides);
/* The first count occurrences, all when count < 0. */
const struct jstr *jstr_replace(struct jrun *r, const struct jstr *s, const struct jstr *old,
                                const struct jstr *new, int64_t count);
struct jlist *jstr_split_lines(struct jrun *r, struct jval v, bool keeps_ends);
struct jval jstr_join(struct jrun *r, struct jval separator, struct jval items, bool any_type);
struct jval jstr_pad(struct jrun *r, struct jval v, int64_t width, const struct jstr *fill,
                     enum jstr_sides side);
struct jval jstr_reversed(struct jrun *r, struct jval v);
bool jstr_is_upper(const struct jstr *s);
bool jstr_is_lower(const struct jstr *s);

/* int(text, base) and float(text): false when the text is no number. */
bool jstr_read_int(struct jrun *r, const struct jstr *s, int64_t base, int64_t *i);
bool jstr_read_float(struct jrun *r, const struct jstr *s, double *d);

/* str.format; jinja_format.c */
struct jval jstr_format(struct jrun *r, struct jval format, const struct jargs *args);

/* jinja_split.c */
struct jval jstr_split(struct jrun *r, struct jval v, struct jval separator, int64_t max,
                       bool is_from_right);

#endif
